"""What can go wrong, each kind with the exit status that the command line gives it.

Logic raises these and never exits; `pibed.commands.frame` turns them into a message and a status.
"""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Self


def printable(text: str) -> str:
    """Words of a guest, fit for a message: whatever would act on a terminal is a question mark."""
    return "".join(each if each == "	" or each.isprintable() else "?" for each in text)


class PibedError(Exception):
    """Base of all errors that are explained to the user rather than traced.

    `fix` says what to do about it, `log` names the file with the details, `context` holds the
    last lines of that file where they help.
    """

    status = 1

    def __init__(
        self,
        message: str,
        *,
        fix: str | None = None,
        log: Path | None = None,
        context: list[str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.log = log
        self.context = context or []


class UsageError(PibedError):
    """An option or a configuration file says something that cannot be meant."""

    status = 2


class HostError(PibedError):
    """The host lacks a tool, a permission or space."""

    status = 3

    @classmethod
    def from_os(
        cls, error: OSError, where: Path | str = "system call", fix: str | None = None
    ) -> Self:
        """What the system said, with the file it spoke of or else `where`."""
        if isinstance(error, shutil.Error):
            # Several errors of a copied tree, each as (source, target, text).
            source, _, text = error.args[0][0]
            return cls(f"{source}: {text}", fix=fix)
        return cls(f"{error.filename or where}: {error.strerror or error}", fix=fix)


class BuildError(PibedError):
    """A source could not be had, or a build step failed."""

    status = 4


class LimitError(PibedError):
    """What users wrote wants more time, memory, processes or bytes than it may have."""

    status = 4


class GuestError(PibedError):
    """The emulated machine did not do what it was asked to; `pibed.guest.guest` has the kinds."""

    status = 5


class IncompleteError(PibedError):
    """A sweep came to its end, or was to end there, but some of its samples are not `ok`."""

    status = 6


class Cancelled(PibedError):
    """One of several things side by side was asked to stop; why is another error."""


class ChecksFailed(PibedError):
    """A check or test of pibed itself did not pass."""

    status = 1


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask pibed to stop."""


def heeded() -> list[signal.Signals]:
    """Those of them that are not ignored, as they are under nohup."""
    return [each for each in ENDING if signal.getsignal(each) is not signal.SIG_IGN]


class Interrupted(PibedError):
    """The user or the system asked pibed to stop; the status is 128 plus the signal's number."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.status = 128 + signum

    @classmethod
    def by(cls, signum: int) -> Self:
        """With the usual words for a signal."""
        ctrl_c = signum == signal.SIGINT
        return cls("interrupted" if ctrl_c else f"ended by {signal.Signals(signum).name}", signum)
