"""What the host and the guest's agent say to each other: commands, and how they ended."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass

from pibed.base.errors import printable
from pibed.model.counts import Counts

# The agent's last line.
DONE = "@@pibed done"

NOT_RUN = (126, 127)
"""A shell's exit statuses for a command that cannot be run, and for one that is not there."""


@dataclass(frozen=True)
class Command:
    """One line for the agent: run `line` in a shell for at most `seconds` of guest time."""

    id: str
    seconds: float
    line: str

    def __str__(self) -> str:
        seconds = f"{self.seconds:f}".rstrip("0").rstrip(".")
        return f"{self.id} {seconds} {self.line}"


@dataclass(frozen=True)
class Result:
    """How a command ended: exit status and output, each line of it without its end."""

    id: str
    status: int
    timed_out: bool
    truncated: bool
    output: tuple[str, ...]
    counts: Counts | None = None
    """What was counted while it ran, where something is."""

    @property
    def text(self) -> str:
        """The output as one text."""
        return "\n".join(self.output)

    @property
    def ending(self) -> str:
        """The exit status in words, with the signal that it stands for, if it does."""
        ending = f"ended with status {self.status}"
        with contextlib.suppress(ValueError):
            ending += f" ({signal.Signals(self.status - 128).name})"
        return ending

    @property
    def words(self) -> str:
        """The last lines of the output, fit for a message; it may be empty."""
        return printable("; ".join(self.output[-3:])[:200])
