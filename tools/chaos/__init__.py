"""`amptree chaos`: a site of real processes is hurt on purpose, and its plant tells what came of it."""

from tools.chaos.verb import configure, run

__all__ = ["configure", "run"]
