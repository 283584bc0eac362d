"""`setup` and `doctor`: what pibed needs from the host."""

from __future__ import annotations

import sys

from pibed.base import places, terminal
from pibed.base.errors import HostError
from pibed.build import builders, host, timing
from pibed.build.builders import DEFAULT, Builder
from pibed.build.host import Inspection, Prerequisite, State
from pibed.commands import arguments
from pibed.commands.options import DoctorOptions, SetupOptions
from pibed.model.machine import Machine


def setup(options: SetupOptions) -> None:
    """Installs what is missing and checks the result; raises HostError if something still is."""
    console = terminal.stderr()
    machine, builder = _chosen(options)
    wanted = [*builder.prerequisites(machine), *([host.for_cxx(machine)] if options.cxx else [])]
    missing = [each for each in map(host.find, wanted) if each.state != State.FOUND]
    if missing:
        needed = [finding.prerequisite for finding in missing]
        host.install(needed, places.cache() / "logs" / "setup.log", console.print)
        still = [each for each in map(host.find, wanted) if each.state != State.FOUND]
        if still:
            raise HostError(
                "still not right: "
                + ", ".join(f"{each.prerequisite.name} ({each.state})" for each in still),
                fix="./inv doctor",
            )
    console.print("setup: everything that pibed needs is installed")


def doctor(options: DoctorOptions) -> None:
    """Prints all prerequisites as a table; raises HostError if one is not met.

    The clock `board` is not one of them: what it lacks is told below the table.
    """
    from rich.console import Console
    from rich.table import Table

    machine, builder = _chosen(options)
    findings = _findings(machine, builder)
    table = Table("program", "state", "version", "needed", "for", "to fix", box=None)
    bad = [finding for finding in findings if finding.state != State.FOUND]
    for finding in findings:
        each = finding.prerequisite
        fix = "" if finding.state == State.FOUND else host.install_command([each])
        style = "" if finding.state == State.FOUND else "bold red"
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
    if machine.timing is not None and not bad:
        try:
            timing.interface(machine)
        except HostError as error:
            print(f"without the clock `board` and counts of events: {error.message}")
    if bad:
        raise HostError(
            f"{len(bad)} of {len(findings)} prerequisites are not met",
            fix=f"{builder.setup}, or: {host.install_command([each.prerequisite for each in bad])}",
        )


def prerequisites(machine: Machine) -> list[Prerequisite]:
    """All that the host must have for this machine, with the default builder."""
    return DEFAULT.prerequisites(machine)


def _chosen(options: SetupOptions | DoctorOptions) -> tuple[Machine, Builder]:
    builder = builders.choose(options.builder, options.toolchain, None)
    return arguments.machine(options.machine, None), builder


def _findings(machine: Machine, builder: Builder) -> list[Inspection]:
    return [host.find(each) for each in builder.prerequisites(machine)]
