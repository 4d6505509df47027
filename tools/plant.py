"""`amptree plant`: the simulated plant of a site, for a host of its own."""

from __future__ import annotations

import argparse
from pathlib import Path

from actors import identities
from actors.plant.process import run_plant, with_seed
from actors.plant.story import StoryError
from actors.rundir import AlreadyRunningError, RunDir, RunDirError
from tools import logs
from tools.errors import UserError
from tools.keyrings import add_keys_argument, keys_folder, open_keyring
from tools.processes import (
    add_faults_argument,
    allow_many_files,
    injection_of,
    load,
    run_smoothly,
    stop_on_signals,
)
from transport import AddressError


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("file", metavar="FILE", help="the site's YAML file, the same on all hosts")
    parser.add_argument("--listen", metavar="ADDRESS", help="where to listen (default: plant.listen of FILE)")
    parser.add_argument("--record", metavar="FILE", type=Path, help="write what happens as JSON lines")
    parser.add_argument("--seed", metavar="N", type=int, help="another course of chance than FILE says")
    add_keys_argument(parser)
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this process, its parent, ends")
    add_faults_argument(parser)
    logs.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Run until a signal."""
    site = load(options.file)
    if options.seed is not None:
        site = with_seed(site, options.seed)
    address = options.listen or site.plant.listen
    if address is None:
        raise UserError(f"{options.file} has no plant.listen; say where to listen with --listen ADDRESS")
    logs.set_up(options)
    keys = keys_folder(site.name, options.keys)
    keyring = open_keyring(keys, identities.PLANT)
    allow_many_files()
    what = f"the plant of site {site.name}"
    try:
        with (
            stop_on_signals(parent=options.parent) as stop,
            RunDir(site.name).lock(
                "plant", what, file=str(Path(options.file).resolve()), keys=str(keys.resolve())
            ),
        ):
            run_smoothly()
            run_plant(site, address, options.record, keyring, stop, injection_of(options))
    except StoryError as error:
        faults = [f"{path}: {message}" if path else message for path, message in error.faults]
        raise UserError(f"{options.file}: " + f"\n{options.file}: ".join(faults)) from None
    except (AddressError, RunDirError, AlreadyRunningError) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"{error.filename or options.record}: cannot be written: {error.strerror}") from error
    return 0
