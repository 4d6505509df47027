"""Where a command finds its keys: the folder, and which key in it is its own."""

from __future__ import annotations

import argparse
from pathlib import Path

from actors.identities import is_client, is_operator, keys_dir
from actors.rundir import RunDir
from tools.errors import UserError
from transport import KeyFileError, Keyring, keyfiles


def add_keys_argument(parser: argparse.ArgumentParser) -> None:
    """`--keys DIR`."""
    parser.add_argument(
        "--keys",
        metavar="DIR",
        type=Path,
        help="keyring (default: that of the running site, else ~/.config/amptree/keys/SITE)",
    )


def keys_folder(site: str, chosen: Path | None) -> Path:
    """The chosen folder, else that of what runs of the site here (of `up` first), else the user's."""
    if chosen is not None:
        return chosen
    holders = RunDir(site).holders()
    for name in sorted(holders, key=lambda name: name != "up"):
        if isinstance(folder := holders[name].get("keys"), str):
            return Path(folder)
    return keys_dir(site)


def open_keyring(folder: Path, identity: str) -> Keyring:
    """The keyring, for the owner of `identity`. Raises UserError."""
    if not keyfiles.secret_path(folder, identity).exists():
        raise UserError(
            f"no key of {identity} in {folder}; make one with: amptree keys new {identity} --keys {folder}"
        )
    try:
        return Keyring(folder, identity)
    except KeyFileError as error:
        raise UserError(str(error)) from error


def open_client_keyring(folder: Path) -> Keyring:
    """The keyring, for an operator if there is a key of one, else for a reader. Raises UserError."""
    try:
        own = [identity for identity in keyfiles.identities(folder, "secret") if is_client(identity)]
    except KeyFileError as error:
        raise UserError(str(error)) from error
    if not own:
        raise UserError(
            f"no key of an operator or reader in {folder}; make one with: amptree keys new operator/NAME, "
            "or name another folder with --keys DIR"
        )
    return open_keyring(folder, min(own, key=lambda identity: not is_operator(identity)))
