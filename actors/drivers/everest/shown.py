"""What a charger that runs EVerest says of its car, and of what flows. Pure."""

from __future__ import annotations

from typing import Any

from actors.drivers.chargers import Served
from actors.drivers.everest import messages as words

NO_SESSION_S = 5.0
"""A powermeter that was heard for so long and no session with it: there is none."""
CARRIES_A = 1.0
"""More, and a phase is connected."""
UNKNOWN, DISABLED = "Unknown", "Disabled"


class Shown:
    """Until it has told anything, a car may be there. Times are monotonic seconds."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.state = UNKNOWN
        self.gone = False
        """A session ended with the car's leaving: nothing else shows that the contactor is open."""
        self.currents_A = (0.0, 0.0, 0.0)
        self.power_W = 0.0
        self._metered_since_s: float | None = None
        """Without a word of a session."""

    def session_info(self, content: Any) -> None:
        """The state; Unplugged it also is when it was enabled. Raises MessageError."""
        self._metered_since_s = None
        self.state = words.text_of(content, "state")
        self.gone = self.gone and self.state == "Unplugged"

    def session_event(self, content: Any) -> None:
        """Raises MessageError."""
        self.gone = words.text_of(content, "event") == "SessionFinished"

    def powermeter(self, now_s: float, content: Any) -> bool:
        """Whether it showed what flows. Raises MessageError."""
        currents_A, power_W = words.currents_of(content), words.power_of(content)
        if self._metered_since_s is None:
            self._metered_since_s = now_s
        if power_W is None and currents_A is None:
            return False
        volts, phases = self._served.voltage_V, self._served.phases
        self.power_W = sum(currents_A or ()) * volts if power_W is None else power_W
        if currents_A is None or self._served.config.charge_mode == "DC":
            each_A = self.power_W / (phases * volts)
            currents_A = (each_A, each_A * (phases > 1), each_A * (phases > 2))
        self.currents_A = currents_A
        return True

    @property
    def asks(self) -> bool:
        """Its car would take something."""
        return self.state in words.ASKS

    def takes_nothing(self, now_s: float) -> bool:
        """No car that would charge. EVerest tells of a session with each value of its powermeter; where there
        is none it tells nothing."""
        if self.state != UNKNOWN:
            return self.state not in words.PLUGGED
        return self._metered_since_s is not None and now_s > self._metered_since_s + NO_SESSION_S

    def phases(self, told: int) -> int:
        """It connects those that it was told, as far as anybody can see."""
        carrying = sum(current_A > CARRIES_A for current_A in self.currents_A)
        return max(1, min(self._served.phases, max(told, carrying)))
