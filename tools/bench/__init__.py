"""`amptree bench`: how long the product takes for what it does, beside what it is to reach."""

from tools.bench.verb import configure, run

__all__ = ["configure", "run"]
