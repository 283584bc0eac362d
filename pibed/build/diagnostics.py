"""What compilers, linkers and make say is wrong, as whoever wrote the files needs it.

The forms are those of GCC, binutils, GNU make and the kernel's modpost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pibed.base.errors import BuildError

Locate: TypeAlias = Callable[[str], Path | None]
"""The user's file that a program knows by a path; None for any other."""

# A file at which a diagnostic is, and before it how that was included.
_PLACE = re.compile(
    r"^(In file included from |\s+from )?([^\s'\"].*?)"
    r"(?=:\d+[:,]|:\(\.|: In function|: At top level)"
)

_ERRORS = re.compile(
    r"^\S.*?:\d+(?::\d+)?: (?:fatal )?error: "  # a compiler
    r"|^\S.*: (?:fatal )?error: (?!ld returned)"  # the compiler's driver, without a place
    r"|^\S.*: undefined reference to |^\S.*: multiple definition of |^\S*ld: cannot find "
    r"|^ERROR: modpost: |^\S.*?:\d+: \*\*\* |^make.*: \*\*\* No rule to make target "
)

# What follows an error and is about it: source lines with marks, notes.
_MORE = re.compile(r"^\s+\d* \||^\S.*?:\d+(?::\d+)?: note: ")

# What is not: with it the next one begins.
_BEFORE = re.compile(r"^In file included from |^\s+from |^\S.*?: (?:In function|At top level)")

# Where the linker is says nothing.
_LINKER = re.compile(r"^\S*/(\S*ld: )")

_SHOWN = 20


@dataclass(frozen=True)
class Found:
    """What is wrong: the first error, and how many more there are; all lines about them."""

    message: str
    context: list[str]


def explained(
    error: BuildError, what: str, locate: Locate, words: Callable[[str], str] = str
) -> BuildError:
    """An error of a build of `what`, with the first error of the compiler, and all as context.

    `words` puts the user's paths into a line. What is no diagnostic stays as it is, but for that.
    """
    found = find(printed(error), locate, words) or Found(
        error.message, [words(line) for line in error.context]
    )
    return BuildError(
        f"{what} cannot be built: {found.message}",
        fix=error.fix,
        log=error.log,
        context=found.context,
    )


def find(
    lines: Sequence[str],
    locate: Locate,
    words: Callable[[str], str] = str,
    *,
    only_located: bool = False,
) -> Found | None:
    """The errors in what was printed; with `only_located` those in files of the user's only.

    None if there is none.
    """
    found: list[list[str]] = []
    messages: list[str] = []
    lead: list[str] = []
    is_error = False
    for line in lines:
        place = _PLACE.match(line)
        path = locate(place[2]) if place is not None else None
        shown = words(line)
        if place is not None and path is not None:
            shown = f"{place[1] or ''}{path}{words(line[place.end() :])}"
        if _ERRORS.match(line):
            is_error = path is not None or not only_located
            if is_error:
                messages.append(_LINKER.sub(r"\1", shown))
                found.append([*lead, messages[-1]])
            lead = []
        elif is_error and _MORE.match(line):
            found[-1].append(shown)
        else:
            is_error = False
            lead = [*lead, shown] if _BEFORE.match(line) else []
    if not found:
        return None
    others = len(found) - 1
    more = "" if not others else f" (and {others} more error{'s' if others > 1 else ''})"
    context = [line for block in found for line in block]
    if len(context) > _SHOWN:
        context = [*context[:_SHOWN], f"… and {len(context) - _SHOWN} more lines"]
    return Found(f"{messages[0]}{more}", context)


def printed(error: BuildError) -> Sequence[str]:
    """All that the program printed that failed."""
    if error.log is None or not error.log.is_file():
        return error.context
    text = error.log.read_text(encoding="utf-8", errors="replace")
    # Each program's output begins with its command line.
    return text.rpartition("\n$ ")[2].splitlines()
