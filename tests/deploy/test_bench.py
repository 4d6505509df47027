"""A bench in network namespaces: it works, it is cut, and nothing of it is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from actors.config import load_site, parse_site
from actors.wiring import Load
from deploy.bench.hosts import BenchHosts, write_site
from deploy.bench.inventory import Inventory, load_inventory
from deploy.bench.machines import Remote, call
from deploy.bench.network import Network, namespace
from deploy.bench.soak import Sample, site_data, verdict
from tools.chaos.hosts import PLANT
from tools.chaos.site_file import plant_section
from tools.chaos.story import Story, load_story
from tools.chaos.work import last_sample
from tools.errors import UserError

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "deploy" / "bench"
WAIT_S = 60.0


def why_not() -> str:
    """Why there can be no namespaces here; empty if there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "iptables"):
        if shutil.which(tool) is None:
            return f"{tool} is missing: apt-get install iproute2 iptables"
    name = f"amp-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespaces: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return ""


REASON = why_not()
needs_namespaces = pytest.mark.skipif(bool(REASON), reason=REASON)


def namespaces(site: str) -> list[str]:
    text = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return [name for line in text.splitlines() if (name := line.split()[0]).startswith(namespace(site))]


SITE = {
    "controllers": {
        "main": {"listen": "tcp://127.0.0.1:7400", "modules": ["root"]},
        "level": {"listen": "tcp://127.0.0.1:7401", "modules": ["panel"]},
    },
    "active_modules": {
        "root": {"module": "EnergyManager", "connections": {"energy_trunk": ["panel"]}},
        "panel": {
            "module": "EnergyNode",
            "config": {"fuse_limit_A": 32},
            "connections": {"energy_trunk": ["evse"]},
        },
        "evse": {"module": "EvseManager", "config": {"fallback_limit_A": 6, "settle_time_s": 2}},
    },
}
HOSTS = {
    "plant": {"address": "10.78.0.9"},
    "main": {"address": "10.78.0.10"},
    "level": {"address": "10.78.0.11"},
}


def inventory_of(folder: Path, name: str = "t", **hosts: Any) -> Path:
    site = folder / "site.yaml"
    # Several runs of the tests at a time: each has its namespaces.
    site.write_text(yaml.safe_dump({**SITE, "site": f"{name}{os.getpid()}"}))
    file = folder / "inventory.yaml"
    file.write_text(yaml.safe_dump({"site": "site.yaml", "hosts": {**HOSTS, **hosts}}))
    return file


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    return load_inventory(inventory_of(tmp_path))


def limit_A(record: Path) -> float | None:
    sample = last_sample(record)
    return None if sample is None else float(sample["evses"]["evse"]["limit_A"])


@pytest.fixture
def bench(inventory: Inventory, tmp_path: Path) -> Iterator[BenchHosts]:
    file = tmp_path / "bench.yaml"
    write_site(inventory, plant_section(inventory.site, Story(for_s=60.0, cars="steady")), file)
    hosts = BenchHosts(inventory, file, tmp_path, ssh=False)
    try:
        hosts.begin()
        yield hosts
    finally:
        hosts.end()
    assert namespaces(inventory.site.name) == []
    assert not Path(f"/tmp/{namespace(inventory.site.name)}").exists()


def wait_for(hosts: BenchHosts, what: str, condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not condition():
        hosts.tend()
        assert time.monotonic() < end_s, f"not within {WAIT_S:g} s: {what}"
        time.sleep(0.2)


@pytest.mark.long
@needs_namespaces
def test_hosts_in_namespaces_work_are_cut_mend_die_and_leave_nothing(
    bench: BenchHosts, inventory: Inventory
) -> None:
    def has(current_A: float) -> Callable[[], bool]:
        return lambda: limit_A(bench.record()) == current_A

    wait_for(bench, "the car gets all", has(32.0))
    bench.cut(frozenset({("main", "level")}))
    wait_for(bench, "grants are lost: fallback", has(6.0))
    bench.cut(frozenset())
    wait_for(bench, "mended: all again", has(32.0))
    assert len(namespaces(inventory.site.name)) == 4
    bench.limit("panel", 10.0)
    wait_for(bench, "an external limit", has(10.0))
    bench.limit("panel", None)
    wait_for(bench, "and without it", has(32.0))
    bench.kill("main", stay_dead=True)
    wait_for(bench, "without a root: fallback", has(6.0))
    bench.start("main")
    wait_for(bench, "the root is back", has(32.0))
    status = bench.status(with_request=True)
    assert status is not None
    assert {module.id for module in status.modules} == {"root", "panel", "evse"}
    assert status.optimizer is not None
    assert status.optimizer.request is not None


@needs_namespaces
def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    file = inventory_of(tmp_path, "c")
    name = load_inventory(file).site.name
    command = [sys.executable, "-m", "deploy.bench", "up", str(file), "--report", str(tmp_path / "report")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        assert "runs on 3 hosts" in up.stdout.readline()
        assert namespaces(name)
        up.send_signal(signal.SIGINT)
        assert up.wait(WAIT_S) == 0
    assert namespaces(name) == []
    assert not Path(f"/tmp/{namespace(name)}").exists()


@needs_namespaces
def test_what_a_killed_bench_left_is_removed_by_the_next(inventory: Inventory) -> None:
    name = inventory.site.name
    left = Network(inventory)
    left.begin()
    held = subprocess.Popen(["ip", "netns", "exec", namespace(name, "level"), "sleep", "600"])
    with pytest.raises(UserError, match="runs already"):
        Network(inventory)
    os.close(left._lock)  # as the kernel does it when a process dies
    Network(inventory).end()
    assert held.wait(WAIT_S) == -9
    assert namespaces(name) == []


@needs_namespaces
def test_a_pulled_cable_is_a_pulled_cable(inventory: Inventory) -> None:
    network = Network(inventory)
    try:
        network.begin()
        ping = ["ip", "netns", "exec", namespace(inventory.site.name, "main"), sys.executable, "-c", REACHES]
        listener = subprocess.Popen(
            ["ip", "netns", "exec", namespace(inventory.site.name, "level"), sys.executable, "-c", LISTENS],
            stdout=subprocess.PIPE,
        )
        with listener:
            assert listener.stdout is not None
            listener.stdout.readline()
            assert subprocess.run(ping, check=False).returncode == 0
            network.plug("level", plugged=False)
            assert subprocess.run(ping, check=False).returncode == 1
            network.plug("level", plugged=True)
            assert subprocess.run(ping, check=False).returncode == 0
            listener.kill()
    finally:
        network.end()


LISTENS = """
import socket, sys
one = socket.create_server(("10.78.0.11", 7400))
print("ready", flush=True)
while True:
    one.accept()[0].close()
"""
REACHES = """
import socket, sys, time
end_s = time.monotonic() + 3
while time.monotonic() < end_s:
    try:
        socket.create_connection(("10.78.0.11", 7400), 1).close()
        sys.exit(0)
    except OSError:
        time.sleep(0.1)
sys.exit(1)
"""


# --- without root --------------------------------------------------------------------------------


def test_without_root_it_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, inventory: Inventory, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match="need root: run it with sudo, or with --ssh") as error:
        BenchHosts(inventory, tmp_path / "site.yaml", tmp_path, ssh=False)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("hosts", "fault"),
    [
        ({"level": {"address": "10.78.0.10"}}, "address: 10.78.0.10 is that of"),
        ({"level": {"address": "somewhere"}}, "hosts.level.address: 'somewhere' is no IPv4 address"),
        ({"level": {"address": "10.79.0.1"}}, "addresses of several networks"),
        ({"attic": {"address": "10.78.0.12"}}, "hosts.attic: no controller of the site"),
        ({"level": {"address": "10.78.0.11", "ssh": "-oProxyCommand=x"}}, "hosts.level.ssh"),
        ({"level": {}}, "missing required field `address`"),
    ],
)
def test_faults_of_an_inventory_are_told_with_their_path(tmp_path: Path, hosts: Any, fault: str) -> None:
    with pytest.raises(UserError) as error:
        load_inventory(inventory_of(tmp_path, **hosts))
    assert fault in str(error.value)


def test_over_ssh_scripts_are_quoted_and_root_is_asked_for(inventory: Inventory) -> None:
    host = load_host(inventory, ssh="pi@level")
    machine = Remote(host, "level")
    assert machine.command("echo 'a b'")[-2:] == ["pi@level", "sh -c 'echo '\"'\"'a b'\"'\"''"]
    assert machine.as_root("iptables -F") == "sudo -n sh -c 'iptables -F'"


def load_host(inventory: Inventory, **more: Any) -> Any:
    return msgspec.structs.replace(inventory.hosts["level"], **more)


@pytest.mark.long
def test_the_same_inventory_drives_hosts_over_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ssh` is played by a script that runs here what it is given: all hosts are this machine."""
    fake = tmp_path / "bin"
    fake.mkdir()
    ssh = fake / "ssh"
    ssh.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift 2\nexec sh -c "$1"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    amptree = str(Path(sys.executable).parent / "amptree")
    hosts = {
        part: {
            "address": f"127.0.0.{number}",
            "ssh": part,
            "amptree": amptree,
            "folder": f"/tmp/a{os.getpid()}",
        }
        for number, part in enumerate(HOSTS, 21)
    }
    inventory = load_inventory(inventory_of(tmp_path, "s", **hosts))
    file = tmp_path / "bench.yaml"
    write_site(inventory, plant_section(inventory.site, Story(for_s=60.0, cars="steady")), file)
    bench = BenchHosts(inventory, file, tmp_path, ssh=True)
    try:
        bench.begin()
        wait_for(bench, "the car gets all", lambda: limit_A(bench.record()) == 32.0)
        bench.kill("main", stay_dead=True)
        wait_for(bench, "without a root: fallback", lambda: limit_A(bench.record()) == 6.0)
        assert abs(bench.now_s() - last_sample(bench.record())["t"]) < WAIT_S  # type: ignore[index]
    finally:
        bench.end()
    assert not any((Path(f"/tmp/a{os.getpid()}") / part).exists() for part in HOSTS)
    shutil.rmtree(f"/tmp/a{os.getpid()}")


def test_a_host_that_cannot_be_reached_is_told_in_one_line(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\necho banner >&2\necho 'ssh: no route to host' >&2\nexit 255\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(UserError, match="ssh: no route to host") as error:
        call(Remote(load_host(inventory, ssh="nobody"), "level"), "true")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("story", sorted((BENCH / "stories").glob("*.yaml")), ids=lambda path: path.stem)
def test_stories_of_the_bench_are_for_its_garage(story: Path) -> None:
    assert load_story(str(story), load_inventory(BENCH / "garage.yaml").site).faults


def test_the_written_site_is_the_same_tree_at_the_hosts_addresses(tmp_path: Path) -> None:
    inventory = load_inventory(BENCH / "garage.yaml")
    write_site(inventory, {}, tmp_path / "site.yaml")
    site = load_site(tmp_path / "site.yaml")
    assert site.modules == inventory.site.modules
    assert {n: c.listen for n, c in site.controllers.items()} == {
        n: f"tcp://{inventory.hosts[n].address}:7400" for n in site.controllers
    }
    assert site.plant.listen == f"tcp://{inventory.hosts[PLANT].address}:7400"


# --- soak ----------------------------------------------------------------------------------------


def sample(t_s: float, size_B: int, **load: Any) -> Sample:
    queues: dict[str, Any] = {
        **{"inbox_most": 5, "inbox_max": 100, "inbox_refused": 3, "outbox_waiting": 0, "outbox_most": 5},
        **{"outbox_max": 100, "dropped": {}},
    }
    return Sample(t_s=t_s, rss_B={"main": size_B}, loads={"main": Load(**(queues | load))})


def test_a_soak_of_steady_memory_is_fine_whatever_happened_before_the_warm_up() -> None:
    samples = [sample(10.0 * n, 50_000_000 + (0 if n > 25 else -20_000_000)) for n in range(100)]
    assert verdict(samples, 1_000 / 60)["ok"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"size_B": 55_000_000}, "grew by 10.0%"),
        ({"inbox_most": 100}, "an inbox had 100"),
        ({"inbox_refused": 4}, "1 were refused"),
        ({"dropped": {"full": 2}}, "2 were refused"),
        ({"outbox_most": 100}, "an outbox had 100"),
    ],
)
def test_a_soak_tells_what_grew_and_what_was_full(changes: dict[str, Any], fault: str) -> None:
    changed = {"size_B": 50_000_000} | changes
    samples = [sample(10.0 * n, **(changed if n >= 90 else {"size_B": 50_000_000})) for n in range(100)]
    found = verdict(samples, 1_000 / 60)
    assert not found["ok"]
    assert fault in " ".join(found["faults"])


def test_the_site_of_a_soak_loads() -> None:
    site = parse_site(yaml.safe_dump(site_data(200, 1)), "soak")
    assert sum(module.kind == "EvseManager" for module in site.modules.values()) == 200
