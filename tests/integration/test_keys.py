"""Keys on running sites: a stolen key speaks for its owner's modules only, and not for long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.clock import steady_s
from actors.energy.amount import Amount
from actors.energy.messages import Report
from actors.energy.types import EnergyFlowRequest, NodeType
from actors.identities import make_keys
from actors.rundir import RunDir
from actors.wiring import MESSAGE_MAX_B, tree_registry
from tests.integration.conftest import ROOT, RunningSite, amptree, free_ports, plugged, site_data, wait_for
from tests.integration.test_controllers import FALLBACK_A, GARAGE, VALID_FOR_S, WATCHDOG_S, limits
from transport import Delivery, Keyring, Wire, keyfiles

Begin = Callable[..., RunningSite]

REVOKED_WITHIN_S = 5.0


def keys_of(site: RunningSite) -> Path:
    return RunDir(site.name).path / "scratch" / "keys"


@pytest.mark.long
def test_a_stolen_key_does_not_speak_for_the_modules_of_others(begin: Begin) -> None:
    site = begin("garage.yaml", [plugged(evse) for evse in GARAGE])
    site.settled()
    before = site.record()[-1]
    begun_s = before["t"]
    site.kill("level_2")  # its key is in other hands now
    heard: list[Delivery] = []
    listen = yaml.safe_load(site.file.read_text())["controllers"]["main"]["listen"]
    thief = Wire(name="level_1", registry=tree_registry(), keys=Keyring(keys_of(site), "controller/level_2"))

    def report(child: str, **changes: object) -> Report:
        nothing = EnergyFlowRequest(uuid=child, node_type=NodeType.Generic, priority_request=True)
        claim = {"boot": "thief", "t_child_s": steady_s(), "wants": nothing, "committed": Amount()}
        return Report(child=child, **{**claim, **changes})  # type: ignore[arg-type]

    with thief:
        links = thief.connect(
            listen, heard.append, name="up", peer="controller/main", message_max_B=MESSAGE_MAX_B
        )

        def lie() -> bool:
            for victim in ("level_1_node", "level_3_node", "energy_root"):
                links.send(report(victim, leaving=True), target="energy_root", source=victim)
            others = EnergyFlowRequest(uuid="evse_11", node_type=NodeType.Evse)
            own = EnergyFlowRequest(uuid="level_2_node", node_type=NodeType.Generic, children=(others,))
            links.send(report("level_2_node", wants=own), target="energy_root", source="level_2_node")
            return bool(site.record()[-1]["t"] > begun_s + VALID_FOR_S + 5)

        wait_for("it has lied for longer than a limit lasts", lie)
        assert thief.counters()["up"].sent > 100
    # What the root still says is for the owner of the key, and of his modules.
    assert {(came.identity, came.target) for came in heard} <= {("controller/main", "level_2_node")}
    record = [line for line in site.record() if line["t"] >= begun_s]
    for level in (1, 3):
        assert all(min(limits(line, level)) >= min(limits(before, level)) - 0.002 for line in record)
    modules = site.modules()
    assert modules["level_1_node"].alive
    assert modules["evse_11"].alive
    assert not modules["level_2_node"].alive, "nothing that the thief said was taken"


@pytest.mark.long
def test_a_revoked_controller_is_heard_no_more_and_its_evses_fall_back(begin: Begin) -> None:
    site = begin("garage.yaml", [plugged(evse) for evse in GARAGE])
    site.settled()
    before = site.record()[-1]
    assert amptree("keys", "revoke", "controller/level_1").returncode == 0
    # By the folder that the key was in: the command itself may take long on a busy machine.
    ago_s = time.time() - (keys_of(site) / "trusted" / "controller").stat().st_mtime
    revoked_s, revoked_t_s = time.monotonic() - ago_s, steady_s() - ago_s

    def last_heard_s() -> float | None:
        level = site.modules()["level_1_node"]
        return time.monotonic() - level.age_s if not level.alive else None

    assert wait_for("the root hears it no more", last_heard_s) - revoked_s < REVOKED_WITHIN_S
    wait_for("level 1 is at its fallback", lambda: set(limits(site.record()[-1], 1)) == {FALLBACK_A})
    record = [line for line in site.record() if line["t"] >= revoked_t_s]
    above_s = max(line["t"] for line in record if set(limits(line, 1)) != {FALLBACK_A})
    assert above_s - revoked_t_s <= REVOKED_WITHIN_S + VALID_FOR_S + WATCHDOG_S
    for level in (2, 3):
        assert all(min(limits(line, level)) >= min(limits(before, level)) - 0.002 for line in record)


def test_a_reader_sees_the_status_and_sets_no_limit_and_a_stranger_sees_nothing(
    begin: Begin, tmp_path: Path
) -> None:
    site = begin("single_charger.yaml", [plugged("evse_manager")])
    wall = tmp_path / "wall"
    make_keys(wall, ["reader/wall"])
    controllers = amptree("keys", "show", "controller/energy_mgmt").stdout
    assert amptree("keys", "trust", "-", "--keys", str(wall), input=controllers).returncode == 0
    root = site.client.status().modules[0].id

    stranger = amptree("status", "--keys", str(wall))
    assert stranger.returncode == 1
    assert stranger.stderr == (
        "amptree status: no controller of site single_charger answers; "
        f"does it trust the key of reader/wall in {wall}?\n"
    )
    key = keyfiles.read_trusted(wall, "reader/wall")
    assert amptree("keys", "trust", "reader/wall", key).returncode == 0
    wait_for("it is let in", lambda: amptree("status", "--keys", str(wall)).returncode == 0)
    refused = amptree("limit", root, "--power", "1kW", "--keys", str(wall))
    assert refused.returncode == 1
    assert refused.stderr == (
        "amptree limit: reader/wall may only read: setting limits needs the key of an operator\n"
    )
    assert amptree("limit", root, "--power", "1kW").returncode == 0


def test_without_a_key_nothing_begins_and_the_remedy_is_told(tmp_path: Path) -> None:
    for arguments, identity in (
        (["run", "configs/garage.yaml", "--controller", "main"], "controller/main"),
        (["plant", "configs/garage.yaml", "--listen", "tcp://127.0.0.1:*"], "plant"),
    ):
        ended = amptree(*arguments, "--keys", str(tmp_path))
        assert ended.returncode == 1
        assert ended.stderr == (
            f"amptree {arguments[0]}: no key of {identity} in {tmp_path}; "
            f"make one with: amptree keys new {identity} --keys {tmp_path}\n"
        )
        make_keys(tmp_path, [identity])
        (secret := tmp_path / "secret" / identity).chmod(0o640)
        ended = amptree(*arguments, "--keys", str(tmp_path))
        assert ended.returncode == 1
        assert f"{secret}: others can read it, so it is no secret (mode 0640)" in ended.stderr
        assert ended.stderr.count("\n") == 1


def test_hosts_exchange_their_keys_as_the_operator_guide_says(tmp_path: Path, run_dir: Path) -> None:
    data = site_data("garage.yaml", [plugged("evse_11")])
    (plant_port,) = free_ports(1)
    data["plant"]["listen"] = f"tcp://127.0.0.1:{plant_port}"
    file = tmp_path / "garage.yaml"
    file.write_text(yaml.safe_dump(data))
    # Two hosts: what is on one machine here shares nothing but the network.
    hosts = {
        name: {
            **os.environ,
            **{f"AMPTREE_{what}_DIR": str(run_dir / name / what) for what in ("RUN", "STATE", "KEYS")},
        }
        for name in ("main", "level_1")
    }

    def on(host: str, *arguments: str, **kwargs: Any) -> str:
        done = amptree(*arguments, env=hosts[host], **kwargs)
        assert done.returncode == 0, done.stderr
        return done.stdout

    on("main", "keys", "new", "controller/main", "plant", "operator/anna", "--site", "garage")
    on("level_1", "keys", "new", "controller/level_1", "operator/anna", "--site", "garage")
    processes = []

    def begin(host: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "tools.main", *arguments]
        processes.append(
            subprocess.Popen(
                command, cwd=ROOT, env=hosts[host], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )

    def told(host: str, module: str) -> dict[str, Any] | None:
        done = amptree("status", "--json", env=hosts[host])
        modules = json.loads(done.stdout)["modules"] if done.stdout else []
        return next((m for m in modules if m["id"] == module), None)

    try:
        begin("main", "run", str(file), "--controller", "main")
        begin("main", "plant", str(file))
        begin("level_1", "run", str(file), "--controller", "level_1")
        # Each is there for its own operator, and strange to the other host.
        wait_for("the root answers", lambda: told("main", "energy_root"))
        wait_for("level 1 answers", lambda: told("level_1", "evse_11"))
        level = told("main", "level_1_node")
        assert level is None or level.get("alive") is False
        (shown,) = on("level_1", "keys", "show", "controller/level_1").splitlines()
        on("main", "keys", "trust", *shown.split())
        on("level_1", "keys", "trust", "-", input=on("main", "keys", "show", "controller/main", "plant"))

        def known() -> bool:
            node, evse = told("main", "level_1_node"), told("main", "evse_11")
            heard = node is not None and node.get("alive", True)
            return bool(heard and evse is not None and evse.get("state") not in (None, "", "Disabled"))

        wait_for("the root hears level 1, and level 1 its hardware", known)
    finally:
        for process in reversed(processes):
            process.terminate()
        codes = [process.wait(60) for process in processes]
    assert codes == [0, 0, 0]
