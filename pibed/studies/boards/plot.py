"""Latency by the size of the buffer: the boards' points, and the run's line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pibed.model.words import rounded
from pibed.plots import canvas, charts
from pibed.plots.canvas import LOOKS, ParameterAxis, Plot
from pibed.runs.reading import Run
from pibed.studies.boards.reference import BUFFER, LATENCIES, RESOLVED_NS, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Width and height of a panel in inches.
_PANEL = (3.6, 3.2)


def latency(run: Run, found: Sequence[Row]) -> Iterator[Plot]:
    """A panel for each measure of which board and run have something; none without one.

    Times below what the boards' measures resolve are left out.
    """
    panels = [
        of_it
        for measure in LATENCIES
        if (of_it := [row for row in found if row.measure == measure and row.ratio is not None])
    ]
    if not panels:
        return
    observations = run.analysis.observations
    heading = "Latency by the size of the buffer: board and emulation"
    with canvas.settings():
        x_title = charts.title_of(run.experiment, BUFFER)
        figure, places = canvas.panels(heading, len(panels), 3, _PANEL, x_title, "latency [ns]")
        sizes = sorted({row.buffer_kib or 0 for rows in panels for row in rows})
        axis = ParameterAxis(tuple(sizes), log=True)
        signs: dict[str, Any] = {}
        seen: list[float] = []
        for axes, rows in zip(places, panels, strict=True):
            axes.set_title(charts.quantity(observations, rows[0].metric)[0])
            axis.prepare(axes)
            seen += _draw(axes, rows, signs)
        for axes in places:
            canvas.measure(axes, "y", seen, log=True)
        canvas.legend(figure, list(signs.items()))
        canvas.finish(figure)
    yield Plot("boards-latency", heading, f"{heading}: {_told(run, panels)}.", figure)


def _draw(axes: Axes, rows: Sequence[Row], signs: dict[str, Any]) -> list[float]:
    """Draws a measure, and returns all that is to be seen."""
    line, point = LOOKS
    measured = [(row, row.run) for row in rows if row.run >= RESOLVED_NS]
    signs["emulation, median"] = canvas.line(
        axes,
        line,
        [row.buffer_kib or 0 for row, _ in measured],
        [y for _, y in measured],
        join=True,
    )
    published = [(row.buffer_kib or 0, each.value) for row in rows for each in row.published]
    x, y = zip(*published, strict=True)
    signs["board, as published"] = canvas.line(axes, point, x, y, join=False)
    return [*y, *(value for _, value in measured)]


def _told(run: Run, panels: Sequence[Sequence[Row]]) -> str:
    told = []
    for rows in panels:
        title = run.experiment.metrics[rows[0].metric].title
        ends = [
            f"{rounded(row.run)} ns at {row.buffer_kib} KiB, {rounded(row.board)} on the board"
            for row in (rows[0], rows[-1])
        ]
        told.append(f"{title} {' to '.join(dict.fromkeys(ends))}")
    return "; ".join(told)
