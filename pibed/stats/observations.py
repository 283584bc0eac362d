"""What the statistics start from: the samples that are `ok` as arrays, and rounds drawn anew."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pibed.model.experiment import TOTAL, AnalysisPlan, Experiment
from pibed.model.parameter import Value
from pibed.model.plan import Cell, cells
from pibed.model.samples import Sample, Status, measurable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


RESAMPLES = 1999

"""With it the 2.5 % points are the 50th value from either end, without interpolation."""

LEAST = 6

"""Samples below which no 95 % interval is given: fewer hold the median between them too rarely."""


@dataclass(frozen=True)
class Alternative:
    """One of the values that are compared, and its name for people."""

    value: Value
    label: str


Pair = tuple[Alternative, Alternative]
"""Two alternatives that are compared: the first, and the second that it is divided by."""


@dataclass(frozen=True)
class Series:
    """One metric in one cell: `values` in its unit, `rounds` their rows in the run, both (n,)."""

    rounds: NDArray[np.intp]
    values: NDArray[np.float64]

    @property
    def median(self) -> float:
        """Of at least one value."""
        import numpy as np

        return float(np.median(self.values))

    @property
    def varies(self) -> bool:
        """Whether two values differ."""
        return bool(self.values.min() < self.values.max())


@dataclass(frozen=True)
class Observations:
    """An experiment's samples, ready for statistics.

    `counts` (rounds, resamples) says how often each round was drawn into each resample; every
    number that is resampled uses the same draws, so that what was measured together stays together.
    """

    experiment: Experiment
    plan: AnalysisPlan
    alternatives: tuple[Alternative, ...]
    """What is compared, in the order of the parameter's values."""
    pairs: tuple[Pair, ...]
    """Each of them with the baseline; none where there is nothing to compare."""
    metrics: tuple[str, ...]
    """The experiment's, then `total` if several metrics are added up."""
    deciding: str | None
    """The metric that decides which is faster: `total`, or the only one that it has."""
    counts: NDArray[np.int16]
    left_out: tuple[str, ...]
    """The cells that have no sample, each with why."""
    rounds: tuple[int, ...]
    """The number of the round that each row is."""
    _series: Mapping[tuple[Cell, str], Series]

    @property
    def reason(self) -> str:
        """Why nothing can be compared; empty if it can."""
        name = self.plan.compare
        if name is None:
            return "the experiment names no parameter whose values are compared"
        if len(self.alternatives) < 2:
            return f"{name} has one value: there is nothing to compare it with"
        return ""

    def series(self, cell: Cell, metric: str) -> Series | None:
        """One metric in one cell; None without samples."""
        return self._series.get((cell, metric))

    def blocks(self, *without: str) -> list[Cell]:
        """Every combination of the parameters but the compared one and those named, in order."""
        skipped = {self.plan.compare, *without}
        found = [
            Cell(tuple(pair for pair in cell.values if pair[0] not in skipped))
            for cell in cells(self.experiment)
        ]
        return list(dict.fromkeys(found))

    def cell(self, block: Cell, alternative: Alternative | None, **others: Value) -> Cell:
        """A block's cell of an alternative, with a value for each parameter that it lacks."""
        values = block.as_dict() | others
        if alternative is not None and self.plan.compare is not None:
            values[self.plan.compare] = alternative.value
        return Cell.of({name: values[name] for name in self.experiment.parameters})


def observe(
    experiment: Experiment, samples: Iterable[Sample], resamples: int = RESAMPLES
) -> Observations:
    """The samples that are `ok`, by cell and metric.

    What does not belong to a cell of the experiment, and a metric that is not `measurable`,
    is left out. The draws of rounds follow from the experiment's seed.
    """
    import numpy as np

    plan = experiment.analysed
    several = len(plan.total) > 1
    known = set(cells(experiment))
    found: dict[tuple[Cell, str], tuple[array[int], array[float]]] = {}
    for sample in samples:
        if sample.cell not in known or sample.status != Status.OK:
            continue
        numbers = {
            name: float(value)
            for name, value in sample.metrics.items()
            if name in experiment.metrics and measurable(value)
        }
        if several and numbers.keys() >= set(plan.total):
            numbers[TOTAL] = sum(numbers[name] for name in plan.total)
        for name, number in numbers.items():
            numbered, values = found.setdefault((sample.cell, name), (array("q"), array("d")))
            numbered.append(sample.round)
            values.append(number)
    rounds = np.array(sorted({number for numbered, _ in found.values() for number in numbered}))
    series = {
        key: Series(np.searchsorted(rounds, numbered), np.array(values, dtype=np.float64))
        for key, (numbered, values) in found.items()
    }
    metrics = (*experiment.metrics, *([TOTAL] if several else []))
    alternatives = _alternatives(experiment, plan)
    return Observations(
        experiment,
        plan,
        alternatives,
        _pairs(alternatives, plan),
        metrics,
        TOTAL if several else next(iter(plan.total), None),
        draw(len(rounds), experiment.seed, resamples),
        tuple(_left_out(experiment, metrics, series)),
        tuple(rounds.tolist()),
        series,
    )


def draw(rounds: int, seed: int, resamples: int = RESAMPLES) -> NDArray[np.int16]:
    """How often each round is in each resample: (rounds, resamples), columns add up to `rounds`.

    Rounds are drawn with replacement, from the raw numbers of PCG64, which are the same in every
    version of numpy.
    """
    import numpy as np

    if rounds == 0:
        return np.zeros((0, resamples), dtype=np.int16)
    generator = np.random.PCG64(seed)
    # An experiment has at most 10,000 rounds.
    counts = np.zeros((rounds, resamples), dtype=np.int16)
    own = np.arange(resamples)
    for _ in range(rounds):
        # 2**64 is not a multiple of the number of rounds; what this favours is below 1e-15.
        drawn = (generator.random_raw(resamples) % np.uint64(rounds)).astype(np.intp)
        counts[drawn, own] += 1  # each resample is there once
    return counts


def draw_apart(first: int, second: int) -> NDArray[np.int16]:
    """Draws for two sets of so many rounds that have nothing in common, one below the other.

    Each set is drawn on its own: for a bootstrap that is not paired.
    """
    import numpy as np

    return np.concatenate([draw(first, 1), draw(second, 2)])


def medians(series: Series, counts: NDArray[np.int16]) -> NDArray[np.float64]:
    """The median of a series in each resample: (resamples,), NaN where none of it was drawn."""
    import numpy as np

    if not series.varies:
        drawn = counts[series.rounds].any(axis=0)
        return np.where(drawn, series.values[0], np.nan)
    order = np.argsort(series.values, kind="stable")
    ordered = series.values[order]
    rows = series.rounds[order]
    # In sorted order the middle of a resample is where its counts add up to half: the block of rows
    # in which that is, then the row in it. All sums of many rounds would leave the CPU's caches.
    length = math.isqrt(len(rows))
    begins = range(0, len(rows), length)
    sums = np.array([counts[rows[at : at + length]].sum(axis=0, dtype=np.int32) for at in begins])
    reached = np.cumsum(sums, axis=0)
    drawn = reached[-1]
    own = np.arange(counts.shape[1])

    def at(target: NDArray[np.int32]) -> NDArray[np.float64]:
        """The value at which so many are reached; the last one where there are not as many."""
        block = np.minimum(np.count_nonzero(reached < target, axis=0), len(begins) - 1)
        inside = np.minimum(block * length + np.arange(length)[:, np.newaxis], len(rows) - 1)
        before = reached[block, own] - sums[block, own]
        sought = before + np.cumsum(counts[rows[inside], own], axis=0) < target
        found = block * length + np.count_nonzero(sought, axis=0)
        values: NDArray[np.float64] = ordered[np.minimum(found, len(rows) - 1)]
        return values

    middle = (at((drawn + 1) // 2) + at(drawn // 2 + 1)) / 2
    return np.where(drawn > 0, middle, np.nan)


def interval(replicates: NDArray[np.float64]) -> tuple[float, float] | None:
    """The 95 % percentile interval of a resampled number; None if no resample gave one.

    NaN does not count; an infinite end means that there is no bound.
    """
    import numpy as np

    ordered = np.sort(replicates[~np.isnan(replicates)])
    if len(ordered) == 0:
        return None
    # The k-th value from either end, k = 0.025·(B+1): Davison and Hinkley (1997), chapter 5.
    k = max(1, (len(ordered) + 1) // 40)
    return float(ordered[k - 1]), float(ordered[-k])


def too_few(*series: tuple[str, Series]) -> str:
    """Why there is no interval, naming what has too few samples; empty where all have enough."""
    short = [f"{name} has {len(each.values)}" for name, each in series if len(each.values) < LEAST]
    return f"no interval below {LEAST} samples: {', '.join(short)}" if short else ""


def _alternatives(experiment: Experiment, plan: AnalysisPlan) -> tuple[Alternative, ...]:
    if plan.compare is None:
        return ()
    parameter = experiment.parameters[plan.compare]
    # A number alone says nothing.
    names = {
        value: value if isinstance(value, str) else f"{plan.compare}={value}"
        for value in parameter.values
    }
    return tuple(
        Alternative(value, parameter.labels.get(value, name)) for value, name in names.items()
    )


def _pairs(alternatives: Sequence[Alternative], plan: AnalysisPlan) -> tuple[Pair, ...]:
    if len(alternatives) < 2:
        return ()
    named = [each for each in alternatives if each.value == plan.baseline]
    (baseline,) = named or [alternatives[1 if len(alternatives) == 2 else 0]]
    return tuple((each, baseline) for each in alternatives if each is not baseline)


def _left_out(
    experiment: Experiment,
    metrics: tuple[str, ...],
    series: Mapping[tuple[Cell, str], Series],
) -> Iterable[str]:
    for cell in cells(experiment):
        missing = [metric for metric in metrics if (cell, metric) not in series]
        if len(missing) == len(metrics):
            yield f"{cell}: no sample that is ok"
        elif missing:
            yield f"{cell}: no sample that has {', '.join(missing)}"
