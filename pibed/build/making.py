"""What images are wanted, where their steps are made, and who is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pibed.build.payload import Payload
from pibed.build.reads import Read
from pibed.build.sources.policy import DEFAULT_POLICY, Policy
from pibed.build.store import Output, Step, Store
from pibed.model.machine import Machine

if TYPE_CHECKING:
    from pibed.build.sandbox import Limits


class Progress(Protocol):
    """Who is told how the build goes."""

    def differs(self, line: str) -> None:
        """What the build is made from or with differs from the lock."""

    def step(
        self, name: str, expected_s: float, log: Path
    ) -> AbstractContextManager[Callable[[str], None]]:
        """Surrounds a step that runs; the callable gets each line of its output."""

    def note(self, line: str) -> None:
        """Something of a step that a person wants to know."""

    def waiting(self, name: str) -> None:
        """Another process is making this step's output."""

    def done(self, output: Output) -> None:
        """A step's output is there."""


@dataclass(frozen=True)
class Order:
    """What images are wanted, and how."""

    machine: Machine
    payload: Payload
    root: Path
    """The cache folder."""
    progress: Progress
    policy: Policy = DEFAULT_POLICY
    jobs: int | None = None
    """How many compilers run side by side; as many as there are cores if None."""
    trust: bool = False
    """Whether what the payload consists of may do on this host all that pibed may."""
    limits: Limits | None = None
    """What a step of it may use otherwise; as the sandbox has it if None."""

    @property
    def bench(self) -> Workbench:
        """Where it is made."""
        return Workbench(Store(self.root / "steps"), self.progress, self.jobs or cores())


@dataclass(frozen=True)
class Workbench:
    """Where steps are made, by how many compilers at a time, and who is told."""

    store: Store
    progress: Progress
    jobs: int

    def run(
        self,
        step: Step,
        make: Callable[[Path, Path, Callable[[str], None]], Read | None],
        reads_below: Path | None = None,
    ) -> Output:
        """The output of a step; `make(folder, log, on_line)` is called if it is not there yet.

        See `Store.produce` for the rest.
        """

        def logged(folder: Path, log: Path) -> Read | None:
            with self.progress.step(step.name, step.expected_s, log) as on_line:
                return make(folder, log, on_line)

        waiting = partial(self.progress.waiting, step.name)
        output = self.store.produce(step, logged, waiting, reads_below)
        self.progress.done(output)
        return output


def cores() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0))
