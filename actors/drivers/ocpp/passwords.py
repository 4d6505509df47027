"""Who a charger is: its identity at the end of the address it calls, and its password.

The file has a line a charger, identity and password with a blank between them. It is read at each connection,
so that a changed one needs no restart.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from pathlib import Path
from urllib.parse import unquote

FILE_MAX_B = 1_000_000
PASSWORD_MAX = 256


class PasswordsError(Exception):
    """The file cannot be used; the message says why in one line, without what stands in it."""


def read_passwords(file: Path) -> dict[str, str]:
    """Identity -> password. Raises PasswordsError."""
    try:
        with file.open("rb") as stream:
            content = stream.read(FILE_MAX_B + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise PasswordsError(f"{file}: cannot be read: {reason}") from error
    if len(content) > FILE_MAX_B:
        raise PasswordsError(f"{file}: larger than {FILE_MAX_B} bytes")
    passwords: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        identity, _, password = line.strip().partition(" ")
        password = password.strip()
        if not password or len(password) > PASSWORD_MAX:
            raise PasswordsError(f"{file}, line {number}: expected an identity, a blank and a password")
        if identity in passwords:
            raise PasswordsError(f"{file}, line {number}: {identity[:48]} stands there twice")
        passwords[identity] = password
    return passwords


def identity_of(path: str) -> str:
    """The last part of the address that was called: ws://host:9000/whatever/IDENTITY."""
    return unquote(path.partition("?")[0].rpartition("/")[2])


def is_right(authorization: str | None, identity: str, password: str) -> bool:
    """Whether a header of basic authentication bears this charger's password."""
    scheme, _, given = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        decoded = base64.b64decode(given.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(decoded, f"{identity}:{password}".encode())
