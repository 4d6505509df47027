"""Spoiled inputs by the million: `python -m tests.fuzz --seed 1`.

Frames for links, control socket, drivers and plant go all the way to the cores; site files go through the
loader. The same seed gives the same inputs. What is found is told with its input; exit code 1.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time

from tests.fuzz.runs import in_parallel


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", default="1", help="a number, or `new`")
    parser.add_argument("--frames", type=int, default=2_000_000, help="how many; %(default)s by default")
    parser.add_argument("--configs", type=int, default=10_000, help="site files; %(default)s by default")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after that time")
    parser.add_argument(
        "--jobs", type=int, default=2, help="processes, with a seed each; %(default)s by default"
    )
    parser.add_argument("--findings", type=int, default=1, help="end after so many; %(default)s by default")
    given = parser.parse_args()
    seed = secrets.randbelow(2**31) if given.seed == "new" else int(given.seed)
    print(f"seed {seed}", file=sys.stderr)
    until_s = time.monotonic() + given.seconds
    summary = in_parallel(
        given.jobs,
        seed=seed,
        frames=given.frames,
        configs=given.configs,
        until_s=until_s,
        most=given.findings,
    )
    print(json.dumps(summary, indent=2))
    return 1 if summary["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
