"""The agent's line: the protocol that the program in the guest speaks.

It is in the head comment of `buildroot/package/pibed-agent/agent.c`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import pexpect
from pexpect.socket_pexpect import SocketSpawn

from pibed.base.errors import GuestError
from pibed.model.protocol import Command, Result

# More than the agent lets through in one line.
_LONGEST_LINE = 1 << 20

# Seconds between two looks at whether QEMU and the kernel are alive.
_CHECK_INTERVAL_S = 0.5

# In which what QEMU has sent is there.
_PENDING_S = 0.005

# A wait that takes what is there; pexpect's sockets know none of zero.
_NO_PATIENCE_S = 0.001

# More bytes than QEMU and a socket hold of a line that nobody reads.
_HELD = 1 << 20


class ProtocolError(GuestError):
    """The agent's line carried what the agent does not say."""


class LineTimeout(GuestError):
    """The agent said nothing until the deadline."""


class Stuck(GuestError):
    """A command was killed and something of it is still there; the agent has given up."""


class LineClosed(GuestError):
    """The line is closed: QEMU has ended."""


class _CountingSpawn(SocketSpawn):  # type: ignore[type-arg]
    """Counts the bytes that come in."""

    received = 0

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> bytes:
        data: bytes = super().read_nonblocking(size, timeout)
        self.received += len(data)
        return data


@dataclass
class _Wait:
    """A wait for one word, for which others may come; a guest that goes on talking is late, too."""

    deadline: float
    last: int | None = None  # so many bytes may have come at most; known from the deadline on


class Agent:
    """Follows the agent's markers.

    `check` is called while waiting, and raises when there is no point in waiting any longer. What
    has come on the line before is read first: a guest that has its commands in a plan may have done
    the next ones, and died, before the host hears of the first. `stop_requested` is asked always.
    All deadlines are times of `time.monotonic`; `overdue` says whether one has passed by another
    clock.
    """

    def __init__(
        self,
        line: socket.socket,
        check: Callable[[], None],
        overdue: Callable[[], bool] = lambda: False,
        stop_requested: Callable[[], None] = lambda: None,
    ) -> None:
        self._stop_requested = stop_requested
        self._spawn = _CountingSpawn(line, maxread=65536)
        self._check = check
        self._overdue = overdue

    def drain(self, timeout_s: float) -> int:
        """Reads what is left on the line of a QEMU that has ended; how many bytes came in all."""
        with contextlib.suppress(OSError, pexpect.TIMEOUT):
            self._spawn.expect(pexpect.EOF, timeout=timeout_s)
        return self._spawn.received

    def send(self, text: str) -> None:
        """Types one line; raises LineClosed when QEMU has ended."""
        try:
            self._spawn.sendline(text)
        except OSError:
            raise LineClosed("QEMU closed the agent's line") from None

    def expect_ready(self, deadline: float) -> None:
        """Waits until commands can be taken."""
        self._marker("ready", deadline)

    def expect_done(self, deadline: float) -> None:
        """Waits for the agent's last word."""
        self._marker("done", deadline)

    def expect_begin(self, command: Command, deadline: float) -> None:
        """Waits until a command begins; raises ProtocolError when another one does."""
        self._marker(f"begin {command.id}", deadline)

    def expect_end(self, command: Command, deadline: float) -> Result:
        """Waits until a command has ended and returns its result; raises Stuck if it never will."""
        output: list[str] = []
        wait = _Wait(deadline)
        while True:
            line = self._next(wait)
            if line.startswith("| "):
                output.append(line[2:])
            elif match := re.fullmatch(r"@@pibed end (\S+) (\d+)( timeout)?( truncated)?", line):
                if match[1] != command.id:
                    raise ProtocolError(f"the agent ended {match[1]} instead of {command.id}")
                return Result(
                    command.id, int(match[2]), bool(match[3]), bool(match[4]), tuple(output)
                )
            elif line == f"@@pibed stuck {command.id}":
                raise Stuck(
                    f"`{command.line}` did not end within {command.seconds:g} s and cannot be "
                    "killed: a process of it sleeps in the kernel (console.log says where)"
                )
            elif line:
                raise ProtocolError(f"unexpected in the output of {command.id}: {line[:200]!r}")

    def _marker(self, wanted: str, deadline: float) -> None:
        wait = _Wait(deadline)
        while True:
            line = self._next(wait)
            if line == f"@@pibed {wanted}":
                return
            # The driver of the AUX UART emits stray bytes when it starts: no marker, no matter.
            if line.startswith("@@pibed "):
                raise ProtocolError(f"expected {wanted!r} of the agent, not {line[:200]!r}")

    def _next(self, wait: _Wait) -> str:
        while True:
            self._stop_requested()
            before = self._spawn.received
            patience_s = _PENDING_S
            # Even then we look: we may have been stopped, and the line may be full of words.
            if late := time.monotonic() >= wait.deadline:
                if wait.last is None:
                    wait.last = before + _HELD
                else:
                    patience_s = _NO_PATIENCE_S
                if before > wait.last:
                    raise LineTimeout("the agent's line was full of other words at the deadline")
            if (line := self._line(patience_s)) is not None:
                return line
            if self._spawn.received != before:
                continue
            self._check()
            late = late or self._overdue()
            left_s = max(wait.deadline - time.monotonic(), _NO_PATIENCE_S)
            wait_s = _NO_PATIENCE_S if late else min(_CHECK_INTERVAL_S, left_s)
            if (line := self._line(wait_s)) is not None:
                return line
            if late:
                raise LineTimeout("the agent said nothing until the deadline")

    def _line(self, wait_s: float) -> str | None:
        """The next line; None if it does not come within so many seconds."""
        try:
            index = self._spawn.expect([rb"\r?\n", pexpect.TIMEOUT, pexpect.EOF], timeout=wait_s)
        except OSError:  # a reset instead of an end, when QEMU left input unread
            raise LineClosed("QEMU closed the agent's line") from None
        if index == 0:
            before = self._spawn.before
            assert isinstance(before, bytes)
            return before.decode(errors="replace")
        if index == 2:
            raise LineClosed("QEMU closed the agent's line")
        if len(self._spawn.buffer) > _LONGEST_LINE:
            raise ProtocolError("the agent's line carries no line ends")
        return None
