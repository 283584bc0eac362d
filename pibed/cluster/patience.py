"""A deadline for what has none: parts of the engine wait for ever for who listens and is silent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_Result = TypeVar("_Result")


def within(timeout_s: float, function: Callable[[], _Result]) -> _Result:
    """What a function returns; raises what it raises, or TimeoutError.

    It is called in a thread of its own, which is left behind when time is up or a signal comes: so
    that a signal's exception meets no handler of the engine's.
    """
    outcome: Future[_Result] = Future()

    def call() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    try:
        return outcome.result(timeout_s)
    except TimeoutError:
        if outcome.done():
            raise
        raise TimeoutError(f"nothing was heard within {timeout_s:.0f} s") from None
