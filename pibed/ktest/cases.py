"""The tests of a suite: read from the C sources of its programs, and chosen by name."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import UsageError

# As module/tests/lib/ktap.h asks for it: `static const struct ktap_case cases[] = { … };`.
_TABLE = re.compile(r"\bstruct\s+ktap_case\s+\w+\s*\[\s*\]\s*=\s*\{(.*?)\}\s*;", re.DOTALL)

_ENTRY = re.compile(r"\{([^{}]*)\}")

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)

_NAME = re.compile(r'\.name\s*=\s*"([^"]+)"')


@dataclass(frozen=True)
class TableEntry:
    """One entry of a program's table: its program and name, and what it says of its duration."""

    program: str
    name: str
    timed: bool
    """Runs for a time that is set, see `stress_s` of a suite."""
    slow: bool
    """Has a deadline of its own."""

    def __str__(self) -> str:
        return f"{self.program}.{self.name}"


def read_tests(sources: Sequence[Path]) -> list[TableEntry]:
    """All tests of programs, given by their C files, in the order in which they run.

    Raises UsageError for a file that cannot be read or has no table.
    """
    found: list[TableEntry] = []
    for path in sources:
        try:
            text = _COMMENT.sub(" ", path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: {error}") from None
        table = _TABLE.search(text)
        entries = _ENTRY.findall(table[1]) if table is not None else []
        if not entries or any(_NAME.search(entry) is None for entry in entries):
            raise UsageError(
                f"{path}: it has no table of its cases",
                fix="write one as `static const struct ktap_case cases[] = { { .name = …, … }, };`",
            )
        found += [
            TableEntry(path.stem, name[1], ".timed" in entry, ".timeout_s" in entry)
            for entry in entries
            if (name := _NAME.search(entry)) is not None
        ]
    return found


def choose(tests: Sequence[TableEntry], given: str | None) -> list[TableEntry]:
    """The tests that `--tests` names: programs, tests or patterns with commas; all if None.

    Raises UsageError for a pattern that matches none.
    """
    if given is None:
        return list(tests)
    patterns = [part.strip() for part in given.split(",")]
    programs = list(dict.fromkeys(test.program for test in tests))
    if "" in patterns:
        raise UsageError(
            f"--tests {given}: a name is missing",
            fix=f"separate names by commas: --tests {','.join(programs[:2])}",
        )
    for pattern in patterns:
        if not any(_matches(test, pattern) for test in tests):
            names = [*programs, *map(str, tests), *(test.name for test in tests)]
            near = list(dict.fromkeys(difflib.get_close_matches(pattern, names, 3)))
            raise UsageError(
                f"--tests {given}: no test is called {pattern}"
                + (f"; near are: {', '.join(near)}" if near else ""),
                fix=f"name programs ({', '.join(programs)}) or patterns such as '{programs[0]}.*'",
            )
    return [test for test in tests if any(_matches(test, pattern) for pattern in patterns)]


def _matches(test: TableEntry, pattern: str) -> bool:
    return test.program == pattern or fnmatch.fnmatchcase(str(test), pattern)
