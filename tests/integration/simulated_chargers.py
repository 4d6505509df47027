"""OCPP chargers for the tests: the `ocpp` package's charge points over real websockets, each with a car that
takes all that it may. They obey their profiles on their own clocks, as long as they are told to."""

# The package's decorators have no types.
# mypy: disable-error-code="untyped-decorator, import-untyped"

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

import ocpp.v16
import ocpp.v16.call
import ocpp.v16.call_result
import ocpp.v201
import ocpp.v201.call
import ocpp.v201.call_result
from ocpp.routing import on
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from actors.event_loop import EventLoop
from tests.integration.conftest import wait_for

logging.getLogger("ocpp").setLevel(logging.CRITICAL)

CAR_A = 32.0
MINIMUM_A = 6.0
RECONNECT_S = 0.3
LEVELS = 3
SAMPLE_S = 0.02


class Profile:
    """One that it was given."""

    def __init__(self, limit_A: float, start: datetime | None, duration_s: float | None) -> None:
        self.limit_A, self.start = limit_A, start
        self.ends = None if start is None or duration_s is None else start + timedelta(seconds=duration_s)

    def holds(self, now: datetime) -> bool:
        return (self.start is None or self.start <= now) and (self.ends is None or now < self.ends)


class Charger:
    """The hardware, and its connection to its master."""

    def __init__(self, identity: str, version: str, url: str, password: str, wrong_by_s: float = 0.0) -> None:
        self.identity, self.version = identity, version
        self._url = f"{url}/{identity}"
        pair = base64.b64encode(f"{identity}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {pair}"}
        self.clock_ahead = timedelta(seconds=wrong_by_s)
        self.keeps_clock = wrong_by_s != 0.0
        self.profiles: dict[tuple[str, int], Profile] = {}
        self.cleared = 0
        self.told: list[float] = []
        """Limits that it was told, its default apart."""
        self.plugged = False
        self.transaction: int | str | None = None
        self.refuses = self.ignores = self.hangs = self.offline = False
        self.ignored_A: float | None = None
        self.stopped = False
        self.socket: Any = None
        self._point: Any = None
        self._sequence = 0

    # --- hardware ------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.clock_ahead

    def set_clock(self, text: str) -> None:
        if not self.keeps_clock:
            self.clock_ahead = datetime.fromisoformat(text) - datetime.now(UTC)

    def allows_A(self) -> float:
        """What its car may take per phase."""
        if self.ignored_A is not None:
            return self.ignored_A if self.transaction is not None else 0.0
        return self.limit_A() if self.plugged else 0.0

    def limit_A(self) -> float:
        """By its profiles; one that has none lets all pass."""
        now = self.clock()
        for level in reversed(range(LEVELS + 1)):
            profile = self.profiles.get(("TxDefaultProfile", level))
            if profile is not None and profile.holds(now):
                return profile.limit_A
        return CAR_A

    def flows_A(self) -> float:
        allowed_A = min(CAR_A, self.allows_A())
        return allowed_A if self.transaction is not None and allowed_A >= MINIMUM_A else 0.0

    def set_profile(self, profile: dict[str, Any], schedule: dict[str, Any]) -> str:
        level = profile["stack_level"]
        limit_A = float(schedule["charging_schedule_period"][0]["limit"])
        lasts = schedule.get("duration")
        if lasts is not None:
            self.told.append(limit_A)
            if self.refuses:
                return "Rejected"
            if self.ignores:
                return "Accepted"
        start = schedule.get("start_schedule")
        begins = None if start is None else datetime.fromisoformat(start)
        self.profiles[(profile["charging_profile_purpose"], level)] = Profile(limit_A, begins, lasts)
        return "Accepted"

    def clear(self, purpose: str | None, level: int | None) -> str:
        self.cleared += 1
        mine = [key for key in self.profiles if purpose in (None, key[0]) and level in (None, key[1])]
        for key in mine:
            del self.profiles[key]
        return "Accepted" if mine else "Unknown"

    @property
    def is_cleared(self) -> bool:
        """Whether what it had was taken away, and it has a default again."""
        return self.cleared > 0 and self.limit_A() < CAR_A

    def ignore_from_now(self) -> None:
        """Whatever it accepts, it goes on as now."""
        self.ignored_A, self.ignores = self.allows_A(), True

    def obey_again(self) -> None:
        self.ignored_A, self.ignores = None, False

    def status(self) -> str:
        if not self.plugged:
            return "Available"
        if self.transaction is None:
            return "Preparing"
        return "Charging" if self.flows_A() > 0.0 else "SuspendedEVSE"

    # --- connection -----------------------------------------------------------------------------------

    async def live(self) -> None:
        """Connect, and again whenever the connection ends."""
        while True:
            if not self.offline:
                try:
                    protocol = Subprotocol("ocpp1.6" if self.version == "1.6" else "ocpp2.0.1")
                    async with connect(
                        self._url,
                        subprotocols=[protocol],
                        additional_headers=self._headers,
                        proxy=None,
                        close_timeout=0.5,
                    ) as socket:
                        await self._converse(socket)
                except (OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                    pass
            await asyncio.sleep(RECONNECT_S)

    async def _converse(self, socket: Any) -> None:
        self.socket = socket
        kind = Point16 if self.version == "1.6" else Point201
        self._point = kind(self, socket)
        reading = asyncio.create_task(self._point.start())
        working = asyncio.create_task(self._work())
        done, left = await asyncio.wait([reading, working], return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for task in done:
            task.result()

    async def _work(self) -> None:
        await self._point.boot()
        told = None
        while not self.offline:
            if self.plugged and self.transaction is None and not self.stopped:
                self.transaction = await self._point.begin()
            elif not self.plugged and self.transaction is not None:
                await self._point.end()
                self.transaction = None
            if (status := self.status()) != told:
                told = status
                await self._point.tell_status()
            if self.transaction is not None:
                await self._point.tell_meter()
            await asyncio.sleep(0.5)

    def cut(self) -> None:
        """The network is gone, and the connection with it."""
        self.offline = True

    async def hang_if_told(self) -> None:
        while self.hangs:
            await asyncio.sleep(0.05)


def _sampled(charger: Charger) -> list[dict[str, Any]]:
    flows_A = charger.flows_A()
    return [
        {"value": f"{flows_A:.1f}", "measurand": "Current.Import", "phase": phase, "unit": "A"}
        for phase in ("L1", "L2", "L3")
    ]


class Point16(ocpp.v16.ChargePoint):  # type: ignore[misc]
    """Speaks 1.6."""

    def __init__(self, charger: Charger, socket: Any) -> None:
        super().__init__(charger.identity, socket, response_timeout=10)
        self.charger = charger

    @on("SetChargingProfile")
    async def on_set(self, cs_charging_profiles: dict[str, Any], **_: Any) -> Any:
        await self.charger.hang_if_told()
        schedule = cs_charging_profiles["charging_schedule"]
        return ocpp.v16.call_result.SetChargingProfile(
            status=self.charger.set_profile(cs_charging_profiles, schedule)
        )

    @on("ClearChargingProfile")
    def on_clear(self, **_: Any) -> Any:
        # One of those that take away all, whatever they are asked to.
        return ocpp.v16.call_result.ClearChargingProfile(status=self.charger.clear(None, None))

    @on("GetConfiguration")
    def on_get(self, **_: Any) -> Any:
        found = {
            "ChargeProfileMaxStackLevel": str(LEVELS),
            "ChargingScheduleAllowedChargingRateUnit": "Current",
        }
        keys = [{"key": key, "readonly": True, "value": value} for key, value in found.items()]
        return ocpp.v16.call_result.GetConfiguration(configuration_key=keys)

    @on("ChangeConfiguration")
    def on_change(self, **_: Any) -> Any:
        return ocpp.v16.call_result.ChangeConfiguration(status="NotSupported")

    @on("TriggerMessage")
    def on_trigger(self, **_: Any) -> Any:
        return ocpp.v16.call_result.TriggerMessage(status="NotImplemented")

    @on("RemoteStopTransaction")
    def on_stop(self, transaction_id: int, **_: Any) -> Any:
        return ocpp.v16.call_result.RemoteStopTransaction(status="Rejected")

    async def boot(self) -> None:
        call = ocpp.v16.call.BootNotification(charge_point_model="bench", charge_point_vendor="tests")
        self.charger.set_clock((await self.call(call)).current_time)

    def _stamp(self) -> str:
        return self.charger.clock().strftime("%Y-%m-%dT%H:%M:%SZ")

    async def begin(self) -> int:
        call = ocpp.v16.call.StartTransaction(
            connector_id=1, id_tag="card", meter_start=0, timestamp=self._stamp()
        )
        return int((await self.call(call)).transaction_id)

    async def end(self) -> None:
        number = int(self.charger.transaction or 0)
        await self.call(
            ocpp.v16.call.StopTransaction(meter_stop=1, timestamp=self._stamp(), transaction_id=number)
        )

    async def tell_status(self) -> None:
        await self.call(
            ocpp.v16.call.StatusNotification(
                connector_id=1, error_code="NoError", status=self.charger.status(), timestamp=self._stamp()
            )
        )

    async def tell_meter(self) -> None:
        values = [{"timestamp": self._stamp(), "sampledValue": _sampled(self.charger)}]
        await self.call(ocpp.v16.call.MeterValues(connector_id=1, meter_value=values))


class Point201(ocpp.v201.ChargePoint):  # type: ignore[misc]
    """Speaks 2.0.1."""

    def __init__(self, charger: Charger, socket: Any) -> None:
        super().__init__(charger.identity, socket, response_timeout=10)
        self.charger = charger
        self._number = 0

    @on("SetChargingProfile")
    async def on_set(self, charging_profile: dict[str, Any], **_: Any) -> Any:
        await self.charger.hang_if_told()
        schedule = charging_profile["charging_schedule"][0]
        return ocpp.v201.call_result.SetChargingProfile(
            status=self.charger.set_profile(charging_profile, schedule)
        )

    @on("ClearChargingProfile")
    def on_clear(self, charging_profile_criteria: dict[str, Any] | None = None, **_: Any) -> Any:
        criteria = charging_profile_criteria or {}
        if criteria.get("evse_id") == 0:
            return ocpp.v201.call_result.ClearChargingProfile(status="Unknown")
        status = self.charger.clear(criteria.get("charging_profile_purpose"), criteria.get("stack_level"))
        return ocpp.v201.call_result.ClearChargingProfile(status=status)

    @on("GetVariables")
    def on_get(self, get_variable_data: list[dict[str, Any]], **_: Any) -> Any:
        found = {"ProfileStackLevel": str(LEVELS), "RateUnit": "A,W"}
        results = [
            {
                "attributeStatus": "Accepted",
                "attributeValue": found[wanted["variable"]["name"]],
                "component": wanted["component"],
                "variable": wanted["variable"],
            }
            for wanted in get_variable_data
        ]
        return ocpp.v201.call_result.GetVariables(get_variable_result=results)

    async def boot(self) -> None:
        station = {"model": "bench", "vendorName": "tests"}
        call = ocpp.v201.call.BootNotification(charging_station=station, reason="PowerUp")
        self.charger.set_clock((await self.call(call)).current_time)

    def _stamp(self) -> str:
        return self.charger.clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    async def _event(self, kind: str, **more: Any) -> None:
        self._number += 1
        info = {"transactionId": str(self.charger.transaction), "chargingState": self._state()}
        await self.call(
            ocpp.v201.call.TransactionEvent(
                event_type=kind,
                timestamp=self._stamp(),
                trigger_reason="MeterValuePeriodic",
                seq_no=self._number,
                transaction_info=info,
                evse={"id": 1, "connectorId": 1},
                **more,
            )
        )

    def _state(self) -> str:
        return "Charging" if self.charger.flows_A() > 0.0 else "SuspendedEVSE"

    async def begin(self) -> str:
        self.charger.transaction = f"session-{time.monotonic_ns()}"
        await self._event("Started", id_token={"idToken": "card", "type": "ISO14443"})
        return str(self.charger.transaction)

    async def end(self) -> None:
        await self._event("Ended")

    async def tell_status(self) -> None:
        status = "Occupied" if self.charger.plugged else "Available"
        await self.call(
            ocpp.v201.call.StatusNotification(
                timestamp=self._stamp(), connector_status=status, evse_id=1, connector_id=1
            )
        )

    async def tell_meter(self) -> None:
        samples = [
            {
                "value": float(sample["value"]),
                "measurand": sample["measurand"],
                "phase": sample["phase"],
                "unitOfMeasure": {"unit": "A"},
            }
            for sample in _sampled(self.charger)
        ]
        await self._event("Updated", meter_value=[{"timestamp": self._stamp(), "sampledValue": samples}])


class Bench:
    """Chargers on a loop of their own, and what they allow together, looked at all the time."""

    def __init__(self, chargers: list[Charger], fuse_A: float) -> None:
        self.chargers = chargers
        self._fuse_A = fuse_A
        self.samples = 0
        self.over: list[str] = []
        self.most_A = 0.0
        self.changed_s = [0.0] * len(chargers)
        """When what each allows was last seen to be another than before."""
        self._allowed_A: list[float] = []
        self._loop = EventLoop("chargers")
        self._loop.start()
        self._tasks: list[Future[None]] = [self._loop.task(charger.live()) for charger in chargers]
        self._tasks.append(self._loop.task(self._look()))

    async def _look(self) -> None:
        while True:
            allowed_A = [charger.allows_A() for charger in self.chargers]
            self.samples += 1
            self.most_A = max(self.most_A, sum(allowed_A))
            for number, (before_A, now_A) in enumerate(zip(self._allowed_A, allowed_A, strict=False)):
                if now_A != before_A:
                    self.changed_s[number] = time.monotonic()
            self._allowed_A = allowed_A
            if sum(allowed_A) > self._fuse_A + 1e-6:
                self.over.append(f"{allowed_A} A")
            await asyncio.sleep(SAMPLE_S)

    def share(self) -> list[float]:
        """What each allows now."""
        return [round(charger.allows_A(), 1) for charger in self.chargers]

    def until(self, what: str, condition: Callable[[], object], timeout_s: float = 60.0) -> None:
        """Wait, while no fuse is overloaded and nothing has died."""

        def checked() -> object:
            assert not self.over, self.over[0]
            for task in self._tasks:
                if task.done():
                    task.result()
            return condition()

        try:
            wait_for(what, checked, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; shares are {self.share()}") from error

    def end(self) -> None:
        self._loop.task(self._close()).result(10.0)
        self._loop.stop()

    async def _close(self) -> None:
        """Until all is closed, sockets too."""
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for charger in self.chargers:
            if charger.socket is not None:
                charger.socket.transport.abort()
        await asyncio.sleep(0.05)
