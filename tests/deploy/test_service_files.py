"""Units, container file and compose file, checked with the tools that are there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.config import load_site
from actors.rundir import RunDir
from actors.site import Site

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE = DEPLOY / "compose" / "compose.yaml"
MOST_EXPOSED = 30
"""Of systemd's 0 (nothing that is exposed is needed) to 100."""


def verified(unit: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says of a unit whose command is one that is here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing: apt-get install systemd")
    text = unit.read_text()
    assert "/opt/amptree/bin/amptree" in text
    copy = folder / unit.name
    copy.write_text(text.replace("/opt/amptree/bin/amptree", f"{Path(sys.executable).parent}/amptree"))
    return subprocess.run(
        ["systemd-analyze", *arguments, str(copy)], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_have_nothing_that_systemd_complains_about(unit: Path, tmp_path: Path) -> None:
    done = verified(unit, tmp_path, "verify", "--man=no")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_unit_with_a_mistake_is_complained_about(tmp_path: Path) -> None:
    bad = tmp_path / "bad.service"
    bad.write_text(UNITS[0].read_text().replace("WatchdogSec=", "WatchDogSeconds=").replace("Type=", "Tpe="))
    (tmp_path / "copy").mkdir()
    assert "Unknown key" in verified(bad, tmp_path / "copy", "verify", "--man=no").stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_are_hardened(unit: Path, tmp_path: Path) -> None:
    done = verified(unit, tmp_path, "security", "--offline=true", f"--threshold={MOST_EXPOSED}")
    assert done.returncode == 0, done.stdout[-2_000:]


def test_a_controller_is_begun_again_for_ever_and_watched() -> None:
    text = (DEPLOY / "systemd" / "amptree@.service").read_text()
    for line in (
        "Type=notify",
        "WatchdogSec=10",
        "Restart=always",
        "RestartSec=1",
        "StartLimitIntervalSec=0",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_let_threads_set_their_scheduler_which_libzmq_insists_on(unit: Path) -> None:
    filters = [line for line in unit.read_text().splitlines() if line.startswith("SystemCallFilter=")]
    assert filters[0] == "SystemCallFilter=@system-service"
    assert not any("@resources" in line or "sched_setscheduler" in line for line in filters)


def test_yaml_is_clean() -> None:
    files = [*DEPLOY.glob("**/*.yaml"), *(ROOT / "configs").glob("**/*.yaml")]
    command = [sys.executable, "-m", "yamllint", "--strict", "-c", str(ROOT / ".yamllint"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


# --- compose -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load(COMPOSE.read_text())


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(DEPLOY / "compose" / "site.yaml")


def test_each_controller_has_a_service_at_its_address(compose: Any, site: Site) -> None:
    assert compose["services"].keys() == {"plant", *site.controllers}
    for name, controller in site.controllers.items():
        service = compose["services"][name]
        keys = ["--keys", "/etc/amptree/keys"]
        assert service["command"] == ["run", "/etc/amptree/site.yaml", "--controller", name, *keys]
        assert f"./keys/{name}:/etc/amptree/keys:ro" in service["volumes"], "a key of its own"
        [network] = service["networks"].values()
        assert controller.listen == f"tcp://{network['ipv4_address']}:7400"
        assert f"{name}:/var/lib/amptree" in service["volumes"], "a state of its own"
        assert name in compose["volumes"]
    [network] = compose["services"]["plant"]["networks"].values()
    assert site.plant.listen == f"tcp://{network['ipv4_address']}:7409"


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="files for the container's user need root")
def test_the_keys_of_compose_make_a_site_in_which_all_know_each_other(compose: Any, tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "compose" / "make-keys.sh", tmp_path)
    keys = tmp_path / "keys"
    amptree = f"{sys.executable} -m tools.main"
    environment = {**os.environ, "AMPTREE": amptree, "KEYS": str(keys), "PYTHONPATH": str(ROOT)}
    command = ["sh", str(tmp_path / "make-keys.sh")]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    everybody = {
        "plant",
        "operator/compose",
        *(f"controller/{n}" for n in compose["services"] if n != "plant"),
    }
    secrets = {}
    for service in compose["services"]:
        assert files_below(keys / service / "trusted") == everybody
        secrets[service] = files_below(keys / service / "secret")
    assert secrets.pop("main") == {"controller/main", "operator/compose"}
    assert secrets.pop("plant") == {"plant"}
    assert secrets == {name: {f"controller/{name}"} for name in secrets}
    again = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    assert again.returncode == 1, "keys in use are not replaced"


def test_services_may_do_no_more_than_they_need(compose: Any) -> None:
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"]


def test_the_garage_of_compose_is_that_of_configs(site: Site) -> None:
    garage = load_site(ROOT / "configs" / "garage.yaml")
    assert site.modules == garage.modules
    assert {n: c.modules for n, c in site.controllers.items()} == {
        n: c.modules for n, c in garage.controllers.items()
    }


def test_compose_reads_its_file() -> None:
    docker = shutil.which("docker")
    has = docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    if not has or has.returncode:
        pytest.skip("docker compose is missing: apt-get install docker-compose-v2")
    command = ["docker", "compose", "-f", str(COMPOSE), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_container_file_copies_all_that_is_installed() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    for package in ("actors", "transport", "tools"):
        assert f"COPY {package} {package}\n" in text
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        assert file in text


def test_the_run_folder_of_the_unit_is_short_enough_for_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPTREE_RUN_DIR", "/run/amptree")
    RunDir("x" * 20).address("y" * 40)
