"""Runs the processes of a site on this machine: one that dies is begun again, within bounds.

A controller that dies alone costs its part of the site its grants; begun again within three seconds it
costs nothing. One that dies again and again is begun later each time, and after DEATHS_MAX deaths within
DEATHS_WINDOW_S no more: its limits run out, what is below it keeps to its fallbacks, and one line tells
so. The process begun first is the plant, and without it there is no site: its death ends the run.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from actors.deaths import Deaths

FIRST_PAUSE_S = 0.2
"""From the first death to the next life, doubled with each other death within the window."""
DEATHS_MAX = 6
DEATHS_WINDOW_S = 60.0
TEND_EVERY_S = 0.2
END_TIMEOUT_S = 10.0
"""For all but the first to end by themselves, then for the first."""


class Restarts:
    """When one process that died is begun again. The time is handed in."""

    def __init__(self) -> None:
        self._deaths = Deaths(DEATHS_MAX, DEATHS_WINDOW_S)

    def died(self, now_s: float) -> float | None:
        """Seconds until its next life; None: it has died too often."""
        count = self._deaths.note(now_s)
        return None if count > DEATHS_MAX else float(FIRST_PAUSE_S * 2 ** (count - 1))


class Death(Struct, frozen=True, kw_only=True):
    """A process has ended that should not have."""

    name: str
    code: int
    """Exit code, or less than 0: the signal that ended it."""
    words: str
    """The last line of its log, where it ended by itself."""
    again_in_s: float | None
    """None: it is not begun again."""
    gave_up: bool = False
    """It died too often."""

    @property
    def reason(self) -> str:
        """Why, in two words."""
        return f"signal {-self.code}" if self.code < 0 else f"exit code {self.code}"

    def line(self) -> str:
        """For the operator."""
        text = f"{self.name} has ended ({self.reason}){': ' + self.words if self.words else ''}"
        if self.again_in_s is not None:
            return f"{text}; it begins again in {self.again_in_s:.1f} s"
        if self.gave_up:
            return (
                f"{text}; it died more than {DEATHS_MAX} times within {DEATHS_WINDOW_S:.0f} s and is left "
                "dead: what is below it keeps to its fallbacks; mend the cause and start the site again"
            )
        return text


class _Process:
    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments
        self.running: subprocess.Popen[bytes] | None = None
        self.restarts = Restarts()
        self.due_s: float | None = None
        self.held = False
        """Somebody wants it dead for now."""
        self.told = False


class Supervisor:
    """The processes of one run, in the order of their begin."""

    def __init__(self, log_dir: Path | None, *, restarts: bool) -> None:
        """Logs go to files in `log_dir`, else to stderr."""
        self._log_dir = log_dir
        self._restarts = restarts
        self._processes: dict[str, _Process] = {}

    def begin(self, name: str, arguments: list[str]) -> None:
        """Begin `amptree …`."""
        self._processes[name] = process = _Process(arguments)
        if self._log_dir is not None:
            self._log(name).unlink(missing_ok=True)  # of a former run
        self._start(name, process)

    def tend(self) -> list[Death]:
        """Called each TEND_EVERY_S: begin again what is due; which processes ended since the last call."""
        now_s = time.monotonic()
        deaths = []
        for name, process in self._processes.items():
            if process.due_s is not None and now_s >= process.due_s and not process.held:
                self._start(name, process)
            code = None if process.running is None else process.running.poll()
            if code is None or process.told:
                continue
            process.told = True
            deaths.append(self._death(name, process, code, now_s))
        return deaths

    def end(self) -> None:
        """End all but the first, then the first; kill what does not end in time."""
        names = list(self._processes)
        for group in (names[1:], names[:1]):
            alive = {name: p for name in group if (p := self.alive(name)) is not None}
            for process in alive.values():
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGCONT)  # a paused one, too
            deadline_s = time.monotonic() + END_TIMEOUT_S
            for name, process in alive.items():
                try:
                    process.wait(max(0.0, deadline_s - time.monotonic()))
                except subprocess.TimeoutExpired:
                    print(f"{name} did not end within {END_TIMEOUT_S:g} s and is killed", file=sys.stderr)
                    process.kill()
                    process.wait()

    # --- for whoever hurts them on purpose ---------------------------------------------------------

    def signal(self, name: str, number: signal.Signals, *, hold: bool = False) -> None:
        """Send a signal, if it lives; `hold`: when that ends it, leave it dead until `release`."""
        process = self._processes[name]
        process.held = process.held or hold
        if (alive := self.alive(name)) is not None:
            alive.send_signal(number)

    def release(self, name: str) -> None:
        """Begin again what was held, as soon as it is dead."""
        process = self._processes[name]
        if process.held:
            process.held, process.told, process.due_s = False, True, time.monotonic()

    def alive(self, name: str) -> subprocess.Popen[bytes] | None:
        """The process, if it runs."""
        running = self._processes[name].running
        return running if running is not None and running.poll() is None else None

    # --- inside --------------------------------------------------------------------------------------

    def _start(self, name: str, process: _Process) -> None:
        if process.running is not None and process.running.poll() is None:
            return  # still ending; it is looked at again
        process.due_s, process.told = None, False
        command = [sys.executable, "-m", "tools.main", *process.arguments]
        with ExitStack() as stack:
            log = stack.enter_context(open(self._log(name), "ab")) if self._log_dir else None
            # A group of their own: Ctrl-C reaches the supervisor only, which ends them in order.
            process.running = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _death(self, name: str, process: _Process, code: int, now_s: float) -> Death:
        first = name == next(iter(self._processes))
        restarts = self._restarts and not first and not process.held
        pause_s = process.restarts.died(now_s) if restarts else None
        process.due_s = None if pause_s is None else now_s + pause_s
        return Death(
            name=name,
            code=code,
            words=self._last_words(name) if code > 0 else "",
            again_in_s=pause_s,
            gave_up=pause_s is None and restarts,
        )

    def _last_words(self, name: str) -> str:
        """The end of a process's log."""
        if self._log_dir is None:
            return ""
        lines = self._log(name).read_text(errors="replace").splitlines()
        return lines[-1] if lines else ""

    def _log(self, name: str) -> Path:
        assert self._log_dir is not None
        return self._log_dir / f"{name}.log"
