"""All plots of an experiment, from its samples and statistics: what each shows is in docs/plots.md.

Each is drawn only where the experiment has what it needs. The same observations give the same
bytes, as SVG and as PNG.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pibed.base.files import explained, write_file
from pibed.model.experiment import TOTAL, Growth
from pibed.model.words import (
    are_two,
    compared,
    half_width,
    in_unit,
    interval,
    plural,
    rounded,
    supported,
)
from pibed.plots import canvas, charts
from pibed.plots.canvas import BAND, Format, ParameterAxis, Plot, plain, shorten
from pibed.plots.charts import label, named, parts, quantity
from pibed.stats.analysis import Analysis
from pibed.stats.balance import Balance
from pibed.stats.growth import Fit
from pibed.stats.observations import Alternative, Observations, Pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes


FORMATS: tuple[Format, ...] = ("svg", "png")

_FOLDER = "plots"

# Width and height of a panel with a fit in inches.
_WIDE = (6.4, 3.6)

# Height of an alternative's formula above it in inches.
_LEGEND = 0.3

# Letters in a line above it.
_LINE = 84


def draw(analysis: Analysis) -> list[Plot]:
    """All plots of an experiment, in the order of docs/plots.md; none without samples."""
    observations = analysis.observations
    shown = [name for name in observations.metrics if analysis.experiment.is_main(name)]
    measured = [name for name in shown if name != TOTAL]
    plots: list[Plot] = []
    with canvas.settings():
        if (parameter := _along_x(observations)) is not None:
            for metric in shown:
                plots += charts.medians(observations, metric, parameter)
            for metric in measured:
                plots += charts.means(observations, metric, parameter)
        for metric in measured:
            plots += charts.samples(observations, metric)
        found = list(dict.fromkeys(analysis.fits))
        for growth in dict.fromkeys(_key(each) for each in observations.plan.growth):
            plots += _growth(
                observations, *growth, [each for each in found if _key(each) == growth]
            )
        plots += _balance(analysis)
        for plot in plots:
            canvas.finish(plot.figure)
    return plots


def write(plots: Iterable[Plot], folder: Path) -> list[Path]:
    """Writes `<folder>/plots/<name>.svg` and `.png` of each plot, by rename; returns their paths.

    Those of an earlier time that are none of these are removed. Raises HostError when one cannot
    be written.
    """
    place = folder / _FOLDER
    with explained(place):
        place.mkdir(exist_ok=True)
    written = []
    for plot, form in itertools.product(plots, FORMATS):
        write_file(path(folder, plot, form), plot.render(form))
        written.append(path(folder, plot, form))
    for old in itertools.chain.from_iterable(place.glob(f"*.{form}") for form in FORMATS):
        if old not in written:
            with explained(old):
                old.unlink(missing_ok=True)
    return written


def path(folder: Path, plot: Plot, form: Format) -> Path:
    """Where `write` puts a plot of the run in this folder."""
    return folder / _FOLDER / f"{plot.name}.{form}"


def _along_x(observations: Observations) -> str | None:
    """The parameter along the x axis: what a metric grows with, or the last that has no labels.

    Numbers are before text. None if there is none.
    """
    parameters = observations.experiment.parameters
    growing = [each.against for each in observations.plan.growth]
    unnamed = [name for name, each in reversed(parameters.items()) if not each.labels]
    for name in (*growing, *sorted(unnamed, key=lambda name: parameters[name].is_text)):
        if name in parameters and name != observations.plan.compare:
            return name
    return None


def _key(growth: Growth | Fit) -> tuple[str, str, str]:
    return growth.metric, growth.against, growth.law


def _growth(
    observations: Observations, metric: str, against: str, law: str, found: list[Fit]
) -> Iterator[Plot]:
    """The medians of the cells and the lines through them, with formula and interval."""
    experiment = observations.experiment
    title, _ = quantity(observations, metric)
    if against in experiment.parameters:
        by = charts.title_of(experiment, against, unit=False)
        x_title = charts.title_of(experiment, against)
    else:
        by, x_unit = quantity(observations, against)
        x_title = in_unit(by, x_unit)
    heading = f"Growth of {title} with {by}"
    styles = dict(charts.looks(observations))
    blocks = list(dict.fromkeys(each.others for each in found if each.slope is not None))
    # The formulas of two alternatives have their place.
    extent = (_WIDE[0], _WIDE[1] + _LEGEND * max(0, len(styles) - 2))
    for part, some in parts(blocks, 4):
        y_title = charts.measured(observations, metric)
        figure, places = canvas.panels(heading, len(some), 1, extent, x_title, y_title)
        told = []
        for axes, block in zip(places, some, strict=True):
            here = [each for each in found if each.others == block and each.points]
            # The lines as well: they go beyond points that are on none.
            ends = [zip(*_curve(each), strict=True) for each in here if each.slope is not None]
            points = itertools.chain(*(each.points for each in here), *ends)
            x, y = zip(*points, strict=True)
            log = law == "power" and min(*x, *y) > 0
            if against in experiment.parameters:
                ParameterAxis(experiment.parameters[against].along, log).prepare(axes)
            else:
                canvas.measure(axes, "x", x, log)
            canvas.measure(axes, "y", y, log)
            signs, texts = [], []
            for each in here:
                look = styles[each.alternative]
                x, y = zip(*each.points, strict=True)
                sign: Any = canvas.line(axes, look, x, y, join=False)
                formula, quality = _formula(each)
                texts.append((f"{label(each.alternative)}: {formula}", quality))
                if each.slope is not None:
                    curve = axes.plot(
                        *_curve(each), color=look.colour, linestyle=look.line, linewidth=1.1
                    )[0]
                    sign = (curve, sign)
                signs.append(sign)
            where = named(experiment, block)
            told += [", ".join(filter(None, (where, *text))) for text in texts]
            axes.legend(
                signs,
                ["\n".join(shorten(line, _LINE) for line in text) for text in texts],
                title=shorten(where, _LINE) or None,
                loc="lower left",
                bbox_to_anchor=(0, 1),
                alignment="left",
                handlelength=3,
            )
        alt = f"{heading}, with fitted lines: {'; '.join(told)}."
        yield Plot(f"growth-{metric}-{against}-{law}{part}", heading, alt, figure)


def _formula(fit: Fit) -> tuple[str, str]:
    """The line, and the interval of its slope or exponent; or why there is none."""
    if fit.slope is None:
        return "no line", plain(fit.reason)
    slope = _digits(abs(fit.slope), fit.slope_low, fit.slope_high)
    if fit.law == "linear":
        sign = "-" if fit.slope < 0 else "+"
        line = f"y = {rounded(fit.intercept or 0)} {sign} {slope}·x"
    else:
        factor = "a" if fit.intercept is None else rounded(fit.intercept)
        line = f"y = {factor}·x^{'-' if fit.slope < 0 else ''}{slope}"
    if fit.slope_low is None or fit.slope_high is None:
        return line, plain(fit.reason)
    what = "slope" if fit.law == "linear" else "exponent"
    bounds = f"{what} {interval(fit.slope_low, fit.slope_high)} (95 %)"
    if fit.r_squared is None:
        return line, f"{bounds}; {plain(fit.reason)}"
    return line, f"{bounds}, R² {fit.r_squared:.4f}"


def _digits(value: float, low: float | None, high: float | None) -> str:
    """As many as the interval supports, four where there is none."""
    spread = half_width(low, high)
    return supported(value, spread) if spread else rounded(value)


def _curve(fit: Fit) -> tuple[list[float], list[float]]:
    """Points of the fitted line from the smallest x to the largest."""
    # A least-squares line goes through the mean of its points, in logarithms for a power law.
    slope = fit.slope or 0.0
    ends = [min(x for x, _ in fit.points), max(x for x, _ in fit.points)]
    if fit.law == "linear":
        x, y = (statistics.fmean(each) for each in zip(*fit.points, strict=True))
        return ends, [y + slope * (end - x) for end in ends]
    x, y = (
        statistics.fmean(math.log(value) for value in each)
        for each in zip(*fit.points, strict=True)
    )
    return ends, [math.exp(y + slope * (math.log(end) - x)) for end in ends]


def _balance(analysis: Analysis) -> Iterator[Plot]:
    """The totals of two alternatives along the parameter of the balance, and where they meet."""
    found = [each for each in analysis.balances if each.points]
    drawn = itertools.chain.from_iterable(
        _balance_of(analysis, pair, [each for each in found if each.alternatives == pair])
        for pair in dict.fromkeys(each.alternatives for each in found)
    )
    for number, plot in enumerate(drawn, start=1):
        yield replace(plot, name="balance" if number == 1 else f"balance-{number}")


def _balance_of(analysis: Analysis, pair: Pair, found: Sequence[Balance]) -> Iterator[Plot]:
    """The same of two alternatives, which have at least one balance."""
    experiment, observations = analysis.experiment, analysis.observations
    metric, parameter = found[0].metric, found[0].parameter
    title, _ = quantity(observations, metric)
    by = charts.title_of(experiment, parameter, unit=False)
    both = f"the {plain(plural(compared(experiment)))}"
    if not are_two(experiment):
        both = " and ".join(map(label, pair))
    heading = f"{title} by {by}, and the balance of {both}"
    by_block = {each.others: each for each in found}
    x_title = charts.title_of(experiment, parameter)
    ways = [each for each in charts.looks(observations) if each[0] in pair]
    for part, blocks in parts(charts.aligned(list(by_block)), 12):
        y_title = charts.measured(observations, metric)
        figure, places = charts.beside(observations, blocks, heading, x_title, y_title)
        axis = replace(charts.along(observations, parameter, 2), log=False)
        shown: dict[Alternative | None, Any] = {}
        extra: dict[str, Any] = {}
        told = []
        for axes, block in zip(places, blocks, strict=True):
            axis.prepare(axes)
            seen: list[float] = []
            for index, (alternative, look) in enumerate(ways):
                course = charts.course(observations, metric, parameter, block, alternative)
                if not course:
                    continue
                shown[alternative], sign = charts.draw_medians(axes, look, axis, index, course)
                extra |= sign
                seen += itertools.chain.from_iterable(s.values.tolist() for _, s in course)
            canvas.measure(axes, "y", seen, log=False)
            extra |= _mark(axes, by_block[block])
            text, where = _verdict(by_block[block]), named(experiment, block)
            axes.set_title(canvas.lines(where, text))
            told.append(f"{where}: {text}" if where else text)
        canvas.legend(figure, [*charts.signs(shown), *extra.items()])
        alt = f"Medians of {heading}: {'; '.join(told)}."
        yield Plot(f"balance{part}", heading, alt, figure)


def _mark(axes: Axes, balance: Balance) -> dict[str, Any]:
    """Marks the balance and its interval; returns their signs for the legend."""
    if balance.at is None:
        return {}
    signs: dict[str, Any] = {
        "balance": axes.axvline(balance.at, color="black", linestyle=":", linewidth=1.3)
    }
    if balance.low is not None or balance.high is not None:
        # A bound that is beyond what was measured is beyond the axis.
        low, high = axes.get_xlim()
        low = low if balance.low is None else balance.low
        high = high if balance.high is None else balance.high
        band = axes.axvspan(low, high, facecolor=BAND, edgecolor="#888888", zorder=0.5)
        signs["its 95 % interval"] = band
    return signs


def _verdict(balance: Balance) -> str:
    """Where the balance is, or why there is none."""
    if balance.at is None:
        return f"no balance: {plain(balance.reason)}"
    text = f"balance at {_digits(balance.at, balance.low, balance.high)}"
    if balance.low is not None and balance.high is not None:
        return f"{text} ({interval(balance.low, balance.high)})"
    return f"{text}; {plain(balance.reason)}"
