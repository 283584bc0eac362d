"""Plots of the samples themselves: medians and means by a parameter, every sample by its round."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pibed.model.experiment import TOTAL, Experiment
from pibed.model.parameter import Value
from pibed.model.plan import Cell, cells
from pibed.model.words import compared, in_unit, rounded
from pibed.plots import canvas
from pibed.plots.canvas import BAND, NEUTRAL, Look, ParameterAxis, Plot, plain, shorten
from pibed.stats.observations import Alternative, Observations, Series
from pibed.stats.summary import median_interval, outlying

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Width and height in inches of a panel alone, beside others, and of one in many rows.
_ALONE, _BESIDE, _LOW = (6.4, 3.9), (3.6, 2.9), (3.6, 1.5)

# Cells of each of two alternatives up to which each has a panel of its own for its samples, and how
# many of these are beside each other.
_MOST, _COLUMNS = 8, 4

# Rounds whose points have room beside each other in such a panel.
_FEW = 30

INTERVAL = "95 % interval of the median"

# A metric along a parameter: its values that have samples, rising, and the samples.
Course = list[tuple[Value, Series]]


def medians(observations: Observations, metric: str, parameter: str) -> Iterator[Plot]:
    """A metric's medians by a parameter with their intervals, and the samples behind them."""
    title, _ = quantity(observations, metric)
    ways = looks(observations)
    heading = f"{title} by {title_of(observations.experiment, parameter, unit=False)}"
    for part, blocks in parts(aligned(_blocks(observations, metric, parameter)), 12):
        figure, places = beside(
            observations,
            blocks,
            heading,
            title_of(observations.experiment, parameter),
            measured(observations, metric),
        )
        axis = along(observations, parameter, len(ways))
        shown: dict[Alternative | None, Any] = {}
        extra: dict[str, Any] = {}
        seen: list[list[float]] = []
        for axes, block in zip(places, blocks, strict=True):
            axis.prepare(axes)
            seen.append([])
            for index, (alternative, look) in enumerate(ways):
                found = course(observations, metric, parameter, block, alternative)
                if found:
                    x: list[float] = []
                    for value, series in found:
                        x += [axis.place(value, index)] * len(series.values)
                    y = [each for _, series in found for each in series.values.tolist()]
                    canvas.dots(axes, look, x, y)
                    seen[-1] += y
                    shown[alternative], sign = draw_medians(axes, look, axis, index, found)
                    extra |= sign
        every = list(itertools.chain.from_iterable(seen))
        log = min(every) > 0
        for axes, own in zip(places, seen, strict=True):
            # On one linear axis the lines of small values would all be flat.
            canvas.measure(axes, "y", every if log else own, log)
        extra["sample"] = canvas.dot()
        canvas.legend(figure, [*signs(shown), *extra.items()])
        told = _told(observations, metric, parameter, blocks)
        yield Plot(f"median-{metric}{part}", heading, f"Medians of {heading}: {told}.", figure)


def means(observations: Observations, metric: str, parameter: str) -> Iterator[Plot]:
    """A metric's means as bars, the alternatives side by side, with standard deviations."""
    title, _ = quantity(observations, metric)
    ways = looks(observations)
    values = along(observations, parameter).values
    width = 0.8 / len(ways)
    by = title_of(observations.experiment, parameter, unit=False)
    heading = f"{title} by {by}: mean and standard deviation"
    for part, blocks in parts(aligned(_blocks(observations, metric, parameter)), 12):
        figure, places = beside(
            observations,
            blocks,
            heading,
            title_of(observations.experiment, parameter),
            measured(observations, metric, "mean "),
        )
        shown: dict[Alternative | None, Any] = {}
        extra: dict[str, Any] = {}
        ends: list[float] = []
        spread: list[float] = []
        for axes, block in zip(places, blocks, strict=True):
            axes.set_xlim(-0.6, len(values) - 0.4)
            canvas.label_values(axes, range(len(values)), values)
            axes.grid(visible=False, axis="x")
            for index, (alternative, look) in enumerate(ways):
                found = course(observations, metric, parameter, block, alternative)
                shift = (index - (len(ways) - 1) / 2) * width
                x = [values.index(value) + shift for value, _ in found]
                y = [float(series.values.mean()) for _, series in found]
                around = [_deviation(series) for _, series in found]
                bars = axes.bar(
                    x,
                    y,
                    0.9 * width,
                    color=look.bar,
                    edgecolor=look.colour,
                    hatch=look.hatch,
                )
                lines = canvas.spans(axes, "black", zip(x, y, around, strict=True))
                shown |= {alternative: bars} if found else {}
                extra |= {"± standard deviation": lines} if lines is not None else {}
                ends += y
                spread += itertools.chain.from_iterable(filter(None, around))
        for axes in places:
            canvas.measure_bars(axes, ends, spread)
        canvas.legend(figure, [*signs(shown), *extra.items()])
        told = _told(observations, metric, parameter, blocks, mean=True)
        yield Plot(f"mean-{metric}{part}", heading, f"Bars of {heading}: {told}.", figure)


def samples(observations: Observations, metric: str) -> Iterator[Plot]:
    """Every sample of a metric in the order of the rounds.

    A panel a cell, a column an alternative. Where that is too much to look at, all cells of an
    alternative are in one panel, each sample as its distance from the median of its cell.
    """
    if blocks := _blocks(observations, metric):
        # As many panels as those of two alternatives.
        most = 2 * _MOST // max(2, len(observations.alternatives))
        draw = _by_cell if len(blocks) <= most else _around_medians
        yield draw(observations, metric, blocks)


def _by_cell(observations: Observations, metric: str, blocks: Sequence[Cell]) -> Plot:
    title, unit = quantity(observations, metric)
    ways = looks(observations)
    heading = f"{title} of every sample by round"
    extent = _LOW if len(ways) > 1 else (_ALONE[0], _LOW[1])
    count = len(blocks) * len(ways)
    y_title = measured(observations, metric)
    columns = min(len(ways), _COLUMNS)
    figure, places = canvas.panels(heading, count, columns, extent, "round", y_title)
    # The points of many rounds are small, or they hide each other.
    scale = 1 if len(observations.rounds) <= _FEW else 0.5
    shown: dict[Alternative | None, Any] = {}
    extra: dict[str, Any] = {}
    flagged = 0
    pairs = [(block, alternative, look) for block in blocks for alternative, look in ways]
    for axes, (block, alternative, look) in zip(places, pairs, strict=True):
        names = [named(observations.experiment, block), label(alternative) if alternative else ""]
        axes.set_title(canvas.lines(", ".join(filter(None, names))))
        _label_rounds(axes, observations)
        series = observations.series(observations.cell(block, alternative), metric)
        if series is None:
            _say_no_sample(axes)
            continue
        values = series.values.tolist()
        extra["median"] = axes.axhline(series.median, color=NEUTRAL, linewidth=1)
        if (interval := median_interval(values)) is not None:
            extra[INTERVAL] = axes.axhspan(*interval, color=BAND, zorder=0.5)
        x = [observations.rounds[row] for row in series.rounds]
        shown[alternative] = canvas.line(axes, look, x, values, join=False, scale=scale)
        far = list(itertools.compress(zip(x, values, strict=True), outlying(values)))
        if far:
            flagged += len(far)
            extra["outlier"] = canvas.rings(axes, far, 10 * scale)
        canvas.measure(axes, "y", values, log=False, margin=0.2, ticks=4)
    canvas.legend(figure, [*signs(shown), *extra.items()])
    ends = [named(observations.experiment, block) for block in (blocks[0], blocks[-1])]
    which = f", {' to '.join(dict.fromkeys(ends))}" if ends[0] else ""
    alt = f"Samples of {title} in {unit} by round{which}; outliers among them: {flagged}."
    return Plot(f"samples-{metric}", heading, alt, figure)


def _around_medians(observations: Observations, metric: str, blocks: Sequence[Cell]) -> Plot:
    title, unit = quantity(observations, metric)
    ways = looks(observations)
    heading = f"{title} of every sample by round, against the median of its cell"
    figure, places = canvas.panels(
        heading, len(ways), 1, (_ALONE[0], 2.2), "round", in_unit(f"{title} less median", unit)
    )
    signs: dict[str, Any] = {}
    seen: list[float] = []
    flagged = 0
    for axes, (alternative, look) in zip(places, ways, strict=True):
        axes.set_title(label(alternative) if alternative else "")
        _label_rounds(axes, observations)
        points: list[tuple[float, float]] = []
        far: list[tuple[float, float]] = []
        for index, block in enumerate(blocks):
            series = observations.series(observations.cell(block, alternative), metric)
            if series is None:
                continue
            # The cells of a round lie beside each other.
            shift = 0.8 * ((index + 0.5) / len(blocks) - 0.5)
            x = [observations.rounds[row] + shift for row in series.rounds]
            around = list(zip(x, (series.values - series.median).tolist(), strict=True))
            points += around
            far += itertools.compress(around, outlying(series.values.tolist()))
        if not points:
            _say_no_sample(axes)
            continue
        across, values = zip(*points, strict=True)
        canvas.dots(axes, look, across, values)
        signs["sample"] = canvas.dot()
        seen += values
        if far:
            flagged += len(far)
            signs["outlier"] = canvas.rings(axes, far, 5)
    for axes in places:
        canvas.measure(axes, "y", seen, log=False)
    canvas.legend(figure, list(signs.items()))
    alt = (
        f"Samples of {title} in {unit} by round, each less the median of its cell, {len(blocks)} "
        f"cells a {plain(compared(observations.experiment))}: from {rounded(min(seen))} to "
        f"{rounded(max(seen))} {unit}; "
        f"outliers among them: {flagged}."
    )
    return Plot(f"samples-{metric}", heading, alt, figure)


def draw_medians(
    axes: Axes, look: Look, axis: ParameterAxis, index: int, found: Course
) -> tuple[Any, dict[str, Any]]:
    """The line of an alternative through its medians, and their intervals.

    Returns the line's sign and, if there are intervals, theirs by its text in the legend.
    """
    # The line is where it belongs; what is around it lies beside that of the other.
    x = [axis.at(value) for value, _ in found]
    beside = [axis.place(value, index) for value, _ in found]
    y = [series.median for _, series in found]
    around = [median_interval(series.values.tolist()) for _, series in found]
    bars = canvas.spans(axes, look.colour, zip(beside, y, around, strict=True))
    # Between two words there is nothing.
    line = canvas.line(axes, look, x, y, join=isinstance(axis.values[0], int))
    return line, {INTERVAL: canvas.span()} if bars is not None else {}


def looks(observations: Observations) -> list[tuple[Alternative | None, Look]]:
    """The alternatives, each with how it is drawn; None where nothing is compared."""
    alternatives = observations.alternatives or (None,)
    return list(zip(alternatives, canvas.looks(len(alternatives)), strict=True))


def label(alternative: Alternative | None) -> str:
    """An alternative in a legend."""
    return "all samples" if alternative is None else shorten(alternative.label, 30)


def signs(shown: Mapping[Alternative | None, Any]) -> list[tuple[str, Any]]:
    """A legend's entries for alternatives, whose labels may be equal."""
    return [(label(alternative), sign) for alternative, sign in shown.items()]


def quantity(observations: Observations, metric: str) -> tuple[str, str]:
    """A metric's title and unit, those of the total as well."""
    metrics = observations.experiment.metrics
    if metric == TOTAL:
        return TOTAL, plain(metrics[observations.plan.total[0]].unit)
    return shorten(metrics[metric].title, 40), plain(metrics[metric].unit)


def measured(observations: Observations, metric: str, which: str = "") -> str:
    """A metric at its axis, such as `mean work [µs]`, and that higher is better where it is."""
    title, unit = quantity(observations, metric)
    better = ", higher is better" if observations.experiment.better(metric) == "higher" else ""
    return in_unit(f"{which}{title}", unit) + better


def named(experiment: Experiment, cell: Cell) -> str:
    """A cell for people, such as `access random, pages 256, touched 20 %`."""
    parts = []
    for name, value in cell.values:
        title, _, unit = title_of(experiment, name).partition(" [")
        text = plain(experiment.parameters[name].labels.get(value, canvas.named(value)))
        parts.append(f"{title} {text} {unit.removesuffix(']')}".rstrip())
    return ", ".join(parts)


def title_of(experiment: Experiment, name: str, unit: bool = True) -> str:
    """The title of a parameter, such as `touched [%]`, or without its unit."""
    parameter = experiment.parameters[name]
    title = shorten(parameter.noun, 40)
    return f"{title} [{plain(parameter.unit)}]" if unit and parameter.unit else title


def along(observations: Observations, parameter: str, abreast: int = 1) -> ParameterAxis:
    """The axis of a parameter: logarithmic if all its values are numbers above 0."""
    found = observations.experiment.parameters[parameter]
    return ParameterAxis(found.along, not found.is_text and found.numbers[0] > 0, abreast)


def course(
    observations: Observations,
    metric: str,
    parameter: str,
    block: Cell,
    alternative: Alternative | None,
) -> Course:
    """The samples of a metric along a parameter, where the others are fixed."""
    found = []
    for value in observations.experiment.parameters[parameter].along:
        cell = observations.cell(block, alternative, **{parameter: value})
        if (series := observations.series(cell, metric)) is not None:
            found.append((value, series))
    return found


def parts(blocks: Sequence[Cell], most: int) -> Iterator[tuple[str, Sequence[Cell]]]:
    """The blocks in even portions for a figure each, with what is added to its name."""
    figures = math.ceil(len(blocks) / most)
    each = math.ceil(len(blocks) / max(1, figures))
    for index in range(figures):
        portion = blocks[index * each : (index + 1) * each]
        if portion:
            yield "" if index == 0 else f"-{index + 1}", portion


def beside(
    observations: Observations, blocks: Sequence[Cell], title: str, x: str, y: str
) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each block, and the titles of the axes."""
    name = _across(blocks)
    columns = len({block.as_dict()[name] for block in blocks}) if name else 3
    extent = _ALONE if len(blocks) == 1 else _BESIDE
    figure, places = canvas.panels(title, len(blocks), columns, extent, x, y)
    for axes, block in zip(places, blocks, strict=True):
        if block.values:
            axes.set_title(canvas.lines(named(observations.experiment, block)))
    return figure, places


def _blocks(observations: Observations, metric: str, *without: str) -> list[Cell]:
    """The combinations of the parameters but the compared one and those named that have samples."""
    sampled = [
        set(cell.values)
        for cell in cells(observations.experiment)
        if observations.series(cell, metric)
    ]
    return [
        block
        for block in observations.blocks(*without)
        if any(set(block.values) <= values for values in sampled)
    ]


def aligned(blocks: Sequence[Cell]) -> list[Cell]:
    """The blocks in such an order that those in a row of `beside` differ in one parameter."""
    name = _across(blocks)
    rows = [tuple(pair for pair in block.values if pair[0] != name) for block in blocks]
    order = list(dict.fromkeys(rows))
    ranked = sorted(zip(rows, blocks, strict=True), key=lambda pair: order.index(pair[0]))
    return [block for _, block in ranked]


def _across(blocks: Sequence[Cell]) -> str | None:
    """The last parameter that has a column for each of its values, which are two or three."""
    values: dict[str, set[Value]] = {}
    for block in blocks:
        for name, value in block.values:
            values.setdefault(name, set()).add(value)
    return next((name for name in reversed(values) if 2 <= len(values[name]) <= 3), None)


def _label_rounds(axes: Axes, observations: Observations) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator

    first, last = observations.rounds[0], observations.rounds[-1]
    margin = max(0.5, 0.015 * (last - first))
    axes.set_xlim(first - margin, last + margin)
    ticks = [] if first == last else MaxNLocator(8, integer=True).tick_values(first, last)
    # The margin may hold a round 0, which there is not.
    axes.xaxis.set_major_locator(FixedLocator([x for x in ticks if first <= x <= last] or [first]))


def _say_no_sample(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no sample", transform=axes.transAxes, ha="center", va="center")
    axes.set_yticks([])


def _deviation(series: Series) -> tuple[float, float] | None:
    """One standard deviation around the mean; None of one sample."""
    if len(series.values) < 2:
        return None
    mean, deviation = float(series.values.mean()), float(series.values.std(ddof=1))
    return mean - deviation, mean + deviation


def _told(
    observations: Observations,
    metric: str,
    parameter: str,
    blocks: Sequence[Cell],
    mean: bool = False,
) -> str:
    """How the metric goes with each block and alternative, from the first value to the last."""
    _, unit = quantity(observations, metric)
    told = []
    for block in blocks:
        courses = []
        for alternative, _ in looks(observations):
            found = [
                (value, float(series.values.mean()) if mean else series.median)
                for value, series in course(observations, metric, parameter, block, alternative)
            ]
            ends = [f"{rounded(middle)} {unit} at {canvas.named(value)}" for value, middle in found]
            if ends:
                way = ends[0] if len(ends) == 1 else f"from {ends[0]} to {ends[-1]}"
                if observations.experiment.parameters[parameter].is_text:
                    way = ", ".join(ends)
                courses.append(f"{label(alternative)} {way}")
        where = f"{named(observations.experiment, block)}: " if block.values else ""
        told.append(where + ", ".join(courses))
    return "; ".join(told)
