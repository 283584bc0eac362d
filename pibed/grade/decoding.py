"""What the kernel said of a case, with files and lines: by who has its symbols.

A boot does not need those. So it may run on a machine that has none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pibed.base.errors import printable
from pibed.build.images import Images
from pibed.grade.records import CaseResult, ChainResult, Said, Telling
from pibed.guest import trace

_MOST_LINES = 200


def decoded(result: ChainResult, images: Images, folder: str) -> ChainResult:
    """The result with all that the kernel said of its cases in their details.

    `folder` is how the module's files begin in what places are decoded to.
    """

    def read(case: CaseResult) -> CaseResult:
        if case.said is None:
            return case
        return replace(case, details=shown(_read(case.said, images), folder), said=None)

    return replace(result, cases=tuple(map(read, result.cases)))


def shown(lines: Sequence[str], folder: str) -> tuple[str, ...]:
    """Details as people read them: files by their names in a submission."""
    place = f"({folder}/"
    return tuple(printable(line.replace(place, "(")) for line in lines[:_MOST_LINES])


def _read(said: Said, images: Images) -> Sequence[str]:
    match said.telling:
        case Telling.END:
            return trace.excerpt(said.lines, images) if said.lines else ()
        case Telling.BLOCKED:
            return trace.blocked(said.lines, images)
    return trace.decode(said.lines, images)
