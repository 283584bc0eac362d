"""A run from its begin to its end; its files are there whatever happens."""

from __future__ import annotations

import datetime
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pibed.base import places, terminal
from pibed.build.images import Images
from pibed.measure import record, rounds
from pibed.measure.progress import Durations, SweepProgress
from pibed.measure.rounds import Testbed
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine
from pibed.model.samples import Sample
from pibed.runs.folder import RunFolder
from pibed.runs.hints import resume_command
from pibed.runs.manifest import Manifest
from pibed.stats import summary
from pibed.stats.summary import Summary

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

    @property
    def summaries(self) -> list[Summary]:
        """One for each cell and metric."""
        return summary.summarise(self.experiment, self.samples)

    @property
    def warnings(self) -> list[str]:
        """What a reader of the numbers should know."""
        if self.machine.clock != "host":
            return []
        return [
            f"host clock: {each.cell}: {each.metric} varies by more than {_STEADY:.0%}: "
            f"SD {each.sd:.4g}, mean {each.mean:.4g}"
            for each in self.summaries
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
    machine: Machine,
    experiment: Experiment,
    images: Images,
    jobs: int,
    name: str,
    qemu_version: str,
) -> Measurement:
    """Measures an experiment into a new folder in `root`, with the machine's clock."""
    run = RunFolder.create(root, experiment, name, datetime.datetime.now(datetime.UTC))
    before = record.begun(machine, experiment, jobs, images, qemu_version)
    outcome = Measurement(machine, experiment, run, [], [], list(images.lock.differs))
    with run.held():
        run.write_manifest(before)
        measure_rest(outcome, images, jobs, before)
    return outcome


def measure_rest(outcome: Measurement, images: Images, jobs: int, before: Manifest) -> None:
    """Measures what is missing of an outcome; its files are written whatever happens."""
    machine, experiment, run = outcome.machine, outcome.experiment, outcome.run
    console = terminal.stderr()
    durations = Durations(places.cache() / "durations.json")
    progress = SweepProgress(console, experiment, machine.clock, jobs, durations, outcome.samples)
    setup = Testbed(machine, images, experiment, machine.clock)
    finished = False
    try:
        with progress.shown():
            rounds.measure_rounds(setup, run, jobs, progress, outcome.samples, outcome.problems)
        finished = True
    finally:
        with _uninterrupted():
            durations.save()
            if not finished:
                console.print(
                    f"sweep: {len(outcome.samples)} samples taken so far are in {run.folder}\n"
                    f"  to go on: {resume_command(run.folder)}",
                    markup=False,
                )
            run.write_samples(outcome.samples)
            run.write_manifest(
                record.ended(
                    before,
                    run.folder / "samples.csv",
                    outcome.samples,
                    outcome.problems,
                    outcome.warnings,
                    finished,
                )
            )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Holds signals back: one at the wrong moment would cost the files of a whole sweep."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
