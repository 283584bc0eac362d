"""What plots are drawn on: figures of panels, looks that are told apart, axes with numbers.

The same drawing gives the same bytes everywhere: nothing of a user's settings for matplotlib has a
part in it, nor has the locale, the date or a font of the system.
"""

from __future__ import annotations

import io
import itertools
import math
import textwrap
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from pibed.model.parameter import Value

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure


Format = Literal["svg", "png"]

_SETTINGS = {
    # matplotlib brings DejaVu, and prefers its own to one of the system.
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "figure.titlesize": 10,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    # Titles and labels are an experiment's: a $ in them is no formula.
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "pibed",
    "figure.dpi": 100,
    "savefig.dpi": 150,
}

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# Space between the labels of neighbouring ticks in points.
_APART = 5

# The ratio of the largest to the smallest value on a logarithmic axis from which its ticks are
# 1, 2, 5, 10 and so on instead of even ones, and that from which they are powers of ten alone.
_ROUND, _DECADES = 6, 300

# Bars are on a logarithmic axis if one is so many times as long as another.
_UNEQUAL = 20


@dataclass(frozen=True)
class Look:
    """How an alternative is drawn: colour, brightness, marker, line and hatching each tell it."""

    colour: str
    marker: str
    width: float
    """Of the marker, in points."""
    line: str
    face: str
    """Colour inside the marker."""
    bar: str
    """Colour inside a bar."""
    hatch: str


# Of the palette of Okabe and Ito, which all kinds of colour vision tell apart.
LOOKS = (
    Look("#0072B2", "o", 4.5, "-", face="#0072B2", bar="#0072B2", hatch=""),
    # Points that coincide are a disc in a square.
    Look("#D55E00", "s", 6.5, "--", face="white", bar="#FFE9DB", hatch="////"),
)

# Of what is beside these, its other colours but yellow, which is none on white.
_MORE = (
    Look("#009E73", "^", 5.5, "-.", face="#009E73", bar="#8FD5BF", hatch=""),
    Look("#CC79A7", "D", 5.5, ":", face="white", bar="white", hatch="xxxx"),
    Look("#56B4E9", "v", 5.5, "-", face="white", bar="#DDF0FB", hatch="...."),
    Look("#000000", "X", 5.5, "--", face="#000000", bar="#000000", hatch=""),
    Look("#E69F00", "P", 6.0, "-.", face="white", bar="white", hatch="----"),
)

# Markers of those that come after, in the colours of all these.
_MARKERS = "<>phd*"


def looks(count: int) -> list[Look]:
    """So many looks."""
    known = LOOKS + _MORE
    found = list(known)
    for index in range(len(known), count):
        marker = _MARKERS[(index // len(known) - 1) % len(_MARKERS)]
        found.append(replace(known[index % len(known)], marker=marker))
    return found[:count]


NEUTRAL, BAND = "#444444", "#dcdcdc"

# How opaque a sample is behind the medians.
_FAINT = 0.35

# Points drawn together beyond which they are no paths of their own.
_MANY = 500


@dataclass(frozen=True)
class Plot:
    """A figure with what a page needs to show it."""

    name: str
    """Of its files, without ending; no other plot of the experiment has it."""
    title: str
    alt: str
    """A sentence that says what is seen, for those who cannot see it."""
    figure: Figure

    def render(self, form: Format) -> bytes:
        """The content of its file; text in SVG is made of paths, so that no font is needed."""
        # Neither the date nor matplotlib's version.
        without = ("Date", "Creator") if form == "svg" else ("Software",)
        metadata: dict[str, Any] = {"Title": self.title} | dict.fromkeys(without)
        content = io.BytesIO()
        with settings():
            self.figure.savefig(content, format=form, metadata=metadata)
        return content.getvalue()


@contextmanager
def settings() -> Iterator[None]:
    """In it figures are made and drawn; matplotlib is left as it was."""
    from matplotlib import style

    with style.context(["default", _SETTINGS]), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def panels(
    title: str, count: int, columns: int, extent: tuple[float, float], x: str, y: str
) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, each of `extent` (width, height) in inches, below a title.

    `x` and `y` are the titles of their axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = Figure((columns * extent[0], rows * extent[1] + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(shorten(title, int(figure.get_figwidth() * 12)))
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in grid[count:]:
        axes.remove()
    # For the whole figure it would be where the legend is.
    for axes in grid[max(0, count - columns) : count]:
        axes.set_xlabel(x)
    if rows == 1:
        grid[0].set_ylabel(y)
    else:
        figure.supylabel(y, fontsize="medium")
    return figure, list(grid[:count])


def legend(figure: Figure, entries: Sequence[tuple[str, Any]]) -> None:
    """A legend of texts with their signs below all panels, in as many columns as have room."""
    # The sign and the gaps take 0.7 inches, letters a fifteenth of an inch each.
    widest = max((0.7 + len(text) / 15 for text, _ in entries), default=1.0)
    most = max(1, int(figure.get_figwidth() / widest))
    rows = max(1, math.ceil(len(entries) / most))
    figure.legend(
        [sign for _, sign in entries],
        [text for text, _ in entries],
        loc="outside lower center",
        ncols=max(1, math.ceil(len(entries) / rows)),
    )


def dots(axes: Axes, look: Look, x: Sequence[float], y: Sequence[float]) -> Artist:
    """Samples as faint dots in the colour of their alternative; returns their sign for a legend."""
    return axes.plot(
        x, y, ".", color=look.colour, alpha=_FAINT, markersize=4, rasterized=_is_many(x)
    )[0]


def dot() -> Artist:
    """The sign of a sample of any alternative in a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", marker=".", color=NEUTRAL, alpha=_FAINT)


def span() -> ErrorbarContainer:
    """The sign of an interval of any alternative in a legend."""
    from matplotlib.collections import LineCollection
    from matplotlib.container import ErrorbarContainer
    from matplotlib.lines import Line2D

    point, cap = Line2D([], [], linestyle=""), Line2D([], [], color=NEUTRAL)
    return ErrorbarContainer((point, (cap,), (LineCollection([], colors=NEUTRAL),)), has_yerr=True)


@dataclass(frozen=True)
class ParameterAxis:
    """An axis along a parameter, whose values rise, or are text side by side: where each is."""

    values: tuple[Value, ...]
    log: bool
    abreast: int = 1
    """How many alternatives are side by side at each value."""

    def at(self, value: Value) -> float:
        """Where a value is."""
        return float(value if isinstance(value, int) else self.values.index(value))

    def place(self, value: Value, index: int = 0) -> float:
        """Where the points of an alternative are: beside the value, to hide no other's."""
        span = self._to(self.values[-1]) - self._to(self.values[0])
        gaps = [self._to(b) - self._to(a) for a, b in itertools.pairwise(self.values)]
        if not gaps:
            apart = min(0.1, 0.8 / self.abreast)
        else:
            # Many stay away from the next value, and within the axis.
            room = min(0.3 * min(gaps), 0.1 * span) / max(1, self.abreast - 1)
            apart = min(room, 0.02 * span)
        return self._from(self._to(value) + (index - (self.abreast - 1) / 2) * apart)

    def prepare(self, axes: Axes) -> None:
        """Sets the scale and the limits, and a tick at each value; `finish` thins their labels."""
        low, high = self._to(self.values[0]), self._to(self.values[-1])
        margin = 0.06 * (high - low) or 0.5
        if self.log:
            axes.set_xscale("log")
        axes.set_xlim(self._from(low - margin), self._from(high + margin))
        label_values(axes, [self.at(value) for value in self.values], self.values)

    def _to(self, value: Value) -> float:
        return math.log(self.at(value)) if self.log else self.at(value)

    def _from(self, place: float) -> float:
        return math.exp(place) if self.log else place


def label_values(axes: Axes, places: Sequence[float], values: Sequence[Value]) -> None:
    """A tick for each value of a parameter, of which `finish` labels as many as there is room."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    axes.xaxis.set_major_locator(FixedLocator(list(places)))
    axes.xaxis.set_major_formatter(FixedFormatter([named(value) for value in values]))
    axes.xaxis.set_minor_locator(NullLocator())


def named(value: Value) -> str:
    """A parameter's value that has no label."""
    return f"{value:,}" if isinstance(value, int) else shorten(value, 24)


def measure(
    axes: Axes,
    which: Literal["x", "y"],
    values: Collection[float],
    log: bool,
    margin: float = 0.06,
    ticks: int = 6,
) -> None:
    """An axis that holds all values, with numbers; logarithmic if asked for and all are above 0.

    `margin` is what is left on either side, as a share of the values' range, and `ticks` how many
    there are at most on a linear axis.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = min(values), max(values)
    log = log and low > 0
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - (abs(low) * 0.1 or 1), high + (abs(high) * 0.1 or 1)
    if log:
        axes.set(**{f"{which}scale": "log"})
        low, high = low / (high / low) ** margin, high * (high / low) ** margin
    else:
        low, high = low - (high - low) * margin, high + (high - low) * margin
    axes.set(**{f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.12g}"))
    axis.set_minor_locator(NullLocator())
    if not log or high / low < _ROUND:
        whole = all(float(value).is_integer() for value in values)
        axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10], integer=whole))
    elif high / low < _DECADES:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=99))
    else:
        axis.set_major_locator(LogLocator(numticks=8))
        if low < 1e-3 or high > 1e6:
            axis.set_major_formatter(FuncFormatter(lambda x, _: _power(x)))


def measure_bars(axes: Axes, ends: Sequence[float], around: Sequence[float]) -> None:
    """The axis of bars that end at `ends`, with error bars that end at `around`.

    It begins at 0; where bars differ too much for that it is logarithmic, and begins at a power of
    ten.
    """
    low = min(ends)
    if low > 0 and max(ends) / low >= _UNEQUAL:
        measure(axes, "y", [low, max(*ends, *around)], log=True)
        axes.set_ylim(bottom=10.0 ** math.ceil(math.log10(low) - 1))
    else:
        measure(axes, "y", [0.0, *ends, *around], log=False)
        if low >= 0:
            axes.set_ylim(bottom=0)


def spans(
    axes: Axes, colour: str, points: Iterable[tuple[float, float, tuple[float, float] | None]]
) -> ErrorbarContainer | None:
    """A bar from low to high at each (x, y, (low, high)) that has one; None if none has."""
    found = [(x, y, y - ends[0], ends[1] - y) for x, y, ends in points if ends is not None]
    if not found:
        return None
    x, y, below, above = zip(*found, strict=True)
    return axes.errorbar(x, y, (below, above), fmt="none", ecolor=colour, elinewidth=1.1, capsize=3)


def line(
    axes: Axes, look: Look, x: Sequence[float], y: Sequence[float], join: bool, scale: float = 1
) -> Artist:
    """The points of an alternative, joined or not; returns the sign for a legend.

    `scale` is how large they are, as a share of others.
    """
    return axes.plot(
        x,
        y,
        color=look.colour,
        linestyle=look.line if join else "",
        linewidth=1.1,
        marker=look.marker,
        markerfacecolor=look.face,
        markersize=look.width * scale,
        markeredgewidth=scale,
        rasterized=_is_many(x),
        zorder=2.2 if look.face == "white" else 2.4,
    )[0]


def rings(axes: Axes, points: Iterable[tuple[float, float]], width: float) -> Artist:
    """Rings around points, `width` in points; returns their sign for a legend."""
    x, y = zip(*points, strict=True)
    return axes.plot(
        x,
        y,
        "o",
        color="black",
        markerfacecolor="none",
        markersize=width,
        markeredgewidth=width / 10,
    )[0]


def finish(figure: Figure) -> None:
    """Lays the figure out for good, and takes away labels of ticks that would touch others."""
    from matplotlib.ticker import FixedFormatter

    layout = figure.get_layout_engine()
    assert layout is not None
    layout.execute(figure)
    labelled = [
        (axes, formatter.seq)
        for axes in figure.axes
        if isinstance(formatter := axes.xaxis.get_major_formatter(), FixedFormatter)
    ]
    for axes, names in labelled:
        # Each bar is named; on a logarithmic axis the labels that are left tell of those between.
        if axes.get_xscale() == "linear" and len(_apart(axes)) < len(names):
            axes.tick_params("x", rotation=90)
            layout.execute(figure)
    figure.set_layout_engine("none")
    for axes, names in labelled:
        kept = _apart(axes)
        labels = [text if index in kept else "" for index, text in enumerate(names)]
        axes.xaxis.set_major_formatter(FixedFormatter(labels))


def plain(text: str) -> str:
    """Text in one line of characters that can be drawn."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def shorten(text: str, most: int) -> str:
    """Plain text of at most so many letters."""
    text = plain(text)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def lines(*texts: str) -> str:
    """Texts above each other as the title of a narrow panel: two lines of each, empty ones none."""
    wrapped = [textwrap.wrap(plain(text), 42) for text in texts]
    return "\n".join(
        shorten(" ".join(each[1:]), 42) if row else each[0]
        for each in wrapped
        for row in range(min(2, len(each)))
    )


def _apart(axes: Axes) -> list[int]:
    """Which ticks of the x axis have labels that touch no other: the last, and as many more."""
    boxes = [tick.label1.get_window_extent() for tick in axes.xaxis.get_major_ticks()]
    apart = _APART / 72 * axes.figure.dpi
    kept = [len(boxes) - 1]
    end = -math.inf
    for index, box in enumerate(boxes[:-1]):
        if end + apart <= box.x0 and box.x1 + apart <= boxes[-1].x0:
            kept.append(index)
            end = box.x1
    return kept


def _is_many(points: Sized) -> bool:
    """Whether points are a picture inside an SVG, which as paths would be of megabytes."""
    return len(points) > _MANY


def _power(x: float) -> str:
    return f"10{str(round(math.log10(x))).translate(_SUPERSCRIPTS)}"
