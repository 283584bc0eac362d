"""How tables come to the terminal."""

from __future__ import annotations

import sys

from pibed.report.table import Table, printed


def print_table(shown: Table, width: int) -> None:
    """Prints a table as wide as the terminal, or `width` letters where there is none."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else width, highlight=False)
    console.print(printed(shown))
