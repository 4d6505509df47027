"""Keys on disk: who is known, how soon that changes, and which files prove nothing."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.transport.helpers import Inbox, Ping, dropped, is_turned_away, make_registry, wait_until
from transport import KeyFileError, KeyPair, Keyring, Wire, keyfiles
from transport.keyring import REREAD_S

REVOKED_WITHIN_S = 5.0


class Host:
    """A keyring folder, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_s = 0.0

    def new(self, identity: str) -> KeyPair:
        pair = KeyPair.new()
        keyfiles.write_key(keyfiles.secret_path(self.folder, identity), pair.secret.hex())
        return pair

    def trust(self, identity: str, pair: KeyPair) -> Path:
        path = keyfiles.trusted_path(self.folder, identity)
        keyfiles.write_key(path, pair.public)
        return path

    def ring(self, own: str) -> Keyring:
        return Keyring(self.folder, own, lambda: self.now_s)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "keys")


def test_files_and_folders_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        host = Host(tmp_path / "config" / "keys")
        host.trust("controller/main", host.new("controller/main"))
    finally:
        os.umask(before)
    below = [tmp_path / "config", *(tmp_path / "config").rglob("*")]
    assert len(below) == 8
    for path in below:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_key_never_shows_its_secret() -> None:
    pair = KeyPair.new()
    assert pair.secret.hex() not in f"{pair!r} {pair} {[pair]}"
    assert KeyPair.of(pair.secret) == pair


def test_a_key_is_known_and_forgotten_as_its_file_comes_and_goes(host: Host) -> None:
    host.new("main")
    pair = KeyPair.new()
    ring = host.ring("main")
    assert (ring.name_of(pair.public), ring.key_of("level_1")) == (None, None)
    path = host.trust("level_1", pair)
    host.now_s += REREAD_S
    assert (ring.name_of(pair.public), ring.key_of("level_1")) == ("level_1", pair.public)
    path.unlink()
    host.now_s += REREAD_S / 2
    assert ring.name_of(pair.public) == "level_1"
    host.now_s += REREAD_S / 2
    assert (ring.name_of(pair.public), ring.key_of("level_1")) == (None, None)


def test_a_replaced_key_is_known_and_the_one_before_is_not(host: Host) -> None:
    host.new("main")
    ring = host.ring("main")
    old, new = KeyPair.new(), KeyPair.new()
    host.trust("level_1", old)
    assert ring.name_of(old.public) == "level_1"
    host.trust("level_1", new)
    host.now_s += REREAD_S
    assert [ring.name_of(pair.public) for pair in (old, new)] == [None, "level_1"]


def spoil_mode(path: Path) -> None:
    path.chmod(0o620)


def spoil_folder(path: Path) -> None:
    path.parent.chmod(0o770)


def spoil_content(path: Path) -> None:
    path.write_text("no key")


def spoil_size(path: Path) -> None:
    path.write_text(path.read_text() + " " * 1000)


def spoil_kind(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("spoil", [spoil_mode, spoil_folder, spoil_content, spoil_size, spoil_kind])
def test_what_others_could_have_written_or_is_no_key_is_not_trusted(
    host: Host, spoil: object, caplog: pytest.LogCaptureFixture
) -> None:
    host.new("main")
    pair = KeyPair.new()
    path = host.trust("controller/level_1", pair)
    ring = host.ring("main")
    assert ring.name_of(pair.public) == "controller/level_1"
    assert callable(spoil)
    spoil(path)
    with caplog.at_level(logging.ERROR, "amptree.transport"):
        for _ in range(3):
            host.now_s += REREAD_S
            assert ring.name_of(pair.public) is None
    assert [record.levelname for record in caplog.records] == ["ERROR"], "it is said, once"
    assert caplog.text.count(str(path.parent)) >= 1


def test_one_key_under_two_names_is_nobodys(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.new("main")
    pair = KeyPair.new()
    for name in ("controller/level_1", "controller/level_2", "operator/me"):
        host.trust(name, pair)
    ring = host.ring("main")
    assert ring.name_of(pair.public) is None
    assert ring.key_of("controller/level_2") is None
    assert "have the same key, and are not trusted" in caplog.text


def test_a_folder_that_cannot_be_read_knows_nobody(host: Host) -> None:
    host.new("main")
    pair = KeyPair.new()
    host.trust("level_1", pair)
    ring = host.ring("main")
    assert ring.name_of(pair.public) == "level_1"
    host.folder.rename(host.folder.with_name("elsewhere"))
    host.now_s += REREAD_S
    assert ring.name_of(pair.public) is None


@pytest.mark.parametrize("replaced", [True, False])
def test_whose_own_key_is_gone_knows_nobody(host: Host, replaced: bool) -> None:
    host.new("main")
    pair = KeyPair.new()
    host.trust("level_1", pair)
    ring = host.ring("main")
    assert ring.name_of(pair.public) == "level_1"
    keyfiles.secret_path(host.folder, "main").unlink()
    if replaced:
        host.new("main")
    host.now_s += REREAD_S
    assert ring.name_of(pair.public) is None


def test_too_many_keys_are_none(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfiles, "KEYS_MAX", 2)
    host.new("main")
    pairs = [KeyPair.new() for _ in range(3)]
    for number, pair in enumerate(pairs):
        host.trust(f"controller/{number}", pair)
    assert [host.ring("main").name_of(pair.public) for pair in pairs] == [None] * 3


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (
            0o640,
            r"/secret/main: others can read it, so it is no secret \(mode 0640\); mend it with: chmod 600 ",
        ),
        (0o604, r"others can read it"),
    ],
)
def test_a_secret_that_others_can_read_is_refused_with_the_remedy(host: Host, mode: int, told: str) -> None:
    host.new("main")
    keyfiles.secret_path(host.folder, "main").chmod(mode)
    with pytest.raises(KeyFileError, match=told):
        host.ring("main")


def test_names_that_lead_out_of_the_folder_are_none() -> None:
    for name in ("../main", "controller/../../x", "/etc/passwd", "controller//x", ".x", "a/b/c", "", "a b"):
        assert not keyfiles.IDENTITY.fullmatch(name)


# --- on real links ---------------------------------------------------------------------------------


class Pair:
    """Two hosts with a keyring each, and a link between them."""

    def __init__(self, folder: Path) -> None:
        self.root, self.level = Host(folder / "root"), Host(folder / "level_1")
        self.trusted_at_root = self.root.trust("level_1", self.level.new("level_1"))
        self.trusted_at_level = self.level.trust("root", self.root.new("root"))
        self.parent = Wire(name="root", registry=make_registry(), keys=Keyring(self.root.folder, "root"))
        self.child = Wire(
            name="level_1", registry=make_registry(), keys=Keyring(self.level.folder, "level_1")
        )
        self.at_parent, self.at_child = Inbox(), Inbox()
        self.links = self.parent.listen("tcp://127.0.0.1:*", self.at_parent, name="links")
        self.up = self.child.connect(self.links.address, self.at_child, name="parent", peer="root")
        self.sent = 0

    def talk(self) -> None:
        """Say something in both directions."""
        self.sent += 1
        self.up.send(Ping(self.sent), key="state")
        self.links.send(Ping(self.sent), peer="level_1", key="state")

    def talks(self) -> bool:
        """Whether something has come in both directions since they were emptied last."""
        self.talk()
        return not (self.at_parent.is_empty() or self.at_child.is_empty())

    def empty(self) -> int:
        """Forget what has come; how many that were."""
        count = 0
        for inbox in (self.at_parent, self.at_child):
            while not inbox.is_empty():
                inbox.get()
                count += 1
        return count

    def silent_s(self) -> float:
        """Keep talking until nothing has come for two rereadings; when the last came."""
        last_s = time.monotonic()
        while time.monotonic() - last_s < 2 * REREAD_S + 1:
            self.talk()
            time.sleep(0.01)
            if self.empty():
                last_s = time.monotonic()
        return last_s


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    with made.parent, made.child:
        yield made


def test_nothing_from_or_to_a_key_passes_within_5_s_of_its_revocation_at_the_parent(pair: Pair) -> None:
    wait_until(pair.talks)
    revoked_s = time.monotonic()
    pair.trusted_at_root.unlink()
    assert pair.silent_s() - revoked_s < REVOKED_WITHIN_S
    assert dropped(pair.parent, "links", "stranger") > 0
    # The connection is still there, as libzmq cannot end one of many: a key that is trusted again speaks.
    pair.root.trust("level_1", pair.child.keys.own)
    wait_until(pair.talks)


def test_nothing_from_or_to_a_key_passes_within_5_s_of_its_revocation_at_the_child(pair: Pair) -> None:
    wait_until(pair.talks)
    revoked_s = time.monotonic()
    pair.trusted_at_level.unlink()
    assert pair.silent_s() - revoked_s < REVOKED_WITHIN_S
    pair.level.trust("root", pair.parent.keys.own)
    wait_until(pair.talks)


def test_what_waits_for_a_peer_is_dropped_when_its_key_is_revoked(pair: Pair) -> None:
    wait_until(pair.talks)
    pair.trusted_at_root.unlink()
    wait_until(lambda: pair.parent.keys.key_of("level_1") is None)
    pair.links.send(Ping(1), peer="level_1")
    wait_until(lambda: pair.parent.counters()["links"].waiting == 0)
    wait_until(lambda: dropped(pair.parent, "links", "stranger") > 0)


def test_a_parent_with_a_new_key_is_found_once_that_is_trusted(pair: Pair) -> None:
    wait_until(pair.talks)
    pair.parent.stop()
    keyfiles.secret_path(pair.root.folder, "root").unlink()
    new = pair.root.new("root")
    with Wire(name="root", registry=make_registry(), keys=Keyring(pair.root.folder, "root")) as parent:
        pair.links = parent.listen(pair.links.address, pair.at_parent, name="links")
        pair.level.trust("root", new)
        pair.empty()
        wait_until(pair.talks)


def test_a_child_that_is_trusted_late_gets_in_by_itself(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.trusted_at_root.unlink()
    with pair.parent, pair.child:
        with is_turned_away(pair.up):
            pair.talk()
        assert not pair.empty()
        pair.root.trust("level_1", pair.child.keys.own)
        wait_until(pair.talks)
