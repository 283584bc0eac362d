"""A run from its begin to its end; its files are there whatever happens."""

from __future__ import annotations

import datetime
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pibed.base import places, terminal
from pibed.base.durations import Durations
from pibed.base.errors import ENDING, GuestError, IncompleteError
from pibed.build.images import Images
from pibed.guest.pool import StopRequested, run_side_by_side
from pibed.measure import leaks, record
from pibed.measure.progress import SweepProgress
from pibed.measure.rounds import MeasureRounds, RoundsObserver, Testbed, measure_rounds
from pibed.model import plan
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine
from pibed.model.plan import Visit
from pibed.model.samples import Sample, Status
from pibed.model.shard import Shard
from pibed.runs.folder import Measured, RunFolder
from pibed.runs.hints import resume_command
from pibed.runs.manifest import Manifest
from pibed.stats.analysis import Analysis

# Standard deviation by mean: a cell that varies more is pointed out, where the clock is the host's.
_STEADY = 0.10


@dataclass(frozen=True)
class Measurement:
    """What came of a run."""

    machine: Machine
    experiment: Experiment
    run: RunFolder
    samples: list[Sample]
    problems: list[str]
    differs: list[str]
    """From the lock, when the run was begun."""
    leaks: list[str] = field(default_factory=list)
    """Warnings of memory that the module does not give back."""

    @cached_property
    def analysis(self) -> Analysis:
        """Of the samples, once no more come in."""
        return Analysis(self.experiment, tuple(self.samples))

    @property
    def warnings(self) -> list[str]:
        """What a reader of the numbers should know."""
        if self.machine.clock != "host":
            return self.leaks
        return self.leaks + [
            f"host clock: {each.cell}: {each.metric} varies by more than {_STEADY:.0%}: "
            f"SD {each.sd:.4g}, mean {each.mean:.4g}"
            for each in self.analysis.summaries
            if self.experiment.metrics[each.metric].table
            and each.sd is not None
            and each.sd > _STEADY * abs(each.mean)
        ]


def tell_differences(name: str, recorded: Manifest, images: Images, qemu_version: str) -> bool:
    """Says what is not as it was when a run was made; returns whether there is anything."""
    lines = record.differences(recorded, images, qemu_version)
    for line in lines:
        terminal.stderr().print(f"differs from {name}: {line}", markup=False)
    return bool(lines)


def measure(
    root: Path,
    testbed: Testbed,
    jobs: int,
    name: str,
    *,
    shard: Shard | None = None,
    fail_fast: bool = False,
    by: MeasureRounds = measure_rounds,
) -> Measurement:
    """Measures an experiment, or a shard, into a new folder in `root`, `jobs` rounds at a time.

    See `measure_rest` for the rest.
    """
    machine, experiment = testbed.machine, testbed.experiment
    run = RunFolder.create(root, experiment, name, datetime.datetime.now(datetime.UTC), shard)
    before = record.begun(machine, experiment, jobs, testbed.images, testbed.qemu_version, shard)
    with run.held():
        run.write_manifest(before)
        return measure_rest(testbed, run, before, Measured([], []), fail_fast=fail_fast, by=by)


def measure_rest(
    testbed: Testbed,
    run: RunFolder,
    before: Manifest,
    measured: Measured,
    *,
    fail_fast: bool = False,
    by: MeasureRounds = measure_rounds,
) -> Measurement:
    """Measures the rounds that are not measured; the run's files are written whatever happens.

    With `fail_fast` the first sample that is not `ok`, and the first problem beside the samples,
    ends it: IncompleteError.
    """
    machine, experiment, jobs = testbed.machine, testbed.experiment, before.jobs
    console = terminal.stderr()
    durations = Durations(places.cache() / "durations.json")
    display = SweepProgress(
        console, experiment, machine.clock, jobs, durations, measured.samples, shard=run.shard
    )
    taken = _Taken(display, list(measured.samples), list(measured.problems), run.folder, fail_fast)
    known = {sample.round for sample in measured.samples}
    left = [each for each in plan.rounds(experiment, run.shard) if each.number not in known]
    outcome = Measurement(
        machine, experiment, run, taken.samples, taken.problems, list(before.lock.differs)
    )
    finished = False
    try:
        with display.shown():
            by(testbed, run, left, jobs, taken)
        # Of a sweep's shards the first looks for all.
        if experiment.leaks != "ignore" and (run.shard is None or run.shard.number == 1):
            outcome.leaks.extend(_leaks(testbed, run, taken.samples))
        finished = True
    finally:
        with _uninterrupted():
            durations.save()
            if not finished:
                console.print(
                    f"sweep: {len(taken.samples)} samples taken so far are in {run.folder}\n"
                    f"  to go on: {resume_command(run.folder)}",
                    markup=False,
                )
            run.write_samples(outcome.analysis)
            run.write_manifest(
                record.ended(
                    before,
                    run.folder / "samples.csv",
                    taken.samples,
                    taken.problems,
                    outcome.warnings,
                    finished,
                )
            )
    return outcome


def _leaks(testbed: Testbed, run: RunFolder, samples: Sequence[Sample]) -> list[str]:
    """Warnings of memory that is lost."""
    found: list[str] = []

    def look(stop_requested: StopRequested) -> None:
        found.extend(leaks.look(testbed, samples, run.folder / "leaks", stop_requested))

    run_side_by_side([look], 1)
    return found


@dataclass(frozen=True)
class _Taken:
    """Keeps the samples and problems of a sweep as they come, and passes all on to a display."""

    display: RoundsObserver
    samples: list[Sample]
    problems: list[str]
    folder: Path
    fail_fast: bool
    """Whether the first that is not as it should be is the last."""

    def placed(self, number: int, machine: str) -> None:
        self.display.placed(number, machine)

    def remarked(self, text: str) -> None:
        self.display.remarked(text)

    def began(self, number: int, visit: Visit) -> None:
        self.display.began(number, visit)

    def took(self, sample: Sample) -> None:
        self.samples.append(sample)
        self.display.took(sample)
        if sample.status != Status.OK:
            self._fail(f"round {sample.round}: {sample.cell}: {sample.status}: {sample.message}")

    def died(self, number: int, error: GuestError) -> None:
        self.display.died(number, error)

    def rebooted(self, number: int, error: GuestError) -> None:
        self.display.rebooted(number, error)

    def noticed(self, problem: str) -> None:
        self.problems.append(problem)
        self.display.noticed(problem)
        self._fail(problem)

    def _fail(self, what: str) -> None:
        if self.fail_fast:
            logs = f"see the logs in {self.folder}/boots/"
            raise IncompleteError(
                f"ended at the first failure: {what}",
                fix=f"{logs}; to go on: {resume_command(self.folder)}",
            )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Holds signals back: one at the wrong moment would cost the files of a whole sweep."""
    # With the alarm by which one of them comes again, see `pibed.commands.frame`.
    signals = (*ENDING, signal.SIGALRM)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
