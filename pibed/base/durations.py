"""How long things took here before, for estimates."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path

from pibed.base.errors import HostError
from pibed.base.files import write_file


class Durations:
    """Host seconds by what took them, kept in a file of the cache folder.

    Only estimates for people follow from them: a missing or broken file is an empty one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _read(path)
        self._learned: dict[str, float] = {}

    def get(self, key: str) -> float | None:
        """The seconds that it took, if known."""
        return self._learned.get(key, self._known.get(key))

    def learn(self, key: str, seconds: float) -> None:
        """Takes in the seconds that it took this time."""
        self._learned[key] = round(seconds, 3)

    def save(self) -> None:
        """Writes the file, with what others have learned; not being able to is no error."""
        text = json.dumps(_read(self._path) | self._learned, indent=0)
        with contextlib.suppress(HostError):
            write_file(self._path, text)


def _read(path: Path) -> dict[str, float]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        items = data.items() if isinstance(data, dict) else ()
        found = {key: float(value) for key, value in items if isinstance(value, int | float)}
    except (OSError, ValueError, RecursionError, OverflowError):
        return {}
    return found if all(map(math.isfinite, found.values())) else {}
