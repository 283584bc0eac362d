"""A guest's only CPU that waits for a spinlock, which nobody is there to give back.

On ARM, who finds a spinlock taken waits by `wfe` in a loop (arch/arm/include/asm/spinlock.h). QEMU
leaves its own loop at each of them, so that the guest's clock hardly moves: a deadline of ten
seconds by that clock would take half an hour of the host's.
"""

from __future__ import annotations

from typing import Final, Protocol

# So many looks in a row must find the CPU behind the same wait. One that works is never there: a
# lock is not held by anybody else where only one CPU runs.
_LOOKS: Final = 8


class Waits(Protocol):
    """Who knows where a CPU is: QEMU's monitor."""

    def waits_at(self) -> int | None:
        """Where, if it waits by `wfe`; None otherwise."""


class SpinWatch:
    """Looks now and then where a guest's only CPU is."""

    def __init__(self, monitor: Waits) -> None:
        self._monitor = monitor
        self._place: int | None = None
        self._same = 0

    @property
    def spins(self) -> bool:
        """Whether the CPU waits for a lock for ever, as far as the looks so far tell."""
        return self._same >= _LOOKS

    def look(self) -> None:
        """To be called twice a second or so."""
        place = self._monitor.waits_at()
        self._same = self._same + 1 if place is not None and place == self._place else 0
        self._place = place
