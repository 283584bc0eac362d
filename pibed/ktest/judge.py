"""What is made of what a guest printed: verdicts on cases, and leaks by who caused them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from pibed.ktest import ktap
from pibed.ktest.ktap import CaseStatus
from pibed.model.protocol import Result

_TIME = re.compile(r"time (\d+\.\d+) s")


def leaks_by_owner(lines: Sequence[str]) -> dict[str, list[str]]:
    """Kmemleak's report by the process that allocated (see Linux, dev-tools/kmemleak.rst)."""
    reports: dict[str, list[str]] = {}
    block: list[str] = []
    for line in lines:
        if line.startswith("unreferenced object"):
            block = [line]
        elif match := re.match(r' *comm "([^"]*)", pid', line):
            reports.setdefault(match[1], []).extend([*block, line])
            block = reports[match[1]]
        else:
            block.append(line)
    return reports


class Verdict(NamedTuple):
    """What a program's output says of a case."""

    status: CaseStatus
    seconds: float
    message: str
    notes: tuple[str, ...]


def judge(result: Result, names: Sequence[str]) -> list[Verdict]:
    """Status, seconds, message and notes of each case, from what its program printed.

    Ends with the first that failed. Whatever is wrong with the output fails the case at which it
    is.
    """
    document = ktap.parse(result.output)
    verdicts: list[Verdict] = []
    for each, name in zip(document.results, names, strict=False):
        if each.name != name:
            message = f"not KTAP: expected a result of {name}, not of {each.name!r}"
            return [*verdicts, _failed(message, result)]
        seconds = sum(float(match[1]) for match in map(_TIME.fullmatch, each.notes) if match)
        notes = tuple(note for note in each.notes if not _TIME.fullmatch(note))
        message = each.reason
        if each.status == CaseStatus.FAILED:
            message = notes[0] if notes else "no reason given"
        verdicts.append(Verdict(each.status, seconds, message, notes))
        if each.status == CaseStatus.FAILED:
            return verdicts
    if (problem := _problem(result, document, len(names))) is not None:
        return [*verdicts[: len(names) - 1], _failed(problem, result)]
    if result.status != 0:
        message = f"everything passed, and yet status {result.status}"
        return [*verdicts[:-1], _failed(message, result)]
    return verdicts


def _problem(result: Result, document: ktap.Document, expected: int) -> str | None:
    """Why there are not as many results as expected, if so."""
    if result.timed_out:
        return "killed at the deadline"
    if result.truncated:
        return "more than 64 KiB were printed"
    if document.problem is not None:
        # What the program said before it ended is what was found; its form comes second.
        found = next((note for note in document.notes if not _TIME.fullmatch(note)), None)
        problem = f"not KTAP: {document.problem}"
        return problem if found is None else f"{found} ({problem})"
    if (count := len(document.results)) != expected:
        return f"not KTAP: {count} results instead of {expected}"
    return None


def _failed(message: str, result: Result) -> Verdict:
    return Verdict(CaseStatus.FAILED, 0.0, message, result.output)
