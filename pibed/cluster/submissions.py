"""The boots of submissions, run by workers; the asking process builds before, and writes behind.

A worker gets a submission's images with each of its parts, and keeps none: no mark depends on what
another one has left there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pibed.base.errors import Cancelled
from pibed.build.images import Images
from pibed.cluster import fitness, parcel, task
from pibed.cluster.engine import Engine
from pibed.cluster.sharing import Job, Sharing
from pibed.cluster.tally import Kind
from pibed.cluster.task import Outcome
from pibed.cluster.writing import write_files
from pibed.grade.parts import Boots, Part, PartsOf, SharingObserver
from pibed.grade.records import ChainResult, Measured
from pibed.guest.pool import StopRequested, run_side_by_side
from pibed.model.machine import Machine

_PART = Kind("part", "run")


class ClusterParts:
    """Runs parts by the workers of an engine (see `RunParts`).

    A worker has the files of `common` images before it gets its first part.
    """

    def __init__(
        self, engine: Engine, machine: Machine, qemu_version: str, common: Sequence[Images]
    ) -> None:
        self._engine = engine
        self._common = common
        self._machine = machine
        self._qemu_version = qemu_version

    def __call__(
        self, sources: Sequence[PartsOf], root: Path, jobs: int, observer: SharingObserver
    ) -> None:
        """Runs parts; `jobs` submissions are built here at a time, while others are booted there.

        Raises what `Sharing.run` raises, and what building does.
        """
        files = parcel.common_files(self._common)
        wanted = fitness.wanted(self._machine, self._common, self._qemu_version, files)
        sharing = Sharing(self._engine, files, wanted, _PART, observer.remarked)

        def begin(source: PartsOf, stop_requested: StopRequested) -> None:
            for part in source(stop_requested):
                boots = part.begun(root, observer, stop_requested)
                if boots is not None:
                    sharing.add(_job(part, boots, root, observer))

        with _beside([partial(begin, each) for each in sources], jobs) as are_done:
            sharing.run(all_are_there=are_done)


def _job(part: Part, boots: Boots, root: Path, observer: SharingObserver) -> Job:
    def take(outcome: Outcome) -> None:
        if outcome.error is not None:
            raise outcome.error
        (files,) = outcome.boots
        write_files(root / part.below, files)
        assert isinstance(outcome.result, ChainResult | Measured)
        part.ended(outcome.result, observer)

    return Job(
        part.slug,
        task.boot,
        parcel.pack(boots),
        (part.below,),
        boots.longest_s,
        partial(observer.placed, part.submission, part.name),
        take,
    )


@contextmanager
def _beside(
    jobs: Sequence[Callable[[StopRequested], None]], width: int
) -> Iterator[Callable[[], bool]]:
    """Runs jobs in threads beside the context, which gets what says whether all are done, and
    raises what one of them raises. None of them is left behind it.
    """
    ended = threading.Event()

    def until_ended(job: Callable[[StopRequested], None], stop_requested: StopRequested) -> None:
        def requested() -> None:
            stop_requested()
            if ended.is_set():
                raise Cancelled("stopped, since nobody waits for it any more")

        job(requested)

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="beside") as pool:
        every = pool.submit(run_side_by_side, [partial(until_ended, each) for each in jobs], width)

        def are_done() -> bool:
            if every.done():
                every.result()
            return every.done()

        try:
            yield are_done
        finally:
            ended.set()
