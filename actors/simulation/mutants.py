"""Faults put into the cores on purpose, to see that the simulator finds them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def mutated(changes: Mapping[str, Any]) -> Iterator[None]:
    """Put something else in the place of names for a while, in this process only.

    `mutated({"actors.energy.ledger.STRETCH": 1.0})`; after the module may come a class and its method.
    """
    undo = []
    try:
        for path, value in changes.items():
            owner, name = _find(path.split("."))
            undo.append((owner, name, vars(owner)[name]))
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in reversed(undo):
            setattr(owner, name, value)


def _find(parts: list[str]) -> tuple[Any, str]:
    """The owner of a dotted name, and its last part."""
    for end in range(len(parts) - 1, 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:-1]:
            owner = getattr(owner, part)
        return owner, parts[-1]
    raise ValueError(f"nothing is named {'.'.join(parts)}")
