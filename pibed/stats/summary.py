"""Statistics of each cell's samples."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pibed.model.experiment import SUMMARY_COLUMNS, Experiment
from pibed.model.plan import Cell, cells
from pibed.model.samples import Number, Sample, Status

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """The statistics of one metric in one cell over its `n` samples that are `ok`.

    `sd` is the sample standard deviation (divisor n-1), None below two samples. `ci_low` and
    `ci_high` bound the median with probability `ci_coverage` (see `median_interval`), None where n
    is too small for it. `mad` is the median of the absolute deviations from the median, not scaled.
    `outliers` counts the values that `outlying` flags; all of them are in the other numbers. All
    but `n`, `ci_coverage` and `outliers` are in the metric's unit. See docs/statistics.md.
    """

    cell: Cell
    metric: str
    n: int
    min: Number
    max: Number
    mean: float
    median: float
    sd: float | None
    ci_low: Number | None
    ci_high: Number | None
    ci_coverage: float | None
    mad: float
    outliers: int


@dataclass(frozen=True)
class Outlier:
    """A sample that `outlying` flags in one metric; all but the round is in its unit."""

    cell: Cell
    metric: str
    round: int
    value: Number
    median: float
    """Of the cell's samples."""
    spread: float | None
    """How uncertain that is; see `median_spread`."""


def summarise(experiment: Experiment, samples: Iterable[Sample]) -> list[Summary]:
    """One summary a cell and metric, in the experiment's order; empty cells are left out."""
    return [
        describe(cell, metric, [sample.metrics[metric] for sample in members])
        for cell, members in _by_cell(experiment, samples).items()
        for metric in experiment.metrics
        if members
    ]


def outliers(experiment: Experiment, samples: Iterable[Sample]) -> list[Outlier]:
    """The samples that are flagged, by cell and metric in the experiment's order."""
    found = []
    for cell, members in _by_cell(experiment, samples).items():
        for metric in experiment.metrics if members else ():
            values = [sample.metrics[metric] for sample in members]
            median = float(statistics.median(values))
            spread, flags = median_spread(values), outlying(values)
            found += [
                Outlier(cell, metric, sample.round, value, median, spread)
                for sample, value, flagged in zip(members, values, flags, strict=True)
                if flagged
            ]
    return found


def describe(cell: Cell, metric: str, values: Sequence[Number]) -> Summary:
    """The statistics of at least one value."""
    low, high = median_interval(values) or (None, None)
    median = float(statistics.median(values))
    return Summary(
        cell,
        metric,
        n=len(values),
        min=min(values),
        max=max(values),
        mean=statistics.fmean(values),
        median=median,
        sd=statistics.stdev(values) if len(values) > 1 else None,
        ci_low=low,
        ci_high=high,
        ci_coverage=None if low is None else median_coverage(len(values)),
        mad=float(statistics.median(abs(x - median) for x in values)),
        outliers=sum(outlying(values)),
    )


def median_interval(
    values: Sequence[Number], confidence: float = CONFIDENCE
) -> tuple[Number, Number] | None:
    """A confidence interval for the median that assumes nothing of the distribution.

    The narrowest pair of order statistics x(k), x(n+1-k) whose coverage, 1 - 2·P(B < k) with B
    binomial (n, 1/2), is at least `confidence`; None if even x(1), x(n) do not reach it (n < 6 for
    95 %). See David and Nagaraja, Order Statistics, 3rd edition, section 7.1.
    """
    k, _ = _rank(len(values), confidence)
    ordered = sorted(values)
    return (ordered[k - 1], ordered[-k]) if k else None


def median_spread(values: Sequence[Number]) -> float | None:
    """How uncertain the median is, in the values' unit: half the width of its interval.

    Of too few values for that it is their standard deviation, of one value None.
    """
    if (bounds := median_interval(values)) is not None:
        return (bounds[1] - bounds[0]) / 2
    return statistics.stdev(values) if len(values) > 1 else None


def median_coverage(n: int, confidence: float = CONFIDENCE) -> float | None:
    """The probability with which `median_interval` of n values covers the median.

    It is exact where the distribution is continuous, and a lower bound where values can be equal.
    None where there is no such interval.
    """
    k, coverage = _rank(n, confidence)
    return coverage if k else None


def outlying(values: Sequence[Number]) -> list[bool]:
    """For each value whether it lies unusually far from the median.

    Its modified z-score, 0.6745·|x - median| / MAD, is above 3.5: Iglewicz and Hoaglin, How to
    Detect and Handle Outliers (1993). Where more than half of the values are equal, MAD is 0, and
    the mean absolute deviation takes its place: |x - median| / (1.253314·MeanAD), the constant
    being that of a normal distribution too.
    """
    median = statistics.median(values)
    deviations = [abs(x - median) for x in values]
    scale = statistics.median(deviations) / 0.6745 or statistics.fmean(deviations) * 1.253314
    return [deviation > 3.5 * scale for deviation in deviations]


def _by_cell(experiment: Experiment, samples: Iterable[Sample]) -> dict[Cell, list[Sample]]:
    """The samples that are `ok`."""
    by_cell: dict[Cell, list[Sample]] = {cell: [] for cell in cells(experiment)}
    for sample in samples:
        if sample.status == Status.OK:
            by_cell[sample.cell].append(sample)
    return by_cell


@lru_cache
def _rank(n: int, confidence: float) -> tuple[int, float]:
    """The k of `median_interval` and the coverage of its pair; 0 where there is none."""
    # In whole numbers of 2**-n: 2**n is beyond a float from n = 1024 on.
    most = (int((1 - confidence) * 2**53) << n) >> 54
    below, term, k = 0, 1, 0
    while below + term <= most and k < n // 2:
        below += term  # C(n, 0) + … + C(n, k), of which P(B < k + 1) is the share
        term = term * (n - k) // (k + 1)
        k += 1
    return k, 1 - 2 * below / 2**n


def to_csv(experiment: Experiment, summaries: Iterable[Summary]) -> str:
    """The content of summary.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*experiment.parameters, *SUMMARY_COLUMNS])
    for each in summaries:
        row = [getattr(each, column) for column in SUMMARY_COLUMNS]
        values = (value for _, value in each.cell.values)
        writer.writerow([*values, *("" if x is None else x for x in row)])
    return text.getvalue()
