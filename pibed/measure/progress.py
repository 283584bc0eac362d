"""How a sweep goes, told to a person: a live display on a terminal, plain lines in a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pibed.base.durations import Durations
from pibed.base.errors import GuestError
from pibed.base.terminal import counting_bar, duration
from pibed.model.experiment import Experiment
from pibed.model.machine import Clock
from pibed.model.plan import Cell, Visit, cells
from pibed.model.samples import Sample, Status
from pibed.model.words import counted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


# The innermost functions of a call trace; all of them are in the boot's folder.
_LINES_OF_TRACE = 10


def duration_key(experiment: Experiment, clock: Clock, cell: Cell) -> str:
    """Under which the host seconds of a visit to a cell are known."""
    return f"{experiment.name} {clock} {cell}"


class SweepProgress:
    """Reports a sweep (see `RoundsObserver`): samples and rounds done, and the time left."""

    # What a boot takes beside its cells, in seconds: measured with the virtual clock.
    _BOOT_S = 1.2

    def __init__(
        self,
        console: Console,
        experiment: Experiment,
        clock: Clock,
        jobs: int,
        durations: Durations,
        samples: Sequence[Sample] = (),
    ) -> None:
        """`samples` are those that an earlier part of the run has taken."""
        self._console = console
        self._experiment = experiment
        self._clock: Clock = clock
        self._jobs = jobs
        self._durations = durations
        self._cells = cells(experiment)
        self._total = len(self._cells) * experiment.rounds
        self._taken = len(samples)
        self._left_of_round = dict.fromkeys(range(1, experiment.rounds + 1), len(self._cells))
        for sample in samples:
            self._left_of_round[sample.round] -= 1
        self._began: dict[int, float] = {}
        self._lock = threading.Lock()
        self._live: tuple[Progress, TaskID] | None = None

    def expected_s(self) -> float | None:
        """How long the whole sweep may take, if every cell was measured before."""
        round_s = self._round_s()
        rounds = sum(left > 0 for left in self._left_of_round.values())
        return None if round_s is None else round_s * -(-rounds // self._jobs)

    def _round_s(self) -> float | None:
        """How long a round may take, if every cell was measured before."""
        known = [
            self._durations.get(duration_key(self._experiment, self._clock, cell))
            for cell in self._cells
        ]
        if any(seconds is None for seconds in known):
            return None
        return sum(seconds or 0.0 for seconds in known) + self._BOOT_S

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Announces the sweep, and shows it as long as the context lasts."""
        expected = self.expected_s()
        about = (
            "time left known after the first round"
            if expected is None
            else f"about {duration(expected)}"
        )
        before = f" ({self._taken} of {self._total} samples are there)" if self._taken else ""
        self._console.print(
            f"sweep: {counted(self._experiment.rounds, 'round')} of "
            f"{counted(len(self._cells), 'cell')}{before}, "
            f"{self._clock} clock, {self._jobs} side by side; {about}",
            markup=False,
        )
        if not self._console.is_terminal:
            yield
            return
        with counting_bar(self._console, "samples", "left", "now") as progress:
            task = progress.add_task("", total=self._total, completed=self._taken, left="", now="")
            self._live = (progress, task)
            try:
                yield
            finally:
                self._live = None

    def began(self, number: int, visit: Visit) -> None:
        """A visit of a round has begun."""
        with self._lock:
            self._began[number] = time.monotonic()
            if self._live is not None:
                progress, task = self._live
                progress.update(task, now=f"round {number}: {visit.cell}")

    def took(self, sample: Sample) -> None:
        """A sample is there."""
        with self._lock:
            began = self._began.get(sample.round)
            if began is not None and sample.status == Status.OK:
                seconds = time.monotonic() - began
                key = duration_key(self._experiment, self._clock, sample.cell)
                self._durations.learn(key, seconds)
            self._taken += 1
            self._left_of_round[sample.round] -= 1
            if sample.status != Status.OK:
                self._say(f"round {sample.round}: {sample.cell}: {sample.status}: {sample.message}")
            if self._live is not None:
                progress, task = self._live
                progress.update(task, completed=self._taken, left=self._time_left())
            elif self._left_of_round[sample.round] == 0:
                finished = sum(1 for left in self._left_of_round.values() if left == 0)
                self._say(
                    f"round {sample.round} done; {finished} of "
                    f"{counted(self._experiment.rounds, 'round')}, {self._taken} of "
                    f"{counted(self._total, 'sample')}{self._time_left(', ')}"
                )

    def died(self, number: int, error: GuestError) -> None:
        """The kernel of a round's guest died or hangs; the error's context says where."""
        with self._lock:
            for line in error.context[:_LINES_OF_TRACE]:
                self._say(f"round {number}: | {line}")

    def rebooted(self, number: int, error: GuestError) -> None:
        """A round lost its guest and goes on in a new boot."""
        with self._lock:
            log = f" (log: {error.log})" if error.log is not None else ""
            self._say(f"round {number}: {error.message}; going on in a new boot{log}")

    def noticed(self, problem: str) -> None:
        """Something beside the samples went wrong."""
        with self._lock:
            self._say(problem)

    def _time_left(self, separator: str = "") -> str:
        round_s = self._round_s()
        if round_s is None:
            return ""
        left = (self._total - self._taken) / len(self._cells) * round_s / self._jobs
        return f"{separator}about {duration(left)} left"

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)
