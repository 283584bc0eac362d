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

from pibed.base.errors import HostError, Interrupted, PibedError

_Function = TypeVar("_Function", bound=Callable[..., Any])


def command(function: _Function) -> _Function:
    """Decorates a task: no traceback for what the user or the host can put right.

    The exit status is the error's own (see `pibed.base.errors`), 130 for Ctrl-C, 143 for SIGTERM.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(signum) is not signal.SIG_IGN:  # as under nohup
                signal.signal(signum, _interrupt)
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
            return result
        except Exception as error:
            if (signalled := _signal_behind(error)) is not None:
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


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    # Once: what cleans up after the first signal is not to be cut off by impatience.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    _raise_until_it_arrives(signum)


def _raise_until_it_arrives(signum: int) -> NoReturn:
    """Ends what runs; where a library catches whatever is raised in it, the signal comes again."""

    def again(alarm: int, frame: FrameType | None) -> NoReturn:
        _raise_until_it_arrives(signum)

    signal.signal(signal.SIGALRM, again)
    error = Interrupted.by(signum)
    # Somebody refers to it for as long as it is raised, and while `finally` cleans up.
    weakref.finalize(error, signal.setitimer, signal.ITIMER_REAL, 0.01).atexit = False
    try:
        raise error
    finally:
        # Its traceback refers to this frame, which must not refer to it.
        del error


def _signal_behind(error: Exception) -> Interrupted | None:
    """The signal in whose wake an error came, with the error's words.

    Such as a lock's, which a signal's exception leaves in disorder, or a file's that is closed.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Interrupted):
            if cause is not error:
                cause.context.append(f"{type(error).__name__}: {error}")
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _unraisable(ignored: sys.UnraisableHookArgs) -> None:
    """An extension that could not pass a signal's exception on is no news: it comes again."""
    if not isinstance(ignored.exc_value, Interrupted):
        sys.__unraisablehook__(ignored)


def _fail(error: PibedError) -> NoReturn:
    from pibed.base.terminal import print_error

    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    print_error(error.message, error.fix, error.log, error.context)
    raise Exit(code=error.status) from None
