"""`amptree keys`: what it makes, prints, trusts, removes and refuses."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest

from actors.identities import keys_dir
from actors.rundir import RunDir
from tools.errors import UserError
from tools.keyrings import keys_folder, open_client_keyring
from tools.main import build_parser, main
from transport import KeyPair, Keyring


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPTREE_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("AMPTREE_KEYS_DIR", str(tmp_path / "keys"))


def keys(*arguments: str) -> int:
    return main(["keys", *arguments, "--site", "garage"])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that it is refused with."""
    capsys.readouterr()
    assert keys(*arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("amptree keys: ")
    assert error.count("\n") == 1
    return error.removeprefix("amptree keys: ").rstrip()


def test_a_new_key_is_safe_on_disk_shown_and_trusted_here(capsys: pytest.CaptureFixture[str]) -> None:
    before = os.umask(0)
    try:
        assert keys("new", "controller/main", "plant") == 0
    finally:
        os.umask(before)
    shown = capsys.readouterr().out
    for path in keys_dir("garage").parent.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    ring = Keyring(keys_dir("garage"), "plant")
    assert shown.splitlines() == [
        f"controller/main {ring.key_of('controller/main')}",
        f"plant {ring.own.public}",
    ]
    assert keys("show") == 0
    assert capsys.readouterr().out == shown
    assert ring.own.secret.hex() not in shown


def test_what_show_prints_on_one_host_trust_takes_on_another(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys("new", "controller/main", "controller/level_1")
    shown = capsys.readouterr().out
    other = str(tmp_path / "other")
    identity, key = shown.splitlines()[0].split()
    assert main(["keys", "trust", identity, key, "--keys", other]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(shown))
    assert main(["keys", "trust", "-", "--keys", other]) == 0
    assert main(["keys", "list", "--keys", other]) == 0
    listed = capsys.readouterr().out
    assert f"{key}  trusted" in listed
    assert "made here" not in listed
    assert keys("list") == 0
    assert f"{key}  made here, trusted" in capsys.readouterr().out


def test_a_revoked_key_is_gone_and_can_be_made_anew(capsys: pytest.CaptureFixture[str]) -> None:
    keys("new", "operator/me")
    capsys.readouterr()
    assert keys("revoke", "operator/me") == 0
    assert "other hosts that trust it must revoke it, too" in capsys.readouterr().out
    assert keys("list") == 0
    assert capsys.readouterr().out == f"no keys in {keys_dir('garage')}\n"
    assert keys("new", "operator/me") == 0


def test_what_it_refuses_it_says_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    key = KeyPair.new().public
    folder = keys_dir("garage")
    assert refused(capsys, "new", "main") == (
        "'main' is none of controller/NAME, plant, operator/NAME and reader/NAME"
    )
    assert "none of controller/NAME" in refused(capsys, "trust", "controller/../x", key)
    assert "'abc' is not a key: a key has 64 digits" in refused(capsys, "trust", "plant", "abc")
    assert refused(capsys, "revoke", "plant") == f"no key of plant in {folder}; see: amptree keys list"
    keys("new", "plant")
    assert refused(capsys, "new", "plant") == f"plant has a key in {folder}; first: amptree keys revoke plant"
    assert "trusted with another key" in refused(capsys, "trust", "plant", key)
    keys("trust", "controller/main", key)
    assert refused(capsys, "trust", "controller/level_1", key) == (
        "that is the key of controller/main: controller/level_1 needs one of its own"
    )
    assert main(["keys", "list", "--keys", str(folder)]) == 0


def test_unsafe_files_are_told_with_the_command_that_mends_them(capsys: pytest.CaptureFixture[str]) -> None:
    keys("new", "plant", "operator/me")
    secret = keys_dir("garage") / "secret" / "plant"
    secret.chmod(0o644)
    told = refused(capsys, "list")
    assert told == (
        f"{secret}: others can read it, so it is no secret (mode 0644); mend it with: chmod 600 {secret}"
    )
    secret.chmod(0o600)
    keys_dir("garage").chmod(0o777)
    assert "others can put keys there, so they prove nothing (mode 0777); mend it with: chmod 700" in refused(
        capsys, "list"
    )


def test_without_a_site_it_is_the_one_that_has_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "list"]) == 1
    assert "which site? none runs or has keys here; say it with --site" in capsys.readouterr().err
    keys("new", "plant")
    assert main(["keys", "list"]) == 0
    main(["keys", "new", "plant", "--site", "depot"])
    assert main(["keys", "list"]) == 1
    assert "several have keys or run here: depot, garage;" in capsys.readouterr().err


def test_the_keys_of_a_running_site_go_before_those_of_the_user(tmp_path: Path) -> None:
    assert keys_folder("garage", None) == keys_dir("garage")
    with (
        RunDir("garage").lock("main", "main", keys="/of/main"),
        RunDir("garage").lock("up", "up", keys="/of/up"),
    ):
        assert keys_folder("garage", None) == Path("/of/up")
        assert keys_folder("garage", tmp_path) == tmp_path


def test_a_client_is_an_operator_where_it_can_else_a_reader() -> None:
    folder = keys_dir("garage")
    with pytest.raises(
        UserError, match=r"no key of an operator or reader in .*: amptree keys new operator/NAME"
    ):
        open_client_keyring(folder)
    keys("new", "controller/main", "reader/wall")
    assert open_client_keyring(folder).identity == "reader/wall"
    keys("new", "operator/zoe")
    assert open_client_keyring(folder).identity == "operator/zoe"


@pytest.mark.parametrize("action", ["new", "show", "trust", "revoke", "list"])
def test_each_action_has_help(capsys: pytest.CaptureFixture[str], action: str) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser("keys").parse_args(["keys", action, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "--keys DIR" in told
    assert "--site NAME" in told


def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["trust", "plant"], ["trust", "-", "key"], ["new"], []):
        with pytest.raises(SystemExit) as ended:
            main(["keys", *arguments])
        assert ended.value.code == 2
    assert "give IDENTITY and KEY, as `amptree keys show` prints them" in capsys.readouterr().err
