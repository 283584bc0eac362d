"""A deadline for what has none: parts of the engine wait for ever for who listens and is silent."""

from __future__ import annotations

import _thread
import queue
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_Result = TypeVar("_Result")


def within(timeout_s: float, function: Callable[[], _Result]) -> _Result:
    """What a function returns; raises what it raises, or TimeoutError.

    It is called in a thread of its own, which is left behind when time is up or a signal comes: so
    that a signal's exception meets no handler of the engine's. Nor does it meet those of
    `threading`, whose locks it would leave in disorder.
    """
    outcome: Future[_Result] = Future()
    is_done: queue.SimpleQueue[None] = queue.SimpleQueue()

    def call() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)
        is_done.put(None)

    _thread.start_new_thread(call, ())
    try:
        is_done.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError(f"nothing was heard within {timeout_s:.0f} s") from None
    return outcome.result()
