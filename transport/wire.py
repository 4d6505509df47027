"""The one I/O thread of a process: it owns all sockets, and nobody else touches them.

libzmq's sockets are not thread-safe, but may be handed over with a full memory barrier. So a socket is
made and bound in the thread that asks for it, and then belongs to the I/O thread; the lock is the
barrier. From there on other threads only reach the outboxes.

Waking up: the I/O thread declares under the lock that it goes to sleep, and only if no outbox has
anything that could be sent. Whoever puts something in under the same lock and finds it asleep takes
that declaration back and writes one byte into a socket pair that is polled with the sockets. So no
wake-up is lost, and a burst costs one byte.

A thread that has many things to say may `hold` them back, and `let_go` when it has said them: then they
share frames, and the I/O thread does not take the interpreter from it for each. They still go out before,
when the I/O thread is awake for another reason, and at the latest TEND_S later.

Stopping: the I/O thread closes its sockets and then terminates its context, in this order: term()
waits for open sockets for ever. LINGER is 0, so it does not wait for peers.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import zmq

from transport.addresses import PathLock
from transport.counters import LOG, BoundedLog, Drop, PortCounters
from transport.curve import Keys
from transport.faults import LinkFaults
from transport.frames import check_name
from transport.gate import Gate
from transport.inbound import OnMessage
from transport.options import MESSAGE_DEFAULT_B, MESSAGE_HARD_B, PORTS_MAX, TEND_S, Role
from transport.port import Port
from transport.recording import Tap
from transport.registry import Registry
from transport.sockets import ZmqContext, open_socket
from transport.zap import Authenticator

STOP_TIMEOUT_S = 5.0
"""Seconds that `stop` waits for the I/O thread, which an `on_message` may hold up."""

FAILURE_PAUSE_S = 0.05
"""Seconds that the I/O thread rests after an error that it does not know, so that it cannot spin."""


class _Held(threading.local):
    """Whether this thread holds back what it sends, and whether anything waits for that."""

    on = False
    waits = False


class Wire:
    """All ports of a process and the thread that serves them. As a context manager it starts and stops."""

    def __init__(
        self,
        *,
        name: str,
        registry: Registry,
        keys: Keys,
        tap: Tap | None = None,
        faults: LinkFaults | None = None,
    ) -> None:
        """`name` is this process's in headers and in the name of its thread, and proves nothing; `keys`
        are its own and those of its peers; `tap` sees all traffic; `faults` are brought on purpose upon
        what comes in."""
        check_name("the name of a wire", name, empty=False)
        self.name = name
        self.registry = registry
        self.keys = keys
        self.tap = tap
        self.faults = faults
        self.log = BoundedLog()
        self.lock = threading.Lock()
        self.stopping = False
        # Its own context, never the global one: term() must meet our sockets only.
        self._context: ZmqContext = zmq.Context()
        # Bound before any port is: from then on who is not answered is not let in.
        self._authenticator = Authenticator(self._context.socket(zmq.ROUTER), self.log)
        self._bell, self._bell_heard = socket.socketpair()
        self._bell.setblocking(False)
        self._bell_heard.setblocking(False)
        self._ports: dict[str, Port] = {}
        self._path_locks: list[PathLock] = []
        self._thread: threading.Thread | None = None
        self._asleep = False
        self._held = _Held()
        self._drain_until_s: float | None = None
        self._closed = threading.Event()

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the I/O thread. Raises RuntimeError if it was started or stopped before."""
        with self.lock:
            if self._thread is not None or self.stopping:
                raise RuntimeError(f"the wire {self.name} was already started or stopped")
            # A daemon: an `on_message` that never returns must not keep the process alive.
            self._thread = threading.Thread(target=self._run, name=f"{self.name}-wire", daemon=True)
            self._thread.start()

    def stop(self, *, drain_s: float = 0.0) -> bool:
        """Close all sockets and end the thread; idempotent, from any thread.

        `drain_s`: seconds to wait, at most, until what was queued is on its way. False if the thread
        still runs: an `on_message` or a name resolution held it up for more than STOP_TIMEOUT_S
        beyond that, or this was called in an `on_message`. It then ends when that lets go.
        """
        with self.lock:
            first, self.stopping = not self.stopping, True
            if first:
                self._drain_until_s = time.monotonic() + drain_s if drain_s > 0 else None
                self._wake()
            thread = self._thread
        if thread is None:
            if first:
                self._close()
            return True
        if thread is threading.current_thread():
            return False
        thread.join(drain_s + STOP_TIMEOUT_S)
        if thread.is_alive():
            LOG.error("wire %s did not stop within %.1f s", self.name, drain_s + STOP_TIMEOUT_S)
        return not thread.is_alive()

    def running(self) -> bool:
        """Whether the I/O thread runs."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # --- ports ------------------------------------------------------------------------------------

    def listen(
        self,
        address: str,
        on_message: OnMessage,
        *,
        name: str,
        message_max_B: int = MESSAGE_DEFAULT_B,
        admits: Callable[[str], bool] | None = None,
        shared_keys: bool = False,
    ) -> Port:
        """Open a port for many peers. Raises `AddressError` at once if the address cannot be had.

        Only who is known to our keys may speak there, and of these only whom `admits` (given their
        identity) lets. With `shared_keys` several processes may use one key at once.
        """
        gate = Gate(self.keys, self.log, admits=admits, shared_keys=shared_keys)
        return self._open("listen", address, on_message, name, message_max_B, gate)

    def connect(
        self,
        address: str,
        on_message: OnMessage,
        *,
        name: str,
        peer: str,
        message_max_B: int = MESSAGE_DEFAULT_B,
    ) -> Port:
        """Open a port to one peer, which may appear, go and come back at any time, and so may its key.
        Raises `AddressError` only if the address is malformed. Peers should agree on `message_max_B`:
        libzmq ends the connection over which a larger frame comes."""
        gate = Gate(self.keys, self.log, peer=peer)
        return self._open("connect", address, on_message, name, message_max_B, gate)

    def counters(self) -> dict[str, PortCounters]:
        """What each port has sent, received and dropped until now."""
        with self.lock:
            return {name: port.snapshot() for name, port in self._ports.items()}

    def _open(
        self,
        role: Role,
        address: str,
        on_message: OnMessage,
        name: str,
        message_max_B: int,
        gate: Gate,
    ) -> Port:
        check_name("the name of a port", name, empty=False)
        if not 0 < message_max_B <= MESSAGE_HARD_B:
            raise ValueError(f"message_max_B of {name} is {message_max_B}, not 1 to {MESSAGE_HARD_B} bytes")
        with self.lock:
            if self.stopping:
                raise RuntimeError(f"the wire {self.name} has stopped")
            if name in self._ports:
                raise ValueError(f"the wire {self.name} has two ports named {name!r}")
            if len(self._ports) >= PORTS_MAX:
                raise ValueError(f"the wire {self.name} has {PORTS_MAX} ports; that is the most")
            server_key = gate.key_of_peer()
            opened = open_socket(
                self._context,
                role,
                address,
                message_max_B=message_max_B,
                own=self.keys.own,
                domain=name,
                server_key=server_key,
            )
            port = self._ports[name] = Port(
                self,
                name=name,
                address=opened.address,
                socket=opened.socket,
                on_message=on_message,
                message_max_B=message_max_B,
                gate=gate,
                server_key=server_key,
            )
            if opened.path_lock is not None:
                self._path_locks.append(opened.path_lock)
            self._wake()
        return port

    def hold(self) -> None:
        """From now on what this thread sends waits for `let_go`, unless the I/O thread is awake."""
        self._held.on = True

    def let_go(self) -> None:
        """Let go out what this thread held back."""
        if self._held.waits:
            self._held.waits = False
            with self.lock:
                self._wake()

    def ring(self) -> None:
        """Wake the I/O thread, if it sleeps, now or when this thread lets go; under the lock."""
        if self._held.on:
            self._held.waits = True
        else:
            self._wake()

    def _wake(self) -> None:
        if self._asleep:
            self._asleep = False
            # Never full: a byte is sent once per sleep, and every waking reads what is there.
            self._bell.send(b"\0")

    # --- the I/O thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            poller = zmq.Poller()
            poller.register(self._bell_heard, zmq.POLLIN)
            poller.register(self._authenticator.socket, zmq.POLLIN)
            while self._turn(poller):
                pass
        except Exception:  # the thread's last words: what is left is to close the sockets
            LOG.exception("wire %s: the I/O thread failed and stops", self.name)
        finally:
            self._close()

    def _turn(self, poller: zmq.Poller) -> bool:
        """One round: wait, receive, send. False if there is to be no other."""
        with self.lock:
            ports = list(self._ports.values())
            now_s = time.monotonic()
            pauses_s = [TEND_S, *(pause_s for port in ports if (pause_s := port.pause_s(now_s)) is not None)]
            if self.faults is not None:
                pauses_s.append(self.faults.pause_s(now_s))
            if self.stopping:
                if self._drain_until_s is None or now_s >= self._drain_until_s:
                    return False
                if not any(len(port.outbox) for port in ports):
                    return False
                pauses_s.append(self._drain_until_s - now_s)
            pause_s = min(pauses_s)
            self._asleep = pause_s != 0.0
        for port in ports:
            poller.register(port.socket, zmq.POLLIN | (zmq.POLLOUT if port.wants_pollout else 0))
        try:
            # Rounded up: waking before a retry is due would spin until it is.
            ready = dict(poller.poll(int(pause_s * 1000 + 0.999)))
            with self.lock:
                # Awake: from here on nobody need ring. Who just did is heard in the next round.
                self._asleep = False
            if self._bell_heard.fileno() in ready:
                self._bell_heard.recv(16)
            if self._authenticator.socket in ready:
                self._authenticator.serve({port.name: port.gate.admits for port in ports if port.listening})
            for port in ports:
                port.tend(time.monotonic())
                if ready.get(port.socket, 0) & zmq.POLLOUT:
                    port.wants_pollout = False
                if ready.get(port.socket, 0) & zmq.POLLIN:
                    port.receive()
            if self.faults is not None:
                self.faults.release(time.monotonic())
            for port in ports:
                if len(port.outbox) and not port.wants_pollout:
                    port.flush(time.monotonic())
        except Exception:
            # Nothing that a peer does comes here; if anything does, it must not end the thread.
            self.log.warning("turn", "wire %s: unexpected error", self.name, traceback=True)
            time.sleep(FAILURE_PAUSE_S)
        return True

    def _close(self) -> None:
        linger_ms = 0
        with self.lock:
            self.stopping, self._asleep = True, False
            if self._drain_until_s is not None:
                # What was drained is in libzmq's queues; it may write until the same deadline.
                linger_ms = max(0, int((self._drain_until_s - time.monotonic()) * 1000))
            for port in self._ports.values():
                port.counters.dropped[Drop.STOPPED] += port.outbox.forget_all()
        for port in self._ports.values():
            port.socket.close(linger=linger_ms)
        self._authenticator.socket.close(linger=0)
        self._context.term()
        # Only now is nobody listening there any more.
        for path_lock in self._path_locks:
            path_lock.release()
        self._bell.close()
        self._bell_heard.close()
