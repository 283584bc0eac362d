"""Which findings of the study on a real Pi a run shows again.

How each is judged is in docs/compare.md.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pibed.base import places
from pibed.base.errors import HostError, UsageError
from pibed.model.experiment import Experiment, Growth
from pibed.model.machine import Clock
from pibed.model.plan import Cell
from pibed.report import wording
from pibed.report.wording import CLOCKS
from pibed.runs.reading import Run
from pibed.stats.growth import fit
from pibed.stats.modes import Comparison, compare, resampled_ratio
from pibed.stats.observations import LEAST, Observations, Series, interval, too_few
from pibed.studies.pi import penalty, reference
from pibed.studies.pi.reference import (
    ALIKE,
    DIFFERENT,
    LOG,
    MODE,
    SIZE,
    TOUCHED,
    Published,
    board_cell,
    excess,
    pages,
)

# mmap is constant if it changes by less than a tenth while the pages grow 64-fold: on the Pi its
# means lie within 4 % of each other with demand paging, and grow 18-fold with pre-paging.
_CONSTANT = 1.1

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


def show(run: Run) -> None:
    """Prints the numbers side by side and what becomes of each finding.

    Raises UsageError for a run of another study, or one without samples.
    """
    from rich.console import Console

    published = reference.read(places.checkout() / "results" / "reference")
    observations = reference.require_study(run)
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    rows = list(reference.beside(observations, published))
    if rows:
        console.print(reference.table(run.experiment, rows, f"{run.name} beside a Pi"))
    for note in run.notes:
        print(f"note: {note}")
    for number, finding in enumerate(findings(observations, published), start=1):
        print(f"{number}. {finding.text}: {finding.verdict}")
        for statement in finding.statements:
            print(f"   - {statement.verdict}: {statement.words}")
    clock = run.recorded.machine.clock
    print(f"clock: {CLOCKS[clock]} {_MEANING[clock]}")
    print(f"log line: {_log_line(run.experiment)}")
    for line in penalty.explained(observations, published):
        print(f"   - {line}")


def beside_a_pi(run: Run) -> tuple[str, list[str]]:
    """What a report has of the study: a title and `brief`."""
    return "Beside a real Pi", brief(run)


def brief(run: Run) -> list[str]:
    """The verdict on each finding, and what the log line may be of it; none for another study.

    Without the Pi's numbers, as where somebody has removed all of `results/`, it is that.
    """
    try:
        observations = reference.require_study(run)
    except UsageError:
        return []
    try:
        published = reference.read(places.checkout() / "results" / "reference")
    except HostError as error:
        return [f"Not compared with a real Pi: {error.message}; {error.fix}"]
    return [
        *(
            wording.sentence(f"{each.verdict}: {each.text}")
            for each in findings(observations, published)
        ),
        *penalty.explained(observations, published),
        _MEANING[run.recorded.machine.clock],
        f"The numbers, and what the clock means for them: ./inv compare {run.name} pi",
    ]


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


def _mmap(observations: Observations, mode: int) -> list[tuple[int, Series]]:
    """The mmap times by size, rising."""
    experiment = observations.experiment
    found = []
    sizes = experiment.parameters[SIZE].values if SIZE in experiment.parameters else []
    for size in sorted(sizes):
        cell = board_cell(experiment, mode, size)
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
    medians = ", ".join(wording.number(series.median) for _, series in found)
    where = wording.enumeration(str(size) for size, _ in found)
    words = f"{label}: medians {medians} µs at size {where}; on the Pi means of 86 to 89 µs"
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
    if least >= 1 / _CONSTANT and most <= _CONSTANT:
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
    bounds = _changes(observations, list(itertools.pairwise(series)))
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
    """µs a page, by least squares."""
    by_pages = [(float(pages(size)), time) for size, time in points]
    growth = Growth(metric="mmap_us", against="pages", law="linear")
    return fit(None, Cell(()), growth, by_pages).slope or 0.0


def _at(
    observations: Observations, comparisons: Sequence[Comparison], metric: str | None, size: int
) -> Comparison | None:
    cell = board_cell(observations.experiment, 1, size)
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
    for size in DIFFERENT:
        board, width = excess(published, size, "multiply_us")
        label = f"slower at size {size}, on the Pi by {100 * board:.3g} ± {100 * width:.2g} %"
        yield _decided_for(0, _at(observations, comparisons, "multiply_us", size), label)
    for size in ALIKE:
        board, width = excess(published, size, "multiply_us")
        label = f"nothing to tell at size {size}, on the Pi {100 * board:.2g} ± {100 * width:.2g} %"
        found = _at(observations, comparisons, "multiply_us", size)
        if found is None or found.ratio_low is None or found.ratio_high is None:
            yield Statement("undecided", f"{label}: {_measured(found)}")
            continue
        low, high = found.ratio_low - 1, found.ratio_high - 1
        if -width <= low and high <= width:
            # What the Pi's ten runs would have shown no more than they did.
            yield Statement("reproduced", f"{label}: {_excess(found)}")
        elif low > width or high < -width:
            yield Statement("not reproduced", f"{label}: {_excess(found)}")
        else:
            yield Statement("undecided", f"{label}: {_excess(found)}")


def _wins(
    observations: Observations,
    comparisons: Sequence[Comparison],
    published: Sequence[Published],
) -> Iterable[Statement]:
    """Pre-paging where everything is touched: at the sizes at which the Pi shows it."""
    experiment = observations.experiment
    if SIZE in experiment.parameters:
        for size in DIFFERENT:
            board, width = excess(published, size, "mmap_us", "multiply_us")
            label = (
                f"pre-paging wins at size {size}, on the Pi by {100 * board:.3g} ± "
                f"{100 * width:.2g} % of its time"
            )
            yield _decided_for(
                0, _at(observations, comparisons, observations.deciding, size), label
            )
    elif TOUCHED in experiment.parameters:
        yield _touched(observations, comparisons, 100, 0, "pre-paging wins")
    else:
        yield Statement("undecided", "pre-paging wins: this run has no sizes")


def _little(observations: Observations, comparisons: Sequence[Comparison]) -> Iterable[Statement]:
    experiment = observations.experiment
    if TOUCHED not in experiment.parameters:
        yield Statement(
            "undecided",
            "demand paging wins where little is touched: this run touches all of the memory; "
            "./inv sweep --experiment balance measures the rest",
        )
        return
    least = min(experiment.parameters[TOUCHED].values)
    yield _touched(observations, comparisons, least, 1, "demand paging wins")


def _touched(
    observations: Observations,
    comparisons: Sequence[Comparison],
    percent: int,
    mode: int,
    label: str,
) -> Statement:
    """Whether a mode wins where so much is touched, in all combinations of the other parameters."""
    found = [
        each
        for each in comparisons
        if each.metric == observations.deciding and each.others.as_dict().get(TOUCHED) == percent
    ]
    label = f"{label} with {percent} % touched"
    if not found:
        return Statement("undecided", f"{label}: this run has no samples of both modes")
    statements = [_decided_for(mode, each, label) for each in found]
    if len(statements) == 1:
        return statements[0]
    verdicts = [each.verdict for each in statements]
    names = wording.enumeration(
        wording.title(observations.experiment, name)
        for name, _ in found[0].others.values
        if name != TOUCHED
    )
    count = f"{verdicts.count('reproduced')} of {len(verdicts)} combinations of {names}"
    verdict: Verdict = "undecided"
    if "not reproduced" in verdicts:
        verdict = "not reproduced"
    elif set(verdicts) == {"reproduced"}:
        verdict = "reproduced"
    return Statement(verdict, f"{label}: in {count}")


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
    excess = _excess(found)
    if not excess:
        return f"{found.verdict}; {found.reason}" if found.reason else found.verdict
    verdict = f"{found.verdict} is faster" if found.faster is not None else found.verdict
    because = f" ({found.reason})" if found.faster is None and found.reason else ""
    return f"{excess}, {verdict}{because}"


def _excess(found: Comparison) -> str:
    """By how much demand paging takes longer in this run; empty where that is no number."""
    if found.ratio is None:
        return ""
    # The ratio is the first mode's time by the second's.
    first = found.modes[0].value == 1
    values = [found.ratio, found.ratio_low, found.ratio_high]
    if not first:
        values = [None if not each else 1 / each for each in (values[0], values[2], values[1])]
    percent = [None if each is None else f"{100 * (each - 1):.3g}" for each in values]
    if percent[0] is None:
        return ""
    bounds = ""
    if percent[1] is not None and percent[2] is not None:
        bounds = f" (95 % interval {percent[1]} to {percent[2]} %)"
    return f"here by {percent[0]} %{bounds}"


def _log_line(experiment: Experiment) -> str:
    """Whether the module printed a line a fault, as the board's did."""
    if LOG in experiment.parameters:
        shown = "with" if 1 in experiment.parameters[LOG].values else "without"
        return f"the cells above are those {shown} the log line of each fault, which the board had"
    if str(experiment.module.parameters.get(LOG, 0)) == "0":
        return (
            "the board's module printed a line in the kernel's log for each fault, this run's "
            "did not; ./inv sweep --experiment logging measures what the line costs"
        )
    return "the module printed a line for each fault, as the board's did"
