"""Statistics of each cell's samples."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pibed.config import Experiment
from pibed.plan import Cell, cells
from pibed.samples import Number, Sample

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """The statistics of one metric in one cell over its `n` samples that are `ok`.

    `sd` is the sample standard deviation (divisor n-1), None below two samples. `ci_low` and
    `ci_high` bound the median (see `median_interval`), None where n is too small for it.
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


def summarise(experiment: Experiment, samples: Iterable[Sample]) -> list[Summary]:
    """One summary a cell and metric, in the experiment's order; empty cells are left out."""
    by_cell: dict[Cell, list[Sample]] = {cell: [] for cell in cells(experiment)}
    for sample in samples:
        if sample.status == "ok":
            values = tuple((name, sample.parameters[name]) for name in experiment.parameters)
            by_cell[Cell(values)].append(sample)
    return [
        describe(cell, metric, [sample.metrics[metric] for sample in members])
        for cell, members in by_cell.items()
        for metric in experiment.metrics
        if members
    ]


def describe(cell: Cell, metric: str, values: Sequence[Number]) -> Summary:
    """The statistics of at least one value."""
    low, high = median_interval(values) or (None, None)
    return Summary(
        cell,
        metric,
        n=len(values),
        min=min(values),
        max=max(values),
        mean=statistics.fmean(values),
        median=float(statistics.median(values)),
        sd=statistics.stdev(values) if len(values) > 1 else None,
        ci_low=low,
        ci_high=high,
    )


def median_interval(
    values: Sequence[Number], confidence: float = CONFIDENCE
) -> tuple[Number, Number] | None:
    """A confidence interval for the median that assumes nothing of the distribution.

    The narrowest pair of order statistics x(k), x(n+1-k) whose coverage, 1 - 2·P(B < k) with B
    binomial (n, 1/2), is at least `confidence`; None if even x(1), x(n) do not reach it (n < 6 for
    95 %). See David and Nagaraja, Order Statistics, 3rd edition, section 7.1.
    """
    n = len(values)
    ordered = sorted(values)
    below = 0.0
    best = None
    for k in range(1, n // 2 + 1):
        below += math.comb(n, k - 1) / 2**n
        if 1 - 2 * below < confidence:
            break
        best = (ordered[k - 1], ordered[n - k])
    return best


def to_csv(experiment: Experiment, summaries: Iterable[Summary]) -> str:
    """The content of summary.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("n", "min", "max", "mean", "median", "sd", "ci_low", "ci_high")
    writer.writerow([*experiment.parameters, "metric", *columns])
    for each in summaries:
        row = [getattr(each, column) for column in columns]
        writer.writerow(
            [
                *(value for _, value in each.cell.values),
                each.metric,
                *("" if x is None else x for x in row),
            ]
        )
    return text.getvalue()
