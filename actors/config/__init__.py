"""A site's YAML file to a `Site`, or all that is wrong with it.

    text --document--> plain data --grammar--> entries --links--> tree --hosting--> Site
                           |           |          |        |         |
                           +-----------+----------+--------+---------+--> faults, all at once

What comes from outside is checked here, once; behind `load_site` everything holds.
"""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Any

from msgspec import Struct

from actors.config import document
from actors.config.checks import check_fallbacks, check_modules
from actors.config.digest import site_digest
from actors.config.faults import ConfigError, Fault, Faults, Path, did_you_mean, shown, written
from actors.config.fields import check_name, mapping
from actors.config.grammar import Modules, read_modules
from actors.config.hosting import check_address, host_all, read_controllers
from actors.config.links import Tree, build_tree
from actors.config.serving import check_leases, host_chargers
from actors.config.sinks import place_gateways
from actors.site import Controller, Ignored, Module, PlantConfig, Site

__all__ = ["ConfigError", "Fault", "load_site", "parse_site"]

OUR_KEYS = ("active_modules", "controllers", "plant", "site")
EVEREST_KEYS = ("settings",)
_MODULE_SIGNS = ("module", "config", "config_module", "connections")


def load_site(path: str | FilePath) -> Site:
    """The site that a file describes. Raises ConfigError, also when the file cannot be read."""
    file = FilePath(path)
    try:
        with file.open("rb") as stream:
            content = stream.read(document.MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(content) <= document.MAX_BYTES:
            reason = f"not UTF-8 text: byte {error.start + 1} cannot be read"
            raise ConfigError((Fault("", reason),)) from None
        text = content.decode("utf-8", errors="replace")  # cut in the middle of a character: too large
    except (OSError, ValueError) as error:
        reason = str((isinstance(error, OSError) and error.strerror) or error)
        raise ConfigError((Fault("", f"cannot be read: {reason}"),)) from None
    return parse_site(text, file.stem, str(path))


def parse_site(text: str, name: str, path: str = "<text>") -> Site:
    """The site that a YAML text describes; `name` holds unless the text names it. Raises ConfigError."""
    data, duplicates = document.read(text)
    faults = Faults()
    notes: list[Ignored] = []
    sections = _split(data, faults)
    modules = read_modules(sections.modules, sections.modules_path, faults, notes)
    _sort_duplicates(duplicates, modules, faults, notes)
    tree = build_tree(modules, faults)
    check_modules(modules, faults)
    if tree is not None:
        check_fallbacks(tree, modules, faults)
        check_leases(tree, modules, faults)
    declared = None
    if "controllers" in sections.others:
        declared = read_controllers(sections.others["controllers"], ("controllers",), modules, faults)
    plant = _plant(sections.others.get("plant"), declared, faults)
    site_name = _name(sections.others, name, faults)
    faults.raise_if_any()
    assert tree is not None  # else there are faults
    controllers = host_chargers(host_all(declared, tree, modules), modules, faults)
    gateways = place_gateways(modules, tree, controllers, faults)
    faults.raise_if_any()
    members = _members(tree, modules)
    site = Site(
        name=site_name,
        path=path,
        root=tree.root,
        modules=members,
        controllers=controllers,
        plant=plant,
        gateways=gateways,
        chargers=modules.chargers,
        ignored=tuple(notes),
        digest=site_digest(members.values(), controllers.values()),
    )
    _check_story(site)
    return site


def _check_story(site: Site) -> None:
    """The story names modules of the tree, so it is read once that stands."""
    # Here, because the plant reads its story with means of this package.
    from actors.plant.story import StoryError, parse_story

    try:
        parse_story(site.plant.story, site)
    except StoryError as error:
        raise ConfigError(tuple(Fault(path, message) for path, message in error.faults)) from None


class _Sections(Struct):
    modules: dict[str, Any]
    modules_path: Path
    others: dict[str, Any]


def _split(data: Any, faults: Faults) -> _Sections:
    """The parts of a file. Without `active_modules`, its modules stand at the top level."""
    if not isinstance(data, dict):
        raise ConfigError((Fault("", f"expected a mapping with active_modules, got {shown(data)}"),))
    loose: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for key, value in data.items():
        if key in OUR_KEYS:
            others[key] = value
        elif key in EVEREST_KEYS or key.startswith("x-"):
            continue
        elif not (isinstance(value, dict) and any(sign in value for sign in _MODULE_SIGNS)):
            faults.add((key,), f"unknown key{did_you_mean(key, OUR_KEYS)}")
        elif "active_modules" in data:
            faults.add((key,), "a module outside of active_modules; move it there")
        else:
            loose[key] = value
    if "active_modules" in data:
        modules = mapping(data["active_modules"], ("active_modules",), faults)
        return _Sections(modules, ("active_modules",), others)
    return _Sections(loose, (), others)


def _sort_duplicates(
    duplicates: list[tuple[Path, str]], modules: Modules, faults: Faults, notes: list[Ignored]
) -> None:
    """A key that stands twice is a fault, except where the file is not ours to judge."""
    depth = len(modules.path)
    for path, message in duplicates:
        inside = path[depth : depth + 1] if path[:depth] == modules.path and len(path) > depth + 1 else ()
        foreign = path[0] in EVEREST_KEYS or str(path[0]).startswith("x-")
        if foreign or (inside and inside[0] in modules.strangers):
            notes.append(Ignored(path=written(path), what=message))
        else:
            faults.add(path, message)


def _plant(raw: Any, controllers: dict[str, Controller] | None, faults: Faults) -> PlantConfig:
    """The plant's address; its story is typed by the plant itself."""
    story = dict(mapping(raw, ("plant",), faults))
    listen = story.pop("listen", None)
    if listen is None:
        return PlantConfig(story=story)
    if not isinstance(listen, str):
        faults.add(("plant", "listen"), f"expected text, got {shown(listen)}")
        return PlantConfig(story=story)
    check_address(listen, ("plant", "listen"), faults)
    for controller in (controllers or {}).values():
        if controller.listen == listen:
            faults.add(("plant", "listen"), f"controller {controller.name} listens there too")
    return PlantConfig(listen=listen, story=story)


def _name(others: dict[str, Any], default: str, faults: Faults) -> str:
    if "site" not in others:
        return re.sub(r"[^A-Za-z0-9_.-]", "_", default).lstrip("-.")[:64] or "site"
    name = others["site"]
    if not isinstance(name, str):
        faults.add(("site",), f"expected text, got {shown(name)}")
        return ""
    check_name(name, ("site",), faults)
    return name


def _members(tree: Tree, modules: Modules) -> dict[str, Module]:
    return {
        module_id: Module(
            id=module_id,
            kind=modules.ours[module_id].kind,
            config=modules.ours[module_id].config,
            parent=tree.parent.get(module_id),
            children=tuple(tree.children[module_id]),
            sources=modules.ours[module_id].sources,
            meter=modules.ours[module_id].meter,
            meter_link=modules.ours[module_id].meter_link,
        )
        for module_id in tree.order
    }
