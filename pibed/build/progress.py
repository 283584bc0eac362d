"""How a build goes, told to a person: live progress on a terminal, plain lines in a log.

Progress goes to standard error; results go to standard output.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pibed.base.errors import printable
from pibed.base.terminal import duration
from pibed.build.store import Output

if TYPE_CHECKING:
    from rich.console import Console


# Seconds between two lines about the same work in a log.
_PLAIN_INTERVAL_S = 15.0


class BuildProgress:
    """Reports a build (see `pibed.build.making.Progress`); cached steps only if `show_cached`."""

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
                        task,
                        completed=min(elapsed, 0.99 * expected_s),
                        line=printable(line.strip()[:60]),
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
                shown = printable(line.rstrip()[:200])
                self._console.print(
                    f"{name}: {duration(last - start)}, {lines} lines, now:{shown}",
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


class Silent:
    """Says nothing (see `pibed.build.making.Progress`), where something else tells how it goes."""

    @contextmanager
    def step(self, name: str, expected_s: float, log: Path) -> Iterator[Callable[[str], None]]:
        """A step runs."""
        yield lambda line: None

    def differs(self, line: str) -> None:
        """What the build is made from or with differs from the lock."""

    def note(self, line: str) -> None:
        """Something of a step that a person wants to know."""

    def waiting(self, name: str) -> None:
        """Another process is making this step's output."""

    def done(self, output: Output) -> None:
        """A step's output is there."""
