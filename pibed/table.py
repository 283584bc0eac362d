"""The table at the end of a sweep, in the form of the study: a row a cell and timing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pibed.config import Experiment
from pibed.summary import Summary

if TYPE_CHECKING:
    from rich.table import Table


def table(
    experiment: Experiment, summaries: Sequence[Summary], title: str, caption: str = ""
) -> Table:
    """Min, max, mean, median and SD of the metrics that the experiment wants shown.

    `caption` is a line below for what a reader of the numbers must know.
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
    for heading in ("n", "min", "max", "mean", "median", "SD"):
        result.add_column(heading, justify="right")
    previous: object = None
    for each in summaries:
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
            str(each.n),
            str(each.min),
            str(each.max),
            f"{each.mean:.1f}",
            f"{each.median:.1f}",
            "" if each.sd is None else f"{each.sd:.2f}",
        )
    return result
