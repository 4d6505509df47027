"""The libraries, imported when they are needed; TLS; and the bounds of a connection."""

from __future__ import annotations

import importlib
import ssl
from pathlib import Path
from typing import Any

from actors.energy.charging_profiles.profile import Version

REMEDY = "pip install 'amptree[ocpp]'"

SUBPROTOCOLS: dict[Version, str] = {"1.6": "ocpp1.6", "2.0.1": "ocpp2.0.1"}
"""What a websocket is asked for."""
FRAME_MAX_B = 256 * 1024
"""Of a message; what is larger is refused unread."""
SOCKET_MAX_B = 4 * 1024 * 1024
"""Of a message; what is larger ends its connection."""
QUEUE_MAX = 16
"""Messages of a connection that were received and not read yet; then the other side has to wait."""
SOCKET: dict[str, Any] = {"max_size": SOCKET_MAX_B, "max_queue": QUEUE_MAX, "compression": None}
"""How websockets are opened at both ends."""


class OcppError(Exception):
    """There can be no connection as configured; the message says why in one line."""


def require() -> None:
    """Raises OcppError where a library is missing."""
    for name in ("ocpp.messages", "websockets.asyncio.client"):
        library(name)


def library(name: str) -> Any:
    """A module of the libraries, which tell no types that could be relied on. Raises OcppError."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise OcppError(f"no OCPP without the ocpp and websockets libraries: {REMEDY}") from error


def client_tls(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """For who calls: it trusts these authorities, by default the system's. Raises OcppError."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
        _own(context, cert_file, key_file)
    except (OSError, ValueError) as error:
        raise OcppError(_fault(error, ca_file, cert_file, key_file)) from error
    return context


def server_tls(cert_file: Path, key_file: Path, clients_ca_file: Path | None = None) -> ssl.SSLContext:
    """For who is called; with `clients_ca_file` only clients with a certificate of it may come. Raises
    OcppError."""
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients_ca_file)
        _own(context, cert_file, key_file)
    except (OSError, ValueError) as error:
        raise OcppError(_fault(error, clients_ca_file, cert_file, key_file)) from error
    if clients_ca_file is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _own(context: ssl.SSLContext, cert_file: Path | None, key_file: Path | None) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert_file is not None:
        context.load_cert_chain(cert_file, key_file)


def _fault(error: Exception, *files: Path | None) -> str:
    named = ", ".join(str(file) for file in files if file is not None)
    return f"{named}: cannot be used ({getattr(error, 'strerror', None) or error})"
