"""QEMU's monitor: why QEMU ended, and what the guest's own clock says.

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
        words = self._ask("human-monitor-command", {"command-line": f"xp /2wx {address:#x}"})
        found = re.fullmatch(r"\s*[0-9a-f]+: 0x([0-9a-f]{8}) 0x([0-9a-f]{8})\s*", str(words))
        return None if found is None else int(found[2] + found[1], 16)

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
