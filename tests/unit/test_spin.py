"""When a guest's only CPU is taken for one that waits for ever."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pibed.guest.spin import SpinWatch


class Looks:
    def __init__(self, places: Sequence[int | None]) -> None:
        self._places = iter(places)

    def waits_at(self) -> int | None:
        return next(self._places)


@pytest.mark.parametrize(
    ("places", "spins"),
    [
        ([16] * 9, True),
        ([16] * 8, False),
        ([None] * 20, False),
        ([16] * 8 + [None] + [16] * 8, False),
        ([16, 32] * 10, False),
        ([None, 16, 32] + [48] * 9, True),
        ([16] * 12 + [None], False),
    ],
)
def test_the_same_wait_at_each_look(places: list[int | None], spins: bool) -> None:
    watch = SpinWatch(Looks(places))
    for _ in places:
        watch.look()
    assert watch.spins == spins
