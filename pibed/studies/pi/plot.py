"""The study's cells on the Pi and in a run, beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pibed.model.words import rounded
from pibed.plots import canvas, charts
from pibed.plots.canvas import LOOKS, ParameterAxis, Plot, plain
from pibed.runs.reading import Run
from pibed.studies.pi.reference import MODE, SIZE, Beside, Published

# Width and height of a panel in inches.
_PANEL = (3.6, 2.9)

# On a logarithmic axis, which has no 0, a standard deviation as large as the mean ends here.
_LEAST = 0.05


def beside(run: Run, rows: Sequence[Beside]) -> Iterator[Plot]:
    """Means and standard deviations by size, a panel for each metric and mode; none of no rows."""
    keys = dict.fromkeys((row.published.metric, row.published.mode) for row in rows)
    panels = [
        [row for row in rows if (row.published.metric, row.published.mode) == key] for key in keys
    ]
    if not panels:
        return
    experiment = run.experiment
    heading = "The study beside a Pi: mean and standard deviation"
    with canvas.settings():
        x_title = charts.title_of(experiment, SIZE)
        figure, places = canvas.panels(heading, len(panels), 2, _PANEL, x_title, "time [µs]")
        axis = ParameterAxis(tuple(sorted({row.published.size for row in rows})), True, 2)
        signs: dict[str, Any] = {}
        seen: dict[str, list[float]] = {}
        for axes, some in zip(places, panels, strict=True):
            first = some[0].published
            axes.set_title(_named(run, first))
            axis.prepare(axes)
            sides: tuple[list[tuple[float, float | None]], ...] = (
                [(row.mean, row.sd) for row in some],
                [(row.published.mean, row.published.sd) for row in some],
            )
            for index, (name, look) in enumerate(zip(("emulation", "Pi"), LOOKS, strict=True)):
                x = [axis.place(row.published.size, index) for row in some]
                y = [mean for mean, _ in sides[index]]
                around = [
                    None if sd is None else (max(mean - sd, _LEAST * mean), mean + sd)
                    for mean, sd in sides[index]
                ]
                canvas.spans(axes, look.colour, zip(x, y, around, strict=True))
                signs[name] = canvas.line(axes, look, x, y, join=True)
                own = seen.setdefault(first.metric, [])
                own += [*y, *(end for ends in around if ends is not None for end in ends)]
        for axes, some in zip(places, panels, strict=True):
            canvas.measure(axes, "y", seen[some[0].published.metric], log=True)
        signs["± standard deviation"] = canvas.span()
        canvas.legend(figure, list(signs.items()))
        canvas.finish(figure)
    told = "; ".join(
        f"{_named(run, row.published)} at {row.published.size} {rounded(row.mean)} µs, "
        f"{rounded(row.published.mean)} µs on the Pi"
        for row in rows
    )
    yield Plot("beside-pi", heading, f"{heading}: {told}.", figure)


def _named(run: Run, published: Published) -> str:
    metric, _ = charts.quantity(run.analysis.observations, published.metric)
    return f"{metric}, {plain(run.experiment.parameters[MODE].label(published.mode))}"
