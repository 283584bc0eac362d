"""How a grading goes, told to a person: a bar on a terminal, a line a part in a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pibed.base.durations import Durations
from pibed.base.terminal import counting_bar, duration
from pibed.model.words import counted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from pibed.grade.work import Candidate

# Host seconds where nothing is known yet, measured on two cores with two parts side by side.
_BUILD_S, _PART_S = 15.0, 20.0


class GradeProgress:
    """Reports a grading (see `pibed.grade.parts`), and learns how long it takes."""

    def __init__(
        self, console: Console, durations: Durations, rubric: str, parts: Sequence[str]
    ) -> None:
        self._console = console
        self._durations = durations
        self._rubric = rubric
        self._parts = parts
        self._since: dict[tuple[str, str], float] = {}
        self._placed: dict[tuple[str, str], str] = {}
        self._done = 0
        self._total = 0
        self._lock = threading.Lock()
        self._live: tuple[Progress, TaskID] | None = None

    @contextmanager
    def shown(
        self, title: str, candidates: Sequence[Candidate], jobs: int, elsewhere: str | None
    ) -> Iterator[None]:
        """Says what is about to happen and how long it may take; shows it meanwhile.

        How long it takes `elsewhere`, on workers, is not known.
        """
        count = len(candidates)
        self._total = count * (1 + len(self._parts))
        each = self._expected("build", _BUILD_S)
        each += sum(self._expected(part, _PART_S) for part in self._parts)
        seconds = duration(each * count / max(1, min(jobs, count)))
        handed_in = [each for each in candidates if not each.is_reference]
        words = counted(len(handed_in), "submission")
        words += " and the reference" if len(handed_in) < count else ""
        if elsewhere is None:
            words += f", {counted(jobs, 'job')} side by side; about {seconds}"
        else:
            words += f", boots on {elsewhere}"
        self._console.print(f"{title}: {words}", markup=False)
        if not self._console.is_terminal:
            yield
            return
        with counting_bar(self._console, "graded", "now") as progress:
            self._live = (progress, progress.add_task("", total=self._total, now=""))
            try:
                yield
            finally:
                self._live = None

    def began(self, submission: str, what: str) -> None:
        """See `GradeObserver`."""
        with self._lock:
            self._since[submission, what] = time.monotonic()
            self._show(f"{submission}: {what}")

    def placed(self, submission: str, what: str, machine: str) -> None:
        """See `pibed.grade.parts.SharingObserver`."""
        with self._lock:
            self._since[submission, what] = time.monotonic()
            self._placed[submission, what] = machine
            self._show(f"{submission}: {what} on {machine}")

    def remarked(self, text: str) -> None:
        """See `pibed.grade.parts.SharingObserver`."""
        self._console.print(text, markup=False)

    def _show(self, now: str) -> None:
        if self._live is not None:
            progress, task = self._live
            progress.update(task, completed=self._done, now=now)

    def ended(self, submission: str, what: str, outcome: str) -> None:
        """See `GradeObserver`."""
        with self._lock:
            seconds = time.monotonic() - self._since.pop((submission, what))
            machine = self._placed.pop((submission, what), None)
            self._done += 1
            # What was taken from a grading before says nothing, nor how fast another machine is.
            if seconds > 1 and machine is None:
                self._durations.learn(self._key(what), seconds)
            if self._live is None:
                words = outcome.partition("\n")[0]
                words += f" on {machine}" if machine else ""
                self._console.print(
                    f"{submission:24} {what:36} {words} ({duration(seconds)})",
                    markup=False,
                )
            else:
                progress, task = self._live
                progress.update(task, completed=self._done)

    def _expected(self, what: str, guess: float) -> float:
        known = self._durations.get(self._key(what))
        return guess if known is None else known

    def _key(self, what: str) -> str:
        return f"grade {self._rubric} {what}"
