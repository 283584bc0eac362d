"""How near a run comes to what was measured on a board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pibed.model.words import rounded

NEAR = 0.15

"""By what share a number may differ from the board's and still be near: two sessions of one board
differ by as much (results/reference/README.md)."""


@dataclass(frozen=True)
class Nearness:
    """Of numbers of a run by those of a board: shares, without unit."""

    count: int
    near: int
    """How many differ by `NEAR` at most."""
    mean_error: float
    """The mean of how far they are from 1."""
    largest: float
    """The largest of these."""
    where: str
    """What that is of."""

    @property
    def words(self) -> str:
        """Such as `14 of 16 within 15 %; mean absolute error 7.2 %, largest 21 % (mmap)`."""
        return (
            f"{self.near} of {self.count} within {100 * NEAR:g} %; mean absolute error "
            f"{_percent(self.mean_error)}, largest {_percent(self.largest)} ({self.where})"
        )


def nearness(ratios: Mapping[str, float]) -> Nearness | None:
    """Of ratios by what they are of, each a run's number by the board's; None of none."""
    if not ratios:
        return None
    errors = {name: abs(ratio - 1) for name, ratio in ratios.items()}
    worst = max(errors, key=lambda name: errors[name])
    return Nearness(
        len(errors),
        # A ratio that is 15 % off is near, whatever a float makes of it.
        sum(error <= NEAR + 1e-9 for error in errors.values()),
        sum(errors.values()) / len(errors),
        errors[worst],
        worst,
    )


def _percent(share: float) -> str:
    return f"{rounded(100 * share, 2)} %"
