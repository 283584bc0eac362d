"""KTAP, what test programs print: parsed and held against its own plan.

See Documentation/dev-tools/ktap.rst of Linux.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class CaseStatus(StrEnum):
    """What came of a case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


_RESULT = re.compile(r"(ok|not ok) (\d+)(?:(?: -)? (?P<name>[^#]*?))?(?: *# *(?P<directive>.*))?")

_PLAN = re.compile(r"1\.\.(\d+)(?:\s.*)?")

_VERSION = re.compile(r"K?TAP version \d+")


@dataclass(frozen=True)
class KtapResult:
    """One line of result: `reason` is that of a skip, `notes` are the lines before it."""

    name: str
    status: CaseStatus
    reason: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """What a program printed: its results, and why they are not all that it planned, if so.

    `notes` are those after the last result.
    """

    results: tuple[KtapResult, ...]
    problem: str | None
    notes: tuple[str, ...]


def parse(lines: Sequence[str]) -> Document:
    """The results of one program without subtests, up to where it is not KTAP any more.

    A document has a problem when the version or the plan is missing, when its results are not
    numbered 1, 2, … up to the plan, and when the program has bailed out.
    """
    results: list[KtapResult] = []
    notes: list[str] = []
    planned: int | None = None
    problem: str | None = None
    if not any(_VERSION.fullmatch(line.strip()) for line in lines):
        problem = "there is no line 'KTAP version 1'"
    for line in lines:
        if line.startswith("Bail out!"):
            problem = problem or line
        elif match := _PLAN.fullmatch(line):
            planned = int(match[1])
        elif match := _RESULT.fullmatch(line):
            if int(match[2]) != len(results) + 1:
                problem = problem or f"expected result {len(results) + 1}, not '{line}'"
                break
            results.append(_result(match, tuple(notes)))
            notes.clear()
        elif not _VERSION.fullmatch(line):
            notes.append(line.removeprefix("# "))
    if planned is None:
        problem = problem or "there is no plan (a line such as '1..4')"
    elif planned != len(results):
        problem = problem or f"{len(results)} of {planned} results are there"
    return Document(tuple(results), problem, tuple(notes))


def _result(match: re.Match[str], notes: tuple[str, ...]) -> KtapResult:
    directive = match["directive"] or ""
    word, _, rest = directive.partition(" ")
    status = CaseStatus.PASSED if match[1] == "ok" else CaseStatus.FAILED
    # TODO marks a failure that is expected; nothing here may be expected to fail.
    if status == CaseStatus.PASSED and word.upper() == "SKIP":
        status = CaseStatus.SKIPPED
    return KtapResult((match["name"] or "").strip(), status, rest.strip(), notes)
