"""Each rule broken on purpose: the table of cases must notice."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from actors.energy.charging_profiles import checks, composite, installed
from actors.energy.charging_profiles.profile import Version
from tests.energy.charging_profiles import test_cases

MUTANTS = [
    (composite, "the lowest stack level counts", "(-p.stack_level,", "(p.stack_level,"),
    (
        composite,
        "a default of all before the EVSE's own",
        "p.evse == STATION_EVSE)",
        "p.evse != STATION_EVSE)",
    ),
    (
        composite,
        "a gap does not fall through",
        "                break\n    return held",
        "            break\n    return held",
    ),
    (
        composite,
        "default over TxProfile",
        "[*_by_level(of_it), *_by_level(default)]",
        "[*_by_level(default), *_by_level(of_it)]",
    ),
    (
        composite,
        "TxProfile and default are two purposes",
        "[[*_by_level(of_it), *_by_level(default)]]",
        "[_by_level(of_it), _by_level(default)]",
    ),
    (
        composite,
        "defaults hold without a transaction",
        "    if transaction is None:\n        return Place([])\n",
        "    transaction = transaction or Transaction(None, 0)\n",
    ),
    (composite, "the highest limit of purposes", "return min((limit for", "return max((limit for"),
    (composite, "the highest number of phases", "phases = min((p for", "phases = max((p for"),
    (composite, "validFrom is ignored", "at_s < profile.valid_from_s", "at_s < -1"),
    (
        composite,
        "validTo is ignored",
        "FOREVER_S if profile.valid_to_s is None else profile.valid_to_s\n    start_s",
        "FOREVER_S\n    start_s",
    ),
    (composite, "duration is ignored", "again_s if profile.duration_s is None", "again_s if True"),
    (composite, "nothing recurs", "each_s = FOREVER_S, profile.recurs_each_s()", "each_s = FOREVER_S, None"),
    (
        composite,
        "a day's schedule is not cut off by the next",
        "min(again_s, start_s + profile.duration_s)",
        "start_s + profile.duration_s",
    ),
    (
        composite,
        "Relative counts from now",
        'relative_s if profile.kind == "Relative"',
        'at_s if profile.kind == "Relative"',
    ),
    (
        composite,
        "watts without phases",
        "self.limit_W / (wiring.voltage_V * self.used(wiring))",
        "self.limit_W / wiring.voltage_V",
    ),
    (
        composite,
        "amperes without phases",
        "self.limit_A * wiring.voltage_V * self.used(wiring)",
        "self.limit_A * wiring.voltage_V",
    ),
    (composite, "phases that are not wired", "min(self.phases, wiring.phases)", "self.phases"),
    (composite, "the rating is forgotten", "= [rating]", "= [None, 1e6]"),
    (
        composite,
        "amperes of three phases on one",
        'if unit == "W" and all_of.limit_A is not None:',
        "if False:",
    ),
    (
        composite,
        "a period begins one late",
        "after = bisect_right(",
        "after = __import__('bisect').bisect_left(",
    ),
    (checks, "any EVSE", "profile.evse not in station.evses", "False"),
    (checks, "any first period", "if periods[0].start_s != 0:", "if False:"),
    (checks, "any order", "after.start_s <= before.start_s", "after.start_s < before.start_s"),
    (checks, "a maximum may be Relative", 'profile.kind == "Relative":  # K01.FR.38', "False:"),
    (checks, "a maximum at an EVSE", "profile.purpose in STATION and profile.evse != STATION_EVSE", "False"),
    (checks, "external constraints of any CSMS", "not station.takes_external_constraints", "False"),
    (checks, "any transaction", "running is None or profile.transaction not in (None, running.id)", "False"),
    (checks, "no transaction needed", "running is None or profile", "running is not None and profile"),
    (
        checks,
        "Absolute without a start",
        'if profile.kind != "Relative" and profile.start_s is None:',
        "if False:",
    ),
    (checks, "Relative with a start", 'profile.kind == "Relative" and profile.start_s is not None', "False"),
    (checks, "negative limits", "if not 0 <= number <= MAX_LIMIT", "if not number <= MAX_LIMIT"),
    (checks, "absurd limits", "if not 0 <= number <= MAX_LIMIT", "if not 0 <= number"),
    (checks, "any phases", "phases <= set(PHASES)", "True"),
    (installed, "the same id stands twice", "if profile.id != new.id", "if True"),
    (installed, "1.6 keeps both", "if not _same_place(profile, new)", "if True"),
    (installed, "2.0.1 knows no conflict", 'if version != "1.6" and (clash', "if False and (clash"),
    (
        installed,
        "any validity conflicts",
        "return _from_s(one) < _to_s(other) and _from_s(other) < _to_s(one)",
        "return True",
    ),
    (
        installed,
        "a default of all conflicts with none",
        "everywhere = one.purpose",
        "everywhere = False and one.purpose",
    ),
    (installed, "TxProfiles outlive their transaction", 'p.purpose == "TxProfile" and', "False and"),
    (installed, "clearing one level clears all", "or profile.stack_level == self.stack_level", "or True"),
]


def mutated(module: types.ModuleType, before: str, after: str) -> types.ModuleType:
    """The module with this change."""
    text = Path(str(module.__file__)).read_text()
    assert text.count(before) == 1, f"{before!r} stands {text.count(before)} times in {module.__name__}"
    mutant = types.ModuleType(f"{module.__name__}_mutant")
    sys.modules[mutant.__name__] = mutant
    exec(compile(text.replace(before, after), str(module.__file__), "exec"), mutant.__dict__)
    return mutant


def fails(version: Version, case: dict[str, Any]) -> bool:
    try:
        test_cases.test_case(version, case)
    except Exception:  # whatever it breaks
        return True
    return False


@pytest.mark.parametrize(("module", "what", "before", "after"), MUTANTS, ids=[m[1] for m in MUTANTS])
def test_a_broken_rule_is_noticed(
    module: types.ModuleType, what: str, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = mutated(module, before, after)
    try:
        for name in vars(test_cases).keys() & vars(mutant).keys():
            if getattr(vars(test_cases)[name], "__module__", "") == module.__name__:
                monkeypatch.setattr(test_cases, name, vars(mutant)[name])
        assert any(fails(version, case) for _, version, case in test_cases.CASES), what
    finally:
        del sys.modules[mutant.__name__]
