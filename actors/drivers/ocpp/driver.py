"""The driver of a controller's OCPP chargers: a server that they connect to, on a thread of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from ssl import SSLContext
from typing import Any

from actors import clock
from actors.drivers import DriverError
from actors.drivers.chargers import Served
from actors.drivers.kinds import OcppChargersConfig
from actors.drivers.ocpp.charger_clock import SiteClock
from actors.drivers.ocpp.evse import ChargerEvse
from actors.drivers.ocpp.link import Link
from actors.drivers.ocpp.passwords import PasswordsError, identity_of, is_right, read_passwords
from actors.energy.charging_profiles.profile import Version
from actors.energy.messages import Actuate, Reading
from actors.event_loop import EventLoop
from actors.ocpp.library import (
    SOCKET,
    SUBPROTOCOLS,
    OcppError,
    library,
    require,
    server_tls,
)

LOG = logging.getLogger("amptree.chargers")

BIND_RETRY_S = 2.0
"""While the port is taken."""
PING_S, PONG_S = 5.0, 10.0
"""A charger that answers no ping for so long is gone."""
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
END_S = 4.0
"""For all connections to end."""
LINGER_S = 0.05
SAID_EACH_S = 10.0
"""Those that are turned away are told of in the log so often at most."""

_QUIET = logging.getLogger("amptree.chargers.websockets")
_QUIET.setLevel(logging.CRITICAL)  # it tells of everybody who knocks, with a traceback


class OcppDriver:
    """Serves the EVSEs `served`. Readings are told on the driver's own thread."""

    def __init__(
        self,
        name: str,
        config: OcppChargersConfig,
        served: tuple[Served, ...],
        folder: Path,
        on_reading: Callable[[str, Reading], None],
    ) -> None:
        """Files are sought from `folder` on. Raises DriverError; a port that is taken is tried again."""
        self._name, self._config = name, config
        try:
            require()
            self._tls = self._make_tls(folder)
            self._passwords_file = folder / config.passwords_file if config.passwords_file else None
            if self._passwords_file is not None:
                read_passwords(self._passwords_file)
        except (OcppError, PasswordsError) as error:
            raise DriverError(f"{name}: {error}") from error
        self._on_reading = on_reading
        self._site_clock = SiteClock()
        born_s = clock.steady_s()
        self._evses: dict[str, ChargerEvse] = {}
        self._chargers: dict[str, dict[int, ChargerEvse]] = {}
        for one in served:
            evse = ChargerEvse(born_s, one, config.meter_interval_s)
            self._evses[one.evse_id] = evse
            self._chargers.setdefault(one.charger, {})[one.config.connector_id] = evse
        self._links: dict[str, Link] = {}
        self._sockets: dict[str, Any] = {}
        self._turned_away, self._say_due_s = 0, 0.0
        self._loop = EventLoop(name)
        self._loop.start()
        self._ended = asyncio.Event()
        self._serving = self._loop.task(self._until_stopped())

    def actuate(self, evse_id: str, command: Actuate) -> bool:
        """Let an EVSE's charger be told. From any thread."""
        return self._loop.soon(self._want, evse_id, command)

    def tick(self) -> None:
        """Tell how the chargers are. From any thread."""
        self._loop.soon(self._tell_all)

    def stop(self) -> None:
        """End all connections; what chargers were told runs out."""
        self._serving.cancel()
        with suppress(RuntimeError, TimeoutError):  # its thread is dead, or a connection hangs
            self._loop.task(self._ended.wait()).result(END_S)
        self._loop.stop()

    # --- on the loop ----------------------------------------------------------------------------------

    def _want(self, evse_id: str, command: Actuate) -> None:
        evse = self._evses[evse_id]
        refused = evse.want(clock.steady_s(), command)
        if refused is not None:
            LOG.debug("%s: not taken: %s", evse_id, refused)
        elif (link := self._links.get(evse.served.charger)) is not None:
            link.wake()

    def _tell_all(self) -> None:
        for evse in self._evses.values():
            self._tell(evse)

    def _tell(self, evse: ChargerEvse) -> None:
        reading = evse.reading(clock.steady_s())
        if reading is not None:
            self._on_reading(evse.id, reading)

    async def _until_stopped(self) -> None:
        try:
            await self._serve()
        finally:
            await asyncio.sleep(LINGER_S)  # for what is closed to be gone
            self._ended.set()

    async def _serve(self) -> None:
        serve = library("websockets.asyncio.server").serve
        config, told = self._config, False
        while True:
            try:
                async with serve(
                    self._connected,
                    config.host,
                    config.port,
                    ssl=self._tls,
                    subprotocols=list(SUBPROTOCOLS.values()),
                    process_request=self._judge,
                    open_timeout=OPEN_TIMEOUT_S,
                    close_timeout=CLOSE_TIMEOUT_S,
                    ping_interval=PING_S,
                    ping_timeout=PONG_S,
                    **SOCKET,
                    logger=_QUIET,
                ):
                    LOG.info("%s: chargers may connect to %s:%d", self._name, config.host, config.port)
                    await asyncio.get_running_loop().create_future()
            except OSError as error:
                if not told:
                    reason = error.strerror or error
                    where = f"{config.host}:{config.port}"
                    LOG.error("%s: %s cannot be had: %s; it is tried on", self._name, where, reason)
                told = True
                await asyncio.sleep(BIND_RETRY_S)

    def _judge(self, connection: Any, request: Any) -> Any:
        """Who may come in: a charger that the site knows, with its password. Anybody else gets a refusal."""
        identity = identity_of(request.path)
        if identity not in self._chargers:
            return self._refuse(
                connection, HTTPStatus.NOT_FOUND, f"no charger {identity[:60]!r} in this site"
            )
        if not self._has_password(identity, request.headers.get("Authorization")):
            response = self._refuse(
                connection, HTTPStatus.UNAUTHORIZED, f"no or a wrong password of {identity}"
            )
            response.headers["WWW-Authenticate"] = 'Basic realm="chargers"'
            return response
        if self._config.client_ca_file is not None:
            certificate = connection.transport.get_extra_info("peercert") or {}
            parts = [pair for part in certificate.get("subject", ()) for pair in part]
            if ("commonName", identity) not in parts:
                return self._refuse(
                    connection, HTTPStatus.FORBIDDEN, f"a certificate that is not {identity}'s"
                )
        return None

    def _has_password(self, identity: str, authorization: str | None) -> bool:
        if self._passwords_file is None:
            return True
        try:
            password = read_passwords(self._passwords_file).get(identity)
        except PasswordsError as error:
            LOG.error("%s: %s", self._name, error)
            return False
        return password is not None and is_right(authorization, identity, password)

    def _refuse(self, connection: Any, status: HTTPStatus, why: str) -> Any:
        self._turned_away += 1
        if (now_s := clock.steady_s()) >= self._say_due_s:
            self._say_due_s = now_s + SAID_EACH_S
            told = "%s: turned away, %d so far, now for: %s"
            LOG.warning(told, self._name, self._turned_away, why)
        return connection.respond(status, "turned away\n")

    async def _connected(self, socket: Any) -> None:
        charger = identity_of(socket.request.path)
        version = _version(socket.subprotocol)
        if version is None:
            LOG.warning("%s: charger %s speaks no version of ours", self._name, charger)
            await socket.close(1002, "ocpp1.6 or ocpp2.0.1")
            return
        while charger in self._links:  # one that was cut off calls before its old connection is given up
            former = self._links[charger]
            await self._sockets[charger].close(1001, "it has connected anew")
            await former.ended.wait()
        evses = self._chargers[charger]
        link = Link(charger, socket, version, self._config, evses, clock.now, self._site_clock, self._tell)
        self._links[charger], self._sockets[charger] = link, socket
        LOG.info("charger %s has connected with OCPP %s", charger, version)
        try:
            await link.run()
        finally:
            del self._links[charger], self._sockets[charger]
            link.ended.set()
            LOG.warning("charger %s is not connected any more", charger)

    def _make_tls(self, folder: Path) -> SSLContext | None:
        config = self._config
        if config.cert_file is None or config.key_file is None:
            return None
        clients = None if config.client_ca_file is None else folder / config.client_ca_file
        return server_tls(folder / config.cert_file, folder / config.key_file, clients)


def _version(subprotocol: str | None) -> Version | None:
    for version, name in SUBPROTOCOLS.items():
        if name == subprotocol:
            return version
    return None
