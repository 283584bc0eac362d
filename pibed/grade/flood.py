"""A guest whose console never falls silent: it is ended, since all else would wait for it.

Emulated, a megabyte of the console takes seconds. How much a command has printed is the same on
every host; so who printed too much is said by the console's log, whenever it is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pibed.base.errors import GuestError

MOST_BYTES = 3 << 19
"""Of the console's log between two markers: what the agent gives it of the kernel's log after each
command (see MOST_OF_LOG in agent.c), and half as much again."""

# Between two markers or not, there are too many in so much.
_SURELY = 2 * MOST_BYTES + (1 << 20)


class Flood(GuestError):
    """A command has printed too much on the console."""


class Watch:
    """Asked while a guest is waited for: raises Flood once its console's log has grown too much."""

    def __init__(self, console: Path, stop_requested: Callable[[], None]) -> None:
        self._console = console
        self._stop_requested = stop_requested
        self._begin = 0

    def began(self) -> None:
        """A command begins."""
        self._begin = self._written()

    def __call__(self) -> None:
        """See `pibed.guest.pool.StopRequested`."""
        self._stop_requested()
        if self._written() - self._begin > _SURELY:
            raise Flood("the kernel's log never ends", log=self._console)

    def _written(self) -> int:
        return self._console.stat().st_size if self._console.exists() else 0


def first(console: bytes, markers: Sequence[bytes]) -> int | None:
    """Where in a console's log the first command has printed too much; None if none has."""
    starts = sorted({0, *(at for each in markers if (at := console.find(each)) >= 0)})
    for start, end in zip(starts, [*starts[1:], len(console)], strict=True):
        if end - start > MOST_BYTES:
            return start + MOST_BYTES
    return None
