"""Logs of a process: text for people, JSON lines for machines, on stderr."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from datetime import UTC, datetime


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        name = record.name.removeprefix("amptree.")
        text = f"{moment}.{int(record.msecs):03d} {record.levelname.lower():7} {name}: {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "source": record.name.removeprefix("amptree."),
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--log-format` and `--log-level`."""
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="default: text")
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="default: info"
    )


def set_up(options: argparse.Namespace, *, debug: bool = False) -> None:
    """Send the logs of this process to stderr; `debug` (of the site's file) shows everything."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if options.log_format == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("amptree").setLevel(logging.DEBUG if debug else options.log_level.upper())


def arguments(options: argparse.Namespace) -> list[str]:
    """The same choices for a process that this one starts."""
    return ["--log-format", options.log_format, "--log-level", options.log_level]
