"""What came in and waits for its turn: little, whatever is sent.

A topic has its own short queue, so that a flood on one does not hold up the others. Of a queue that is full
the oldest message goes: what a source said last counts. Messages that were dropped are counted, so that
their sender can be told.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque

from actors.mqtt.message import Arrived

QUEUE_MAX = 8
"""Messages of a topic that wait."""
TOPICS_MAX = 1_000
"""Topics that have messages waiting."""
WAITING_MAX_B = 4 * 1024 * 1024
"""Of all messages that wait, together."""


class Intake:
    """For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: OrderedDict[str, deque[Arrived]] = OrderedDict()
        self._bytes = 0
        self._dropped: Counter[str] = Counter()
        self.received = 0
        self.lost = 0

    def put(self, message: Arrived) -> None:
        """Let a message wait."""
        with self._lock:
            self.received += 1
            queue = self._queues.get(message.topic)
            if queue is None:
                if len(self._queues) >= TOPICS_MAX:
                    self._drop(message.topic)
                    return
                queue = self._queues[message.topic] = deque()
            if len(queue) >= QUEUE_MAX:
                self._forget(queue.popleft())
            queue.append(message)
            self._bytes += len(message.payload)
            while self._bytes > WAITING_MAX_B:
                longest = max(self._queues.values(), key=len)
                self._forget(longest.popleft())
                if not longest:
                    del self._queues[next(t for t, q in self._queues.items() if q is longest)]

    def take(self, busy: set[str]) -> Arrived | None:
        """What waits longest, topics in turn, of topics that are not `busy`."""
        with self._lock:
            for topic, queue in self._queues.items():
                if topic not in busy:
                    message = queue.popleft()
                    self._bytes -= len(message.payload)
                    if queue:
                        self._queues.move_to_end(topic)
                    else:
                        del self._queues[topic]
                    return message
        return None

    def dropped(self) -> dict[str, int]:
        """Messages of each topic that were dropped since this was asked last."""
        with self._lock:
            dropped, self._dropped = self._dropped, Counter()
        return dict(dropped)

    def _forget(self, message: Arrived) -> None:
        self._bytes -= len(message.payload)
        self._drop(message.topic)

    def _drop(self, topic: str) -> None:
        self.lost += 1
        if topic in self._dropped or len(self._dropped) < TOPICS_MAX:
            self._dropped[topic] += 1
