"""How an honest link fares while strangers crowd at the door: `python -m tests.transport.strangers`.

Three processes: a parent that echoes, a child that asks it PINGS_PER_S times a second and measures, and
the strangers. These make 3,000 connections that send garbage of several kinds, and keep 500 open that
say nothing, or stop in the middle of the handshake; whenever one of them is thrown out it comes back.

Prints the round trips before and during the attack; exit code 1 when the 99th percentile of the latter
is 50 ms or more, when a ping was lost, or when anything of a stranger was heard.
"""

from __future__ import annotations

import argparse
import json
import random
import selectors
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import count

from tests.transport.helpers import Inbox, Ping, keys, make_registry
from transport import Delivery, Wire

PINGS_PER_S = 100
P99_MAX_S = 0.050
CALM_S = 5.0
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
"""ZMTP 3.1, RFC 37: signature, version, mechanism, not as server."""


def main() -> int:
    """Run the experiment."""
    parser = argparse.ArgumentParser(prog="python -m tests.transport.strangers")
    parser.add_argument("--garbage", type=int, default=3_000, metavar="N", help="connections with garbage")
    parser.add_argument("--half-open", type=int, default=500, metavar="N", help="connections that are silent")
    parser.add_argument("--for", dest="for_s", type=float, default=15.0, metavar="S", help="of the attack")
    parser.add_argument("--role", choices=("parent", "strangers"), help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    options = parser.parse_args()
    match options.role:
        case "parent":
            return echo()
        case "strangers":
            host, _, port = options.address.removeprefix("tcp://").rpartition(":")
            return attack((host, int(port)), options.garbage, options.half_open, options.for_s)
    return experiment(options)


def experiment(options: argparse.Namespace) -> int:
    """The child's part, and the verdict."""
    parent = begin("--role", "parent")
    assert parent.stdout is not None
    address = parent.stdout.readline().decode().strip()
    wire, answers = Wire(name="level_1", registry=make_registry(), keys=keys("level_1")), Inbox()
    up = wire.connect(address, answers, name="parent", peer="root")
    numbers = count()

    def measure(for_s: float, running: subprocess.Popen[bytes] | None = None) -> list[float]:
        times_s: list[float] = []
        end_s = time.monotonic() + for_s
        while time.monotonic() < end_s if running is None else running.poll() is None:
            number, begun_s = next(numbers), time.monotonic()
            up.send(Ping(number))
            while answers.number() != number:
                pass
            times_s.append(time.monotonic() - begun_s)
            threading.Event().wait(max(0.0, 1 / PINGS_PER_S - times_s[-1]))
        return times_s

    try:
        with wire:
            measure(1.0)  # the connection is made, and all is warm
            calm = measure(CALM_S)
            counts = ["--garbage", str(options.garbage), "--half-open", str(options.half_open)]
            strangers = begin(
                "--role", "strangers", "--address", address, "--for", str(options.for_s), *counts
            )
            try:
                hurt = measure(options.for_s, strangers)
            finally:
                strangers.kill()
                told, _ = strangers.communicate()
            lost = wire.counters()["parent"].lost
    finally:
        assert parent.stdin is not None
        parent.stdin.close()
        heard = json.loads(parent.stdout.readline())
        parent.wait()
    print(told.decode(), end="")
    show("calm", calm)
    p99_s = show("under attack", hurt)
    print(
        f"heard by the parent: {heard['received']} messages of the child, {heard['dropped']} others; lost: {lost}"
    )
    return 0 if p99_s < P99_MAX_S and heard["dropped"] == 0 == lost else 1


def begin(*arguments: str) -> subprocess.Popen[bytes]:
    """Another role, in a process of its own."""
    command = [sys.executable, "-m", "tests.transport.strangers", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def show(what: str, times_s: list[float]) -> float:
    """Print the percentiles; returns the 99th."""
    ordered = sorted(times_s)
    p50_s, p99_s = (ordered[int(len(ordered) * share)] for share in (0.50, 0.99))
    print(
        f"{what:>12}: {len(ordered)} round trips, p50 {p50_s * 1e3:.2f} ms, p99 {p99_s * 1e3:.2f} ms, "
        f"max {ordered[-1] * 1e3:.2f} ms"
    )
    return p99_s


def echo() -> int:
    """The parent: answers until stdin ends."""
    wire = Wire(name="root", registry=make_registry(), keys=keys("root"))

    def answer(delivery: Delivery) -> None:
        links.send(delivery.message, peer=delivery.peer)

    links = wire.listen("tcp://127.0.0.1:*", answer, name="links")
    with wire:
        print(links.address, flush=True)
        sys.stdin.read()
        counters = wire.counters()["links"]
    print(json.dumps({"received": counters.received, "dropped": sum(counters.dropped.values())}))
    return 0


def attack(address: tuple[str, int], garbage: int, half_open: int, for_s: float) -> int:
    """The strangers: garbage spread evenly over the time, the silent ones all of the time."""
    dice = random.Random(1)
    selector = selectors.DefaultSelector()
    made = {"garbage": 0, "half-open": 0}
    begun_s = time.monotonic()
    while (now_s := time.monotonic() - begun_s) < for_s:
        while len(selector.get_map()) < half_open:
            silent = socket.create_connection(address)
            silent.setblocking(False)
            silent.send(dice.choice([b"", GREETING[:10], GREETING, GREETING + b"\x04\xc8\x05HELLO"]))
            selector.register(silent, selectors.EVENT_READ)
            made["half-open"] += 1
        while made["garbage"] < min(garbage, garbage * now_s / for_s + 1):
            with socket.create_connection(address) as stranger, suppress(ConnectionError):
                stranger.sendall(
                    dice.choice([b"", GREETING, b"GET / HTTP/1.1\r\n\r\n"]) + dice.randbytes(300)
                )
            made["garbage"] += 1
        for key, _ in selector.select(0.005):
            thrown_out = key.fileobj
            assert isinstance(thrown_out, socket.socket)
            try:
                ended = thrown_out.recv(4096) == b""
            except ConnectionError:
                ended = True
            if ended:
                selector.unregister(thrown_out)
                thrown_out.close()
    print(
        f"strangers: {made['garbage']} connections with garbage, {made['half-open']} silent ones,"
        f" {half_open} at a time, in {for_s:g} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
