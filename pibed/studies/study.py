"""What a study is to the rest: what it says and draws of a run, and what it shows beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pibed.report.page import Commentary
from pibed.report.table import Table
from pibed.runs.reading import Run


@dataclass(frozen=True)
class Shown:
    """What is to be shown of a run and a study: tables, then lines."""

    tables: tuple[Table, ...]
    lines: tuple[str, ...]


class Study(Commentary, Protocol):
    """Published numbers and findings that a run can be compared with."""

    def compared(self, run: Run) -> Shown:
        """The run beside the study; raises UsageError for one of another study or no samples."""
