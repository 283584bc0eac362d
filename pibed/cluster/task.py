"""What runs on a worker: one job, in a folder of its own, of which the files come back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias, TypeVar

from pibed.base.errors import Cancelled, GuestError, HostError, PibedError
from pibed.base.files import Remedy, explained
from pibed.cluster.parcel import Bed, Unpacked
from pibed.grade.parts import Boots
from pibed.guest.pool import StopRequested
from pibed.ktest.outcome import CaseOutcome
from pibed.ktest.runner import TestRun, boots_of, run_variant
from pibed.measure.rounds import Testbed, measure_round
from pibed.model import plan
from pibed.model.plan import Visit
from pibed.model.samples import Sample
from pibed.profile.boot import ProfiledBoot
from pibed.runs.folder import RunFolder

_REMEDY = Remedy(full="free some space there", otherwise="make it writable")

Own: TypeAlias = Mapping[str, bytes]
"""The files that a job has alone, by their addresses."""

_Error = TypeVar("_Error", bound=PibedError)


@dataclass(frozen=True)
class Outcome:
    """What came of a job: its boots with their files, and what there was to tell.

    Logs that errors name are relative to the results' folder.
    """

    boots: tuple[Mapping[str, bytes], ...]
    """By the files' paths in the folder of a boot, or in that of all boots."""
    told: tuple[tuple[str, tuple[object, ...]], ...]
    """The observer's methods with their arguments, in order."""
    error: PibedError | None
    """Why the job has not come to its end."""
    result: object = None
    """What it has come to, where that is one thing."""


def measure(testbed: bytes, own: Own, number: int) -> Outcome:
    """Measures a round of a testbed, until Dask wants it no more."""
    return _in_scratch(testbed, own, Testbed, lambda bed, to: _measured(bed, number, to))


def test(suite: bytes, own: Own, variant: str) -> Outcome:
    """Runs a variant of a suite, until Dask wants it no more."""
    return _in_scratch(suite, own, TestRun, lambda bed, to: _tested(bed, variant, to))


def boot(part: bytes, own: Own, below: str) -> Outcome:
    """Runs the boots of a part of a grading, until Dask wants it no more."""
    kind: type[Boots] = Boots  # type: ignore[type-abstract]
    return _in_scratch(part, own, kind, lambda bed, to: _booted(bed, below, to))


def profile(boot: bytes, own: Own) -> Outcome:
    """Boots what is to be profiled, until Dask wants it no more."""
    return _in_scratch(boot, own, ProfiledBoot, _profiled)


_Bed = TypeVar("_Bed", bound=Bed)


def _in_scratch(
    bed: bytes, own: Own, kind: type[_Bed], work: Callable[[_Bed, Path], Outcome]
) -> Outcome:
    """What comes of work with a bed, and with a new folder.

    HostErrors of this machine are an outcome too.
    """
    from distributed import get_worker

    scratch = Path(get_worker().local_directory)
    try:
        with (
            explained(scratch, _REMEDY),
            tempfile.TemporaryDirectory(
                dir=scratch, prefix="boots-", ignore_cleanup_errors=True
            ) as folder,
        ):
            unpacked = Unpacked.into(Path(folder) / "own", own)
            results = Path(folder) / "results"
            results.mkdir()
            return work(unpacked.bed(bed, kind), results)
    except HostError as error:
        return Outcome((), (), error)


def _measured(testbed: Testbed, number: int, folder: Path) -> Outcome:
    diary = _Diary(folder)
    run = RunFolder(folder, testbed.experiment)
    round_ = plan.rounds(testbed.experiment)[number - 1]
    error = None
    try:
        measure_round(testbed, run, round_, diary, _until_unwanted())
    except (GuestError, Cancelled) as raised:
        error = _movable(raised, folder)
    return Outcome(tuple(map(_files, run.boots(number))), tuple(diary.told), error)


def _tested(setup: TestRun, variant: str, folder: Path) -> Outcome:
    diary = _TestDiary(folder)
    error = None
    try:
        run_variant(replace(setup, folder=folder), variant, diary, _until_unwanted())
    except Cancelled as raised:
        error = _movable(raised, folder)
    boots = boots_of(folder, variant)
    return Outcome(tuple(map(_files, boots)), tuple(diary.told), error)


def _booted(boots: Boots, below: str, folder: Path) -> Outcome:
    try:
        record = boots.run(folder, below, _until_unwanted())
    except Cancelled as error:
        return Outcome((), (), _movable(error, folder))
    return Outcome((_files(folder / below),), (), None, record)


def _profiled(boot: ProfiledBoot, folder: Path) -> Outcome:
    try:
        result = boot.run(folder, _until_unwanted())
    except (GuestError, Cancelled) as error:
        return Outcome((_files(folder),), (), _movable(error, folder))
    return Outcome((_files(folder),), (), None, result)


def _files(folder: Path) -> Mapping[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def _until_unwanted() -> StopRequested:
    """Raises Cancelled when whoever asked for this task wants it no more, or the worker ends."""
    from distributed import get_worker
    from distributed.core import Status
    from distributed.utils import thread_state  # type: ignore[attr-defined]

    worker, key = get_worker(), thread_state.key
    ended = (Status.closing, Status.closed, Status.failed)

    def stop_requested() -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing" or worker.status in ended:
            raise Cancelled("it is not wanted any more")

    return stop_requested


@dataclass
class _Diary:
    """Notes what there is to tell of a round (see `RoundsObserver`)."""

    folder: Path
    told: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)

    def placed(self, number: int, machine: str) -> None: ...

    def began(self, number: int, visit: Visit) -> None: ...

    def took(self, sample: Sample) -> None:
        self.told.append(("took", (sample,)))

    def died(self, number: int, error: GuestError) -> None:
        self.told.append(("died", (number, _movable(error, self.folder))))

    def rebooted(self, number: int, error: GuestError) -> None:
        self.told.append(("rebooted", (number, _movable(error, self.folder))))

    def noticed(self, problem: str) -> None:
        self.told.append(("noticed", (problem,)))

    def remarked(self, text: str) -> None: ...


@dataclass
class _TestDiary:
    """Notes what there is to tell of a variant (see `TestObserver`)."""

    folder: Path
    told: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)

    def booting(self, variant: str) -> None: ...

    def began(self, variant: str, case: str) -> None: ...

    def ended(self, outcome: CaseOutcome) -> None:
        logs = outcome.logs and outcome.logs.relative_to(self.folder)
        self.told.append(("ended", (replace(outcome, logs=logs),)))


def _movable(error: _Error, folder: Path) -> _Error:
    """The error without folders of this machine's."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    if error.log is not None and error.log.is_relative_to(folder):
        error.log = error.log.relative_to(folder)
    return error
