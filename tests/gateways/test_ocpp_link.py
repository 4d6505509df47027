"""The connection to a CSMS: real websockets, and all that may go wrong with them."""

from __future__ import annotations

import asyncio
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.clock import steady_s
from actors.event_loop import EventLoop
from actors.gateways.gathering import Below
from actors.gateways.hosting import HostedGateway
from actors.gateways.ocpp.desk import KeptStation
from actors.gateways.ocpp.link import Answered, Asked, Down, Event, Heard, Link, Up
from actors.gateways.ocpp.transactions import Outgoing
from actors.ocpp.frames import Fault
from actors.ocpp.library import OcppError, server_tls
from actors.state import StateFolder
from tests.certificates import make_certificate
from tests.gateways.ocpp_sites import a_layout, site
from tests.integration.conftest import wait_for
from tests.integration.csms import Csms, csms

WAIT_S = 15.0


class Ends:
    """What a link tells."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def next(self, kind: type[Any]) -> Any:
        """The next of a kind."""
        while True:
            event = self.events.get(timeout=WAIT_S)
            if isinstance(event, kind):
                return event


@contextmanager
def linked(
    port: int, folder: Path, scheme: str = "ws", version: str = "1.6", **config: Any
) -> Iterator[tuple[Link, Ends]]:
    ends = Ends()
    made = a_layout(version)
    settings = {"url": f"{scheme}://127.0.0.1:{port}/ocpp/", "ping_interval_s": 1.0, **config}
    changed = msgspec.structs.replace(made.config, **settings)
    made = msgspec.structs.replace(made, config=changed, identity="garage")
    link = Link(made, folder, ends.events.put)
    link.start()
    try:
        yield link, ends
    finally:
        link.stop()
        assert not link.running()


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_both_sides_ask_and_answer_and_pings_are_heard(tmp_path: Path, version: str) -> None:
    with csms(version) as one, linked(one.port, tmp_path, version=version) as (link, ends):
        ends.next(Up)
        said = Outgoing(action="Heartbeat", payload={})
        link.say(said)
        answered = ends.next(Answered)
        assert answered.said is said
        assert answered.payload["currentTime"].startswith("2026")
        link.say(Outgoing(action="Heartbeat", payload={"x": 1}))
        assert "Heartbeat of our own" in ends.next(Answered).why
        one.send(
            '[2, "a", "GetCompositeSchedule", {"%s": 1, "duration": 5}]'
            % ("connectorId" if version == "1.6" else "evseId")
        )
        asked = ends.next(Asked)
        link.answer(asked, {"status": "Rejected"})
        assert one.answer_to("a") == [3, "a", {"status": "Rejected"}]
        one.send('[2, "b", "ClearCache", {}]')
        link.answer(ends.next(Asked), Fault("NotSupported", "no\\nsuch thing"))
        assert one.answer_to("b") == [4, "b", "NotSupported", "no\\nsuch thing", {}]
        one.send('[2, "c", "ClearCache", {}]')
        link.answer(ends.next(Asked), {"status": "Perhaps"})  # what the schema does not allow is not sent
        assert one.answer_to("c")[2] == "InternalError"
        while not ends.events.empty():
            ends.events.get()
        ends.next(Heard)  # nobody says anything: by a ping
        assert link.counts()[0] >= 4


def test_a_flood_is_read_at_its_own_pace_and_all_of_it_is_answered(tmp_path: Path) -> None:
    with csms("1.6") as one, linked(one.port, tmp_path) as (_, ends):
        ends.next(Up)
        for number in range(300):
            one.send(f'[2, "{number}", "MakeCoffee", {{}}]')
        assert one.answer_to("299")[2] == "NotImplemented"
        assert len(one.answers) == 300


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"password_file": "wrong"}, "it refuses the login (HTTP 401)"),
        ({"scheme": "ws", "ca_file": None}, ""),
        ({"ca_file": None}, "certificate verify failed"),
        ({"version": "2.0.1"}, ""),
    ],
)
def test_who_may_not_is_told_why(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    make_certificate(tmp_path)
    (tmp_path / "right").write_text("s3cret\n")
    (tmp_path / "wrong").write_text("secret\n")
    tls = server_tls(tmp_path / "cert.pem", tmp_path / "key.pem")
    right: dict[str, Any] = {"scheme": "wss", "ca_file": "cert.pem", "password_file": "right"}
    with csms("1.6", password="s3cret", tls=tls) as one:
        with linked(one.port, tmp_path, **right) as (_, ends):
            ends.next(Up)
        with linked(one.port, tmp_path, **{**right, **change}) as (_, ends):
            down = ends.next(Down)
            assert told in down.why
            assert "\n" not in down.why
            assert ends.events.empty()


@pytest.mark.parametrize("who", ["garage", "stranger", ""])
def test_a_csms_may_want_a_certificate_of_the_caller(tmp_path: Path, who: str) -> None:
    make_certificate(tmp_path)
    for name in ("garage", "stranger"):
        make_certificate(tmp_path, f"{name}.pem", f"{name}.key", name)
    tls = server_tls(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "garage.pem")
    own = {"cert_file": f"{who}.pem", "key_file": f"{who}.key"} if who else {}
    with (
        csms("1.6", tls=tls) as one,
        linked(one.port, tmp_path, scheme="wss", ca_file="cert.pem", **own) as (_, ends),
    ):
        if who == "garage":
            ends.next(Up)
        else:
            assert "want a certificate (cert_file" in ends.next(Down).why
            assert ends.events.empty()


def test_it_calls_again_until_the_csms_is_there_and_whenever_it_was_lost(tmp_path: Path) -> None:
    one = Csms("1.6")
    one.start()
    port = one.port
    one.stop()
    with linked(port, tmp_path) as (link, ends):
        assert "refused" in ends.next(Down).why.lower()
        link.say(Outgoing(action="Heartbeat", payload={}))
        assert ends.next(Answered).code == "ConnectionLost"
        one.start()
        ends.next(Up)
        one.stop()
        assert "it closed the connection" in ends.next(Down).why


def test_a_csms_that_has_died_without_a_word_is_noticed_by_a_ping(tmp_path: Path) -> None:
    with frozen_csms() as port, linked(port, tmp_path) as (link, ends):
        ends.next(Up)
        link.say(Outgoing(action="Heartbeat", payload={}))
        assert ends.next(Down).why == "no answer to a ping within 1 s"


@contextmanager
def frozen_csms() -> Iterator[int]:
    """It takes the connection, and then does nothing any more."""
    from websockets.server import ServerProtocol

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = ServerProtocol(subprotocols=["ocpp1.6"])  # type: ignore[list-item]
        while not protocol.events_received():
            protocol.receive_data(await reader.read(4096))
            (request,) = protocol.events_received() or (None,)
            if request is not None:
                protocol.send_response(protocol.accept(request))  # type: ignore[arg-type]
                break
        writer.writelines(protocol.data_to_send())
        while await reader.read(4096):
            pass
        writer.close()

    loop = EventLoop("frozen")
    loop.start()
    server = loop.task(asyncio.start_server(serve, "127.0.0.1", 0)).result(WAIT_S)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.soon(server.close)
        loop.stop()


def test_a_gateway_that_dies_is_begun_again_and_ends_in_good_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ocpp.messages", None)
    told = site("1.6")
    hosted = HostedGateway(told.gateways["ocpp"], Below(told, "root", {}), StateFolder(tmp_path))
    hosted.tick(now_s := steady_s())
    hosted.tick(now_s + 1.0)
    wait_for("it says what it lacks", lambda: "amptree[ocpp]" in hosted.status.told)
    first = hosted._handle._ref
    assert first is not None
    first.tell("nothing that it takes")
    wait_for("it has died", lambda: not first.is_alive())
    hosted.tick(now_s + 2.0)
    assert hosted._handle._ref is first
    hosted.tick(now_s + 6.0)
    assert hosted._handle.alive()
    hosted.end()(WAIT_S)


def test_what_is_kept_outlives_a_life_and_garbage_in_its_place_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, kept = StateFolder(tmp_path), KeptStation(settings={"meter_s": 5})
    assert folder.load_kept("ocpp", "ocpp", KeptStation, "nothing is known") is None
    assert caplog.text == ""
    assert folder.keep("ocpp", "ocpp", kept, "nothing is kept")
    assert StateFolder(tmp_path).load_kept("ocpp", "ocpp", KeptStation, "nothing is known") == kept
    (tmp_path / "ocpp.ocpp.json").write_text('{"profiles": [{}]}')
    assert folder.load_kept("ocpp", "ocpp", KeptStation, "nothing is known") is None
    assert "nothing is known" in caplog.text


@pytest.mark.parametrize("missing", ["websockets.asyncio.client", "ocpp.messages"])
def test_without_the_libraries_one_line_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(OcppError, match=r"pip install 'amptree\[ocpp\]'$"):
        Link(a_layout("1.6"), tmp_path, lambda _: None)


@pytest.mark.parametrize("key", ["password_file", "ca_file"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, key: str) -> None:
    made = a_layout("1.6")
    config = msgspec.structs.replace(made.config, url="wss://localhost/", **{key: "missing"})
    with pytest.raises(OcppError, match=r"missing: .*No such file"):
        Link(msgspec.structs.replace(made, config=config), tmp_path, lambda _: None)
