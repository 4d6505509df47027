"""The identities of a site's keys, what each may do, and where they are kept on this machine.

controller/NAME   speaks for the modules that the site's file gives to the controller NAME
plant             plays the hardware
operator/NAME     asks for the status, sets limits, handles the simulated plant
reader/NAME       asks for the status
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from actors.site import Site
from transport import KeyPair, keyfiles

PLANT = "plant"
LOCAL_OPERATOR = "operator/up"
"""Of the keys that `up` makes for its run."""

_ROLES = ("controller", "operator", "reader")


def controller(name: str) -> str:
    """The identity of a controller."""
    return f"controller/{name}"


def is_controller(identity: str) -> bool:
    """It may speak on links, for its modules, and command the hardware of its EVSEs."""
    return identity.startswith("controller/")


def is_operator(identity: str) -> bool:
    """It may change things."""
    return identity.startswith("operator/")


def is_client(identity: str) -> bool:
    """It may ask for the status."""
    return identity.startswith(("operator/", "reader/"))


def fault_of(identity: str) -> str | None:
    """Why that is no identity; None if it is one."""
    role, slash, _ = identity.partition("/")
    known = identity == PLANT or (slash and role in _ROLES)
    if known and keyfiles.IDENTITY.fullmatch(identity):
        return None
    return f"{identity!r} is none of controller/NAME, plant, operator/NAME and reader/NAME"


def keys_dir(site: str) -> Path:
    """Where a site's keys are on this machine, unless told otherwise."""
    if chosen := os.environ.get("AMPTREE_KEYS_DIR"):
        return Path(chosen) / site
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "amptree" / "keys" / site


def make_keys(folder: Path, names: Iterable[str]) -> None:
    """Make a key for each of these identities, which is trusted in the same folder. Raises KeyFileError."""
    for identity in names:
        pair = KeyPair.new()
        keyfiles.write_key(keyfiles.secret_path(folder, identity), pair.secret.hex())
        keyfiles.write_key(keyfiles.trusted_path(folder, identity), pair.public)


def keys_of_a_run(site: Site) -> list[str]:
    """All identities of a site that runs on one machine, and somebody to operate it."""
    return [*(controller(name) for name in site.controllers), PLANT, LOCAL_OPERATOR]
