"""Boots side by side, of which a failing one ends the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeAlias

from pibed.base.errors import Cancelled

StopRequested: TypeAlias = Callable[[], None]
"""Asked while a job waits; raises Cancelled when the job is to end."""


def run_side_by_side(jobs: Sequence[Callable[[StopRequested], None]], width: int) -> None:
    """Runs jobs in threads, `width` at a time; what they find out they tell their observer.

    Raises what the first job that fails raises, or what interrupts the wait. Those that run are
    asked to stop then, and those that have not begun never do. No job runs any more when it
    returns, whatever it raises: a job that boots a `Guest` with its `StopRequested` leaves no QEMU.
    """
    cancelled = threading.Event()

    def stop_requested() -> None:
        if cancelled.is_set():
            raise Cancelled("stopped, since another boot failed or the whole was interrupted")

    pool = ThreadPoolExecutor(max_workers=width, thread_name_prefix="boots")
    try:
        futures = [pool.submit(job, stop_requested) for job in jobs]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        cancelled.set()
        pool.shutdown(wait=True, cancel_futures=True)
    for future in done:
        future.result()
