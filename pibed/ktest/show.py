"""What a person sees of a run of test programs: progress, a table, and each failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pibed.base.terminal import counting_bar, duration
from pibed.ktest.runner import CaseOutcome

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table


# Lines of a failure's details that are shown; all of them are in the JUnit file.
_SHOWN = 24

_STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow"}


class KtestProgress:
    """Reports a run of tests (see `TestObserver`): a bar on a terminal, a line a test in a log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = 0
        self._done = 0
        self._now: dict[str, str] = {}
        self._seen: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._live: tuple[Progress, TaskID] | None = None

    @contextmanager
    def shown(self, announcement: str) -> Iterator[None]:
        """Prints what is about to happen, and shows it as long as the context lasts."""
        self._console.print(announcement, markup=False)
        if not self._console.is_terminal:
            yield
            return
        with counting_bar(self._console, "tests", "now") as progress:
            self._live = (progress, progress.add_task("", total=None, now=""))
            try:
                yield
            finally:
                self._live = None

    def listed(self, mode: str, cases: int) -> None:
        """How many cases a mode has."""
        with self._lock:
            self._total += cases
            self._update()

    def began(self, mode: str, case: str) -> None:
        """A case has begun."""
        with self._lock:
            self._now[mode] = case
            self._update()

    def ended(self, outcome: CaseOutcome) -> None:
        """A case has ended; again if the kernel says later that it left something behind."""
        with self._lock:
            first = (outcome.mode, outcome.case) not in self._seen
            self._seen.add((outcome.mode, outcome.case))
            if first and not outcome.case.startswith("module."):
                self._done += 1
            self._update()
            if self._live is None or outcome.status == "failed":
                words = f": {outcome.message}" if outcome.message else ""
                self._console.print(
                    f"{outcome.mode:14} {outcome.case:40} {outcome.status} "
                    f"{duration(outcome.seconds)}{words}",
                    markup=False,
                )

    def _update(self) -> None:
        if self._live is not None:
            progress, task = self._live
            now = ", ".join(self._now.values())
            progress.update(task, total=self._total or None, completed=self._done, now=now)


def table(title: str, outcomes: Sequence[CaseOutcome]) -> Table:
    """A row a case, a column a mode."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    modes = list(dict.fromkeys(outcome.mode for outcome in outcomes))
    found = {(outcome.case, outcome.mode): outcome for outcome in outcomes}
    result = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    result.add_column("test")
    for mode in modes:
        result.add_column(escape(mode))
    previous = ""
    for case in dict.fromkeys(outcome.case for outcome in outcomes):
        program = case.partition(".")[0]
        if previous not in ("", program):
            result.add_section()
        previous = program
        cells = []
        for mode in modes:
            outcome = found.get((case, mode))
            if outcome is None:
                cells.append("")
                continue
            cells.append(f"[{_STYLES[outcome.status]}]{outcome.status}[/]")
        result.add_row(escape(case), *cells)
    return result


def failures(outcomes: Sequence[CaseOutcome]) -> list[str]:
    """Each failure with the lines that tell most about it, and where the rest is."""
    lines = []
    for outcome in outcomes:
        if outcome.status != "failed":
            continue
        lines.append(f"{outcome.mode} {outcome.case}: {outcome.message}")
        lines += [f"  | {line}" for line in outcome.details[:_SHOWN]]
        if (hidden := len(outcome.details) - _SHOWN) > 0:
            lines.append(f"  | … and {hidden} more lines")
        if outcome.logs is not None:
            lines.append(f"  logs: {outcome.logs}")
    return lines


def skips(outcomes: Sequence[CaseOutcome]) -> list[str]:
    """Each reason for which cases were skipped, with the cases."""
    reasons: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.status == "skipped":
            reasons.setdefault(f"{outcome.mode}: {outcome.message}", []).append(outcome.case)
    return [f"skipped in {reason}: {', '.join(cases)}" for reason, cases in reasons.items()]


def counts(outcomes: Sequence[CaseOutcome]) -> str:
    """How many of each status, for people."""
    parts = []
    for status in ("passed", "failed", "skipped"):
        number = sum(outcome.status == status for outcome in outcomes)
        if number or status == "passed":
            parts.append(f"{number} {status}")
    return ", ".join(parts)
