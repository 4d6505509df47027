"""A site whose EVSEs are OCPP chargers: real processes, real websockets, chargers with clocks of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import ROOT, RunningSite, free_ports
from tests.integration.simulated_chargers import Bench, Charger

FUSE_A = 32.0
LEASE_S = 10.0
SETTLE_TIME_S = 2
NAMES = ("cp1", "cp2", "cp3", "DE-4711-B")
Begin = Callable[..., RunningSite]


def site_of(port: int, folder: Path) -> dict[str, Any]:
    """The example, with passwords, and limits that last 10 s."""
    data: dict[str, Any] = yaml.safe_load((ROOT / "configs" / "ocpp_chargers.yaml").read_text())
    (folder / "passwords").write_text("".join(f"{name} secret-of-{name}\n" for name in NAMES))
    modules = data["active_modules"]
    modules["energy_root"]["config"]["update_interval"] = 1
    modules["chargers"]["config"] = {
        "host": "127.0.0.1",
        "port": port,
        "passwords_file": "passwords",
        "min_lease_s": int(LEASE_S),
        "call_timeout_s": 2,
        "meter_interval_s": 1,
    }
    for name in ("cp1", "cp2", "cp3", "cp4"):
        modules[name]["config"]["settle_time_s"] = SETTLE_TIME_S
    return data


@contextmanager
def bench_at(port: int) -> Iterator[Bench]:
    url = f"ws://127.0.0.1:{port}/ocpp"
    chargers = [
        Charger(name, version, url, f"secret-of-{name}", wrong_by_s)
        for name, version, wrong_by_s in zip(
            NAMES, ("1.6", "2.0.1", "1.6", "2.0.1"), (0.0, 0.0, -3600.0, -30.0), strict=True
        )
    ]
    bench = Bench(chargers, FUSE_A)
    try:
        yield bench
    finally:
        bench.end()


@pytest.mark.long
def test_chargers_share_a_fuse_whatever_they_do(begin: Begin, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with bench_at(port) as bench:
        one, two, three, four = bench.chargers
        site = begin.data(site_of(port, tmp_path), "ocpp")  # type: ignore[attr-defined]
        bench.until("what others left is taken away", lambda: all(c.is_cleared for c in bench.chargers))
        one.plugged = two.plugged = three.plugged = True
        bench.until("three cars share", lambda: bench.share() == [11.0, 10.5, 10.5, 0.0])

        three.ignore_from_now()
        four.plugged = True
        bench.until("others make room", lambda: bench.share()[:2] == [8.0, 8.0])
        bench.until("it is found out", lambda: "ignores its limit" in site.modules()["cp3"].note)
        assert bench.share() == [8.0, 8.0, 10.5, 0.0], "what it takes is not given to another"
        three.obey_again()
        bench.until("four cars share", lambda: bench.share() == [8.0, 8.0, 8.0, 8.0])

        one.refuses = True
        two.cut()
        cut_s = time.monotonic()
        bench.until("their limits run out", lambda: bench.share()[:2] == [0.0, 0.0])
        assert max(bench.changed_s[:2]) <= cut_s + LEASE_S + 2.0
        bench.until("what two is not there for is others", lambda: bench.share()[2:] == [10.5, 10.5])
        one.refuses = two.offline = False
        bench.until("they are back", lambda: bench.share() == [8.0, 8.0, 8.0, 8.0])
        assert bench.samples > 100


@pytest.mark.long
def test_chargers_outlive_their_controller(begin: Begin, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with bench_at(port) as bench:
        site = begin.data(site_of(port, tmp_path), "ocpp")  # type: ignore[attr-defined]
        bench.until("what others left is taken away", lambda: all(c.is_cleared for c in bench.chargers))
        for charger in bench.chargers:
            charger.plugged = True
        bench.until("four cars share", lambda: bench.share() == [8.0, 8.0, 8.0, 8.0])
        site.kill("garage_node")
        site.restart("garage_node")
        told = [len(charger.told) for charger in bench.chargers]
        bench.until(
            "all are told anew",
            lambda: all(len(charger.told) > n for charger, n in zip(bench.chargers, told, strict=True)),
        )
        bench.until("four cars share again", lambda: bench.share() == [8.0, 8.0, 8.0, 8.0])
        site.kill("garage_node")
        killed_s = time.monotonic()
        site.kill("energy_root")
        bench.until("all fall to their default", lambda: bench.share() == [0.0] * 4)
        assert max(bench.changed_s) <= killed_s + LEASE_S + 2.0
        assert bench.most_A <= FUSE_A
