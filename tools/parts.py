"""What one controller needs of its site's file, read in a process that ends when it is done.

Reading the file of a thousand EVSEs leaves as much memory behind as a hundred EVSEs take, in pieces between
what is kept. Here all of it goes with the process that read, and what its controller needs comes back
through a pipe.
"""

from __future__ import annotations

import os
import pickle

from actors.site import Site
from tools.errors import UserError
from tools.processes import load


def load_part(path: str, controller: str) -> Site:
    """A controller's part of the site of a file (`Site.part`). Raises UserError with every fault.

    Only for a process that has one thread.
    """
    reader, writer = os.pipe()
    try:
        pid = os.fork()
    except OSError:  # no more processes are allowed
        os.close(reader)
        os.close(writer)
        return _read(path, controller)
    if pid == 0:
        _tell(writer, path, controller)
    os.close(writer)
    with open(reader, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status != 0:  # it was killed, or failed: what that is shows when it happens here
        return _read(path, controller)
    part: Site | UserError = pickle.loads(told)
    if isinstance(part, UserError):
        raise part
    return part


def _tell(writer: int, path: str, controller: str) -> None:
    """Of the process that reads, all of its life."""
    code = 1
    try:
        part: Site | UserError
        try:
            part = _read(path, controller)
        except UserError as error:
            part = error
        with open(writer, "wb") as pipe:
            pickle.dump(part, pipe)
        code = 0
    finally:
        os._exit(code)


def _read(path: str, controller: str) -> Site:
    site = load(path)
    if controller not in site.controllers:
        raise UserError(f"no controller {controller!r} in {path}; known: {', '.join(site.controllers)}")
    return site.part(controller)
