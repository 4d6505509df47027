"""YAML text to plain data: mappings with text keys, lists, text, numbers, booleans, None.

YAML has more to it than a configuration needs, and PyYAML trusts its input. Here a key that stands
twice is noticed (PyYAML silently takes the last), references to anchors are expanded within a bound,
dates stay text, and no tag makes an object.
"""

from __future__ import annotations

from typing import Any

import yaml

from actors.config.faults import ConfigError, Fault, Faults, Path, written

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 1_000_000
"""Values in a file, counted after its references to anchors are expanded."""
MAX_NESTING = 100
"""Levels of mappings and lists within each other."""

_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float")}
_TEXT = {f"tag:yaml.org,2002:{name}" for name in ("str", "timestamp", "value")}
_TOO_DEEP_FOR_LIBYAML = "exceeded maximum nesting depth"
"""Said by libyaml 0.2.6 and later, which reads ahead, before we could count."""
_MERGE = "tag:yaml.org,2002:merge"
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where there is one: ten times faster


def read(text: str) -> tuple[Any, list[tuple[Path, str]]]:
    """The text's data, and each key that stands twice, as its path and a message.

    Raises ConfigError when the text is not one readable, bounded YAML document.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise ConfigError((Fault("", f"larger than {MAX_BYTES // 1024 // 1024} MiB"),))
    try:
        _check_nesting(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = error.problem or ""
        if mark and problem == _TOO_DEEP_FOR_LIBYAML:
            raise ConfigError((_too_deep(mark.line),)) from None
        if problem.startswith("but "):  # what was expected stands in the context
            problem = f"{error.context} {problem}"
        raise ConfigError((Fault("", f"not YAML: {place}{problem}"),)) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise ConfigError((Fault("", f"not YAML: {' '.join(str(error).split())}"),)) from None
    if node is None:
        raise ConfigError((Fault("", "the file is empty"),))
    builder = _Builder()
    data = builder.build(node, ())
    builder.faults.raise_if_any()
    return data, builder.duplicates


def _check_nesting(text: str) -> None:
    """Before composing, which is recursive: nesting without bound would end the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_NESTING:
            raise ConfigError((_too_deep(event.start_mark.line if event.start_mark else -1),))


def _too_deep(line: int) -> Fault:
    return Fault("", f"line {line + 1}: nested deeper than {MAX_NESTING} levels")


class _Builder:
    """Builds data from YAML nodes; every reference to an anchor becomes a copy of its own."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.duplicates: list[tuple[Path, str]] = []
        self._nodes = 0
        self._scalars = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ConfigError((Fault("", f"more than {MAX_NODES} values, with anchors expanded"),))
        if len(path) > MAX_NESTING:  # only a reference to an anchor leads here
            shallow = written(path[:3])
            raise ConfigError(
                (Fault(shallow, f"anchors lead into themselves or deeper than {MAX_NESTING} levels"),)
            )
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.faults.add(path, f"line {line}: a key must be text, not a list or mapping")
                continue
            key = key_node.value
            value = self.build(value_node, (*path, key))
            if key_node.tag == _MERGE:
                for part in value if isinstance(value, list) else [value]:
                    if isinstance(part, dict):
                        merged = {**part, **merged}
                    else:
                        self.faults.add((*path, key), f"line {line}: only mappings can be merged")
                continue
            if key in own:
                places = f"lines {lines[key]} and {line}" if line != lines[key] else f"line {line} twice"
                message = f"duplicate name: it stands in {places}"
                self.duplicates.append(((*path, key), message))
            own[key], lines[key] = value, line
        return {**merged, **own}

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        if node.tag in _TEXT:
            return node.value
        if node.tag in _PLAIN:
            try:
                return self._scalars.construct_object(node)
            except (ValueError, LookupError):  # an explicit tag (!!int x), or more digits than Python takes
                kind = node.tag.rpartition(":")[2]
                self.faults.add(path, f"not a YAML {kind}")
                return None
        self.faults.add(path, f"the tag {node.tag} is not supported")
        return None
