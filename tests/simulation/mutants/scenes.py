"""A small story for each rule of the protocol: it ends well, unless that rule is broken."""

from __future__ import annotations

from collections.abc import Callable

from actors.energy.actuator import Actuator
from actors.energy.amount import UNLIMITED, Amount
from actors.energy.lease import Lease
from actors.energy.ledger import Ledger
from actors.energy.messages import Actuate, Grant, Order, Report
from actors.plant.watchdog import Watchdog
from actors.simulation.plan import Car
from tests.energy.builders import actuates, at, enforced, evse, grant, reading
from tests.energy.family import LONGEST_S, SETTLE_S, Family, ampere
from tests.simulation.mutants import meter_scenes
from tests.simulation.mutants.stage import DEEP, TWO, Stage

Scene = Callable[[], None]
SCENES: dict[str, Scene] = {}
"""By the name of the break that each shows."""
FAST, SLOW = 1.1, 0.9


def shows(*names: str) -> Callable[[Scene], Scene]:
    """Put a scene down for these breaks."""

    def note(scene: Scene) -> Scene:
        assert not SCENES.keys() & set(names)
        SCENES.update(dict.fromkeys(names, scene))
        return scene

    return note


# --- raising ---------------------------------------------------------------------------------------


@shows("raise without room", "raise without room, unchecked", "room is what was sent last")
def a_decrease_that_is_only_sent_frees_nothing() -> None:
    family = Family()
    family.charging("a", 32.0)
    for _ in range(2):
        assert family.give(a=16.0, b=16.0) == {"a": 16.0, "b": 0.0}


@shows("raising judged by the exposure")
def what_a_child_was_lowered_from_is_promised_to_another_and_not_given_back() -> None:
    family = Family()
    family.charging("a", 32.0)
    family.give(a=16.0)
    family.now_s += 1.0
    family.tell("a", acked=family.orders["a"], holds_A=16.0, flows_A=32.0)
    family.give(a=16.0)
    family.now_s += 15.0
    family.tell("a", acked=family.orders["a"], holds_A=16.0, flows_A=16.0)
    family.tell("b", flows_A=0.0)
    assert family.give(a=16.0, b=16.0) == {"a": 16.0, "b": 16.0}
    family.now_s += 0.1
    family.tell("a", acked=Order(1, 3), holds_A=16.0, flows_A=32.0)  # it was under way for long
    assert family.give(a=32.0, b=16.0)["a"] == 16.0, "the other may draw the rest"


@shows("renewing ignores the capacity")
def a_capacity_that_drops_lowers_at_once() -> None:
    family = Family()
    family.charging("a", 32.0)
    assert family.give(a=32.0, b=10.0, capacity_A=16.0) == {"a": 16.0, "b": 0.0}


@shows("unknown children do not bar raises")
def nobody_is_raised_while_it_is_not_known_what_another_holds() -> None:
    family = Family(kept_epoch=1)
    fences = {name: family.fence() for name in ("a", "b")}
    family.tell("a", acked=fences["a"], holds_A=20.0, flows_A=20.0)
    assert family.give(a=32.0) == {"a": 20.0}


@shows("fallback not reserved")
def a_fallback_is_never_promised_to_another() -> None:
    family = Family(fallbacks_A={"a": 0.0, "b": 6.0})
    family.tell("a")
    family.tell("b")
    assert family.give(a=32.0) == {"a": 26.0}


# --- what counts -----------------------------------------------------------------------------------


@shows("committed ignored")
def what_still_flows_counts() -> None:
    family = Family()
    family.charging("a", 32.0)
    family.give(a=16.0)
    family.now_s += 0.1
    family.tell("a", acked=family.orders["a"], holds_A=16.0, flows_A=32.0)
    assert family.give(a=16.0, b=16.0) == {"a": 16.0, "b": 0.0}


@shows("only the newest grant counts")
def a_grant_that_was_not_taken_yet_strikes_out_nothing() -> None:
    family = Family()
    family.tell("a")
    family.tell("b")
    for A in (32.0, 9.0):
        family.give(a=A)
    assert family.give(a=9.0, b=23.0) == {"a": 9.0, "b": 0.0}


@shows("a silent child is forgotten")
def a_child_that_fell_silent_may_still_draw() -> None:
    family = Family()
    family.charging("a", 32.0)
    family.now_s += 14.0
    family.tell("b", flows_A=0.0)
    assert family.give(b=32.0) == {"b": 0.0}


@shows("struck out without committed", "what a former life told is dropped", "a new life owes nothing")
def an_evse_that_crashes_after_a_decrease_and_does_not_know_what_flows() -> None:
    family = Family()
    family.charging("a", 32.0)
    family.give(a=0.0)
    family.now_s += 0.1
    family.tell("a", acked=family.orders["a"], flows_A=32.0)
    family.now_s += 1.0
    family.tell("a", boot="second")
    family.tell("b", flows_A=0.0)
    assert family.give(a=0.0, b=32.0) == {"a": 0.0, "b": 0.0}
    family.now_s += 1.0
    family.tell("a", boot="second", acked=family.orders["a"], flows_A=None)
    assert family.give(b=32.0) == {"b": 0.0}


@shows("older reports count")
def a_report_that_was_overtaken_is_not_believed() -> None:
    family = Family()
    family.charging("a", 32.0)
    family.give(a=0.0)
    family.now_s += 1.0
    family.tell("b", flows_A=0.0)
    family.tell("a", 2.0, acked=family.orders["a"], flows_A=32.0)
    family.tell("a", 0.5, acked=Order(1, 1), flows_A=0.0)
    assert family.give(b=32.0) == {"b": 0.0}


@shows("dead lives are believed")
def a_late_report_of_a_dead_life_changes_nothing() -> None:
    family = Family()
    order = family.charging("a", 6.0)
    family.now_s += 1.0
    family.tell("a", 3.0, boot="second", flows_A=6.0)
    family.give(a=32.0)
    heard = family.tell("a", 2.5, acked=order, holds_A=6.0, flows_A=6.0)
    assert family.exposure_A("a") == 32.0, "this holds in any case"
    assert heard.stale
    assert family.ledger.accounts["a"].boot == "second", "else grants would answer the dead one"


# --- lives of a parent -----------------------------------------------------------------------------


class Life:
    """A life of a parent of `a` and `b`, and the link to a real lease of `a`."""

    def __init__(self, now_s: float, kept_epoch: int | None) -> None:
        self.family = Family(kept_epoch=kept_epoch, now_s=now_s)
        self.ledger = self.family.ledger = Ledger(
            {"a": (ampere(0.0), SETTLE_S), "b": (ampere(0.0), SETTLE_S)},
            longest_s=LONGEST_S,
            silent_s=3.0,
            now_s=now_s,
            kept_epoch=kept_epoch,
        )

    def hear(self, lease: Lease, now_s: float) -> Report:
        """A report of what `a` holds comes, of one whose hardware was asked long ago."""
        self.family.now_s = now_s
        held = lease.in_force(now_s)
        amount = ampere(0.0) if held is None else held.amount
        t_child_s = lease.stamp(now_s)
        self.family.tell(
            "a",
            t_child_s,
            boot=lease.boot,
            acked=lease.acked,
            holds_A=amount.import_A,
            flows_A=amount.import_A,
        )
        fence = self.ledger.next_order() if self.ledger.may_send(now_s) else None
        self.family.tell("b", acked=fence, flows_A=0.0)
        return Report(child="a", boot=lease.boot, t_child_s=t_child_s)

    def grant(self, report: Report, now_s: float, A: float) -> Grant:
        """It is on its way."""
        order = self.ledger.next_order()
        self.ledger.note(now_s, "a", order, 10.0, ampere(A))
        return Grant(
            boot=report.boot, t_echo_s=report.t_child_s, order=order, duration_s=10.0, amount=ampere(A)
        )


def _late_grant(first_kept: int, next_kept: Callable[[Life], int | None], *, keeps: bool = True) -> None:
    """A grant of a former life is under way to a child that has taken none yet, when the parent restarts
    and finds out what its children hold."""
    lease, first = Lease("second life", LONGEST_S), Life(0.0, first_kept)
    if keeps:
        first.ledger.kept(first.ledger.epoch)
    first.hear(lease, 0.0)
    report = first.hear(lease, 0.1)
    if not first.ledger.may_send(0.1):
        return
    late = [first.grant(report, 0.1, 32.0) for _ in range(5)][-1]
    kept = next_kept(first)
    second = Life(0.5, kept)
    second.ledger.kept(second.ledger.epoch)
    report = second.hear(lease, 1.0)
    if second.ledger.may_send(1.0):
        order = second.ledger.next_order()
        fence = Grant(boot=report.boot, t_echo_s=report.t_child_s, order=order, duration_s=10.0, fence=True)
        lease.offer(1.1, fence)
        second.hear(lease, 1.2)
    lease.offer(1.3, late)
    held = lease.in_force(1.4)
    given_A = second.family.give(b=32.0)["b"] if second.ledger.may_send(1.4) else 0.0
    assert given_A + (0.0 if held is None else held.amount.import_A) <= 32.0


@shows("no quiet time")
def a_parent_that_lost_its_epoch_cannot_fence_off_what_is_under_way() -> None:
    _late_grant(0, lambda first: None)


@shows("epoch not kept", "grants of former lives are taken after a fence")
def a_fence_keeps_off_what_is_under_way_of_a_former_life() -> None:
    _late_grant(0, lambda first: 1)


@shows("epoch used before it is kept")
def two_lives_never_use_one_epoch() -> None:
    _late_grant(1, lambda first: 1, keeps=False)


@shows("all is known after a restart")
def what_a_former_life_granted_is_not_nothing() -> None:
    family = Family(kept_epoch=1)
    family.tell("b", flows_A=0.0)
    assert family.give(b=32.0) == {"b": 0.0}


@shows("known by an old epoch")
def a_grant_of_a_former_life_that_was_taken_proves_nothing() -> None:
    family = Family(kept_epoch=1)
    family.tell("a", acked=Order(1, 7), holds_A=12.0, flows_A=12.0)
    family.tell("b", acked=family.fence(), flows_A=0.0)
    assert family.ledger.exposure(0.0, "a") is UNLIMITED, "it may yet take a later one"
    assert family.give(b=20.0) == {"b": 0.0}


@shows("what a fenced child holds is dropped")
def a_fenced_child_may_draw_all_that_it_holds() -> None:
    family = Family(kept_epoch=1)
    for name, holds_A in (("a", 32.0), ("b", 0.0)):
        family.tell(name, acked=family.fence(), holds_A=holds_A, flows_A=holds_A / 4)
    assert family.give(b=24.0) == {"b": 0.0}


@shows("a later life of ours is met, and nobody doubted")
def a_former_life_that_is_met_only_by_its_grants() -> None:
    family = Family(kept_epoch=1)
    family.tell("a", acked=family.fence(), flows_A=0.0)
    family.tell("b", 1.0, acked=family.fence(), flows_A=0.0)
    family.tell("b", 2.0, acked=Order(7, 3), flows_A=0.0)
    assert family.give(a=16.0) == {"a": 0.0}


# --- the lease -------------------------------------------------------------------------------------


@shows("lease from receipt")
def a_grant_that_was_under_way_for_long_is_over_when_its_parent_counts_on_that() -> None:
    family, lease = Family(), Lease("first", LONGEST_S)
    family.tell("a", lease.stamp(0.0))
    family.tell("b", flows_A=0.0)
    family.give(a=32.0)
    late = grant(0.0, 1, boot="first", duration_s=10.0, amount=ampere(32.0))
    assert late.order == family.orders["a"]
    lease.offer(9.9, late)
    family.now_s = 10.0 * FAST / SLOW + SETTLE_S * FAST
    family.tell("b", flows_A=0.0)
    family.now_s = family.now_s + 1e-3
    for now_s in (10.1, 14.0, 19.0):
        assert lease.in_force(now_s) is None
    assert family.give(b=32.0) == {"b": 32.0}


@shows("grants in any order")
def a_grant_that_was_overtaken_is_not_taken() -> None:
    family, lease = Family(), Lease("first", LONGEST_S)
    order = family.charging("a", 32.0)
    late = grant(1.0, order.seq, boot="first", amount=ampere(32.0))
    family.give(a=0.0)
    low = grant(1.0, family.orders["a"].seq, boot="first", amount=ampere(0.0))
    lease.offer(1.1, low)
    family.now_s = 1.2
    family.tell("a", acked=lease.acked, flows_A=0.0)
    family.tell("b", flows_A=0.0)
    assert family.give(b=32.0) == {"b": 32.0}
    lease.offer(1.3, late)
    held = lease.in_force(1.3)
    assert held is not None
    assert held.amount == ampere(0.0)


@shows("grants of any boot")
def a_grant_for_a_dead_life_whose_clock_has_begun_anew_since_is_not_taken() -> None:
    family = Family()
    family.tell("a", 50.0)
    family.tell("b", flows_A=0.0)
    family.give(a=32.0)
    late = grant(50.0, family.orders["a"].seq, boot="first", amount=ampere(32.0))
    rebooted = Lease("second", LONGEST_S)
    family.now_s = 55.0  # its clock shows 52 s again
    family.tell("b", flows_A=0.0)
    assert family.give(b=32.0) == {"b": 32.0}
    rebooted.offer(52.0, late)
    assert rebooted.in_force(52.0) is None


@shows("nodes do not nest")
def what_a_node_granted_is_over_when_its_own_grant_is() -> None:
    """It dies just before it would be an island; its EVSE is on its own from then on."""
    for ago_s in (4.2, 3.6, 3.2):
        stage = Stage(DEEP, {"main": FAST, "root": FAST, "panel": SLOW, "a": SLOW, "a#driver": SLOW})
        stage.plug("a")
        stage.go(20.0)
        assert stage.flows_A("a") == 32.0
        stage.cut("panel", 200.0)
        stage.plug("b")
        stage.go(10.0 / SLOW - ago_s)
        stage.crash("panel", 200.0)
        stage.go(60.0)
        assert stage.flows_A("b") == 32.0


@shows("hardware is told longer than the grant")
def what_hardware_was_told_is_over_when_the_grant_is() -> None:
    core = evse()
    core.step(at(0.0), reading(100.0))
    core.step(at(1.0), grant(0.0, 1, enforced(A=32.0)))
    effects = core.step(at(9.0), reading(109.0))
    effects += core.step(at(9.5), grant(0.0, 2, enforced(A=31.0)))
    told = actuates(effects)[-1]
    assert told.limit_A == 31.0
    assert told.t_echo_s + told.duration_s <= 110.0


# --- clocks ----------------------------------------------------------------------------------------


@shows(
    "no drift at all",
    "no drift at the parent",
    "half the drift at the parent",
    "settle time not stretched at the parent",
    "no settling at the parent",
)
def a_car_that_nobody_holds_any_more_is_drawing_as_long_as_it_may() -> None:
    """Its controller dies right after a first grant, before it could tell what it told its hardware; its
    clocks are slow, its parent's is fast, and a rival wants the room."""
    rates = {"root": FAST, "panel": FAST, "b": FAST, "a": SLOW, "a#driver": SLOW}
    for tenth in range(10):
        stage = Stage(TWO, rates)
        stage.go(20.0 + tenth / 10)
        stage.plug("a")
        stage.go(0.08)
        stage.cut("a", 200.0, "up")
        while stage.flows_A("a") == 0.0:
            stage.go(0.01)
        stage.crash("a", 200.0)
        stage.plug("b")
        stage.go(50.0)
        assert stage.flows_A("b") == 32.0, "it has the room in the end"


@shows("no drift in nesting")
def a_node_with_a_fast_clock_hands_on_no_more_time_than_there_is() -> None:
    early_s, duration_s = 2.0, 10.0
    lease = Lease("boot", LONGEST_S)
    lease.offer(100.0, grant(100.0, 1, duration_s=duration_s))
    handed_s = lease.nested_s(100.0 - early_s * FAST)
    assert handed_s / SLOW - early_s <= duration_s / SLOW + 1e-9, "in true time"


@shows(
    "no drift at the hardware", "settle time not stretched at the EVSE", "what ran out unseen is over at once"
)
def what_hardware_was_told_counts_until_it_has_run_out_on_the_slowest_clock_and_settled() -> None:
    actuator = Actuator(ampere(0.0), SETTLE_S)
    actuator.tell("0", ampere(0.0), 1.0, 0.0)
    actuator.read(0.0, reading(0.0, mark="0", contactor_closed=False))
    actuator.tell("32", ampere(32.0), 10.0, 0.0)
    for true_s in (10.0 / SLOW - 1e-3, 10.0 / SLOW + 1.0, 10.0 / SLOW + SETTLE_S - 1e-3):
        assert actuator.committed(true_s * FAST) == ampere(32.0)


@shows("what was worked out before it was told")
def what_hardware_is_told_counts_at_once() -> None:
    actuator = Actuator(ampere(0.0), SETTLE_S)
    actuator.tell("0", ampere(0.0), 10.0, 0.0)
    actuator.read(0.0, reading(0.0, mark="0", contactor_closed=False))
    assert actuator.committed(1.0) == ampere(0.0)
    actuator.tell("32", ampere(32.0), 10.0, 1.0)
    assert actuator.committed(1.0) == ampere(32.0)


# --- nodes -----------------------------------------------------------------------------------------


@shows("early acknowledgement by a node")
def a_panel_that_is_lowered_says_so_when_its_cars_have_come_down() -> None:
    stage = Stage(DEEP)
    stage.plug("a")
    stage.go(20.0)
    assert stage.flows_A("panel") == 32.0
    stage.plug("b")
    stage.go(40.0)
    assert (stage.flows_A("panel"), stage.flows_A("b")) == (16.0, 16.0)


@shows("capacity without the own grant")
def a_panel_hands_out_what_it_was_granted_while_the_market_gives_it_more_already() -> None:
    stage = Stage(DEEP)
    stage.plug("b")
    stage.go(20.0)
    assert stage.flows_A("b") == 32.0
    stage.plug("a")
    stage.go(40.0)
    assert (stage.flows_A("panel"), stage.flows_A("b")) == (16.0, 16.0)


@shows("islands hand out their last grant")
def a_panel_that_is_cut_off_hands_out_its_fallback() -> None:
    stage = Stage(DEEP)
    stage.plug("a")
    stage.go(20.0)
    stage.cut("panel", 200.0)
    stage.plug("b")
    stage.go(60.0)
    assert (stage.flows_A("panel"), stage.flows_A("b")) == (0.0, 32.0)


# --- EVSEs -----------------------------------------------------------------------------------------


@shows("early acknowledgement by an EVSE", "no settling at the EVSE")
def a_car_that_is_lowered_takes_its_time() -> None:
    car = Car(max_current_A=32.0, reaction_s=11.0, meter=0.5)  # a right one would tell
    stage = Stage(TWO)
    stage.plug("a", car)
    stage.go(20.0)
    assert stage.flows_A("a") == 32.0
    stage.plug("b")
    stage.go(40.0)
    assert (stage.flows_A("a"), stage.flows_A("b")) == (16.0, 16.0)


@shows("the meter is trusted")
def a_car_that_takes_little_may_take_all_that_it_was_offered() -> None:
    car = Car(max_current_A=32.0, reaction_s=11.0, meter=0.5)
    stage = Stage(TWO)
    stage.plug("a", car)
    stage.go(20.0)
    stage.plug("b")
    stage.go(40.0)
    assert (stage.flows_A("a"), stage.flows_A("b")) == (16.0, 16.0)


@shows("lost memory is zero")
def an_evse_that_restarts_right_after_it_was_lowered_does_not_know_what_flows() -> None:
    car = Car(max_current_A=32.0, reaction_s=11.0, meter=0.5)  # a right one would tell
    stage = Stage(TWO)
    stage.plug("a", car)
    stage.go(20.0)
    stage.plug("b")
    hardware = stage.world.evses["a"].hardware
    while hardware.permitted_A == 32.0:
        stage.go(0.01)
    stage.crash("a", 0.05)
    stage.go(40.0)
    assert (stage.flows_A("a"), stage.flows_A("b")) == (16.0, 16.0)


@shows("an open contactor clears what ran out unseen")
def a_reading_that_is_older_than_the_end_proves_nothing_of_the_end() -> None:
    actuator = Actuator(ampere(0.0), SETTLE_S)
    actuator.tell("0", ampere(0.0), 100.0, 0.0)
    actuator.read(0.0, reading(0.0, mark="0", contactor_closed=False))
    actuator.tell("32", ampere(32.0), 10.0, 0.0)
    actuator.read(13.0, reading(0.1, mark="0", contactor_closed=False))
    assert actuator.committed(13.0) == ampere(32.0), "it may have closed since"


@shows("an old reading tells what is in force")
def what_was_told_after_a_reading_was_made_may_be_in_force() -> None:
    actuator = Actuator(ampere(0.0), SETTLE_S)
    actuator.tell("0", ampere(0.0), 10.0, 0.0)
    actuator.tell("32", ampere(32.0), 10.0, 0.0)
    actuator.read(5.0, reading(0.1, mark="0", contactor_closed=False))
    assert actuator.committed(5.0) == ampere(32.0)


@shows("a contactor proves something without our newest mark")
def a_reading_from_before_what_is_in_force_proves_nothing() -> None:
    """Overtaken, or of a former life of the hardware: of that often several are under way."""
    for boot, stamps_s in (("1", (100.2, 100.25)), ("0", (200.0, 200.1))):
        core = evse(settle_time_s=SETTLE_S)
        first = actuates(core.step(at(0.0), reading(100.0, boot="1", contactor_closed=False)))[-1].mark
        core.step(at(0.1), reading(100.1, boot="1", mark=first, contactor_closed=False))
        high = actuates(core.step(at(0.2), grant(0.2, 1, enforced(A=32.0))))[-1].mark
        core.step(at(0.3), reading(100.3, boot="1", mark=high, limit_A=32.0, limit_ends_in_s=9.0))
        low = actuates(core.step(at(0.5), grant(0.4, 2, enforced(A=0.0))))[-1].mark
        core.step(at(0.6), reading(100.6, boot="1", mark=low, limit_ends_in_s=9.0))
        for at_s, stamp_s in zip((8.6, 8.7), stamps_s, strict=True):
            core.step(at(at_s), reading(stamp_s, boot=boot, mark=first, contactor_closed=False))
        committed = core._actuator.committed(8.7)
        assert committed is not None
        assert committed.import_A == 32.0


@shows("what was told to the hardware's former life is taken")
def what_was_told_to_a_former_life_of_the_hardware_is_not_taken() -> None:
    """Its process stood still before it could send what answers a reading of 71 s; the hardware began anew
    since, and counts 98 s again."""
    hardware = Watchdog(0.0, boot="3")
    hardware.take(98.0, Actuate(t_echo_s=71.0, boot="2", duration_s=70.0, limit_A=32.0, phase_count=3))
    assert hardware.limit.limit_A == 0.0


@shows("what was inherited is renewed")
def what_is_held_since_before_a_restart_runs_to_its_end_and_no_further() -> None:
    stage = Stage(TWO)
    stage.plug("a")
    stage.go(20.0)
    stage.cut("a", 200.0)
    stage.crash("a", 0.1)
    stage.plug("b")
    stage.go(60.0)
    assert (stage.flows_A("a"), stage.flows_A("b")) == (0.0, 32.0)


# --- amounts ---------------------------------------------------------------------------------------


def _promised(**amounts: Amount) -> Family:
    """Children that were granted these."""
    family = Family(fallbacks_A=dict.fromkeys(("a", "b", "c"), 0.0))
    for name in ("a", "b", "c"):
        family.tell(name, flows_A=0.0)
    for name, amount in amounts.items():
        family.ledger.note(0.0, name, family.ledger.next_order(), 10.0, amount)
    return family


@shows("import and export netted")
def what_some_give_back_makes_no_room_for_others() -> None:
    family = _promised(a=ampere(20.0), c=Amount(export_A=20.0))
    planned = family.ledger.plan(0.0, {"b": ampere(32.0)}, Amount(import_A=32.0, export_A=32.0))
    assert planned["b"].amount == ampere(12.0)


@shows("power not counted")
def watts_are_added_up_too() -> None:
    family = _promised(a=Amount(16.0, 11_040.0))
    planned = family.ledger.plan(0.0, {"b": Amount(16.0, 11_040.0)}, Amount(32.0, 11_040.0))
    assert planned["b"].amount.import_W == 0.0


# --- meters ----------------------------------------------------------------------------------------

shows("what no car explains is forgotten")(
    meter_scenes.a_load_that_rises_while_cars_never_stand_still_is_not_forgotten
)
shows("a silent meter goes on being believed")(
    meter_scenes.a_load_that_rises_behind_a_silent_meter_is_kept_free_as_declared
)
shows("a frozen meter goes on being believed")(
    meter_scenes.a_load_that_rises_behind_a_frozen_meter_is_kept_free_as_declared
)
shows("a frozen meter is judged by cars of later")(
    meter_scenes.cars_that_take_more_behind_a_frozen_meter_hide_no_load
)
shows("cars are taken as they told last")(
    meter_scenes.cars_that_begin_while_a_reading_waits_to_be_judged_hide_no_load
)
shows("cars told of now, however late that is heard")(
    meter_scenes.cars_whose_reports_are_late_hide_no_load_when_they_draw_less
)
shows("hardware shows what is, however late that is read")(
    meter_scenes.cars_whose_readings_are_late_hide_no_load_when_they_draw_less
)
shows("a pause that nobody told of is lower load")(
    meter_scenes.a_car_that_pauses_between_two_reports_hides_no_load
)
shows("a new life believes a meter that does not move")(
    meter_scenes.a_load_that_rose_behind_a_frozen_meter_before_its_node_began_anew_is_kept_free
)
