"""gdb itself: found on the host, and run on a person's terminal or for a script."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from pibed.base.errors import GuestError
from pibed.base.process import DIE_WITH_PARENT, kill_group
from pibed.build import host
from pibed.debug.session import Session

_PROGRAM = "gdb-multiarch"


def require() -> None:
    """Raises HostError if there is no gdb for the guest's processor."""
    host.require([host.GDB])


def command_line(session: Session) -> str:
    """What a person types to take hold of a guest."""
    return f"{_PROGRAM} -q -x {session.script}"


def run(session: Session, commands: Sequence[str], *, timeout_s: float | None) -> int:
    """Runs gdb on a guest with more words of its command line; returns its exit status.

    Without a `timeout_s` it has the terminal, and Ctrl-C is its own. Raises GuestError if it has
    not ended after so many seconds.
    """
    batch = [] if timeout_s is None else ["-batch"]
    argv = [*DIE_WITH_PARENT, _PROGRAM, "-q", *batch, "-x", str(session.script), *commands]
    with _ctrl_c_is_gdbs(timeout_s is None):
        scripted = timeout_s is not None
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if scripted else None,
            # With a terminal it stays in the group that has it.
            process_group=0 if scripted else None,
        )
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise GuestError(
                f"gdb was ended: its commands were not done after {timeout_s:g} s",
                fix="give it more with --timeout, if the guest does what is waited for at all",
            ) from None
        finally:
            if scripted:
                kill_group(process)
            else:
                process.kill()
                process.wait()


@contextmanager
def _ctrl_c_is_gdbs(yes: bool) -> Iterator[None]:
    if not yes:
        yield
        return

    def ignore(signum: int, frame: FrameType | None) -> None:
        """Not SIG_IGN, which gdb would inherit."""

    before = signal.signal(signal.SIGINT, ignore)
    try:
        yield
    finally:
        # Another signal may have ended all, so that this one is not to cut off the clean-up.
        if signal.getsignal(signal.SIGINT) is ignore:
            signal.signal(signal.SIGINT, before)
