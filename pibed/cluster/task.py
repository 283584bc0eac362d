"""What runs on a worker: one round, in a folder of its own, of which the files come back."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pibed.base.errors import Cancelled, GuestError, HostError, PibedError
from pibed.base.files import Remedy, explained
from pibed.cluster.parcel import Shelf
from pibed.guest.pool import StopRequested
from pibed.measure.rounds import Testbed, measure_round
from pibed.model import plan
from pibed.model.plan import Visit
from pibed.model.samples import Sample
from pibed.runs.folder import RunFolder

_REMEDY = Remedy(full="free some space there", otherwise="make it writable")

_Error = TypeVar("_Error", bound=PibedError)


@dataclass(frozen=True)
class Outcome:
    """What came of a round: its boots with their files, and what there was to tell.

    Logs that errors name are relative to the run's folder.
    """

    boots: tuple[Mapping[str, bytes], ...]
    told: tuple[tuple[str, tuple[object, ...]], ...]
    """The observer's methods with their arguments, in order."""
    error: PibedError | None
    """Why the round has not come to its end."""


def measure(testbed: str, number: int) -> Outcome:
    """Measures a round of the testbed with this address, until Dask wants it no more."""
    from distributed import get_worker

    scratch = Path(get_worker().local_directory)
    try:
        bed = Shelf.of_worker().testbed(testbed)
        with (
            explained(scratch, _REMEDY),
            tempfile.TemporaryDirectory(
                dir=scratch, prefix="round-", ignore_cleanup_errors=True
            ) as folder,
        ):
            return _measure(bed, number, Path(folder))
    except HostError as error:
        return Outcome((), (), error)


def _measure(testbed: Testbed, number: int, folder: Path) -> Outcome:
    diary = _Diary(folder)
    run = RunFolder(folder, testbed.experiment)
    round_ = plan.rounds(testbed.experiment)[number - 1]
    error = None
    try:
        measure_round(testbed, run, round_, diary, _until_unwanted())
    except (GuestError, Cancelled) as raised:
        error = diary.movable(raised)
    boots = tuple(
        {path.name: path.read_bytes() for path in sorted(each.iterdir())}
        for each in run.boots(number)
    )
    return Outcome(boots, tuple(diary.told), error)


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
            raise Cancelled("this round is not wanted any more")

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
        self.told.append(("died", (number, self.movable(error))))

    def rebooted(self, number: int, error: GuestError) -> None:
        self.told.append(("rebooted", (number, self.movable(error))))

    def noticed(self, problem: str) -> None:
        self.told.append(("noticed", (problem,)))

    def remarked(self, text: str) -> None: ...

    def movable(self, error: _Error) -> _Error:
        """The error without folders of this machine's."""
        error.__traceback__ = error.__cause__ = error.__context__ = None
        if error.log is not None and error.log.is_relative_to(self.folder):
            error.log = error.log.relative_to(self.folder)
        return error
