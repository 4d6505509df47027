"""A soak: `python -m deploy.bench.soak --minutes 20` runs a large site and watches that nothing grows.

It writes a site of so many EVSEs in panels, with cars that come and go, runs `amptree up` on it, and
each few seconds notes the memory of every process and how full its queues are. After a warm-up memory must
not grow by more than 5 %, and no queue may reach its bound. Verdict and numbers go to stdout, as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from actors.rundir import RunDir
from actors.wiring import Load
from tools.client import Client
from tools.errors import UserError
from tools.processes import end_or_kill, stop_on_signals

ROOT = Path(__file__).parents[2]
SITE = "soak"
PANEL_EVSES = 40
SAMPLE_EVERY_S = 5.0
START_TIMEOUT_S = 180.0
END_TIMEOUT_S = 30.0
GROWTH_MAX = 0.05
WINDOW = 0.1
"""Of the time after the warm-up: memory at its begin and at its end is the median of so much of it."""
WARM_UP = 0.25
"""Of the whole time."""
LARGEST_FALLBACK_A = 1.0


class Sample(Struct, frozen=True, kw_only=True):
    """One look at everything."""

    t_s: float
    rss_B: dict[str, int]
    """Of each process."""
    loads: dict[str, Load]


def site_data(evses: int, interval_s: int) -> dict[str, Any]:
    """A root and panels of up to PANEL_EVSES; fuses for less than half of what all want."""
    modules: dict[str, Any] = {}
    panels = [f"panel_{n}" for n in range(1, -(-evses // PANEL_EVSES) + 1)]
    modules["energy_root"] = {
        "module": "EnergyManager",
        "config": {"update_interval": interval_s},
        "connections": {"energy_trunk": panels},
        "external_limits": {"grid": {"limit": {"ac_max_current_A": 10 * evses}}},
    }
    for n in range(evses):
        panel = panels[n // PANEL_EVSES]
        node = modules.setdefault(
            panel,
            {
                "module": "EnergyNode",
                "config": {"fuse_limit_A": 13 * PANEL_EVSES},
                "connections": {"energy_trunk": []},
            },
        )
        evse = f"evse_{n + 1}"
        node["connections"]["energy_trunk"].append(evse)
        modules[evse] = {
            "module": "EvseManager",
            "config": {"connector_id": n + 1, "fallback_limit_A": LARGEST_FALLBACK_A},
        }
    arrivals = {"gap_s": 45, "stay_s": 180, "first_within_s": 60}
    return {"site": SITE, "plant": {"seed": 1, "arrivals": arrivals}, "active_modules": modules}


def memory_B(pid: int) -> int:
    """What a process holds of its own: pages that files back and others share are left out."""
    text = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(text[1]) - int(text[2])) * os.sysconf("SC_PAGE_SIZE")


def look(client: Client, begin_s: float) -> Sample:
    """Every process and every queue."""
    rss_B = {}
    for name, facts in RunDir(SITE).holders().items():
        try:
            rss_B[name] = memory_B(int(facts["pid"]))
        except (OSError, KeyError, IndexError):
            continue
    return Sample(t_s=time.monotonic() - begin_s, rss_B=rss_B, loads=client.loads())


def growth(samples: list[Sample], name: str, warm_s: float) -> float:
    """By how much a process has grown since the warm-up, as a part."""
    after = [sample.rss_B[name] for sample in samples if sample.t_s >= warm_s and name in sample.rss_B]
    if not after:
        return float("nan")
    count = max(1, int(len(after) * WINDOW))
    return statistics.median(after[-count:]) / statistics.median(after[:count]) - 1.0


def verdict(samples: list[Sample], minutes: float) -> dict[str, Any]:
    """What the samples show."""
    warm_s = minutes * 60.0 * WARM_UP
    names = sorted(samples[0].rss_B)
    grown = {name: growth(samples, name, warm_s) for name in names}
    faults = [f"{name} has ended" for name in names if name not in samples[-1].rss_B]
    faults += [f"{name} grew by {part:.1%}" for name, part in grown.items() if not part <= GROWTH_MAX]
    faults += _full(samples[0].loads, samples[-1].loads)
    total = growth([_total(sample) for sample in samples], "all", warm_s)
    last = samples[-1].loads
    return {
        "ok": not faults,
        "faults": faults,
        "minutes": round(samples[-1].t_s / 60.0, 1),
        "warm_up_minutes": round(warm_s / 60.0, 1),
        "samples": len(samples),
        "growth": {name: round(part, 4) for name, part in grown.items()} | {"all": round(total, 4)},
        "memory_MiB": {name: round(size_B / 2**20, 1) for name, size_B in samples[-1].rss_B.items()},
        "inbox_most": {name: f"{load.inbox_most} of {load.inbox_max}" for name, load in last.items()},
        "outbox_most": {name: f"{load.outbox_most} of {load.outbox_max}" for name, load in last.items()},
        "dropped": {name: load.dropped for name, load in last.items() if load.dropped},
        "machine": f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _total(sample: Sample) -> Sample:
    return Sample(t_s=sample.t_s, rss_B={"all": sum(sample.rss_B.values())}, loads={})


def _full(first: Mapping[str, Load], last: Mapping[str, Load]) -> Iterator[str]:
    """Queues that reached their bound. Before the first sample actors were not there yet."""
    for name, load in last.items():
        before = first.get(name, load)
        if (refused := load.inbox_refused - before.inbox_refused) or load.inbox_most >= load.inbox_max:
            yield f"{name}: an inbox had {load.inbox_most} messages, {refused} were refused"
        if load.outbox_most >= load.outbox_max or load.dropped.get("full"):
            yield f"{name}: an outbox had {load.outbox_most}, {load.dropped.get('full', 0)} were refused"


@contextmanager
def running(folder: Path, data: Mapping[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """The site under `amptree up`; ended whatever happens."""
    file = folder / f"{SITE}.yaml"
    file.write_text(yaml.safe_dump(dict(data), sort_keys=False))
    command = [sys.executable, "-m", "tools.main", "up", str(file), "--no-screen"]
    with open(folder / "up.log", "wb") as log:
        up = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, start_new_session=True
        )
    try:
        yield up
    finally:
        end_or_kill(up, END_TIMEOUT_S)


def soak(evses: int, minutes: float, interval_s: int) -> dict[str, Any]:
    """Run it; returns the verdict. Raises UserError when the site does not begin or ends."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amp-")))
        os.environ["AMPTREE_RUN_DIR"] = str(folder)
        stop = stack.enter_context(stop_on_signals())
        up = stack.enter_context(running(folder, site_data(evses, interval_s)))
        client = stack.enter_context(Client(SITE))
        begin_s = time.monotonic()
        while not _complete(client, evses):
            if stop.wait(1.0) or up.poll() is not None or time.monotonic() > begin_s + START_TIMEOUT_S:
                raise UserError(f"the site is not at work: {(folder / 'up.log').read_text()[-500:]}")
        begin_s = time.monotonic()
        samples: list[Sample] = []
        while time.monotonic() < begin_s + minutes * 60.0 and not stop.wait(SAMPLE_EVERY_S):
            if up.poll() is not None:
                raise UserError(f"the site has ended: {(folder / 'up.log').read_text()[-500:]}")
            samples.append(look(client, begin_s))
            _tell(samples[-1])
        if not samples:
            raise UserError("ended before the first sample")
        return verdict(samples, minutes)


def _complete(client: Client, evses: int) -> bool:
    try:
        status = client.status()
    except UserError:
        return False
    return len(status.modules) > evses and all(module.alive for module in status.modules)


def _tell(sample: Sample) -> None:
    memory = " ".join(f"{name} {size_B / 2**20:.1f}" for name, size_B in sample.rss_B.items())
    waiting = max((load.outbox_waiting for load in sample.loads.values()), default=0)
    most = max((load.inbox_most for load in sample.loads.values()), default=0)
    print(
        f"{sample.t_s:6.0f} s  MiB: {memory}  inbox at most {most}, outbox {waiting}",
        file=sys.stderr,
        flush=True,
    )


def main() -> int:
    """0: nothing grew and nothing was full."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.bench.soak", description="Watch that nothing grows."
    )
    parser.add_argument("--evses", type=int, default=200, help="%(default)s by default")
    parser.add_argument("--minutes", type=float, default=20.0, help="%(default)s by default")
    parser.add_argument("--interval", type=int, default=2, help="update_interval, s; %(default)s by default")
    options = parser.parse_args()
    try:
        found = soak(options.evses, options.minutes, options.interval)
    except UserError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found, indent=2))
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
