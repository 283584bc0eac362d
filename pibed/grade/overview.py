"""What the teacher's page shows beside the table: how marks are spread, and everybody's numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median

from pibed.grade.marks import Graded, text
from pibed.grade.table import status
from pibed.model.rubric import Scheme
from pibed.model.words import number

_BINS = 10


@dataclass(frozen=True)
class Bar:
    """How many marks lie from `low` to `high`, in percent of what can be had."""

    low: int
    high: int
    count: int


@dataclass(frozen=True)
class Dot:
    """A submission's number; `position` is 0 at the left and 1 at the right."""

    name: str
    value: str
    position: float
    is_reference: bool
    lane: int
    """Dots that would cover each other lie in lanes below each other."""


@dataclass(frozen=True)
class Strip:
    """The numbers of a measurement, along one logarithmic axis that all measurements share."""

    title: str
    unit: str
    base: str
    """What 1 on the axis is."""
    dots: tuple[Dot, ...]
    lanes: int


@dataclass(frozen=True)
class Axis:
    """Where the marks of the axis are, and what is written there."""

    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Row:
    """A row of the table; each cell is what is shown, and what is sorted by."""

    name: str
    slug: str
    status: str
    cells: tuple[tuple[str, str], ...]
    problem: str
    is_reference: bool


@dataclass(frozen=True)
class Overview:
    """The teacher's page."""

    title: str
    summary: str
    columns: tuple[tuple[str, str], ...]
    """Heading, and what it stands for."""
    rows: tuple[Row, ...]
    bars: tuple[Bar, ...]
    strips: tuple[Strip, ...]
    axis: Axis
    reference: str
    """The reference's percentage of the points; empty if there is none."""


def of(scheme: Scheme, rows: Sequence[Graded], units: dict[str, str]) -> Overview:
    """What is shown; `units` has the unit of each measurement."""
    strips, axis = _strips(scheme, rows, units)
    reference = next((row for row in rows if row.is_reference), None)
    share = "" if reference is None or reference.total is None else f"{_percent(reference):.0f}"
    return Overview(
        scheme.rubric.title,
        _summary(rows),
        tuple(_columns(scheme, units)),
        tuple(_row(scheme, row) for row in rows),
        _bars(rows),
        strips,
        axis,
        share,
    )


def _percent(row: Graded) -> float:
    assert row.total is not None
    return float(row.total / row.most * 100) if row.most else 0.0


def _summary(rows: Sequence[Graded]) -> str:
    handed_in = [row for row in rows if not row.is_reference]
    totals = [row.total for row in handed_in if row.total is not None]
    count = len(handed_in)
    words = f"{count} submission{'' if count == 1 else 's'}"
    if totals:
        most = text(rows[0].most)
        mean = text(sum(totals, Decimal(0)) / len(totals))
        words += (
            f"; of {most} points the median is {text(Decimal(median(totals)))}, the mean {mean}"
        )
    broken = sum(status(row) == "does not build" for row in handed_in)
    words += f"; {broken} do{'es' if broken == 1 else ''} not build" if broken else ""
    left = len(handed_in) - len(totals)
    return f"{words}; {left} not graded" if left else words


def _columns(scheme: Scheme, units: dict[str, str]) -> list[tuple[str, str]]:
    columns = [("submission", ""), ("status", ""), ("points", f"of {text(scheme.points)}")]
    columns += [("penalties", "what was taken off"), ("build", "builds, warnings, style")]
    columns += [(name, each.title) for name, each, _ in scheme.criteria()]
    for name, each, _ in scheme.measurements():
        measured = f"{each.metric} of {each.experiment}, as it was measured"
        columns += [(name, each.title), (f"{name} [{units[name]}]", measured)]
    return columns


def _row(scheme: Scheme, row: Graded) -> Row:
    points = {mark.name: mark for mark in row.marks}
    names = ["build", *(name for name, _, _ in scheme.criteria())]
    taken = sum((mark.points for mark in row.penalties), Decimal(0))
    cells = [_cell(row.total), _cell(taken) if taken else ("", "0")]
    cells += [_cell(points[name].points) for name in names]
    for name, _, _ in scheme.measurements():
        value = row.measured.get(name)
        cells.append(_cell(points[name].points))
        cells.append(("", "-1") if value is None else (number(value), repr(value)))
    return Row(row.name, row.slug, status(row), tuple(cells), row.problem, row.is_reference)


def _cell(points: Decimal | None) -> tuple[str, str]:
    return ("", "-1") if points is None else (text(points), str(points))


def _bars(rows: Sequence[Graded]) -> tuple[Bar, ...]:
    """Tenths of what can be had; all points are in the last one."""
    counts = [0] * _BINS
    for row in rows:
        if not row.is_reference and row.total is not None:
            counts[min(int(_percent(row) * _BINS / 100), _BINS - 1)] += 1
    width = 100 // _BINS
    return tuple(Bar(n * width, (n + 1) * width, count) for n, count in enumerate(counts))


def _strips(
    scheme: Scheme, rows: Sequence[Graded], units: dict[str, str]
) -> tuple[tuple[Strip, ...], Axis]:
    found = []
    for name, each, _ in scheme.measurements():
        values = [(row, row.measured[name]) for row in rows if row.measured.get(name, 0) > 0]
        if not values:
            continue
        own = next((value for row, value in values if row.is_reference), None)
        base = own if own is not None else median(value for _, value in values)
        whose = "the reference" if own is not None else "the median"
        words = f"{whose}: {number(base)} {units[name]}"
        found.append(
            (f"{name}: {each.title}", units[name], words, [(row, v / base, v) for row, v in values])
        )
    ratios = [ratio for *_, values in found for _, ratio, _ in values]
    low = min(-1, math.floor(math.log2(min(ratios, default=1))))
    high = max(1, math.ceil(math.log2(max(ratios, default=1))))
    step = max(1, math.ceil((high - low) / 8))
    ticks = range(low, high + 1, step)

    def place(ratio: float) -> float:
        return (math.log2(ratio) - low) / (high - low)

    strips = []
    for title, unit, words, ratios_ in found:
        dots: list[Dot] = []
        ends: list[float] = []
        for row, ratio, value in sorted(ratios_, key=lambda each: (each[1], each[0].slug)):
            position = place(ratio)
            free = (lane for lane, end in enumerate(ends) if position - end > 0.02)
            lane = next(free, len(ends))
            ends[lane : lane + 1] = [position]
            dots.append(Dot(row.name, number(value), round(position, 4), row.is_reference, lane))
        strips.append(Strip(title, unit, words, tuple(dots), len(ends)))
    marks = tuple(((n - low) / (high - low), number(2.0**n)) for n in ticks)
    return tuple(strips), Axis(marks)
