"""A run beside the numbers that were published of a real Pi: which of its findings show again.

The numbers are in results/reference/; docs/compare.md says how each finding is judged.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pibed import sentences
from pibed.archive import Archived
from pibed.balance import balances
from pibed.comparison import Comparison, compare, judge_all, measure, resampled_ratio
from pibed.config import Clock, Experiment, Growth, checkout
from pibed.errors import HostError, UsageError
from pibed.growth import fit
from pibed.observations import (
    LEAST,
    Mode,
    Observations,
    Series,
    draw,
    interval,
    observe,
    too_few,
)
from pibed.plan import Cell, cells
from pibed.report import CLOCKS

if TYPE_CHECKING:
    from rich.table import Table

MODE, SIZE, LOG, TOUCHED = "demand_paging", "size", "log_faults", "percent"
_MODES = {"demand paging": 1, "pre-paging": 0}
_METRICS = {"mmap": "mmap_us", "multiply": "multiply_us"}

# mmap is constant if it changes by less than a tenth while the pages grow 64-fold: on the Pi its
# means lie within 4 % of each other with demand paging, and grow 18-fold with pre-paging.
_CONSTANT = 1.1

# Sizes at which the Pi's study found a difference, and at which there was nothing to tell.
_SLOWER, _NOTHING = (256, 512), (64, 128)

# Student's t for 95 % with 9 degrees of freedom: ten runs each, the variances not taken as equal.
_T9 = 2.262

Verdict = Literal["reproduced", "not reproduced", "undecided"]

_MEANING: dict[Clock, str] = {
    "virtual": (
        "What is not reproduced with this clock is not refuted: a finding that rests on what "
        "exceptions, TLBs and caches cost cannot show where they cost nothing."
    ),
    "host": (
        "What is or is not reproduced with this clock speaks of QEMU on this host, where a first "
        "touch costs what the emulation of a fault costs."
    ),
}


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
class Statement:
    """A part of a finding that can be judged on its own."""

    verdict: Verdict
    words: str


@dataclass(frozen=True)
class Finding:
    """One of the study's findings, and what a run says of it."""

    text: str
    statements: tuple[Statement, ...]

    @property
    def verdict(self) -> Verdict:
        """Not reproduced if a statement is not; reproduced if all are."""
        found = {each.verdict for each in self.statements}
        if "not reproduced" in found:
            return "not reproduced"
        return "reproduced" if found == {"reproduced"} else "undecided"


def show(run: Archived) -> None:
    """Prints the numbers side by side and what becomes of each finding.

    Raises UsageError for a run of another study, or one without samples.
    """
    from rich.console import Console

    published = read(checkout() / "results" / "reference")
    observations = require_study(run)
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    rows = list(beside(observations, published))
    if rows:
        console.print(table(run.experiment, rows, f"{run.name} beside a Pi"))
    for note in run.notes:
        print(f"note: {note}")
    for number, finding in enumerate(findings(observations, published), start=1):
        print(f"{number}. {finding.text}: {finding.verdict}")
        for statement in finding.statements:
            print(f"   - {statement.verdict}: {statement.words}")
    clock = run.recorded.machine.clock
    print(f"clock: {CLOCKS[clock]} {_MEANING[clock]}")
    print(f"log line: {_log_line(run.experiment)}")


def read(folder: Path) -> list[Published]:
    """The Pi's numbers; raises HostError if they are not there or damaged."""
    fix = "restore results/reference/ from the repository"
    try:
        with (folder / "pi-prepaging-runs.csv").open(encoding="utf-8", newline="") as file:
            runs = list(csv.DictReader(file))
        with (folder / "pi-summary.csv").open(encoding="utf-8", newline="") as file:
            return [
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
    except OSError as error:
        raise HostError.from_os(error, folder, fix) from error
    except (KeyError, TypeError, ValueError) as error:
        raise HostError(f"{folder}: the Pi's numbers are damaged: {error}", fix=fix) from None


def require_study(run: Archived) -> Observations:
    """A run's observations; raises UsageError if it is not of the paging study, or empty."""
    experiment = run.experiment
    if MODE not in experiment.parameters or "mmap_us" not in experiment.metrics:
        raise UsageError(
            f"{run.name}: {experiment.name} is not the Pi's study: it lacks {MODE} or mmap_us",
            fix="compare a run of the experiment paging, logging or balance",
        )
    analysis = experiment.analysed
    if TOUCHED in experiment.parameters and analysis.mode and analysis.total:
        analysis = analysis.model_copy(update={"balance": TOUCHED})
        experiment = experiment.model_copy(update={"analysis": analysis})
    observations = observe(experiment, run.samples)
    if not any(each.status == "ok" for each in run.samples):
        raise UsageError(f"{run.name}: there is no sample that is ok")
    return observations


def findings(observations: Observations, published: Sequence[Published]) -> list[Finding]:
    """The three findings of the study, in its order."""
    comparisons = compare(observations)
    return [
        Finding(
            "The mmap time is constant with demand paging and grows with the pages with pre-paging",
            (_constant(observations), _growing(observations, published)),
        ),
        Finding(
            "The multiplication is slower with demand paging, by 48 % at size 256 and 8 % at 512; "
            "nothing to tell at 64 and 128",
            tuple(_slower(observations, comparisons, published)),
        ),
        Finding(
            "In total pre-paging wins where all of the memory is used; where little of it is "
            "touched, demand paging should win",
            (*_wins(observations, comparisons, published), *_little(observations, comparisons)),
        ),
    ]


def beside(
    observations: Observations, published: Sequence[Published]
) -> Iterable[tuple[Published, Series, Comparison | None]]:
    """The cells that both have: the Pi's numbers, the run's, and, against single runs, a ratio."""
    import numpy as np

    found = []
    for each in published:
        cell = _cell(observations.experiment, each.mode, each.size)
        series = None if cell is None else observations.series(cell, each.metric)
        if cell is None or series is None:
            continue
        comparison = None
        if each.other:
            n = len(observations.counts)
            other = Series(np.arange(len(each.other)) + n, np.array(each.other))
            counts = np.concatenate([observations.counts, draw(len(each.other), 2)])
            modes = (Mode(1, "the run"), Mode(0, "the Pi"))
            comparison = measure(cell, each.metric, modes, (series, other), counts)
        found.append((each, series, comparison))
    relevant = observations.analysis.relevant_percent / 100
    judged = iter(judge_all([c for _, _, c in found if c is not None], relevant))
    for each, series, comparison in found:
        yield each, series, None if comparison is None else next(judged)


def table(
    experiment: Experiment,
    rows: Sequence[tuple[Published, Series, Comparison | None]],
    title: str,
) -> Table:
    """A row a cell and timing."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    result = Table(
        title=escape(title),
        title_justify="left",
        caption="Medians. Other session: the single runs that were published, of pre-paging only.",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    result.add_column("mode")
    result.add_column("size", justify="right")
    result.add_column("timing")
    for heading in ("n", "run", "Pi", "run / Pi", "run / other session", "95 % interval"):
        result.add_column(heading, justify="right", no_wrap=True)
    for each, series, comparison in rows:
        known = comparison is not None and comparison.ratio is not None
        bounded = comparison is not None and comparison.ratio_low is not None
        result.add_row(
            escape(sentences.label(experiment, MODE, each.mode)),
            str(each.size),
            escape(f"{sentences.title(experiment, each.metric)} [µs]"),
            str(len(series.values)),
            sentences.number(series.median),
            sentences.number(each.median),
            f"{series.median / each.median:.3f}",
            f"{comparison.ratio:.3f}" if comparison and known else "-",
            f"{comparison.ratio_low:.3f} to {comparison.ratio_high:.3f}"
            if comparison and bounded
            else "-",
        )
    return result


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


def _cell(experiment: Experiment, mode: int, size: int) -> Cell | None:
    """The cell of the Pi's study: where the log line is a choice, with it, as on the board."""
    wanted = {MODE: mode, SIZE: size, LOG: 1}
    if SIZE not in experiment.parameters:
        return None
    for cell in cells(experiment):
        values = cell.as_dict()
        if set(values) <= set(wanted) and all(wanted[name] == values[name] for name in values):
            return cell
    return None


def _mmap(observations: Observations, mode: int) -> list[tuple[int, Series]]:
    """The mmap times by size, rising."""
    experiment = observations.experiment
    found = []
    sizes = experiment.parameters[SIZE].values if SIZE in experiment.parameters else []
    for size in sorted(sizes):
        cell = _cell(experiment, mode, size)
        series = None if cell is None else observations.series(cell, "mmap_us")
        if series is not None:
            found.append((size, series))
    return found


def _changes(
    observations: Observations, pairs: Sequence[tuple[Series, Series]]
) -> list[tuple[float, float]] | None:
    """The interval of second median by first for each pair; None if one has none."""
    if any(len(series.values) < LEAST for pair in pairs for series in pair):
        return None
    found = [
        interval(resampled_ratio(second, first, observations.counts)) for first, second in pairs
    ]
    known = [each for each in found if each is not None]
    return known if len(known) == len(found) else None


def _constant(observations: Observations) -> Statement:
    label = "with demand paging the mmap time is constant"
    found = _mmap(observations, 1)
    if (missing := _few(found)) is not None:
        return Statement("undecided", f"{label}: {missing}")
    medians = ", ".join(sentences.number(series.median) for _, series in found)
    where = sentences.enumeration(str(size) for size, _ in found)
    words = f"{label}: medians {medians} µs at size {where}; on the Pi 85 to 87.5 µs"
    base = found[0][1]
    bounds = _changes(observations, [(base, series) for _, series in found[1:]])
    if bounds is None:
        return Statement("undecided", f"{words}; {_short(found)}")
    most = max(high for _, high in bounds)
    least = min(low for low, _ in bounds)
    words += (
        f"; against the smallest size the ratios lie from {least:.3g} to {most:.3g} "
        f"(95 % intervals), constant means within {1 / _CONSTANT:.3g} to {_CONSTANT:g}"
    )
    if 1 / _CONSTANT <= least and most <= _CONSTANT:
        return Statement("reproduced", words)
    if any(low > _CONSTANT or high < 1 / _CONSTANT for low, high in bounds):
        return Statement("not reproduced", words)
    return Statement("undecided", words)


def _growing(observations: Observations, published: Sequence[Published]) -> Statement:
    label = "with pre-paging the mmap time grows with the pages"
    found = _mmap(observations, 0)
    if (missing := _few(found)) is not None:
        return Statement("undecided", f"{label}: {missing}")
    slope = _slope([(size, series.median) for size, series in found])
    board = _slope(
        [
            (each.size, each.median)
            for each in published
            if (each.mode, each.metric) == (0, "mmap_us")
        ]
    )
    words = f"{label}: by {slope:.3g} µs a page, {board:.3g} on the Pi"
    series = [each for _, each in found]
    bounds = _changes(observations, list(zip(series[:-1], series[1:], strict=True)))
    if bounds is None:
        return Statement("undecided", f"{words}; {_short(found)}")
    words += f"; from size to size by a factor of {min(low for low, _ in bounds):.3g} at least"
    if all(low > _CONSTANT for low, _ in bounds):
        return Statement("reproduced", words)
    if any(high < _CONSTANT for _, high in bounds):
        return Statement("not reproduced", words)
    return Statement("undecided", words)


def _few(found: Sequence[tuple[int, Series]]) -> str | None:
    if len(found) >= 2:
        return None
    return "this run has samples of a single size" if found else "this run has no such samples"


def _short(found: Sequence[tuple[int, Series]]) -> str:
    named = [(f"size {size}", series) for size, series in found]
    return too_few(*named) or "a resample has no samples of a size"


def _slope(points: Sequence[tuple[int, float]]) -> float:
    """µs a page, by least squares; the matrices of size N have 3·⌈8·N²/4096⌉ pages."""
    pages = [(3.0 * math.ceil(8 * size**2 / 4096), time) for size, time in points]
    growth = Growth(metric="mmap_us", against="pages", law="linear")
    return fit(None, Cell(()), growth, pages).slope or 0.0


def _at(
    observations: Observations, comparisons: Sequence[Comparison], metric: str | None, size: int
) -> Comparison | None:
    cell = _cell(observations.experiment, 1, size)
    if cell is None:
        return None
    others = {pair for pair in cell.values if pair[0] != MODE}
    for each in comparisons:
        if each.metric == metric and set(each.others.values) == others:
            return each
    return None


def _slower(
    observations: Observations,
    comparisons: Sequence[Comparison],
    published: Sequence[Published],
) -> Iterable[Statement]:
    for size in _SLOWER:
        board, width = excess(published, size, "multiply_us")
        label = f"slower at size {size}, on the Pi by {100 * board:.3g} ± {100 * width:.2g} %"
        yield _decided_for(0, _at(observations, comparisons, "multiply_us", size), label)
    for size in _NOTHING:
        board, width = excess(published, size, "multiply_us")
        label = f"nothing to tell at size {size}, on the Pi {100 * board:.2g} ± {100 * width:.2g} %"
        found = _at(observations, comparisons, "multiply_us", size)
        if found is None or found.ratio_low is None or found.ratio_high is None:
            yield Statement("undecided", f"{label}: {_measured(found)}")
            continue
        low, high = found.ratio_low - 1, found.ratio_high - 1
        if -width <= low and high <= width:
            # What the Pi's ten runs would have shown no more than they did.
            yield Statement("reproduced", f"{label}: {_measured(found)}")
        elif low > width or high < -width:
            yield Statement("not reproduced", f"{label}: {_measured(found)}")
        else:
            yield Statement("undecided", f"{label}: {_measured(found)}")


def _wins(
    observations: Observations,
    comparisons: Sequence[Comparison],
    published: Sequence[Published],
) -> Iterable[Statement]:
    """Pre-paging where everything is touched: at the sizes at which the Pi shows it."""
    experiment = observations.experiment
    if SIZE in experiment.parameters:
        for size in _SLOWER:
            board, width = excess(published, size, "mmap_us", "multiply_us")
            label = (
                f"pre-paging wins at size {size}, on the Pi by {100 * board:.3g} ± "
                f"{100 * width:.2g} % of its time"
            )
            yield _decided_for(
                0, _at(observations, comparisons, observations.deciding, size), label
            )
    elif TOUCHED in experiment.parameters:
        yield from _touched(observations, comparisons, 100, 0, "pre-paging wins")
    else:
        yield Statement("undecided", "pre-paging wins: this run has no sizes")


def _little(observations: Observations, comparisons: Sequence[Comparison]) -> Iterable[Statement]:
    experiment = observations.experiment
    if TOUCHED not in experiment.parameters:
        yield Statement(
            "undecided",
            "demand paging wins where little is touched: this run touches all of the memory; "
            "invoke sweep --experiment balance measures the rest",
        )
        return
    least = min(experiment.parameters[TOUCHED].values)
    yield from _touched(observations, comparisons, least, 1, "demand paging wins")
    for each in balances(observations):
        known = each.at is not None
        yield Statement(
            "reproduced"
            if known and each.low is not None and each.high is not None
            else "undecided",
            f"a balance between the two: {sentences.balanced(experiment, each).rstrip('.')}",
        )


def _touched(
    observations: Observations,
    comparisons: Sequence[Comparison],
    percent: int,
    mode: int,
    label: str,
) -> Iterable[Statement]:
    found = [
        each
        for each in comparisons
        if each.metric == observations.deciding and each.others.as_dict().get(TOUCHED) == percent
    ]
    if not found:
        yield Statement("undecided", f"{label} with {percent} % touched: this run has no samples")
    for each in found:
        where = sentences.place(observations.experiment, each.others)
        yield _decided_for(mode, each, f"{label} at {where}")


def _decided_for(mode: int, found: Comparison | None, label: str) -> Statement:
    """Whether a mode is faster, as the study has it."""
    words = f"{label}: {_measured(found)}"
    if found is None or (found.faster is None and found.reason):
        return Statement("undecided", words)
    if found.faster is not None and found.faster.value == mode:
        return Statement("reproduced", words)
    return Statement("not reproduced", words)


def _measured(found: Comparison | None) -> str:
    """By how much demand paging takes longer in this run, and the verdict."""
    if found is None:
        return "this run has no samples of both modes"
    if found.ratio is None:
        return f"{found.verdict}; {found.reason}"
    # The ratio is the first mode's time by the second's.
    first = found.modes[0].value == 1
    values = [found.ratio, found.ratio_low, found.ratio_high]
    if not first:
        values = [None if not each else 1 / each for each in (values[0], values[2], values[1])]
    percent = [None if each is None else f"{100 * (each - 1):.3g}" for each in values]
    if percent[0] is None:
        return found.verdict
    bounds = ""
    if percent[1] is not None and percent[2] is not None:
        bounds = f" (95 % interval {percent[1]} to {percent[2]} %)"
    verdict = f"{found.verdict} is faster" if found.faster is not None else found.verdict
    because = f" ({found.reason})" if found.faster is None and found.reason else ""
    return f"here by {percent[0]} %{bounds}, {verdict}{because}"


def _log_line(experiment: Experiment) -> str:
    """Whether the module printed a line a fault, as the board's did."""
    if LOG in experiment.parameters:
        shown = "with" if 1 in experiment.parameters[LOG].values else "without"
        return f"the cells above are those {shown} the log line of each fault, which the board had"
    if str(experiment.module.parameters.get(LOG, 0)) == "0":
        return (
            "the board's module printed a line in the kernel's log for each fault, this run's "
            "did not; invoke sweep --experiment logging measures what the line costs"
        )
    return "the module printed a line for each fault, as the board's did"
