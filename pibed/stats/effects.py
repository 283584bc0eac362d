"""How much of a metric's variance follows each of two factors, such as placement and mode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pibed.model.parameter import Value
from pibed.model.plan import Cell
from pibed.model.words import label, with_unit
from pibed.stats.comparison import Comparison, judge_all, measure
from pibed.stats.observations import Alternative, Observations, Series, interval, too_few

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Share:
    """A share of a variance, 0 to 1, and the bounds of its 95 % interval."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Shares:
    """What the variance of all samples follows, each cell having the same weight: together 1."""

    compared: Share
    """The compared parameter alone."""
    other: Share
    """The other factor alone."""
    interaction: Share
    """What both do together beyond what each does alone."""
    residual: Share
    """Neither: samples of one cell differ by it."""


@dataclass(frozen=True)
class Effect:
    """The variance of a metric over the crossed values of two factors, the others being fixed.

    What cannot be computed is None, and `reason` says why. See docs/statistics.md for formulas.
    """

    others: Cell
    """The values of the parameters beside both factors."""
    metric: str
    compared: str
    """The factor whose alternatives are compared."""
    other: str
    """The other factor, whose values are the levels."""
    shares: Shares | None
    reason: str
    within: tuple[Comparison, ...]
    """The alternatives beside each other at each level, as all comparisons have them."""
    levels: tuple[Value, Value] | None
    """The levels with the best and with the worst medians, those of both alternatives added up;
    None where a cell is missing or they are one."""
    exchanged: tuple[Comparison, ...]
    """Each alternative at the level with the best medians (first) beside the other one at that
    with the worst."""


def effects(observations: Observations, comparisons: Sequence[Comparison]) -> list[Effect]:
    """The effects for each combination of the other parameters.

    Empty if the experiment does not ask for them or there are no two alternatives. `comparisons`
    are all of these observations; the exchanged ones are a family of their own.
    """
    asked = observations.plan.effects
    if asked is None or observations.reason:
        return []
    (other,) = (name for name in asked.factors if name != observations.plan.compare)
    found = [
        _effect(observations, asked.metric, other, block, comparisons)
        for block in observations.blocks(other)
    ]
    pairs = [_exchange(observations, each) for each in found]
    relevant = observations.plan.relevant_percent / 100
    judged = iter(judge_all([each for pair in pairs for each in pair], relevant))
    return [
        replace(each, exchanged=tuple(next(judged) for _ in pair))
        for each, pair in zip(found, pairs, strict=True)
    ]


def _effect(
    observations: Observations,
    metric: str,
    other: str,
    block: Cell,
    comparisons: Iterable[Comparison],
) -> Effect:
    """Without what is exchanged."""
    values = observations.experiment.parameters[other].values
    grid = [
        [
            observations.series(observations.cell(block, alternative, **{other: value}), metric)
            for value in values
        ]
        for alternative in observations.alternatives
    ]
    present = [[each for each in row if each is not None] for row in grid]
    shares, reason, levels = None, "", None
    if any(len(row) < len(values) for row in present):
        missing = [
            f"{alternative.label} at {_level(observations, other, value)}"
            for alternative, row in zip(observations.alternatives, grid, strict=True)
            for value, each in zip(values, row, strict=True)
            if each is None
        ]
        reason = f"no sample of {', '.join(missing)}"
    elif len(values) < 2:
        reason = f"{other} has one value: there is nothing that the variance could follow"
    else:
        shares, reason = _shares(observations, present)
        middles = [sum(row[column].median for row in present) for column in range(len(values))]
        if min(middles) < max(middles):
            best, worst = min(middles), max(middles)
            if observations.experiment.better(metric) == "higher":
                best, worst = worst, best
            levels = values[middles.index(best)], values[middles.index(worst)]
    within = tuple(
        each
        for value in values
        for each in comparisons
        if each.metric == metric and each.others == Cell((*block.values, (other, value)))
    )
    compared = observations.plan.compare or ""
    return Effect(block, metric, compared, other, shares, reason, within, levels, ())


def _exchange(observations: Observations, effect: Effect) -> list[Comparison]:
    """Each alternative at the best level against the other one at the worst, not judged yet."""
    if effect.levels is None:
        return []
    best, worst = effect.levels
    first, second = observations.alternatives
    found = []
    for sides in (((first, best), (second, worst)), ((second, best), (first, worst))):
        series = [
            observations.series(
                observations.cell(effect.others, alternative, **{effect.other: level}),
                effect.metric,
            )
            for alternative, level in sides
        ]
        named = [
            Alternative(
                alternative.value,
                f"{alternative.label} at {_level(observations, effect.other, level)}",
            )
            for alternative, level in sides
        ]
        if series[0] is not None and series[1] is not None:
            pair = (series[0], series[1])
            names = (named[0], named[1])
            better = observations.experiment.better(effect.metric)
            found.append(
                measure(effect.others, effect.metric, names, pair, observations.counts, better)
            )
    return found


def _level(observations: Observations, name: str, value: Value) -> str:
    return with_unit(observations.experiment, name, label(observations.experiment, name, value))


def _shares(
    observations: Observations, grid: Sequence[Sequence[Series]]
) -> tuple[Shares | None, str]:
    """The shares over a full grid (alternatives, levels), or why there are none or no intervals."""
    import numpy as np

    every = [each for row in grid for each in row]
    if min(len(each.values) for each in every) < 2:
        return None, "a cell has one sample: how samples of one cell differ is not known"
    if min(each.values.min() for each in every) == max(each.values.max() for each in every):
        return None, "no sample differs from another: there is no variance"
    own = decompose(grid, None)[:, 0]
    reason = too_few(("a cell", min(every, key=lambda each: len(each.values))))
    bounds: list[tuple[float, float] | None] = [None] * 4
    if not reason:
        drawn = decompose(grid, observations.counts)
        with np.errstate(invalid="ignore"):
            bounds = [interval(each) for each in drawn / drawn.sum(axis=0)]
    total = float(own.sum())
    found = [
        Share(float(value) / total, *(each or (None, None)))
        for value, each in zip(own, bounds, strict=True)
    ]
    return Shares(*found), reason


def decompose(
    grid: Sequence[Sequence[Series]], counts: NDArray[np.int16] | None
) -> NDArray[np.float64]:
    """The variance that follows rows, columns, both together and neither: (4, resamples).

    Of the samples as they are, (4, 1), without `counts`. Each cell has the same weight, however
    many samples it has, two at least. From what the cells' means differ by is taken what they
    would differ by if nothing but chance did; what that leaves below 0 is 0. Balanced and divided
    by its sum this is omega squared (Hays 1963). A resample without a sample of a cell gives NaN.
    """
    import numpy as np

    rows, columns = len(grid), len(grid[0])
    cells = [[_moments(each, counts) for each in row] for row in grid]
    means = np.array([[mean for mean, _, _ in row] for row in cells])
    within = np.array([[variance for _, variance, _ in row] for row in cells])
    # The variance of a cell's mean by chance.
    chance = np.array([[noise for _, _, noise in row] for row in cells]).mean(axis=(0, 1))
    centre = means.mean(axis=(0, 1))
    by_row, by_column = means.mean(axis=1) - centre, means.mean(axis=0) - centre
    both = means - centre - by_row[:, None] - by_column[None, :]
    found = np.array(
        [
            (by_row**2).mean(axis=0) - (rows - 1) / (rows * columns) * chance,
            (by_column**2).mean(axis=0) - (columns - 1) / (rows * columns) * chance,
            (both**2).mean(axis=(0, 1)) - (rows - 1) * (columns - 1) / (rows * columns) * chance,
            within.mean(axis=(0, 1)),
        ]
    )
    shares: NDArray[np.float64] = np.maximum(found, 0)
    return shares


def _moments(
    series: Series, counts: NDArray[np.int16] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean, variance of the samples, and variance of that mean by chance, in each resample.

    The variance is that of the distribution: what resampling takes from it is added. A resample's
    mean has strayed twice: with the samples from the distribution, and with the draw from these.
    """
    import numpy as np

    n = len(series.values)
    centre = series.values.mean()
    around = series.values - centre
    if counts is None:
        variance = np.array([float((around**2).sum()) / (n - 1)])
        return np.array([centre]), variance, variance / n
    drawn = counts[series.rounds].astype(np.float64)
    total = drawn.sum(axis=0)
    with np.errstate(invalid="ignore"):
        shift = around @ drawn / total
        square = (around**2) @ drawn / total - shift**2
    variance = square * (n / (n - 1)) ** 2
    return centre + shift, variance, 2 * variance / n
