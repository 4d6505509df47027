"""A CSMS of a test's own, built on the ocpp package: it takes one charge point, and tells it what the test says."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ocpp import routing
from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call as call16
from ocpp.v16 import call_result as result16
from ocpp.v16.enums import Action as Action16
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call as call201
from ocpp.v201 import call_result as result201
from ocpp.v201.enums import Action as Action201
from websockets.asyncio.server import ServerConnection, basic_auth, serve
from websockets.exceptions import ConnectionClosed

from actors.event_loop import EventLoop
from tests.integration.conftest import wait_for

Method = TypeVar("Method")


def on(action: Any) -> Callable[[Method], Method]:
    """What a method answers, as the package wants it."""
    decorate: Callable[[Method], Method] = routing.on(action)
    return decorate


TIMEOUT_S = 60.0
NOW = "2026-03-02T10:00:00Z"


class _Mixin:
    csms: Csms

    async def route_message(self, raw: str) -> None:
        """Note what is said, before the package deals with it."""
        frame = json.loads(raw)
        if frame[0] == 2:
            self.csms.heard.append((frame[2], frame[3]))
        else:
            self.csms.answers[frame[1]] = frame
        await super().route_message(raw)  # type: ignore[misc]  # the package's, which comes after


class Station16(_Mixin, ChargePoint16):  # type: ignore[misc]
    """The CSMS's end of a 1.6 charge point."""

    @on(Action16.boot_notification)
    def on_boot(self, **_: Any) -> Any:
        return result16.BootNotification(
            current_time=NOW, interval=self.csms.interval_s, status=self.csms.boot_status
        )

    @on(Action16.heartbeat)
    def on_heartbeat(self) -> Any:
        return result16.Heartbeat(current_time=NOW)

    @on(Action16.status_notification)
    def on_status(self, **_: Any) -> Any:
        return result16.StatusNotification()

    @on(Action16.meter_values)
    def on_meter(self, **_: Any) -> Any:
        return result16.MeterValues()

    @on(Action16.start_transaction)
    def on_start(self, **_: Any) -> Any:
        self.csms.transactions += 1
        return result16.StartTransaction(
            transaction_id=self.csms.transactions, id_tag_info={"status": "Accepted"}
        )

    @on(Action16.stop_transaction)
    def on_stop(self, **_: Any) -> Any:
        return result16.StopTransaction()


class Station201(_Mixin, ChargePoint201):  # type: ignore[misc]
    """The CSMS's end of a 2.0.1 charging station."""

    @on(Action201.boot_notification)
    def on_boot(self, **_: Any) -> Any:
        return result201.BootNotification(
            current_time=NOW, interval=self.csms.interval_s, status=self.csms.boot_status
        )

    @on(Action201.heartbeat)
    def on_heartbeat(self, **_: Any) -> Any:
        return result201.Heartbeat(current_time=NOW)

    @on(Action201.status_notification)
    def on_status(self, **_: Any) -> Any:
        return result201.StatusNotification()

    @on(Action201.meter_values)
    def on_meter(self, **_: Any) -> Any:
        return result201.MeterValues()

    @on(Action201.transaction_event)
    def on_event(self, **_: Any) -> Any:
        return result201.TransactionEvent()

    @on(Action201.report_charging_profiles)
    def on_report(self, **_: Any) -> Any:
        return result201.ReportChargingProfiles()


class Csms:
    """On a port of its own, which stays the same when it is stopped and started again."""

    def __init__(
        self, version: str, port: int = 0, password: str | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.version, self.port = version, port
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        self.boot_status, self.interval_s = "Accepted", 300
        self.transactions = 40
        self.station: Any = None
        self.socket: ServerConnection | None = None
        self._password, self._tls = password, tls
        self._loop: EventLoop | None = None
        self._server: Any = None

    def start(self) -> None:
        """Listen."""
        self._loop = EventLoop("csms")
        self._loop.start()
        self._loop.task(self._serve()).result(TIMEOUT_S)

    def stop(self) -> None:
        """Close the connection and the port."""
        if self._loop is not None:
            self._loop.task(self._close()).result(TIMEOUT_S)
            self._loop.stop()
            self._loop = None

    async def _serve(self) -> None:
        protocol = "ocpp1.6" if self.version == "1.6" else "ocpp2.0.1"
        login = None
        if self._password is not None:
            login = basic_auth(realm="csms", credentials=("garage", self._password))
        self._server = await serve(
            self._talk,
            "127.0.0.1",
            self.port,
            subprotocols=[protocol],  # type: ignore[list-item]
            process_request=login,
            ssl=self._tls,
            ping_interval=None,
            close_timeout=1,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _talk(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        kind = Station16 if self.version == "1.6" else Station201
        station: Any = kind(socket.request.path.rpartition("/")[2], socket, response_timeout=10)
        station.csms = self
        self.socket, self.station = socket, station
        with contextlib.suppress(ConnectionClosed):
            await station.start()
        if self.socket is socket:
            self.socket = self.station = None

    async def _close(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    # --- for tests -----------------------------------------------------------------------------------

    def ask(self, action: str, **payload: Any) -> Any:
        """Call the charge point; its answer, or what is raised instead."""
        assert self._loop is not None
        request = getattr(call16 if self.version == "1.6" else call201, action)(**payload)
        wait_for("a charge point is there", lambda: self.station)
        return self._loop.task(self.station.call(request, suppress=False)).result(TIMEOUT_S)

    def send(self, text: str | bytes) -> None:
        """Anything at all."""
        assert self._loop is not None
        socket = wait_for("a charge point is there", lambda: self.socket)
        self._loop.task(socket.send(text)).result(TIMEOUT_S)

    def answer_to(self, call_id: str) -> Any:
        """The frame that answered."""
        return wait_for(f"an answer to {call_id}", lambda: self.answers.get(call_id))

    def all_of(self, action: str, **payload: Any) -> list[dict[str, Any]]:
        """What was heard with these values at its top."""
        said = [content for name, content in list(self.heard) if name == action]
        return [content for content in said if payload.items() <= content.items()]

    def hears(
        self, action: str, right: Callable[[dict[str, Any]], bool] = lambda _: True, **payload: Any
    ) -> dict[str, Any]:
        """Wait until it was said, and return the last of it."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline_s:
            if found := [content for content in self.all_of(action, **payload) if right(content)]:
                return found[-1]
            time.sleep(0.05)
        raise AssertionError(f"{action} {payload} was not said; but {self.heard[-8:]}")

    def set_profile(self, evse: int, profile: dict[str, Any]) -> str:
        """The status."""
        if self.version == "1.6":
            status = self.ask("SetChargingProfile", connector_id=evse, cs_charging_profiles=profile).status
        else:
            status = self.ask("SetChargingProfile", evse_id=evse, charging_profile=profile).status
        return str(status)

    def profile(self, number: int, purpose: str, limit: float, **more: Any) -> dict[str, Any]:
        """Absolute, from long ago on."""
        unit, level = more.pop("unit", "A"), more.pop("level", 0)
        periods = more.pop("periods", [{"start_period": 0, "limit": limit}])
        schedule = {"charging_rate_unit": unit, "charging_schedule_period": periods}
        if "kind" not in more:
            schedule["start_schedule"] = "2026-01-01T00:00:00Z"
        common = {
            "stack_level": level,
            "charging_profile_purpose": purpose,
            "charging_profile_kind": more.pop("kind", "Absolute"),
            **more,
        }
        if self.version == "1.6":
            return {**common, "charging_profile_id": number, "charging_schedule": schedule}
        return {**common, "id": number, "charging_schedule": [{"id": 1, **schedule}]}


@contextlib.contextmanager
def csms(version: str, **more: Any) -> Iterator[Csms]:
    """A running one."""
    one = Csms(version, **more)
    one.start()
    try:
        yield one
    finally:
        one.stop()
