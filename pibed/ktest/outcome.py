"""What came of a case."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pibed.ktest.ktap import CaseStatus

MODULE = "module"
"""In the place of a program: what is done with the module around the cases."""


@dataclass(frozen=True)
class CaseOutcome:
    """What came of a case in a variant, and how many seconds it took."""

    variant: str
    case: str
    """`<program>.<name>`."""
    status: CaseStatus
    seconds: float
    message: str = ""
    """Why it failed or was skipped, in one line."""
    details: tuple[str, ...] = ()
    """The program's notes, or the kernel's trace with source positions."""
    logs: Path | None = None
    """The folder of the boot."""

    @property
    def program(self) -> str:
        """The case's program."""
        return self.case.partition(".")[0]

    @property
    def name(self) -> str:
        """The case's name in its program."""
        return self.case.partition(".")[2]
