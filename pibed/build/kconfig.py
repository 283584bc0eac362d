"""Kconfig fragments: merged into a configuration, and checked against what came of it.

Linux, BusyBox and Buildroot drop an option in silence when it does not exist or when something it
depends on is off. Here that is an error that names the line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import BuildError, UsageError

# Buildroot's options have their own beginning.
_SYMBOL = r"(?:CONFIG|BR2)_\w+"

_LINE = re.compile(rf"^(?:({_SYMBOL})=(.*)|# ({_SYMBOL}) is not set)$")


@dataclass(frozen=True)
class Request:
    """One line of a fragment: the value asked for (`n` for "is not set"), and where."""

    symbol: str
    value: str
    path: Path
    line: int

    def __str__(self) -> str:
        return f"# {self.symbol} is not set" if self.value == "n" else f"{self.symbol}={self.value}"


def read_fragments(paths: Sequence[Path]) -> dict[str, Request]:
    """What the fragments ask for, by symbol; a later line replaces an earlier one.

    Raises UsageError for a missing file and for a line that is neither an option nor a comment.
    """
    requests: dict[str, Request] = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise UsageError(f"{path}: there is no such fragment") from None
        except UnicodeDecodeError:
            raise UsageError(f"{path}: it is no text, as a fragment is") from None
        for number, line in enumerate(text.splitlines(), start=1):
            if match := _LINE.match(line.strip()):
                symbol = match[1] or match[3]
                requests[symbol] = Request(symbol, match[2] if match[1] else "n", path, number)
            elif line.strip() and not line.startswith("#"):
                raise UsageError(
                    f"{path}:{number}: expected CONFIG_NAME=value or '# CONFIG_NAME is not set', "
                    f"not {line.strip()!r}"
                )
    return requests


def read_config(path: Path) -> dict[str, str]:
    """The symbols of a `.config` and their values (`n` for "is not set")."""
    values: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := _LINE.match(line):
            values[match[1] or match[3]] = match[2] if match[1] else "n"
    return values


def merge(config: Path, requests: dict[str, Request]) -> None:
    """Replaces in a `.config` the lines of all symbols that are asked for."""
    kept = [
        line
        for line in config.read_text(encoding="utf-8").splitlines()
        if not ((match := _LINE.match(line)) and (match[1] or match[3]) in requests)
    ]
    lines = kept + [str(request) for request in requests.values()]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")


def check(config: Path, requests: dict[str, Request]) -> None:
    """Raises BuildError that names each requested line which did not survive into `config`."""
    values = read_config(config)
    lost = [
        f"{request.path}:{request.line}: {request} became "
        + (
            f"{request.symbol}={got}"
            if (got := values.get(request.symbol, "n")) != "n"
            else "unset"
        )
        for request in requests.values()
        if values.get(request.symbol, "n") != request.value
    ]
    if lost:
        raise BuildError(
            "the configuration does not hold what was asked for:\n  " + "\n  ".join(lost),
            fix="add what the option depends on, or remove the line",
        )
