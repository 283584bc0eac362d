"""All files of a grading that are made of its marks; the same marks give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pibed.base.files import write_file
from pibed.grade import table
from pibed.grade.marks import Graded
from pibed.model.rubric import Scheme


def write(folder: Path, scheme: Scheme, rows: Sequence[Graded]) -> None:
    """Writes the table and what each submission gets; raises HostError when that is impossible."""
    write_file(folder / "grades.csv", table.to_csv(scheme, rows))
