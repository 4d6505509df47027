"""What the verbs that run processes share: loading the site, ending on a signal, ending with a parent."""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from actors.config import ConfigError, load_site
from actors.injection import Injection
from actors.site import Site
from actors.stop import Stop
from tools.errors import UserError

ORPHAN_CHECK_S = 0.5
GARBAGE_OBJECTS = 5_000
"""That are new until garbage is looked for."""
SWITCH_S = 0.0001
"""From when another thread wants the interpreter to when it has it; Python's own is ten times that."""

KEPT_B = 64 << 20
"""Memory that was freed and is kept to be used again, at most at the end of the heap."""
KEPT_PIECE_B = 32 << 20
"""Smaller pieces come out of the heap: the most that glibc takes."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def load(path: str) -> Site:
    """The site of a file. Raises UserError with every fault, a line each."""
    try:
        return load_site(path)
    except ConfigError as error:
        faults = [f"{f.path}: {f.message}" if f.path else f.message for f in error.faults]
        raise UserError(f"{path}: " + f"\n{path}: ".join(faults)) from None


def end_or_kill(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """SIGTERM, and SIGKILL where it has not ended by then."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def add_faults_argument(parser: argparse.ArgumentParser) -> None:
    """`--faults`, which `amptree chaos` uses."""
    parser.add_argument(
        "--faults", metavar="FILE", type=Path, help="for tests only: do the faults that this file orders"
    )


def injection_of(options: argparse.Namespace) -> Injection | None:
    """What `--faults` asks for."""
    return None if options.faults is None else Injection(options.faults)


def allow_many_files() -> None:
    """As many open files as the system lets us have. Each connection is one, also of a stranger who has
    said nothing yet; without any left, nobody could connect, and no file be read."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run_smoothly() -> None:
    """Tune the interpreter for a process of a site, once it has loaded what it needs.

    What is loaded lives as long as the process, and need not be looked through for garbage; and what a
    message of many EVSEs is made of is no sign of any. The I/O thread gives up the interpreter with each
    call into libzmq, and shall have it back soon where others compute. The market of a large site frees some
    ten million bytes with each run, and needs them again in the next: given back meanwhile, each page of them
    costs more to get than to fill.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)
    sys.setswitchinterval(SWITCH_S)
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Whether this C library can do so; only glibc can."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, KEPT_B) and mallopt(_M_MMAP_THRESHOLD, KEPT_PIECE_B))


@contextmanager
def stop_on_signals(*, parent: int | None = None) -> Iterator[Stop]:
    """A flag that SIGTERM or SIGINT sets, and also the end of the parent process where it is given."""
    stop = Stop()
    ended = threading.Event()

    def on_signal(_signum: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {s: signal.signal(s, on_signal) for s in (signal.SIGTERM, signal.SIGINT)}

    def watch() -> None:
        while not ended.wait(ORPHAN_CHECK_S):
            if os.getppid() != parent:
                stop.set()

    watcher = threading.Thread(target=watch, name="parent-watch", daemon=True)
    if parent is not None:
        watcher.start()
    try:
        yield stop
    finally:
        ended.set()
        if parent is not None:
            watcher.join()
        for signum, handler in before.items():
            signal.signal(signum, handler)
        stop.close()
