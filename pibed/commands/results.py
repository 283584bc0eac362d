"""`results`: every run in the folder for results."""

from __future__ import annotations

import sys

from pibed.base.errors import UsageError, printable
from pibed.commands.options import ListingOptions
from pibed.report.listing import entry, runs
from pibed.runs import locate


def show(options: ListingOptions) -> None:
    """Prints the runs, newest first; raises UsageError if there is no such folder."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    root = locate.root(options.results)
    if not root.is_dir():
        if options.results is not None:
            raise UsageError(f"--results {options.results}: there is no such folder")
        print(f"{root}: no runs yet; ./inv sweep makes one")
        return
    folders = runs(root)
    if not folders:
        print(f"{root}: no runs yet; ./inv sweep makes one")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("run", "when (UTC)", "experiment", "clock"):
        table.add_column(heading, overflow="fold")
    table.add_column("cells × rounds", justify="right")
    for heading in ("state", "verdict", "lock"):
        table.add_column(heading, overflow="fold")
    for folder in folders:
        row = entry(folder)
        cells = (
            row.name,
            row.when,
            row.experiment,
            row.clock,
            row.size,
            row.state,
            row.verdict,
            row.lock,
        )
        table.add_row(*(escape(printable(cell)) for cell in cells))
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)
