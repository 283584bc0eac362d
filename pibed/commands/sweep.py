"""`sweep` and `rerun`: measure, and show what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pibed.base import terminal
from pibed.base.errors import HostError, IncompleteError, UsageError
from pibed.build import host, timing
from pibed.build.making import cores
from pibed.commands import arguments, build, settings
from pibed.commands.options import RerunOptions, SweepOptions
from pibed.commands.printing import print_table
from pibed.measure import record
from pibed.measure.rounds import Testbed
from pibed.measure.run import Measurement, measure, measure_rest, tell_differences
from pibed.model.experiment import Experiment
from pibed.model.machine import Clock, Machine
from pibed.model.samples import Status
from pibed.model.words import counted
from pibed.report import page as report_page
from pibed.report import tables
from pibed.report.page import NAMES
from pibed.runs import locate, manifest
from pibed.runs.folder import RunFolder
from pibed.runs.hints import rerun_command, verify_command
from pibed.studies import STUDIES


def sweep(options: SweepOptions) -> None:
    """Measures an experiment, prints its table, and says where the files are.

    Raises IncompleteError if a sample is not `ok`, at once where that is asked for, Interrupted if
    it was cut off; what was measured is on the disk in either case, and `resume` takes it up.
    """
    root = locate.root(options.results)
    if options.resume is not None:
        outcomes = [_resume(root, options, options.resume)]
    else:
        outcomes = _measure_anew(root, options)
    _show(outcomes)
    if options.report:
        _report(outcomes)
    _require_all_well(outcomes)


def rerun(options: RerunOptions) -> None:
    """Measures once more what a run's manifest describes, and says if the samples are the same.

    Raises UsageError for what is neither a run nor a manifest; otherwise as `sweep`.
    """
    root = locate.root(options.results)
    path = Path(options.manifest)
    if not path.is_file():
        path = locate.find(root, options.manifest) / "manifest.json"
    policy = arguments.policy(options)
    recorded = manifest.read(path)
    machine, experiment = recorded.machine, _elsewhere(recorded.experiment, options.sources)
    name = arguments.name(options.name, experiment)
    count = _jobs(machine, experiment, options.jobs)
    locate.require_writable(root)
    qemu_version = host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    images = build.make_recorded_images(
        recorded, policy, experiment=experiment, trust=options.trust
    )
    tell_differences(path.resolve().parent.name, recorded, images, qemu_version)
    testbed = Testbed(machine, images, experiment, qemu_version)
    outcome = measure(root, testbed, count, name)
    _show([outcome])
    _report([outcome])
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
        print(f"samples.csv: differs from that of {path}; {verify_command(folder)} shows it")
    _require_all_well([outcome])


def _elsewhere(experiment: Experiment, sources: str | None) -> Experiment:
    """The experiment of a folder of the user's, where that is another one now."""
    if sources is None:
        return experiment
    if experiment.file is None:
        raise UsageError(
            f"--sources {sources}: the sources of {experiment.name} are in the checkout",
            fix="leave it out",
        )
    folder = Path(sources).absolute()
    if not folder.is_dir():
        raise UsageError(f"--sources {sources}: there is no such folder")
    return experiment.model_copy(update={"file": str(folder / Path(experiment.file).name)})


def _measure_anew(root: Path, options: SweepOptions) -> list[Measurement]:
    """Measures with one clock, or one after the other with each."""
    known = arguments.machine(options.machine, options.kernel)
    experiment = _experiment(options)
    machines = [known.model_copy(update={"clock": each}) for each in _clocks(known, options.clock)]
    boards = [timing.wanted(machine, experiment) for machine in machines]
    jobs = [_jobs(machine, experiment, options.jobs) for machine in machines]
    name = arguments.name(options.name, experiment)
    policy = arguments.policy(options)
    qemu_version = host.qemu_version(known.qemu.binary, known.qemu.minimum_version)
    locate.require_writable(root)
    builder = arguments.builder(options)
    board = next(filter(None, boards), None)
    images = build.make_images(known, experiment, policy, builder, board=board, trust=options.trust)
    outcomes = []
    for machine, count in zip(machines, jobs, strict=True):
        own = name if len(machines) == 1 else f"{name}-{machine.clock}"
        testbed = Testbed(machine, images, experiment, qemu_version)
        outcomes.append(measure(root, testbed, count, own, fail_fast=options.fail_fast))
    return outcomes


def _resume(root: Path, options: SweepOptions, text: str) -> Measurement:
    """Goes on with a run that was cut off; a finished one is only shown."""
    allowed = {"resume", "results", "jobs", "report", "fail-fast", "locked", "mirror", "trust"}
    given = [
        each.name.replace("_", "-")
        for each in fields(options)
        if each.name != "declared" and getattr(options, each.name) not in (None, False, ())
    ]
    for name in (*given, *options.declared):
        if name not in allowed:
            raise UsageError(
                f"--{name} cannot be given with --resume: the run's manifest says it",
                fix="leave it out, or start a new sweep",
            )
    folder = locate.find(root, text)
    # What is read before the run is held is what no other process changes.
    recorded = manifest.read(folder / "manifest.json")
    machine, experiment = recorded.machine, recorded.experiment
    jobs = _jobs(machine, experiment, options.jobs)
    run = RunFolder(folder, experiment)
    qemu_version = host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    policy = arguments.policy(options)
    images = build.make_recorded_images(recorded, policy, trust=options.trust)
    console = terminal.stderr()
    with run.held():
        recorded = manifest.read(folder / "manifest.json")
        there, left = run.all_measured()
        if recorded.finished and not left and run.has_samples(recorded.samples_digest):
            console.print("sweep: this run has come to its end already", markup=False)
            differs = list(recorded.lock.differs)
            return Measurement(machine, experiment, run, there.samples, there.problems, differs)
        if tell_differences(folder.name, recorded, images, qemu_version):
            raise HostError(
                f"{folder}: what is left of this run cannot be measured as its beginning was",
                fix=f"measure all of it anew: {rerun_command(folder)}",
            )
        for round_ in left:
            if (words := run.set_aside(round_)) is not None:
                console.print(words, markup=False)
        before = record.resumed(recorded, jobs)
        run.write_manifest(before)
        testbed = Testbed(machine, images, experiment, qemu_version)
        return measure_rest(testbed, run, before, there, fail_fast=options.fail_fast)


def _show(outcomes: Sequence[Measurement]) -> None:
    """Prints the table of one run, or of one for each clock, and where the files are."""
    experiment = outcomes[0].experiment
    clocks = " and ".join(each.machine.clock for each in outcomes)
    title = f"{experiment.title}: {counted(experiment.rounds, 'run')} a cell, {clocks} clock"
    summaries = {each.machine.clock: each.analysis.summaries for each in outcomes}
    differs = dict.fromkeys(line for outcome in outcomes for line in outcome.differs)
    caption = f"differs from lock: {'; '.join(differs)}" if differs else ""
    print_table(tables.of_sweep(experiment, summaries, title, caption), width=110)
    console = terminal.stderr()
    for outcome in outcomes:
        for warning in outcome.warnings:
            console.print(warning, markup=False)
        print(f"results: {outcome.run.folder}", flush=True)


def _report(outcomes: Sequence[Measurement]) -> None:
    """Writes the report of each run, and prints what it says."""
    console = terminal.stderr()
    console.print("report: the plots are being drawn, which takes some seconds", markup=False)
    for outcome in outcomes:
        made = report_page.publish(outcome.run.folder, STUDIES.values())
        clock = f"{outcome.machine.clock} clock: " if len(outcomes) > 1 else ""
        for line in (*made.headline, *made.notes):
            print(f"{clock}{line}")
        print(f"report: {outcome.run.folder / NAMES[0]}")


def _require_all_well(outcomes: Sequence[Measurement]) -> None:
    """Raises IncompleteError if a sample is not `ok`, or something else went wrong."""
    for outcome in outcomes:
        folder = outcome.run.folder
        bad = [sample for sample in outcome.samples if sample.status != Status.OK]
        if bad:
            first = bad[0].message.partition("\n")[0] or bad[0].status
            raise IncompleteError(
                f"{len(bad)} of {len(outcome.samples)} samples are not ok; of the first: {first}",
                fix=f"why each is not: samples.jsonl of its round in {folder}/boots/",
            )
        if outcome.problems:
            raise IncompleteError(
                "all samples were taken, but: " + "; ".join(outcome.problems),
                fix=f"see the logs in {folder}/boots/",
            )


def _jobs(machine: Machine, experiment: Experiment, given: str | None) -> int:
    """How many rounds run side by side."""
    jobs = cores() if machine.clocks[machine.clock].jobs == "cores" else 1
    if given is not None:
        jobs = arguments.number("--jobs", given, 1, 1024)
    return min(jobs, experiment.rounds)


def _clocks(machine: Machine, given: str | None) -> list[Clock]:
    """The clocks to measure with; raises UsageError for one that the machine has not."""
    both: list[Clock] = ["virtual", "host"]
    if given == "both" and machine.clocks.keys() >= {*both}:
        return both
    return [arguments.clock(machine, given, ("both",))]


def _experiment(options: SweepOptions) -> Experiment:
    """The experiment with the keys that options replace."""
    known = arguments.experiment(options.experiment)
    values = settings.of_experiment(known, options.set, options.declared)
    overrides: dict[str, Any] = {
        f"parameters.{name}.values": values[name] for name in known.parameters if name in values
    }
    plan = known.analysed
    if plan.baseline is not None and plan.baseline not in values.get(
        plan.compare or "", [plan.baseline]
    ):
        left = f"{plan.compare}={plan.baseline}, the baseline of {known.name}, is not measured"
        terminal.stderr().print(f"{left}: what is measured is compared without it", markup=False)
        overrides["analysis.baseline"] = None
    if options.runs is not None:
        overrides["rounds"] = arguments.number("--runs", options.runs, 1, 10_000)
    if options.seed is not None:
        overrides["seed"] = arguments.number("--seed", options.seed, 0, 2**63 - 1)
    return arguments.experiment(options.experiment, overrides)
