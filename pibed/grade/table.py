"""The teacher's table: `grades.csv`, a row a submission."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from pibed.grade.marks import Graded, text
from pibed.model.rubric import Scheme


def to_csv(scheme: Scheme, rows: Sequence[Graded]) -> str:
    """A row a submission, a column a criterion; penalties and numbers behind them."""
    criteria = ["build", *(name for name, _, _ in scheme.criteria())]
    measurements = [name for name, _, _ in scheme.measurements()]
    kinds = ["crash", "hang", "leak", "race"]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        [
            *("submission", "status", "total", "of"),
            *criteria,
            *measurements,
            *(f"penalty_{kind}" for kind in kinds),
            *(f"{name}_value" for name in measurements),
            *("problem", "digest"),
        ]
    )
    for row in rows:
        points = {mark.name: text(mark.points) for mark in row.marks}
        penalties = {mark.name: text(mark.points) for mark in row.penalties}
        writer.writerow(
            [
                _plain(row.name),
                status(row),
                "" if row.total is None else text(row.total),
                text(row.most),
                *(points[name] for name in (*criteria, *measurements)),
                *(penalties.get(kind, "0") for kind in kinds),
                *(f"{row.measured[n]:g}" if n in row.measured else "" for n in measurements),
                _plain(row.problem),
                row.digest[:16],
            ]
        )
    return file.getvalue()


def status(row: Graded) -> str:
    """What became of a submission, in a word or two."""
    if row.is_reference:
        return "reference"
    if row.total is None:
        return "not graded"
    return "does not build" if row.problem else "graded"


def _plain(text: str) -> str:
    """Nothing that a spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
