from __future__ import annotations

from pathlib import Path

import msgpack  # type: ignore[import-untyped]  # it ships no types
import msgspec
import pytest

from tests.transport.helpers import Inbox, Ping, keys, make_registry
from transport import Delivery, Direction, Record, RecordWriter, Wire, read_records
from transport.frames import decode_header


def test_traffic_is_recorded_as_it_went(tmp_path: Path) -> None:
    registry, inbox, answers = make_registry(), Inbox(), Inbox()
    writer = RecordWriter(tmp_path / "traffic")
    with (
        Wire(name="root", registry=registry, keys=keys("root"), tap=writer.write) as parent,
        Wire(name="level_1", registry=registry, keys=keys("level_1")) as child,
    ):
        links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
        child.connect(links.address, answers, name="parent", peer="root").send(Ping(1), target="energy_root")
        links.send(Ping(2), peer=inbox.get().peer)
        assert answers.number() == 2
    writer.close()
    came, went = read_records(tmp_path / "traffic")
    assert (came.direction, went.direction) == (Direction.RECEIVED, Direction.SENT)
    assert [msgspec.msgpack.decode(each.body, type=Ping) for each in (came, went)] == [Ping(1), Ping(2)]
    header = decode_header(came.header)
    assert not isinstance(header, str)
    assert (header.sender, header.target) == ("level_1", "energy_root")


def test_a_torn_tail_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "traffic"
    writer = RecordWriter(path)
    records = [Record(float(number), Direction.SENT, b"h" * number, b"b" * 1000) for number in range(20)]
    for each in records:
        writer.write(each.t, each.direction, each.header, each.body)
    writer.close()
    assert list(read_records(path)) == records
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    assert list(read_records(path)) == records[:-1]


def test_what_is_no_recording_says_so(tmp_path: Path) -> None:
    path = tmp_path / "else"
    path.write_bytes(msgpack.packb((1.0, "sideways", b"", b"")))
    with pytest.raises(ValueError, match="record 1 is not"):
        list(read_records(path))


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    RecordWriter(tmp_path / "traffic").close()
    with pytest.raises(FileExistsError):
        RecordWriter(tmp_path / "traffic")


def test_a_tap_that_fails_stops_nothing() -> None:
    registry, inbox = make_registry(), Inbox()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    with (
        Wire(name="root", registry=registry, keys=keys("root"), tap=fail) as parent,
        Wire(name="level_1", registry=registry, keys=keys("level_1")) as child,
    ):
        links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
        child.connect(links.address, Inbox(), name="parent", peer="root").send(Ping(1))
        delivery: Delivery = inbox.get()
        assert delivery.message == Ping(1)
        assert parent.counters()["links"].tap_errors == 1
