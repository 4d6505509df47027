"""Files that are no sound YAML end in one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.config import ConfigError, document, load_site, parse_site


def told(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_site(text, "test")
    return str(caught.value)


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(20))

TEXTS = [
    ("", "the file is empty"),
    ("# only a comment\n", "the file is empty"),
    ("7", "expected a mapping with active_modules, got 7"),
    ("- a", "expected a mapping with active_modules, got a list"),
    ("a: [1", "not YAML: line 2, column 1: did not find expected ',' or ']'"),
    (
        "a: 1\n---\nb: 1",
        "not YAML: line 2, column 1: expected a single document in the stream but found another document",
    ),
    ("a: *b", "not YAML: line 1, column 4: found undefined alias"),
    (
        "a: \0",
        "not YAML: unacceptable character #x0000: control characters are not allowed "
        'in "<unicode string>", position 3',
    ),
    ("[" * 100_000, "line 1: nested deeper than 100 levels"),
    ("- " * 100_000, "line 1: nested deeper than 100 levels"),
    ("a: &a [*a]", "a[0][0]: anchors lead into themselves or deeper than 100 levels"),
    (BOMB, "more than 1000000 values, with anchors expanded"),
    ("x" * 5_000_000, "larger than 4 MiB"),
    ("? [1]\n: 2", "line 1: a key must be text, not a list or mapping"),
    (
        "a: !!python/object:os.system ls",
        "a: the tag tag:yaml.org,2002:python/object:os.system is not supported",
    ),
    ("a: !!int x", "a: not a YAML int"),
    ("a: !!int ''", "a: not a YAML int"),
    ("a: !!bool x", "a: not a YAML bool"),
    (f"a: {'9' * 5000}", "a: not a YAML int"),
    ("<<: 3", "<<: line 1: only mappings can be merged"),
]


@pytest.mark.parametrize(("text", "message"), TEXTS, ids=[message for _, message in TEXTS])
def test_an_unreadable_text_is_one_line(text: str, message: str) -> None:
    assert told(text) == message


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("site: Übung".encode("latin-1"))
    large = tmp_path / "large.yaml"
    large.write_bytes("ü".encode() * 3 * 1024 * 1024)
    expected = {
        tmp_path / "missing.yaml": "cannot be read: No such file or directory",
        tmp_path: "cannot be read: Is a directory",
        Path("a\0b"): "cannot be read: embedded null byte",
        latin: "not UTF-8 text: byte 7 cannot be read",
        large: "larger than 4 MiB",
    }
    for path, message in expected.items():
        with pytest.raises(ConfigError) as caught:
            load_site(path)
        assert str(caught.value) == message


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "my site.yaml"
    file.write_bytes(b"\xef\xbb\xbfactive_modules: {root: {module: EnergyManager}}")
    site = load_site(file)
    assert (site.name, site.path) == ("my_site", str(file))


def test_anchors_and_merges_work_and_may_be_overridden() -> None:
    text = """
active_modules:
  root: {module: EnergyManager}
  evse_1: &evse
    module: EvseManager
    config: &config {max_current_A: 16, priority: 2}
    connections: {energy_grid: root}
  evse_2:
    <<: *evse
    config: {<<: *config, priority: 3}
"""
    modules = parse_site(text, "test").modules
    assert modules["evse_2"].config.max_current_A == 16  # type: ignore[union-attr]
    assert modules["evse_2"].config.priority == 3  # type: ignore[union-attr]


def test_dates_stay_text_and_keys_become_text() -> None:
    data, duplicates = document.read("a: 2026-01-02T03:04:05Z\n1: b\nno: {2: c}")
    assert data == {"a": "2026-01-02T03:04:05Z", "1": "b", "no": {"2": "c"}}
    assert duplicates == []


def test_a_key_that_stands_twice_is_found_wherever_it_is() -> None:
    _, duplicates = document.read("a:\n  - b: 1\n    c: 2\n    b: 3\na: 4")
    assert duplicates == [
        (("a", 0, "b"), "duplicate name: it stands in lines 2 and 4"),
        (("a",), "duplicate name: it stands in lines 1 and 5"),
    ]
