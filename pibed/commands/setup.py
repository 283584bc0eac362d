"""`setup` and `doctor`: what pibed needs from the host."""

from __future__ import annotations

import sys

from pibed.base import places, terminal
from pibed.base.errors import HostError
from pibed.build import host
from pibed.build.builders import DEFAULT, Builder
from pibed.build.host import Inspection, Prerequisite, State
from pibed.model.machine import Machine, load_machine


def setup(machine_name: str, builder: Builder = DEFAULT) -> None:
    """Installs what is missing and checks the result; raises HostError if something still is."""
    console = terminal.stderr()
    missing = [
        finding for finding in _findings(machine_name, builder) if finding.state != State.FOUND
    ]
    if missing:
        needed = [finding.prerequisite for finding in missing]
        host.install(needed, places.cache() / "logs" / "setup.log", console.print)
        still = [
            finding for finding in _findings(machine_name, builder) if finding.state != State.FOUND
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
    if bad:
        raise HostError(
            f"{len(bad)} of {len(findings)} prerequisites are not met",
            fix=f"{builder.setup}, or: {host.install_command([each.prerequisite for each in bad])}",
        )


def prerequisites(machine: Machine) -> list[Prerequisite]:
    """All that the host must have for this machine, with the default builder."""
    return DEFAULT.prerequisites(machine)


def _findings(machine_name: str, builder: Builder) -> list[Inspection]:
    machine = load_machine(machine_name)
    return [host.find(each) for each in builder.prerequisites(machine)]
