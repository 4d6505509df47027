"""How long a changed limit at the root takes until it is in force at the hardware of the last EVSE.

An operator's client sets the limit, at any moment of the interval; the plant stamps each EVSE's new limit.
A decrease and an increase in turn, each after the one before has long come to rest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from random import Random

from msgspec import Struct

from actors import clock
from actors.energy.external import SetLimits, ShortLimits, short_form
from tools.bench.rows import Chooses, Row, all_of_them
from tools.bench.running import TOLERANCE_A, Change, RunningSite, running
from tools.bench.runs import percentile
from tools.bench.sites import HIGH_A, LOW_A, ROOT, SOURCE, Size
from tools.errors import UserError

BENCH = "end-to-end"
SIZES = tuple(Size(evses=1_000, controllers=n) for n in (10, 1, 4, 20))
QUICK_SIZES = (Size(evses=100, controllers=4),)
PAIRS, QUICK_PAIRS = 50, 5
"""Decreases, each followed by an increase."""
REST_S = (1.5, 2.5)
"""Between two changes: evenly drawn from these, so that they come at any moment of an interval."""
FLUSH_S = 2.5
"""Until the plant's record is on the disk."""
REACHES = {"1000 on 10": {"decrease_p50_ms": 100.0, "decrease_p99_ms": 250.0}}


class Trial(Struct, frozen=True, kw_only=True):
    """A limit was set."""

    at_s: float
    """When the client began to say so."""
    each_A: float
    """The share of each EVSE."""


def measure_end_to_end(*, quick: bool = False, only: Chooses = all_of_them) -> Iterator[Row]:
    """p50 and p99 of each size. Raises UserError when a limit did not come into force."""
    for size in filter(lambda size: only(size.name), QUICK_SIZES if quick else SIZES):
        with running(size) as site:
            site.last_change_s(HIGH_A)
            trials = _change_limits(site, QUICK_PAIRS if quick else PAIRS)
            time.sleep(FLUSH_S)
            delays_s = delays(trials, list(site.changes()), size.evses)
        figures = {}
        for what, each_A in (("decrease", LOW_A), ("increase", HIGH_A)):
            of_these_ms = [d * 1e3 for d, t in zip(delays_s, trials, strict=True) if t.each_A == each_A]
            for percent in (50, 99):
                figures[f"{what}_p{percent}_ms"] = percentile(of_these_ms, percent)
        reach = REACHES.get(size.name, {})
        yield Row(bench=BENCH, name=size.name, what=size.what, figures=figures, reach=reach)


def _change_limits(site: RunningSite, pairs: int) -> list[Trial]:
    random = Random(1)
    trials = []
    for each_A in (LOW_A, HIGH_A) * pairs:
        limits = short_form(ShortLimits(ac_max_current_A=each_A * site.size.evses), SOURCE)
        trials.append(Trial(at_s=clock.steady_s(), each_A=each_A))
        site.client.set_source(ROOT, SetLimits(source=SOURCE, limits=limits))
        time.sleep(random.uniform(*REST_S))
    return trials


def delays(trials: Sequence[Trial], changes: Sequence[Change], evses: int) -> list[float]:
    """Seconds from each trial to when the last EVSE had its limit. Raises UserError where one never had."""
    found = []
    for trial, following in zip(trials, (*trials[1:], None), strict=True):
        until_s = float("inf") if following is None else following.at_s
        at_s: dict[str, float] = {}
        for change in changes:
            if trial.at_s <= change.at_s < until_s and abs(change.limit_A - trial.each_A) < TOLERANCE_A:
                at_s.setdefault(change.evse, change.at_s)
        if len(at_s) < evses:
            text = f"{evses - len(at_s)} of {evses} EVSEs did not come to {trial.each_A:g} A in time"
            raise UserError(f"{text}: is the machine busy with something else?")
        found.append(max(at_s.values()) - trial.at_s)
    return found
