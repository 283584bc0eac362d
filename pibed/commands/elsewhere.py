"""`--cluster` of all verbs that have it: who boots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pibed.base import terminal
from pibed.base.errors import UsageError
from pibed.build import host
from pibed.cluster import choice
from pibed.measure.rounds import MeasureRounds, measure_rounds
from pibed.model.machine import Machine

if TYPE_CHECKING:
    from pibed.build.images import Images
    from pibed.cluster.engine import Engine
    from pibed.grade.parts import RunParts
    from pibed.ktest.runner import RunSuite
    from pibed.profile.boot import RunProfiled


def require_meant(cluster: str | None) -> None:
    """Raises UsageError for a value of `--cluster` that names none."""
    if cluster is not None:
        choice.parse(cluster)


@contextmanager
def measuring(cluster: str | None, jobs: str | None, *machines: Machine) -> Iterator[MeasureRounds]:
    """What measures rounds of machines: this process, or the workers that `--cluster` names.

    Raises UsageError for what cannot be meant, and HostError if there are none of them.
    """
    if cluster is None:
        yield measure_rounds
        return
    from pibed.cluster.rounds import ClusterRounds

    chosen = _chosen(cluster, jobs)
    if any(machine.clock == "host" for machine in machines):
        raise UsageError(
            "--clock host measures in real time, which is that of one machine",
            fix="leave out --cluster, or measure with --clock virtual or --clock board",
        )
    with _opened(chosen, *machines) as engine:
        yield ClusterRounds(engine)


@contextmanager
def testing(cluster: str | None, qemu_version: str, machine: Machine) -> Iterator[RunSuite]:
    """What runs suites in guests of a machine, see `measuring`."""
    from pibed.ktest.runner import run_suite

    if cluster is None:
        yield run_suite
        return
    from pibed.cluster.variants import ClusterSuite

    with _opened(choice.parse(cluster), machine) as engine:
        yield ClusterSuite(engine, qemu_version)


@contextmanager
def grading(
    cluster: str | None, qemu_version: str, machine: Machine, common: Sequence[Images]
) -> Iterator[RunParts]:
    """What boots submissions on a machine, see `measuring`; most files are those of `common`."""
    from pibed.grade.parts import run_parts

    if cluster is None:
        yield run_parts
        return
    from pibed.cluster.submissions import ClusterParts

    with _opened(choice.parse(cluster), machine) as engine:
        yield ClusterParts(engine, machine, qemu_version, common)


@contextmanager
def profiling(cluster: str | None, machine: Machine) -> Iterator[RunProfiled]:
    """What boots a machine for a profile, see `measuring`."""
    from pibed.profile.boot import run_profiled

    if cluster is None:
        yield run_profiled
        return
    from pibed.cluster.profiles import ClusterProfiles

    version = host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    with _opened(choice.parse(cluster), machine) as engine:
        yield ClusterProfiles(engine, version)


def require_no_jobs(cluster: str | None, jobs: str | None) -> None:
    """Raises UsageError for `--jobs` beside `--cluster`, and for a value that names none."""
    if cluster is not None:
        _chosen(cluster, jobs)


def _chosen(cluster: str, jobs: str | None) -> choice.Choice:
    chosen = choice.parse(cluster)
    if jobs is not None:
        raise UsageError(
            "--jobs cannot be given with --cluster: each worker says how many boots it can have",
            fix="leave one of the two out",
        )
    return chosen


@contextmanager
def _opened(chosen: choice.Choice, *machines: Machine) -> Iterator[Engine]:
    from pibed.cluster import starting

    console = terminal.stderr()
    memory_mib = max(machine.memory_mib for machine in machines)
    with starting.opened(
        chosen, memory_mib, lambda line: console.print(line, markup=False)
    ) as engine:
        yield engine
