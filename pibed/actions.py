"""What each task of the command line does: configuration in, calls into the package, output."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pibed import config, host, ui
from pibed.build import Images
from pibed.build import build as build_images
from pibed.config import Clock, Experiment, Machine
from pibed.errors import HostError, IncompleteError, Interrupted, UsageError
from pibed.store import cache_folder


def setup(machine_name: str) -> None:
    """Installs what is missing and checks the result; raises HostError if something still is."""
    console = ui.stderr()
    missing = [finding for finding in _findings(machine_name) if finding.state != "found"]
    if missing:
        needed = [finding.prerequisite for finding in missing]
        log = cache_folder() / "logs" / "setup.log"
        names = ", ".join(sorted({each.package for each in needed}))
        console.print(f"setup: installing {names} (a minute or two; log: {log})", markup=False)
        host.install(needed, log)
        still = [finding for finding in _findings(machine_name) if finding.state != "found"]
        if still:
            raise HostError(
                "still not right: "
                + ", ".join(f"{each.prerequisite.name} ({each.state})" for each in still),
                fix="invoke doctor",
            )
    console.print("setup: everything that pibed needs is installed")


def doctor(machine_name: str) -> None:
    """Prints all prerequisites as a table; raises HostError if one is not met."""
    from rich.console import Console
    from rich.table import Table

    findings = _findings(machine_name)
    table = Table("program", "state", "version", "needed", "for", "to fix", box=None)
    bad = [finding for finding in findings if finding.state != "found"]
    for finding in findings:
        each = finding.prerequisite
        fix = "" if finding.state == "found" else host.install_command([each])
        style = "" if finding.state == "found" else "bold red"
        table.add_row(
            each.name, finding.state, finding.version or "", each.minimum or "any", each.purpose, fix,
            style=style,
        )
    Console(soft_wrap=True).print(table)
    if bad:
        raise HostError(
            f"{len(bad)} of {len(findings)} prerequisites are not met",
            fix=f"./inv setup, or: {host.install_command([each.prerequisite for each in bad])}",
        )


def build(machine_name: str, experiment_name: str, refresh: bool) -> None:
    """Makes the images and prints where they are."""
    machine = config.load_machine(machine_name)
    experiment = config.load_experiment(experiment_name)
    images = make_images(machine, experiment, refresh=refresh, show_cached=True)
    print(f"kernel       {images.kernel}")
    print(f"device tree  {images.device_tree}")
    print(f"initramfs    {images.initramfs}")


@dataclass(frozen=True)
class SweepOptions:
    """The options of `invoke sweep` as they were given; None where one was not."""

    machine: str
    experiment: str
    sizes: str | None
    modes: str | None
    runs: str | None
    seed: str | None
    clock: str | None
    jobs: str | None
    name: str | None
    results: str | None


def sweep(options: SweepOptions) -> None:
    """Measures an experiment, prints its table, and says where the files are.

    Raises IncompleteError if a sample is not `ok`, Interrupted if it was cut off; what was measured
    is on the disk in either case.
    """
    from rich.console import Console

    from pibed import results, sweep, table
    from pibed.manifest import manifest
    from pibed.progress import Durations, SweepProgress
    from pibed.samples import Sample
    from pibed.summary import summarise

    machine = config.load_machine(options.machine)
    experiment = config.load_experiment(options.experiment, _overrides(options))
    clock = _clock(machine, options.clock)
    cores = len(os.sched_getaffinity(0))
    jobs = cores if machine.clocks[clock].jobs == "cores" else 1
    if options.jobs is not None:
        jobs = _number("--jobs", options.jobs, 1, 1024)
    jobs = min(jobs, experiment.rounds)
    qemu_version = host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    images = make_images(machine, experiment)

    root = Path(options.results) if options.results else config.checkout() / "results"
    now = datetime.datetime.now(datetime.UTC)
    run = results.Run.create(root.absolute(), experiment, _name(options.name, experiment), now)
    console = ui.stderr()
    durations = Durations(cache_folder() / "durations.json")
    progress = SweepProgress(console, experiment, clock, jobs, durations)
    setup = sweep.Setup(machine, images, experiment, clock)
    taken: list[Sample] = []
    finished = False
    try:
        with progress.shown():
            sweep.sweep(setup, run, jobs, progress, taken)
        finished = True
    finally:
        durations.save()
        run.write_samples(taken)
        run.write_manifest(
            manifest(machine, experiment, clock, jobs, images, qemu_version, run, taken, finished)
        )
        if not finished:
            console.print(f"sweep: {len(taken)} samples taken so far are in {run.folder}", markup=False)

    title = f"{experiment.title}: {experiment.rounds} runs a cell, {clock} clock"
    width = None if sys.stdout.isatty() else 110
    Console(width=width).print(table.table(experiment, summarise(experiment, taken), title))
    print(f"results: {run.folder}")
    bad = [sample for sample in taken if sample.status != "ok"]
    if bad:
        raise IncompleteError(
            f"{len(bad)} of {len(taken)} samples are not ok",
            fix=f"see {run.folder}/samples.csv for which, and boots/ there for why",
        )


def _overrides(options: SweepOptions) -> dict[str, Any]:
    """The keys of the experiment that options replace."""
    known = config.load_experiment(options.experiment)
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
        overrides["rounds"] = _number("--runs", options.runs, 1, 10_000)
    if options.seed is not None:
        overrides["seed"] = _number("--seed", options.seed, 0, 2**63 - 1)
    return overrides


def _number(option: str, text: str, low: int, high: int) -> int:
    try:
        (number,) = config.parse_numbers(option, text)
    except (ValueError, UsageError):
        raise UsageError(f"{option} {text}: expected one whole number from {low} to {high}") from None
    if not low <= number <= high:
        raise UsageError(f"{option} {text}: expected a number from {low} to {high}")
    return number


def _clock(machine: Machine, given: str | None) -> Clock:
    if given is None:
        return machine.clock
    for clock in get_args(Clock):
        if given == clock and clock in machine.clocks:
            return clock  # type: ignore[no-any-return]
    raise UsageError(f"--clock {given}: expected one of: {', '.join(machine.clocks)}")


def _name(given: str | None, experiment: Experiment) -> str:
    if given is None:
        return experiment.name
    if not given or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in given):
        raise UsageError(f"--name {given!r}: expected letters, digits, '-', '_' and '.' only")
    return given


def make_images(
    machine: Machine, experiment: Experiment, *, refresh: bool = False, show_cached: bool = False
) -> Images:
    """Builds what is not there yet, with progress on standard error."""
    host.require(_prerequisites(machine))
    progress = ui.BuildProgress(ui.stderr(), show_cached)
    return build_images(machine, experiment, cache_folder(), progress, refresh)


def _prerequisites(machine: Machine) -> list[host.Prerequisite]:
    return host.prerequisites(
        machine.qemu.binary, machine.qemu.minimum_version, machine.cross_compile
    )


def _findings(machine_name: str) -> list[host.Finding]:
    return [host.find(each) for each in _prerequisites(config.load_machine(machine_name))]
