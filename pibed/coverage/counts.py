"""How often each line and branch of the user's files was reached, over all boots together.

By GCC's gcov, which reads what the compiler noted and what the guests counted. Both are made of
what users wrote: it runs where that is built.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pibed.base.errors import BuildError
from pibed.build import reads
from pibed.build.debian.modules import NOTES
from pibed.build.mirror import files_of, named
from pibed.build.payload import Payload
from pibed.build.sandbox import Sandbox


@dataclass
class LineCounts:
    """A line in one function: how often it was reached, and each branch that begins there."""

    count: int = 0
    branches: list[int] = field(default_factory=list)


@dataclass
class FileCounts:
    """A source file's lines, by their numbers and the functions that have them, and functions."""

    lines: dict[tuple[int, str], LineCounts] = field(default_factory=dict)
    functions: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The line where each begins, and how often it was called."""


@dataclass(frozen=True)
class Sources:
    """The files of the folders of a payload's modules, as they were when these were built."""

    names: Mapping[str, str]
    """What the compiler calls them, and what they are called in records; see
    `pibed.build.reads.name_of`."""
    texts: Mapping[str, bytes]
    """By what the compiler calls them."""


def sources(payload: Payload) -> Sources:
    """Reads them; raises OSError for what cannot be read."""
    paths = {
        f"{named(folder, payload.root)}{name}": folder / name
        for folder in payload.folders
        for name in files_of(folder)
    }
    return Sources(
        {name: reads.name_of(path, payload.root) for name, path in paths.items()},
        {name: path.read_bytes() for name, path in paths.items()},
    )


def notes(modules: Iterable[Path]) -> dict[str, Path]:
    """The compiler's notes about modules that were built to be counted.

    By their paths in what was built; `modules` are the `.ko` files.
    """
    folders = dict.fromkeys(module.parent / NOTES for module in modules)
    return {
        path.relative_to(folder).as_posix(): path
        for folder in folders
        for path in sorted(folder.rglob("*.gcno"))
    }


def summed(
    boots: Sequence[Path],
    notes: Mapping[str, Path],
    known: Sources,
    gcov: str,
    sandbox: Sandbox,
) -> dict[str, FileCounts]:
    """The counts of all boots, whose folders are given, by what the compiler calls the files.

    Files that are not of the modules' own folders, such as the kernel's headers, are left out.
    Raises HostError if there is no `gcov`, BuildError for counts that are none.
    """
    files: dict[str, FileCounts] = {}
    for boot in boots:
        for name, note in notes.items():
            counted = boot / f"{name.removesuffix('.gcno')}.gcda"
            if counted.is_file():
                for entry in _told(note, counted, gcov, sandbox):
                    if entry["file"] in known.names:
                        _add(files.setdefault(entry["file"], FileCounts()), entry)
    return dict(sorted(files.items()))


def _told(note: Path, counted: Path, gcov: str, sandbox: Sandbox) -> list[dict[str, Any]]:
    """What gcov says of an object file: the element `files` of its JSON, see gcov(1)."""
    with tempfile.TemporaryDirectory(prefix="pibed-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for path in (note, counted):
            shutil.copyfile(path, folder / path.name)
        argv = [gcov, "--json-format", "--branch-probabilities", "--stdout", counted.name]
        text = sandbox.capture(argv, readable=[], sources=folder, cwd=folder)
    try:
        found: list[dict[str, Any]] = json.loads(text)["files"]
    except (ValueError, KeyError):
        raise BuildError(f"{counted}: {gcov} can say nothing of it") from None
    return found


def _add(total: FileCounts, entry: Mapping[str, Any]) -> None:
    for each in entry["functions"]:
        _, before = total.functions.get(each["name"], (0, 0))
        total.functions[each["name"]] = (each["start_line"], before + each["execution_count"])
    for each in entry["lines"]:
        key = (each["line_number"], each.get("function_name", ""))
        line = total.lines.setdefault(key, LineCounts())
        line.count += each["count"]
        taken = [branch["count"] for branch in each["branches"]]
        line.branches = [sum(pair) for pair in zip_longest(line.branches, taken, fillvalue=0)]
