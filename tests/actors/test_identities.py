"""What a key may do: on links, at the control socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import Struct

from actors import identities
from actors.config import parse_site
from actors.energy.external import ClearLimits, SavedSources
from actors.energy.messages import Command, Grant, ModuleStatus, Order, Outcome, Report
from actors.energy.types import EnergyFlowRequest, NodeType
from actors.gateways.control import ControlGateway
from actors.handle import Handle
from actors.state import StateFolder
from actors.switchboard import Switchboard
from actors.wiring import SourceReply, SourceRequest
from transport import Delivery, Port

SITE = parse_site(
    """
site: garage
active_modules:
  root: {module: EnergyManager, connections: {energy_trunk: [level_1, level_2]}}
  level_1: {module: EnergyNode, config: {fuse_limit_A: 32}}
  level_2: {module: EnergyNode, config: {fuse_limit_A: 32}}
  evse_1: {module: EvseManager, connections: {energy_grid: level_1}}
  evse_2: {module: EvseManager, connections: {energy_grid: level_2}}
controllers:
  main: {listen: "tcp://10.0.0.1:7400", modules: [root]}
  first: {listen: "tcp://10.0.0.2:7400", modules: [level_1]}
  second: {listen: "tcp://10.0.0.3:7400", modules: [level_2]}
""",
    "garage",
)


class Told:
    """A handle that notes what its actor is told."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def tell(self, message: Any, *keys: Any, urgent: bool = False) -> bool:
        self.messages.append(message)
        return True


def delivery(message: Struct, identity: str, source: str, target: str) -> Delivery:
    return Delivery(
        port_name="links", peer=identity, identity=identity, source=source, target=target,
        kind=type(message).__name__.lower(), message=message, size=1,
    )  # fmt: skip


def report(child: str, **changes: Any) -> Report:
    return Report(child=child, boot="b", t_child_s=0.0, **changes)


def wants(uuid: str, *children: EnergyFlowRequest) -> EnergyFlowRequest:
    return EnergyFlowRequest(uuid=uuid, node_type=NodeType.Generic, children=children)


def status(*modules: str) -> tuple[ModuleStatus, ...]:
    return tuple(ModuleStatus(id=module, kind="EvseManager", controller="first") for module in modules)


@pytest.mark.parametrize(
    ("identity", "taken"),
    [
        ("controller/first", True),
        ("controller/second", False),
        ("controller/main", False),
        ("operator/first", False),
        ("reader/first", False),
        ("plant", False),
        ("first", False),
    ],
)
def test_a_report_is_taken_only_with_the_key_of_the_controller_that_hosts_its_sender(
    tmp_path: Path, identity: str, taken: bool
) -> None:
    told = Told()
    board = Switchboard(SITE, "main", {"root": cast(Handle, told)}, StateFolder(tmp_path))
    board.from_link(delivery(report("level_1"), identity, "level_1", "root"))
    assert len(told.messages) == taken
    assert board.strangers == (not taken)


@pytest.mark.parametrize(
    ("told_of", "taken"),
    [
        ({"wants": wants("level_1", wants("evse_1")), "status": status("level_1", "evse_1")}, True),
        ({"wants": wants("level_1", wants("evse_1/not heard"))}, True),
        ({"wants": wants("level_1", wants("evse_2"))}, False),
        ({"wants": wants("level_2")}, False),
        ({"wants": wants("level_1", wants("evse_1"), wants("evse_1"))}, False),
        ({"wants": wants("level_1", wants("x", wants("evse_1")))}, False),
        ({"status": status("level_1", "evse_2")}, False),
        ({"status": status("evse_1", "evse_1")}, False),
    ],
)
def test_a_report_may_speak_of_its_own_subtree_only(
    tmp_path: Path, told_of: dict[str, Any], taken: bool
) -> None:
    told = Told()
    board = Switchboard(SITE, "main", {"root": cast(Handle, told)}, StateFolder(tmp_path))
    board.from_link(delivery(report("level_1", **told_of), "controller/first", "level_1", "root"))
    assert len(told.messages) == taken
    assert board.strangers == (not taken)


@pytest.mark.parametrize(
    ("identity", "taken"), [("controller/main", True), ("controller/second", False), ("operator/main", False)]
)
def test_commands_and_grants_are_taken_only_with_the_key_of_the_controller_above(
    tmp_path: Path, identity: str, taken: bool
) -> None:
    told = Told()
    board = Switchboard(SITE, "first", {"level_1": cast(Handle, told)}, StateFolder(tmp_path))
    command = Command(id="x", origin="root", target="level_1", event=ClearLimits(source="grid"))
    grant = Grant(boot="b", t_echo_s=0.0, order=Order(1, 1), duration_s=10.0)
    for message in (command, grant):
        board.from_link(delivery(message, identity, "root", "level_1"))
    assert told.messages == [command, grant] * taken


class FakePort:
    def __init__(self) -> None:
        self.sent: list[tuple[Any, str]] = []

    def send(self, message: Any, *, peer: str, **_: Any) -> bool:
        self.sent.append((message, peer))
        return True


@pytest.mark.parametrize("identity", ["reader/wall", "controller/first", "plant"])
def test_only_an_operator_sets_limits(identity: str) -> None:
    told, port = Told(), FakePort()
    gateway = ControlGateway(SITE, "main", {"root": cast(Handle, told)})
    gateway.port = cast(Port, port)
    request = SourceRequest(id="1", target="root", event=ClearLimits(source="grid"))
    gateway.on_message(delivery(request, identity, "client", ""))
    error = f"{identity} may only read: setting limits needs the key of an operator"
    assert port.sent == [(SourceReply(id="1", error=error), identity)]
    assert told.messages == []
    gateway.on_message(delivery(request, "operator/me", "client", ""))
    (command,) = told.messages
    gateway.outcome(Outcome(id=command.id, origin="root"))
    assert port.sent[1:] == [(SourceReply(id="1"), "operator/me")]


def test_the_control_socket_admits_clients_and_links_admit_controllers() -> None:
    everybody = ["controller/a", "plant", "operator/a", "reader/a", "a", ""]
    assert [who for who in everybody if identities.is_client(who)] == ["operator/a", "reader/a"]
    assert [who for who in everybody if identities.is_controller(who)] == ["controller/a"]
    assert [who for who in everybody if identities.fault_of(who) is None] == everybody[:4]


def test_the_keys_of_a_run_are_those_of_all_processes_and_of_somebody_to_operate_them() -> None:
    names = ["controller/main", "controller/first", "controller/second", "plant", "operator/up"]
    assert identities.keys_of_a_run(SITE) == names


def test_what_was_said_goes_out_before_a_disk_is_waited_for(tmp_path: Path) -> None:
    board = Switchboard(SITE, "main", {}, StateFolder(tmp_path))
    there: list[list[str]] = []
    board.let_go = lambda: there.append(sorted(path.name for path in tmp_path.iterdir()))
    assert board.keep_epoch("root", 3) is None
    assert board.save("root", SavedSources(saved_at_us=0, sources=()))
    assert there == [[], ["root.epoch.json"]]
