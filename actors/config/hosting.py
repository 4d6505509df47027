"""`controllers:`, or where modules run when there is none; and the addresses that others connect to."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from actors.config.faults import Faults, Path, did_you_mean, shown
from actors.config.fields import check_name, mapping, values
from actors.config.grammar import Modules
from actors.config.links import Tree
from actors.site import Controller

MAX_IPC_BYTES = 100
"""Of an ipc address; the system allows few more for a socket's path."""

_TCP = re.compile(r"tcp://(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_IPC = re.compile(r"ipc://[^\s@*]\S*")  # @ and * are sockets without a file, so without rights


class _Declared(Struct, kw_only=True):
    listen: str | None = None
    modules: list[Any] = []


def read_controllers(raw: Any, path: Path, modules: Modules, faults: Faults) -> dict[str, Controller]:
    """The controllers as declared: `modules` holds only those that are listed."""
    controllers: dict[str, Controller] = {}
    listed_by: dict[str, str] = {}
    addresses: dict[str, str] = {}
    for name, value in mapping(raw, path, faults).items():
        check_name(name, (*path, name), faults)
        section = mapping(value, (*path, name), faults)
        declared = _Declared(**values(_Declared, section, (*path, name), faults))
        if declared.listen is not None:
            check_address(declared.listen, (*path, name, "listen"), faults)
            if (first := addresses.setdefault(declared.listen, name)) != name:
                faults.add((*path, name, "listen"), f"controller {first} listens there too")
        if section.get("modules", []) == []:
            faults.add((*path, name, "modules"), "hosts no module; list at least one")
        own: list[str] = []
        gateways: list[str] = []
        chargers: list[str] = []
        for index, module_id in enumerate(declared.modules):
            place = (*path, name, "modules", index)
            if not isinstance(module_id, str):
                faults.add(place, f"expected a module's name, got {shown(module_id)}")
            elif not any(module_id in known for known in (modules.ours, modules.gateways, modules.chargers)):
                faults.add(place, _unknown(module_id, modules))
            elif module_id in listed_by:
                faults.add(place, f"duplicate name: {module_id} is hosted by {listed_by[module_id]} already")
            else:
                listed_by[module_id] = name
                kinds = ((own, modules.ours), (gateways, modules.gateways), (chargers, modules.chargers))
                next(found for found, known in kinds if module_id in known).append(module_id)
        if (gateways or chargers) and not own:
            faults.add((*path, name, "modules"), "hosts no module of the tree; list at least one")
        controllers[name] = Controller(
            name=name,
            listen=declared.listen,
            modules=tuple(own),
            gateways=tuple(gateways),
            chargers=tuple(chargers),
        )
    for entry in modules.ours.values():
        if entry.kind == "EnergyManager" and entry.id not in listed_by:
            faults.add(path, f"the root {entry.id} is hosted by no controller")
    return controllers


def check_address(address: str, path: Path, faults: Faults) -> None:
    """An address that this process can open and others can reach."""
    tcp = _TCP.fullmatch(address)
    if tcp is None and not _IPC.fullmatch(address):
        faults.add(path, f"expected tcp://HOST:PORT or ipc://PATH, got {shown(address)}")
    elif tcp is None and (length := len(address.encode(errors="surrogatepass"))) > MAX_IPC_BYTES:
        faults.add(path, f"an ipc address has at most {MAX_IPC_BYTES} bytes, got {length}")
    elif tcp is not None and not 1 <= int(tcp["port"]) <= 65535:
        faults.add(path, f"expected a port from 1 to 65535, got {tcp['port']}")
    elif tcp is not None and tcp["host"] in ("0.0.0.0", "[::]"):
        faults.add(path, f"others connect to this address, so it must name this host; got {tcp['host']}")


def host_all(declared: dict[str, Controller] | None, tree: Tree, modules: Modules) -> dict[str, Controller]:
    """Controllers with all their modules: whatever is not listed goes with its parent, gateways with the
    root."""
    if declared is None:
        starts = [tree.root, *(c for c in tree.children[tree.root] if modules.ours[c].kind == "EnergyNode")]
        declared = {start: Controller(name=start, listen=None, modules=(start,)) for start in starts}
    host = {module_id: c.name for c in declared.values() for module_id in c.modules}
    hosted: dict[str, list[str]] = {name: [] for name in declared}
    for module_id in tree.order:
        if module_id not in host:
            host[module_id] = host[tree.parent[module_id]]
        hosted[host[module_id]].append(module_id)
    listed = {gateway for c in declared.values() for gateway in c.gateways}
    others = tuple(gateway for gateway in modules.gateways if gateway not in listed)
    return {
        name: Controller(
            name=name,
            listen=c.listen,
            modules=tuple(hosted[name]),
            gateways=(*c.gateways, *others) if name == host[tree.root] else c.gateways,
            chargers=c.chargers,
        )
        for name, c in declared.items()
    }


def _unknown(module_id: str, modules: Modules) -> str:
    if module_id in modules.strangers:
        return f"{module_id} is a {modules.strangers[module_id]}, which does not run here"
    return f'no module "{module_id}" in this file{did_you_mean(module_id, modules.ours)}'
