"""Boots side by side: one that fails ends the others, and none is left."""

from __future__ import annotations

import threading

import pytest

from pibed.base.errors import Cancelled, GuestError
from pibed.guest.pool import StopRequested, run_side_by_side

AT_ONCE_S = 10


class Job:
    """Waits until it is let go or asked to stop."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.ending = ""

    def __call__(self, stop_requested: StopRequested) -> None:
        self.begun.set()
        try:
            while not self.go.wait(0.001):
                stop_requested()
        except Cancelled:
            self.ending = "cancelled"
            raise
        self.ending = "done"


def test_so_many_at_a_time() -> None:
    most, now = [0], [0]
    lock = threading.Lock()

    def job(stop_requested: StopRequested) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.01)
        with lock:
            now[0] -= 1

    run_side_by_side([job] * 9, 3)
    assert 1 <= most[0] <= 3
    assert now == [0]


def test_nothing_to_do() -> None:
    run_side_by_side([], 2)


def test_one_that_fails_ends_those_that_run_and_those_that_wait() -> None:
    running, waiting = Job(), Job()

    def fails(stop_requested: StopRequested) -> None:
        assert running.begun.wait(AT_ONCE_S)
        raise GuestError("lost")

    with pytest.raises(GuestError, match="lost"):
        run_side_by_side([running, fails, waiting], 2)
    assert running.ending == "cancelled"
    # It may have been taken up before the failure was seen; it cannot have come to its end.
    assert waiting.ending != "done"


def test_an_interruption_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    running = Job()

    def interrupted(*arguments: object, **options: object) -> None:
        assert running.begun.wait(AT_ONCE_S)
        raise KeyboardInterrupt

    monkeypatch.setattr("pibed.guest.pool.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_side_by_side([running], 1)
    assert running.ending == "cancelled"
