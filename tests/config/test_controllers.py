"""Where modules run: declared, or by default; and the addresses that others connect to."""

from __future__ import annotations

from textwrap import dedent

import pytest

from actors.config import ConfigError, parse_site
from actors.site import Controller, Site

TREE = """
active_modules:
  root: {module: EnergyManager, connections: {energy_trunk: [floor_1, evse_0, floor_2]}}
  floor_1: {module: EnergyNode, connections: {energy_trunk: [panel, evse_1]}}
  panel: {module: EnergyNode, connections: {energy_trunk: [evse_2]}}
  floor_2: {module: EnergyNode}
  evse_0: {module: EvseManager}
  evse_1: {module: EvseManager}
  evse_2: {module: EvseManager}
  meter: {module: PowerMeter}
"""


def parse(controllers: str = "") -> Site:
    return parse_site(TREE + dedent(controllers), "test")


def faults(controllers: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(controllers)
    return str(caught.value).splitlines()


def hosted(site: Site) -> dict[str, tuple[str, ...]]:
    return {name: controller.modules for name, controller in site.controllers.items()}


def test_by_default_the_root_and_each_of_its_nodes_run_by_themselves() -> None:
    assert hosted(parse()) == {
        "root": ("root", "evse_0"),
        "floor_1": ("floor_1", "panel", "evse_2", "evse_1"),
        "floor_2": ("floor_2",),
    }
    assert all(controller.listen is None for controller in parse().controllers.values())


def test_a_listed_module_brings_all_below_it_except_what_is_listed_elsewhere() -> None:
    site = parse(
        """
        controllers:
          main: {listen: "tcp://10.0.0.10:7400", modules: [floor_2, root]}
          cellar: {listen: "ipc:///run/amptree/cellar.sock", modules: [panel]}
        """
    )
    assert hosted(site) == {
        "main": ("root", "floor_1", "evse_1", "evse_0", "floor_2"),
        "cellar": ("panel", "evse_2"),
    }
    assert site.controllers["cellar"].listen == "ipc:///run/amptree/cellar.sock"
    assert site.controller_of("evse_2").name == "cellar"


def test_listen_may_be_left_out() -> None:
    site = parse("controllers: {main: {modules: [root]}}")
    assert site.controllers["main"] == Controller(
        name="main",
        listen=None,
        modules=("root", "floor_1", "panel", "evse_2", "evse_1", "evse_0", "floor_2"),
    )


CASES = [
    ("{}", ["controllers: the root root is hosted by no controller"]),
    (
        "[a]",
        [
            "controllers: expected a mapping, got a list",
            "controllers: the root root is hosted by no controller",
        ],
    ),
    ("{main: {modules: [floor_1]}}", ["controllers: the root root is hosted by no controller"]),
    (
        "{main: {modules: [root, flor_1, meter]}}",
        [
            'controllers.main.modules[1]: no module "flor_1" in this file; did you mean "floor_1"?',
            "controllers.main.modules[2]: meter is a PowerMeter, which does not run here",
        ],
    ),
    (
        "{main: {modules: [root, panel, panel]}, other: {modules: [root]}}",
        [
            "controllers.main.modules[2]: duplicate name: panel is hosted by main already",
            "controllers.other.modules[0]: duplicate name: root is hosted by main already",
        ],
    ),
    ("{main: {modules: [root]}, idle: {}}", ["controllers.idle.modules: hosts no module; list at least one"]),
    ("{main: {modules: [root]}, idle: }", ["controllers.idle.modules: hosts no module; list at least one"]),
    ("{main: {modules: [root, 1]}}", ["controllers.main.modules[1]: expected a module's name, got 1"]),
    ("{main: {modules: [root], host: a}}", ["controllers.main.host: unknown key"]),
    ("{main: {modules: [root], lisen: a}}", ['controllers.main.lisen: unknown key; did you mean "listen"?']),
    (
        "{main: {modules: root}}",
        [
            'controllers.main.modules: expected a list, got "root"',
            "controllers: the root root is hosted by no controller",
        ],
    ),
    ("{'': {modules: [root]}}", ["controllers.: a name must not be empty"]),
    (
        "{main/1: {modules: [root]}}",
        [
            'controllers.main/1: a name is made of letters, digits, "_", "-" and ".", '
            'and starts with a letter, digit or "_"'
        ],
    ),
    (
        "{a: {listen: 'tcp://h:1', modules: [root]}, b: {listen: 'tcp://h:1', modules: [panel]}}",
        ["controllers.b.listen: controller a listens there too"],
    ),
]


@pytest.mark.parametrize(("controllers", "told"), CASES)
def test_a_wrong_controller_is_told_with_its_path(controllers: str, told: list[str]) -> None:
    assert faults(f"controllers: {controllers}") == told


ADDRESSES = [
    ("10.0.0.1:7400", 'expected tcp://HOST:PORT or ipc://PATH, got "10.0.0.1:7400"'),
    ("tcp://10.0.0.1", 'expected tcp://HOST:PORT or ipc://PATH, got "tcp://10.0.0.1"'),
    ("tcp://*:7400", 'expected tcp://HOST:PORT or ipc://PATH, got "tcp://*:7400"'),
    ("tcp://h:7400/x", 'expected tcp://HOST:PORT or ipc://PATH, got "tcp://h:7400/x"'),
    ("ipc://", 'expected tcp://HOST:PORT or ipc://PATH, got "ipc://"'),
    ("ipc://@name", 'expected tcp://HOST:PORT or ipc://PATH, got "ipc://@name"'),
    (f"ipc:///{'x' * 100}", "an ipc address has at most 100 bytes, got 107"),
    ("tcp://h:0", "expected a port from 1 to 65535, got 0"),
    ("tcp://h:65536", "expected a port from 1 to 65535, got 65536"),
    ("tcp://0.0.0.0:1", "others connect to this address, so it must name this host; got 0.0.0.0"),
    ("tcp://[::]:1", "others connect to this address, so it must name this host; got [::]"),
]


@pytest.mark.parametrize(("address", "told"), ADDRESSES)
def test_a_wrong_address_is_told(address: str, told: str) -> None:
    text = f'controllers: {{main: {{listen: "{address}", modules: [root]}}}}'
    assert faults(text) == [f"controllers.main.listen: {told}"]


@pytest.mark.parametrize(
    "address", ["tcp://level-1.garage:7400", "tcp://[fe80::1]:7400", "ipc:///run/amptree/a.sock"]
)
def test_a_right_address_is_taken(address: str) -> None:
    text = f'controllers: {{main: {{listen: "{address}", modules: [root]}}}}'
    assert parse(text).controllers["main"].listen == address


def test_the_plant_listens_elsewhere() -> None:
    text = """
        controllers: {main: {listen: "tcp://h:1", modules: [root]}}
        plant: {listen: "tcp://h:1"}
        """
    assert faults(text) == ["plant.listen: controller main listens there too"]
