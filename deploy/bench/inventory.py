"""The inventory: which host runs which part of a site, and how it is reached.

    site: ../../configs/garage.yaml     # from the inventory's folder
    hosts:
      plant:   {address: 10.77.0.9}     # the simulated plant
      main:    {address: 10.77.0.10}    # a controller of the site each
      level_1: {address: 10.77.0.11, ssh: pi@10.77.0.11, amptree: /opt/amptree/bin/amptree}

The same file is for both: in namespaces each host gets its address, over ssh each is expected to have it.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from actors.config import ConfigError, load_site
from actors.site import Site
from tools.chaos.hosts import PLANT
from tools.errors import UserError

PREFIX_LENGTH = 24
"""Of the network that all hosts share."""
HOSTS_MAX = 200
FOLDER = "/tmp/amptree-bench"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Host(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One machine."""

    address: str
    """IPv4, in the network of all others."""
    ssh: str | None = None
    """Where `ssh` finds it: user@host, or a name of ~/.ssh/config."""
    amptree: str = "amptree"
    """The command there."""
    folder: str = FOLDER
    """Where everything of a run is kept there; short, as sockets are in it."""
    sudo: bool = True
    """Whether cutting lines there needs sudo (without a password)."""


class Inventory(Struct, frozen=True, kw_only=True):
    """All hosts, by the part that each runs: a controller's name, or `plant`."""

    path: Path
    site: Site
    hosts: dict[str, Host]
    port: int
    """That everything listens on."""

    @property
    def root(self) -> str:
        """The part that hosts the site's root."""
        return self.site.controller_of(self.site.root).name


class _File(Struct, kw_only=True, forbid_unknown_fields=True):
    site: str
    hosts: dict[str, Host]
    port: int = 7400


def load_inventory(path: Path) -> Inventory:
    """Raises UserError with all that is wrong, a line each."""
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        file = msgspec.convert(data, _File)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: {error}") from error
    site_path = path.parent / file.site
    try:
        site = load_site(site_path)
    except ConfigError as error:
        raise UserError("\n".join(f"{site_path}: {fault}" for fault in error.faults)) from None
    if faults := list(_faults(file, site)):
        raise UserError("\n".join(f"{path}: {fault}" for fault in faults))
    return Inventory(path=path, site=site, hosts=file.hosts, port=file.port)


def _faults(file: _File, site: Site) -> list[str]:
    wanted = {PLANT, *site.controllers}
    faults = [f"hosts: {part} is missing" for part in sorted(wanted - file.hosts.keys())]
    faults += [f"hosts.{part}: no controller of the site" for part in sorted(file.hosts.keys() - wanted)]
    if len(file.hosts) > HOSTS_MAX:
        faults.append(f"hosts: {len(file.hosts)}, more than {HOSTS_MAX}")
    if not 0 < file.port < 65_536:
        faults.append(f"port: {file.port} is none")
    seen: dict[str, str] = {}
    networks = set()
    for part, host in file.hosts.items():
        if not _NAME.fullmatch(part):
            faults.append(f"hosts.{part[:64]!r}: letters, digits and _ . - only")
        try:
            networks.add(ipaddress.IPv4Interface(f"{host.address}/{PREFIX_LENGTH}").network)
        except ValueError:
            faults.append(f"hosts.{part}.address: {host.address!r} is no IPv4 address")
        if host.address in seen:
            faults.append(f"hosts.{part}.address: {host.address} is that of {seen[host.address]}")
        seen[host.address] = part
        if host.ssh is not None and host.ssh.startswith("-"):
            faults.append(f"hosts.{part}.ssh: {host.ssh!r} is no host")
    if len(networks) > 1:
        faults.append(f"hosts: addresses of several networks: {', '.join(sorted(map(str, networks)))}")
    return faults
