"""The documentation's YAML examples, as they stand, completed by the modules that they leave out."""

from __future__ import annotations

from textwrap import dedent

import pytest

from actors.config import parse_site
from actors.site import EnergyManagerConfig, EnergyNodeConfig, EvseManagerConfig, OcppLink, Site


def parse(text: str) -> Site:
    return parse_site(dedent(text), "page")


def evse(name: str) -> str:
    return f"  {name}: {{module: EvseManager}}\n"


SINGLE_CHARGER = """\
active_modules:
  energy_mgmt:
    module: EnergyManager
    config:
      nominal_ac_voltage: 230
      update_interval: 1
    connections:
      energy_trunk:
        - evse_manager

  evse_manager:
    module: EvseManager
    config:
      connector_id: 1
    connections:
      energy_grid: energy_mgmt
"""

MULTI_CHARGER = """\
active_modules:
  energy_mgmt:
    module: EnergyManager
    config:
      nominal_ac_voltage: 230
      update_interval: 1
      slice_ampere: 0.5
    connections:
      energy_trunk:
        - evse_1
        - evse_2
        - evse_3
        - evse_4

  evse_1:
    module: EvseManager
    config:
      connector_id: 1
    connections:
      energy_grid: energy_mgmt

  # ... evse_2, evse_3, evse_4 similar
"""

HIERARCHICAL = """\
active_modules:
  # Root energy manager
  energy_root:
    module: EnergyManager
    config:
      nominal_ac_voltage: 230
      update_interval: 1
    connections:
      energy_trunk:
        - floor_1_node
        - floor_2_node

  # Floor 1 distribution (32A fuse)
  floor_1_node:
    module: EnergyNode
    config:
      fuse_limit_A: 32
    connections:
      energy_trunk:
        - evse_1a
        - evse_1b

  # Floor 2 distribution (63A fuse)
  floor_2_node:
    module: EnergyNode
    config:
      fuse_limit_A: 63
    connections:
      energy_trunk:
        - evse_2a
        - evse_2b
        - evse_2c
"""

BUILDINGS = """\
active_modules:
  energy_root:
    module: EnergyManager
    config:
      nominal_ac_voltage: 230
      update_interval: 1
    connections:
      energy_trunk:
        - building_a
        - building_b

  building_a:
    module: EnergyNode
    config:
      fuse_limit_A: 63  # Local fuse limit
    connections:
      energy_trunk:
        - evse_1
        - evse_2

  building_b:
    module: EnergyNode
    config:
      fuse_limit_A: 63
    connections:
      energy_trunk:
        - evse_3
        - evse_4
"""

PHASE_SWITCHING = """\
energy_mgmt:
  module: EnergyManager
  config:
    nominal_ac_voltage: 230
    switch_3ph1ph_while_charging_mode: Both
    switch_3ph1ph_max_nr_of_switches_per_session: 5
    switch_3ph1ph_switch_limit_stickyness: SinglePhase
    switch_3ph1ph_power_hysteresis_W: 200
    switch_3ph1ph_time_hysteresis_s: 600
  connections:
    energy_trunk:
      - evse_manager

evse_manager:
  module: EvseManager
  config:
    switch_3ph1ph_delay_s: 10
    switch_3ph1ph_cp_state: X1
  connections:
    energy_grid: energy_mgmt
"""


def test_single_charger_loads() -> None:
    site = parse(SINGLE_CHARGER)
    assert site.root == "energy_mgmt"
    assert site.modules["energy_mgmt"].children == ("evse_manager",)
    assert site.modules["evse_manager"].parent == "energy_mgmt"
    assert site.modules["evse_manager"].config == EvseManagerConfig(connector_id=1)
    assert site.ignored == ()
    assert site.name == "page"


def test_multi_charger_loads() -> None:
    site = parse(MULTI_CHARGER + "".join(map(evse, ("evse_2", "evse_3", "evse_4"))))
    assert site.modules["energy_mgmt"].children == ("evse_1", "evse_2", "evse_3", "evse_4")
    assert site.manager_config() == EnergyManagerConfig(slice_ampere=0.5)


def test_hierarchical_loads_depth_first() -> None:
    evses = ("evse_2c", "evse_2b", "evse_2a", "evse_1b", "evse_1a")
    site = parse(HIERARCHICAL + "".join(map(evse, evses)))
    assert list(site.modules) == [
        *("energy_root", "floor_1_node", "evse_1a", "evse_1b"),
        *("floor_2_node", "evse_2a", "evse_2b", "evse_2c"),
    ]
    assert site.modules["floor_2_node"].config == EnergyNodeConfig(fuse_limit_A=63.0)


def test_buildings_load() -> None:
    site = parse(BUILDINGS + "".join(map(evse, ("evse_1", "evse_2", "evse_3", "evse_4"))))
    assert site.path_to_root("evse_4") == ("evse_4", "building_b", "energy_root")


def test_phase_switching_loads_without_active_modules() -> None:
    site = parse(PHASE_SWITCHING)
    assert site.manager_config() == EnergyManagerConfig(
        switch_3ph1ph_while_charging_mode="Both",
        switch_3ph1ph_max_nr_of_switches_per_session=5,
        switch_3ph1ph_switch_limit_stickyness="SinglePhase",
    )
    assert site.modules["evse_manager"].config == EvseManagerConfig()


def test_top_level_modules_stand_beside_our_sections() -> None:
    site = parse(PHASE_SWITCHING + "site: home\nplant: {listen: 'tcp://127.0.0.1:7499', cars: []}\n")
    assert site.name == "home"
    assert site.plant.listen == "tcp://127.0.0.1:7499"
    assert site.plant.story == {"cars": []}


def test_priorities_load() -> None:
    site = parse(
        """
        active_modules:
          energy_mgmt:
            module: EnergyManager
            connections: {energy_trunk: [evse_vip, evse_regular]}
          evse_vip:
            module: EvseManager
            config:
              priority: 1  # Higher priority gets energy first

          evse_regular:
            module: EvseManager
            config:
              priority: 5  # Lower priority
        """
    )
    priorities = {m.id: m.config.priority for m in site.modules.values() if m.id != site.root}  # type: ignore[union-attr]
    assert priorities == {"evse_vip": 1, "evse_regular": 5}


def test_ocpp_example_loads() -> None:
    site = parse(
        """
        ocpp:
          module: OCPP
          config:
            RequestCompositeScheduleUnit: A
          connections:
            evse_energy_sink:
              - evse_manager  # OCPP sends limits to EvseManager

        evse_manager:
          connections:
            energy_grid: energy_mgmt  # EvseManager requests from EnergyManager

        energy_mgmt:
          config:
            debug: true
        """
    )
    assert list(site.modules) == ["energy_mgmt", "evse_manager"]
    assert site.manager_config().debug
    ocpp = site.gateways["ocpp"]
    assert isinstance(ocpp, OcppLink)
    assert ocpp.config.RequestCompositeScheduleUnit == "A"
    assert (ocpp.station, ocpp.evses) == ("energy_mgmt", ("evse_manager",))
    assert [(i.path, i.what) for i in site.ignored] == [
        ("evse_manager", 'no key "module"; taken as EvseManager'),
        ("energy_mgmt", 'no key "module"; taken as EnergyManager'),
    ]


@pytest.mark.parametrize("end", ["parent", "child", "both"])
def test_a_link_named_from_either_end_is_enough(end: str) -> None:
    down = "connections: {energy_trunk: [evse]}" if end != "child" else ""
    up = "connections: {energy_grid: node}" if end != "parent" else ""
    site = parse(
        f"""
        active_modules:
          root: {{module: EnergyManager, connections: {{energy_trunk: [node]}}}}
          node:
            module: EnergyNode
            {down}
          evse:
            module: EvseManager
            {up}
        """
    )
    assert site.path_to_root("evse") == ("evse", "node", "root")


def test_children_that_only_name_their_parent_come_after_the_listed_ones() -> None:
    site = parse(
        """
        active_modules:
          first: {module: EvseManager, connections: {energy_grid: root}}
          second: {module: EvseManager}
          third: {module: EvseManager, connections: {energy_grid: root}}
          root: {module: EnergyManager, connections: {energy_trunk: [second]}}
        """
    )
    assert site.modules["root"].children == ("second", "first", "third")


def test_numbers_may_be_written_either_way() -> None:
    site = parse(SINGLE_CHARGER.replace("update_interval: 1", "update_interval: 2.0"))
    assert site.manager_config().update_interval == 2
    assert isinstance(site.manager_config().update_interval, int)
    assert isinstance(site.manager_config().nominal_ac_voltage, float)
