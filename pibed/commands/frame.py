"""The frame of every task: errors become a message and an exit status, signals an orderly end."""

from __future__ import annotations

import functools
import io
import os
import signal
import sys
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
        except PibedError as error:
            _fail(error)
        except BrokenPipeError:
            # The reader of our output is gone (`| head`): nothing is left to say, nor to flush.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Exit(code=141) from None
        except OSError as error:
            _fail(HostError.from_os(error))

    return wrapper  # type: ignore[return-value]


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    # Once: what cleans up after the first signal is not to be cut off by impatience.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted.by(signum)


def _unraisable(ignored: sys.UnraisableHookArgs) -> None:
    """A signal that came while an extension could not pass an exception on comes again."""
    if not isinstance(ignored.exc_value, Interrupted):
        sys.__unraisablehook__(ignored)
        return
    error = ignored.exc_value

    def again(signum: int, frame: FrameType | None) -> NoReturn:
        raise error

    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, 0.01)


def _fail(error: PibedError) -> NoReturn:
    from pibed.base.terminal import print_error

    print_error(error.message, error.fix, error.log, error.context)
    raise Exit(code=error.status) from None
