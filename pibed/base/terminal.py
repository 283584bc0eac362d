"""What a person sees: a console on standard error, durations, bars, and errors in words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pibed.base.errors import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def stderr() -> Console:
    """A rich console on standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def duration(seconds: float) -> str:
    """Seconds for people: 0.3 s, 12 s, 2 min 05 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def counting_bar(console: Console, label: str, *fields: str) -> Progress:
    """A bar that counts up to a total, with the task's fields behind it, the last one dim."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    shown = [
        TextColumn(
            f"{{task.fields[{field}]}}", style="dim" if field == fields[-1] else "", markup=False
        )
        for field in fields
    ]
    return Progress(
        *(TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), *shown),
        console=console,
        transient=True,
    )


def print_error(message: str, fix: str | None, log: Path | None, context: list[str]) -> None:
    """An error as people need it: a log's last words, what is wrong, where more is, what to do.

    Nothing of it acts on the terminal: a Makefile may have printed it.
    """
    console = stderr()
    for line in context:
        console.print(f"  | {printable(line)}", style="dim", markup=False)
    console.print("pibed: ", style="bold red", end="")
    console.print("\n".join(map(printable, message.split("\n"))), markup=False)
    if log is not None:
        console.print(f"  log:    {log}", markup=False)
    if fix is not None:
        console.print(f"  to fix: {fix}", markup=False)
    sys.stderr.flush()
