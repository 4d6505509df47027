"""Frames at links, control socket, drivers and plant: spoiled, opened, routed, and acted on.

Each frame goes the way that it goes in a controller: split, header, body, typed message, switchboard or
gateway. One in DEEP_EVERY of those that are let in is also acted on by the household's cores.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec

from actors import identities
from actors.energy.external import CancelDelay, ClearLimits, Heartbeat, SetLimits, ShortLimits, short_form
from actors.energy.messages import Actuate, Command, Grant, Outcome, Report
from actors.gateways.control import ControlGateway
from actors.handle import Handle
from actors.plant.installation import Installation
from actors.plant.messages import (
    Commands,
    PlantCommand,
    Plug,
    Readings,
    ResetBreaker,
    SetFixedLoad,
    SetMeter,
    Unplug,
    Watch,
)
from actors.plant.process import Outlet, Plant
from actors.plant.story import parse_story
from actors.state import StateFolder
from actors.switchboard import Switchboard
from actors.wiring import MESSAGE_MAX_B, SourceRequest, StatusRequest, tree_registry
from tests.energy.builders import stamp
from tests.fuzz.household import SITE, FoundError, Household
from tests.fuzz.mutators import Values, spoil_bytes
from transport import Delivery
from transport.bodies import body_fault
from transport.frames import VERSION, join, split
from transport.inbound import Refused, open_message

BYTES_SHARE = 0.4
"""Of the frames that are spoiled as bytes, not as values."""
DEEP_EVERY = 8
"""Of so many messages that are let in one is acted on, too."""
TURN = 40
"""Messages acted on between two turns of the honest rest of the site."""
TURN_S = 0.25
LIVES = 500
"""Messages acted on in the life of one household: then all begins anew, with all doubts forgotten."""
RESAMPLE_EVERY = 4_000
"""Frames between two looks at what honest modules say now."""
WARM_UP_S = 30.0
NUMBERS_OF = {"report": 4, "grant": 4, "command": 1, "outcome": 1, "readings": 4, "client": 2, "plant": 2}
"""How often each kind of route is taken, in proportion."""

SPEAKERS = {
    "main": ("controller/left",),
    "right": ("controller/main",),
    "control": ("operator/fuzz", "operator/fuzz", "reader/fuzz"),
    "driver": ("plant",),
    "plant": ("controller/left", "operator/fuzz"),
}
"""Whose keys open each socket."""


class Route(NamedTuple):
    """What its header says of a frame, and the socket at which it arrives."""

    kind: str
    sender: str
    source: str
    target: str
    socket: str
    message: Any


class _Catcher(Handle):
    """Instead of an actor's inbox."""

    def __init__(self, name: str, caught: list[tuple[str, Any]]) -> None:
        super().__init__(name)
        self._caught = caught

    def tell(
        self, message: Any, key: Hashable = None, after: Hashable = None, *, urgent: bool = False
    ) -> bool:
        hash((key, after))
        self._caught.append((self.name, message))
        return True


class Links:
    """Spoils and delivers one frame after the other; raises FoundError, or whatever was not caught."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.verdicts: Counter[str] = Counter()
        self.acted_on = 0
        self.largest_B = 0
        self.frame = b""
        """The one under way."""
        self._frames = 0
        self._ages = 0
        self._seed = seed
        self._registry = tree_registry()
        self._caught: list[tuple[str, Any]] = []
        handles = {name: _Catcher(name, self._caught) for name in SITE.modules}
        state = StateFolder(Path(tempfile.gettempdir()) / "amptree-fuzz-unused")
        self._boards = {
            name: Switchboard(SITE, name, {m: handles[m] for m in controller.modules}, state)
            for name, controller in SITE.controllers.items()
        }
        self._replies: list[Any] = []
        self._gateway = ControlGateway(SITE, "main", {"root": handles["root"]})
        self._gateway.port = SimpleNamespace(send=self._reply)  # type: ignore[assignment]
        self._plant = _plant(self._reply)
        self._begin()

    def _begin(self) -> None:
        self._ages = 0
        self._household = Household(self._seed + self.acted_on)
        self._household.run(WARM_UP_S, self._household.check)
        self._sample()

    # --- what is spoiled -------------------------------------------------------------------------

    def _sample(self) -> None:
        """What honest modules say now, and the other things that may be said to a site."""
        self._routes = [route for route in self._honest_routes() for _ in range(NUMBERS_OF[route.kind])]
        self._values = [self._as_values(route) for route in self._routes]
        self._honest_frames = [self._encode(*values) for values in self._values]
        self._spoiler = Values(self.random, [body for _, body in self._values])

    def _honest_routes(self) -> list[Route]:
        last = {key: kept[-1] for key, kept in self._household.traffic.items()}
        routes = []
        for (source, target, kind), message in last.items():
            if kind is Report and (source, target) == ("left", "root"):
                kept = self._household.traffic[source, target, kind]
                full = next((m for m in reversed(kept) if m.wants is not None), message)
                part = next((m for m in reversed(kept) if m.changes), message)
                samples = (message, full, part, msgspec.structs.replace(full, status=()))
                routes += [Route("report", "left", source, target, "main", sample) for sample in samples]
            if kind is Grant and (source, target) == ("root", "right"):
                routes.append(Route("grant", "main", source, target, "right", message))
        week = short_form(ShortLimits(total_power_W=20e3, setpoint_W=9e3), "sun")
        week = msgspec.structs.replace(
            week,
            schedule_import=tuple(
                msgspec.structs.replace(week.schedule_import[0], timestamp=stamp(900.0 * quarter))
                for quarter in range(4)
            ),
        )
        events: tuple[SetLimits | ClearLimits | Heartbeat | CancelDelay, ...] = (
            SetLimits(source="sun", limits=week, for_s=60.0),
            SetLimits(source="grid", limits=short_form(ShortLimits(ac_max_current_A=40.0), "grid")),
            ClearLimits(source="sun"),
            Heartbeat(source="grid"),
            CancelDelay(source="grid"),
        )
        for number, event in enumerate(events):
            command = Command(id=f"c:{number}", origin="root", target="right", event=event)
            routes.append(Route("command", "main", "root", "right", "right", command))
            for target in ("root", "l1"):
                asked = SourceRequest(id=str(number), target=target, event=event)
                routes.append(Route("client", "client", "client", "", "control", asked))
        routes.append(
            Route("client", "client", "client", "", "control", StatusRequest(id="1", with_request=True))
        )
        routes.append(Route("outcome", "left", "left", "root", "main", Outcome(id="c:1", origin="root")))
        now_s = self._household.now_s
        readings = {evse: self._household.hardware[evse].reading(now_s) for evse in ("l1", "l2")}
        routes.append(Route("readings", "plant", "", "", "driver", Readings(readings)))
        told = {evse: last[evse, "hardware", Actuate] for evse in ("l1", "l2")}
        car = {"evse": "r1", "battery_kWh": 50, "soc_percent": 20, "max_current_A": 16, "phases": 3}
        for message in (
            Commands(told),
            Watch(driver="d", evses=("l1", "l2")),
            PlantCommand(id="1", event=Plug(car=car)),
            PlantCommand(id="2", event=Unplug(evse="r1")),
            PlantCommand(id="3", event=SetFixedLoad(node="left", currents_A=(1.0, 2.0, 3.0))),
            PlantCommand(id="4", event=ResetBreaker(node="left")),
            PlantCommand(id="5", event=SetMeter(node="left", state="frozen")),
        ):
            routes.append(Route("plant", "left", "", "", "plant", message))
        return routes

    def _as_values(self, route: Route) -> tuple[list[Any], Any]:
        kind = self._registry.kind_of(route.message)
        header = [VERSION, kind, route.sender, route.source, route.target, 1 + self._frames]
        body = msgspec.to_builtins(route.message, builtin_types=(bytes,))
        decoder = self._registry.decoder(kind)
        assert decoder is not None, kind
        assert decoder.decode(msgspec.msgpack.encode(body)) == route.message, "an honest one"
        return header, body

    def _encode(self, header: Any, body: Any) -> bytes:
        return join(msgspec.msgpack.encode(header)[:65_535], msgspec.msgpack.encode(body))

    def _spoiled(self, at: int) -> bytes:
        random = self.random
        if random.random() < BYTES_SHARE:
            return spoil_bytes(random, self._honest_frames[at], self._honest_frames)
        header, body = self._values[at]
        if random.random() < 0.1:
            header = self._spoiler.spoil(header)
        else:
            body = self._refreshed(self._routes[at], self._spoiler.spoil(body))
        try:
            return self._encode(header, body)
        except (OverflowError, TypeError, UnicodeEncodeError, RecursionError):  # no MessagePack can say it
            return spoil_bytes(random, self._honest_frames[at], self._honest_frames)

    def _refreshed(self, route: Route, body: Any) -> Any:
        """Made to look new, most of the time: else all would be dropped as late, and after one from the
        far future all that come later."""
        random = self.random
        if random.random() < 0.1 or not isinstance(body, dict):
            return body
        self._ages += 1
        now_s, message = self._household.now_s, route.message
        match route.kind:
            case "report":
                return {**body, "boot": message.boot, "t_child_s": now_s + 1e-6 * self._ages}
            case "grant":
                order = {"epoch": message.order.epoch, "seq": message.order.seq + self._ages}
                return {**body, "boot": message.boot, "t_echo_s": now_s - 0.1, "order": order}
            case "readings" if isinstance(body.get("evses"), dict):
                return {"evses": {evse: self._later(reading) for evse, reading in body["evses"].items()}}
        return body

    def _later(self, reading: Any) -> Any:
        t_s = reading.get("t_hardware_s") if isinstance(reading, dict) else None
        return {**reading, "t_hardware_s": t_s + 1e-6 * self._ages} if isinstance(t_s, float) else reading

    # --- the way of a frame ----------------------------------------------------------------------

    def feed(self) -> None:
        """One frame."""
        if self._frames % RESAMPLE_EVERY == RESAMPLE_EVERY - 1:
            self._sample()
        self._frames += 1
        at = int(self.random.random() * len(self._routes))
        route = self._routes[at]
        frame = self.frame = self._spoiled(at)
        self.largest_B = max(self.largest_B, len(frame))
        self.verdicts[self._open(route, frame)] += 1

    def _open(self, route: Route, frame: bytes) -> str:
        parts = split(frame)
        if parts is None:
            return "bad_frames"
        message = open_message(*parts, self._registry, MESSAGE_MAX_B)
        if isinstance(message, Refused):
            return str(message.reason)
        header = message.header
        delivery = Delivery(
            port_name="fuzz",
            peer=route.sender,
            # The key of the connection says who it is, not the header.
            identity=self.random.choice(SPEAKERS[route.socket]),
            source=header.source,
            target=header.target,
            kind=header.kind,
            message=message.body,
            size=len(parts[1]),
        )
        return self._deliver(route, delivery)

    def _deliver(self, route: Route, delivery: Delivery) -> str:
        self._caught.clear()
        deep = int(self.random.random() * DEEP_EVERY) == 0
        match route.socket:
            case "control":
                self._gateway.on_message(delivery)
            case "driver":
                if isinstance(delivery.message, Readings):
                    readings = delivery.message.evses
                    self._caught.extend((evse, readings[evse]) for evse in ("l1", "l2") if evse in readings)
            case "plant":
                self._plant._take(self._household.now_s, delivery)
                if deep:
                    self._plant.installation.step(self._household.now_s)
                    self._check_plant()
                return "plant"
            case _:
                self._boards[route.socket].from_link(delivery)
        if not self._caught:
            return "not its place"
        if deep:
            self._act()
        return "let in"

    def _act(self) -> None:
        self.acted_on += 1
        for target, message in list(self._caught):
            self._household.suffer(target, message)
        for outcome in self._household.outcomes:
            self._gateway.outcome(outcome)
        self._household.outcomes.clear()
        if self.acted_on % TURN == 0:
            self._household.run(TURN_S, self._household.check)
        if self.acted_on % LIVES == 0:
            self._begin()

    def _reply(self, message: Any, **_: Any) -> bool:
        """What is answered can be sent."""
        if (fault := body_fault(msgspec.msgpack.encode(message))) is not None:
            raise FoundError(f"an answer cannot be sent ({fault}): {message}")
        return True

    def _check_plant(self) -> None:
        for outlet in self._plant._outlets.values():
            self._reply(outlet.evse.reading(self._household.now_s))
        self._plant.installation.take_notices()


def _plant(reply: Any) -> Plant:
    """A plant that listens nowhere."""
    plant = Plant.__new__(Plant)
    plant._site = SITE
    plant.installation = Installation(SITE, parse_story({}, SITE), 0.0)
    plant._meters = plant.installation.meters
    plant._outlets = {evse.id: Outlet(evse) for evse in plant.installation.evses.values()}
    plant._drivers = {m: identities.controller(SITE.controller_of(m).name) for m in SITE.modules}
    plant._port = SimpleNamespace(send=reply)  # type: ignore[assignment]
    return plant
