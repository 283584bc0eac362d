"""What a person sees of a run of test programs: progress, a table, and each failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pibed.base.terminal import counting_bar, duration
from pibed.ktest.estimate import Estimate
from pibed.ktest.ktap import CaseStatus
from pibed.ktest.outcome import MODULE, CaseOutcome

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table


# Lines of a failure's details that are shown; all of them are in the JUnit file.
_SHOWN = 24

_STYLES = {
    CaseStatus.PASSED: "green",
    CaseStatus.FAILED: "bold red",
    CaseStatus.SKIPPED: "yellow",
}


class KtestProgress:
    """Reports a run of tests (see `TestObserver`): a bar on a terminal, a line a test in a log."""

    def __init__(
        self, console: Console, variants: Sequence[str], tests: int, estimate: Estimate
    ) -> None:
        self._console = console
        self._variants = variants
        self._total = len(variants) * tests
        self._estimate = estimate
        self._now: dict[str, str] = {}
        self._outcomes: dict[tuple[str, str], CaseOutcome] = {}
        self._lock = threading.Lock()
        self._live: tuple[Progress, TaskID] | None = None

    @property
    def outcomes(self) -> list[CaseOutcome]:
        """What came of the cases so far, variant by variant."""
        with self._lock:
            found = list(self._outcomes.values())
        return sorted(found, key=lambda outcome: self._variants.index(outcome.variant))

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

    def booting(self, variant: str) -> None:
        """A guest of a variant is being booted."""
        with self._lock:
            self._estimate.booting(variant)

    def began(self, variant: str, case: str) -> None:
        """A case has begun."""
        with self._lock:
            self._estimate.began(variant, case)
            self._now[variant] = case
            self._update()

    def ended(self, outcome: CaseOutcome) -> None:
        """A case has ended; again if the kernel says later that it left something behind."""
        with self._lock:
            self._estimate.ended(outcome)
            self._outcomes[outcome.variant, outcome.case] = outcome
            self._update()
            if self._live is None or outcome.status == CaseStatus.FAILED:
                words = f": {outcome.message}" if outcome.message else ""
                self._console.print(
                    f"{outcome.variant:14} {outcome.case:40} {outcome.status} "
                    f"{duration(outcome.seconds)}{words}",
                    markup=False,
                )

    def placed(self, variant: str, machine: str) -> None:
        """Another machine has been given a variant, which it may lose."""
        with self._lock:
            self._now[variant] = f"{variant} on {machine}"
            self._update()

    def remarked(self, text: str) -> None:
        """Something of the machines that test, which is about no case."""
        self._console.print(text, markup=False)

    def _update(self) -> None:
        if self._live is not None:
            progress, task = self._live
            now = ", ".join(self._now.values())
            done = sum(outcome.program != MODULE for outcome in self._outcomes.values())
            progress.update(task, total=self._total, completed=done, now=now)


def table(title: str, outcomes: Sequence[CaseOutcome], summary: str | None = None) -> Table:
    """A row a case, a column a variant; `summary` is what is said of all of them."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    variants = list(dict.fromkeys(outcome.variant for outcome in outcomes))
    found = {(outcome.case, outcome.variant): outcome for outcome in outcomes}
    result = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    result.add_column("test")
    for variant in variants:
        result.add_column(escape(variant))
    previous = ""
    for case in dict.fromkeys(outcome.case for outcome in outcomes):
        program = case.partition(".")[0]
        if previous not in ("", program):
            result.add_section()
        previous = program
        cells = []
        for variant in variants:
            outcome = found.get((case, variant))
            if outcome is None:
                cells.append("")
                continue
            cells.append(f"[{_STYLES[outcome.status]}]{outcome.status}[/]")
        result.add_row(escape(case), *cells)
    if summary is not None:
        result.caption, result.caption_justify, result.caption_style = escape(summary), "left", ""
        result.min_width = len(summary)
    return result


def failures(outcomes: Sequence[CaseOutcome]) -> list[str]:
    """Each failure with the lines that tell most about it, and where the rest is."""
    lines = []
    for outcome in outcomes:
        if outcome.status != CaseStatus.FAILED:
            continue
        lines.append(f"{outcome.variant} {outcome.case}: {outcome.message}")
        lines += [f"  | {line}" for line in outcome.details[:_SHOWN]]
        if (hidden := len(outcome.details) - _SHOWN) > 0:
            lines.append(f"  | … and {hidden} more lines")
        if outcome.logs is not None:
            lines.append(f"  logs: {outcome.logs}")
    return lines


def failed(outcomes: Sequence[CaseOutcome]) -> list[str]:
    """The names of the cases that failed, each once."""
    found = (outcome.case for outcome in outcomes if outcome.status == CaseStatus.FAILED)
    return list(dict.fromkeys(found))


def skips(outcomes: Sequence[CaseOutcome]) -> list[str]:
    """Each reason for which cases were skipped, with the cases."""
    reasons: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.status == CaseStatus.SKIPPED:
            reasons.setdefault(f"{outcome.variant}: {outcome.message}", []).append(outcome.case)
    return [f"skipped in {reason}: {', '.join(cases)}" for reason, cases in reasons.items()]


def counts(outcomes: Sequence[CaseOutcome]) -> str:
    """How many of each status, for people."""
    parts = []
    for status in CaseStatus:
        number = sum(outcome.status == status for outcome in outcomes)
        if number or status == CaseStatus.PASSED:
            parts.append(f"{number} {status}")
    return ", ".join(parts)
