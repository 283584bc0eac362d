"""The frame of every task: errors become a message and an exit status, signals an orderly end."""

from __future__ import annotations

import functools
import io
import os
import signal
import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn, TypeVar

from invoke.exceptions import Exit

from pibed.base.errors import ENDING, HostError, Interrupted, PibedError, heeded

_Function = TypeVar("_Function", bound=Callable[..., Any])


def command(function: _Function) -> _Function:
    """Decorates a task: no traceback for what the user or the host can put right.

    The exit status is the error's own (see `pibed.base.errors`), 130 for Ctrl-C, 143 for SIGTERM.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        signals = _Signals()
        signals.listen()
        sys.unraisablehook = _unraisable
        # An error like any other: a QEMU that ends closes its lines.
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        # None where the caller has closed it.
        sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no µ
                stream.reconfigure(errors="replace")
        try:
            result = function(*args, **kwargs)
            # Here, where it can be told, rather than at exit.
            sys.stdout.flush()
            if signals.came is not None:
                raise Interrupted.by(signals.came)
            return result
        except (Exception, SystemExit) as error:
            signals.hush()
            if signals.came is not None and not isinstance(error, Interrupted):
                signalled = Interrupted.by(signals.came)
                # Such as a lock's, which a signal's exception leaves in disorder.
                signalled.context.append(f"{type(error).__name__}: {error}")
                _fail(signalled)
            if isinstance(error, PibedError):
                _fail(error)
            if isinstance(error, BrokenPipeError):
                # The reader of our output is gone (`| head`): nothing is left to say, nor to flush.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise Exit(code=141) from None
            if isinstance(error, OSError):
                _fail(HostError.from_os(error))
            raise

    return wrapper  # type: ignore[return-value]


class _Signals:
    """The signals that ask a task to end, of which the first counts."""

    def __init__(self) -> None:
        self.came: int | None = None

    def listen(self) -> None:
        """From now on the first one is raised as Interrupted."""
        for signum in heeded():
            signal.signal(signum, self._first)

    def hush(self) -> None:
        """What came is not raised any more."""
        if self.came is not None:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)

    def _first(self, signum: int, frame: FrameType | None) -> NoReturn:
        # Once: what cleans up after the first signal is not to be cut off by impatience.
        for each in ENDING:
            signal.signal(each, signal.SIG_IGN)
        self.came = signum
        signal.signal(signal.SIGALRM, self._again)
        self._again(signum, frame)

    def _again(self, _: int, frame: FrameType | None) -> NoReturn:
        """Raises it; where a library catches whatever is raised in it, the alarm does so again."""
        assert self.came is not None
        error = Interrupted.by(self.came)
        # Somebody refers to it for as long as it is raised, and while `finally` cleans up.
        weakref.finalize(error, signal.setitimer, signal.ITIMER_REAL, 0.01).atexit = False
        try:
            raise error
        finally:
            # Its traceback refers to this frame, which must not refer to it.
            del error


def _unraisable(ignored: sys.UnraisableHookArgs) -> None:
    """An extension that could not pass a signal's exception on is no news: it comes again."""
    if not isinstance(ignored.exc_value, Interrupted):
        sys.__unraisablehook__(ignored)


def _fail(error: PibedError) -> NoReturn:
    from pibed.base.terminal import print_error

    print_error(error.message, error.fix, error.log, error.context)
    raise Exit(code=error.status) from None
