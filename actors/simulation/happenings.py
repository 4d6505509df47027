"""What a plan's happenings do to the world: processes end, stop and begin, links fail, people act."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.energy.amount import Amount
from actors.simulation.checker import STRETCH
from actors.simulation.clocks import RHO
from actors.simulation.commands import send_command
from actors.simulation.network import WAYS
from actors.simulation.plan import (
    Appetite,
    Ask,
    ClearLimit,
    Clog,
    Crash,
    Cut,
    Detour,
    DiskFails,
    Fault,
    GiveBack,
    JumpWall,
    Leave,
    Load,
    MeterFails,
    Pause,
    Plug,
    Rebirth,
    RestartHardware,
    SetLimit,
    Unplug,
    Weather,
    Workload,
)
from actors.simulation.processes import Process, Slot, Trap
from actors.site import EvseManagerConfig

if TYPE_CHECKING:
    from actors.simulation.world import World

LOST_INTERVALS = 14.0
"""So long, stretched by RHO and by its own clock, a node that has lost its state grants nothing: all that
it may have granted before must have run out."""


def happen(world: World, what: Workload | Fault) -> None:
    """Something of the plan comes true."""
    if world.recorder is not None:
        world.recorder.happened(world.now_s, what)
    match what:
        case Crash() | Pause() | Leave():
            _strike(world, what)
        case Rebirth(module=module):
            if world.slots[module].process.state == "up":
                begin_life(world, world.slots[module])
        case RestartHardware(evse=evse, for_s=for_s, opens=opens):
            back_s = max(world.now_s, min(world.now_s + for_s, world.plan.hurt_s))
            world.evses[evse].hardware.restart(world.now_s, back_s, opens=opens)
            world.field.touched(evse)
        case GiveBack(module=module, current_A=current_A, for_s=for_s):
            until_s = min(world.now_s + for_s, world.plan.hurt_s)
            watt = current_A * 3.0 * world.site.manager_config().nominal_ac_voltage
            world.slots[module].gives_back = until_s, Amount(export_A=current_A, export_W=watt)
        case DiskFails(process=name, for_s=for_s):
            world.processes[name].disk_fails_until_s = min(world.now_s + for_s, world.plan.hurt_s)
        case JumpWall(process=name, by_s=by_s):
            world.processes[name].clocks.jump_wall(by_s)
        case Cut() | Clog() | Detour() | Weather():
            _spoil(world, what)
        case Plug(evse=evse, car=car):
            world.evses[evse].hardware.plug(world.now_s, car)
            world.field.touched(evse)
        case Unplug(evse=evse):
            world.evses[evse].hardware.unplug(world.now_s)
            world.field.touched(evse)
        case Ask(evse=evse, asks=asks):
            world.evses[evse].hardware.ask(world.now_s, asks)
            world.field.touched(evse)
        case Appetite(evse=evse, share=share):
            world.evses[evse].hardware.appetite(world.now_s, share)
            world.field.touched(evse)
        case SetLimit() | ClearLimit():
            send_command(world, what)
        case Load(node=node, current_A=current_A):
            world.meters.load(node, current_A)
        case MeterFails(node=node, how=how, for_s=for_s):
            world.meters.fail(node, how, for_s)


# --- processes -------------------------------------------------------------------------------------


def _strike(world: World, what: Crash | Pause | Leave) -> None:
    process = world.processes[what.process]
    if process.state == "down":
        return
    after = None if isinstance(what, Leave) else what.after_effects
    lost, reboots = (what.loses_state, what.reboots) if isinstance(what, Crash) else (False, False)
    if after is not None and process.state == "up":
        process.trap = Trap(after, isinstance(what, Pause), what.for_s, lost, reboots)
    elif isinstance(what, Pause):
        _pause(world, process, what.for_s)
    else:
        if isinstance(what, Leave) and process.state == "up":
            _say_farewell(world, process)
        _end(world, process, what.for_s, loses_state=lost, reboots=reboots)


def spring(world: World, process: Process) -> None:
    """A process ends or stops in the middle of a step."""
    trap, process.trap = process.trap, None
    assert trap is not None
    if trap.pauses:
        _pause(world, process, trap.for_s)
    else:
        _end(world, process, trap.for_s, loses_state=trap.loses_state, reboots=trap.reboots)


def _say_farewell(world: World, process: Process) -> None:
    now = process.clocks.now(world.now_s)
    for slot in process.slots:
        if slot.core is not None:
            world.carry_out(slot, slot.core.farewell(now))


def _end(world: World, process: Process, for_s: float, *, loses_state: bool, reboots: bool) -> None:
    """A process dies; what it had in mind is gone, what it has sent is under way."""
    turn = process.turn_to("down")
    if reboots:
        process.clocks.begin_anew(world.now_s)
    process.trap = None
    process.waiting.clear()
    process.unfinished.clear()
    for slot in process.slots:
        slot.end()
        slot.memory = None
        if loses_state:
            slot.kept_sources, slot.kept_epoch = None, None
    if world.recorder is not None:
        world.recorder.process(world.now_s, process, f"ends, for {for_s:.2f} s")
    back_s = min(world.now_s + for_s, max(world.plan.hurt_s, world.now_s))
    world.at(back_s, restart, world, (process, turn))


def _note_lost_state(world: World) -> None:
    """A node begins, and does not know its last epoch."""
    settles_s = [
        m.config.settle_time_s for m in world.site.modules.values() if isinstance(m.config, EvseManagerConfig)
    ]
    wait_s = LOST_INTERVALS * world.site.manager_config().update_interval * STRETCH
    until_s = world.now_s + (wait_s + max(settles_s) * (1.0 + RHO)) / (1.0 - RHO)
    world.lost_state_until_s = max(world.lost_state_until_s, until_s)


def restart(world: World, who: tuple[Process, int]) -> None:
    """A process is back."""
    process, turn = who
    if process.turn != turn:
        return
    process.turn_to("up")
    if world.recorder is not None:
        world.recorder.process(world.now_s, process, "begins")
    for slot in process.slots:
        begin_life(world, slot)


def begin_life(world: World, slot: Slot) -> None:
    """A new core for a module, with what is kept on disk."""
    slot.lives += 1
    slot.memory = None
    if slot.kept_epoch is None and slot.id not in world.evses:
        _note_lost_state(world)
    now = slot.process.clocks.now(world.now_s)
    boot = f"{slot.id}/{slot.lives}"
    core = world.build(world.site, slot.id, boot, now, saved=slot.kept_sources, kept_epoch=slot.kept_epoch)
    core.tells_status = slot.id in world.meters.told
    slot.begin(core)
    world.meters.begin_life(slot.id)
    slot.wake_own_s = float("inf")
    world.note_limits(slot, slot.kept_sources)
    world.plan_wake(slot, now)


def _pause(world: World, process: Process, for_s: float) -> None:
    process.trap = None
    process.resume_s = max(process.resume_s, min(world.now_s + for_s, world.plan.hurt_s))
    if process.state == "up":
        process.turn_to("paused")
        if world.recorder is not None:
            world.recorder.process(world.now_s, process, f"stands still, for {for_s:.2f} s")
    world.at(max(process.resume_s, world.now_s), _resume, world, process)


def _resume(world: World, process: Process) -> None:
    if process.state != "paused" or world.now_s < process.resume_s:
        return
    process.turn_to("up")
    if world.recorder is not None:
        world.recorder.process(world.now_s, process, "goes on")
    unfinished, process.unfinished = process.unfinished, []
    waiting = list(process.waiting)
    process.waiting.clear()
    for slot, core, effects in unfinished:
        if process.is_up() and slot.core is core:
            world.carry_out(slot, effects)
    for slot, message in waiting:
        world.deliver(slot, message)
    if process.is_up():
        now = process.clocks.now(world.now_s)
        for slot in process.slots:
            slot.wake_own_s = float("inf")
            world.plan_wake(slot, now)


def mend(world: World, _: Any) -> None:
    """Nothing goes wrong any more. Clocks keep their rates, but all show the same civil time again: nodes
    that differ there read schedules differently. Cars that pause go on: an EVSE needs its time to find out
    that one does not want what it is offered, and others would wait for that."""
    for name, evse in world.evses.items():
        if evse.hardware.car is not None:
            evse.hardware.ask(world.now_s, True)
            world.field.touched(name)
    world.meters.mend()
    for process in world.processes.values():
        process.trap = None
        process.clocks.correct_wall()
        if process.state == "paused":
            process.resume_s = world.now_s
            _resume(world, process)
        elif process.state == "down":
            restart(world, (process, process.turn))


# --- links -----------------------------------------------------------------------------------------


def _spoil(world: World, what: Cut | Clog | Detour | Weather) -> None:
    until_s = world.now_s + what.for_s
    for way in WAYS:
        link = world.links[what.link, way]
        if isinstance(what, Weather):
            link.weather(what.quality, until_s)
        elif what.direction not in ("both", way):
            continue
        elif isinstance(what, Detour):
            link.detour(until_s, what.late_s)
        else:
            (link.cut if isinstance(what, Cut) else link.clog)(until_s, what.after_messages)
