"""Events that the timing plugin counts, and what it has counted of a command.

A program marks where it is by instructions that do nothing; at each mark the plugin writes down how
often every event has happened since QEMU's start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Event = Literal[
    "instructions",
    "cycles",
    "l1i_misses",
    "l1d_misses",
    "l2_misses",
    "utlb_misses",
    "tlb_walks",
    "branch_misses",
]
"""What happens in the guest's CPU: kernel and user space, and all processes, count."""

PHASES = 31
"""How many phases a program can have; their numbers begin with 0."""

BEGIN, END = 0x80, 0x81
"""The marks at which the agent begins and ends a command."""


def marks_of(phase: int | None) -> tuple[int, int]:
    """The marks at which a phase of a program begins and ends, or the whole command."""
    return (BEGIN, END) if phase is None else (0x82 + 2 * phase, 0x83 + 2 * phase)


@dataclass(frozen=True)
class Window:
    """What a profile is of, and what the plugin must know of the kernel to follow its threads."""

    command: int
    """The number of a command among all of the agent's, from 1 on."""
    phase: int | None
    switch_to: tuple[int, int]
    """First address of the kernel's function that switches threads, and the one behind it."""
    exec: int
    """Address of what the kernel enters when a process gets another program."""

    def __str__(self) -> str:
        """As the plugin takes it."""
        numbers = (self.command, *marks_of(self.phase), *self.switch_to, self.exec)
        return ":".join(map(str, numbers))


@dataclass(frozen=True)
class Mark:
    """A mark: its code, and how often each event had happened by then."""

    code: int
    values: Mapping[str, int]


@dataclass(frozen=True)
class Counts:
    """The marks of one command, in their order."""

    marks: tuple[Mark, ...]

    def of(self, event: Event, phase: int | None = None) -> int:
        """How often an event has happened in the command, or in a phase of it.

        A phase that was run through several times is summed up. Raises ValueError that says what
        is missing.
        """
        begin, end = marks_of(phase)
        what = "the command" if phase is None else f"phase {phase}"
        total, found, since = 0, False, None
        for mark in self.marks:
            if mark.code == begin:
                if since is not None:
                    raise ValueError(f"{what} began again before it had ended")
                since = mark.values[event]
            elif mark.code == end:
                if since is None:
                    raise ValueError(f"{what} ended without having begun")
                total, found, since = total + mark.values[event] - since, True, None
        if since is not None:
            raise ValueError(f"{what} began, but its end was not marked")
        if not found:
            raise ValueError(f"{what} was not marked: no count of {event}")
        return total
