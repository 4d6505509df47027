"""Every class of fault, with the exact line that the user sees."""

from __future__ import annotations

from textwrap import dedent

import pytest

from actors.config import ConfigError, Fault, parse_site


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_site(dedent(text), "test")
    return str(caught.value).splitlines()


SITE = """\
active_modules:
  root:
    module: EnergyManager
    config: {%(root)s}
    connections: {energy_trunk: [node]}
  node:
    module: EnergyNode
    config: {%(node)s}
    connections: {energy_trunk: [evse]}
    %(node_more)s
  evse:
    module: EvseManager
    config: {%(evse)s}
%(more)s
"""


def site(root: str = "", node: str = "", evse: str = "", more: str = "", node_more: str = "") -> str:
    return SITE % {"root": root, "node": node, "evse": evse, "more": more, "node_more": node_more}


def test_the_site_that_these_tests_break_is_sound() -> None:
    assert parse_site(site(), "test").root == "root"


VALUES = {
    "root": [
        ("slice_amper: 1", 'slice_amper: unknown key; did you mean "slice_ampere"?'),
        ("Update_Interval: 1", 'Update_Interval: unknown key; did you mean "update_interval"?'),
        ("xyz: 1", "xyz: unknown key"),
        ("broker_strategy: FastCharging", "broker_strategy: unknown key"),
        ("update_interval: 0", "update_interval: expected an integer, at least 1, got 0"),
        ("update_interval: 1.5", "update_interval: expected an integer, at least 1, got 1.5"),
        ("update_interval: true", "update_interval: expected an integer, at least 1, got true"),
        ("update_interval: fast", 'update_interval: expected an integer, at least 1, got "fast"'),
        ("update_interval: 10000000000", "update_interval: expected an integer, at least 1, got 10000000000"),
        ("slice_watt: .inf", "slice_watt: expected a number above 0, got inf"),
        ("slice_watt: .nan", "slice_watt: expected a number above 0, got nan"),
        ("slice_watt: [1]", "slice_watt: expected a number above 0, got a list"),
        ("debug: 1", "debug: expected true or false, got 1"),
        (
            "switch_3ph1ph_while_charging_mode: both",
            "switch_3ph1ph_while_charging_mode: expected Both, Never or Oneway, "
            'got "both"; did you mean "Both"?',
        ),
        (
            "schedule_total_duration: 1000, schedule_interval_duration: 1",
            "schedule_total_duration: 1000 h in intervals of 1 min are 60000 intervals; at most 10000",
        ),
    ],
    "node": [
        ("fuse_limit_A: -1", "fuse_limit_A: expected a number, at least 0, got -1"),
        (
            "fuse_limit_A: ",
            "fuse_limit_A: expected a number, at least 0, got nothing; leave the key out for its default",
        ),
        ("fuse_limit_A: 32A", 'fuse_limit_A: expected a number, at least 0, got "32A"'),
        ("fuse_limit_A: true", "fuse_limit_A: expected a number, at least 0, got true"),
        ("fuse_limit_a: 32", 'fuse_limit_a: unknown key; did you mean "fuse_limit_A"?'),
        ("phase_count: 4", "phase_count: expected an integer from 1 to 3, got 4"),
        ("nominal_voltage_V: 0.5", "nominal_voltage_V: expected a number from 1 to 1000, got 0.5"),
        ("enhance_external_schedule: {}", "enhance_external_schedule: expected true or false, got a mapping"),
        ("fuse_limit_A: 20, fallback_limit_A: 21", "fallback_limit_A: 21 A exceed the fuse of 20 A"),
    ],
    "evse": [
        ("priority: 0", "priority: expected an integer from 1 to 1000, got 0"),
        ("charge_mode: ac", 'charge_mode: expected AC or DC, got "ac"; did you mean "AC"?'),
        ("max_current_A: 0", "max_current_A: expected a number above 0, got 0"),
        ("switch_3ph1ph_cp_state: G", 'switch_3ph1ph_cp_state: expected E, F or X1, got "G"'),
        ("min_current_A: 10, max_current_A: 8", "min_current_A: 10 A is above max_current_A, 8 A"),
        ("fallback_limit_A: 33", "fallback_limit_A: 33 A is above max_current_A, 32 A"),
        ("driver: plnt", 'driver: no driver "plnt"; known: plant, ocpp, everest; did you mean "plant"?'),
        ("driver: 7", "driver: expected text, got 7"),
    ],
}


@pytest.mark.parametrize(
    ("module", "given", "told"), [(m, g, t) for m, rows in VALUES.items() for g, t in rows]
)
def test_a_wrong_value_is_told_with_its_path(module: str, given: str, told: str) -> None:
    assert faults(site(**{module: given})) == [f"active_modules.{module}.config.{told}"]


def test_dc_needs_a_power() -> None:
    assert faults(site(evse="charge_mode: DC")) == [
        "active_modules.evse.config: charge_mode DC needs max_power_W, the rated power on the grid side"
    ]


def test_all_faults_come_at_once() -> None:
    text = site(
        root="slice_ampere: 0, debug: maybe",
        node="fuse_limit_A: -3",
        evse="priority: 1.5, min_current_A: 40",
        more="  stray: {module: EnergyNode}\ncontrolers: {}",
    )
    assert faults(text) == [
        'controlers: unknown key; did you mean "controllers"?',
        "active_modules.root.config.slice_ampere: expected a number above 0, got 0",
        'active_modules.root.config.debug: expected true or false, got "maybe"',
        "active_modules.node.config.fuse_limit_A: expected a number, at least 0, got -3",
        "active_modules.evse.config.priority: expected an integer from 1 to 1000, got 1.5",
        "active_modules.stray: has no parent; list it in the energy_trunk of its node",
        "active_modules.evse.config.min_current_A: 40 A is above max_current_A, 32 A",
    ]


def test_an_error_holds_its_faults_as_data() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_site(site(node="fuse_limit_A: -3"), "test")
    path = "active_modules.node.config.fuse_limit_A"
    assert caught.value.faults == (Fault(path, "expected a number, at least 0, got -3"),)


def test_more_faults_than_anyone_reads_are_counted() -> None:
    more = "".join(f"  stray_{n}: {{module: EnergyNode}}\n" for n in range(1200))
    told = faults(site(more=more))
    assert len(told) == 1001
    assert told[-1] == "and 200 more faults"


KEYS = [
    ("  node_2: 7", "active_modules.node_2: expected a module: a mapping, got 7"),
    (
        "  node_2: {}",
        'active_modules.node_2: no key "module"; '
        "expected EnergyManager, EnergyNode, EvseManager or another module's name",
    ),
    (
        "  node_2: {module: [EnergyNode]}",
        "active_modules.node_2.module: "
        "expected EnergyManager, EnergyNode, EvseManager or another module's name, got a list",
    ),
    (
        "  evse_2: {module: EvseManager, conections: {}, connections: {energy_grid: node}}",
        'active_modules.evse_2.conections: unknown key; did you mean "connections"?',
    ),
    (
        "  evse_2: {module: EvseManager, connections: {energy_gird: node, energy_grid: node}}",
        'active_modules.evse_2.connections.energy_gird: unknown connection; did you mean "energy_grid"?',
    ),
    (
        "  evse_2: {module: EvseManager, config: 5, connections: {energy_grid: node}}",
        "active_modules.evse_2.config: expected a mapping, got 5",
    ),
    (
        "  evse_2: {module: EvseManager, config: {priority: 1}, config_module: {priority: 1}, "
        "connections: {energy_grid: node}}",
        "active_modules.evse_2.config_module.priority: stands under config too",
    ),
    (
        "  evse_2: {module: EvseManger, connections: {energy_grid: node}}",
        'active_modules.evse_2.module: unknown kind "EvseManger"; did you mean "EvseManager"?',
    ),
    (
        "  evse/2: {module: EvseManager, connections: {energy_grid: node}}",
        'active_modules.evse/2: a name is made of letters, digits, "_", "-" and ".", '
        'and starts with a letter, digit or "_"',
    ),
    (
        '  "": {module: EvseManager, connections: {energy_grid: node}}',
        "active_modules.: a name must not be empty",
    ),
    (
        f"  {'e' * 65}: {{module: EvseManager, connections: {{energy_grid: node}}}}",
        f"active_modules.{'e' * 65}: a name has at most 64 characters, got 65",
    ),
    (
        "evse_2: {module: EvseManager, connections: {energy_grid: node}}",
        "evse_2: a module outside of active_modules; move it there",
    ),
    ("extra: {a: 1}", "extra: unknown key"),
    ("site: 7", "site: expected text, got 7"),
    ("site: ''", "site: a name must not be empty"),
    ("plant: [1]", "plant: expected a mapping, got a list"),
    ("plant: {listen: 7}", "plant.listen: expected text, got 7"),
    ("plant: {listen: here}", 'plant.listen: expected tcp://HOST:PORT or ipc://PATH, got "here"'),
    (
        "  evse: {module: EvseManager}",
        "active_modules.evse: duplicate name: it stands in lines 11 and 14",
    ),
]


@pytest.mark.parametrize(("more", "told"), KEYS)
def test_a_wrong_key_or_module_is_told_with_its_path(more: str, told: str) -> None:
    assert faults(site(more=more)) == [told]


def test_a_key_that_stands_twice_is_a_fault_at_every_level() -> None:
    text = site(node="fuse_limit_A: 63, fuse_limit_A: 16", more="site: a\nsite: b")
    assert faults(text) == [
        "active_modules.node.config.fuse_limit_A: duplicate name: it stands in line 8 twice",
        "site: duplicate name: it stands in lines 14 and 15",
    ]


LINKS = [
    (
        "{module: EvseManager}",
        ["active_modules.extra: has no parent; list it in the energy_trunk of its node"],
    ),
    (
        "{module: EvseManager, connections: {energy_grid: nod}}",
        [
            "active_modules.extra.connections.energy_grid: "
            'missing parent: no module "nod" in this file; did you mean "node"?'
        ],
    ),
    (
        "{module: EvseManager, connections: {energy_grid: evse}}",
        ["active_modules.extra.connections.energy_grid: evse is an EvseManager; it can be no parent"],
    ),
    (
        "{module: EvseManager, connections: {energy_grid: [node, root]}}",
        ["active_modules.extra.connections.energy_grid[1]: extra names two parents: node and root"],
    ),
    (
        "{module: EvseManager, connections: {energy_grid: stranger}}",
        [
            "active_modules.extra.connections.energy_grid: "
            "stranger is a YetiSimulator, which is no part of the energy tree"
        ],
    ),
    (
        "{module: EvseManager, connections: {energy_trunk: [evse], energy_grid: node}}",
        [
            "active_modules.extra.connections.energy_trunk: "
            "an EvseManager has no children; it names its parent in energy_grid"
        ],
    ),
    (
        "{module: EnergyNode, connections: {energy_grid: root, energy_trunk: [evse]}}",
        ["active_modules.extra.connections.energy_trunk[0]: evse has two parents: node lists it too"],
    ),
    (
        "{module: EnergyNode, connections: {energy_grid: root, energy_trunk: [evse_9]}}",
        [
            "active_modules.extra.connections.energy_trunk[0]: "
            'missing child: no module "evse_9" in this file; did you mean "evse"?'
        ],
    ),
    (
        "{module: EnergyNode, connections: {energy_grid: root, energy_consumer: [{module_id: nowhere}]}}",
        [
            "active_modules.extra.connections.energy_consumer[0]: "
            'missing child: no module "nowhere" in this file'
        ],
    ),
    (
        "{module: EnergyNode, connections: {energy_grid: root, energy_trunk: [root]}}",
        [
            "active_modules.extra.connections.energy_trunk[0]: "
            "root is an EnergyManager; the root stands below no module"
        ],
    ),
    (
        "{module: EnergyNode, connections: {energy_trunk: [extra]}}",
        ["active_modules.extra: a cycle: extra -> extra"],
    ),
    (
        "{module: EnergyManager}",
        ["active_modules.extra: a second EnergyManager; the root is root already"],
    ),
    (
        "{module: EnergyNode, connections: {energy_grid: root, energy_trunk: [1, [a]]}}",
        [
            "active_modules.extra.connections.energy_trunk[0]: "
            "expected a module's name, got 1; put it in quotes",
            "active_modules.extra.connections.energy_trunk[1]: expected a module's name, got a list",
        ],
    ),
    (
        "{module: EnergyNode, connections: {energy_grid: root, "
        "energy_consumer: [{module: evse_2, implementation_id: evse}]}}",
        [
            "active_modules.extra.connections.energy_consumer[0].module: "
            'unknown key; did you mean "module_id"?',
            "active_modules.extra.connections.energy_consumer[0].implementation_id: "
            'expected "energy_grid", got "evse"',
            "active_modules.extra.connections.energy_consumer[0]: expected a module's name, got nothing",
        ],
    ),
    (
        "{module: EnergyNode, connections: {energy_grid: root, energy_trunk: [heater]}}",
        ['active_modules.heater.module: unknown kind "EnergyNod"; did you mean "EnergyNode"?'],
    ),
]


@pytest.mark.parametrize(("extra", "told"), LINKS)
def test_a_wrong_link_is_told_at_its_place(extra: str, told: list[str]) -> None:
    more = f"  extra: {extra}\n  stranger: {{module: YetiSimulator}}\n  heater: {{module: EnergyNod}}"
    assert faults(site(more=more)) == told


def test_links_that_disagree() -> None:
    text = """
        active_modules:
          root: {module: EnergyManager, connections: {energy_trunk: [node_1, node_2]}}
          node_1: {module: EnergyNode, connections: {energy_trunk: [evse]}}
          node_2: {module: EnergyNode}
          evse: {module: EvseManager, connections: {energy_grid: node_2}}
        """
    assert faults(text) == [
        "active_modules.evse.connections.energy_grid: evse names node_2, but node_1 lists it"
    ]


def test_a_child_listed_twice() -> None:
    text = """
        active_modules:
          root: {module: EnergyManager, connections: {energy_trunk: [evse, evse]}}
          evse: {module: EvseManager}
        """
    assert faults(text) == [
        "active_modules.root.connections.energy_trunk[1]: duplicate name: evse is listed twice"
    ]


def test_no_root() -> None:
    told = "no EnergyManager; one module must be the root of the tree"
    assert faults("active_modules: {}") == [f"active_modules: {told}"]
    assert faults("active_modules:") == [f"active_modules: {told}"]
    assert faults("site: empty") == [told]


def test_a_root_with_a_parent() -> None:
    text = """
        active_modules:
          root: {module: EnergyManager, connections: {energy_grid: evse, energy_trunk: [evse]}}
          evse: {module: EvseManager}
        """
    assert faults(text) == [
        "active_modules.root.connections.energy_grid: an EnergyManager is the root; it has no parent"
    ]


def test_a_cycle_is_told_once_and_those_below_it_not() -> None:
    text = """
        active_modules:
          root: {module: EnergyManager}
          below: {module: EvseManager}
          a: {module: EnergyNode, connections: {energy_trunk: [b]}}
          b: {module: EnergyNode, connections: {energy_trunk: [c]}}
          c: {module: EnergyNode, connections: {energy_trunk: [a, below]}}
        """
    assert faults(text) == ["active_modules.c: a cycle: c -> b -> a -> c"]


def test_a_tree_too_deep() -> None:
    nodes = "".join(
        f"  n{i}: {{module: EnergyNode, connections: {{energy_trunk: [n{i + 1}]}}}}\n" for i in range(100)
    )
    text = (
        "active_modules:\n  root: {module: EnergyManager, connections: {energy_trunk: [n0]}}\n"
        f"{nodes}  n100: {{module: EnergyNode}}\n"
    )
    assert faults(text) == ["active_modules.n100: more than 100 levels below the root"]
    sound = text.replace("  n100: {module: EnergyNode}\n", "").replace("[n100]", "[]")
    assert len(parse_site(sound, "deep").subtree("root")) == 101


def test_too_many_modules() -> None:
    modules = "".join(f"  m{n}: {{module: EnergyNode}}\n" for n in range(20_001))
    assert faults("active_modules:\n" + modules) == ["active_modules: at most 20000 modules, got 20001"]


FALLBACKS = [
    (
        {"node": "fuse_limit_A: 10", "evse": "fallback_limit_A: 11"},
        "active_modules.node.config.fuse_limit_A: "
        "the fallbacks of the modules below, 11 A in all, exceed 10 A; lower their fallback_limit_A",
    ),
    (
        {"node": "fuse_limit_A: 20, fallback_limit_A: 10", "evse": "fallback_limit_A: 11"},
        "active_modules.node.config.fallback_limit_A: "
        "the fallbacks of the modules below, 11 A in all, exceed 10 A; lower their fallback_limit_A",
    ),
]


@pytest.mark.parametrize(("configs", "told"), FALLBACKS)
def test_fallbacks_that_do_not_nest(configs: dict[str, str], told: str) -> None:
    assert faults(site(**configs)) == [told]


def test_fallbacks_add_up_over_levels() -> None:
    text = """
        active_modules:
          root: {module: EnergyManager, connections: {energy_trunk: [panel]}}
          panel: {module: EnergyNode, config: {fuse_limit_A: 19}, connections: {energy_trunk: [a, b, c]}}
          a: {module: EnergyNode, config: {fallback_limit_A: 8}}
          b: {module: EnergyNode, connections: {energy_trunk: [evse]}}
          c: {module: EvseManager, config: {fallback_limit_A: 6}}
          evse: {module: EvseManager, config: {fallback_limit_A: 6}}
        """
    assert faults(text) == [
        "active_modules.panel.config.fuse_limit_A: "
        "the fallbacks of the modules below, 20 A in all, exceed 19 A; lower their fallback_limit_A"
    ]
    assert parse_site(dedent(text).replace("19", "20"), "fits").fallback_A("panel") == 20


def test_fallbacks_fit_apart_from_crumbs_of_floating_point() -> None:
    evses = ", ".join(f"e{n}" for n in range(3))
    modules = "".join(
        f"  e{n}: {{module: EvseManager, config: {{fallback_limit_A: 0.1}}}}\n" for n in range(3)
    )
    text = (
        "active_modules:\n  root: {module: EnergyManager, connections: {energy_trunk: [node]}}\n"
        "  node:\n    module: EnergyNode\n    config: {fuse_limit_A: 0.3}\n"
        f"    connections: {{energy_trunk: [{evses}]}}\n"
    )
    assert parse_site(text + modules, "crumbs").fallback_A("node") == pytest.approx(0.3)


def test_the_same_connector_id_twice_is_no_fault() -> None:
    more = "  evse_2: {module: EvseManager, config: {connector_id: 1}, connections: {energy_grid: node}}"
    assert len(parse_site(site(evse="connector_id: 1", more=more), "test").modules) == 4


def test_more_phases_than_the_feeder_has_are_no_fault() -> None:
    assert parse_site(site(node="phase_count: 1", evse="phase_count: 3"), "test").phase_count("evse") == 1


def test_sections_left_empty_count_as_left_out() -> None:
    text = """
        active_modules:
          root:
            module: EnergyManager
            config:
            connections: {energy_trunk: }
            external_limits:
        """
    assert len(parse_site(dedent(text), "test").modules) == 1


def test_faults_of_the_story_are_faults_of_the_file() -> None:
    text = site() + "\nplant: {cars: [{evse: nobody}], sed: 3}\n"
    with pytest.raises(ConfigError) as caught:
        parse_site(text, "test")
    paths = {fault.path for fault in caught.value.faults}
    assert "plant.cars[0].evse" in paths
    assert any(path.startswith("plant") and "sed" in f"{path}" for path in paths)
