"""What `invoke sweep` and `invoke rerun` do: measure, and show what was measured."""

from __future__ import annotations

import datetime
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from pibed import (
    actions,
    arguments,
    builders,
    config,
    findings,
    host,
    manifest,
    plan,
    report,
    results,
    summary,
    table,
    ui,
)
from pibed import sweep as sweep_module
from pibed.build import Images
from pibed.config import Clock, Experiment, Machine
from pibed.errors import HostError, IncompleteError, UsageError
from pibed.lock import Policy
from pibed.progress import Durations, SweepProgress
from pibed.results import Run
from pibed.samples import Sample
from pibed.store import cache_folder

# Standard deviation by mean: a cell that varies more is pointed out, where the clock is the host's.
_STEADY = 0.10


@dataclass(frozen=True)
class SweepOptions:
    """The options of `invoke sweep` as they were given; None where one was not."""

    machine: str | None = None
    experiment: str | None = None
    kernel: str | None = None
    sizes: str | None = None
    modes: str | None = None
    runs: str | None = None
    seed: str | None = None
    clock: str | None = None
    jobs: str | None = None
    name: str | None = None
    results: str | None = None
    resume: str | None = None
    locked: bool = False
    mirror: str | None = None
    builder: str | None = None
    toolchain: str | None = None
    buildroot_dir: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    machine: Machine
    experiment: Experiment
    run: Run
    samples: list[Sample]
    problems: list[str]
    differs: list[str]
    """From the lock, when the run was begun."""

    @property
    def summaries(self) -> list[summary.Summary]:
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


def sweep(options: SweepOptions) -> None:
    """Measures an experiment, prints its table, and says where the files are.

    Raises IncompleteError if a sample is not `ok`, Interrupted if it was cut off; what was measured
    is on the disk in either case, and `resume` takes it up.
    """
    root = results.root(options.results)
    if options.resume is not None:
        outcomes = [_resume(root, options, options.resume)]
    else:
        outcomes = _measure_anew(root, options)
    _show(outcomes)
    _require_all_well(outcomes)


def rerun(
    path: Path, jobs: str | None, name: str | None, results_folder: str | None, policy: Policy
) -> None:
    """Measures once more what a manifest describes, and says whether the samples are the same.

    Raises UsageError for what is no manifest; otherwise as `sweep`.
    """
    recorded = manifest.read(path)
    machine, experiment = recorded.machine, recorded.experiment
    name = arguments.name(name, experiment)
    count = _jobs(machine, experiment, jobs)
    root = results.root(results_folder)
    results.require_writable(root)
    qemu_version = host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    images = actions.make_images(machine, experiment, policy, builders.recorded(recorded.builder))
    tell_differences(recorded, images, qemu_version)
    outcome = measure(root, machine, experiment, images, count, name, qemu_version)
    _show([outcome])
    before = recorded.samples_digest if recorded.finished else None
    after = manifest.read(outcome.run.folder / "manifest.json").samples_digest
    if machine.clock == "host":
        print("samples.csv: measured in real time, which is not the same twice")
    elif before is None:
        print(f"samples.csv: {path} is of a run that was cut off, so there is nothing to compare")
    elif before == after:
        print(f"samples.csv: byte for byte that of {path}")
    else:
        folder = path.resolve().parent
        print(
            f"samples.csv: differs from that of {path}; {results.verify_command(folder)} shows it"
        )
    _require_all_well([outcome])


def tell_differences(recorded: manifest.Recorded, images: Images, qemu_version: str) -> bool:
    """Says what is not as it was when a run was made; returns whether there is anything."""
    lines = manifest.differences(recorded, images, qemu_version)
    for line in lines:
        name = recorded.path.resolve().parent.name
        ui.stderr().print(f"differs from {name}: {line}", markup=False)
    return bool(lines)


def measure(
    root: Path,
    machine: Machine,
    experiment: Experiment,
    images: Images,
    jobs: int,
    name: str,
    qemu_version: str,
) -> Outcome:
    """Measures an experiment into a new folder in `root`, with the machine's clock."""
    run = Run.create(root, experiment, name, datetime.datetime.now(datetime.UTC))
    before = manifest.begun(machine, experiment, jobs, images, qemu_version)
    outcome = Outcome(machine, experiment, run, [], [], list(images.lock.differs))
    with run.held():
        run.write_manifest(before)
        _measure(outcome, images, jobs, before)
    return outcome


def _measure_anew(root: Path, options: SweepOptions) -> list[Outcome]:
    """Measures with one clock, or one after the other with each."""
    known = arguments.machine(options.machine or "pi2", options.kernel)
    name_of_experiment = options.experiment or "paging"
    experiment = config.load_experiment(name_of_experiment, _overrides(name_of_experiment, options))
    machines = [known.model_copy(update={"clock": each}) for each in _clocks(known, options.clock)]
    jobs = [_jobs(machine, experiment, options.jobs) for machine in machines]
    name = arguments.name(options.name, experiment)
    policy = arguments.policy(options.locked, False, options.mirror)
    qemu_version = host.qemu_version(known.qemu.binary, known.qemu.minimum_version)
    results.require_writable(root)
    builder = builders.choose(options.builder, options.toolchain, options.buildroot_dir)
    images = actions.make_images(known, experiment, policy, builder)
    outcomes = []
    for machine, count in zip(machines, jobs, strict=True):
        own = name if len(machines) == 1 else f"{name}-{machine.clock}"
        outcomes.append(measure(root, machine, experiment, images, count, own, qemu_version))
    return outcomes


def _resume(root: Path, options: SweepOptions, text: str) -> Outcome:
    """Goes on with a run that was cut off; a finished one is only shown."""
    allowed = {"resume", "results", "jobs", "locked", "mirror"}
    for field in fields(options):
        if field.name not in allowed and getattr(options, field.name) is not None:
            option = f"--{field.name.replace('_', '-')}"
            raise UsageError(
                f"{option} cannot be given with --resume: the run's manifest says it",
                fix="leave it out, or start a new sweep",
            )
    folder = results.find(root, text)
    # What is read before the run is held is what no other process changes.
    recorded = manifest.read(folder / "manifest.json")
    machine, experiment = recorded.machine, recorded.experiment
    jobs = _jobs(machine, experiment, options.jobs)
    run = Run(folder, experiment)
    qemu_version = host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    policy = arguments.policy(options.locked, False, options.mirror)
    images = actions.make_images(machine, experiment, policy, builders.recorded(recorded.builder))
    outcome = Outcome(machine, experiment, run, [], [], recorded.content["lock"]["differs"])
    console = ui.stderr()
    with run.held():
        recorded = manifest.read(folder / "manifest.json")
        left = []
        for round_ in plan.rounds(experiment):
            if (measured := run.measured(round_)) is None:
                left.append(round_)
            else:
                outcome.samples.extend(measured.samples)
                outcome.problems.extend(measured.problems)
        if recorded.finished and not left and run.has_samples(recorded.samples_digest):
            console.print("sweep: this run has come to its end already", markup=False)
            return outcome
        if tell_differences(recorded, images, qemu_version):
            raise HostError(
                f"{folder}: what is left of this run cannot be measured as its beginning was",
                fix=f"measure all of it anew: {results.rerun_command(folder)}",
            )
        for round_ in left:
            if (words := run.set_aside(round_)) is not None:
                console.print(words, markup=False)
        resumed = recorded.content["resumed"] + 1
        before = recorded.content | {"finished": False, "resumed": resumed, "jobs": jobs}
        run.write_manifest(before)
        _measure(outcome, images, jobs, before)
    return outcome


def _measure(outcome: Outcome, images: Images, jobs: int, before: Mapping[str, Any]) -> None:
    """Measures what is missing of an outcome; its files are written whatever happens."""
    machine, experiment, run = outcome.machine, outcome.experiment, outcome.run
    console = ui.stderr()
    durations = Durations(cache_folder() / "durations.json")
    progress = SweepProgress(console, experiment, machine.clock, jobs, durations, outcome.samples)
    setup = sweep_module.Setup(machine, images, experiment, machine.clock)
    finished = False
    try:
        with progress.shown():
            sweep_module.sweep(setup, run, jobs, progress, outcome.samples, outcome.problems)
        finished = True
    finally:
        with _uninterrupted():
            durations.save()
            if not finished:
                console.print(
                    f"sweep: {len(outcome.samples)} samples taken so far are in {run.folder}\n"
                    f"  to go on: {results.resume_command(run.folder)}",
                    markup=False,
                )
            run.write_samples(outcome.samples)
            run.write_manifest(
                manifest.ended(
                    before,
                    run.folder / "samples.csv",
                    outcome.samples,
                    outcome.problems,
                    outcome.warnings,
                    finished,
                )
            )


def _show(outcomes: Sequence[Outcome]) -> None:
    """Prints the table of one run, or of one for each clock, with what it says; writes reports."""
    from rich.console import Console

    experiment = outcomes[0].experiment
    clocks = " and ".join(each.machine.clock for each in outcomes)
    title = f"{experiment.title}: {experiment.rounds} runs a cell, {clocks} clock"
    summaries = {each.machine.clock: each.summaries for each in outcomes}
    width = None if sys.stdout.isatty() else 110
    differs = dict.fromkeys(line for outcome in outcomes for line in outcome.differs)
    caption = f"differs from lock: {'; '.join(differs)}" if differs else ""
    Console(width=width).print(table.table(experiment, summaries, title, caption))
    console = ui.stderr()
    for outcome in outcomes:
        for warning in outcome.warnings:
            console.print(warning, markup=False)
        print(f"results: {outcome.run.folder}", flush=True)
    console.print("report: the plots are being drawn, which takes some seconds", markup=False)
    for outcome in outcomes:
        made = report.publish(outcome.run.folder, [findings.beside_a_pi])
        clock = f"{outcome.machine.clock} clock: " if len(outcomes) > 1 else ""
        for line in (*made.headline, *made.notes):
            print(f"{clock}{line}")
        print(f"report: {outcome.run.folder / report.NAMES[0]}")


def _require_all_well(outcomes: Sequence[Outcome]) -> None:
    """Raises IncompleteError if a sample is not `ok`, or something else went wrong."""
    for outcome in outcomes:
        folder = outcome.run.folder
        bad = [sample for sample in outcome.samples if sample.status != "ok"]
        if bad:
            raise IncompleteError(
                f"{len(bad)} of {len(outcome.samples)} samples are not ok",
                fix=f"see {folder}/samples.csv for which, and boots/ there for why",
            )
        if outcome.problems:
            raise IncompleteError(
                "all samples were taken, but: " + "; ".join(outcome.problems),
                fix=f"see the logs in {folder}/boots/",
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


def _jobs(machine: Machine, experiment: Experiment, given: str | None) -> int:
    """How many rounds run side by side."""
    jobs = len(os.sched_getaffinity(0)) if machine.clocks[machine.clock].jobs == "cores" else 1
    if given is not None:
        jobs = arguments.number("--jobs", given, 1, 1024)
    return min(jobs, experiment.rounds)


def _clocks(machine: Machine, given: str | None) -> list[Clock]:
    """The clocks to measure with; raises UsageError for one that the machine has not."""
    if given == "both":
        both: list[Clock] = [clock for clock in get_args(Clock) if clock in machine.clocks]
        if len(both) == len(get_args(Clock)):
            return both
    return [arguments.clock(machine, given, ("both",))]


def _overrides(name: str, options: SweepOptions) -> dict[str, Any]:
    """The keys of the experiment that options replace."""
    known = config.load_experiment(name)
    overrides: dict[str, Any] = {}
    for option, text, parameter in (
        ("--sizes", options.sizes, "size"),
        ("--modes", options.modes, "demand_paging"),
    ):
        if text is None:
            continue
        if parameter not in known.parameters:
            raise UsageError(f"{option}: the experiment {known.name} has no parameter {parameter}")
        limits = known.parameters[parameter]
        values = config.parse_numbers(option, text)
        for value in values:
            if not limits.minimum <= value <= limits.maximum:
                raise UsageError(
                    f"{option} {text}: {value} is not from {limits.minimum} to {limits.maximum}"
                )
            if values.count(value) > 1:
                raise UsageError(f"{option} {text}: {value} is there more than once")
        overrides[f"parameters.{parameter}.values"] = values
    if options.runs is not None:
        overrides["rounds"] = arguments.number("--runs", options.runs, 1, 10_000)
    if options.seed is not None:
        overrides["seed"] = arguments.number("--seed", options.seed, 0, 2**63 - 1)
    return overrides
