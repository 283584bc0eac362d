"""The tables of a run: what was measured in each cell, and the alternatives side by side."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

from pibed.model.experiment import Experiment
from pibed.model.machine import Clock
from pibed.model.plan import cells
from pibed.model.words import (
    are_two,
    compared,
    decimals,
    enumeration,
    exponent,
    half_width,
    heading,
    interval,
    labels,
    number,
    plural,
    rounded,
    supported,
)
from pibed.model.words import title as title_of
from pibed.report import follows, wording
from pibed.report.table import Column, Table
from pibed.stats.analysis import Analysis
from pibed.stats.comparison import Comparison
from pibed.stats.summary import Summary

# Rows of a table beyond which it is shown on demand only.
_LONG = 40


def of_sweep(
    experiment: Experiment,
    summaries: Mapping[Clock, Sequence[Summary]],
    title: str,
    note: str = "",
) -> Table:
    """The table at the end of a sweep, in the form of the study: a row a cell and metric.

    It has the metrics that the experiment wants shown. With several clocks each cell and metric has
    a row for each of them. `note` is what a reader of the numbers must know.
    """
    found = {
        (each.cell, each.metric, clock): each for clock in summaries for each in summaries[clock]
    }
    several = len(summaries) > 1
    rows = []
    for cell, metric, clock in itertools.product(cells(experiment), experiment.metrics, summaries):
        each = found.get((cell, metric, clock))
        if each is None or not experiment.metrics[metric].table:
            continue
        rows.append(
            (
                *labels(experiment, cell),
                heading(experiment, metric),
                *([clock] if several else []),
                str(each.n),
                *_statistics(each),
            )
        )
    columns = (
        *(
            Column(each.title, not (each.labels or each.is_text))
            for each in experiment.parameters.values()
        ),
        Column("metric"),
        *([Column("clock")] if several else []),
        *(Column(each, True) for each in ("n", "min", "max", "mean", "median", "SD")),
    )
    return Table(title, columns, tuple(rows), note, grouped=True)


def _statistics(each: Summary) -> tuple[str, ...]:
    """Least and largest, mean, median and SD, the latter to a tenth and a hundredth.

    Where numbers are not whole they have more decimals: up to the second digit of the SD, or four
    digits of the median if these are more.
    """
    places = 1
    if not (isinstance(each.min, int) and isinstance(each.max, int)):
        first = exponent(each.median)
        # No more than are meant where the SD is that of the last bits.
        below = 1 - exponent(each.sd) if each.sd else 0
        places = max(1, 3 - first, min(below, 7 - first))
    numbers = (each.min, each.max, each.mean, each.median)
    return (
        *(str(x) if isinstance(x, int) else _shortest(decimals(x, places)) for x in numbers),
        "" if each.sd is None else decimals(each.sd, max(2, places)),
    )


def _shortest(text: str) -> str:
    """Without the zeros at the end, but with one decimal."""
    return re.sub(r"(\.\d+?)0+$", r"\1", text)


def of_report(analysis: Analysis) -> Iterable[Table]:
    """The tables of a report, those of metrics that are not shown first folded."""
    experiment = analysis.experiment
    both = f"the {plural(compared(experiment))} side by side"
    main = [each for each in analysis.comparisons if experiment.is_main(each.metric)]
    rest = [each for each in analysis.comparisons if not experiment.is_main(each.metric)]
    shown = [each for each in analysis.summaries if experiment.is_main(each.metric)]
    others = [each for each in analysis.summaries if not experiment.is_main(each.metric)]
    note = (
        "The interval is that of the median, with at least 95 % confidence. Outliers are "
        "flagged, never dropped."
    )
    if (effects := follows.table(experiment, analysis.effects)) is not None:
        yield effects
    if main:
        yield _verdicts(both[:1].upper() + both[1:], experiment, main, False)
    if shown:
        yield _summary("What was measured", note, experiment, shown, False)
    if rest:
        yield _verdicts(f"Other metrics: {both}", experiment, rest, True)
    if others:
        yield _summary("Other metrics: what was measured", "", experiment, others, True)


def _verdicts(
    title: str, experiment: Experiment, comparisons: Sequence[Comparison], folded: bool
) -> Table:
    others = [name for name, _ in comparisons[0].others.values]
    several = not are_two(experiment)
    rows = tuple(
        (
            *labels(experiment, each.others),
            heading(experiment, each.metric),
            *([each.alternatives[0].label] if several else []),
            wording.verdict(each),
            *map(supported, each.medians, each.spreads),
            _known(each.ratio, half_width(each.ratio_low, each.ratio_high)),
            _between(each.ratio_low, each.ratio_high),
            f"{each.delta:.2f}",
            "nothing varies" if each.p_holm is None else f"{each.p_holm:.2g}",
        )
        for each in comparisons
    )
    first, second = (each.label for each in comparisons[0].alternatives)
    medians = (
        ("median", f"median, {second}") if several else (f"median, {first}", f"median, {second}")
    )
    columns = (
        *(Column(experiment.parameters[name].title) for name in others),
        Column("metric"),
        *([Column(compared(experiment))] if several else []),
        Column("verdict"),
        *(Column(each, True) for each in medians),
        *(Column(each, True) for each in ("ratio", "95 % interval", "Cliff's delta", "p")),
    )
    note = (
        f"The {compared(experiment)} with the {_better(experiment, comparisons)} has the verdict "
        "if the ratio's whole "
        f"interval lies more than {experiment.analysed.relevant_percent:g} % from 1 and p, "
        "corrected for the number of all comparisons (Holm), is below 0.05."
    )
    if several:
        note += f" Each is compared with {second}; the ratio is its median by that of {second}."
    return Table(title, columns, rows, note, folded or len(rows) > _LONG)


def _better(experiment: Experiment, comparisons: Sequence[Comparison]) -> str:
    """Which values are the better ones, and of what where that is not the same of all metrics."""
    ways = {each.metric: each.better for each in comparisons}
    higher = [title_of(experiment, name) for name, better in ways.items() if better == "higher"]
    if not higher:
        return "smaller values"
    return (
        "larger values"
        if len(higher) == len(ways)
        else f"smaller values, of {enumeration(higher)} with the larger ones,"
    )


def _summary(
    title: str, note: str, experiment: Experiment, summaries: Sequence[Summary], folded: bool
) -> Table:
    rows = tuple(
        (
            *labels(experiment, each.cell),
            heading(experiment, each.metric),
            str(each.n),
            number(each.min),
            supported(each.median, half_width(each.ci_low, each.ci_high) or each.sd),
            _between(each.ci_low, each.ci_high),
            supported(each.mean, each.sd),
            number(each.max),
            "-" if each.sd is None else rounded(each.sd, 2),
            str(each.outliers),
        )
        for each in summaries
    )
    headings = ("n", "min", "median", "interval", "mean", "max", "SD", "outliers")
    columns = (
        *(Column(each.title) for each in experiment.parameters.values()),
        Column("metric"),
        *(Column(each, True) for each in headings),
    )
    return Table(title, columns, rows, note, folded or len(rows) > _LONG)


def between(low: float | None, high: float | None, form: str) -> str:
    """An interval in this format, as `low to high`, or `-` where it is not known."""
    if low is None or high is None:
        return "-"
    return f"{low:{form}} to {high:{form}}"


def _between(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else interval(low, high)


def _known(value: float | None, spread: float | None) -> str:
    """A ratio with the digits that its interval supports, five where there is none."""
    if value is None:
        return "-"
    return supported(value, spread) if spread else f"{value:.5g}"
