from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.transport.conftest import MakeWire
from tests.transport.helpers import Inbox, Ping
from transport import AddressError


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("", "malformed; write tcp://HOST:PORT or ipc://PATH"),
        ("tcp://127.0.0.1", "malformed"),
        ("tcp://:7400", "malformed"),
        ("127.0.0.1:7400", "malformed"),
        ("udp://127.0.0.1:7400", "malformed"),
        ("tcp://127.0.0.1:7400:1", "malformed"),
        ("tcp://127.0.0.1:port", "malformed"),
        ("tcp://127.0.0.1:99999", "a port is at most 65535"),
        ("tcp://192.0.2.77:7400", "tcp://192.0.2.77:7400 is not an address of this machine"),
        ("tcp://nosuchhost.invalid:7400", "is not an address of this machine"),
        ("ipc://", "needs the path of a socket file"),
        ("ipc://@abstract", "needs the path of a socket file"),
        ("ipc://*", "needs the path of a socket file"),
        ("ipc:///nonexistent/links", "the directory /nonexistent does not exist; create it"),
        ("ipc:///" + "x" * 107, "the path has 108 bytes, a socket's path at most 107"),
        ("ipc:///dev/null", "/dev/null exists and is not a socket"),
    ],
)
def test_an_address_that_cannot_be_listened_on_says_why_in_one_line(
    make_wire: MakeWire, address: str, says: str
) -> None:
    wire = make_wire("root")
    with pytest.raises(AddressError) as caught:
        wire.listen(address, Inbox(), name="links")
    assert says in str(caught.value)
    assert address in str(caught.value)
    assert "\n" not in str(caught.value)
    assert wire.counters() == {}


@pytest.mark.parametrize(
    "address",
    ["tcp://10.0.0.10", "tcp://10.0.0.10:0", "tcp://10.0.0.10:*", "tcp://*:7400", "tcp://10.0.0.10:70000"],
)
def test_a_malformed_address_cannot_be_connected_to(make_wire: MakeWire, address: str) -> None:
    with pytest.raises(AddressError, match="malformed"):
        make_wire("level_1").connect(address, Inbox(), name="parent", peer="root")


def test_an_absent_peer_is_no_error(make_wire: MakeWire, tmp_path: Path) -> None:
    child = make_wire("level_1")
    child.connect("tcp://127.0.0.1:9", Inbox(), name="parent", peer="root")
    child.connect(f"ipc://{tmp_path}/later/plant", Inbox(), name="plant", peer="root")


def test_a_port_in_use_says_so(make_wire: MakeWire) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(AddressError) as caught:
            make_wire("root").listen(address, Inbox(), name="links")
    assert str(caught.value) == f"{address} is in use by another process; choose another `listen` or stop it"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_a_directory_without_permission_says_so(make_wire: MakeWire, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(AddressError, match="permission denied"):
        make_wire("root").listen(f"ipc://{tmp_path}/links", Inbox(), name="links")
    tmp_path.chmod(0o700)


def test_an_ipv6_address_works(make_wire: MakeWire) -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    parent, child, inbox = make_wire("root"), make_wire("level_1"), Inbox()
    links = parent.listen("tcp://[::1]:*", inbox, name="links")
    child.connect(links.address, Inbox(), name="parent", peer="root").send(Ping(1))
    assert inbox.number() == 1


def test_a_living_ipc_listener_is_not_robbed_and_frees_its_path(make_wire: MakeWire, tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/control"
    first, second, inbox = make_wire("first"), make_wire("second"), Inbox()
    first.listen(address, inbox, name="control")
    with pytest.raises(AddressError, match="is in use by another process"):
        second.listen(address, Inbox(), name="control")
    make_wire("client").connect(address, Inbox(), name="control", peer="first").send(Ping(1))
    assert inbox.number() == 1
    assert first.stop()
    assert list(tmp_path.iterdir()) == []
    second.listen(address, inbox, name="control")
    make_wire("client").connect(address, Inbox(), name="control", peer="second").send(Ping(2))
    assert inbox.number() == 2


LISTEN_AND_WAIT = """
import sys
from transport import Registry, Wire, nobody
wire = Wire(name="doomed", registry=Registry(), keys=nobody())
wire.listen(sys.argv[1], print, name="control")
wire.start()
print("listening", flush=True)
sys.stdin.read()
"""


@pytest.mark.processes
def test_the_leavings_of_a_killed_listener_block_nobody(make_wire: MakeWire, tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/control"
    wire, inbox = make_wire("root"), Inbox()
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN_AND_WAIT, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as doomed:
        assert doomed.stdout is not None
        assert doomed.stdout.readline() == b"listening\n"
        with pytest.raises(AddressError, match="is in use by another process"):
            wire.listen(address, Inbox(), name="control")
        doomed.kill()
        doomed.wait()
    assert (tmp_path / "control").exists()
    wire.listen(address, inbox, name="control")
    make_wire("client").connect(address, Inbox(), name="control", peer="root").send(Ping(1))
    assert inbox.number() == 1
