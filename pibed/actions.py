"""What each task of the command line does: configuration in, calls into the package, output."""

from __future__ import annotations

from pibed import config, host, ui
from pibed.build import Images
from pibed.build import build as build_images
from pibed.config import Experiment, Machine
from pibed.errors import HostError
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
