"""Whatever a file holds, the loader answers with a site or with faults of one line each."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.config import ConfigError, parse_site
from actors.config.grammar import EVEREST_MANAGER_KEYS, KEYS, OUR_MODULE_KEYS
from actors.site import OcppLink, Site

WORDS = st.sampled_from(
    [
        *("active_modules", "controllers", "plant", "site", "settings", "listen", "modules"),
        *("energy_trunk", "energy_consumer", "energy_grid", "module_id", "implementation_id"),
        *(
            "limit",
            "failsafe",
            "heartbeat_timeout_s",
            "schedule_import",
            "timestamp",
            "total_power_W",
            "value",
        ),
        *("EnergyManager", "EnergyNode", "EvseManager", "Auth", "tcp://h:1", "root", "node", "evse", "DC"),
        *OUR_MODULE_KEYS,
        *sorted(KEYS["EnergyNode"] | KEYS["EvseManager"]),
        *EVEREST_MANAGER_KEYS,
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS | st.dates()
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | SCALARS, inner, max_size=5),
    max_leaves=25,
)
IDS = st.sampled_from(["root", "node", "evse", "other", "a/b", ""])
MODULE = st.fixed_dictionaries(
    {"module": st.sampled_from(["EnergyManager", "EnergyNode", "EnergyNode", "EvseManager", "Auth", "OCPP"])},
    optional={
        "config": st.dictionaries(WORDS, SCALARS, max_size=3) | ANYTHING,
        "config_module": st.dictionaries(WORDS, SCALARS, max_size=3) | ANYTHING,
        "connections": st.dictionaries(
            st.sampled_from(["energy_trunk", "energy_consumer", "energy_grid", "evse_energy_sink"]),
            st.lists(IDS | st.fixed_dictionaries({"module_id": IDS}), max_size=3) | IDS | ANYTHING,
            max_size=2,
        ),
        "external_limits": st.dictionaries(WORDS, st.dictionaries(WORDS, ANYTHING, max_size=3), max_size=2),
    },
)
SITES = st.fixed_dictionaries(
    {"active_modules": st.dictionaries(IDS, MODULE, max_size=5)},
    optional={
        "controllers": st.dictionaries(
            IDS, st.fixed_dictionaries({"modules": st.lists(IDS, max_size=3)}) | ANYTHING, max_size=3
        ),
        "plant": ANYTHING,
        "site": ANYTHING,
    },
)


def answer(text: str) -> Site | None:
    try:
        site = parse_site(text, "any")
        assert all((ignored.path + ignored.what).isprintable() for ignored in site.ignored)
        return site
    except ConfigError as error:
        told = error.faults
    assert told
    for fault in told:
        assert fault.message
        assert str(fault).isprintable()
    return None


def check_sound(site: Site) -> None:
    """What everyone behind the loader relies on."""
    assert list(site.modules) == list(site.subtree(site.root))
    assert sorted(site.modules) == sorted(m for c in site.controllers.values() for m in c.modules)
    for module in site.modules.values():
        assert all(site.modules[child].parent == module.id for child in module.children)
        assert site.fallback_A(module.id) >= 0
        assert 1 <= site.phase_count(module.id) <= 3
        assert site.controller_of(module.id)
    for gateway in site.gateways.values():
        if isinstance(gateway, OcppLink):
            assert set(gateway.evses) <= set(site.subtree(gateway.station))


@given(ANYTHING)
def test_any_data_is_a_site_or_faults(data: Any) -> None:
    answer(yaml.safe_dump(data, allow_unicode=True))


@settings(max_examples=150)
@given(SITES)
def test_nearly_a_site_is_a_sound_site_or_faults(data: Any) -> None:
    if (site := answer(yaml.safe_dump(data, sort_keys=False))) is not None:
        check_sound(site)


@given(st.text(max_size=60) | st.text(alphabet="a1:-[]{}&*!|>'\"#%@?, \n\t~", max_size=60))
def test_any_text_is_a_site_or_faults(text: str) -> None:
    answer(text)


@given(st.data())
def test_any_tree_is_taken_as_it_is(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 12))
    parents = {
        f"m{n}": data.draw(st.sampled_from(["root", *(f"m{k}" for k in range(n))])) for n in range(count)
    }
    modules: dict[str, Any] = {"root": {"module": "EnergyManager", "connections": {"energy_trunk": []}}}
    for name in data.draw(st.permutations(list(parents))):
        modules[name] = {"module": "EnergyNode", "connections": {"energy_trunk": []}}
    for name, parent in parents.items():
        end = data.draw(st.sampled_from(["parent", "child", "both"]))
        if end != "child":
            modules[parent]["connections"]["energy_trunk"].append(name)
        if end != "parent":
            modules[name]["connections"]["energy_grid"] = parent
    site = parse_site(yaml.safe_dump(modules, sort_keys=False), "any")
    check_sound(site)
    assert {m.id: m.parent for m in site.modules.values()} == {"root": None, **parents}
