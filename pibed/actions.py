"""What each task of the command line does: configuration in, calls into the package, output."""

from __future__ import annotations

import datetime
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pibed import arguments, config, host, payload, store, ui
from pibed.build import Images
from pibed.build import build as build_images
from pibed.config import Clock, Experiment, Machine
from pibed.errors import (
    GuestError,
    HostError,
    IncompleteError,
    Interrupted,
    PibedError,
    UsageError,
)
from pibed.lock import DEFAULT_POLICY, Policy
from pibed.store import cache_folder

if TYPE_CHECKING:
    from pibed.guest import Launch
    from pibed.payload import Payload
    from pibed.results import Run
    from pibed.samples import Sample


def setup(machine_name: str) -> None:
    """Installs what is missing and checks the result; raises HostError if something still is."""
    console = ui.stderr()
    missing = [finding for finding in _findings(machine_name) if finding.state != "found"]
    if missing:
        needed = [finding.prerequisite for finding in missing]
        host.install(needed, cache_folder() / "logs" / "setup.log", console.print)
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
            each.name,
            finding.state,
            finding.version or "",
            each.minimum or "any",
            each.purpose,
            fix,
            style=style,
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    if bad:
        raise HostError(
            f"{len(bad)} of {len(findings)} prerequisites are not met",
            fix=f"./inv setup, or: {host.install_command([each.prerequisite for each in bad])}",
        )


def build(
    machine_name: str,
    experiment_name: str,
    kernel: str | None,
    refresh: bool,
    locked: bool = False,
    mirror: str | None = None,
) -> None:
    """Makes the images and prints where they are."""
    machine = arguments.machine(machine_name, kernel)
    experiment = config.load_experiment(experiment_name)
    policy = arguments.policy(locked, refresh, mirror)
    images = make_images(machine, experiment, policy, show_cached=True)
    print(f"kernel       {images.kernel}")
    print(f"device tree  {images.device_tree}")
    print(f"initramfs    {images.initramfs}")


@dataclass(frozen=True)
class BootOptions:
    """The options of `invoke boot` as they were given; None where one was not."""

    machine: str
    experiment: str
    kernel: str | None
    demand_paging: str | None
    cmd: str | None
    clock: str | None
    seed: str | None
    timeout: str | None


def boot(options: BootOptions) -> int:
    """Boots to a shell for a person, or runs one command; returns the exit status.

    A command's own status is passed on, 124 if it ran out of time; what pibed could not do gives
    125 then, so that the two cannot be confused.
    """
    if options.cmd is None:
        _boot_shell(options)
        return 0
    try:
        return _boot_command(options, options.cmd)
    except Interrupted:
        raise
    except PibedError as error:
        error.status = 125
        raise
    except OSError as error:
        failure = HostError.from_os(error)
        failure.status = 125
        raise failure from error


# Ctrl-], as telnet and many serial terminals have it.
_LEAVE = "\x1d"


def _boot_shell(options: BootOptions) -> None:
    from pibed import guest

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "boot needs a terminal for its shell", fix="run one command with --cmd instead"
        )
    launch, load, _ = _launch(options, default_clock="host")
    folder = _boot_folder()
    print(f"The kernel's log goes to {folder / 'console.log'}")
    print("`exit` or `poweroff -f` ends the guest, Ctrl-] kills it at once.", flush=True)
    guest.interact(launch, load, folder / "console.log", _LEAVE)
    shutil.rmtree(folder)
    print("\nThe guest has ended.")


def _boot_command(options: BootOptions, text: str) -> int:
    from pibed.agent import Command
    from pibed.guest import Guest
    from pibed.qemu import Logs

    if "\n" in text or not text.strip():
        raise UsageError("--cmd: expected one line with a command")
    seconds = arguments.number("--timeout", options.timeout or "600", 1, 10**6)
    launch, load, load_s = _launch(options, default_clock=None)
    commands = [Command("load", load_s, line) for line in load]
    commands.append(Command("cmd", seconds, text))
    folder = _boot_folder()
    with Guest(launch, Logs.below(folder), commands) as guest:
        for command in commands:
            result = guest.run(command)
            if command.id == "load" and result.status != 0:
                raise GuestError(
                    f"the module could not be loaded: {'; '.join(result.output)}",
                    log=folder / "console.log",
                )
        if result.output:
            print(result.text, flush=True)
        guest.finish()
    shutil.rmtree(folder)
    console = ui.stderr()
    if result.truncated:
        console.print("pibed: the output was longer than 64 KiB; the rest was dropped")
    if result.timed_out:
        console.print(f"pibed: the command was killed after {seconds} s of guest time")
        return 124
    return result.status


def _launch(options: BootOptions, default_clock: Clock | None) -> tuple[Launch, list[str], float]:
    """What to boot, the commands that load the module, and the guest seconds for that."""
    from pibed import guest, plan

    machine = arguments.machine(options.machine, options.kernel)
    experiment = config.load_experiment(options.experiment)
    clock = _clock(machine, options.clock or default_clock)
    seed = arguments.number("--seed", options.seed or "1", 0, 2**32 - 1)
    load = []
    if options.demand_paging is not None:
        mode = arguments.number("--demand-paging", options.demand_paging, 0, 1)
        if "demand_paging" not in experiment.parameters:
            raise UsageError(
                f"--demand-paging: the experiment {experiment.name} has no parameter demand_paging"
            )
        values = plan.cells(experiment)[0].as_dict() | {"demand_paging": mode}
        load = [plan.insmod(experiment, values)]
    host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    launch = guest.Launch(machine, make_images(machine, experiment), clock, seed)
    return launch, load, experiment.module.timeout_s


def _boot_folder() -> Path:
    """A new folder for a boot's logs, which stay there if it fails."""
    parent = cache_folder() / "boots"
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{time.strftime('%Y%m%dT%H%M%S')}-", dir=parent))


@dataclass(frozen=True)
class SweepOptions:
    """The options of `invoke sweep` as they were given; None where one was not."""

    machine: str
    experiment: str
    kernel: str | None
    sizes: str | None
    modes: str | None
    runs: str | None
    seed: str | None
    clock: str | None
    jobs: str | None
    name: str | None
    results: str | None
    locked: bool = False
    mirror: str | None = None


def sweep(options: SweepOptions) -> None:
    """Measures an experiment, prints its table, and says where the files are.

    Raises IncompleteError if a sample is not `ok`, Interrupted if it was cut off; what was measured
    is on the disk in either case.
    """
    from rich.console import Console

    from pibed import results, sweep, table
    from pibed.manifest import manifest
    from pibed.progress import Durations, SweepProgress
    from pibed.summary import summarise

    machine = arguments.machine(options.machine, options.kernel)
    experiment = config.load_experiment(options.experiment, _overrides(options))
    clock = _clock(machine, options.clock)
    machine = machine.model_copy(update={"clock": clock})
    cores = len(os.sched_getaffinity(0))
    jobs = cores if machine.clocks[clock].jobs == "cores" else 1
    if options.jobs is not None:
        jobs = arguments.number("--jobs", options.jobs, 1, 1024)
    jobs = min(jobs, experiment.rounds)
    name = arguments.name(options.name, experiment)
    policy = arguments.policy(options.locked, False, options.mirror)
    qemu_version = host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    root = Path(options.results or config.checkout() / "results").absolute()
    results.require_writable(root)
    images = make_images(machine, experiment, policy)

    now = datetime.datetime.now(datetime.UTC)
    run = results.Run.create(root, experiment, name, now)
    console = ui.stderr()
    durations = Durations(cache_folder() / "durations.json")
    progress = SweepProgress(console, experiment, clock, jobs, durations)
    setup = sweep.Setup(machine, images, experiment, clock)
    taken: list[Sample] = []
    problems: list[str] = []
    finished = False
    try:
        with progress.shown():
            sweep.sweep(setup, run, jobs, progress, taken, problems)
        finished = True
    finally:
        with _uninterrupted():
            durations.save()
            if not finished:
                where = f"{run.folder} (one by one in boots/*/samples.jsonl)"
                console.print(
                    f"sweep: {len(taken)} samples taken so far are in {where}", markup=False
                )
            run.write_samples(taken)
            run.write_manifest(
                manifest(
                    machine,
                    experiment,
                    clock,
                    jobs,
                    images,
                    qemu_version,
                    run,
                    taken,
                    problems,
                    finished,
                )
            )

    title = f"{experiment.title}: {experiment.rounds} runs a cell, {clock} clock"
    width = None if sys.stdout.isatty() else 110
    differs = f"differs from lock: {'; '.join(images.lock.differs)}" if images.lock.differs else ""
    summaries = summarise(experiment, taken)
    Console(width=width).print(table.table(experiment, summaries, title, differs))
    print(f"results: {run.folder}")
    _require_all_well(run, taken, problems)


def _require_all_well(run: Run, taken: Sequence[Sample], problems: Sequence[str]) -> None:
    """Raises IncompleteError if a sample is not `ok`, or something else went wrong."""
    bad = [sample for sample in taken if sample.status != "ok"]
    if problems and not bad:
        raise IncompleteError(
            "all samples were taken, but: " + "; ".join(problems),
            fix=f"see the logs in {run.folder}/boots/",
        )
    if bad:
        raise IncompleteError(
            f"{len(bad)} of {len(taken)} samples are not ok",
            fix=f"see {run.folder}/samples.csv for which, and boots/ there for why",
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
        overrides["rounds"] = arguments.number("--runs", options.runs, 1, 10_000)
    if options.seed is not None:
        overrides["seed"] = arguments.number("--seed", options.seed, 0, 2**63 - 1)
    return overrides


def _clock(machine: Machine, given: str | None) -> Clock:
    if given is None:
        return machine.clock
    for clock in get_args(Clock):
        if given == clock and clock in machine.clocks:
            return clock  # type: ignore[no-any-return]
    raise UsageError(f"--clock {given}: expected one of: {', '.join(machine.clocks)}")


def clean(everything: bool) -> None:
    """Removes what the build made, and with `everything` the downloads and logs as well."""
    root = cache_folder()
    freed = store.clean(root, everything)
    print(f"{freed / 1e6:.0f} MB freed in {root}")


def make_images(
    machine: Machine,
    experiment: Experiment,
    policy: Policy = DEFAULT_POLICY,
    *,
    show_cached: bool = False,
) -> Images:
    """Builds the images of an experiment; see `make_payload_images`."""
    return make_payload_images(
        machine, payload.of_experiment(experiment), policy, show_cached=show_cached
    )


def make_payload_images(
    machine: Machine,
    payload_: Payload,
    policy: Policy = DEFAULT_POLICY,
    *,
    show_cached: bool = False,
) -> Images:
    """Builds what is not there yet, with progress and what differs from the lock on stderr."""
    host.require([each for each in prerequisites(machine) if not each.for_tests])
    progress = ui.BuildProgress(ui.stderr(), show_cached)
    return build_images(machine, payload_, cache_folder(), progress, policy)


def prerequisites(machine: Machine) -> list[host.Prerequisite]:
    """All that the host must have for this machine."""
    return host.prerequisites(
        machine.qemu.binary, machine.qemu.minimum_version, machine.cross_compile
    )


def _findings(machine_name: str) -> list[host.Finding]:
    return [host.find(each) for each in prerequisites(config.load_machine(machine_name))]
