"""What a study is to the rest: what it says in a run's report, and what it shows beside a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pibed.report.page import Part
from pibed.report.table import Table
from pibed.runs.reading import Run


@dataclass(frozen=True)
class Shown:
    """What is to be shown of a run and a study: tables, then lines."""

    tables: tuple[Table, ...]
    lines: tuple[str, ...]


class Study(Protocol):
    """Published numbers and findings that a run can be compared with."""

    def reported(self, run: Run) -> Part:
        """What a run's report says of the study; no lines for a run that is not of it."""

    def compared(self, run: Run) -> Shown:
        """The run beside the study; raises UsageError for one of another study or no samples."""
