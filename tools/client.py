"""Talking to the controllers of a site that runs on this machine, over their control sockets."""

from __future__ import annotations

import argparse
import queue
import secrets
import time
from collections.abc import Iterable
from contextlib import ExitStack
from typing import TypeVar

from msgspec import Struct

from actors.energy.external import SourceEvent
from actors.energy.messages import ModuleStatus, OptimizerStatus
from actors.rundir import RunDir, RunDirError, running_sites
from actors.wiring import (
    CLIENT_TIMEOUT_S,
    SourceReply,
    SourceRequest,
    StatusReply,
    StatusRequest,
    tree_registry,
)
from tools.errors import UserError
from transport import AddressError, Delivery, Port, Wire

Reply = TypeVar("Reply", StatusReply, SourceReply)

MESSAGE_MAX_B = 16 * 1024 * 1024
RETRY_S = 1.0


class SiteStatus(Struct, frozen=True, kw_only=True):
    """What is known of a whole site on this machine."""

    site: str
    modules: tuple[ModuleStatus, ...]
    optimizer: OptimizerStatus | None = None
    silent_controllers: tuple[str, ...] = ()
    """Controllers that run here and did not answer."""


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

    def __init__(self, site: str, timeout_s: float = CLIENT_TIMEOUT_S) -> None:
        self.site = site
        self._timeout_s = timeout_s
        self._run_dir = RunDir(site)
        self._name = f"client-{secrets.token_hex(6)}"
        self._replies: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._ports: dict[str, Port] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Client:
        self._wire = self._stack.enter_context(Wire(name=self._name, registry=tree_registry()))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def controllers(self) -> list[str]:
        """Controllers of the site that run here, the root's first."""
        holders = self._run_dir.holders()
        names = [name for name, facts in holders.items() if "controller" in facts]
        return sorted(names, key=lambda name: not holders[name].get("root"))

    def status(self, *, with_request: bool = False) -> SiteStatus:
        """Every module known here. Raises UserError when no controller answers."""
        modules: dict[str, ModuleStatus] = {}
        optimizer: OptimizerStatus | None = None
        silent = []
        for controller in self.controllers():
            request = StatusRequest(id=secrets.token_hex(8), with_request=with_request)
            reply = self._ask(controller, request, StatusReply)
            if reply is None:
                silent.append(controller)
                continue
            for status in reply.modules:
                modules.setdefault(status.id, status)
            optimizer = optimizer or reply.optimizer
            if optimizer is not None:
                break  # the root's controller knows all below it
        if not modules:
            raise UserError(f"no controller of site {self.site} answers")
        return SiteStatus(
            site=self.site,
            modules=tuple(modules.values()),
            optimizer=optimizer,
            silent_controllers=tuple(silent),
        )

    def set_source(self, target: str, event: SourceEvent) -> None:
        """Set, clear or renew an external limit. Raises UserError when it is refused."""
        errors = []
        for controller in self.controllers():
            request = SourceRequest(id=secrets.token_hex(8), target=target, event=event)
            reply = self._ask(controller, request, SourceReply)
            if reply is not None and reply.error is None:
                return
            errors.append(f"controller {controller} does not answer" if reply is None else str(reply.error))
        raise UserError("; ".join(dict.fromkeys(errors)) or f"no controller of site {self.site} runs here")

    def _ask(self, controller: str, request: Struct, reply_type: type[Reply]) -> Reply | None:
        port = self._port(controller)
        deadline_s = time.monotonic() + self._timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            # Said again: what a command meets on its way may have been lost with a dying process.
            port.send(request, target="", source=self._name)
            for message in self._received(min(left_s, RETRY_S)):
                if isinstance(message, reply_type) and message.id == getattr(request, "id", None):
                    return message
        return None

    def _port(self, controller: str) -> Port:
        """One for each controller: it finds a restarted one again by itself."""
        if controller not in self._ports:
            try:
                self._ports[controller] = self._wire.connect(
                    self._run_dir.address(f"{controller}.control"),
                    self._replies.put,
                    name=controller,
                    message_max_B=MESSAGE_MAX_B,
                )
            except (AddressError, RunDirError) as error:
                raise UserError(str(error)) from error
        return self._ports[controller]

    def _received(self, timeout_s: float) -> Iterable[object]:
        deadline_s = time.monotonic() + timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            try:
                yield self._replies.get(timeout=left_s).message
            except queue.Empty:
                return
