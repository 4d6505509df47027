"""What happened, told so that a person can follow it: only what changed, in order of time.

Runs are recorded only when they are run again for their story; recording changes nothing in them.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, to_builtins

from actors.energy.effects import Effect, KeepEpoch, Say, ToDriver, ToParent
from actors.energy.messages import Actuate, Grant, Report
from actors.simulation.plan import Fault, Plug, Workload
from actors.simulation.processes import Process, Slot
from actors.site import Site

MOST_LINES = 60
"""Of a story: a page."""
MOST_NOTES = 500_000
"""Of a run; beyond it nothing more is noted."""
_LOUD = {"process", "fault"}


class Note(Struct, frozen=True):
    """One line of a story."""

    at_s: float
    kind: str
    """process, fault, grant, refused, report, commits, tells, limit, flow or says."""
    who: str
    text: str


class Recorder:
    """Collects notes; what repeats what was noted last of the same thing is left out."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self._last: dict[tuple[str, str], str] = {}

    def _note(self, at_s: float, kind: str, who: str, text: str, about: str = "") -> None:
        if len(self.notes) < MOST_NOTES and self._last.get((kind, who)) != (about or text):
            self._last[kind, who] = about or text
            self.notes.append(Note(at_s, kind, who, text))

    def happened(self, now_s: float, what: Workload | Fault) -> None:
        """Something of the plan came true."""
        fields = to_builtins(what)
        who = str(
            next((fields[k] for k in ("evse", "process", "module", "link", "node") if k in fields), "all")
        )
        kind = fields.pop("type")
        if isinstance(what, Plug):
            car = what.car
            text = f"{kind}: takes {car.share:.0%} of up to {car.max_current_A:g} A, "
            text += f"reacts in {car.reaction_s:.1f} s"
            text += ", surges when lowered" if car.surges else ""
        else:
            rest = {k: v for k, v in fields.items() if k not in ("at_s",) and v is not None and v != who}
            text = f"{kind} {' '.join(f'{k}={_short(v)}' for k, v in rest.items())}"
        self.notes.append(Note(now_s, "fault", who, text))

    def process(self, now_s: float, process: Process, text: str) -> None:
        """A process ends, stops or begins."""
        hosted = ", ".join(slot.id for slot in process.slots)
        self.notes.append(Note(now_s, "process", process.name, f"process of {hosted} {text}"))

    def stepped(self, now_s: float, slot: Slot, event: Any, effects: list[Effect]) -> None:
        """A core took an event."""
        refused = [e.text for e in effects if isinstance(e, Say) and "not taken" in e.text]
        if isinstance(event, Grant):
            own_s = slot.process.clocks.steady.own_s(now_s)
            left_s = event.t_echo_s + event.duration_s - own_s
            what = "a fence" if event.fence else f"a grant of {event.amount.text()}"
            text = f"hears {what}, {event.order.epoch}.{event.order.seq}, ends in {left_s:.1f} s (its clock)"
            if refused:
                why = refused[0].removeprefix("grant not taken: ")
                about = "old" if "not newer" in why else what
                self._note(now_s, "refused", slot.id, f"{text}; does not take it: {why}", about)
            else:
                self._note(now_s, "grant", slot.id, text, what)
        elif isinstance(event, Report):
            self._report(now_s, slot.id, event)
        for effect in effects:
            if isinstance(effect, Say) and effect.level != "debug":
                self._note(now_s, "says", slot.id, f"says ({effect.level}): {effect.text}")
            elif isinstance(effect, KeepEpoch):
                self._note(now_s, "says", slot.id, f"keeps epoch {effect.epoch}")
            elif isinstance(effect, ToDriver):
                self._tells(now_s, slot.id, effect.message)
            elif isinstance(effect, ToParent) and isinstance(effect.message, Report):
                committed = effect.message.committed
                text = f"commits to {'?' if committed is None else committed.text()}"
                self._note(now_s, "commits", slot.id, f"tells its parent that it {text}", text)

    def _report(self, now_s: float, parent: str, report: Report) -> None:
        who = report.child
        committed = "?" if report.committed is None else report.committed.text()
        order = "-" if report.acked is None else f"{report.acked.epoch}.{report.acked.seq}"
        about = f"holds {report.holds.text()}, committed to {committed}"
        text = f"is known by {parent} to have taken {order}, {about}"
        self._note(now_s, "report", who, text, about + ("" if not report.leaving else " leaving"))

    def _tells(self, now_s: float, evse: str, told: Actuate) -> None:
        what = f"{told.limit_A:g} A, {told.phase_count} phases, pilot {told.cp_state}"
        self._note(now_s, "tells", evse, f"tells its hardware {what} for {told.duration_s:.1f} s", what)

    def actuated(self, now_s: float, evse: str, told: Actuate, refused: str | None) -> None:
        """Hardware has taken a limit, or not."""
        about = f"in force at the hardware: {told.limit_A:g} A" if refused is None else "hardware refuses"
        text = (
            f"{about}, for {told.duration_s:.1f} s from the reading"
            if refused is None
            else f"{about}: {refused}"
        )
        self._note(now_s, "limit", evse, text, about)

    def flows(self, now_s: float, evse: str, hardware: Any) -> None:
        """Another current flows."""
        fallback = "" if hardware.mark or hardware.watchdog.limit.ends_s < 1e300 else ", in fallback"
        text = f"draws {hardware.current_A:.4g} A, {hardware.permitted_A:.4g} A are in force{fallback}"
        self._note(now_s, "flow", evse, text)

    def story(self, site: Site, node: str, at_s: float) -> list[str]:
        """What led to something at a node, the earliest first; a page at most."""
        about = {*site.subtree(node), *site.path_to_root(node)}
        about |= {f"{m}#driver" for m in about}
        about |= {c.name for c in site.controllers.values() if about & {*c.modules}}
        notes = [n for n in self.notes if n.at_s <= at_s + 1e-9 and n.who in about]
        loud = [n for n in notes if n.kind in _LOUD]
        rest = [n for n in notes if n.kind not in _LOUD]
        begin = loud[-MOST_LINES // 3 :]
        chosen = sorted(begin + rest[-(MOST_LINES - len(begin)) :], key=lambda n: n.at_s)
        return [f"{n.at_s:10.3f}  {n.who:12} {n.text}" for n in chosen]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
