"""What each task of the command line does: configuration in, calls into the package, output."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pibed import arguments, builders, config, host, payload, store, ui
from pibed.build import Images, Order
from pibed.builders import DEFAULT, Builder
from pibed.config import Clock, Experiment, Machine
from pibed.errors import (
    GuestError,
    HostError,
    Interrupted,
    PibedError,
    UsageError,
)
from pibed.lock import DEFAULT_POLICY, Policy
from pibed.store import cache_folder

if TYPE_CHECKING:
    from pibed.guest import Launch
    from pibed.payload import Payload


def setup(machine_name: str, builder: Builder = DEFAULT) -> None:
    """Installs what is missing and checks the result; raises HostError if something still is."""
    console = ui.stderr()
    missing = [finding for finding in _findings(machine_name, builder) if finding.state != "found"]
    if missing:
        needed = [finding.prerequisite for finding in missing]
        host.install(needed, cache_folder() / "logs" / "setup.log", console.print)
        still = [
            finding for finding in _findings(machine_name, builder) if finding.state != "found"
        ]
        if still:
            raise HostError(
                "still not right: "
                + ", ".join(f"{each.prerequisite.name} ({each.state})" for each in still),
                fix="invoke doctor",
            )
    console.print("setup: everything that pibed needs is installed")


def doctor(machine_name: str, builder: Builder = DEFAULT) -> None:
    """Prints all prerequisites as a table; raises HostError if one is not met."""
    from rich.console import Console
    from rich.table import Table

    findings = _findings(machine_name, builder)
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
            fix=f"{builder.setup}, or: {host.install_command([each.prerequisite for each in bad])}",
        )


def build(
    machine_name: str,
    experiment_name: str,
    kernel: str | None,
    refresh: bool,
    locked: bool = False,
    mirror: str | None = None,
    builder: str | None = None,
    toolchain: str | None = None,
    buildroot_dir: str | None = None,
) -> None:
    """Makes the images and prints where they are."""
    machine = arguments.machine(machine_name, kernel)
    experiment = config.load_experiment(experiment_name)
    policy = arguments.policy(locked, refresh, mirror)
    chosen = builders.choose(builder, toolchain, buildroot_dir)
    images = make_images(machine, experiment, policy, chosen, show_cached=True)
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
    builder: str | None = None
    toolchain: str | None = None
    buildroot_dir: str | None = None


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
    clock = arguments.clock(machine, options.clock or default_clock)
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
    builder = builders.choose(options.builder, options.toolchain, options.buildroot_dir)
    images = make_images(machine, experiment, builder=builder)
    launch = guest.Launch(machine, images, clock, seed)
    return launch, load, experiment.module.timeout_s


def _boot_folder() -> Path:
    """A new folder for a boot's logs, which stay there if it fails."""
    parent = cache_folder() / "boots"
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{time.strftime('%Y%m%dT%H%M%S')}-", dir=parent))


def clean(everything: bool) -> None:
    """Removes what the build made, and with `everything` the downloads and logs as well."""
    root = cache_folder()
    freed = store.clean(root, everything)
    print(f"{freed / 1e6:.0f} MB freed in {root}")


def make_images(
    machine: Machine,
    experiment: Experiment,
    policy: Policy = DEFAULT_POLICY,
    builder: Builder = DEFAULT,
    *,
    show_cached: bool = False,
) -> Images:
    """Builds the images of an experiment; see `make_payload_images`."""
    return make_payload_images(
        machine, payload.of_experiment(experiment), policy, builder, show_cached=show_cached
    )


def make_payload_images(
    machine: Machine,
    payload_: Payload,
    policy: Policy = DEFAULT_POLICY,
    builder: Builder = DEFAULT,
    *,
    show_cached: bool = False,
) -> Images:
    """Builds what is not there yet, with progress and what differs from the lock on stderr."""
    needed = [each for each in builder.prerequisites(machine) if not each.for_tests]
    host.require(needed, builder.setup)
    progress = ui.BuildProgress(ui.stderr(), show_cached)
    return builder.build(Order(machine, payload_, cache_folder(), progress, policy))


def prerequisites(machine: Machine) -> list[host.Prerequisite]:
    """All that the host must have for this machine, with the default builder."""
    return DEFAULT.prerequisites(machine)


def _findings(machine_name: str, builder: Builder) -> list[host.Finding]:
    machine = config.load_machine(machine_name)
    return [host.find(each) for each in builder.prerequisites(machine)]
