"""A guest that a debugger holds: its commands lie in it, and nobody waits for it.

Deadlines are for guests that run by themselves. This one stands still for as long as a person looks
at it, and what becomes of it when its kernel is dead is the debugger's.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from pibed.base.errors import GuestError
from pibed.guest import qemu
from pibed.guest.console import Console
from pibed.guest.guest import Launch, pack_plan, temporary_folder
from pibed.guest.holding import holding
from pibed.guest.line import Agent, LineClosed
from pibed.guest.qemu import Logs, Qemu
from pibed.guest.stub import Stub
from pibed.model.protocol import Command, Result

_LAST_WORDS_S = 5.0


class Debugged:
    """A boot that waits at a stub before its first instruction; a context manager.

    It runs the commands of a plan, one a line, whatever the clock, and powers off.
    """

    def __init__(self, launch: Launch, logs: Logs, plan: str, stub: Stub) -> None:
        self._logs = logs
        self._stack = ExitStack()
        try:
            folder = self._stack.enter_context(temporary_folder())
            initramfs = pack_plan(launch.images, plan, Path(folder))
            argv = qemu.arguments(
                launch.machine,
                launch.clock,
                launch.images,
                initramfs=initramfs,
                kernel_args=["PIBED_FEED=plan", f"PIBED_SEED={launch.seed}"],
                seed=launch.seed,
            )
            held = holding(launch.images, initramfs, logs.written_by_qemu)
            lines = launch.machine.serial_lines
            self._qemu = Qemu([*argv, *stub.options], lines, logs, held, [stub.descriptor])
            self._stack.callback(self._qemu.close)
            self._console = Console(self._qemu.console)
            self._agent = Agent(self._qemu.agent, lambda: None)
        except BaseException:
            self._stack.close()
            raise
        self._is_ready = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()
        self._console.join(_LAST_WORDS_S)

    def run(self, command: Command) -> Result:
        """Waits for the next command of the plan to end; raises GuestError if the guest does."""
        try:
            if not self._is_ready:
                self._agent.expect_ready(math.inf)
                self._is_ready = True
            self._agent.expect_begin(command, math.inf)
            return self._agent.expect_end(command, math.inf)
        except LineClosed:
            raise self._ended() from None

    def finish(self) -> None:
        """Waits for power-off; raises GuestError if the guest ends otherwise."""
        try:
            self._agent.expect_done(math.inf)
        except LineClosed:
            raise self._ended() from None
        self._qemu.process.wait()

    def drain(self) -> None:
        """Reads, in a thread, what the guest says, so that it need not wait for a reader."""
        threading.Thread(
            target=_read_all, args=(self._qemu.agent,), name="agent's line", daemon=True
        ).start()

    def _ended(self) -> GuestError:
        self._console.join(_LAST_WORDS_S)
        if (death := self._console.death) is not None:
            return GuestError(f"the kernel died: {death.line}", log=self._logs.console)
        return GuestError("the guest has ended before its work was done, as when gdb kills it")


def _read_all(line: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed by us
        while line.recv(65536):
            pass
