"""The work of a grading: builds, then chains of boots and measurements, several side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Protocol

from pibed.base import places
from pibed.base.errors import BuildError, LimitError, UsageError
from pibed.build import payload, review
from pibed.build.builders import Builder
from pibed.build.images import Images
from pibed.build.payload import Payload
from pibed.build.sandbox import Sandbox
from pibed.grade import records, submissions
from pibed.grade.chain import UNLOAD, Chain, Task
from pibed.grade.marks import Found, Run
from pibed.grade.nonce import nonce
from pibed.grade.records import ChainResult, Measured, Review
from pibed.grade.submissions import Refused, Sources, Submission
from pibed.guest.pool import StopRequested, run_side_by_side
from pibed.ktest.cases import TableEntry, choose, read_tests
from pibed.model.machine import Machine
from pibed.model.rubric import Criterion, Scheme, configuration
from pibed.model.suite import Suite, load_suite

Job = Callable[[StopRequested], None]


class GradeObserver(Protocol):
    """Who is told how it goes; called from several threads."""

    def began(self, submission: str, what: str) -> None:
        """A part of a submission's work has begun."""

    def ended(self, submission: str, what: str, outcome: str) -> None:
        """It has ended; `outcome` says how in a few words."""


@dataclass(frozen=True)
class ChainOf:
    """Which chain: a suite in a variant, with a seed, on a kernel; hidden cases have their own."""

    suite: str
    variant: str
    seed: int
    debug: bool
    hidden: bool

    def __str__(self) -> str:
        words = [self.suite, self.variant, f"seed {self.seed}"]
        words += ["debug"] if self.debug else []
        return ", ".join(words + (["hidden"] if self.hidden else []))

    @property
    def slug(self) -> str:
        """For file names."""
        parts = [self.suite, self.variant, str(self.seed)]
        parts += ["debug"] if self.debug else []
        return "-".join(parts + (["hidden"] if self.hidden else []))


@dataclass(frozen=True)
class Course:
    """A rubric with all that it names, read and checked: what every submission is put through."""

    scheme: Scheme
    machine: Machine
    suites: Mapping[str, Suite]
    """By what the rubric calls them."""
    payloads: Mapping[str, Payload]
    """Of the suites, with the modules that these name."""
    tests: Mapping[str, Sequence[TableEntry]]
    chosen: Mapping[str, Sequence[TableEntry]]
    """The cases of each criterion."""

    @classmethod
    def of(cls, scheme: Scheme, machine: Machine) -> Course:
        """Reads the suites; raises UsageError for what a criterion names and is not there."""
        suites: dict[str, Suite] = {}
        payloads: dict[str, Payload] = {}
        tests: dict[str, Sequence[TableEntry]] = {}
        chosen: dict[str, Sequence[TableEntry]] = {}
        for name, criterion, _ in scheme.criteria():
            given = criterion.suite
            if given not in suites:
                suites[given] = load_suite(configuration(scheme.rubric, given))
                payloads[given] = payload.of_suite(suites[given])
                tests[given] = read_tests([each.sources[0] for each in payloads[given].programs])
            where = f"the rubric {scheme.rubric.name}: {name}"
            for variant in criterion.variants:
                if variant not in suites[given].variants:
                    known = ", ".join(suites[given].variants)
                    raise UsageError(f"{where}: variants: {variant} is none of: {known}")
            try:
                chosen[name] = choose(tests[given], ",".join(criterion.cases))
            except UsageError as error:
                error.message = f"{where}: cases: {error.message.removeprefix('--tests ')}"
                raise
        return cls(scheme, machine, suites, payloads, tests, chosen)

    def chains(self) -> Iterator[tuple[ChainOf, str, dict[str, Task]]]:
        """All chains, with what the rubric calls their suite, and their cases by name."""
        found: dict[ChainOf, tuple[str, dict[str, Task]]] = {}
        for name, criterion, hidden in self.scheme.criteria():
            for chain in self.chains_of(criterion, hidden):
                _, tasks = found.setdefault(chain, (criterion.suite, {}))
                for task in self._tasks(name, criterion):
                    known = tasks.get(str(task.test), task)
                    # Of two criteria that name a case, the longer deadline holds.
                    longer = max(known, task, key=lambda each: each.seconds)
                    by_host = known.by_host and task.by_host
                    tasks[str(task.test)] = replace(longer, by_host=by_host)
        for chain, (suite, tasks) in found.items():
            order = [str(test) for test in self.tests[suite]]
            yield chain, suite, dict(sorted(tasks.items(), key=lambda item: order.index(item[0])))

    def chains_of(self, criterion: Criterion, hidden: bool) -> Iterator[ChainOf]:
        """The chains in which the cases of a criterion run."""
        suite = self.suites[criterion.suite]
        for variant in criterion.variants or suite.variants:
            for seed in criterion.seeds or [self.scheme.rubric.seed]:
                yield ChainOf(suite.name, variant, seed, criterion.debug, hidden)

    def _tasks(self, name: str, criterion: Criterion) -> Iterator[Task]:
        seconds = guest_seconds(self.machine, criterion.deadline_instructions)
        for test in self.chosen[name]:
            same = [each for each in self.tests[criterion.suite] if each.program == test.program]
            by_host = criterion.decided_by == "host"
            yield Task(test, same.index(test) + 1, seconds, by_host)

    def kernels(self) -> dict[bool, Machine]:
        """The machines that are needed, by whether theirs is the debug kernel."""
        wanted = {criterion.debug for _, criterion, _ in self.scheme.criteria()} | {False}
        return {
            debug: self.machine.with_debug_kernel() if debug else self.machine
            for debug in sorted(wanted)
        }


def guest_seconds(machine: Machine, instructions: int) -> float:
    """How long so many instructions take by the virtual clock: 2^shift nanoseconds each."""
    words = ",".join(machine.clocks["virtual"].qemu_args).split(",")
    (shift,) = (word.removeprefix("shift=") for word in words if word.startswith("shift="))
    return instructions * float(1 << int(shift)) / 1e9


@dataclass(frozen=True)
class Shop:
    """Where it is all made: the builder, the sandbox, and the folder of results."""

    builder: Builder
    order: Callable[[Machine, Payload], object]
    sandbox: Sandbox
    folder: Path
    jobs: int


@dataclass
class Candidate:
    """A submission on its way: what of it is known so far."""

    submission: Submission
    is_reference: bool = False
    sources: Sources | None = None
    review: Review | None = None
    images: dict[tuple[str, bool], Images] = field(default_factory=dict)
    chains: dict[ChainOf, ChainResult] = field(default_factory=dict)
    measured: Measured | None = None
    lock: Lock = field(default_factory=Lock)

    @property
    def below(self) -> str:
        """Its folder, from that of the results."""
        return f"submissions/{self.submission.slug}"
