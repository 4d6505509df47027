"""`amptree allocate`: objects in, one line of JSON each out, whatever the input looks like."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.energy.market.building import LATER, NOW, changing_site, entry, evse, node
from tests.energy.market.test_peer_cases import CASES
from tools import allocate
from tools.errors import UserError

REQUEST: dict[str, Any] = msgspec.to_builtins(node("root", evse("a"), evse("b"), imports={"A": 20.0}))
CASE: dict[str, Any] = {"id": "one", "config": {}, "steps": [{"start_time": NOW, "request": REQUEST}]}
EVEREST: dict[str, Any] = {
    "description": "two steps", "config": {"broker_strategy": "FastCharging"}, "request": REQUEST,
    "start_times": [NOW, "2025-06-07T20:30:00Z"], "expected_results": [[]],
}  # fmt: skip


def answers(
    text: str | bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *more: str
) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, decoded lines, stderr."""
    parser = argparse.ArgumentParser()
    allocate.configure(parser)
    data = text.encode() if isinstance(text, str) else text
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    code = allocate.run(parser.parse_args(list(more)))
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def with_change(**changed: Any) -> dict[str, Any]:
    return {**CASE, **changed}


def currents(answer: dict[str, Any], step: int = 0) -> list[float]:
    return [each["limits_root_side"]["ac_max_current_A"]["value"] for each in answer["results"][step]]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(CASE),
        json.dumps(CASE, indent=2),
        json.dumps([CASE]),
        json.dumps([CASE], indent=4),
        f"\n\n  {json.dumps(CASE)}\n\n",
        "\ufeff" + json.dumps(CASE),
        json.dumps(CASE).replace(": ", ":\n"),
    ],
)
def test_one_document_is_read_however_it_is_written(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, lines, err = answers(text, capsys, monkeypatch)
    assert (code, err) == (0, "")
    assert [line["id"] for line in lines] == ["one"]
    assert currents(lines[0]) == [10.0, 10.0]
    first = lines[0]["results"][0][0]
    assert first["uuid"] == "a"
    assert first["valid_for"] == 10
    assert first["schedule"][0]["timestamp"] == NOW


def test_a_forecast_of_many_slots_is_written_as_entries(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [{"start_time": NOW, "request": msgspec.to_builtins(changing_site())}]
    _, [line], _ = answers(json.dumps(with_change(steps=steps)), capsys, monkeypatch)
    own, shared = {"value": 8.0, "source": "car/A"}, {"value": 20.0, "source": "root/A"}
    phases = {"value": 3, "source": "car/phases"}
    assert line["results"][0][0]["schedule"] == [
        {"timestamp": at, "limits_to_root": {"ac_max_current_A": current, "ac_max_phase_count": phases}}
        for at, current in ((NOW, own), (LATER, shared))
    ]


def test_every_line_of_json_lines_gets_its_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\n".join(["", json.dumps(CASE), "", json.dumps({**EVEREST, "id": 7}), json.dumps(EVEREST), ""])
    code, lines, _ = answers(text, capsys, monkeypatch, "-")
    assert code == 0
    assert [line["id"] for line in lines] == ["one", 7, None]
    assert [len(line["results"]) for line in lines] == [1, 2, 2]


def test_a_missing_config_means_the_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = {key: value for key, value in CASE.items() if key != "config"}
    assert answers(json.dumps(case), capsys, monkeypatch)[1][0]["results"]


BAD_ENTRY = msgspec.to_builtins(evse("b", imports=(entry("x", A=-1.0),)))
NAN = json.dumps(CASE).replace('"value": 20.0', '"value": NaN')


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{oops", ""),
        ('{"id": "one", "steps": [', ""),
        ("[" * 100_000, ""),
        ("7", ""),
        (b"\xff\xfe{}", ""),
        (json.dumps({"id": "one"}), "steps"),
        (json.dumps(with_change(steps={})), "steps"),
        (json.dumps(with_change(steps=[7])), "steps[0]"),
        (json.dumps(with_change(steps=[{"request": REQUEST}])), "steps[0].start_time"),
        (json.dumps(with_change(steps=[{"start_time": NOW}])), "steps[0].request"),
        (json.dumps(with_change(steps=[{"start_time": "now", "request": REQUEST}])), "steps[0].start_time"),
        (json.dumps(with_change(steps=[{"start_time": NOW, "request": []}])), "steps[0].request"),
        (
            json.dumps(with_change(steps=[*CASE["steps"], {"start_time": NOW, "request": {**REQUEST, "children": [BAD_ENTRY]}}])),
            "steps[1].request.children[0].schedule_import[0].limits_to_root.ac_max_current_A.value",
        ),
        (json.dumps(with_change(steps=[{"start_time": "9999-12-31T23:59:59Z", "request": REQUEST}])), "steps[0].start_time"),
        (json.dumps({**EVEREST, "start_times": [NOW, "9999-12-31T23:59:59Z"]}), "start_times[1]"),
        (json.dumps(with_change(config={"slice_ampere": 0})), "config.slice_ampere"),
        (json.dumps(with_change(config={"slice": 1})), "config.slice"),
        (json.dumps(with_change(config=[])), "config"),
        (json.dumps(with_change(config={"schedule_total_duration": 10**8})), "config.schedule_total_duration"),
        (NAN, "steps[0].request.schedule_import[0].limits_to_root.ac_max_current_A.value"),
        (json.dumps({**EVEREST, "start_times": ["x"]}), "start_times[0]"),
        (json.dumps({**EVEREST, "start_times": None}), "start_times"),
        (json.dumps({"request": REQUEST}), "start_times"),
        (json.dumps({**EVEREST, "request": {**REQUEST, "node_type": 1}}), "request.node_type"),
    ],
)  # fmt: skip
def test_bad_input_is_answered_in_its_place_and_the_rest_is_done(
    text: str | bytes, path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = text.encode() if isinstance(text, str) else text
    good = json.dumps({**CASE, "id": "after"}).encode()
    code, lines, _ = answers(data + b"\n" + good + b"\n", capsys, monkeypatch)
    assert code == 1
    if data.startswith(b"[["):  # an array that never ends takes all that follows with it
        assert [set(line) for line in lines] == [{"id", "error", "path"}]
        return
    assert [("error" in line, line["id"]) for line in lines[1:]] == [(False, "after")]
    assert lines[0]["path"] == path
    assert lines[0]["error"]
    assert set(lines[0]) == {"id", "error", "path"}


def test_explain_tells_on_stderr_who_got_what_and_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, lines, err = answers(json.dumps(CASE), capsys, monkeypatch, "--explain")
    assert code == 0
    assert len(lines) == 1
    assert "one step 0" in err
    assert "a imports 10 A on 3 phases" in err
    assert "bound by: root/A" in err


def test_files_are_read_also_gzipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, zipped = tmp_path / "case.json", tmp_path / "case.jsonl.gz"
    plain.write_text(json.dumps(CASE, indent=1))
    zipped.write_bytes(gzip.compress(json.dumps(CASE).encode()))
    for file in (plain, zipped):
        assert answers("", capsys, monkeypatch, str(file))[1][0]["id"] == "one"


@pytest.mark.parametrize("name", ["missing.json", "missing.json.gz", "", "broken.gz"])
def test_a_file_that_cannot_be_read_is_one_clear_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.gz").write_bytes(b"not gzip")
    with pytest.raises(UserError, match="cannot read") as error:
        answers("", capsys, monkeypatch, str(tmp_path / name))
    assert "\n" not in str(error.value)


def test_the_command_answers_a_peer_case_line_by_line() -> None:
    with gzip.open(CASES, "rb") as lines:
        first = next(iter(lines))
    command = [sys.executable, "-m", "tools.main", "allocate"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):  # the answer comes before the next line is written
            process.stdin.write(first)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == json.loads(first)["id"]
        process.stdin.close()
        assert process.wait(timeout=30) == 0
