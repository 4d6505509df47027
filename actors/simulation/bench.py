"""What a world is made of: processes, slots, links and hardware, each with its own random stream."""

from __future__ import annotations

from random import Random

from actors.simulation.clocks import ProcessClocks, WallClock, draw_clock
from actors.simulation.hardware import Hardware
from actors.simulation.network import DRIVER, GOOD, WAYS, Link
from actors.simulation.plan import Plan
from actors.simulation.processes import Process, Slot
from actors.simulation.streams import stream
from actors.site import EvseManagerConfig

HOUR_US = 3_600_000_000
SLACK_S = 400.0
"""Clocks are drawn so far beyond the end of a plan."""


class Evse:
    """Hardware as the world holds it: with its links, and what is already known of it."""

    def __init__(
        self, slot: Slot, hardware: Hardware, up: Link, down: Link, offset: float, period_s: float
    ) -> None:
        self.id = slot.id
        self.index = slot.index
        self.slot = slot
        self.hardware = hardware
        self.up = up
        self.down = down
        self.offset = offset
        self.period_s = period_s
        """True seconds between two readings in which nothing changed."""
        self.flow = (-1.0, -1.0)
        self.revision = 0
        self.timer = 0
        """The readings that count; those planned under an earlier number are void."""
        self.next_s = float("inf")


Links = dict[tuple[str, str], Link]


def make_bench(plan: Plan) -> tuple[dict[str, Process], dict[str, Slot], Links, dict[str, Evse]]:
    """All that a plan needs."""
    seed, site = plan.seed, plan.site
    until_s = plan.hurt_s + plan.mended_s + SLACK_S
    processes: dict[str, Process] = {}
    slots: dict[str, Slot] = {}
    theme = stream(seed, "theme")
    leaning, pivot = theme.choice((0.0, 1.0, -1.0, None)), theme.randint(1, 4)
    """In half of the runs all clocks near the root are fast and all others slow, or the other way; None:
    each is one or the other."""
    numbers = {module_id: number for number, module_id in enumerate(site.modules)}
    for name, controller in site.controllers.items():
        random = stream(seed, "clock", name)
        wall = WallClock(random.randint(-HOUR_US, HOUR_US))
        near_root = len(site.path_to_root(controller.modules[0])) <= pivot
        lean = _lean(random, leaning if near_root or leaning is None else -leaning)
        processes[name] = Process(name, ProcessClocks(draw_clock(random, until_s, lean), wall))
        for hosted in controller.modules:
            slots[hosted] = Slot(hosted, numbers[hosted], processes[name])
            processes[name].slots.append(slots[hosted])
    links: Links = {}
    evses: dict[str, Evse] = {}
    volt = site.manager_config().nominal_ac_voltage
    for module_id, module in site.modules.items():
        edges = [module_id] if module.parent is not None else []
        if isinstance(module.config, EvseManagerConfig):
            edges.append(f"{module_id}{DRIVER}")
        for edge in edges:
            for way in WAYS:
                links[edge, way] = Link(
                    stream(seed, "link", edge, way),
                    plan.qualities.get(edge, GOOD),
                    in_order=edge.endswith(DRIVER) and way == "down",
                    mended_s=plan.hurt_s,
                )
        if module.parent is not None:
            slot = slots[module_id]
            slot.parent, slot.up, slot.down = slots[module.parent], *(links[module_id, way] for way in WAYS)
        if isinstance(module.config, EvseManagerConfig):
            random = stream(seed, "hardware", module_id)
            clock = draw_clock(random, until_s, _lean(random, None if leaning is None else -leaning))
            phases = site.phase_count(module_id)
            evses[module_id] = Evse(
                slots[module_id],
                Hardware(module_id, module.config, phases, volt, clock),
                links[edges[-1], "up"],
                links[edges[-1], "down"],
                offset=random.random(),
                period_s=random.uniform(1.0, 1.8),
            )
    return processes, slots, links, evses


def _lean(random: Random, leaning: float | None) -> float:
    return random.choice((1.0, -1.0)) if leaning is None else leaning
