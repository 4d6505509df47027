"""What a controller is given of its site: all that it needs, and the faults of the file where it has any."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actors.build import build_core
from actors.config import load_site, parse_site
from actors.controller import addresses
from actors.energy.messages import Instant
from actors.site import Site
from tools.errors import UserError
from tools.parts import load_part

CONFIGS = Path(__file__).parents[2] / "configs"
SPREAD = parse_site(
    """
    active_modules:
      root: {module: EnergyManager, connections: {energy_trunk: [floor_1, evse_0, floor_2]}}
      floor_1: {module: EnergyNode, config: {fuse_limit_A: 63}, connections: {energy_trunk: [panel, evse_1]}}
      panel: {module: EnergyNode, config: {phase_count: 1}, connections: {energy_trunk: [cellar]}}
      cellar: {module: EnergyNode, connections: {energy_trunk: [evse_2]}}
      floor_2: {module: EnergyNode, connections: {energy_trunk: [evse_3]}}
      evse_0: {module: EvseManager, config: {fallback_limit_A: 6}}
      evse_1: {module: EvseManager, config: {fallback_limit_A: 7}}
      evse_2: {module: EvseManager, config: {fallback_limit_A: 8, settle_time_s: 20}}
      evse_3: {module: EvseManager}
    controllers:
      main: {modules: [root, floor_2]}
      middle: {modules: [floor_1]}
      deep: {listen: "ipc:///run/amptree/deep.sock", modules: [cellar]}
    plant: {listen: "tcp://10.0.0.9:7500", cars: [{evse: evse_1, kind: large}]}
    """,
    "spread",
)
"""A controller between two others, with a level that is hosted with its parent."""


@pytest.mark.parametrize("site", [SPREAD, load_site(CONFIGS / "garage.yaml")], ids=lambda site: site.name)
def test_a_controller_builds_the_same_from_its_part(site: Site) -> None:
    now = Instant(0.0, 0)
    for name, controller in site.controllers.items():
        part = site.part(name)
        assert part.controllers[name] == controller
        assert part.digest == site.digest
        assert addresses(part, name) == addresses(site, name)
        for module in controller.modules:
            whole, own = (build_core(s, module, "life", now, kept_epoch=0) for s in (site, part))
            assert own.settings == whole.settings
            assert part.path_to_root(module) == site.path_to_root(module)
            assert part.subtree(module) == site.subtree(module)
            for known in part.modules:
                assert part.controller_of(known).name == site.controller_of(known).name


def test_a_part_names_nothing_that_is_not_in_it_but_as_elsewhere() -> None:
    part = SPREAD.part("deep")
    assert list(part.modules) == ["root", "floor_1", "panel", "cellar", "evse_2"]
    assert {c for module in part.modules.values() for c in module.children} <= part.modules.keys()
    assert {m for c in part.controllers.values() for m in c.modules} == part.modules.keys()
    assert part.elsewhere == {"evse_0", "evse_1", "evse_3", "floor_2"}
    assert list(SPREAD.part("main").modules) == list(SPREAD.modules)


def in_a_process(what: str) -> str:
    """Of one thread, as the one of `amptree run` is when it reads its file."""
    code = f"from tools.parts import load_part\n{what}"
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_what_is_read_in_another_process_is_the_part() -> None:
    file = str(CONFIGS / "garage.yaml")
    told = in_a_process(
        "from actors.config import load_site\n"
        f"for name in (site := load_site({file!r})).controllers:\n"
        f"    print(load_part({file!r}, name) == site.part(name))"
    )
    assert set(told.split()) == {"True"}


def test_nothing_of_that_process_is_left() -> None:
    told = in_a_process(
        f"import os\nload_part({str(CONFIGS / 'garage.yaml')!r}, 'main')\n"
        "try:\n    os.waitpid(-1, os.WNOHANG)\nexcept ChildProcessError:\n    print('nobody')\n"
        "print(len(os.listdir('/proc/self/fd')))"
    )
    open_at_first = in_a_process("import os\nprint(len(os.listdir('/proc/self/fd')))")
    assert told.split() == ["nobody", open_at_first.strip()]


def test_all_faults_of_the_file_are_told(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(
        "{active_modules: {r: {module: EnergyManager, config: {nominal_ac_voltage: x}}}, what: 1}"
    )
    told = in_a_process(
        "from tools.errors import UserError\nfrom tools.processes import load\n"
        f"for read in (lambda: load({str(file)!r}), lambda: load_part({str(file)!r}, 'r')):\n"
        "    try:\n        read()\n    except UserError as error:\n        print(repr(str(error)))"
    )
    direct, through_a_pipe = told.splitlines()
    assert through_a_pipe == direct
    assert "nominal_ac_voltage" in direct
    assert "what: unknown key" in direct


def test_where_no_process_may_be_begun_the_file_is_read_in_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr("os.fork", refuse)
    file = CONFIGS / "garage.yaml"
    assert load_part(str(file), "main") == load_site(file).part("main")
    with pytest.raises(UserError, match=r"no controller .attic. in .*; known: main"):
        load_part(str(file), "attic")


@pytest.mark.parametrize("end", ["os.abort()", "1 / 0", "os.kill(os.getpid(), 9)"])
def test_where_that_process_dies_the_file_is_read_in_this_one(end: str) -> None:
    file = str(CONFIGS / "garage.yaml")
    told = in_a_process(
        "import os, sys\nfrom tools import parts\nread, me = parts._read, os.getpid()\n"
        "def die(*args):\n"
        f"    return read(*args) if os.getpid() == me else {end}\n"
        "parts._read = die\n"
        f"print(len(load_part({file!r}, 'main').modules))"
    )
    assert int(told) == len(load_site(file).part("main").modules)
