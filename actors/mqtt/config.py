"""A connection to a broker, as configured."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class BrokerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the broker is, and how it is spoken with."""

    host: str = "localhost"
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """By default 1883, with TLS 8883."""
    mqtt_version: Literal[5, "3.1.1"] = 5
    client_id: str | None = None
    """By default amptree-SITE-MODULE; a broker knows a client again by it."""
    keepalive_s: Annotated[int, Meta(ge=2, le=3600)] = 15
    username: str | None = None
    password_file: str | None = None
    """Its first line is the password."""
    tls: bool = False
    ca_file: str | None = None
    """Certificates of authorities that may vouch for the broker; by default those of the system."""
    cert_file: str | None = None
    key_file: str | None = None
    """Of a client certificate, where the broker wants one."""

    def port_in_use(self) -> int:
        """The port that is named, else the usual one."""
        if self.port is not None:
            return self.port
        return 8883 if self.tls else 1883

    def address(self) -> str:
        """For people."""
        return f"{self.host}:{self.port_in_use()}"
