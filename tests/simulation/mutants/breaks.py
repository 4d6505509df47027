"""Deliberate breaks of the safety protocol, as data: what is patched, and what that breaks.

A patch replaces a part of a function's text, or the value of a name. A text that is not there any more
fails: then it must be said anew what the mutant is.
"""

from __future__ import annotations

import importlib
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from actors.energy.amount import Amount, total
from actors.simulation.mutants import mutated

ENERGY = "actors.energy"
LEDGER, LEASE, ACTUATOR = f"{ENERGY}.ledger", f"{ENERGY}.lease", f"{ENERGY}.actuator"
LOAD = f"{ENERGY}.fixed_load.FixedLoad"
NODE, EVSE = f"{ENERGY}.node.NodeCore", f"{ENERGY}.evse.EvseCore"


class Edit(Struct, frozen=True):
    """Of a function: a part of its text is another."""

    path: str
    before: str
    after: str


class Break(Struct, frozen=True, kw_only=True):
    """One rule of the protocol broken."""

    name: str
    breaks: str
    """In one sentence."""
    edits: tuple[Edit, ...] = ()
    values: dict[str, Any] = {}
    """Other values of names."""
    explored: str = ""
    """Its name among those that the explorer of small sites finds (tests/model/mutants.py)."""
    metered: bool = False
    """Whether it shows only where there are meters."""
    not_simulated: str = ""
    """Why runs cannot show it, if they cannot."""
    harmless: str = ""
    """Why nothing can flow that should not, although it is broken; its scene shows what else fails."""

    @contextmanager
    def broken(self) -> Iterator[None]:
        """While it is, in this process."""
        changes = dict(self.values)
        for edit in self.edits:
            changes[edit.path] = _edited(edit, changes.get(edit.path))
        with mutated(
            {path: _compiled(path, v) if isinstance(v, _Text) else v for path, v in changes.items()}
        ):
            yield


class _Text(str):
    """Of a function that was edited."""


def _edited(edit: Edit, edited: Any) -> _Text:
    text = edited if isinstance(edited, _Text) else textwrap.dedent(inspect.getsource(_found(edit.path)))
    assert text.count(edit.before) == 1, f"{edit.path} has no (single) {edit.before!r} any more"
    return _Text(text.replace(edit.before, edit.after))


def _compiled(path: str, text: str) -> Any:
    scope: dict[str, Any] = {}
    code = compile(f"from __future__ import annotations\n{text}", f"<{path}, broken>", "exec")
    exec(code, _found(path).__globals__, scope)
    return scope[path.rpartition(".")[2]]


def _found(path: str) -> Any:
    """A method, by module, class and name."""
    module, owner, name = path.rsplit(".", 2)
    return vars(getattr(importlib.import_module(module), owner))[name]


def _edit(path: str, before: str, after: str) -> tuple[Edit, ...]:
    return (Edit(path, before, after),)


def _currents_only(amounts: Iterable[Amount]) -> Amount:
    added = total(amounts)
    return Amount(import_A=added.import_A, export_A=added.export_A)


def _netted(amounts: Iterable[Amount]) -> Amount:
    added = total(amounts)
    return replace(
        added,
        import_A=max(0.0, added.import_A - added.export_A),
        import_W=max(0.0, added.import_W - added.export_W),
    )


SOON = (
    Edit(f"{LOAD}._forget", "if self._sampled_s > -math.inf:", "if False:"),
    Edit(f"{LOAD}._fault", " or self._sampled_s < self._first_s + self._unseen_s()", ""),
)
"""What was measured counts for `hold_s` alone, and the first of it at once. It covers up others, so they come
with it."""

BREAKS = (
    # --- the ledger: what is raised -----------------------------------------------------------------
    Break(
        name="raise without room",
        breaks="A child is raised before the others' decrease is confirmed; only the check after it is left.",
        edits=_edit(
            f"{LEDGER}.Ledger._make_plan",
            "UNLIMITED if unknown else flowing.less(exposures[name])",
            "NOTHING",
        ),
    ),
    Break(
        name="raise without room, unchecked",
        explored="decrease not awaited",
        breaks="The same, and the ledger does not check itself either.",
        edits=_edit(
            f"{LEDGER}.Ledger._make_plan",
            "UNLIMITED if unknown else flowing.less(exposures[name])",
            "NOTHING",
        ),
        values={f"{LEDGER}.Ledger.check": lambda *_: None},
    ),
    Break(
        name="room is what was sent last",
        breaks="A raise takes the room of a decrease that was sent and not confirmed.",
        edits=_edit(
            f"{LEDGER}.Ledger._make_plan",
            "UNLIMITED if unknown else flowing.less(exposures[name])",
            "total(self.latest(now_s, n) for n in self.accounts if n != name)",
        ),
        values={f"{LEDGER}.Ledger.check": lambda *_: None},
    ),
    Break(
        name="raising judged by the exposure",
        explored="raising judged by the exposure",
        breaks="A child that was lowered gets back without asking what others were promised since.",
        edits=(
            Edit(f"{LEDGER}.Ledger.latest", "return account.fallback", "return self.exposure(now_s, name)"),
            Edit(
                f"{LEDGER}.Ledger.latest",
                "return largest(account.fallback, newest.amount)",
                "return self.exposure(now_s, name)",
            ),
        ),
    ),
    Break(
        name="renewing ignores the capacity",
        breaks="What children hold is renewed in full when the capacity has dropped below it.",
        edits=_edit(
            f"{LEDGER}.Ledger._make_plan", "wanted = smallest(wish, fallback + left)", "wanted = wish"
        ),
        not_simulated="the market keeps within the capacity already; this is the second guard",
    ),
    Break(
        name="unknown children do not bar raises",
        breaks="After a restart others are raised while it is not known what a child holds.",
        edits=_edit(
            f"{LEDGER}.Ledger._make_plan",
            "UNLIMITED if unknown else flowing.less(exposures[name])",
            "flowing.less(exposures[name])",
        ),
    ),
    # --- the ledger: what counts --------------------------------------------------------------------
    Break(
        name="no settling at the parent",
        explored="no settle time at the parent",
        breaks="Currents count as gone at the very end of a grant.",
        edits=_edit(f"{LEDGER}.Ledger.exposure", "settle_s = account.settle_s", "settle_s = 0.0"),
    ),
    Break(
        name="fallback not reserved",
        explored="fallback not reserved",
        breaks="A child that was granted less than its fallback, or nothing, counts with that only.",
        edits=(
            Edit(
                f"{LEDGER}.Ledger.exposure",
                "most, same_until_s = account.fallback,",
                "most, same_until_s = NOTHING,",
            ),
            Edit(f"{LEDGER}.Ledger.latest", "return account.fallback", "return NOTHING"),
            Edit(
                f"{LEDGER}.Ledger.latest",
                "return largest(account.fallback, newest.amount)",
                "return newest.amount",
            ),
        ),
    ),
    Break(
        name="committed ignored",
        breaks="What a child says that may still flow does not count, only what it was granted.",
        edits=_edit(
            f"{LEDGER}.Ledger.exposure",
            "most = largest(most, account.committed)",
            "pass",
        ),
    ),
    Break(
        name="only the newest grant counts",
        explored="only the newest grant counts",
        breaks="A grant that is sent strikes out those before, taken or not.",
        edits=_edit(
            f"{LEDGER}.Ledger.note",
            "account.entries, account.newest = (*kept, entry), entry\n"
            "    if largest(account.exposure, amount) is not account.exposure:",
            "account.entries, account.newest = (entry,), entry\n    if True:",
        ),
    ),
    Break(
        name="a silent child is forgotten",
        explored="silence counts as obedience",
        breaks="A child that fell silent counts with its fallback at once.",
        edits=_edit(
            f"{LEDGER}.Ledger.exposure",
            "if now_s < account.same_until_s:",
            "if account.known and now_s - account.heard_s > self._silent_s:\n"
            "        return account.fallback\n"
            "    if now_s < account.same_until_s:",
        ),
    ),
    Break(
        name="struck out without committed",
        explored="acked counts without committed",
        breaks="A child that took a grant, but does not know what flows, counts with that grant only.",
        edits=_edit(
            f"{LEDGER}.Ledger._strike_out",
            "if committed is None:\n        return",
            "if committed is None:\n        committed = NOTHING",
        ),
    ),
    Break(
        name="older reports count",
        explored="reports in any order",
        breaks="A report that was overtaken by a later one of the same life is believed.",
        edits=_edit(f"{LEDGER}.Ledger.hear", "elif report.t_child_s <= account.told_s:", "elif False:"),
    ),
    Break(
        name="a new life owes nothing",
        explored="a new life clears the old one's account",
        breaks="When a child restarts, what its former life held and told is struck out.",
        edits=_edit(
            f"{LEDGER}.Ledger._follow_life",
            "account.entries = (*account.entries, left)",
            "account.entries = ()",
        ),
    ),
    Break(
        name="what a former life told is dropped",
        breaks="When a child restarts, the `committed` of its former life counts no more.",
        edits=_edit(f"{LEDGER}.Ledger._follow_life", "account.entries = (*account.entries, left)", "pass"),
    ),
    Break(
        name="dead lives are believed",
        breaks="A late report of a dead life makes that the present one again.",
        edits=(
            Edit(
                f"{LEDGER}.Ledger._follow_life",
                "if told_s is not None and report.t_child_s <= told_s:\n        return False",
                "",
            ),
            Edit(
                f"{LEDGER}.Ledger._follow_life",
                "if present and earlier and not self._persists(now_s, account, report.boot):",
                "if False:",
            ),
            Edit(
                f"{LEDGER}.Ledger._follow_life",
                "if present and not self._persists(now_s, account, report.boot):\n            return False",
                "",
            ),
        ),
        harmless="its `acked` is older than all that the new life can take, and what the new one told is kept",
    ),
    # --- lives of a parent --------------------------------------------------------------------------
    Break(
        name="no quiet time",
        explored="no quiet time",
        breaks="A node that lost its epoch grants at once, with orders older than those of its former lives.",
        edits=_edit(
            f"{LEDGER}.Ledger.__init__",
            "now_s + self._longest_s if kept_epoch is None else -math.inf",
            "-math.inf",
        ),
    ),
    Break(
        name="epoch not kept",
        explored="epoch not kept",
        breaks="Each life of a parent begins with the same epoch.",
        edits=_edit(f"{LEDGER}.Ledger.__init__", "(kept_epoch or 0) + 1", "1"),
    ),
    Break(
        name="epoch used before it is kept",
        breaks="Grants are sent of an epoch that is not on stable storage.",
        edits=_edit(f"{LEDGER}.Ledger.may_send", "self.to_keep is None and ", ""),
    ),
    Break(
        name="all is known after a restart",
        explored="all known after a restart",
        breaks="A parent that restarted takes what its former life granted for nothing.",
        edits=_edit(f"{LEDGER}.Ledger.__init__", "known=kept_epoch == 0", "known=True"),
    ),
    Break(
        name="known by an old epoch",
        explored="known by an old epoch",
        breaks="After a restart a child counts as known that follows a grant of a former life, without a fence.",
        edits=_edit(
            f"{LEDGER}.Ledger._strike_out",
            "if acked is not None and acked.epoch != self.epoch:\n        acked = None",
            "if acked is not None and acked.epoch != self.epoch:\n        acked = Order(self.epoch, 0)",
        ),
    ),
    Break(
        name="what a fenced child holds is dropped",
        breaks="After a fence a child counts with what it says to flow, not with what it holds.",
        edits=_edit(
            f"{LEDGER}.Ledger._strike_out", "now_s + self._longest_s, report.holds)", "now_s, NOTHING)"
        ),
    ),
    Break(
        name="a later life of ours is met, and nobody doubted",
        breaks="When a child follows a life of ours that we do not know, the others stay known.",
        edits=_edit(f"{LEDGER}.Ledger._begin_epoch", "account.known = account.fenced = False", "pass"),
        not_simulated="there is such a life only where state was lost, and then all that it granted is waited out",
    ),
    Break(
        name="grants of former lives are taken after a fence",
        breaks="A child compares orders within an epoch only.",
        edits=_edit(
            f"{LEASE}.Lease.offer",
            "if self.acked is not None and not self.acked < grant.order:",
            "if self.acked is not None and self.acked.epoch == grant.order.epoch and not self.acked < grant.order:",
        ),
    ),
    # --- the lease ----------------------------------------------------------------------------------
    Break(
        name="lease from receipt",
        explored="lease from receipt",
        breaks="A grant is counted from when it came, not from the report that it answers.",
        edits=_edit(f"{LEASE}.Lease.offer", "grant.t_echo_s + grant.duration_s", "now_s + grant.duration_s"),
        not_simulated="what is handed on nests in the end that is counted from the report; this is the second guard",
    ),
    Break(
        name="grants in any order",
        explored="grants in any order",
        breaks="A child takes a grant that is older than one that it took.",
        edits=_edit(
            f"{LEASE}.Lease.offer", "if self.acked is not None and not self.acked < grant.order:", "if False:"
        ),
    ),
    Break(
        name="grants of any boot",
        explored="grants of any boot",
        breaks="A child takes a grant that answers a former life of it.",
        edits=_edit(f"{LEASE}.Lease.offer", "if grant.boot != self.boot:", "if False:"),
    ),
    Break(
        name="nodes do not nest",
        explored="no nesting, at a node",
        breaks="What a node grants lasts its full duration, beyond the end of its own grant.",
        edits=_edit(
            f"{NODE}._duration_s",
            "return self._lease.nested_s",
            "return lambda heard_s: now_s + valid_for_s(self.settings.site) - heard_s",
        ),
    ),
    Break(
        name="hardware is told longer than the grant",
        explored="no nesting, at an EVSE",
        breaks="What an EVSE tells its hardware lasts its full duration, beyond the end of the grant.",
        edits=_edit(
            f"{EVSE}._duration_s",
            "return self._lease.nested_s(self._read_at_s)",
            "return float(valid_for_s(self.settings.site))",
        ),
    ),
    # --- clocks -------------------------------------------------------------------------------------
    Break(
        name="no drift at all",
        explored="no drift",
        breaks="All clocks are taken for equal: no margin anywhere.",
        values={
            f"{LEDGER}.STRETCH": 1.0,
            f"{LEDGER}.RHO": 0.0,
            f"{LEASE}.STRETCH": 1.0,
            f"{ACTUATOR}.STRETCH": 1.0,
            f"{ACTUATOR}.RHO": 0.0,
        },
    ),
    Break(
        name="no drift at the parent",
        breaks="A grant counts as over on the parent's clock when its duration is.",
        values={f"{LEDGER}.STRETCH": 1.0},
    ),
    Break(
        name="half the drift at the parent",
        breaks="Clocks differ by twice as much as the parent counts on.",
        values={f"{LEDGER}.STRETCH": 1.05 / 0.95},
    ),
    Break(
        name="settle time not stretched at the parent",
        breaks="The settle time is measured with a fast clock as if it were true.",
        values={f"{LEDGER}.RHO": 0.0},
    ),
    Break(
        name="no drift in nesting",
        breaks="A node counts seconds before its own report in full, though its clock may run fast.",
        values={f"{LEASE}.STRETCH": 1.0},
    ),
    Break(
        name="no drift at the hardware",
        breaks="What hardware was told counts as run out by the EVSE's clock, though the hardware's may run slow.",
        values={f"{ACTUATOR}.STRETCH": 1.0},
    ),
    Break(
        name="settle time not stretched at the EVSE",
        breaks="The settle time is measured with a fast clock as if it were true.",
        values={f"{ACTUATOR}.RHO": 0.0},
    ),
    # --- nodes --------------------------------------------------------------------------------------
    Break(
        name="early acknowledgement by a node",
        explored="told counts as done, at a node",
        breaks="A node tells its own grant as committed at once, while those below it still hold more.",
        edits=_edit(
            f"{NODE}._short_report",
            "self._committed = None if committed is None else self._at_root(now, committed)\n"
            "    grant = self._lease.in_force(now.mono_s)",
            "grant = self._lease.in_force(now.mono_s)\n"
            "    self._committed = self.settings.fallback if grant is None else grant.amount",
        ),
    ),
    Break(
        name="capacity without the own grant",
        breaks="A node hands out what its fuse allows, whatever it was granted.",
        edits=_edit(
            f"{NODE}._capacity", "return smallest(own, held.with_efficiency(1 / into, 1 / out))", "return own"
        ),
    ),
    Break(
        name="islands hand out their last grant",
        breaks="A node whose grant ends goes on handing it out instead of its fallback.",
        edits=(
            Edit(
                f"{NODE}._capacity",
                "if self._is_island(now.mono_s):\n        held = smallest(held, self.settings.fallback)",
                "",
            ),
            Edit(
                f"{NODE}._capacity",
                "grant = self._lease.in_force(now.mono_s)",
                "grant = self._lease.grant",
            ),
        ),
    ),
    # --- EVSEs --------------------------------------------------------------------------------------
    Break(
        name="early acknowledgement by an EVSE",
        explored="told counts as done, at an EVSE",
        breaks="An EVSE tells as committed what it told its hardware last, before that is in force.",
        edits=(
            Edit(f"{ACTUATOR}.Actuator.committed", "for told in self._told:", "for told in self._told[-1:]:"),
            Edit(f"{ACTUATOR}.Actuator.committed", "for past in self._past:", "for past in ():"),
        ),
    ),
    Break(
        name="no settling at the EVSE",
        explored="no settle time at the EVSE",
        breaks="What was in force counts as gone when something else is.",
        edits=_edit(f"{ACTUATOR}.Actuator.__init__", "settle_time_s * (1 + RHO)", "0.0"),
    ),
    Break(
        name="what was worked out before it was told",
        breaks="What may flow is not worked out anew when the hardware is told something.",
        edits=_edit(f"{ACTUATOR}.Actuator.tell", "self._most = largest(self._most, amount)", "pass"),
    ),
    Break(
        name="the meter is trusted",
        explored="a low meter reading counts",
        breaks="An EVSE tells as committed what its meter shows.",
        edits=_edit(
            f"{EVSE}._short_report",
            "self._committed = self._actuator.committed(now.mono_s)",
            "self._committed = self._actuator.committed(now.mono_s)\n"
            "    if self._committed is not None and self._reading is not None:\n"
            "        self._committed = self._amount(max(self._reading.currents_A), self._reading.closed_phases)",
        ),
    ),
    Break(
        name="lost memory is zero",
        explored="knows at once after its crash",
        breaks="An EVSE that restarted tells at once that nothing but its fallback flows.",
        edits=_edit(f"{ACTUATOR}.Actuator.__init__", "self._known_s = math.inf", "self._known_s = -math.inf"),
    ),
    Break(
        name="what ran out unseen is over at once",
        breaks="What hardware was told leaves no settle time behind when its time is over.",
        edits=_edit(
            f"{ACTUATOR}.Actuator._forget",
            "self._leave(told.until_s, told.amount, self._fallback, replaced=False)",
            "pass",
        ),
    ),
    Break(
        name="an open contactor clears what ran out unseen",
        breaks="A contactor that was open in a reading proves that nothing flows, also what ran out later.",
        edits=_edit(
            f"{ACTUATOR}.Actuator.read", "tuple([past for past in self._past if not past.replaced])", "()"
        ),
    ),
    Break(
        name="an old reading tells what is in force",
        breaks="A reading that was under way for long counts against what was told after it.",
        edits=(
            Edit(f"{ACTUATOR}.Actuator._confirm", "if own:", "if True:"),
            Edit(
                f"{ACTUATOR}.Actuator._confirm",
                "= self._told[own:], -math.inf",
                "= self._told[own : own + 1], -math.inf",
            ),
        ),
    ),
    Break(
        name="a contactor proves something without our newest mark",
        breaks="A reading from before what is in force, of a former life of the hardware perhaps, proves that the "
        "contactor is open.",
        edits=_edit(f"{ACTUATOR}.Actuator.read", "if held and not", "if not"),
    ),
    Break(
        name="what was told to the hardware's former life is taken",
        breaks="Hardware whose clock began anew takes what answers a reading of before, for as long again.",
        edits=_edit("actors.plant.watchdog.Watchdog.take", "if command.boot != self._boot:", "if False:"),
    ),
    Break(
        name="what was inherited is renewed",
        breaks="An EVSE that restarted renews what its hardware holds, for the full duration, again and again.",
        edits=_edit(
            f"{EVSE}._follow",
            "reading.limit_ends_in_s if inherits else self._duration_s(grant)",
            "float(valid_for_s(self.settings.site))",
        ),
    ),
    # --- amounts ------------------------------------------------------------------------------------
    Break(
        name="import and export netted",
        breaks="What some give back makes room for others.",
        values={f"{LEDGER}.total": _netted},
    ),
    Break(
        name="power not counted",
        breaks="Watts are not added up, only currents.",
        values={f"{LEDGER}.total": _currents_only},
    ),
    # --- meters -------------------------------------------------------------------------------------
    Break(
        name="what no car explains is forgotten",
        metered=True,
        breaks="What a meter shows above all that cars may draw counts for `hold_s`, not until a later reading was "
        "judged.",
        edits=(*SOON, Edit(f"{LOAD}.update", "self._sample_A, self._least_A,", "self._sample_A,")),
    ),
    Break(
        name="a silent meter goes on being believed",
        metered=True,
        breaks="What a meter showed last counts for as long as it says nothing.",
        edits=(
            Edit(f"{LOAD}._fault", "now_s >= self._heard_s + self.meter.timeout_s", "False"),
            Edit(f"{LOAD}._is_mute", "self._heard_s + self.meter.timeout_s", "math.inf"),
        ),
    ),
    Break(
        name="a frozen meter goes on being believed",
        metered=True,
        breaks="A meter that says the same for long is believed like any other.",
        edits=(
            Edit(f"{LOAD}._fault", "now_s >= self._changed_s + self.meter.frozen_s", "False"),
            Edit(f"{LOAD}._is_mute", "self._changed_s + self.meter.frozen_s", "math.inf"),
        ),
    ),
    Break(
        name="a frozen meter is judged by cars of later",
        metered=True,
        breaks="A reading that is the same as before is judged, though cars have changed since it was another.",
        edits=(*SOON, Edit(f"{LOAD}._judge", "<= since_s -", "<= at_s -")),
    ),
    Break(
        name="a new life believes a meter that does not move",
        metered=True,
        breaks="What a meter says counts for a new life of its node, though it may be frozen since before.",
        edits=_edit(f"{LOAD}.hear", "elif self._moves:", "else:"),
    ),
    Break(
        name="cars told of now, however late that is heard",
        metered=True,
        breaks="What a report tells of currents counts as told when it was heard, not when it was surely sent.",
        edits=(
            *SOON,
            Edit(f"{ENERGY}.branch._age_s", "now_s - child.status_sent_s", "now_s - child.status_s"),
        ),
    ),
    Break(
        name="hardware shows what is, however late that is read",
        metered=True,
        breaks="What a reading shows of currents counts as of now, not as of what it surely came after.",
        edits=(*SOON, Edit(f"{ACTUATOR}.Actuator.read", "= told.told_s", "= now_s")),
    ),
    Break(
        name="a pause that nobody told of is lower load",
        metered=True,
        breaks="What was measured counts for `hold_s`, also if cars may have paused unseen for longer.",
        edits=SOON,
    ),
    Break(
        name="cars are taken as they told last",
        metered=True,
        breaks="A reading is judged by what cars told last, also if they told something else around it.",
        edits=(*SOON, Edit(f"{LOAD}._judge", "in self._cars]", "in [self._cars[-1]]]")),
    ),
)
BY_NAME = {mutant.name: mutant for mutant in BREAKS}
