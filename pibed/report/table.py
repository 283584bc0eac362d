"""The table at the end of a sweep, in the form of the study: a row a cell and timing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pibed.model.experiment import Experiment
from pibed.model.machine import Clock
from pibed.model.plan import cells
from pibed.stats.summary import Summary

if TYPE_CHECKING:
    from rich.table import Table


def table(
    experiment: Experiment,
    summaries: Mapping[Clock, Sequence[Summary]],
    title: str,
    caption: str = "",
) -> Table:
    """Min, max, mean, median and SD of the metrics that the experiment wants shown.

    With several clocks each cell and metric has a row for each of them. `caption` is a line below
    for what a reader of the numbers must know.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    result = Table(
        title=escape(title),
        title_justify="left",
        caption=escape(caption) or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for parameter in experiment.parameters.values():
        result.add_column(escape(parameter.title), justify="left" if parameter.labels else "right")
    result.add_column("timing")
    if len(summaries) > 1:
        result.add_column("clock")
    for heading in ("n", "min", "max", "mean", "median", "SD"):
        result.add_column(heading, justify="right")
    previous: object = None
    found = {
        (each.cell, each.metric, clock): each for clock in summaries for each in summaries[clock]
    }
    rows = itertools.product(cells(experiment), experiment.metrics, summaries)
    for row in rows:
        if (each := found.get(row)) is None:
            continue
        metric = experiment.metrics[each.metric]
        if not metric.table:
            continue
        group = each.cell.values[0]
        if previous not in (None, group):
            result.add_section()
        previous = group
        labels = [
            experiment.parameters[name].labels.get(value, str(value))
            for name, value in each.cell.values
        ]
        result.add_row(
            *(escape(label) for label in labels),
            escape(f"{metric.title} [{metric.unit}]"),
            *([row[2]] if len(summaries) > 1 else []),
            str(each.n),
            str(each.min),
            str(each.max),
            f"{each.mean:.1f}",
            f"{each.median:.1f}",
            "" if each.sd is None else f"{each.sd:.2f}",
        )
    return result
