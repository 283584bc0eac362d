"""What came of a case."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pibed.ktest.ktap import CaseStatus

MODULE = "module"
"""In the place of a program: what is done with the module around the cases."""


class Loss(Enum):
    """How a guest was lost, so that its console's log says why."""

    BOOTING = "before it could be given a command"
    RUNNING = "over a command"
    BLOCKED = "over a command that sleeps in the kernel for ever"


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
    loss: Loss | None = None
    """Whether the guest was lost: the kernel's last words are the details then, see `decoded`."""
    leaks: tuple[str, ...] = ()
    """Lines of the kernel's reports on memory that the case has leaked, as they were printed."""

    @property
    def program(self) -> str:
        """The case's program."""
        return self.case.partition(".")[0]

    @property
    def name(self) -> str:
        """The case's name in its program."""
        return self.case.partition(".")[2]
