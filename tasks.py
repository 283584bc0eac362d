"""pibed's command line: one Invoke task a verb. `invoke --list` names them."""

from __future__ import annotations

from invoke import Context, task

from pibed.cli import command


@task(help={"machine": "configuration in configs/machines/ (default pi2)"})
@command
def setup(context: Context, machine: str = "pi2") -> None:
    """Install the host's packages that are missing, then check them.

    Example: ./inv setup
    """
    from pibed import actions

    actions.setup(machine)


@task(help={"machine": "configuration in configs/machines/ (default pi2)"})
@command
def doctor(context: Context, machine: str = "pi2") -> None:
    """Show every prerequisite: found, missing or too old, and its fix.

    Example: invoke doctor
    """
    from pibed import actions

    actions.doctor(machine)


@task(
    help={
        "machine": "configuration in configs/machines/ (default pi2)",
        "experiment": "configuration in configs/experiments/ (default paging)",
        "refresh": "ask the distribution for newer sources first",
    }
)
@command
def build(
    context: Context, machine: str = "pi2", experiment: str = "paging", refresh: bool = False
) -> None:
    """Build kernel, device tree, root file system, module and workload; only what changed.

    Example: invoke build
    """
    from pibed import actions

    actions.build(machine, experiment, refresh)
