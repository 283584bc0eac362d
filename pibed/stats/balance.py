"""The point at which two alternatives take the same time, between a parameter's values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pibed.model.experiment import Better
from pibed.model.plan import Cell
from pibed.model.words import both
from pibed.stats.observations import (
    Alternative,
    Observations,
    Pair,
    Series,
    interval,
    medians,
    too_few,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FASTER: Mapping[Better, str] = {"lower": "faster", "higher": "better"}


@dataclass(frozen=True)
class Balance:
    """Where the deciding metric is equal in both alternatives, with the other parameters fixed.

    What cannot be computed is None, and `reason` says why. See docs/statistics.md for formulas.
    """

    others: Cell
    """The values of the parameters beside the compared one and `parameter`."""
    parameter: str
    metric: str
    better: Better
    """Which values of the metric are the better ones."""
    alternatives: Pair
    points: tuple[tuple[int, float], ...]
    """Measured values of the parameter, rising, and there the first's median minus the
    second's, in the metric's unit."""
    at: float | None
    """The parameter's value at the balance, in its own unit (such as per mille)."""
    low: float | None
    high: float | None
    """Bounds of its 95 % interval; one that lies beyond what was measured is None."""
    reason: str

    def ahead(self, difference: float) -> Alternative:
        """The better one where the first's median minus the second's is this, which is not 0."""
        return _ahead(self.alternatives, difference, self.better)


def balances(observations: Observations) -> list[Balance]:
    """The balance for each combination of the other parameters and each pair of alternatives.

    Empty if the experiment asks for no balance or there are no two alternatives.
    """
    parameter = observations.plan.balance
    if parameter is None or observations.deciding is None:
        return []
    return [
        _balance(observations, parameter, block, pair)
        for block in observations.blocks(parameter)
        for pair in observations.pairs
    ]


def _balance(
    observations: Observations, parameter: str, block: Cell, alternatives: Pair
) -> Balance:
    import numpy as np

    first, second = alternatives
    metric = observations.deciding or ""
    measured: list[tuple[int, Series, Series]] = []
    for value in observations.experiment.parameters[parameter].numbers:
        pair = [
            observations.series(observations.cell(block, each, **{parameter: value}), metric)
            for each in (first, second)
        ]
        if pair[0] is not None and pair[1] is not None:
            measured.append((value, pair[0], pair[1]))
    values = np.array([value for value, _, _ in measured], dtype=np.float64)
    differences = np.array([a.median - b.median for _, a, b in measured], dtype=np.float64)
    names = both(observations.experiment, first.label, second.label)
    better = observations.experiment.better(metric)
    at, reason = _equal(parameter, values, differences, alternatives, better, names)
    low = high = None
    if at is not None:
        named = [
            (f"{alternative.label} at {parameter}={value}", each)
            for value, *pair in measured
            for alternative, each in zip((first, second), pair, strict=True)
        ]
        reason = too_few(*named)
        if not reason:
            drawn = np.array(
                [
                    medians(a, observations.counts) - medians(b, observations.counts)
                    for _, a, b in measured
                ]
            ).T
            rising = float(np.sign(differences[-1] - differences[0]))
            bounds = interval(crossings(values, drawn, rising))
            low, high, reason = _inside(bounds, parameter)
    return Balance(
        block,
        parameter,
        metric,
        better,
        alternatives,
        tuple((value, a.median - b.median) for value, a, b in measured),
        at,
        low,
        high,
        reason,
    )


def crossings(
    values: NDArray[np.float64], differences: NDArray[np.float64], rising: float
) -> NDArray[np.float64]:
    """Where each row of differences, (resamples, values), is 0 between the values: (resamples,).

    A row that is 0 at several places gives their mean. One that is 0 nowhere lies wholly on one
    side: its zero is beyond the values, -inf or inf, on the side that `rising` (1 or -1, how the
    differences run) says. A row with a NaN gives NaN.
    """
    import numpy as np

    left, right = differences[:, :-1], differences[:, 1:]
    between = left * right < 0
    with np.errstate(all="ignore"):
        share = np.where(between, left / (left - right), 0)
    places = values[:-1] + share * np.diff(values)
    on = differences == 0
    count = between.sum(axis=1) + on.sum(axis=1)
    total = (places * between).sum(axis=1) + (values * on).sum(axis=1)
    beyond = np.where(differences[:, 0] * rising > 0, -math.inf, math.inf)
    found = np.where(count > 0, total / np.maximum(count, 1), beyond)
    return np.where(np.isnan(differences).any(axis=1), np.nan, found)


def _equal(
    parameter: str,
    values: NDArray[np.float64],
    differences: NDArray[np.float64],
    alternatives: Pair,
    better: Better,
    names: str,
) -> tuple[float | None, str]:
    """The one place where the differences are 0, or why there is none."""
    if len(values) < 2:
        what = f"a single value of {parameter}" if len(values) else "no cell has samples"
        return None, f"{what}: there is nothing to interpolate"
    if not differences.any():
        return None, f"the medians of {names} are equal everywhere"
    zeros = [float(value) for value, each in zip(values, differences, strict=True) if each == 0]
    pairs = zip(values[:-1], values[1:], differences[:-1], differences[1:], strict=True)
    zeros += [
        float(left + (right - left) * below / (below - above))
        for left, right, below, above in pairs
        if below * above < 0
    ]
    if len(zeros) > 1:
        where = ", ".join(f"{zero:.4g}" for zero in sorted(zeros))
        return None, f"the medians are equal at several values of {parameter}: {where}"
    if zeros and differences[0] * differences[-1] <= 0:
        return zeros[0], ""
    label, how = _ahead(alternatives, differences[0], better).label, _FASTER[better]
    if zeros:
        return (
            None,
            f"the medians are equal at {zeros[0]:.4g}, but {label} is {how} on both sides",
        )
    return None, f"none in range: {label} is {how} from {values[0]:.4g} to {values[-1]:.4g}"


def _ahead(alternatives: Pair, difference: float, better: Better) -> Alternative:
    return alternatives[0 if (difference < 0) == (better == "lower") else 1]


def _inside(
    bounds: tuple[float, float] | None, parameter: str
) -> tuple[float | None, float | None, str]:
    """The bounds that are within the range, and what the others are."""
    if bounds is None:
        return None, None, "no resample has samples of every cell: no interval"
    low, high = (None if math.isinf(bound) else bound for bound in bounds)
    beyond = [
        f"the {which} bound lies {'below' if bound < 0 else 'above'} all measured {parameter}"
        for which, bound in zip(("lower", "upper"), bounds, strict=True)
        if math.isinf(bound)
    ]
    return low, high, "; ".join(beyond)
