"""One connection of a charger: it is set up, and then told what its EVSEs may let through.

    connected ──it has spoken, or a while──► set up ──its default is accepted──► ready ──► told limits

Only then is it told limits. All that is asked of a charger is asked here, one thing at a time; what needs an
answer soonest comes first.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from actors.drivers.account import Order
from actors.drivers.kinds import OcppChargersConfig
from actors.drivers.ocpp import profiles
from actors.drivers.ocpp.charger_clock import AHEAD_S, ChargerClock, SiteClock
from actors.drivers.ocpp.desk import Desk
from actors.drivers.ocpp.evse import ChargerEvse
from actors.drivers.ocpp.profiles import Terms
from actors.drivers.ocpp.setting_up import SettingUp
from actors.energy.charging_profiles.profile import Version
from actors.energy.messages import Instant
from actors.ocpp.frames import Call, Fault
from actors.ocpp.session import Answer, CallFailedError, Session

LOG = logging.getLogger("amptree.chargers")

BOOT_WAIT_S = 5.0
"""For a charger that has connected to speak first: some listen only then."""
DEFAULT_RETRY_S = 10.0
"""Between two tries to tell a charger its default."""
STOP_RETRY_S = 60.0
"""Between two tries to stop the transaction of one that ignores its limit."""
WARN_EACH_S = 30.0
"""Of a charger that takes no limits, in the log."""
WAKE_S = 1.0
CANCEL_S = 0.1


class Link:
    """Of one charger, over one websocket; `evses` by connector. On the driver's loop."""

    def __init__(
        self,
        charger: str,
        socket: Any,
        version: Version,
        config: OcppChargersConfig,
        evses: Mapping[int, ChargerEvse],
        now: Callable[[], Instant],
        site_clock: SiteClock,
        on_news: Callable[[ChargerEvse], None],
    ) -> None:
        self.charger = charger
        self._evses = evses
        self._now = now
        self._site_clock, self._clock = site_clock, ChargerClock()
        self._on_news = on_news
        self._spoken, self._news = asyncio.Event(), asyncio.Event()
        self._booted = False
        self.ended = asyncio.Event()
        self._chores: deque[Callable[[], Awaitable[None]]] = deque()
        """Left of setting up; limits come first."""
        self._stop_due_s = self._set_up_due_s = self._warn_due_s = 0.0
        self._warned = False
        self._desk = Desk(
            version,
            config,
            evses,
            now,
            (site_clock, self._clock),
            on_boot=self._on_boot,
            on_news=on_news,
        )
        self._session = Session(
            socket, version, self._answer, self._spoken.set, call_timeout_s=config.call_timeout_s
        )
        self._setting_up = SettingUp(self._ask, version, config, evses)

    def wake(self) -> None:
        """There may be something to tell."""
        self._news.set()

    async def run(self) -> None:
        """Until the connection ends, or something here is broken."""
        for evse in self._evses.values():
            evse.begin()
        tasks = [asyncio.create_task(work, name=self.charger) for work in (self._session.run(), self._work())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            while left := [task for task in tasks if not task.done()]:
                for task in left:
                    task.cancel()
                await asyncio.wait(left, timeout=CANCEL_S)  # one may have lost what cancels it
            now_s = self._now().mono_s
            for evse in self._evses.values():
                evse.lose(now_s)
            for task in tasks:
                if not task.cancelled() and (error := task.exception()) is not None:
                    LOG.error("charger %s is cut off", self.charger, exc_info=error)

    async def _answer(self, call: Call) -> Answer:
        try:
            answer = self._desk.answer(call)
        except Exception:  # ours; the charger shall know, and go on
            LOG.exception("charger %s: no answer to %s", self.charger, call.action)
            answer = Fault("InternalError", "there is no answer")
        self._news.set()
        return answer

    def _on_boot(self) -> None:
        self._booted = True
        for evse in self._evses.values():
            evse.begin()

    async def _work(self) -> None:
        try:
            async with asyncio.timeout(BOOT_WAIT_S):
                await self._spoken.wait()
        except TimeoutError:
            LOG.info("charger %s has connected and says nothing; it is asked", self.charger)
        while True:
            self._news.clear()
            ready = all(evse.ready for evse in self._evses.values())
            if not ready and (self._booted or self._now().mono_s >= self._set_up_due_s):
                await self._set_up()
            for number, evse in self._evses.items():
                if evse.ready:
                    await self._serve(evse, self._setting_up.terms[number])
            if self._chores:
                await self._chores.popleft()()
                continue
            if ready:
                await self._clear_others()
            with suppress(TimeoutError):
                async with asyncio.timeout(WAKE_S):
                    await self._news.wait()

    async def _set_up(self) -> None:
        self._booted = False
        troubles = await self._setting_up.give_defaults()
        if self._booted:
            return  # anew
        for number, evse in self._evses.items():
            evse.trouble, evse.ready = troubles[number], troubles[number] is None
            self._on_news(evse)
        self._chores = deque(self._setting_up.chores())
        if found := [trouble for trouble in troubles.values() if trouble]:
            LOG.warning("charger %s: %s", self.charger, "; ".join(found))
            self._set_up_due_s = self._now().mono_s + DEFAULT_RETRY_S
        else:
            LOG.info("charger %s is ready (OCPP %s)", self.charger, self._session.version)

    async def _clear_others(self) -> None:
        """Once, while no car is there; then all is told anew."""
        evses = self._evses.values()
        if all(evse.cleared for evse in evses) or not all(evse.connector.is_empty for evse in evses):
            return
        for evse in evses:
            evse.ready, evse.cleared = False, True
            evse.account.forget_held()
        await self._setting_up.clear_others()
        self._news.set()

    # --- telling --------------------------------------------------------------------------------------

    async def _serve(self, evse: ChargerEvse, terms: Terms) -> None:
        now = self._now()
        if terms.of_transaction and not evse.goes_on():
            return
        order = evse.account.order(now.mono_s)
        if order is not None:
            await self._send(evse, terms, order)
            self._on_news(evse)
        elif evse.ignores(now.mono_s) and now.mono_s >= self._stop_due_s:
            self._stop_due_s = now.mono_s + STOP_RETRY_S
            await self._stop_transaction(evse)

    async def _send(self, evse: ChargerEvse, terms: Terms, order: Order) -> None:
        now, account = self._now(), evse.account
        site_us = self._site_clock.now_us(now.mono_s, now.wall_us)
        self._look_at_clock(now.mono_s)
        begin_us = self._clock.begin_us(now.mono_s, site_us)
        duration_s, transaction = int(order.duration_s), evse.connector.transaction
        message = profiles.limit_for(order.limit, duration_s, begin_us, terms, transaction)

        def late(answer: dict[str, Any] | None) -> None:
            accepted = answer is not None and answer.get("status") == "Accepted"
            LOG.info("charger %s answered late: %.200s", self.charger, answer)
            account.answer(self._now().mono_s, order.number, accepted=accepted)
            self._news.set()

        try:
            answer = await self._session.call("SetChargingProfile", message, late)
        except CallFailedError as error:
            self._warn(evse, f"{order.limit.limit_A:g} A: {error}")
            if error.code in ("Timeout", "ConnectionLost"):
                account.no_answer(self._now().mono_s)
            else:
                account.answer(self._now().mono_s, order.number, accepted=False)
            return
        accepted = answer.get("status") == "Accepted"
        account.answer(self._now().mono_s, order.number, accepted=accepted)
        if not accepted:
            self._warn(evse, f"{order.limit.limit_A:g} A refused: {answer.get('status')}")

    def _warn(self, evse: ChargerEvse, text: str) -> None:
        """Told in the log, now and then."""
        now_s = self._now().mono_s
        level = logging.WARNING if now_s >= self._warn_due_s else logging.DEBUG
        if level == logging.WARNING:
            self._warn_due_s = now_s + WARN_EACH_S
        LOG.log(level, "charger %s, %s: %s", self.charger, evse.id, text)

    def _look_at_clock(self, now_s: float) -> None:
        ahead_s = self._clock.ahead_s(now_s)
        if ahead_s is not None and ahead_s > AHEAD_S and not self._warned:
            self._warned = True
            told = "the clock of charger %s is %.0f s ahead: its limits are over as much sooner; set it right"
            LOG.warning(told, self.charger, ahead_s)

    async def _stop_transaction(self, evse: ChargerEvse) -> None:
        transaction = evse.connector.transaction
        LOG.error("charger %s, %s ignores its limit; its transaction is stopped", self.charger, evse.id)
        if isinstance(transaction, int):
            await self._ask("RemoteStopTransaction", {"transactionId": transaction})
        elif transaction is not None:
            await self._ask("RequestStopTransaction", {"transactionId": transaction})

    async def _ask(self, action: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        """What is no matter of safety; None where there is no answer."""
        try:
            return await self._session.call(action, payload)
        except CallFailedError as error:
            LOG.info("charger %s: %s: %s", self.charger, action, error)
            return None
