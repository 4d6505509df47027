"""The small sites that are explored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.model.world import Site

HIGH_LOW = ({"a": 16.0, "b": 0.0}, {"a": 0.0, "b": 16.0})
PARENTS = {"a": "root", "b": "root"}

TWO = Site(
    name="two EVSEs",
    parents=PARENTS,
    fuse_A={"root": 16.0},
    fallback_A={"a": 0.0, "b": 0.0},
    wishes=HIGH_LOW,
)
TWO_FALLBACK = replace(
    TWO,
    name="two EVSEs, fallback 6",
    fallback_A={"a": 6.0, "b": 6.0},
    wishes=({"a": 10.0, "b": 6.0}, {"a": 6.0, "b": 10.0}),
)
ROW = Site(
    name="node with one EVSE, one beside",
    parents={"node": "root", "b": "root", "a": "node"},
    fuse_A={"root": 16.0, "node": 16.0},
    fallback_A={"node": 0.0, "a": 0.0, "b": 0.0},
    wishes=HIGH_LOW,
)
FORK = Site(
    name="node with two EVSEs",
    parents={"node": "root", "a": "node", "b": "node"},
    fuse_A={"root": 16.0, "node": 16.0},
    fallback_A={"node": 0.0, "a": 0.0, "b": 0.0},
    wishes=HIGH_LOW,
)
ONE = Site(
    name="one EVSE",
    parents={"a": "root"},
    fuse_A={"root": 16.0},
    fallback_A={"a": 0.0},
    wishes=({"a": 16.0}, {"a": 0.0}),
)
RISE = replace(ONE, name="one EVSE, low at first", wishes=({"a": 0.0}, {"a": 16.0}))
LINE = Site(
    name="node with one EVSE",
    parents={"node": "root", "a": "node"},
    fuse_A={"root": 16.0, "node": 16.0},
    fallback_A={"node": 0.0, "a": 0.0},
    wishes=({"a": 16.0}, {"a": 0.0}),
)
LINE_FALLBACK = replace(
    LINE,
    name="node with one EVSE, fallback 6",
    fallback_A={"node": 6.0, "a": 6.0},
    wishes=({"a": 16.0}, {"a": 6.0}),
)


def but(site: Site, **changes: Any) -> Site:
    """The same with other bounds, which its name tells."""
    told = ", ".join(
        f"{what if value else f'not {what}'}" if isinstance(value, bool) else f"{value} {what}"
        for what, value in changes.items()
        if isinstance(value, int)
    )
    return replace(site, name=f"{site.name}, {told}" if told else site.name, **changes)


SLOW, FAST = 0.9, 1.1
SLOW_CHILD = but(ONE, delays=0, rates={"root": FAST, "a": SLOW, "a.hw": SLOW})

CLOCKS: dict[str, dict[str, float]] = {
    "slow below": {"root": FAST, "node": SLOW, "a": SLOW, "a.hw": SLOW, "b": SLOW, "b.hw": SLOW},
    "fast below": {"root": SLOW, "node": FAST, "a": FAST, "a.hw": FAST, "b": FAST, "b.hw": FAST},
    "slow between": {"root": FAST, "node": SLOW, "a": FAST, "a.hw": SLOW, "b": FAST, "b.hw": SLOW},
    "fast between": {"root": SLOW, "node": FAST, "a": SLOW, "a.hw": FAST, "b": SLOW, "b.hw": FAST},
    "slow hardware": {"a.hw": SLOW, "b.hw": SLOW},
}


def runs() -> list[Site]:
    """What is explored, the smallest first: from quiet sites to such with several faults in a story."""
    result = []
    for site in (ONE, RISE, TWO, TWO_FALLBACK, LINE, LINE_FALLBACK, ROW, FORK):
        result += [but(site, delays=0), but(site, delays=1), but(site, delays=2, flips=2)]
        result += [
            but(site, delays=1, crashes=1, losses=1),
            but(site, delays=1, crashes=2, losses=1, reboots=True),
        ]
        result += [but(site, delays=1, wire=1), but(site, delays=1, wire=1, crashes=1, always_read=False)]
        result += [
            replace(
                but(site, delays=1, crashes=1), name=f"{site.name}, {name}, 1 delays, 1 crashes", rates=rates
            )
            for name, rates in CLOCKS.items()
        ]
    return result
