"""Which findings of the study on a real Pi a run shows again.

How each is judged is in docs/compare.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pibed.model.experiment import Growth
from pibed.model.plan import Cell
from pibed.model.words import enumeration, number, title
from pibed.report import wording
from pibed.stats.analysis import Analysis
from pibed.stats.comparison import Comparison, resampled_ratio
from pibed.stats.growth import fit
from pibed.stats.observations import LEAST, Observations, Series, interval, too_few
from pibed.studies.pi.reference import (
    ALIKE,
    DIFFERENT,
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


class Judgement(StrEnum):
    """What becomes of a finding, or of a part of it."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    UNDECIDED = "undecided"

    @classmethod
    def of(cls, parts: Iterable[Judgement]) -> Judgement:
        """Of the whole: not reproduced if a part is not; reproduced if all are."""
        found = set(parts)
        if cls.NOT_REPRODUCED in found:
            return cls.NOT_REPRODUCED
        return cls.REPRODUCED if found == {cls.REPRODUCED} else cls.UNDECIDED


@dataclass(frozen=True)
class Statement:
    """A part of a finding that can be judged on its own."""

    verdict: Judgement
    words: str


@dataclass(frozen=True)
class Finding:
    """One of the study's findings, and what a run says of it."""

    text: str
    statements: tuple[Statement, ...]

    @property
    def verdict(self) -> Judgement:
        """That of all statements together."""
        return Judgement.of(each.verdict for each in self.statements)


def findings(analysis: Analysis, published: Sequence[Published]) -> list[Finding]:
    """The three findings of the study, in its order."""
    slower = [
        f"{100 * excess(published, size, 'multiply_us')[0]:.0f} % at {at}{size}"
        for size, at in zip(DIFFERENT, ("size ", ""), strict=True)
    ]
    return [
        Finding(
            "The mmap time is constant with demand paging and grows with the pages with pre-paging",
            (_constant(analysis.observations, published), _growing(analysis, published)),
        ),
        Finding(
            f"The multiplication is slower with demand paging, by {enumeration(slower)}; "
            f"nothing to tell at {enumeration(map(str, ALIKE))}",
            tuple(_slower(analysis, published)),
        ),
        Finding(
            "In total pre-paging wins where all of the memory is used; where little of it is "
            "touched, demand paging should win",
            (*_wins(analysis, published), *_little(analysis)),
        ),
    ]


def _mmap(observations: Observations, mode: int) -> list[tuple[int, Series]]:
    """The mmap times by size, rising."""
    experiment = observations.experiment
    found = []
    sizes = experiment.parameters[SIZE].numbers if SIZE in experiment.parameters else []
    for size in sizes:
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


def _constant(observations: Observations, published: Sequence[Published]) -> Statement:
    label = "with demand paging the mmap time is constant"
    found = _mmap(observations, 1)
    if (missing := _few(found)) is not None:
        return Statement(Judgement.UNDECIDED, f"{label}: {missing}")
    medians = ", ".join(number(series.median) for _, series in found)
    where = enumeration(str(size) for size, _ in found)
    board = [each.mean for each in published if (each.mode, each.metric) == (1, "mmap_us")]
    means = f"on the Pi means of {min(board):.0f} to {max(board):.0f} µs"
    words = f"{label}: medians {medians} µs at size {where}; {means}"
    base = found[0][1]
    bounds = _changes(observations, [(base, series) for _, series in found[1:]])
    if bounds is None:
        return Statement(Judgement.UNDECIDED, f"{words}; {_short(found)}")
    most = max(high for _, high in bounds)
    least = min(low for low, _ in bounds)
    words += (
        f"; against the smallest size the ratios lie from {least:.3g} to {most:.3g} "
        f"(95 % intervals), constant means within {1 / _CONSTANT:.3g} to {_CONSTANT:g}"
    )
    if least >= 1 / _CONSTANT and most <= _CONSTANT:
        return Statement(Judgement.REPRODUCED, words)
    if any(low > _CONSTANT or high < 1 / _CONSTANT for low, high in bounds):
        return Statement(Judgement.NOT_REPRODUCED, words)
    return Statement(Judgement.UNDECIDED, words)


def _growing(analysis: Analysis, published: Sequence[Published]) -> Statement:
    label = "with pre-paging the mmap time grows with the pages"
    observations = analysis.observations
    found = _mmap(observations, 0)
    if (missing := _few(found)) is not None:
        return Statement(Judgement.UNDECIDED, f"{label}: {missing}")
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
        return Statement(Judgement.UNDECIDED, f"{words}; {_short(found)}")
    words += f"; from size to size by a factor of {min(low for low, _ in bounds):.3g} at least"
    if all(low > _CONSTANT for low, _ in bounds):
        return Statement(Judgement.REPRODUCED, words)
    if any(high < _CONSTANT for _, high in bounds):
        return Statement(Judgement.NOT_REPRODUCED, words)
    return Statement(Judgement.UNDECIDED, words)


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


def _at(analysis: Analysis, metric: str | None, size: int) -> Comparison | None:
    cell = board_cell(analysis.experiment, 1, size)
    if cell is None:
        return None
    others = {pair for pair in cell.values if pair[0] != MODE}
    for each in analysis.comparisons:
        if each.metric == metric and set(each.others.values) == others:
            return each
    return None


def _slower(analysis: Analysis, published: Sequence[Published]) -> Iterable[Statement]:
    for size in DIFFERENT:
        board, width = excess(published, size, "multiply_us")
        label = f"slower at size {size}, on the Pi by {100 * board:.3g} ± {100 * width:.2g} %"
        yield _decided_for(0, _at(analysis, "multiply_us", size), label)
    for size in ALIKE:
        board, width = excess(published, size, "multiply_us")
        label = f"nothing to tell at size {size}, on the Pi {100 * board:.2g} ± {100 * width:.2g} %"
        found = _at(analysis, "multiply_us", size)
        if found is None or found.ratio_low is None or found.ratio_high is None:
            yield Statement(Judgement.UNDECIDED, f"{label}: {_measured(found)}")
            continue
        low, high = found.ratio_low - 1, found.ratio_high - 1
        if -width <= low and high <= width:
            # What the Pi's ten runs would have shown no more than they did.
            yield Statement(Judgement.REPRODUCED, f"{label}: {_excess(found)}")
        elif low > width or high < -width:
            yield Statement(Judgement.NOT_REPRODUCED, f"{label}: {_excess(found)}")
        else:
            yield Statement(Judgement.UNDECIDED, f"{label}: {_excess(found)}")


def _wins(analysis: Analysis, published: Sequence[Published]) -> Iterable[Statement]:
    """Pre-paging where everything is touched: at the sizes at which the Pi shows it."""
    experiment = analysis.experiment
    if SIZE in experiment.parameters:
        for size in DIFFERENT:
            board, width = excess(published, size, "mmap_us", "multiply_us")
            label = (
                f"pre-paging wins at size {size}, on the Pi by {100 * board:.3g} ± "
                f"{100 * width:.2g} % of its time"
            )
            yield _decided_for(0, _at(analysis, analysis.observations.deciding, size), label)
    elif TOUCHED in experiment.parameters:
        yield _touched(analysis, 100, 0, "pre-paging wins")
    else:
        yield Statement(Judgement.UNDECIDED, "pre-paging wins: this run has no sizes")


def _little(analysis: Analysis) -> Iterable[Statement]:
    experiment = analysis.experiment
    if TOUCHED not in experiment.parameters:
        yield Statement(
            Judgement.UNDECIDED,
            "demand paging wins where little is touched: this run touches all of the memory; "
            "./inv sweep --experiment balance measures the rest",
        )
        return
    least = experiment.parameters[TOUCHED].numbers[0]
    yield _touched(analysis, least, 1, "demand paging wins")


def _touched(analysis: Analysis, percent: int, mode: int, label: str) -> Statement:
    """Whether a mode wins where so much is touched, in all combinations of the other parameters."""
    found = [each for each in analysis.deciding if each.others.as_dict().get(TOUCHED) == percent]
    label = f"{label} with {percent} % touched"
    if not found:
        return Statement(Judgement.UNDECIDED, f"{label}: this run has no samples of both modes")
    statements = [_decided_for(mode, each, label) for each in found]
    if len(statements) == 1:
        return statements[0]
    verdicts = [each.verdict for each in statements]
    names = enumeration(
        title(analysis.experiment, name) for name, _ in found[0].others.values if name != TOUCHED
    )
    count = f"{verdicts.count(Judgement.REPRODUCED)} of {len(verdicts)} combinations of {names}"
    return Statement(Judgement.of(verdicts), f"{label}: in {count}")


def _decided_for(mode: int, found: Comparison | None, label: str) -> Statement:
    """Whether a mode is faster, as the study has it."""
    words = f"{label}: {_measured(found)}"
    if found is None or (found.faster is None and found.reason):
        return Statement(Judgement.UNDECIDED, words)
    if found.faster is not None and found.faster.value == mode:
        return Statement(Judgement.REPRODUCED, words)
    return Statement(Judgement.NOT_REPRODUCED, words)


def _measured(found: Comparison | None) -> str:
    """By how much demand paging takes longer in this run, and the verdict."""
    if found is None:
        return "this run has no samples of both modes"
    verdict, excess = wording.verdict(found), _excess(found)
    if not excess:
        return f"{verdict}; {found.reason}" if found.reason else verdict
    verdict = f"{verdict} is faster" if found.faster is not None else verdict
    because = f" ({found.reason})" if found.faster is None and found.reason else ""
    return f"{excess}, {verdict}{because}"


def _excess(found: Comparison) -> str:
    """By how much demand paging takes longer in this run; empty where that is no number."""
    if found.ratio is None:
        return ""
    # The ratio is the first mode's time by the second's.
    first = found.alternatives[0].value == 1
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
