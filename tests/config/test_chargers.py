"""Modules that link EVSEs with their chargers: what they say, whom they serve, and whether they can."""

from __future__ import annotations

import pytest

from actors.config import ConfigError, parse_site
from actors.drivers import DriverError
from actors.drivers.chargers import charger_drivers
from actors.drivers.kinds import EverestChargersConfig, OcppChargersConfig
from actors.site import EvseManagerConfig, Site

TREE = """
root: {module: EnergyManager, config: {update_interval: 6}}
floor: {module: EnergyNode, connections: {energy_grid: root}}
evse: {module: EvseManager, config: {driver: ocpp}, connections: {energy_grid: floor}}
other: {module: EvseManager, connections: {energy_grid: root}}
"""
CHARGERS = "chargers: {module: OcppChargers, config: {without_passwords: true}}\n"


def load(text: str, tree: str = TREE) -> Site:
    return parse_site(tree + text, "test")


def faults(text: str, tree: str = TREE) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, tree)
    return str(caught.value).splitlines()


def test_it_runs_where_its_evses_are_and_is_no_part_of_the_tree() -> None:
    site = load(CHARGERS)
    assert list(site.modules) == ["root", "floor", "evse", "other"]
    assert site.chargers["chargers"].config == OcppChargersConfig(without_passwords=True)
    assert site.chargers["chargers"].driver == "ocpp"
    assert {name: c.chargers for name, c in site.controllers.items()} == {"root": (), "floor": ("chargers",)}


def test_a_controller_may_list_it() -> None:
    listed = "controllers: {main: {modules: [root, chargers]}}"
    assert load(CHARGERS + listed).controllers["main"].chargers == ("chargers",)


def test_each_controller_with_such_evses_has_its_own() -> None:
    tree = TREE.replace(
        "other: {module: EvseManager,", "other: {module: EvseManager, config: {driver: ocpp},"
    )
    listed = "controllers: {main: {modules: [root, second]}, level: {modules: [floor]}}"
    site = load(CHARGERS + CHARGERS.replace("chargers:", "second:") + listed, tree)
    assert {name: c.chargers for name, c in site.controllers.items()} == {
        "main": ("second",),
        "level": ("chargers",),
    }
    (fault,) = faults(CHARGERS.replace("chargers:", "first:") + listed.replace(", second", ""), tree)[:1]
    assert fault == (
        "first: controllers main, level host EVSEs with driver: ocpp; each needs a module OcppChargers of its "
        "own, listed among its modules under controllers"
    )


def test_an_evse_names_its_charger_and_the_connector_of_it() -> None:
    tree = TREE.replace("{driver: ocpp}", "{driver: ocpp, charger: CP-0815, connector_id: 2}")
    config = load(CHARGERS, tree).modules["evse"].config
    assert isinstance(config, EvseManagerConfig)
    assert (config.charger, config.connector_id) == ("CP-0815", 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "evse.config.driver: needs a module OcppChargers; there is none in this file"),
        (
            CHARGERS + "controllers: {main: {modules: [root, chargers]}, level: {modules: [floor]}}",
            "evse.config.driver: needs a module OcppChargers at its controller, level; list one there under controllers",
        ),
        (
            CHARGERS + "second: {module: OcppChargers, config: {without_passwords: true}}",
            "second: controller floor hosts chargers already",
        ),
        (
            "chargers: {module: OcppChargers}",
            "chargers.config: no passwords_file: name a file with each charger's identity and password, or say "
            "without_passwords: true where nobody else can connect",
        ),
        (
            "chargers: {module: OcppChargers, config: {passwords_file: x, prot: 1}}",
            'chargers.config.prot: unknown key; did you mean "port"?',
        ),
        (
            "chargers: {module: OcppChargers, config: {passwords_file: x, without_passwords: true}}",
            "chargers.config.without_passwords: not beside passwords_file: they have passwords, or none",
        ),
        (
            "chargers: {module: OcppChargers, config: {passwords_file: x, cert_file: c}}",
            "chargers.config: cert_file and key_file belong together",
        ),
        (
            "chargers: {module: OcppChargers, config: {passwords_file: x, client_ca_file: c}}",
            "chargers.config.client_ca_file: has no effect without cert_file and key_file",
        ),
        (
            "chargers: {module: OcppChargers, config: {passwords_file: x, call_timeout_s: 40}}",
            "chargers.config.call_timeout_s: 40 s are too long: a limit that was not answered must be told again in "
            "time; at most half of min_lease_s, 30 s",
        ),
        (
            "chargers: {module: OcppCharger}",
            'chargers.module: unknown kind "OcppCharger"; did you mean "OcppChargers"?',
        ),
        (
            CHARGERS
            + "third: {module: EnergyNode, connections: {energy_trunk: [chargers], energy_grid: root}}",
            "third.connections.energy_trunk[0]: chargers is of kind OcppChargers, which is no part of the energy tree",
        ),
    ],
)
def test_what_is_wrong_with_it_is_told(text: str, told: str) -> None:
    assert told in faults(text)


@pytest.mark.parametrize(
    ("evse", "told"),
    [
        (
            "driver: ocp",
            'evse.config.driver: no driver "ocp"; known: plant, ocpp, everest; did you mean "ocpp"?',
        ),
        ("charger: CP1", "evse.config.charger: has no effect with the driver plant"),
        (
            'driver: ocpp, charger: "a:b"',
            "evse.config.charger: expected a charger's identity, 1 to 48 letters, digits or any of * = + | @ . _ -, "
            'got "a:b"',
        ),
    ],
)
def test_what_is_wrong_with_what_an_evse_says_of_it_is_told(evse: str, told: str) -> None:
    assert told in faults(CHARGERS, TREE.replace("driver: ocpp", evse))


def test_a_connector_belongs_to_one_evse() -> None:
    twin = "twin: {module: EvseManager, config: {driver: ocpp, charger: evse}, connections: {energy_grid: floor}}"
    assert faults(CHARGERS + twin) == ["twin.config: connector 1 of charger evse is that of evse already"]


def test_a_limit_of_a_whole_charger_is_for_those_with_one_connector() -> None:
    twin = "twin: {module: EvseManager, config: {driver: ocpp, charger: evse, connector_id: 2}, connections: {energy_grid: floor}}"
    assert load(CHARGERS + twin)
    whole = CHARGERS.replace("true", "true, limit_profile: ChargePointMaxProfile")
    assert load(whole)
    told = (
        "charger evse has several EVSEs, and limit_profile: ChargePointMaxProfile of chargers limits them together; "
        "use TxDefaultProfile"
    )
    assert faults(whole + twin) == [f"evse.config: {told}", f"twin.config: {told}"]


def test_limits_must_last_as_long_as_chargers_need() -> None:
    tree = TREE.replace("update_interval: 6", "update_interval: 5")
    assert faults(CHARGERS, tree) == [
        "root.config.update_interval: a limit lasts 50 s, ten update intervals, and chargers can tell its chargers "
        "none of less than 60 s; set update_interval to 6"
    ]
    assert load(CHARGERS.replace("true", "true, min_lease_s: 50, call_timeout_s: 25"), tree)


EVEREST_TREE = TREE.replace("ocpp", "everest")
EVEREST = "chargers: {module: EverestChargers, config: {host: broker}}\n"


def test_chargers_that_run_everest_are_at_a_broker() -> None:
    site = load(EVEREST, EVEREST_TREE)
    assert site.chargers["chargers"].config == EverestChargersConfig(host="broker")
    assert site.chargers["chargers"].driver == "everest"


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ("ca_file: x", "chargers.config.ca_file: has no effect without tls: true"),
        ("topic_prefix: 'a/#'", "chargers.config.topic_prefix: expected the begin of a topic"),
        (
            "evse_module: a/b",
            "chargers.config.evse_module: expected a module's name, in which {charger} may stand",
        ),
        ("reaction_s: 6", "chargers.config.reaction_s: 6 s are too long: a limit must be renewed before it"),
        (
            "min_lease_s: 90",
            "root: a limit lasts 60 s, ten update intervals, and chargers can tell its chargers none",
        ),
        ("hots: x", 'chargers.config.hots: unknown key; did you mean "host"?'),
    ],
)
def test_what_cannot_be_of_everest(config: str, fault: str) -> None:
    told = faults(EVEREST.replace("host: broker", config), EVEREST_TREE)
    assert any(fault.split(": ", 1)[1] in line for line in told), told


def test_a_chargers_name_stands_in_topics() -> None:
    tree = EVEREST_TREE.replace("driver: everest", "driver: everest, charger: DE*1")
    assert "a charger's name stands in topics, without any of * = + | @" in faults(EVEREST, tree)[0]


def test_two_evses_need_topics_of_their_own() -> None:
    tree = EVEREST_TREE.replace(
        "other: {module: EvseManager,", "other: {module: EvseManager, config: {driver: everest},"
    )
    listed = "controllers: {main: {modules: [root, chargers]}}"
    charger_drivers(load(EVEREST + listed, tree), "main", lambda *_: None)
    for key in ("evse_module", "limits_module"):
        site = load(EVEREST.replace("host: broker", f"{key}: same") + listed, tree)
        with pytest.raises(DriverError, match="have the same"):
            charger_drivers(site, "main", lambda *_: None)
