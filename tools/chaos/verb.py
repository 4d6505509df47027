"""`amptree chaos FILE`: arguments, the run, and what is left in the report folder."""

from __future__ import annotations

import argparse
import math
import secrets
import sys
from contextlib import ExitStack
from pathlib import Path

from actors.rundir import AlreadyRunningError, RunDir, RunDirError
from actors.site import Site
from tools.chaos.conduct import Conductor
from tools.chaos.draw import draw_story
from tools.chaos.local import LocalHosts
from tools.chaos.picture import draw
from tools.chaos.report import conclude, judge, show, write_result
from tools.chaos.site_file import write_site_file
from tools.chaos.story import ConfigError, Story, as_yaml, load_story
from tools.errors import UserError
from tools.processes import load, stop_on_signals
from tools.view import console
from transport import AddressError

SEED_MAX = 10**9
FOR_S, CALM_S = 120.0, 90.0
FOR_MAX_S = 86_400.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("file", metavar="FILE", help="the site's YAML file")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--story", metavar="STORY", help="a YAML file that says what is done when")
    what.add_argument("--seed", metavar="N", help="a story drawn from this number, or `new`: from any")
    parser.add_argument(
        "--for", dest="for_s", type=float, metavar="SECONDS", help=f"length of a drawn story ({FOR_S:g})"
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", required=True, help="where result.json, picture and logs go"
    )


def run(options: argparse.Namespace) -> int:
    """0: it held; 1: it did not; 130: it was ended before its end."""
    site = load(options.file)
    story = _story(options, site)
    report = _folder(options.report)
    file = report / "site.yaml"
    try:
        (report / "story.yaml").write_text(as_yaml(story), encoding="utf-8")
        write_site_file(site, story, file)
        return _run(load(str(file)), story, report)
    except OSError as error:
        raise UserError(f"{error.filename or report}: {error.strerror}; choose another --report") from error


def _story(options: argparse.Namespace, site: Site) -> Story:
    if options.story is not None:
        if options.for_s is not None:
            raise UserError("--for is the length of a drawn story; a file's is its for_s")
        try:
            return load_story(options.story, site)
        except ConfigError as error:
            lines = [f"{f.path}: {f.message}" if f.path else f.message for f in error.faults]
            raise UserError(f"{options.story}: " + f"\n{options.story}: ".join(lines)) from None
    for_s = FOR_S if options.for_s is None else options.for_s
    if not 0 < for_s <= FOR_MAX_S or math.isnan(for_s):
        raise UserError(f"--for needs 0 to {FOR_MAX_S:g} seconds, got {for_s:g}")
    return draw_story(site, _seed(options.seed), for_s, CALM_S)


def _seed(text: str) -> int:
    if text == "new":
        return secrets.randbelow(SEED_MAX)
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(SEED_MAX))) or int(text) > SEED_MAX:
        raise UserError(f"--seed: {text!r} is neither a whole number from 0 to {SEED_MAX} nor `new`")
    return int(text)


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be made: {error.strerror}; choose another --report") from error
    return path.resolve()


def _run(site: Site, story: Story, report: Path) -> int:
    print(f"site {site.name}: {story.story or 'a story'}, {len(story.faults)} faults", flush=True)
    try:
        with ExitStack() as stack:
            stop = stack.enter_context(stop_on_signals())
            run_dir = RunDir(site.name)
            stack.enter_context(run_dir.lock("up", f"site {site.name}", file=site.path))
            if others := [name for name in run_dir.holders() if name != "up"]:
                raise UserError(
                    f"parts of site {site.name} run already: {', '.join(others)}; "
                    f"end them with: amptree stop --site {site.name}"
                )
            hosts = LocalHosts(site, Path(site.path), report)
            stack.callback(hosts.end)
            conductor = Conductor(site, story, hosts, stop, lambda text: print(text, flush=True))
            course = conductor.play()
            hosts.end()  # the record is whole then
            evidence = judge(site, story, course, hosts.record())
    except AlreadyRunningError as error:
        raise UserError(f"{error}; end it with: amptree stop --site {site.name}") from error
    except (RunDirError, AddressError) as error:
        raise UserError(str(error)) from error
    result = conclude(site, story, course, evidence)
    write_result(result, report / "result.json")
    title = f"{site.name}: {story.story or 'chaos'}"
    verdict = "held: no overload, nothing stuck" if result.ok else f"not held: {result.faults_found[0]}"
    svg = draw(story, course, evidence.tallies, title=title, verdict=verdict, ok=result.ok)
    (report / "picture.svg").write_text(svg, encoding="utf-8")
    show(result, console())
    print(f"{report}: result.json, picture.svg, story.yaml, site.yaml, plant.jsonl, logs", file=sys.stderr)
    return 130 if course.stopped else 0 if result.ok else 1
