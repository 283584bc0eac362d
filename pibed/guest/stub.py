"""QEMU's gdbstub: where a debugger takes hold of a guest.

The socket is pibed's and QEMU gets it open, so that it lies in no sandbox, and what is wrong with
it is known before anything boots. See "GDB usage" in QEMU's manual.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from pibed.base.errors import HostError, UsageError
from pibed.model.machine import Clock


def require_stoppable(clock: Clock) -> None:
    """Raises UsageError for a clock with which no debugger can stop a guest."""
    if clock == "board":
        raise UsageError(
            "no debugger can stop a guest that has the board's time (--clock board)",
            fix="take the virtual clock: the guest executes the same instructions",
        )


class Stub:
    """The socket on which a QEMU waits for gdb; a context manager.

    `address` is what gdb's `target remote` is given.
    """

    def __init__(self, listener: socket.socket, address: str, path: Path | None) -> None:
        self._listener = listener
        self._path = path
        self.address = address

    @classmethod
    def at_path(cls, path: Path) -> Self:
        """A socket in the file system; raises HostError for a path that cannot be one."""
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(str(path))
            listener.listen(1)
        except OSError as error:
            listener.close()
            raise HostError(
                f"{path}: no socket can be made there: {error.strerror or error}",
                fix="set PIBED_CACHE to a folder with a shorter path, or give a --port",
            ) from None
        return cls(listener, str(path), path)

    @classmethod
    def at_port(cls, port: int) -> Self:
        """A port of this host alone; raises HostError if it cannot be had."""
        listener = socket.socket(socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(1)
        except OSError as error:
            listener.close()
            used = error.errno == errno.EADDRINUSE
            what = "it is in use" if used else error.strerror
            fix = "give another one, or leave --port out: gdb needs none"
            raise HostError(f"--port {port}: {what}", fix=fix) from None
        return cls(listener, f"127.0.0.1:{port}", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    @property
    def descriptor(self) -> int:
        """What QEMU is to inherit."""
        return self._listener.fileno()

    @property
    def options(self) -> list[str]:
        """QEMU's options: the guest waits for gdb before its first instruction."""
        chardev = f"socket,id=gdb,fd={self.descriptor},server=on,wait=off,nodelay=on"
        return ["-S", "-chardev", chardev, "-gdb", "chardev:gdb"]
