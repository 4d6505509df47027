"""The bench: `python -m deploy.bench story INVENTORY STORY --report DIR` (see its README.md)."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from actors.stop import Stop
from deploy.bench.hosts import BenchHosts, write_site
from deploy.bench.inventory import Inventory, load_inventory
from deploy.bench.network import Network, namespace
from tools.chaos.conduct import Conductor
from tools.chaos.picture import draw
from tools.chaos.report import conclude, judge, show, write_result
from tools.chaos.site_file import plant_section
from tools.chaos.story import ConfigError, Story, as_yaml, load_story
from tools.errors import UserError
from tools.processes import load, stop_on_signals
from tools.view import console

TURN_S = 0.1


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(prog="python -m deploy.bench", description="A site on several hosts.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, text in (
        ("up", "bring the site up and keep it until Ctrl-C"),
        ("story", "run a story of faults over it, and judge the plant's record"),
        ("clean", "remove what a bench that was killed has left on this machine"),
    ):
        sub = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".")
        sub.add_argument("inventory", metavar="INVENTORY", type=Path, help="which host runs what (YAML)")
        if verb == "clean":
            continue
        if verb == "story":
            sub.add_argument("story", metavar="STORY", help="what is done when (YAML; see docs/chaos.md)")
        sub.add_argument(
            "--report", metavar="DIR", type=Path, required=True, help="for logs, record and result"
        )
        sub.add_argument("--ssh", action="store_true", help="on the real hosts of the inventory, over ssh")
    return parser


def main() -> int:
    """0: done, or it held; 1: it did not, or a fault that the user can mend; 130: ended before its end."""
    options = build_parser().parse_args()
    try:
        inventory = load_inventory(options.inventory)
        match options.verb:
            case "clean":
                Network(inventory).end()
                return 0
            case "up":
                return _up(inventory, options)
            case _:
                return _story(inventory, options)
    except UserError as error:
        print(f"bench {options.verb}: {error}", file=sys.stderr)
        return 1


def _up(inventory: Inventory, options: argparse.Namespace) -> int:
    report = _folder(options.report)
    write_site(inventory, inventory.site.plant.story, report / "site.yaml")
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        hosts = _hosts(stack, inventory, report, options)
        hosts.begin()
        print(f"site {inventory.site.name} runs on {len(inventory.hosts)} hosts; Ctrl-C ends it", flush=True)
        if not options.ssh:
            root = inventory.root
            name = namespace(inventory.site.name)
            print(f"  look: AMPTREE_RUN_DIR=/tmp/{name}/{root}/run amptree status", flush=True)
            print(f"  a shell on a host: ip netns exec {namespace(inventory.site.name, root)} sh", flush=True)
        while not stop.wait(TURN_S):
            for notice in hosts.tend():
                print(notice.text, flush=True)
    return 0


def _story(inventory: Inventory, options: argparse.Namespace) -> int:
    story = _load_story(options.story, inventory)
    report = _folder(options.report)
    (report / "story.yaml").write_text(as_yaml(story), encoding="utf-8")
    file = report / "site.yaml"
    write_site(inventory, plant_section(inventory.site, story), file)
    site = load(str(file))
    with ExitStack() as stack:
        stop: Stop = stack.enter_context(stop_on_signals())
        hosts = _hosts(stack, inventory, report, options)
        conductor = Conductor(site, story, hosts, stop, lambda text: print(text, flush=True))
        course = conductor.play()
        hosts.end()  # the record is whole then
        record = hosts.record()
    evidence = judge(site, story, course, record)
    result = conclude(site, story, course, evidence)
    write_result(result, report / "result.json")
    verdict = "held: no overload, nothing stuck" if result.ok else f"not held: {result.faults_found[0]}"
    title = f"{site.name} on {len(inventory.hosts)} hosts: {story.story or 'chaos'}"
    svg = draw(story, course, evidence.tallies, title=title, verdict=verdict, ok=result.ok)
    (report / "picture.svg").write_text(svg, encoding="utf-8")
    show(result, console())
    return 130 if course.stopped else 0 if result.ok else 1


def _hosts(stack: ExitStack, inventory: Inventory, report: Path, options: argparse.Namespace) -> BenchHosts:
    hosts = BenchHosts(inventory, report / "site.yaml", report, ssh=options.ssh)
    stack.callback(hosts.end)
    return hosts


def _load_story(path: str, inventory: Inventory) -> Story:
    try:
        return load_story(path, inventory.site)
    except ConfigError as error:
        raise UserError("\n".join(f"{path}: {fault}" for fault in error.faults)) from None


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be made: {error.strerror}; choose another --report") from error
    return path.resolve()


if __name__ == "__main__":
    sys.exit(main())
