"""Talking to the controllers of a site that runs on this machine, over their control sockets."""

from __future__ import annotations

import argparse
import queue
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from actors import identities
from actors.energy.external import SourceEvent
from actors.energy.messages import ModuleStatus, OptimizerStatus
from actors.rundir import RunDir, RunDirError, running_sites
from actors.wiring import (
    CLIENT_TIMEOUT_S,
    MESSAGE_MAX_B,
    GatewayStatus,
    Load,
    SourceReply,
    SourceRequest,
    StatusReply,
    StatusRequest,
    tree_registry,
)
from tools.errors import UserError
from tools.keyrings import keys_folder, open_client_keyring
from transport import AddressError, Delivery, Keyring, Port, Wire

Reply = TypeVar("Reply", StatusReply, SourceReply)

RETRY_S = 1.0
HEAD_START_S = 0.2
"""Of the root's controller before all others: mostly it knows all that is asked."""


class SiteStatus(Struct, frozen=True, kw_only=True):
    """What is known of a whole site on this machine."""

    site: str
    modules: tuple[ModuleStatus, ...]
    optimizer: OptimizerStatus | None = None
    silent_controllers: tuple[str, ...] = ()
    """Controllers that run here and did not answer."""
    gateways: tuple[GatewayStatus, ...] = ()
    """Of the controllers that answered."""
    loads: dict[str, Load] = {}
    """How full the queues of each controller that answered are."""


def add_site_argument(parser: argparse.ArgumentParser) -> None:
    """`--site NAME`, needed only where several sites run."""
    parser.add_argument("--site", metavar="NAME", help="which site, if several run on this machine")


def find_site(name: str | None) -> str:
    """The site that runs here. Raises UserError when there is none, or several and no name."""
    sites = running_sites()
    if name is not None:
        if name not in sites:
            raise UserError(f"site {name} does not run here; running: {', '.join(sites) or 'none'}")
        return name
    if not sites:
        raise UserError("no site runs on this machine; start one with: amptree up FILE")
    if len(sites) > 1:
        raise UserError(f"several sites run here: {', '.join(sites)}; choose one with --site NAME")
    return sites[0]


class Client:
    """A client of one site's controllers on this machine. Context manager."""

    def __init__(self, site: str, timeout_s: float = CLIENT_TIMEOUT_S, keys: Path | None = None) -> None:
        """`keys`: the keyring's folder, if not the one in use."""
        self.site = site
        self._keys = keys
        self._timeout_s = timeout_s
        self._run_dir = RunDir(site)
        self._name = f"client-{secrets.token_hex(6)}"
        self._replies: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._ports: dict[str, Port] = {}
        self._stack = ExitStack()
        self._wire: Wire | None = None
        self._keyring: Keyring | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def controllers(self) -> list[str]:
        """Controllers of the site that run here, the root's first."""
        holders = self._run_dir.holders()
        names = [name for name, facts in holders.items() if "controller" in facts]
        return sorted(names, key=lambda name: not holders[name].get("root"))

    def status(self, *, with_request: bool = False, with_reasons: bool = True) -> SiteStatus:
        """Every module known here; with the forecast where `with_reasons`, which costs the root much at
        thousands of EVSEs. Raises UserError when no controller answers."""
        controllers = self.controllers()
        request = StatusRequest(id=secrets.token_hex(8), with_request=with_request, with_reasons=with_reasons)
        # The root's controller knows all below it: once it has answered, others need not.
        replies = self._ask(controllers, request, StatusReply, lambda reply: reply.optimizer is not None)
        if not replies:
            raise UserError(f"no controller of site {self.site} answers{self._hint(controllers)}")
        modules: dict[str, ModuleStatus] = {}
        for controller in controllers:
            for status in replies[controller].modules if controller in replies else ():
                modules.setdefault(status.id, status)
        optimizer = next((r.optimizer for r in replies.values() if r.optimizer is not None), None)
        silent = () if optimizer is not None else (c for c in controllers if c not in replies)
        return SiteStatus(
            site=self.site,
            modules=tuple(modules.values()),
            optimizer=optimizer,
            silent_controllers=tuple(silent),
            gateways=tuple(g for c in controllers if c in replies for g in replies[c].gateways),
            loads={name: reply.load for name, reply in replies.items() if reply.load is not None},
        )

    def loads(self) -> dict[str, Load]:
        """How full the queues are, of each controller here that answers."""
        request = StatusRequest(id=secrets.token_hex(8), with_reasons=False)
        replies = self._ask(self.controllers(), request, StatusReply, lambda _: False)
        return {name: reply.load for name, reply in replies.items() if reply.load is not None}

    def set_source(self, target: str, event: SourceEvent) -> str | None:
        """Set, clear or renew an external limit; returns a warning. Raises UserError when it is refused."""
        controllers = self.controllers()
        request = SourceRequest(id=secrets.token_hex(8), target=target, event=event)
        replies = self._ask(controllers, request, SourceReply, lambda reply: not reply.not_here)
        for reply in replies.values():
            if not reply.not_here:
                if reply.error is not None:
                    raise UserError(reply.error)
                return reply.warning
        silent = [c for c in controllers if c not in replies]
        if silent or not controllers:
            who = ", ".join(silent) or "any controller"
            raise UserError(f"no answer from {who}: is the module's alive?{self._hint(silent)}")
        raise UserError(str(next(iter(replies.values())).error))

    def _ask(
        self,
        controllers: Sequence[str],
        request: StatusRequest | SourceRequest,
        reply_type: type[Reply],
        enough: Callable[[Reply], bool],
    ) -> dict[str, Reply]:
        """Ask the first, then all; returns their replies when all or `enough` have come, or time is up."""
        replies: dict[str, Reply] = {}
        now_s = time.monotonic()
        deadline_s = now_s + self._timeout_s
        say_s = {name: now_s + (HEAD_START_S if number else 0.0) for number, name in enumerate(controllers)}
        while say_s and now_s < deadline_s:
            for name, due_s in say_s.items():
                if now_s >= due_s:
                    # Said again: what a request meets on its way may be lost with a dying process.
                    say_s[name] = now_s + RETRY_S
                    self._port(name).send(request, target="", source=self._name, key="request")
            try:
                delivery = self._replies.get(timeout=max(0.0, min(deadline_s, *say_s.values()) - now_s))
            except queue.Empty:
                now_s = time.monotonic()
                continue
            now_s = time.monotonic()
            reply = delivery.message
            if isinstance(reply, reply_type) and reply.id == request.id:
                replies[delivery.port_name] = reply
                say_s.pop(delivery.port_name, None)
                if enough(reply):
                    break
        return replies

    def _open(self) -> Wire:
        """The wire, begun when it is first needed: there may be no keys before the site runs."""
        if self._wire is None:
            self._keyring = open_client_keyring(keys_folder(self.site, self._keys))
            wire = Wire(name=self._name, registry=tree_registry(), keys=self._keyring)
            self._wire = self._stack.enter_context(wire)
        return self._wire

    def _hint(self, controllers: Sequence[str]) -> str:
        """What keys may have to do with it that some do not answer."""
        keyring = self._keyring
        if keyring is None or not controllers:
            return ""
        unknown = [name for name in controllers if keyring.key_of(identities.controller(name)) is None]
        if unknown:
            return (
                f"; {keyring.folder} has no trusted key of {', '.join(map(identities.controller, unknown))}"
            )
        return f"; does it trust the key of {keyring.identity} in {keyring.folder}?"

    def _port(self, controller: str) -> Port:
        """One for each controller: it finds a restarted one again by itself."""
        if controller not in self._ports:
            try:
                self._ports[controller] = self._open().connect(
                    self._run_dir.address(f"{controller}.control"),
                    self._replies.put,
                    name=controller,
                    peer=identities.controller(controller),
                    message_max_B=MESSAGE_MAX_B,
                )
            except (AddressError, RunDirError) as error:
                raise UserError(str(error)) from error
        return self._ports[controller]
