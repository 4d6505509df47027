"""A site of real cores under attack, and what must hold whatever its hostile peers say.

    main:  root (60 A) ─┬─ left (32 A) ── l1, l2    controller left, HOSTILE: all that it tells root is spoiled
                        └─ right (32 A) ── r1, r2   controller right, told rubbish by a hostile main

So `left` and its hardware lie upwards, `main` lies downwards to `right`, and clients of the control socket lie
to `main`. In between the honest cores go on with their work. What must hold: no exception, no report of a
broken invariant or of a market that refuses, only messages that can be sent, nothing changed by what is
refused, and right's fuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from actors.build import build_core
from actors.config import parse_site
from actors.energy.effects import Effect, Say, ToChild, ToDriver, ToGateway, ToParent
from actors.energy.evse import EvseCore
from actors.energy.market import allocate
from actors.energy.messages import Command, Grant, Outcome, Report
from actors.energy.node import NodeCore
from actors.energy.trunk import Trunk
from actors.tree_actor import StatusAnswer, StatusQuery
from tests.energy.builders import at
from tests.energy.tree_bench import EVSES, PARENTS, Tree
from transport.bodies import body_fault

SITE_TEXT = """
site: fuzzed
controllers:
  main:  {listen: "tcp://127.0.0.1:7400", modules: [root]}
  left:  {listen: "tcp://127.0.0.1:7401", modules: [left]}
  right: {listen: "tcp://127.0.0.1:7402", modules: [right]}
active_modules:
  root:
    module: EnergyManager
    config: {switch_3ph1ph_while_charging_mode: Both}
    connections: {energy_trunk: [left, right]}
    external_limits:
      supply: {limit: {ac_max_current_A: 60}}
      grid: {heartbeat_timeout_s: 5, failsafe: {total_power_W: 30000}}
  left:
    module: EnergyNode
    config: {fuse_limit_A: 32}
    connections: {energy_trunk: [l1, l2]}
  right:
    module: EnergyNode
    config: {fuse_limit_A: 32}
    connections: {energy_trunk: [r1, r2]}
  l1: {module: EvseManager, config: {fallback_limit_A: 6, supports_changing_phases_during_charging: true}}
  l2: {module: EvseManager, config: {fallback_limit_A: 6, charge_mode: DC, max_power_W: 20000, connector_id: 2}}
  r1: {module: EvseManager, config: {fallback_limit_A: 6, connector_id: 3}}
  r2: {module: EvseManager, config: {fallback_limit_A: 6, connector_id: 4}}
"""
SITE = parse_site(SITE_TEXT, "fuzzed")
RIGHT_FUSE_A = 32.0
CRUMB_A = 1e-6
KEPT = 40
"""Honest messages of a route that are remembered as samples."""


class FoundError(AssertionError):
    """What must hold does not."""


class Household(Tree):
    """The cores, their time, and what they told each other lately."""

    def __init__(self, seed: int) -> None:
        self.traffic: dict[tuple[str, str, type], list[Any]] = {}
        """By source, target and type."""
        self.outcomes: list[Outcome] = []
        super().__init__(seed)

    def begin(self, name: str) -> None:
        """Begin a life of a module, as a controller does."""
        boot = f"{name} {next(self._lives)}"
        epoch = None if name in EVSES else self._epochs[name]
        self.cores[name] = build_core(SITE, name, boot, at(self.now_s), None, epoch)
        self._memories.pop(name, None)

    def heard(self, source: str, target: str, message: Any) -> None:
        """Note an honest message, and that it can be sent."""
        fault = body_fault(msgspec.msgpack.encode(message))
        if fault is not None:
            raise FoundError(f"{source} tells {target} what cannot be sent ({fault}): {message}")
        kept = self.traffic.setdefault((source, target, type(message)), [])
        kept.append(message)
        del kept[:-KEPT]

    # --- hostile messages ------------------------------------------------------------------------

    def suffer(self, target: str, message: Any) -> None:
        """A spoiled message that was let in comes to its module."""
        core = self.cores[target]
        if isinstance(message, StatusQuery):
            message.answer(StatusAnswer(core.report_status(at(self.now_s))))
            return
        for effect in core.tick_sources(at(self.now_s)):
            self._carry_out(target, effect)
        stale = self._is_stale(core, message)
        # A report that was overtaken may still tell what its child wants: the one that came first need not.
        wanting = message.child if stale and self._may_want(core, message) else ""
        before = _state(core, wanting)
        effects = core.step(at(self.now_s), message)
        refused = stale or _is_refused(message, effects)
        if refused and (after := _state(core, wanting)) != before:
            raise FoundError(f"{target} refused {message}, and changed: {before} became {after}")
        for effect in effects:
            self._carry_out(target, effect)
        if (
            isinstance(core, Trunk)
            and isinstance(message, Report)
            and not refused
            and (message.wants is not None or message.since_s is not None)
        ):
            # Whatever is believed now is traded at once: the next honest report would replace it.
            allocate(
                core.request(at(self.now_s)), SITE.manager_config(), at(self.now_s).wall_us, forecast=False
            )

    def _is_stale(self, core: Any, message: Any) -> bool:
        if not (isinstance(core, Trunk) and isinstance(message, Report)):
            return False
        account = core.branch.ledger.accounts[message.child]
        return message.boot == account.boot and message.t_child_s <= account.told_s

    def _may_want(self, core: Any, report: Report) -> bool:
        asked: bool = core.branch._children[report.child].asked.is_older_than(report)
        return asked

    # --- the tree's own ways ---------------------------------------------------------------------

    def _carry_out(self, name: str, effect: Effect) -> None:
        match effect:
            case Say("error", text):
                raise FoundError(f"{name}: {text}")
            case ToParent(message):
                self.heard(name, PARENTS[name], message) if name != "root" else None
            case ToChild(child, message):
                self.heard(name, child, message)
            case ToDriver(message):
                self.heard(name, "hardware", message)
            case ToGateway(outcome):
                self.outcomes.append(outcome)
                return
        if not (name == "root" and isinstance(effect, ToParent)):
            super()._carry_out(name, effect)

    def check(self) -> None:
        """Right's fuse, which no lie from above may overload."""
        in_force = self.in_force()
        if (sum_A := in_force["r1"] + in_force["r2"]) > RIGHT_FUSE_A + CRUMB_A:
            raise FoundError(f"right carries {sum_A:.1f} A of {RIGHT_FUSE_A:g} A")


def _is_refused(message: Any, effects: Sequence[Effect]) -> bool:
    match message:
        case Grant():
            return any(isinstance(e, Say) and e.text.startswith("grant not taken") for e in effects)
        case Command():
            outcomes = (e.message for e in effects if isinstance(e, ToParent | ToGateway))
            return any(isinstance(o, Outcome) and o.id == message.id and o.error for o in outcomes)
    return False


def _state(core: Any, wanting: str = "") -> Any:
    """What a refused message must leave as it is; one that may tell what a child wants changes that alone."""
    state: list[Any] = [core.sources.version, [name for name, _ in core.sources.in_force()]]
    if isinstance(core, NodeCore | EvseCore):
        state += [core._lease.acked, core._lease.expires_s(), core._lease.grant]
    if isinstance(core, Trunk):
        for name, account in core.branch.ledger.accounts.items():
            child = core.branch._children[name]
            state += [account.boot, account.told_s, account.heard_s, account.acked, account.committed]
            state += [account.fallback, child.status]
            if name != wanting:
                state.append(child.wants)
    return state
