"""The numbers that were published of a real Pi (results/reference/), and a run's beside them."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pibed.base.errors import HostError, UsageError
from pibed.model.experiment import Experiment
from pibed.model.plan import Cell, cells
from pibed.model.samples import Status
from pibed.model.words import heading, label, number, rounded, title
from pibed.report.table import Column, Table
from pibed.report.tables import between
from pibed.runs.reading import Run
from pibed.stats.analysis import Analysis
from pibed.stats.comparison import Comparison, judge_all, measure
from pibed.stats.observations import Alternative, Observations, Series, draw_apart
from pibed.studies.nearness import Nearness
from pibed.studies.nearness import nearness as of_ratios

_PARAMETERS = MODE, SIZE, LOG, TOUCHED = "demand_paging", "size", "log_faults", "percent"

# Sizes at which the Pi's multiplication took longer with demand paging, and at which there was
# nothing to tell.
DIFFERENT, ALIKE = (256, 512), (64, 128)

_MODES = {"demand paging": 1, "pre-paging": 0}

_METRICS = {"mmap": "mmap_us", "multiply": "multiply_us"}

_CELLS = (_MODES.values(), (*ALIKE, *DIFFERENT), _METRICS.values())

# Student's t for 95 % with 9 degrees of freedom: ten runs each, the variances not taken as equal.
_T9 = 2.262


@dataclass(frozen=True)
class Published:
    """One metric in one cell on the Pi, in µs: ten runs."""

    mode: int
    size: int
    metric: str
    mean: float
    median: float
    sd: float
    other: tuple[float, ...]
    """The single runs of another session; none for demand paging."""


@dataclass(frozen=True)
class Beside:
    """A cell and metric of which the Pi and a run have numbers."""

    published: Published
    series: Series
    """The run's samples, in µs."""
    comparison: Comparison | None
    """Of the run with the single runs that are published, where there are any."""

    @property
    def mean(self) -> float:
        """The run's, in µs."""
        return float(self.series.values.mean())

    @property
    def sd(self) -> float | None:
        """The run's standard deviation in µs; None of one sample."""
        if len(self.series.values) < 2:
            return None
        return float(self.series.values.std(ddof=1))


def read(folder: Path) -> list[Published]:
    """The Pi's numbers; raises HostError if they are not there or damaged."""
    fix = "restore results/reference/ from the repository"
    try:
        with (folder / "pi-prepaging-runs.csv").open(encoding="utf-8", newline="") as file:
            runs = list(csv.DictReader(file))
        with (folder / "pi-summary.csv").open(encoding="utf-8", newline="") as file:
            published = [
                Published(
                    _MODES[row["mode"]],
                    int(row["size"]),
                    _METRICS[row["timing"]],
                    float(row["mean_us"]),
                    float(row["median_us"]),
                    float(row["sd_us"]),
                    tuple(
                        float(each[_METRICS[row["timing"]]])
                        for each in runs
                        if (each["mode"], each["size"]) == (row["mode"], row["size"])
                    ),
                )
                for row in csv.DictReader(file)
            ]
        there = {(each.mode, each.size, each.metric) for each in published}
        if lacks := sorted(set(itertools.product(*_CELLS)) - there):
            mode, size, metric = lacks[0]
            raise ValueError(f"pi-summary.csv lacks {metric} with {MODE}={mode} at size {size}")
        return published
    except OSError as error:
        raise HostError.from_os(error, folder, fix) from error
    except (KeyError, TypeError, ValueError) as error:
        raise HostError(f"{folder}: the Pi's numbers are damaged: {error}", fix=fix) from None


def require_study(run: Run) -> Analysis:
    """A run's analysis; raises UsageError if the run is not of the paging study, or empty.

    It is the run's own where that asks what the study asks.
    """
    experiment = run.experiment
    ours = [experiment.parameters[n] for n in _PARAMETERS if n in experiment.parameters]
    if MODE not in experiment.parameters or "mmap_us" not in experiment.metrics:
        lacks = f"it lacks {MODE} or mmap_us"
    else:
        lacks = "its parameters are text" if any(each.is_text for each in ours) else ""
    if lacks:
        raise UsageError(
            f"{run.name}: {experiment.name} is not the Pi's study: {lacks}",
            fix="compare a run of the experiment study, paging, placement, logging or balance",
        )
    if not any(each.status is Status.OK for each in run.samples):
        raise UsageError(f"{run.name}: there is no sample that is ok")
    asked: dict[str, str | None] = {"compare": MODE}
    if experiment.analysed.compare != MODE:
        asked["baseline"] = None
    if TOUCHED in experiment.parameters and experiment.analysed.total:
        asked["balance"] = TOUCHED
    plan = experiment.analysed.model_copy(update=asked)
    if plan == experiment.analysed:
        return run.analysis
    return Analysis(experiment.model_copy(update={"analysis": plan}), run.samples)


def beside(observations: Observations, published: Sequence[Published]) -> Iterable[Beside]:
    """The cells that both have, in the Pi's order."""
    import numpy as np

    found: list[Beside] = []
    for each in published:
        cell = board_cell(observations.experiment, each.mode, each.size)
        series = None if cell is None else observations.series(cell, each.metric)
        if cell is None or series is None:
            continue
        comparison = None
        if each.other:
            n = len(observations.rounds)
            other = Series(np.arange(len(each.other)) + n, np.array(each.other))
            counts = draw_apart(n, len(each.other))
            sides = (Alternative(1, "the run"), Alternative(0, "the Pi"))
            comparison = measure(cell, each.metric, sides, (series, other), counts)
        found.append(Beside(each, series, comparison))
    relevant = observations.plan.relevant_percent / 100
    judged = iter(judge_all([c for row in found if (c := row.comparison) is not None], relevant))
    for row in found:
        yield row if row.comparison is None else replace(row, comparison=next(judged))


def nearness(experiment: Experiment, rows: Iterable[Beside]) -> Nearness | None:
    """How near the run's means come to the Pi's; None without a cell that both have."""
    return of_ratios(
        {
            f"{title(experiment, row.published.metric)}, "
            f"{label(experiment, MODE, row.published.mode)}, size {row.published.size}": row.mean
            / row.published.mean
            for row in rows
        }
    )


def table(
    experiment: Experiment,
    rows: Sequence[Beside],
    caption: str,
) -> Table:
    """A row a cell and metric."""
    headings = ("n", "run", "Pi", "run / Pi", "mean / Pi's", "run / other session", "95 % interval")
    columns = (
        Column(experiment.parameters[MODE].title),
        Column(experiment.parameters[SIZE].title, True),
        Column("metric"),
        *(Column(each, True) for each in headings),
    )
    return Table(
        caption,
        columns,
        tuple(
            (
                label(experiment, MODE, each.mode),
                str(each.size),
                heading(experiment, each.metric),
                str(len(row.series.values)),
                number(row.series.median),
                number(each.median),
                f"{row.series.median / each.median:.3f}",
                f"{row.mean / each.mean:.3f}",
                "-" if found is None or found.ratio is None else f"{found.ratio:.3f}",
                between(found.ratio_low, found.ratio_high, ".3f") if found is not None else "-",
            )
            for row in rows
            for each, found in [(row.published, row.comparison)]
        ),
        "Medians, but for the ratio of the means. Other session: the single runs that were "
        "published, of pre-paging only.",
    )


def excess(published: Sequence[Published], size: int, *metrics: str) -> tuple[float, float]:
    """By what share demand paging took longer on the Pi, and the half width of its 95 % interval.

    Of the sum of the metrics' means; the interval is that of the difference of two means (Welch).
    """
    mean, square = {0: 0.0, 1: 0.0}, 0.0
    for each in published:
        if each.size == size and each.metric in metrics:
            mean[each.mode] += each.mean
            square += each.sd**2 / 10
    return mean[1] / mean[0] - 1, _T9 * math.sqrt(square) / mean[0]


def spread(rows: Iterable[Beside], size: int) -> str | None:
    """How much the multiplication varies with each mode, by its mean; None where unknown."""
    found = {
        row.published.mode: (row.published.sd / row.published.mean, row.sd / row.mean)
        for row in rows
        if (row.published.size, row.published.metric) == (size, "multiply_us")
        and row.sd is not None
    }
    if len(found) < len(_MODES):
        return None
    board, here = (
        " and ".join(f"{rounded(100 * found[mode][side], 2)} %" for mode in _MODES.values())
        for side in (0, 1)
    )
    return (
        f"standard deviation of the multiplication at size {size} with {' and '.join(_MODES)}: "
        f"{here} of the mean, on the Pi {board}"
    )


def pages(size: int) -> int:
    """How many pages the study maps, and demand paging faults on: three matrices of doubles."""
    return 3 * math.ceil(8 * size**2 / 4096)


def board_cell(experiment: Experiment, mode: int, size: int) -> Cell | None:
    """The cell of the Pi's study: where the log line is a choice, with it, as on the board."""
    if SIZE not in experiment.parameters:
        return None
    lines = experiment.parameters[LOG].numbers if LOG in experiment.parameters else [1]
    wanted = {MODE: mode, SIZE: size, LOG: lines[-1]}
    for cell in cells(experiment):
        values = cell.as_dict()
        if set(values) <= set(wanted) and all(wanted[name] == values[name] for name in values):
            return cell
    return None
