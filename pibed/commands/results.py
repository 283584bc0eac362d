"""`results`: every run in the folder for results."""

from __future__ import annotations

from pibed.base.errors import UsageError
from pibed.commands.options import ListingOptions
from pibed.commands.printing import print_table
from pibed.report.listing import entry, runs, table
from pibed.runs import locate


def show(options: ListingOptions) -> None:
    """Prints the runs, newest first; raises UsageError if there is no such folder."""
    root = locate.root(options.results)
    if options.results is not None and not root.is_dir():
        raise UsageError(f"--results {options.results}: there is no such folder")
    folders = runs(root) if root.is_dir() else []
    if not folders:
        print(f"{root}: no runs yet; ./inv sweep makes one")
        return
    print_table(table(map(entry, folders)), width=160)
