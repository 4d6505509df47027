"""Site files: spoiled as text and as data. The loader answers with a sound site, or with faults of one line."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import yaml

from actors.config import ConfigError, load_site, parse_site
from tests.fuzz.household import SITE_TEXT, FoundError
from tests.fuzz.mutators import Values, spoil_bytes, spoil_text

ROOT = Path(__file__).parents[2]
SMALL_B = 6_000
"""Larger examples are left to the tests: they take long to read."""
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Configs:
    """Spoils and loads one file after the other."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.verdicts: Counter[str] = Counter()
        self.text = ""
        """The one under way."""
        files = [
            *sorted((ROOT / "configs").glob("*.yaml")),
            *sorted((ROOT / "tests" / "data").glob("**/*.yaml")),
        ]
        texts = [file.read_text() for file in files]
        self._texts = [SITE_TEXT, *(text for text in texts if len(text) <= SMALL_B)]
        self._bytes = [text.encode() for text in self._texts]
        self._data = [yaml.load(text, Loader=_Loader) for text in self._texts]
        self._spoiler = Values(self.random, self._data)
        self._file = Path(tempfile.mkdtemp(prefix="amptree-fuzz-")) / "site.yaml"

    def feed(self) -> None:
        """One file."""
        random = self.random
        at = int(random.random() * len(self._texts))
        if (way := random.random()) < 0.1:
            self._file.write_bytes(spoil_bytes(random, self._bytes[at], self._bytes))
            self.text = str(self._file)
            self.verdicts[self._answer(lambda: load_site(self._file))] += 1
            return
        if way < 0.6:
            self.text = spoil_text(random, self._texts[at], self._texts)
        else:
            self.text = _dumped(self._spoiler.spoil(self._data[at])) or "{}"
        self.verdicts[self._answer(lambda: parse_site(self.text, "any"))] += 1

    def close(self) -> None:
        """Remove the file."""
        self._file.unlink(missing_ok=True)
        self._file.parent.rmdir()

    def _answer(self, load: Any) -> str:
        try:
            site = load()
        except ConfigError as error:
            faults = error.faults
        else:
            _check_sound(site)
            return "a site"
        if not faults:
            raise FoundError("refused without a fault")
        for fault in faults:
            if not (fault.message and str(fault).isprintable()):
                raise FoundError(f"a fault that cannot be shown: {fault!r}")
        return "faults"


def _dumped(data: Any) -> str | None:
    try:
        text: str = yaml.dump(data, Dumper=_Dumper, allow_unicode=True, sort_keys=False)
        return text
    except (yaml.YAMLError, RecursionError, UnicodeError, TypeError):
        return None


def _check_sound(site: Any) -> None:
    """What everybody behind the loader relies on."""
    sound = list(site.modules) == list(site.subtree(site.root))
    sound = sound and sorted(site.modules) == sorted(m for c in site.controllers.values() for m in c.modules)
    sound = sound and all(site.fallback_A(m) >= 0 and 1 <= site.phase_count(m) <= 3 for m in site.modules)
    if not sound:
        raise FoundError(f"not a sound site: {site}")
