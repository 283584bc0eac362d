"""How a metric grows with the amount of work, and what one event, such as a fault, costs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pibed.model.experiment import Cost, Growth
from pibed.model.parameter import Value
from pibed.model.plan import Cell, cells
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


# Its exponential is still a float.
_LARGEST = 709.0


@dataclass(frozen=True)
class Fit:
    """A line through the medians of the cells that differ in what the metric is fitted against.

    What cannot be computed is None, and `reason` says why. See docs/statistics.md for formulas.
    """

    alternative: Alternative | None
    """None where the experiment compares nothing."""
    others: Cell
    """The values of the parameters that are fixed."""
    metric: str
    against: str
    law: Literal["linear", "power"]
    points: tuple[tuple[float, float], ...]
    """Median of `against` (or the parameter's value) and of `metric` in each cell."""
    slope: float | None
    """`linear`: units of the metric for one more of `against`; `power`: the exponent."""
    slope_low: float | None
    slope_high: float | None
    """Bounds of the slope's 95 % interval, Student's t with len(points) - 2 degrees of freedom."""
    intercept: float | None
    """`linear`: the metric at 0, in its unit; `power`: the factor a of a·x^b."""
    r_squared: float | None
    """Share of the points' variance (`power`: of their logarithms') that the line explains."""
    reason: str


@dataclass(frozen=True)
class EventCost:
    """By how much the alternatives differ in a metric for each event by which they differ.

    What cannot be computed is None, and `reason` says why.
    """

    others: Cell
    """The values of the parameters beside the compared one."""
    alternatives: Pair
    metric: str
    events: str
    difference: float
    """The first's median minus the second's, in the metric's unit."""
    event_difference: float
    """The same of the events."""
    cost: float | None
    """`difference` / `event_difference`, in the metric's unit for each event."""
    low: float | None
    high: float | None
    """Bounds of its 95 % interval: percentile bootstrap over rounds."""
    reason: str


@dataclass(frozen=True)
class CostChange:
    """What a parameter changes in the cost of one event.

    What cannot be computed is None, and `reason` says why.
    """

    others: Cell
    """The values of the parameters beside the compared one and `parameter`."""
    alternatives: Pair
    metric: str
    events: str
    parameter: str
    values: tuple[Value, Value]
    """The parameter's first value, and the other whose cost is compared with that."""
    change: float | None
    """The cost with the other value minus that with the first, in the metric's unit."""
    low: float | None
    high: float | None
    """Bounds of its 95 % interval: percentile bootstrap over rounds."""
    reason: str


def fits(observations: Observations) -> list[Fit]:
    """For each growth that the experiment names, a fit of each alternative.

    Against a parameter each combination of the other parameters is fitted apart; against a metric,
    all cells of an alternative are fitted together, since any parameter may change it.
    """
    found = []
    parameters = observations.experiment.parameters
    for growth in observations.plan.growth:
        free = [growth.against] if growth.against in parameters else parameters
        for alternative in observations.alternatives or (None,):
            for block in observations.blocks(*free):
                points = list(_points(observations, growth, alternative, block))
                found.append(fit(alternative, block, growth, points))
    return found


def fit(
    alternative: Alternative | None,
    others: Cell,
    growth: Growth,
    points: list[tuple[float, float]],
) -> Fit:
    """Least squares through the points (x, y), in the logarithms of both for the law `power`.

    Two different x give a slope without an interval, one gives a reason only.
    """
    line: tuple[float | None, ...] = (None,) * 5
    different = len({x for x, _ in points})
    reason = ""
    if different < 2:
        what = "no cell has samples" if not points else f"a single value of {growth.against}"
        reason = f"{what}: there is nothing to fit"
    elif growth.law == "power" and min(map(min, points)) <= 0:
        reason = "a median is not above 0: it has no logarithm"
    else:
        line = _line(points, growth.law)
        if len(points) == 2:
            reason = "two points are always on a line: no interval and no R²"
        elif line[4] is None:
            reason = "all medians are equal: no R²"
        elif line[3] is None:
            reason = "the factor is beyond all numbers"
    slope, low, high, intercept, r_squared = line
    return Fit(
        alternative,
        others,
        growth.metric,
        growth.against,
        growth.law,
        tuple(points),
        slope,
        low,
        high,
        intercept,
        r_squared,
        reason,
    )


def costs(observations: Observations) -> list[EventCost]:
    """What one event costs, for each combination of the other parameters and pair of alternatives.

    Empty if the experiment asks for no cost or there are no two alternatives.
    """
    if (cost := observations.plan.cost) is None:
        return []
    found = []
    for block, pair in itertools.product(observations.blocks(), observations.pairs):
        if (series := _series(observations, cost, block, pair)) is not None:
            found.append(_cost(observations, cost, block, pair, series)[0])
    return found


def changes(observations: Observations) -> list[CostChange]:
    """What the parameter that the experiment asks about (`cost.by`) changes in the cost.

    One for each combination of the other parameters, each value but the first and each pair of
    alternatives; none if the experiment does not ask, there are no two alternatives, or one of the
    cells has no samples.
    """
    cost = observations.plan.cost
    if cost is None or cost.by is None:
        return []
    base, *others = observations.experiment.parameters[cost.by].values
    found = []
    for block, value, pair in itertools.product(
        observations.blocks(cost.by), others, observations.pairs
    ):
        before, after = (
            _series(observations, cost, Cell((*block.values, (cost.by, each))), pair)
            for each in (base, value)
        )
        if before is not None and after is not None:
            values = (base, value)
            found.append(_change(observations, cost, block, pair, values, (before, after)))
    return found


def _series(observations: Observations, cost: Cost, block: Cell, pair: Pair) -> list[Series] | None:
    """The metric in both alternatives, and the events in both; None if one has no samples."""
    found = [
        observations.series(observations.cell(block, alternative), metric)
        for metric in (cost.metric, cost.events)
        for alternative in pair
    ]
    present = [each for each in found if each is not None]
    return present if len(present) == len(found) else None


def _cost(
    observations: Observations, names: Cost, block: Cell, pair: Pair, series: list[Series]
) -> tuple[EventCost, NDArray[np.float64]]:
    """The cost, and that of each resample."""
    import numpy as np

    centre = [each.median for each in series]
    difference, events = centre[0] - centre[1], centre[2] - centre[3]
    cost = low = high = None
    drawn = [medians(each, observations.counts) for each in series]
    with np.errstate(all="ignore"):
        replicates = (drawn[0] - drawn[1]) / (drawn[2] - drawn[3])
    if events == 0:
        labels = _both(observations, pair)
        reason = f"{labels} have the same median of {names.events}: nothing to divide by"
    else:
        cost = difference / events
        first, second = (each.label for each in pair)
        reason = too_few((first, series[0]), (second, series[1]))
    if not reason:
        low, high, reason = _bounds(replicates, names.events, _both(observations, pair))
    found = EventCost(
        block, pair, names.metric, names.events, difference, events, cost, low, high, reason
    )
    return found, replicates


def _change(
    observations: Observations,
    names: Cost,
    block: Cell,
    pair: Pair,
    values: tuple[Value, Value],
    measured: tuple[list[Series], list[Series]],
) -> CostChange:
    import numpy as np

    (first, before), (second, after) = (
        _cost(observations, names, block, pair, series) for series in measured
    )
    change = low = high = None
    if first.cost is None or second.cost is None:
        reason = second.reason if first.cost is not None else first.reason
    else:
        change = second.cost - first.cost
        reason = first.reason or second.reason
        if not reason:
            # Both costs are of the same resample: what makes a round slow is in neither change.
            with np.errstate(invalid="ignore"):
                labels = _both(observations, pair)
                low, high, reason = _bounds(after - before, names.events, labels)
    by = names.by or ""
    return CostChange(
        block, pair, names.metric, names.events, by, values, change, low, high, reason
    )


def _bounds(
    replicates: NDArray[np.float64], events: str, labels: str
) -> tuple[float | None, float | None, str]:
    """The interval of a resampled cost, or why there is none."""
    bounds = interval(replicates)
    if bounds is None or any(map(math.isinf, bounds)):
        return None, None, f"resamples have the same median of {events} in {labels}: no interval"
    return *bounds, ""


def _both(observations: Observations, pair: Pair) -> str:
    first, second = pair
    return both(observations.experiment, first.label, second.label)


def _points(
    observations: Observations, growth: Growth, alternative: Alternative | None, block: Cell
) -> Iterable[tuple[float, float]]:
    """The medians of the block's cells of this alternative that have samples, in their order."""
    wanted = set(block.values)
    if alternative is not None and observations.plan.compare is not None:
        wanted.add((observations.plan.compare, alternative.value))
    for cell in cells(observations.experiment):
        metric = observations.series(cell, growth.metric)
        if metric is None or not wanted <= set(cell.values):
            continue
        if growth.against in observations.experiment.parameters:
            yield float(cell.as_dict()[growth.against]), metric.median
        elif (against := observations.series(cell, growth.against)) is not None:
            yield against.median, metric.median


def _line(
    points: list[tuple[float, float]], law: Literal["linear", "power"]
) -> tuple[float | None, ...]:
    """Slope, its bounds, intercept and R² of at least two different x."""
    import numpy as np
    from scipy import stats

    x, y = np.array(points).T
    if law == "power":
        x, y = np.log(x), np.log(y)
    if y.min() < y.max():
        line = stats.linregress(x, y)
        slope, intercept, error = float(line.slope), float(line.intercept), float(line.stderr)
        r_squared = float(line.rvalue**2)
    else:
        # Here linregress divides 0 by 0.
        slope, intercept, error, r_squared = 0.0, float(y[0]), 0.0, None
    start: float | None = intercept
    if law == "power":
        # A steep line through values that are close together may have a factor beyond all floats.
        start = math.exp(intercept) if intercept < _LARGEST else None
    if len(points) == 2:
        return slope, None, None, start, None
    margin = error * float(stats.t.ppf(0.975, len(points) - 2))
    return slope, slope - margin, slope + margin, start, r_squared
