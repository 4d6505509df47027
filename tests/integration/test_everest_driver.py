"""The driver of EVerest's chargers at a real broker: chargers that are late, ignore, die, or talk nonsense."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.clock import steady_s
from actors.drivers.chargers import Served
from actors.drivers.everest.driver import EverestDriver
from actors.drivers.everest.messages import HEARD
from actors.drivers.kinds import EverestChargersConfig
from actors.energy.messages import Actuate, Reading
from actors.energy.modules import EvseManagerConfig
from tests.integration.brokers import Mosquitto, broker, needs_mosquitto
from tests.integration.conftest import wait_for
from tests.integration.everest_charger import EverestCharger

DURATION_S = 6.0
"""Of a limit."""


class Evse:
    """Answers each reading with a limit, as an EvseManager does."""

    def __init__(self, port: int, folder: Path) -> None:
        config = EvseManagerConfig(driver="everest", settle_time_s=1.0)
        served = Served(
            evse_id="evse", charger="evse", config=config, phases=3, voltage_V=230.0, longest_s=1.0
        )
        connection = EverestChargersConfig(host="127.0.0.1", port=port, reaction_s=1.0)
        self.driver = EverestDriver("chargers", connection, (served,), folder, self._read)
        self.limit_A = 16.0
        self.reading: Reading | None = None
        self.read_s = 0.0
        self._marks: dict[str, float] = {}
        """Each with the limit that it was for."""

    def _read(self, evse_id: str, reading: Reading) -> None:
        self.reading, self.read_s = reading, steady_s()
        mark = str(len(self._marks))
        self._marks[mark] = self.limit_A
        echo_s = reading.t_hardware_s
        command = Actuate(
            t_echo_s=echo_s, duration_s=DURATION_S, mark=mark, limit_A=self.limit_A, phase_count=3
        )
        threading.Thread(target=self.driver.actuate, args=(evse_id, command)).start()

    def proven_A(self) -> float | None:
        """The limit before which nothing is in force, as its mark says."""
        return None if self.reading is None else self._marks.get(self.reading.mark)

    def fault(self) -> str:
        return "" if self.reading is None else self.reading.fault or ""


@contextmanager
def served(mosquitto: Mosquitto, folder: Path) -> Iterator[Evse]:
    evse, stop = Evse(mosquitto.port, folder), threading.Event()

    def tick() -> None:
        while not stop.wait(0.5):
            evse.driver.tick()

    ticking = threading.Thread(target=tick)
    ticking.start()
    try:
        yield evse
    finally:
        stop.set()
        ticking.join()
        evse.driver.stop()


def is_told(evse: Evse, charger: EverestCharger, limit_A: float) -> Callable[[], bool]:
    return lambda: evse.proven_A() == limit_A and charger.limit_A == limit_A


@pytest.mark.long
@needs_mosquitto
def test_chargers_that_talk_nonsense_ignore_are_late_or_die_and_a_broker_that_does(tmp_path: Path) -> None:
    with (
        broker(tmp_path / "broker") as mosquitto,
        EverestCharger(mosquitto.port, "evse") as charger,
        served(mosquitto, tmp_path) as evse,
    ):
        wait_for("it holds what it was told", is_told(evse, charger, 16.0))
        for what in HEARD:
            for payload in ("", "{", "null", "[" * 5_000, '{"timestamp": "x", "schedule": [{}]}', "1e999"):
                charger.client.publish(f"everest_api/1/evse_manager_consumer/evse/e2m/{what}", payload)
        evse.limit_A = 10.0
        wait_for("it holds what it is told after that, too", is_told(evse, charger, 10.0))

        charger.ignores = True
        evse.limit_A = 6.0
        ignored_s = steady_s()
        wait_for("nobody has told it for so long", lambda: steady_s() > ignored_s + 3.0)
        assert evse.proven_A() == 10.0, "what it ignores is not in force"
        charger.ignores = False
        wait_for("it listens late", is_told(evse, charger, 6.0))

        mosquitto.kill()
        killed_s = steady_s()
        wait_for("it falls back by itself", lambda: charger.limit_A == 0.0)
        assert steady_s() <= killed_s + DURATION_S * 1.1 / 0.9
        assert evse.read_s < killed_s + 1.0, "nothing is known of it"
        mosquitto.start()
        wait_for("all is as before", is_told(evse, charger, 6.0))

        charger.stop()
        died_s = steady_s()
        wait_for("it is not heard any more", lambda: steady_s() > evse.read_s + 2.0)
        assert evse.read_s < died_s + 4.5
