"""What may be listened on and connected to, and why not.

libzmq is too trusting here. A port above 65535 wraps around to another one. Binding an ipc path
unlinks whatever is there first: the socket of a living process, which goes on unheard, or a plain
file. So addresses are checked before libzmq sees them, and a listener on an ipc path holds a lock
file beside it. The kernel drops the lock when its process dies, so a stale socket file blocks
nobody.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import re
import stat
from pathlib import Path

IPC_PATH_MAX_B = 107
"""sun_path holds 108 bytes with its final zero (unix(7))."""

PORT_MAX = 65535

_LOCK_ATTEMPTS_MAX = 10

_TCP = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]]+):(?P<port>\*|[0-9]{1,5})")


class AddressError(ValueError):
    """An address cannot be used; the message is one line that names it and says what to do."""


def check_listen(address: str) -> None:
    """Raise `AddressError` if `address` could not be listened on, whoever uses it now."""
    if (path := ipc_path(address)) is None:
        _check_tcp(address, listening=True)
        return
    _check_path_length(address, path)
    try:
        if not path.parent.is_dir():
            raise AddressError(f"{address}: the directory {path.parent} does not exist; create it")
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise explain(address, error) from error
    if not stat.S_ISSOCK(mode):
        # libzmq would unlink it.
        raise AddressError(f"{address}: {path} exists and is not a socket; choose another path")


def check_connect(address: str) -> None:
    """Raise `AddressError` if `address` is malformed. An absent peer is no error."""
    if (path := ipc_path(address)) is None:
        _check_tcp(address, listening=False)
    else:
        _check_path_length(address, path)


def ipc_path(address: str) -> Path | None:
    """The socket file of an ipc address; None if it is not an ipc address."""
    if not address.startswith("ipc://"):
        return None
    name = address.removeprefix("ipc://")
    if not name or name.startswith(("@", "*")) or "\0" in name:
        # Abstract names and libzmq's temporary ones have no directory whose rights protect them.
        raise AddressError(f"{address!r} is malformed: ipc:// needs the path of a socket file")
    return Path(name)


def is_numeric(address: str) -> bool:
    """Whether connecting needs no name resolution."""
    match = _TCP.fullmatch(address)
    if match is None:
        return True
    try:
        ipaddress.ip_address(match["host"].strip("[]"))
    except ValueError:
        return False
    return True


def is_ipv6(address: str) -> bool:
    """Whether `address` is a literal IPv6 one, which libzmq takes only when told so."""
    return address.startswith("tcp://[")


def explain(address: str, error: OSError) -> AddressError:
    """The `AddressError` for what the system said when `address` was bound or connected."""
    match error.errno:
        case errno.EADDRINUSE:
            return _in_use(address)
        case errno.EADDRNOTAVAIL | errno.ENODEV:
            return AddressError(f"{address} is not an address of this machine; choose another `listen`")
        case errno.EACCES | errno.EPERM:
            return AddressError(f"{address}: permission denied")
        case errno.EINVAL | errno.EPROTONOSUPPORT:
            return AddressError(f"{address!r} is malformed; write tcp://HOST:PORT or ipc://PATH")
        case _:
            return AddressError(f"{address} cannot be used: {error.strerror}")


class PathLock:
    """Holds an ipc path for one listener, by a lock on `<path>.lock`."""

    def __init__(self, address: str, path: Path) -> None:
        """Take the lock, or raise `AddressError` if another listener holds it."""
        self._socket_path = path
        self._path = path.with_name(path.name + ".lock")
        self._fd: int | None = None
        for _ in range(_LOCK_ATTEMPTS_MAX):
            try:
                fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except OSError as error:
                raise explain(address, error) from error
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(fd)
                raise _in_use(address) from error
            except OSError as error:
                os.close(fd)
                raise explain(address, error) from error
            if self._is_current(fd):
                self._fd = fd
                return
            # The holder before us removed the file between our open and our lock: take the new one.
            os.close(fd)
        raise _in_use(address)

    def release(self) -> None:
        """Remove the socket file, which libzmq leaves, and the lock; only after the socket is closed.
        Idempotent."""
        if self._fd is None:
            return
        self._socket_path.unlink(missing_ok=True)
        # Removed while still held: whoever waits on the old file sees that it is not current.
        self._path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = None

    def _is_current(self, fd: int) -> bool:
        try:
            there = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        held = os.fstat(fd)
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)


def _in_use(address: str) -> AddressError:
    return AddressError(f"{address} is in use by another process; choose another `listen` or stop it")


def _check_tcp(address: str, *, listening: bool) -> None:
    match = _TCP.fullmatch(address)
    if match is None:
        raise AddressError(f"{address!r} is malformed; write tcp://HOST:PORT or ipc://PATH")
    port = match["port"]
    if port == "*" or int(port) == 0:
        if not listening:
            raise AddressError(f"{address!r} is malformed: connecting needs the number of a port")
    elif int(port) > PORT_MAX:
        raise AddressError(f"{address!r} is malformed: a port is at most {PORT_MAX}")
    if match["host"] == "*" and not listening:
        raise AddressError(f"{address!r} is malformed: connecting needs the address of a host")


def _check_path_length(address: str, path: Path) -> None:
    length_B = len(os.fsencode(path))
    if length_B > IPC_PATH_MAX_B:
        raise AddressError(
            f"{address}: the path has {length_B} bytes, a socket's path at most {IPC_PATH_MAX_B};"
            " choose a shorter one"
        )
