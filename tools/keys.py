"""`amptree keys`: the keys of a site on this machine: who may speak, and as whom.

Identities are controller/NAME (NAME as in the site's file), plant, operator/NAME (sets limits) and
reader/NAME (asks for the status). A key that is made here is trusted here; whoever else is to trust it
must be told its public half:

    level_1$  amptree keys new controller/level_1 --site garage
    level_1$  amptree keys show controller/level_1 --site garage
    main$     amptree keys trust controller/level_1 5f3a… --site garage

Running processes notice within seconds, both of a key that is trusted and of one that is revoked.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from actors.identities import fault_of, keys_dir, make_keys
from actors.rundir import running_sites
from tools.errors import UserError
from tools.keyrings import add_keys_argument, keys_folder
from transport import KeyFileError, keyfiles

WAYS = "controller/NAME, plant, operator/NAME or reader/NAME"
LINES_MAX = 4_096


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = __doc__.partition("\n\n")[2]
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary in {
        "new": "make keys, which are trusted here",
        "show": "print the public halves of keys, as `trust` takes them",
        "trust": "trust somebody else's public key",
        "revoke": "remove keys: within 5 s nothing from or to them passes here",
        "list": "all keys here, and whether they can be used",
    }.items():
        action = actions.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        match name:
            case "trust":
                action.add_argument("identity", metavar="IDENTITY", help=f"{WAYS}; - reads lines from stdin")
                action.add_argument(
                    "key", metavar="KEY", nargs="?", help="its public key, as `show` prints it"
                )
            case "list":
                pass
            case "show":
                action.add_argument(
                    "identities", metavar="IDENTITY", nargs="*", help="default: all made here"
                )
            case _:
                action.add_argument("identities", metavar="IDENTITY", nargs="+", help=WAYS)
        action.add_argument("--site", metavar="NAME", help="whose keys, if there are several sites here")
        add_keys_argument(action)
        action.set_defaults(parser=action)


def run(options: argparse.Namespace) -> int:
    """Do it; 1 when `list` finds a key that cannot be used."""
    to_trust = _to_trust(options) if options.action == "trust" else []
    folder = options.keys or keys_folder(options.site or _only_site(), None)
    try:
        match options.action:
            case "new":
                _new(folder, options.identities)
            case "show":
                _show(folder, options.identities)
            case "trust":
                _trust(folder, to_trust)
            case "revoke":
                _revoke(folder, options.identities)
            case _:
                return _list(folder)
    except KeyFileError as error:
        raise UserError(str(error)) from error
    return 0


def _only_site() -> str:
    """The site that runs here, else the one that has keys here."""
    try:
        kept = sorted(folder.name for folder in keys_dir(".").iterdir() if folder.is_dir())
    except OSError:
        kept = []
    sites = running_sites() or kept
    if len(sites) == 1:
        return sites[0]
    known = f"several have keys or run here: {', '.join(sites)}" if sites else "none runs or has keys here"
    raise UserError(f"which site? {known}; say it with --site NAME or --keys DIR")


def _check(identities: list[str]) -> None:
    for identity in identities:
        if (fault := fault_of(identity)) is not None:
            raise UserError(fault)


def _new(folder: Path, identities: list[str]) -> None:
    _check(identities)
    for identity in identities:
        if any(path.exists() for path in _paths(folder, identity)):
            raise UserError(f"{identity} has a key in {folder}; first: amptree keys revoke {identity}")
    make_keys(folder, identities)
    _show(folder, identities)


def _show(folder: Path, identities: list[str]) -> None:
    _check(identities)
    for identity in identities or keyfiles.identities(folder, "secret"):
        if keyfiles.secret_path(folder, identity).exists():
            print(identity, keyfiles.read_secret(folder, identity).public)
        else:
            print(identity, keyfiles.read_trusted(folder, identity))


def _to_trust(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Identities and keys. Raises UserError; wrong usage ends the process with exit code 2."""
    if (options.identity == "-") != (options.key is None):
        options.parser.error("give IDENTITY and KEY, as `amptree keys show` prints them, or - for stdin")
    lines = [f"{options.identity} {options.key}"]
    if options.key is None:
        lines = [line for line in sys.stdin.read(LINES_MAX * 256).splitlines() if line.strip()]
    pairs = []
    for line in lines:
        identity, _, key = line.strip().partition(" ")
        _check([identity])
        try:
            pairs.append((identity, keyfiles.public_key(key)))
        except ValueError as error:
            raise UserError(f"{identity}: {error}") from error
    return pairs


def _trust(folder: Path, pairs: list[tuple[str, str]]) -> None:
    trusted = _trusted(folder)
    for identity, key in pairs:
        if trusted.get(identity, key) != key:
            raise UserError(
                f"{identity} is trusted with another key; if it has a new one: amptree keys revoke {identity}"
            )
        if other := next((name for name, its in trusted.items() if its == key and name != identity), None):
            raise UserError(f"that is the key of {other}: {identity} needs one of its own")
        trusted[identity] = key
    for identity, key in pairs:
        keyfiles.write_key(keyfiles.trusted_path(folder, identity), key)
        print(f"{identity} is trusted")


def _trusted(folder: Path) -> dict[str, str]:
    return {name: keyfiles.read_trusted(folder, name) for name in keyfiles.identities(folder, "trusted")}


def _revoke(folder: Path, identities: list[str]) -> None:
    _check(identities)
    for identity in identities:
        paths = _paths(folder, identity)
        if not any(path.exists() for path in paths):
            raise UserError(f"no key of {identity} in {folder}; see: amptree keys list")
        for path in paths:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise UserError(f"{path}: cannot be removed: {error.strerror}") from error
        print(f"{identity} is revoked here; other hosts that trust it must revoke it, too")


def _paths(folder: Path, identity: str) -> list[Path]:
    return [keyfiles.trusted_path(folder, identity), keyfiles.secret_path(folder, identity)]


def _list(folder: Path) -> int:
    own = set(keyfiles.identities(folder, "secret"))
    trusted = set(keyfiles.identities(folder, "trusted"))
    print(f"keys in {folder}:" if own | trusted else f"no keys in {folder}")
    faults = 0
    for identity in sorted(own | trusted):
        try:
            key = _usable(folder, identity, own=identity in own, trusted=identity in trusted)
        except KeyFileError as error:
            faults += 1
            print(f"amptree keys: {error}", file=sys.stderr)
            continue
        marks = ["made here"] * (identity in own) + ["trusted"] * (identity in trusted)
        print(f"  {identity:<{max(map(len, own | trusted))}}  {key}  {', '.join(marks)}")
    return 1 if faults else 0


def _usable(folder: Path, identity: str, *, own: bool, trusted: bool) -> str:
    """The public key. Raises KeyFileError where something is wrong with it."""
    if (fault := fault_of(identity)) is not None:
        raise KeyFileError(f"{folder}: {fault}")
    keys = {keyfiles.read_trusted(folder, identity)} if trusted else set()
    keys |= {keyfiles.read_secret(folder, identity).public} if own else set()
    if len(keys) > 1:
        raise KeyFileError(f"{folder}: the trusted key of {identity} is not that of its secret half")
    return keys.pop()
