"""A short mark of all that must be the same on every controller of a site."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import msgspec

from actors.site import Controller, Module

LENGTH = 16


def site_digest(modules: Iterable[Module], controllers: Iterable[Controller]) -> str:
    """Hexadecimal digits that change with the tree, its settings and who hosts what.

    Declared external limits are left out: they bind at their own module only, and an operator may
    change them on one controller after the other. (Fallbacks are among the settings.)
    """
    content = {
        "modules": [[m.id, m.kind, m.parent, _plain(msgspec.to_builtins(m.config))] for m in modules],
        "controllers": {c.name: [c.listen, c.modules] for c in controllers},
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """With 32 and 32.0 written alike."""
    return {
        key: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for key, value in config.items()
    }
