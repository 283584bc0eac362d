"""Parts of the work at a submission that boot: each gives a record, wherever its guests run."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

from pibed.build.images import Images
from pibed.grade.records import ChainResult, Measured
from pibed.guest.pool import StopRequested, run_side_by_side
from pibed.model.machine import Machine

Record: TypeAlias = ChainResult | Measured


class GradeObserver(Protocol):
    """Who is told how it goes; called from several threads."""

    def began(self, submission: str, what: str) -> None:
        """A part of a submission's work has begun."""

    def ended(self, submission: str, what: str, outcome: str) -> None:
        """It has ended; `outcome` says how in a few words."""


class SharingObserver(GradeObserver, Protocol):
    """Who is told, beside, of other machines that boot."""

    def placed(self, submission: str, what: str, machine: str) -> None:
        """Another machine has been given a part, which it may lose."""

    def remarked(self, text: str) -> None:
        """Something of the machines that boot, which is about no submission."""


@dataclass(frozen=True)
class Boots(ABC):
    """All that decides what comes of the boots of a part."""

    machine: Machine
    images: Images

    @property
    @abstractmethod
    def longest_s(self) -> float:
        """Host seconds that they cannot take longer, whatever becomes of them."""

    @abstractmethod
    def run(self, root: Path, below: str, stop_requested: StopRequested) -> Record:
        """Boots, with logs in the folder `below` of `root`; needs no symbols and no compilers.

        Raises HostError for a host that cannot go on.
        """


@dataclass(frozen=True)
class Part:
    """A part of the work at a submission."""

    submission: str
    name: str
    slug: str
    """For file names, no two of which are the same."""
    below: str
    """The folder of its logs, from that of the results."""
    begin: Callable[[StopRequested], Record | Boots]
    """Gives what is known without a boot, or what is to be booted, for which it may build."""
    end: Callable[[Record], str]
    """Takes what came of it; says that in a few words."""

    def begun(
        self, root: Path, observer: GradeObserver, stop_requested: StopRequested
    ) -> Boots | None:
        """What is to be booted; none if it has ended without."""
        stop_requested()
        observer.began(self.submission, self.name)
        found = self.begin(stop_requested)
        if isinstance(found, Boots):
            shutil.rmtree(root / self.below, ignore_errors=True)
            return found
        self.ended(found, observer)
        return None

    def ended(self, record: Record, observer: GradeObserver) -> None:
        """Takes what came of it."""
        observer.ended(self.submission, self.name, self.end(record))


PartsOf: TypeAlias = Callable[[StopRequested], Sequence[Part]]
"""Takes in a submission and builds it; the parts that it has then."""


class RunParts(Protocol):
    """Who boots parts: this process (`run_parts`), or other machines for it."""

    def __call__(
        self, sources: Sequence[PartsOf], root: Path, jobs: int, observer: SharingObserver
    ) -> None:
        """See `run_parts`."""


def run_parts(sources: Sequence[PartsOf], root: Path, jobs: int, observer: GradeObserver) -> None:
    """Takes in all submissions, then runs their parts; `jobs` side by side.

    Logs go below the folder `root`. Whatever it raises, no QEMU is left when it returns. Raises
    HostError as `Boots.run`.
    """
    found: dict[int, Sequence[Part]] = {}

    def take_in(number: int, source: PartsOf, stop_requested: StopRequested) -> None:
        found[number] = source(stop_requested)

    run_side_by_side([partial(take_in, *each) for each in enumerate(sources)], jobs)
    parts = [part for number in sorted(found) for part in found[number]]
    run_side_by_side([partial(_run, each, root, observer) for each in parts], jobs)


def _run(part: Part, root: Path, observer: GradeObserver, stop_requested: StopRequested) -> None:
    boots = part.begun(root, observer, stop_requested)
    if boots is not None:
        part.ended(boots.run(root, part.below, stop_requested), observer)
