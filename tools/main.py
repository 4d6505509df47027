"""Entry point of the `amptree` command: finds the verb's file and runs it."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from tools.errors import UserError

VERBS = {
    "up": "run a whole site on this machine, with simulated cars and a live screen",
    "run": "run one controller of a site, for a host of its own",
    "plant": "run the simulated plant of a site, for a host of its own",
    "check": "check a site's YAML file and print its tree",
    "allocate": "run the market on requests from a file or stdin",
    "limit": "set or clear an external limit on a node",
    "status": "show every module of a running site",
    "stop": "stop a running site",
    "chaos": "hurt a site of real processes, and check its plant's record against every fuse",
    "bench": "measure how fast the market and whole sites are",
    "keys": "make, show, trust, revoke and list the keys of a site's processes and operators",
    "simulate-faults": "run drawn sites in simulated time while everything goes wrong that may",
}


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The parser; only the chosen verb's module is imported."""
    parser = argparse.ArgumentParser(
        prog="amptree", description="Load management for EV charging sites.", allow_abbrev=False
    )
    parser.add_argument("--version", action=_ShowVersion)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, summary in VERBS.items():
        sub = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == verb:
            _module(name).configure(sub)
    return parser


def _module(verb: str) -> Any:
    return importlib.import_module(f"tools.{verb.replace('-', '_')}")


class _ShowVersion(argparse.Action):
    """Looks the version up when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show program's version number and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(f"amptree {_version()}")
        parser.exit()


def _version() -> str:
    # It costs more than all else that argparse needs, and every process of a site begins here.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("amptree")
    except PackageNotFoundError:
        return "(a checkout that is not installed)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; exit codes: 0 done, 1 a fault that the user can mend, 2 wrong usage, 130 Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = arguments[0] if arguments and arguments[0] in VERBS else None
    options = build_parser(verb).parse_args(arguments)
    try:
        code: int = _module(options.verb).run(options)
    except UserError as error:
        print(f"amptree {options.verb}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away (`| head`): nothing is left to say
        return 1
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
