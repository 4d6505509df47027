"""Keys on disk: which files there are, and how they must be protected.

    KEYS/secret/controller/level_1     the secret half of a key of ours, for its owner's eyes alone (0600)
    KEYS/trusted/controller/main       the public half of a key that may speak as controller/main

The path below `secret` or `trusted` is the identity, so a key has no name but the one that whoever
trusts it gave it. A file holds one key in hexadecimal. What others could have written proves nothing,
and a secret that others may read is none: such files are refused, with the command that mends them.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from transport.curve import KEY_B, KeyPair

KEYS_MAX = 512
"""Keys of a folder; with more, none counts. All are read each second, in some 50 microseconds each."""
FILE_MAX_B = 256
"""Bytes of a file with a key: 64 digits and what an editor leaves."""

IDENTITY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?")
_KEY = re.compile(rf"[0-9a-f]{{{2 * KEY_B}}}")


class KeyFileError(Exception):
    """A key cannot be used; the message is one line with its path and what to do."""


def secret_path(folder: Path, identity: str) -> Path:
    """Where the secret half of `identity` is kept."""
    return folder / "secret" / identity


def trusted_path(folder: Path, identity: str) -> Path:
    """Where the public half of `identity` is kept, if it is trusted."""
    return folder / "trusted" / identity


def read_secret(folder: Path, identity: str) -> KeyPair:
    """The pair of `identity`. Raises KeyFileError."""
    path = secret_path(folder, identity)
    for above in (folder, folder / "secret", path.parent):
        _check_folder(above)
    return KeyPair.of(bytes.fromhex(_read(path, 0o077, "others can read it, so it is no secret")))


def read_trusted(folder: Path, identity: str) -> str:
    """The public key that is trusted as `identity`. Raises KeyFileError."""
    path = trusted_path(folder, identity)
    return _read(path, 0o022, "others can write it, so it proves nothing")


def identities(folder: Path, kind: str) -> Iterator[str]:
    """The identities that have a file in `folder`/`kind` (secret or trusted), in order; nothing where there
    is no such folder. Raises KeyFileError for a folder that others could change, and for too many."""
    top = folder / kind
    if not top.exists() and not top.is_symlink():
        return
    _check_folder(folder)
    _check_folder(top)
    count = 0
    for name, is_folder in _entries(top):
        if is_folder:
            _check_folder(top / name)
            below = [f"{name}/{file}" for file, _ in _entries(top / name)]
        else:
            below = [name]
        for identity in below:
            # Drafts of files that are being written begin with a dot, and so do an editor's.
            if IDENTITY.fullmatch(identity):
                count += 1
                if count > KEYS_MAX:
                    raise KeyFileError(f"{top}: more than {KEYS_MAX} keys; remove those that are not needed")
                yield identity


def write_key(path: Path, key: str) -> None:
    """Write a file with a key, whole or not at all, for its owner alone. Raises KeyFileError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _make_folders(path)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise KeyFileError(f"{path}: cannot be written: {error.strerror}") from error


def _make_folders(path: Path) -> None:
    # Each by itself: `parents=True` would give the upper ones the mode that the umask leaves.
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)


def public_key(text: str) -> str:
    """A public key as somebody wrote it. Raises ValueError."""
    key = text.strip().lower()
    if not _KEY.fullmatch(key):
        raise ValueError(f"{text.strip()[:80]!r} is not a key: a key has {2 * KEY_B} digits 0-9 and a-f")
    return key


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """Names in a folder, and which of them are folders."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError as error:
        raise KeyFileError(f"{folder}: {error.strerror}") from error


def _check_folder(folder: Path) -> None:
    try:
        status = folder.stat()
    except OSError as error:
        raise KeyFileError(f"{folder}: {error.strerror}") from error
    fault = _fault(status, 0o022, "others can put keys there, so they prove nothing")
    if fault is not None:
        raise KeyFileError(f"{folder}: {fault}; mend it with: chmod 700 {folder}")


def _read(path: Path, forbidden: int, why: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyFileError(f"{path}: there is no such key") from None
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    try:
        # The file that was opened is judged, not the one that has this name a moment later.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(f"{path}: is not a file")
        if (fault := _fault(status, forbidden, why)) is not None:
            raise KeyFileError(f"{path}: {fault}; mend it with: chmod 600 {path}")
        content = os.read(descriptor, FILE_MAX_B + 1)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    text = content.decode("ascii", errors="replace").strip()
    if len(content) > FILE_MAX_B or not _KEY.fullmatch(text):
        raise KeyFileError(f"{path}: holds no key; make or trust it anew")
    return text


def _fault(status: os.stat_result, forbidden: int, why: str) -> str | None:
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to another user (uid {status.st_uid})"
    mode = stat.S_IMODE(status.st_mode)
    return f"{why} (mode {mode:04o})" if mode & forbidden else None
