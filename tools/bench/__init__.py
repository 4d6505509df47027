"""`amptree bench`: how fast the market and whole sites are, on this machine, now."""

from tools.bench.command import configure, run

__all__ = ["configure", "run"]
