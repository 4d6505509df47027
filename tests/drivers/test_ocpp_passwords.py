"""Who a charger is."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from actors.drivers.ocpp.passwords import PasswordsError, identity_of, is_right, read_passwords


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_a_file_of_passwords(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_text("# chargers\n\nCP-1 one two\n  CP-2   zwei\n")
    assert read_passwords(file) == {"CP-1": "one two", "CP-2": "zwei"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("CP-1\n", "line 1: expected an identity, a blank and a password"),
        ("CP-1 a\nCP-1 b\n", "line 2: CP-1 stands there twice"),
        ("CP-1 " + "x" * 257, "line 1: expected an identity, a blank and a password"),
    ],
)
def test_what_is_wrong_with_it_is_told_without_what_stands_in_it(
    tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "passwords"
    file.write_text(text)
    with pytest.raises(PasswordsError) as caught:
        read_passwords(file)
    assert str(caught.value) == f"{file}, {told}"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PasswordsError, match="cannot be read: No such file"):
        read_passwords(tmp_path / "none")


@pytest.mark.parametrize(
    ("header", "right"),
    [
        (basic("CP-1:secret"), True),
        ("bAsIc " + basic("CP-1:secret")[6:], True),
        (basic("CP-1:Secret"), False),
        (basic("CP-2:secret"), False),
        (basic("CP-1:"), False),
        ("Bearer secret", False),
        ("Basic %%%", False),
        ("Basic ü", False),
        ("", False),
        (None, False),
    ],
)
def test_only_its_own_password_is_right(header: str | None, right: bool) -> None:
    assert is_right(header, "CP-1", "secret") is right


@pytest.mark.parametrize(
    ("path", "identity"),
    [("/CP-1", "CP-1"), ("/ocpp/1.6/CP%201?x=/y", "CP 1"), ("/", ""), ("/CP-1/", "")],
)
def test_the_identity_is_the_last_part_of_the_address(path: str, identity: str) -> None:
    assert identity_of(path) == identity
