"""EVerest's own files load unchanged; what is not ours is named, never an error."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from actors.config import ConfigError, load_site, parse_site
from actors.config.faults import nearest
from actors.config.grammar import KEYS
from actors.site import EnergyNodeConfig, EvseManagerConfig, Site

FILES = Path(__file__).parents[1] / "data" / "everest-configs"


def parse(text: str) -> Site:
    return parse_site(dedent(text), "everest")


def notes(site: Site) -> dict[str, str]:
    return {ignored.path: ignored.what for ignored in site.ignored}


def test_two_evses_share_the_grid_connection() -> None:
    site = load_site(FILES / "config-sil-two-evse.yaml")
    assert site.root == "energy_manager"
    assert list(site.modules) == [
        "energy_manager",
        "grid_connection_point",
        "evse_manager_1",
        "evse_manager_2",
    ]
    assert site.modules["grid_connection_point"].config == EnergyNodeConfig(fuse_limit_A=40.0)
    assert site.modules["evse_manager_2"].config == EvseManagerConfig(connector_id=2)
    assert site.name == "config-sil-two-evse"


def test_nodes_that_hold_only_limits_stand_in_the_tree() -> None:
    site = load_site(FILES / "config-sil-ocpp-multi.yaml")
    assert site.path_to_root("evse_manager_2") == (
        *("evse_manager_2", "evse_manager_2_ocpp_sink", "evse_manager_2_api_sink"),
        *("grid_connection_point", "energy_manager"),
    )
    assert list(site.controllers) == ["energy_manager", "grid_connection_point"]


def test_settings_that_are_ours_are_taken() -> None:
    site = load_site(FILES / "config-sil-energy-management.yaml")
    assert site.manager_config().schedule_total_duration == 2
    assert site.manager_config().schedule_interval_duration == 15
    evse = site.modules["evse_manager_1"].config
    assert isinstance(evse, EvseManagerConfig)
    assert evse.request_zero_power_in_idle is False


@pytest.mark.parametrize("file", sorted(FILES.glob("*.yaml")), ids=lambda f: f.stem)
def test_every_module_is_either_in_the_tree_or_named_once_as_ignored(file: Path) -> None:
    site = load_site(file)
    lines = file.read_text().splitlines()
    ids = [
        line.strip(" :")
        for line in lines
        if line.startswith("  ") and line[2:3].isalpha() and line[-1] == ":"
    ]
    ignored = [i.path.removeprefix("active_modules.") for i in site.ignored if i.path.count(".") == 1]
    assert sorted([*site.modules, *ignored]) == sorted(ids)


def test_everests_own_settings_are_one_note_a_module() -> None:
    site = load_site(FILES / "config-sil-two-evse.yaml")
    assert notes(site)["active_modules.evse_manager_2.config_module"] == (
        "EVerest's own settings: evse_id, session_logging, session_logging_xml, session_logging_path, "
        "ac_hlc_enabled, ac_hlc_use_5percent, ac_enforce_hlc"
    )
    assert notes(site)["active_modules.ev_manager_1"] == "EvManager"


TREE = """
active_modules:
  energy_manager:
    module: EnergyManager
    config_module: {%s}
    connections:
      energy_trunk:
        - {module_id: evse, implementation_id: energy_grid}
  evse:
    module: EvseManager
    mapping: {module: {evse: 1}}
    telemetry: {id: 1}
    config_module: {%s}
x-module-layout: {evse: {position: {x: 1, y: 2}}}
settings: {telemetry_enabled: true}
"""


def test_newer_settings_of_the_manager_are_noted() -> None:
    site = parse(TREE % ("redistribution_margin_A: 3, power_redistribution_gain: 0.2", ""))
    assert notes(site) == {
        "active_modules.energy_manager.config_module": (
            "EVerest's own settings: redistribution_margin_A, power_redistribution_gain"
        )
    }


def test_newer_settings_that_would_change_something_say_that_they_do_not() -> None:
    site = parse(TREE % ("broker_strategy: PowerRedistribution, phase_symmetry_enabled: true", ""))
    assert notes(site)["active_modules.energy_manager.config_module.broker_strategy"] == (
        '"PowerRedistribution" has no effect here'
    )
    assert notes(site)["active_modules.energy_manager.config_module.phase_symmetry_enabled"] == (
        "true has no effect here"
    )


def test_neutral_newer_settings_need_no_warning() -> None:
    site = parse(TREE % ("broker_strategy: FastCharging, phase_symmetry_enabled: false", ""))
    assert list(notes(site)) == ["active_modules.energy_manager.config_module"]


def test_an_unknown_setting_of_the_manager_is_a_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(TREE % ("slice_amper: 1", ""))
    assert str(caught.value) == (
        'active_modules.energy_manager.config_module.slice_amper: unknown key; did you mean "slice_ampere"?'
    )


def test_a_near_miss_of_our_setting_is_a_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(TREE % ("", "evse_id: DE1, max_curent_A: 16"))
    assert str(caught.value) == (
        'active_modules.evse.config_module.max_curent_A: unknown key; did you mean "max_current_A"?'
    )


EVEREST_EVSE_KEYS = [
    "connector_type",
    "evse_id",
    "evse_id_din",
    "payment_enable_eim",
    "payment_enable_contract",
    "ac_nominal_voltage",
    "ac_max_reactive_power",
    "ev_receipt_required",
    "session_logging",
    "session_logging_path",
    "session_logging_xml",
    "has_ventilation",
    "supported_iso_ac_bpt",
    "ac_hlc_enabled",
    "ac_hlc_use_5percent",
    "ac_enforce_hlc",
    "ac_with_soc",
    "reinit_duration_ms",
    "dc_isolation_voltage_V",
    "internal_over_voltage_duration_ms",
    "hack_present_current_offset",
    "autocharge_use_slac_instead_of_hlc",
    "enable_autocharge",
    "logfile_suffix",
    "soft_over_current_tolerance_percent",
    "soft_over_current_measurement_noise_A",
    "disable_authentication",
    "sae_j2847_2_bpt_mode",
    "external_ready_to_start_charging",
    "initial_meter_value_timeout_ms",
    "soft_over_current_timeout_ms",
    "lock_connector_in_state_b",
    "state_F_after_fault_ms",
    "fail_on_powermeter_errors",
    "raise_mrec9",
    "central_contract_validation_allowed",
    "session_id_type",
    "zero_power_ignore_pause",
    "zero_power_allow_ev_to_ignore_pause",
    "bpt_channel",
    "hlc_charge_loop_without_energy_timeout_s",
    "dc_ramp_ampere_per_second",
    "enable_nodered_interface",
    "phase_rotation_grid_side",
    "three_phases",
    "rcd_enabled",
    "country_code",
]


@pytest.mark.parametrize("key", EVEREST_EVSE_KEYS)
def test_names_of_everest_are_no_near_misses(key: str) -> None:
    assert nearest(key, KEYS["EvseManager"], 0.85) is None


def test_a_dc_charger_without_a_power_gets_what_its_current_allows() -> None:
    site = parse(TREE % ("", "charge_mode: DC, max_current_A: 20"))
    evse = site.modules["evse"].config
    assert isinstance(evse, EvseManagerConfig)
    assert evse.max_power_W == 13_800
    assert notes(site) == {
        "active_modules.evse.config_module": "no max_power_W; taken as 13800 W (20 A x 3 phases x 230 V)"
    }


def test_every_pilot_state_of_everest_is_known() -> None:
    for state in ("X1", "E", "F"):
        assert parse(TREE % ("", f"switch_3ph1ph_cp_state: {state}")).modules["evse"].config


def test_both_grammars_mix() -> None:
    site = parse(
        """
        active_modules:
          root:
            module: EnergyManager
            config: {update_interval: 2}
            connections:
              energy_trunk: [{module_id: node, implementation_id: energy_grid}]
          node:
            module: EnergyNode
            config: {fuse_limit_A: 32}
            config_module: {phase_count: 1}
            connections:
              energy_consumer: [evse_1, {module_id: evse_2, implementation_id: energy_grid}]
              powermeter: [{module_id: meter, implementation_id: main}]
          evse_1: {module: EvseManager, config: {priority: 1}}
          evse_2: {module: EvseManager, config_module: {evse_id: DE2}, connections: {energy_grid: node}}
          evse_3: {module: EvseManager, connections: {energy_grid: [{module_id: node}]}}
        """
    )
    assert site.modules["node"].children == ("evse_1", "evse_2", "evse_3")
    assert site.modules["node"].config == EnergyNodeConfig(fuse_limit_A=32.0, phase_count=1)
    assert site.phase_count("evse_1") == 1


def test_consumers_of_other_kinds_are_left_out() -> None:
    site = parse(
        """
        active_modules:
          root: {module: EnergyManager, connections: {energy_trunk: [node]}}
          node: {module: EnergyNode, connections: {energy_consumer: [{module_id: heat_pump}]}}
          heat_pump: {module: HeatPump, config_module: 17}
        """
    )
    assert site.modules["node"].children == ()
    assert notes(site) == {"active_modules.heat_pump": "HeatPump"}


def test_a_key_that_stands_twice_in_a_module_that_is_not_ours_is_only_noted() -> None:
    # EVerest's config-CB-EVAL-DC.yaml has one.
    site = parse(
        """
        active_modules:
          root: {module: EnergyManager}
          charger:
            module: EvseV2G
            connections: {}
            connections: {security: []}
        """
    )
    assert notes(site)["active_modules.charger.connections"] == "duplicate name: it stands in lines 6 and 7"
