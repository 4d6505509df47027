"""`amptree limit`: which event its arguments make, and what it refuses in one line."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import pytest

from actors.energy.external import CancelDelay, ClearLimits, Heartbeat, SetLimits, SourceEvent
from tools import limit
from tools.errors import UserError


def event(*arguments: str) -> SourceEvent:
    parser = argparse.ArgumentParser(prog="amptree limit")
    limit.configure(parser)
    return limit.event_of(parser.parse_args(["root", *arguments]))


def set_by(*arguments: str) -> SetLimits:
    made = event(*arguments)
    assert isinstance(made, SetLimits)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "limits.json"


def refused(file: Path, content: Any, *arguments: str) -> str:
    """The message for a file with this content, without the file's name."""
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(UserError) as caught:
        event("--json", str(file), *arguments)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    return message.removeprefix(f"{file}: ")


def entry(**limits: Any) -> dict[str, Any]:
    return {"timestamp": "2026-01-01T00:00:00.000Z", "limits_to_root": limits, "limits_to_leaves": {}}


def test_limits_are_the_operators_unless_a_source_is_named() -> None:
    made = set_by("--power", "22kW", "--for", "10m")
    assert (made.source, made.for_s) == ("operator", 600.0)
    power_W = made.limits.schedule_import[0].limits_to_root.total_power_W
    assert power_W is not None
    assert (power_W.value, power_W.source) == (22e3, "operator")
    assert set_by("--power", "22kW", "--source", "grid").source == "grid"
    assert event("--clear") == ClearLimits(source="operator")
    assert event("--heartbeat", "--source", "grid") == Heartbeat(source="grid")
    assert event("--cancel-delay", "--source", "grid") == CancelDelay(source="grid")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "one of these"),
        (["--clear", "--heartbeat"], "one of these"),
        (["--clear", "--cancel-delay"], "one of these"),
        (["--power", "5kW", "--json", "-"], "one of these"),
        (["--power", "5kW", "--clear"], "one of these"),
        (["--clear", "--for", "5m"], "--for is for limits"),
        (["--heartbeat", "--for", "5m"], "--for is for limits"),
        (["--power", "5kW", "--for", "0s"], "above 0 s"),
        (["--power", "5kW", "--for=-5s"], "above 0 s"),
        (["--power", "5kW", "--for", "9" * 400], "above 0 s"),
        (["--power", "much"], "not a quantity"),
    ],
)
def test_wrong_usage_ends_with_exit_code_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        event(*arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("quantity", ["--power=-5kW", f"--power={'9' * 400}", "--current=-1"])
def test_quantities_that_cannot_be_are_refused(quantity: str) -> None:
    flag = quantity.partition("=")[0]
    with pytest.raises(UserError, match=f"^{flag} must be finite and not negative"):
        event(quantity)


@pytest.mark.parametrize(
    ("uuid", "arguments", "source"),
    [
        ({"uuid": "grid-1"}, [], "grid-1"),
        ({}, [], "operator"),
        ({"uuid": "grid-1"}, ["--source", "solar"], "solar"),
        ({"uuid": "grid-1"}, ["--source", "operator"], "operator"),
        ({}, ["--source", "solar"], "solar"),
    ],
)
def test_a_named_source_goes_before_the_uuid(
    file: Path, uuid: dict[str, str], arguments: list[str], source: str
) -> None:
    side = {"total_power_W": {"value": 22000, "source": "dso"}, "ac_max_current_A": 32}
    file.write_text(json.dumps({**uuid, "limits_root_side": side, "valid_for": 10, "schedule": []}))
    made = set_by("--json", str(file), *arguments)
    assert made.source == source
    limits = made.limits.schedule_import[0].limits_to_root
    assert limits.total_power_W is not None
    assert limits.ac_max_current_A is not None
    assert (limits.total_power_W.value, limits.ac_max_current_A.value) == (22e3, 32.0)
    assert limits.total_power_W.source == limits.ac_max_current_A.source == source


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"limits_root_side": {}}, "limits_root_side: no limit is given; give total_power_W"),
        ({"limits_root_side": {"total_power_W": None}}, "got `null` - at `$.limits_root_side.total_power_W`"),
        ({"limits_root_side": {"total_power_W": {"value": None}}}, "limits_root_side.total_power_W.value"),
        ({"limits_root_side": {"total_power_W": {}}}, "missing required field `value`"),
        ({"limits_root_side": {"total_power_W": "5"}}, "$.limits_root_side.total_power_W"),
        ({"limits_root_side": {"power": 5}}, "unknown field `power`"),
        ({"limits_root_side": [5]}, "$.limits_root_side"),
        ({"limits_root_side": {"total_power_W": -5}}, "must be finite and not negative"),
        ({"limits_root_side": {"setpoint_W": 1, "setpoint_A": 1}}, "not both"),
        ({"limits_root_side": {"total_power_W": 5}, "valid": 5}, "unknown field `valid`"),
        ({"limits_root_side": {"total_power_W": 5}, "uuid": None}, "$.uuid"),
        ({"limits_root_side": {"total_power_W": 5}, "schedule": [{}]}, "the schedule be lost"),
        ({"uuid": "grid"}, "unknown field `uuid`"),
        ([], "Expected `object`, got `array`"),
        (5, "Expected `object`, got `int`"),
        (
            {"schedule_import": [entry(total_power_W="5")]},
            "$.schedule_import[0].limits_to_root.total_power_W",
        ),
        ({"schedule_import": [entry(power=5)]}, "$.schedule_import[0].limits_to_root"),
        (b"", "malformed JSON"),
        (b"{", "malformed JSON"),
        (b"\xff\xfe\xfd", "malformed JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b" " * (limit.MOST_BYTES + 1), "larger than 4194304 bytes"),
    ],
)
def test_json_that_is_no_limits_is_refused_with_file_and_reason(file: Path, content: Any, words: str) -> None:
    assert words in refused(file, content)


def test_a_file_that_cannot_be_read_is_told_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.json: cannot be read: No such file or directory$"):
        event("--json", str(tmp_path / "nowhere.json"))
    with pytest.raises(UserError, match=r"cannot be read: Is a directory$"):
        event("--json", str(tmp_path))


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_json_comes_also_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b'{"uuid": "grid", "limits_root_side": {"ac_max_current_A": 16}}')
    assert set_by("--json", "-").source == "grid"
    stdin(monkeypatch, b"{")
    with pytest.raises(UserError, match=r"^stdin: malformed JSON"):
        event("--json", "-")


def test_every_limit_inside_given_json_names_the_source(file: Path) -> None:
    def number(value: float, source: str) -> dict[str, Any]:
        return {"value": value, "source": source}

    first = entry(
        total_power_W=number(5e3, ""),
        ac_max_current_A=number(32, "ocpp"),
        ac_min_current_A=number(6, "profile 3"),
        ac_max_phase_count=number(3, "ocpp/profile 3"),
        ac_number_of_active_phases=3,
    )
    first["limits_to_leaves"] = {"ac_min_phase_count": number(1, "")}
    setpoint = {"priority": 0, "source": "ems", "total_power_W": 1e3}
    file.write_text(
        json.dumps(
            {
                "schedule_import": [first],
                "schedule_export": [entry(total_power_W=number(1, "dso"))],
                "schedule_setpoints": [
                    {"timestamp": "2026-01-01T00:00:00.000Z", "setpoint": setpoint},
                    {"timestamp": "2026-01-01T01:00:00.000Z"},
                ],
            }
        )
    )
    made = set_by("--json", str(file), "--source", "ocpp").limits
    root, leaves = made.schedule_import[0].limits_to_root, made.schedule_import[0].limits_to_leaves
    numbers = (
        root.total_power_W,
        root.ac_max_current_A,
        root.ac_min_current_A,
        root.ac_max_phase_count,
        leaves.ac_min_phase_count,
        made.schedule_export[0].limits_to_root.total_power_W,
        made.schedule_setpoints[0].setpoint,
    )
    assert [n and n.source for n in numbers] == [
        "ocpp",
        "ocpp",
        "ocpp/profile 3",
        "ocpp/profile 3",
        "ocpp",
        "ocpp/dso",
        "ocpp/ems",
    ]
    assert root.total_power_W is not None
    assert (root.total_power_W.value, root.ac_number_of_active_phases) == (5e3, 3)
    assert made.schedule_setpoints[0].setpoint is not None
    assert made.schedule_setpoints[0].setpoint.total_power_W == 1e3
    assert made.schedule_setpoints[1].setpoint is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--power", "5kW", "--source", "grid"], "root: limits of grid are set until they are cleared\n"),
        (["--power", "5kW", "--for", "90s"], "root: limits of operator are set for 90 s\n"),
        (["--clear"], "root: limits of operator are cleared\n"),
        (["--heartbeat"], "root: operator was heard\n"),
    ],
)
def test_it_says_what_became_of_it(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[tuple[str, SourceEvent]] = []

    class FakeClient:
        def __init__(self, site: str, keys: Path | None) -> None: ...
        def __enter__(self) -> FakeClient:
            return self

        def __exit__(self, *error: object) -> None: ...
        def set_source(self, target: str, event: SourceEvent) -> None:
            sent.append((target, event))

    monkeypatch.setattr(limit, "Client", FakeClient)
    monkeypatch.setattr(limit, "find_site", lambda name: "home")
    parser = argparse.ArgumentParser()
    limit.configure(parser)
    assert limit.run(parser.parse_args(["root", *arguments])) == 0
    assert capsys.readouterr().out == words
    assert len(sent) == 1
