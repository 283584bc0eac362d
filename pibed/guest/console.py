"""The kernel's console: read to its end, and watched for the words of a dying kernel."""

from __future__ import annotations

import re
import socket
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pibed.base.errors import printable


class Kind(StrEnum):
    """The ways in which a kernel dies."""

    PANIC = "panic"
    OOPS = "oops"
    """A bug of its own: oops, BUG, or what a detector of the debug kernel found."""
    WARNING = "warning"
    HANG = "hang"


# The first line that matches names the kind: an oops ends in a panic, and is still an oops.
# See arch/arm/kernel/traps.c, kernel/panic.c, kernel/watchdog.c, kernel/hung_task.c of Linux.
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        Kind.HANG,
        re.compile(r"BUG: soft lockup|INFO: task .* blocked for more than|rcu.*INFO: .*stall"),
    ),
    (
        Kind.OOPS,
        re.compile(
            r"Internal error: |Unable to handle kernel |kernel BUG at |\bBUG: "
            # A freed page was written to (mm/page_poison.c); undefined behaviour (lib/ubsan.c).
            r"|pagealloc: (memory corruption|single bit error)|\bUBSAN: "
            # SLUB (mm/slub.c); a lock without initialisation (kernel/locking/lockdep.c).
            r"|\bBUG \S+ \(|INFO: trying to register non-static key"
        ),
    ),
    (Kind.WARNING, re.compile(r"\bWARNING: |panic_on_warn set")),
    (Kind.PANIC, re.compile(r"Kernel panic - not syncing")),
)

# A line of the kernel's log has a time stamp; what else is on the line cannot kill.
_STAMP = re.compile(r"^\[ *\d+\.\d+\] ")

_LONGEST_LINE = 4096

# To be shown: before a death, and of it.
_LINES_BEFORE = 15
_LINES_OF_DEATH = 30

# In which the kernel says where its tasks sleep.
_LINES_KEPT = 80

# Registers and the stack come before the calls.
_LINES_OF_TRACE = 200


@dataclass(frozen=True)
class Death:
    """Why the kernel cannot be trusted any more, and the line that said so."""

    kind: Kind
    line: str


def diagnose(line: str) -> Death | None:
    """What one line of the console says about the kernel's end, if anything."""
    if not _STAMP.match(line):
        return None
    for kind, pattern in _PATTERNS:
        if pattern.search(line):
            return Death(kind, _STAMP.sub("", line))
    return None


def trace_in(lines: Sequence[str]) -> list[str]:
    """The lines of a console's log from the one that tells of the kernel's end; none without."""
    for number, line in enumerate(lines):
        if diagnose(line) is not None:
            return list(lines[number:])
    return []


def told_in(log: bytes) -> tuple[bool, list[str]]:
    """Whether a console's log tells of the kernel's end, and its `trace_lines`."""
    lines = [line for raw in log.split(b"\n") if (line := _readable(raw))]
    if trace := trace_in(lines):
        return True, trace[:_LINES_OF_TRACE]
    return False, lines[-_LINES_KEPT:]


def _readable(raw: bytes) -> str:
    return printable(raw[:_LONGEST_LINE].decode(errors="replace").rstrip("\r"))


class Console:
    """Follows the console in a thread of its own until QEMU closes the line.

    `death` is set as soon as a line tells of it; reading goes on, so that the whole trace is
    there. Memory is bounded however much is printed: QEMU keeps the log.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._last: deque[str] = deque(maxlen=_LINES_KEPT)
        self._trace: list[str] = []
        self.death: Death | None = None
        self.received = 0
        """How many bytes QEMU has sent."""
        self._thread = threading.Thread(target=self._follow, name="console", daemon=True)
        self._thread.start()

    def last_lines(self) -> list[str]:
        """The console's last lines; with a death, the trace from the line that told of it."""
        return self._trace[:_LINES_OF_DEATH] or list(self._last)[-_LINES_BEFORE:]

    def trace_lines(self) -> list[str]:
        """The same, and as many more as a call trace may need."""
        return self._trace or list(self._last)

    def join(self, timeout_s: float) -> None:
        """Waits until all that was printed has been read."""
        self._thread.join(timeout_s)

    def _follow(self) -> None:
        rest = b""
        while chunk := self._receive():
            self.received += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-_LONGEST_LINE:]
            for line in lines:
                self._take(line)
        self._take(rest)

    def _receive(self) -> bytes:
        try:
            return self._line.recv(65536)
        except OSError:  # closed by us
            return b""

    def _take(self, raw: bytes) -> None:
        line = _readable(raw)
        if not line:
            return
        self._last.append(line)
        if self.death is None:
            self.death = diagnose(line)
        if self.death is not None and len(self._trace) < _LINES_OF_TRACE:
            self._trace.append(line)
