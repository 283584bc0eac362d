"""The variants of a suite, tested by workers; the asking process writes what comes of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from pibed.cluster import fitness, parcel, task
from pibed.cluster.engine import Engine
from pibed.cluster.sharing import Job, Sharing
from pibed.cluster.tally import Kind
from pibed.cluster.task import Outcome
from pibed.cluster.writing import write_files
from pibed.ktest.decoding import decoded
from pibed.ktest.outcome import CaseOutcome
from pibed.ktest.runner import SharingObserver, TestRun, boot_folder, longest_s

_VARIANT = Kind("variant", "tested")


class ClusterSuite:
    """Runs suites by the workers of an engine (see `RunSuite`)."""

    def __init__(self, engine: Engine, qemu_version: str) -> None:
        self._engine = engine
        self._qemu_version = qemu_version

    def __call__(self, setup: TestRun, jobs: int, observer: SharingObserver) -> None:
        """Runs a suite; `jobs` does not matter, since each worker says how many it can have.

        Raises what `Sharing.run` raises.
        """
        # A worker has a folder of its own.
        packed = parcel.pack(replace(setup, folder=Path()))
        wanted = fitness.wanted(setup.machine, [setup.images], self._qemu_version, packed.files)
        Sharing(self._engine, packed.files, wanted, _VARIANT, observer.remarked).run(
            [
                Job(
                    name,
                    task.test,
                    packed,
                    (name,),
                    longest_s(setup),
                    partial(observer.placed, name),
                    partial(_take, setup, name, observer),
                )
                for name in setup.suite.variants
            ]
        )


def _take(setup: TestRun, variant: str, observer: SharingObserver, outcome: Outcome) -> None:
    """Writes the logs of a variant as if it had been tested here, and tells of its cases."""
    for number, files in enumerate(outcome.boots, start=1):
        write_files(boot_folder(setup.folder, variant, number), files)
    for _, (case,) in outcome.told:
        assert isinstance(case, CaseOutcome)
        placed = replace(case, logs=case.logs and setup.folder / case.logs)
        observer.ended(decoded(placed, setup.images))
    if outcome.error is not None:
        raise outcome.error
