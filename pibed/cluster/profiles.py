"""Boots that are profiled by workers; what their addresses mean is looked up by who asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pibed.base.errors import PibedError
from pibed.build.images import Images
from pibed.cluster import fitness, parcel, task
from pibed.cluster.engine import Engine
from pibed.cluster.sharing import Job, Sharing
from pibed.cluster.tally import Kind
from pibed.cluster.task import Outcome
from pibed.cluster.writing import last_words, write_files
from pibed.guest.guest import DEATHS
from pibed.guest.line import Stuck
from pibed.model.protocol import Result
from pibed.profile.boot import ProfiledBoot

_PROFILE = Kind("profile", "recorded")


class ClusterProfiles:
    """Runs boots by the workers of an engine (see `RunProfiled`)."""

    def __init__(self, engine: Engine, qemu_version: str) -> None:
        self._engine = engine
        self._qemu_version = qemu_version

    def __call__(
        self, boots: Sequence[tuple[ProfiledBoot, Path]], remarked: Callable[[str], None]
    ) -> Iterator[Result]:
        """Runs all boots; raises what `Sharing.run` raises, and what one of them has raised."""
        results: dict[int, Result] = {}
        first, _ = boots[0]
        images = [boot.images for boot, _ in boots]
        common = parcel.common_files(images)
        wanted = fitness.wanted(first.machine, images, self._qemu_version, common)
        Sharing(self._engine, common, wanted, _PROFILE, remarked).run(
            [
                Job(
                    str(number),
                    task.profile,
                    parcel.pack(boot),
                    (),
                    boot.longest_s,
                    lambda _: None,
                    partial(_take, results, number, boot.images, folder),
                )
                for number, (boot, folder) in enumerate(boots, start=1)
            ]
        )
        yield from (results[number] for number in sorted(results))


def _take(
    results: dict[int, Result], number: int, images: Images, folder: Path, outcome: Outcome
) -> None:
    for files in outcome.boots:
        write_files(folder, files)
    if outcome.error is not None:
        raise _placed(outcome.error, images, folder)
    assert isinstance(outcome.result, Result)
    results[number] = outcome.result


def _placed(error: PibedError, images: Images, folder: Path) -> PibedError:
    """The error with its log in a folder, and with what the images tell of the kernel's words."""
    if error.log is not None:
        error.log = folder / error.log
    if isinstance(error, (Stuck, *DEATHS.values())):
        error.context = last_words((folder / "console.log").read_bytes(), images)
    return error
