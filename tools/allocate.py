"""`amptree allocate`: the market on requests from a file or stdin, one line of JSON each.

    {"id", "config", "steps": [{"start_time", "request"}]}       one memory over all steps
    {"config", "request", "start_times"}                         EVerest's tests: one request

give `{"id", "results": [[EnforcedLimits, …] of each step]}`, or `{"id", "error", "path"}` where
something was wrong; the path leads from the object to the fault.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple, cast

import msgspec

from actors.energy import timestamps
from actors.energy.forecasts import unpacked
from actors.energy.market import Memory, RequestError, allocate
from actors.energy.market.decoding import config_from, request_from
from actors.energy.types import EnergyFlowRequest, EnergyManagerConfig, EnforcedLimits
from actors.json_text import Malformed
from tools.documents import MOST_BYTES, documents
from tools.errors import UserError


class Step(NamedTuple):
    """One run of the market, and where its request stands in the object."""

    start_us: int
    request: EnergyFlowRequest
    path: str
    start_path: str


class Case(NamedTuple):
    """Runs that share one memory."""

    config: EnergyManagerConfig
    steps: list[Step]


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help="JSON or JSON Lines, also gzipped (.gz); - is stdin",
    )
    parser.add_argument("--explain", action="store_true", help="say on stderr who got what, and why")


def run(options: argparse.Namespace) -> int:
    """Print one line of JSON for each object; 1 when any was at fault."""
    faulty = False
    with _opened(options.file) as stream:
        for document in documents(_lines(stream, options.file)):
            answer = _answer(document, explain=options.explain)
            faulty = faulty or "error" in answer
            _print(msgspec.json.encode(answer))
    return 1 if faulty else 0


def _answer(document: Any, *, explain: bool) -> dict[str, Any]:
    name = document.get("id") if isinstance(document, dict) else None
    try:
        return {"id": name, "results": _results(_case_of(document), str(name), explain=explain)}
    except RequestError as error:
        return {"id": name, "error": error.message, "path": error.path}


def _results(case: Case, name: str, *, explain: bool) -> list[list[EnforcedLimits]]:
    results, memory = [], Memory()
    for number, step in enumerate(case.steps):
        try:
            allocation, memory = allocate(step.request, case.config, step.start_us, memory, trace=explain)
        except RequestError as error:
            raise _seen_from_object(error, step) from None
        for event in allocation.trace:
            print(f"{name} step {number} {event.line()}", file=sys.stderr)
        results.append([unpacked(limits) for limits in allocation])
    return results


def _seen_from_object(error: RequestError, step: Step) -> RequestError:
    """The market's fault with its path from the object that the request stands in."""
    if error.path.startswith("config."):
        return error
    if error.path == "start_time":
        return RequestError(step.start_path, error.message)
    return error.below(step.path)


def _case_of(document: Any) -> Case:
    """The runs that an object asks for; RequestError with the path from the object."""
    if isinstance(document, Malformed):
        raise RequestError("", document.reason)
    if not isinstance(document, dict):
        raise RequestError("", "must be a JSON object")
    try:
        config = config_from(document.get("config", {}))
    except RequestError as error:
        raise error.below("config") from None
    if "steps" in document:
        steps = [
            Step(
                _instant(step, "start_time", path),
                _request(step, path),
                f"{path}.request",
                f"{path}.start_time",
            )
            for path, step in _items(document, "steps")
        ]
    elif "request" in document:
        request = _request(document, "")
        times = dict(_items(document, "start_times"))
        steps = [Step(_instant(times, path, ""), request, "request", path) for path in times]
    else:
        raise RequestError("steps", "is missing")
    return Case(config, steps)


def _items(document: dict[str, Any], key: str) -> list[tuple[str, Any]]:
    """The elements of a list, each with its path."""
    values = _value(document, key, "")
    if not isinstance(values, list):
        raise RequestError(key, "must be a list")
    return [(f"{key}[{i}]", value) for i, value in enumerate(values)]


def _value(holder: Any, key: str, path: str) -> Any:
    if not isinstance(holder, dict):
        raise RequestError(path, "must be a JSON object")
    if key not in holder:
        raise RequestError(f"{path}.{key}" if path else key, "is missing")
    return holder[key]


def _instant(holder: Any, key: str, path: str) -> int:
    text = _value(holder, key, path)
    try:
        if not isinstance(text, str):
            raise ValueError(f"not an RFC 3339 timestamp: {text!r}")
        return timestamps.parse(text)
    except ValueError as error:
        raise RequestError(f"{path}.{key}" if path else key, str(error)) from None


def _request(holder: Any, path: str) -> EnergyFlowRequest:
    data = _value(holder, "request", path)
    try:
        return request_from(data)
    except RequestError as error:
        raise error.below(f"{path}.request" if path else "request") from None


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    opener = gzip.open if name.endswith(".gz") else open
    try:
        stream = opener(name, "rb")
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror or error}") from None
    with stream:
        yield cast(BinaryIO, stream)


def _lines(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """Lines as they come; one that is longer than any document may be comes in pieces."""
    try:
        while line := stream.readline(MOST_BYTES):
            yield line
    except (OSError, EOFError) as error:  # a directory, a broken gzip file
        raise UserError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None


def _print(line: bytes) -> None:
    """Flushed, so that whoever waits for the answer has it."""
    sys.stdout.write(line.decode() + "\n")
    sys.stdout.flush()
