"""All files of a grading that are made of its marks; the same marks give the same bytes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pibed.base.files import write_file
from pibed.grade import feedback, gradescope, overview, table
from pibed.grade.feedback import Feedback
from pibed.grade.marks import Graded
from pibed.ktest import junit
from pibed.ktest.ktap import CaseStatus
from pibed.ktest.outcome import CaseOutcome
from pibed.model.rubric import Scheme
from pibed.report.page import fenced, markdown

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"


def write(folder: Path, scheme: Scheme, rows: Sequence[Graded], units: dict[str, str]) -> None:
    """Writes the tables, and what each submission gets; raises HostError where it cannot.

    `units` has the unit of each measurement.
    """
    for row in rows:
        own = folder / "submissions" / row.slug
        write_feedback(own, scheme, row, feedback.of(scheme, row))
    write_file(folder / "grades.csv", table.to_csv(scheme, rows))
    write_file(folder / "junit.xml", junit.to_xml(scheme.rubric.title, list(_outcomes(rows))))
    script = (_TEMPLATES / "sort.js").read_text(encoding="utf-8")
    page = overview.of(scheme, rows, units)
    write_file(folder / "grades.html", _render("grades.html", page=page, script=script))


def write_feedback(folder: Path, scheme: Scheme, row: Graded, told: Feedback) -> None:
    """Writes a student's pages, and the same as Gradescope reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in feedback.NAMES:
        write_file(folder / name, _render(name, told=told, lines=feedback.lines))
    write_file(folder / "results.json", gradescope.results(scheme, row, told))


def _render(name: str, script: str = "", **values: object) -> str:
    from markupsafe import Markup

    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() if script else ""
    template = _environment(name.endswith(".html")).get_template(f"{name}.j2")
    # The script is pibed's own; all else is somebody's words.
    return template.render(script=Markup(script), script_digest=digest, **values)


@cache
def _environment(escaped: bool) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = markdown
    environment.filters["fenced"] = fenced
    return environment


def _outcomes(rows: Sequence[Graded]) -> Iterator[CaseOutcome]:
    for row in rows:
        for mark in row.marks:
            for item in mark.items:
                status = CaseStatus.PASSED if item.passed else CaseStatus.FAILED
                message = "" if item.passed else item.seen
                name = f"{mark.name}.{item.name}"
                yield CaseOutcome(row.name, name, status, 0.0, message, item.details)
