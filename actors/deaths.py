"""Counts deaths within a window of time: a few are an accident, more are something that is broken."""

from __future__ import annotations

from collections import deque


class Deaths:
    """Of an actor's process, or of a process."""

    def __init__(self, most: int, window_s: float) -> None:
        self.most = most
        self.window_s = window_s
        self._times_s: deque[float] = deque(maxlen=most + 1)

    def note(self, now_s: float) -> int:
        """Another one; how many there were within the window, at most one more than `most`."""
        self._times_s.append(now_s)
        while now_s - self._times_s[0] > self.window_s:
            self._times_s.popleft()
        return len(self._times_s)
