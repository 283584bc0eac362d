"""What a person sees while pibed works: live progress on a terminal, plain lines in a log.

Progress goes to standard error; results go to standard output.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pibed.store import Output

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

# Seconds between two lines about the same work in a log.
_PLAIN_INTERVAL_S = 15.0


def stderr() -> Console:
    """A rich console on standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


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


class BuildProgress:
    """Reports a build (see `pibed.build.Progress`); cached steps only if `show_cached`."""

    def __init__(self, console: Console, show_cached: bool) -> None:
        self._console = console
        self._show_cached = show_cached

    @contextmanager
    def step(self, name: str, expected_s: float, log: Path) -> Iterator[Callable[[str], None]]:
        """Shows that a step runs; the callable gets each line of its output."""
        start = time.monotonic()
        lines = 0
        if self._console.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            with Progress(
                TextColumn("{task.description:15}"),
                BarColumn(),
                TimeElapsedColumn(),
                TextColumn("of about " + duration(expected_s)),
                TextColumn("{task.fields[line]}", style="dim", markup=False),
                console=self._console,
                transient=True,
            ) as progress:
                task = progress.add_task(name, total=expected_s, line="")

                def show(line: str) -> None:
                    elapsed = time.monotonic() - start
                    # The estimate may be short; the bar then waits at its end.
                    progress.update(
                        task, completed=min(elapsed, 0.99 * expected_s), line=line.strip()[:60]
                    )

                yield show
            return

        self._console.print(
            f"{name}: started, about {duration(expected_s)} on two cores; log: {log}", markup=False
        )
        last = start

        def count(line: str) -> None:
            nonlocal lines, last
            lines += 1
            if time.monotonic() - last > _PLAIN_INTERVAL_S:
                last = time.monotonic()
                self._console.print(
                    f"{name}: {duration(last - start)}, {lines} lines, now:{line.rstrip()}",
                    markup=False,
                )

        yield count

    def differs(self, line: str) -> None:
        """What the build is made from or with differs from the lock."""
        self._console.print(f"differs from lock: {line}", markup=False)

    def note(self, line: str) -> None:
        """Something of a step that a person wants to know."""
        self._console.print(line, markup=False)

    def waiting(self, name: str) -> None:
        """Another process is making this step's output."""
        self._console.print(f"{name}: another build is making it; waiting")

    def done(self, output: Output) -> None:
        """A step's output is there."""
        if not output.cached:
            self._console.print(f"{output.step.name:15} built in {duration(output.seconds)}")
        elif self._show_cached:
            self._console.print(f"{output.step.name:15} cached")


def print_error(message: str, fix: str | None, log: Path | None, context: list[str]) -> None:
    """An error as people need it: a log's last words, what is wrong, where more is, what to do."""
    console = stderr()
    for line in context:
        console.print(f"  | {line}", style="dim", markup=False)
    console.print("pibed: ", style="bold red", end="")
    console.print(message, markup=False)
    if log is not None:
        console.print(f"  log:    {log}", markup=False)
    if fix is not None:
        console.print(f"  to fix: {fix}", markup=False)
    sys.stderr.flush()
