"""QEMU's monitor: why QEMU ended, what the guest's own clock says, and where its CPU is.

See QEMU's docs/interop/qmp-spec.txt.
"""

from __future__ import annotations

import json
import re
import socket
import time
from typing import Any

# In which QEMU has answered unless it is stopped or about to end.
_ANSWER_S = 1.0

# The instruction `wfe` in ARM's encoding, under any condition (Arm ARM DDI 0406C, A8.8.424).
_WFE, _BUT_CONDITION = 0x0320F002, 0x0FFFFFFF


class Monitor:
    """The host's end of a QMP connection; QEMU is greeted at once."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._rest = b""
        self._asked = 0
        self._reason: str | None = None
        # QMP reports events once it has been greeted; the greeting waits in the socket.
        line.sendall(b'{"execute": "qmp_capabilities"}\n')

    def guest_us(self, address: int) -> int | None:
        """The 64-bit counter of microseconds at a physical address; None if QEMU does not answer.

        That the counter is read leaves no trace in the guest.
        """
        words = self._two_words(f"xp /2wx {address:#x}")
        return None if words is None else words[1] << 32 | words[0]

    def waits_at(self) -> int | None:
        """The program counter of the first CPU if what it executed last is a `wfe`; else None."""
        found = re.search(r"R15=([0-9a-f]{8})", self._told("info registers"))
        if found is None or (counter := int(found[1], 16)) < 4:
            return None
        words = self._two_words(f"x /2wx {counter - 4:#x}")
        return counter if words is not None and words[0] & _BUT_CONDITION == _WFE else None

    def shutdown_reason(self) -> str | None:
        """Why QEMU ended (`guest-shutdown`, `guest-reset`, …), if it did, and it said so.

        To be called when it has ended. See ShutdownCause in QEMU's qapi/run-state.json.
        """
        deadline = time.monotonic() + _ANSWER_S
        while self._next(deadline) is not None:
            pass
        return self._reason

    def close(self) -> None:
        """Closes the line."""
        self._line.close()

    def _two_words(self, line: str) -> tuple[int, int] | None:
        """The words of 32 bits that a command for people shows; None if it shows something else."""
        found = re.fullmatch(r"\s*[0-9a-f]+: 0x([0-9a-f]{8}) 0x([0-9a-f]{8})\s*", self._told(line))
        return None if found is None else (int(found[1], 16), int(found[2], 16))

    def _told(self, line: str) -> str:
        return str(self._ask("human-monitor-command", {"command-line": line}))

    def _ask(self, command: str, arguments: dict[str, Any]) -> Any:
        """What a command returns; None if it does not."""
        self._asked += 1
        text = json.dumps({"execute": command, "arguments": arguments, "id": self._asked})
        deadline = time.monotonic() + _ANSWER_S
        try:
            self._line.sendall(text.encode() + b"\n")
        except OSError:
            return None
        while (message := self._next(deadline)) is not None:
            # An answer to an earlier question came too late.
            if message.get("id") == self._asked:
                return message.get("return")
        return None

    def _next(self, deadline: float) -> dict[str, Any] | None:
        """The next message; None at the end or at the deadline."""
        while b"\n" not in self._rest:
            try:
                self._line.settimeout(max(0.001, deadline - time.monotonic()))
                chunk = self._line.recv(65536)
            except OSError:  # a time-out as well
                return None
            if not chunk:
                return None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            message = json.loads(line)
        except ValueError:
            return {}
        if not isinstance(message, dict):
            return {}
        if message.get("event") == "SHUTDOWN":
            self._reason = message["data"].get("reason")
        return message
