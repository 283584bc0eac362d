"""The sweep: all rounds of an experiment, several side by side, each a boot of its own.

A round that loses its guest goes on behind the cell that killed it, in a new boot. A round that
was measured to its end says so in the results folder, so that a sweep can be taken up again.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from pibed.base.errors import GuestError
from pibed.base.files import write_file
from pibed.build.images import Images
from pibed.guest import guest, moderrors
from pibed.guest.guest import Guest, GuestTimeout, KernelHang, KernelOops, KernelPanic, Launch
from pibed.guest.line import Stuck
from pibed.guest.pool import StopRequested, run_side_by_side
from pibed.guest.qemu import Logs
from pibed.model import memory, plan
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine
from pibed.model.plan import Round, Steps, Visit
from pibed.model.protocol import NOT_RUN, Command, Result
from pibed.model.samples import Number, Sample, Status, take_metrics
from pibed.runs.folder import RunFolder, SampleLog, write_plan

# A guest that fails to boot this many times in a row is given up, and the sweep with it.
_BOOT_ATTEMPTS = 3


class RoundsObserver(Protocol):
    """Who is told how the sweep goes; called from several threads."""

    def placed(self, number: int, machine: str) -> None:
        """Another machine has been given a round, which it may lose."""

    def remarked(self, text: str) -> None:
        """Something of the machines that measure, which is about no sample."""

    def began(self, number: int, visit: Visit) -> None:
        """A visit of a round has begun."""

    def took(self, sample: Sample) -> None:
        """A sample is there."""

    def died(self, number: int, error: GuestError) -> None:
        """The kernel of a round's guest died or hangs; the error's context says where."""

    def rebooted(self, number: int, error: GuestError) -> None:
        """A round lost its guest and goes on in a new boot."""

    def noticed(self, problem: str) -> None:
        """Something beside the samples went wrong."""


@dataclass(frozen=True)
class Testbed:
    """What all rounds of a sweep share; the machine's clock is that of the sweep."""

    machine: Machine
    images: Images
    experiment: Experiment
    qemu_version: str


class MeasureRounds(Protocol):
    """Who measures rounds: this process (`measure_rounds`), or other machines for it."""

    def __call__(
        self,
        testbed: Testbed,
        run: RunFolder,
        rounds: Sequence[Round],
        jobs: int,
        observer: RoundsObserver,
    ) -> None:
        """See `measure_rounds`."""


def measure_rounds(
    testbed: Testbed, run: RunFolder, rounds: Sequence[Round], jobs: int, observer: RoundsObserver
) -> None:
    """Measures rounds of the experiment, `jobs` at a time; the observer gets what comes of them.

    Raises the GuestError of a guest that does not boot, or the HostError of a host that cannot
    hold the results. Whatever it raises, no QEMU is left when it returns.
    """
    run_side_by_side(
        [partial(measure_round, testbed, run, each, observer) for each in rounds], jobs
    )


def measure_round(
    testbed: Testbed,
    run: RunFolder,
    round_: Round,
    observer: RoundsObserver,
    stop_requested: StopRequested,
) -> None:
    """Measures one round; see `measure_rounds`. Nothing but its arguments decides what comes."""
    _Round(testbed, run, round_, observer).measure(stop_requested)


def longest_s(testbed: Testbed, round_: Round) -> float:
    """Host seconds that a round cannot take longer, whatever becomes of it."""
    machine, experiment = testbed.machine, testbed.experiment
    commands = plan.commands(experiment, plan.steps(experiment, round_.visits))
    # Each boot but the last one has lost a visit, or was of no use.
    boots = len(round_.visits) * _BOOT_ATTEMPTS
    return guest.longest_s(machine, commands) + boots * guest.longest_s(machine, [])


class _Round:
    """One round: its boots, and the samples they give."""

    def __init__(
        self, testbed: Testbed, run: RunFolder, round_: Round, observer: RoundsObserver
    ) -> None:
        self._testbed = testbed
        self._run = run
        self._round = round_
        self._observer = observer
        self._problems: list[str] = []

    def measure(self, stop_requested: StopRequested) -> None:
        """Boots until every cell of the round has its sample, and records that it is measured."""
        boots = self._boots(stop_requested)
        self._run.finish_round(self._round.number, boots, self._problems)

    def _boots(self, stop_requested: StopRequested) -> int:
        """Boots until every cell of the round has its sample; returns how often."""
        left = list(self._round.visits)
        attempt = 0
        fruitless = 0
        while left:
            stop_requested()
            attempt += 1
            before = len(left)
            error = self._boot(attempt, left, stop_requested)
            if error is None:
                break
            fruitless = fruitless + 1 if len(left) == before else 0
            if fruitless == _BOOT_ATTEMPTS:
                error.message = f"the guest does not boot: {error.message}"
                raise error
            if left:
                self._observer.rebooted(self._round.number, error)
        return attempt

    def _boot(
        self, attempt: int, left: list[Visit], stop_requested: StopRequested
    ) -> GuestError | None:
        """One boot; takes visits with their sample from `left`. Returns why it ended early."""
        experiment = self._testbed.experiment
        folder = self._run.boot_folder(self._round.number, attempt)
        steps = plan.steps(experiment, left)
        last = plan.last_command(experiment)
        commands = plan.commands(experiment, steps)
        write_plan(folder / "plan", commands)
        machine = self._testbed.machine
        launch = Launch(machine, self._testbed.images, machine.clock, self._round.seed)
        log = SampleLog(folder / "samples.jsonl")
        try:
            logs = Logs.below(folder, counts=plan.counts_events(experiment))
            with Guest(launch, logs, commands, stop_requested) as booted:
                for each in steps:
                    self._take(self._visit(booted, each), log, left)
                self._finish(booted, last, folder)
        except _CellLost as lost:
            self._keep_trace(lost.error, folder)
            self._take(lost.sample, log, left)
            return lost.error
        except GuestError as error:
            return error
        finally:
            log.close()
        return None

    def _visit(self, guest: Guest, steps: Steps) -> Sample:
        """Runs one visit's commands; raises _CellLost when the guest is lost over them."""
        visit = steps.visit
        self._observer.began(self._round.number, visit)
        try:
            self._prepare(guest, visit, steps.rehearsal)
            readings = []
            if steps.memory is not None:
                readings.append(guest.run(steps.memory[0]))
            self._prepare(guest, visit, steps.before)
            counters = []
            log = None
            if steps.counters is not None:
                counters.append(guest.run(steps.counters[0]))
            if steps.kernel_log is not None:
                log = guest.run(steps.kernel_log[0])
            run = guest.run(steps.run)
            if steps.kernel_log is not None:
                log = guest.run(steps.kernel_log[1])
            if steps.counters is not None:
                counters.append(guest.run(steps.counters[1]))
            after = [(command, guest.run(command)) for command in steps.after]
            if steps.memory is not None:
                readings.append(guest.run(steps.memory[1]))
        except GuestError as error:
            sample = self._sample(visit, status_of(error), error.message)
            raise _CellLost(sample, error) from None
        failed = [(steps.run, run)] if self._run_failed(run) else []
        not_cleaned = [each for each in after if each[1].status != 0 or each[1].timed_out]
        if failures := failed + not_cleaned:
            sample = self._failure(visit, *failures[0])
            if not_cleaned:
                # What the next run would find is unknown.
                raise _CellLost(sample, GuestError(sample.message))
            return sample
        try:
            pair = (counters[0], counters[1]) if counters else None
            metrics = take_metrics(self._testbed.experiment, run, pair, log)
            self._require_returned(readings)
        except ValueError as error:
            return self._sample(visit, Status.FAILED, str(error))
        return self._sample(visit, Status.OK, metrics=metrics)

    def _prepare(self, guest: Guest, visit: Visit, commands: Sequence[Command]) -> None:
        for command in commands:
            result = guest.run(command)
            if result.status != 0 or result.timed_out:
                # Which module is loaded now, if any, is unknown: the boot ends here.
                sample = self._failure(visit, command, result, guest.console_log)
                raise _CellLost(sample, GuestError(sample.message))

    def _require_returned(self, readings: Sequence[Result]) -> None:
        """Raises ValueError if memory was lost from the first reading to the last."""
        found = [memory.parse(each.output) for each in readings]
        noise = memory.NOISE[self._testbed.machine.clock]
        for before, after in itertools.pairwise(found):
            grown = after - before
            if (lost := grown.where(grown, noise)).total:
                raise ValueError(
                    "memory leak: from loading the module to unloading it about "
                    f"{lost.in_words()} are lost"
                )

    def _run_failed(self, run: Result) -> bool:
        if run.timed_out:
            return True
        # A command that is not there has not run, whatever is measured.
        expected = self._testbed.experiment.measures_status and run.status not in NOT_RUN
        return run.status != 0 and not expected

    def _keep_trace(self, error: GuestError, folder: Path) -> None:
        """Writes where the kernel was when it died, and says so."""
        if isinstance(error, KernelPanic | KernelOops | KernelHang | Stuck) and error.context:
            text = "".join(f"{line}\n" for line in error.context)
            write_file(folder / "trace.txt", text)
            self._observer.died(self._round.number, error)

    def _finish(self, guest: Guest, last: Command | None, folder: Path) -> None:
        """Unloads the modules and powers off; what goes wrong there is no sample's fault."""
        try:
            if last is not None and (result := guest.run(last)).status != 0:
                why = moderrors.explain(result, self._testbed.images, guest.console_log)
                self._problem(why or f"`{last.line}` {result.ending}: {result.words}")
            guest.finish()
        except GuestError as error:
            self._keep_trace(error, folder)
            self._problem(f"the guest was lost at the end: {error.message}")

    def _failure(
        self, visit: Visit, command: Command, result: Result, console: Path | None = None
    ) -> Sample:
        """The sample of a command that failed; of one that may load modules with its `console`."""
        status = Status.TIMEOUT if result.timed_out else Status.FAILED
        if console is not None and not result.timed_out:
            why = moderrors.explain(result, self._testbed.images, console)
            if why is not None:
                return self._sample(visit, status, why)
        ending = f"was killed after {command.seconds:g} s" if result.timed_out else result.ending
        words = f": {result.words}" if result.words else ""
        return self._sample(visit, status, f"`{command.line}` {ending}{words}")

    def _sample(
        self,
        visit: Visit,
        status: Status,
        message: str = "",
        metrics: dict[str, Number] | None = None,
    ) -> Sample:
        return Sample(
            experiment=self._testbed.experiment.name,
            round=self._round.number,
            order=visit.order,
            status=status,
            cell=visit.cell,
            metrics=metrics or {},
            message=message,
        )

    def _take(self, sample: Sample, log: SampleLog, left: list[Visit]) -> None:
        log.append(sample)
        left.pop(0)
        self._observer.took(sample)

    def _problem(self, text: str) -> None:
        problem = f"round {self._round.number}: {text}"
        self._problems.append(problem)
        self._observer.noticed(problem)


def status_of(error: GuestError) -> Status:
    """What becomes of the sample over which the guest was lost."""
    match error:
        case KernelPanic():
            return Status.PANIC
        case KernelOops():
            return Status.OOPS
        case KernelHang() | GuestTimeout() | Stuck():
            return Status.TIMEOUT
        case _:
            return Status.LOST


class _CellLost(Exception):
    """The guest was lost over a cell, which gets this sample."""

    def __init__(self, sample: Sample, error: GuestError) -> None:
        super().__init__(error.message)
        self.sample = sample
        self.error = error
