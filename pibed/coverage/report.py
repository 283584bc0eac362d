"""Coverage for people and programs, by gcovr: a page, a file for lcov's readers, and numbers."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pibed.base import process
from pibed.base.errors import HostError
from pibed.base.files import write_file
from pibed.coverage.counts import FileCounts, Sources

PAGE, TRACEFILE = "coverage.html", "coverage.info"
"""The files of a report."""

_TIMEOUT_S = 120.0

# What the page says of when it was made: the same bytes are wanted whenever that is.
_MADE = "at 1970-01-01 00:00:00+00:00"


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    reached: int
    total: int

    @property
    def percentage(self) -> float:
        """100 if there is nothing to be reached."""
        return 100 * self.reached / self.total if self.total else 100.0

    def is_under(self, percentage: int) -> bool:
        """Whether it is less, without rounding."""
        return 100 * self.reached < percentage * self.total

    def __str__(self) -> str:
        # As the page has it: never "100.0 %" of what is not all.
        shown = self.percentage if self.reached == self.total else min(self.percentage, 99.9)
        return f"{shown:.1f} % of {self.total}"


@dataclass(frozen=True)
class Coverage:
    """What was reached of the modules' lines and branches."""

    lines: Share
    branches: Share
    missed: Mapping[str, list[int]]
    """The lines that were not reached, by the names of files in records."""

    def __str__(self) -> str:
        return f"reached: {self.lines} lines, {self.branches} branches"


def require_gcovr() -> None:
    """Raises HostError where it is not installed."""
    if importlib.util.find_spec("gcovr") is None:
        raise HostError("gcovr, a package of Python's, is not installed", fix="pip install gcovr")


def write(files: Mapping[str, FileCounts], known: Sources, title: str, folder: Path) -> Coverage:
    """Writes the page and the tracefile into a folder, and says what they show.

    Raises HostError if they cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="pibed-") as name:
        work = Path(name)
        for file in files:
            target = work / "sources" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(known.texts[file])
        (work / "sources").mkdir(exist_ok=True)
        (work / "counts.json").write_text(json.dumps(_tracefile(files, known)), encoding="utf-8")
        process.capture(
            [
                *(sys.executable, "-m", "gcovr", "--root", str(work / "sources")),
                *("--json-add-tracefile", str(work / "counts.json"), "--merge-lines"),
                *("--html-details", str(work / PAGE), "--html-title", title),
                *("--html-single-page", "--html-static-report", "--html-self-contained"),
                *("--html-tab-size", "8", "--timestamp", "0"),
                *("--lcov", str(work / TRACEFILE), "--lcov-comment", "pibed"),
                *("--json-summary", str(work / "summary.json")),
            ],
            cwd=work,
            timeout_s=_TIMEOUT_S,
        )
        page = (work / PAGE).read_text(encoding="utf-8").replace(_MADE, "")
        tracefile = "".join(_renamed(work / TRACEFILE, work / "sources", known))
        summary = json.loads((work / "summary.json").read_text(encoding="utf-8"))
    write_file(folder / PAGE, page)
    write_file(folder / TRACEFILE, tracefile)
    return Coverage(
        Share(summary["line_covered"], summary["line_total"]),
        Share(summary["branch_covered"], summary["branch_total"]),
        {
            known.names[file]: missed
            for file, counts in files.items()
            if (missed := _missed(counts))
        },
    )


def _renamed(tracefile: Path, root: Path, known: Sources) -> Iterator[str]:
    """The lines of the tracefile with the names that the user's files have in records."""
    for line in tracefile.read_text(encoding="utf-8").splitlines():
        key, _, path = line.partition(":")
        if key == "SF":
            name = Path(path)
            file = name.relative_to(root) if name.is_absolute() else name
            yield f"SF:{known.names[file.as_posix()]}\n"
        else:
            yield f"{line}\n"


def _missed(counts: FileCounts) -> list[int]:
    reached = {number for (number, _), line in counts.lines.items() if line.count}
    return sorted({number for number, _ in counts.lines} - reached)


def _digest(text: bytes, number: int) -> str:
    """Of a line, as lcov's tracefiles have it."""
    lines = text.splitlines()
    line = lines[number - 1] if number <= len(lines) else b""
    return hashlib.md5(line, usedforsecurity=False).hexdigest()


def _tracefile(files: Mapping[str, FileCounts], known: Sources) -> dict[str, object]:
    """In gcovr's own form, which it reads again (see "JSON Output" in its documentation)."""
    from gcovr.data_model.version import FORMAT_VERSION

    return {
        "gcovr/format_version": FORMAT_VERSION,
        "files": [
            {
                "file": name,
                "lines": [
                    {
                        "line_number": number,
                        "function_name": function,
                        "count": line.count,
                        "gcovr/md5": _digest(known.texts[name], number),
                        "branches": [
                            {
                                "branchno": index,
                                "count": taken,
                                "fallthrough": False,
                                "throw": False,
                                "source_block_id": 0,
                            }
                            for index, taken in enumerate(line.branches)
                        ],
                    }
                    for (number, function), line in sorted(counts.lines.items())
                ],
                "functions": [
                    {
                        "name": function,
                        "lineno": number,
                        "execution_count": called,
                        "blocks_percent": 0.0,
                    }
                    for function, (number, called) in sorted(counts.functions.items())
                ],
            }
            for name, counts in files.items()
        ],
    }
