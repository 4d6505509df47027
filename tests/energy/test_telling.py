"""What is told of a request arrives, whatever becomes of the reports, and hardly anything is told twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from actors.energy.branch import Branch
from actors.energy.telling import STEPS_MAX, WHOLE_EVERY, Telling, kept_where_equal, with_changes
from actors.energy.types import EnergyFlowRequest, EnergyManagerConfig, NodeType
from tests.energy.builders import assert_caught, child, entry, mutated, report, stamp

SITE = EnergyManagerConfig()
NAMES = ("e0", "e1", "e2", "e3")


def evse(name: str, A: float) -> EnergyFlowRequest:
    schedule = (entry(stamp(0.0), A=A),)
    return EnergyFlowRequest(uuid=name, node_type=NodeType.Evse, schedule_import=schedule)


def panel(amps: dict[str, float]) -> EnergyFlowRequest:
    """EVSEs in two groups, so that changes are at several depths."""
    groups = [
        EnergyFlowRequest(
            uuid=group,
            node_type=NodeType.Generic,
            children=tuple(evse(n, amps[n]) for n in names if n in amps),
        )
        for group, names in (("left", NAMES[:2]), ("right", NAMES[2:]))
    ]
    return EnergyFlowRequest(uuid="panel", node_type=NodeType.Generic, children=tuple(groups))


class Wants(Struct, frozen=True):
    """An EVSE wants another current; None: it is no longer there."""

    name: str
    A: float | None


class Tells(Struct, frozen=True):
    pass


class Arrives(Struct, frozen=True):
    """One of the last reports, counted from the newest; it may have come before."""

    back: int


class Grants(Struct, frozen=True):
    """What the parent says that it knows arrives, as in Lease.offer never after something newer."""


class Restarts(Struct, frozen=True):
    """The parent."""


Steps = list[Wants | Tells | Arrives | Grants | Restarts]
STEPS = st.lists(
    st.one_of(
        st.builds(Wants, st.sampled_from(NAMES), st.sampled_from([6.0, 16.0, 32.0, None])),
        st.builds(Wants, st.sampled_from(NAMES), st.sampled_from([6.0, 16.0])),
        st.just(Tells()),
        st.just(Tells()),
        st.builds(Arrives, st.integers(0, 3)),
        st.builds(Arrives, st.just(0)),
        st.just(Grants()),
        st.just(Restarts()),
    ),
    min_size=4,
    max_size=40,
)


class Pair:
    """A child that tells, and its parent."""

    def __init__(self) -> None:
        self.amps: dict[str, float] = dict.fromkeys(NAMES, 16.0)
        self.now_s = 0.0
        self.telling = Telling()
        self.reports: list[Any] = []
        self.asked_at: dict[float, EnergyFlowRequest] = {}
        self.begin()

    def begin(self) -> None:
        self.parent = Branch(
            [child("panel", "left", "right", *NAMES)], SITE, self.now_s, kept_epoch=0, levels=3
        )

    def play(self, step: Any) -> None:
        self.now_s += 0.1
        match step:
            case Wants(name, None):
                self.amps.pop(name, None)
            case Wants(name, A) if A is not None:
                self.amps[name] = A
            case Tells():
                request = panel(self.amps)
                told = self.telling.tell(self.now_s, request, urgent=False)
                self.asked_at[self.now_s] = request
                self.reports.append(
                    report("panel", self.now_s, wants=told.wants, changes=told.changes, since_s=told.since_s)
                )
            case Arrives(back):
                if back < len(self.reports):
                    self.parent.hear(self.now_s, self.reports[-1 - back])
            case Grants():
                self.telling.known(self.knows_s())
            case Restarts():
                self.begin()

    def knows_s(self) -> float | None:
        return self.parent._children["panel"].asked.stamp_s

    def look(self) -> None:
        """What the parent believes is what was asked in the report that it names."""
        if (known_s := self.knows_s()) is not None:
            assert self.parent._children["panel"].asked.request == self.asked_at[known_s]


def arrives(steps: Steps) -> None:
    pair = Pair()
    for step in steps:
        pair.play(step)
        pair.look()
    for step in (Tells(), Arrives(0), Grants(), Tells(), Arrives(0), Grants()):
        pair.play(step)
        pair.look()
    assert pair.parent._children["panel"].asked.request == panel(pair.amps), "in the end it is known"


@given(STEPS)
def test_what_is_wanted_arrives_whatever_becomes_of_the_reports(steps: Steps) -> None:
    arrives(steps)


@pytest.mark.parametrize(
    ("where", "method", "before", "after"),
    [
        (Telling, "_changes", "list(self._steps)[1:]", "()"),
        (Telling, "tell", "and len(self._steps) == 1", ""),
    ],
)
def test_each_broken_rule_is_caught(
    where: Any, method: str, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, method, mutated(getattr(where, method), before, after))
    assert_caught(arrives, STEPS)


def known(amps: dict[str, float] | None = None) -> Pair:
    """A pair of which the parent knows what is wanted."""
    pair = Pair()
    for step in (Tells(), Arrives(0), Grants()):
        pair.play(step)
    return pair


def test_what_is_known_is_not_told_again_but_once_in_a_while() -> None:
    pair = known()
    for _ in range(3 * (WHOLE_EVERY + 1)):
        for step in (Tells(), Arrives(0), Grants()):
            pair.play(step)
    wholes = [told.wants is not None for told in pair.reports]
    assert (wholes[0], sum(wholes)) == (True, 4)
    assert not any(told.changes for told in pair.reports)


def test_only_what_changed_is_told_and_the_rest_stays_the_same_objects() -> None:
    pair = known()
    before = pair.parent._children["panel"].asked.request
    assert before is not None
    for step in (Wants("e3", 6.0), Tells(), Arrives(0)):
        pair.play(step)
    told = pair.reports[-1]
    assert told.wants is None
    assert [node.uuid for node in told.changes] == ["e3"]
    after = pair.parent._children["panel"].asked.request
    assert after is not None
    assert after == panel(pair.amps)
    assert after.children[0] is before.children[0]
    assert after.children[1].children[0] is before.children[1].children[0]


def test_a_change_is_told_until_it_is_known_and_one_back_as_well() -> None:
    pair = known()
    for A in (6.0, 16.0):
        pair.play(Wants("e0", A))
        pair.play(Tells())
    assert [[node.uuid for node in told.changes] for told in pair.reports[1:]] == [["e0"], ["e0"]]
    pair.play(Arrives(0))
    pair.play(Grants())
    pair.play(Tells())
    assert pair.reports[-1].since_s is None
    assert pair.reports[-1].wants is None


def test_a_tree_of_other_nodes_and_a_parent_that_forgot_are_told_all() -> None:
    pair = known()
    pair.play(Wants("e0", None))
    pair.play(Tells())
    assert pair.reports[-1].wants == panel(pair.amps)
    pair = known()
    pair.play(Restarts())
    assert pair.telling.known(pair.knows_s()), "it has forgotten"
    pair.play(Tells())
    assert pair.reports[-1].wants == panel(pair.amps)
    assert not pair.telling.known(None), "it never knew"


def test_a_stamp_that_is_not_remembered_is_not_built_upon() -> None:
    pair = known()
    assert pair.telling.known(0.05)
    pair.play(Tells())
    assert pair.reports[-1].wants == panel(pair.amps)


def test_changes_of_what_is_not_known_are_not_believed() -> None:
    pair = known()
    pair.play(Wants("e0", 6.0))
    for step in (Tells(), Arrives(0), Grants(), Wants("e1", 6.0), Tells()):
        pair.play(step)
    assert pair.reports[-1].since_s == pair.reports[-2].t_child_s
    pair.play(Restarts())
    pair.play(Arrives(2))  # an old one comes late, then changes of a newer one
    pair.play(Arrives(0))
    assert pair.parent._children["panel"].asked.request == pair.asked_at[pair.reports[0].t_child_s]


def test_while_nothing_is_granted_all_is_told() -> None:
    pair = known()
    pair.telling.forget()
    pair.play(Tells())
    assert pair.reports[-1].wants == panel(pair.amps)


def test_memory_has_a_bound() -> None:
    pair = known()
    for step in range(3 * STEPS_MAX):
        pair.play(Wants("e0", float(step)))
        pair.play(Tells())
    assert len(pair.telling._steps) == STEPS_MAX


def test_what_is_told_whole_keeps_the_objects_of_what_is_equal() -> None:
    before = panel(dict.fromkeys(NAMES, 16.0))
    after = kept_where_equal(before, panel({**dict.fromkeys(NAMES, 16.0), "e0": 6.0}))
    assert after.children[1] is before.children[1]
    assert after.children[0].children[1] is before.children[0].children[1]
    assert kept_where_equal(before, panel(dict.fromkeys(NAMES, 16.0))) is before
    fewer = panel(dict.fromkeys(NAMES[:3], 16.0))
    assert kept_where_equal(before, fewer) == fewer
    assert with_changes(before, ()) is before
    assert with_changes(before, (evse("stranger", 6.0),)) is before
