"""The work of a grading: builds, then chains of boots and measurements, several side by side.

What is found of a submission is a record in its folder as soon as it is there, and is not found
again as long as all that decides it is the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Protocol

from pibed.base import places
from pibed.base.errors import BuildError, LimitError, UsageError, printable
from pibed.build import payload, review
from pibed.build.images import Images
from pibed.build.payload import Payload
from pibed.build.sandbox import Sandbox
from pibed.build.substitute import module_name, with_module
from pibed.grade import records, submissions
from pibed.grade.chain import UNLOAD, Chain, Task
from pibed.grade.course import ChainOf, Course
from pibed.grade.marks import Found, Run
from pibed.grade.measurement import Session
from pibed.grade.nonce import nonce
from pibed.grade.records import CaseResult, ChainResult, Measured, Review
from pibed.grade.submissions import Refused, Sources, Submission
from pibed.guest.pool import StopRequested, run_side_by_side
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine


class GradeObserver(Protocol):
    """Who is told how it goes; called from several threads."""

    def began(self, submission: str, what: str) -> None:
        """A part of a submission's work has begun."""

    def ended(self, submission: str, what: str, outcome: str) -> None:
        """It has ended; `outcome` says how in a few words."""


Make = Callable[[Machine, Payload, Experiment | None, StopRequested], Images]
"""Builds images, with the timing plugin where an experiment needs it."""


def never() -> None:
    """In the place of what asks whether to stop."""


@dataclass(frozen=True)
class Shop:
    """Where it is all done: what builds, the sandbox, the folder of results."""

    make_base: Make
    """Of what all share: it says how it goes, since it may take minutes."""
    make: Make
    """Of what was handed in."""
    sandbox: Callable[[StopRequested], Sandbox]
    qemu_version: str
    folder: Path
    jobs: int


@dataclass
class Candidate:
    """A submission on its way: what of it is known so far."""

    submission: Submission
    is_reference: bool = False
    sources: Sources | None = None
    review: Review | None = None
    chains: dict[ChainOf, ChainResult] = field(default_factory=dict)
    measured: Measured | None = None
    images: dict[tuple[str, bool], Images] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    @property
    def below(self) -> str:
        """Its folder, from that of the results."""
        return f"submissions/{self.submission.slug}"

    @property
    def builds(self) -> bool:
        """Whether there is a module to be tested."""
        return self.review is not None and not (self.review.problem or self.review.not_graded)

    @property
    def digest(self) -> str:
        """Of its files; empty if none were taken."""
        return self.sources.digest if self.sources else ""


@dataclass(frozen=True)
class Grading:
    """A course in a shop: submissions are put through it."""

    course: Course
    shop: Shop
    base: Mapping[tuple[str, bool], str]
    """What decides results beside a submission, by suite and kernel."""

    @classmethod
    def prepared(cls, course: Course, shop: Shop) -> Grading:
        """Builds what all submissions share, with the modules that the suites name."""
        base = {}
        for debug, machine in course.kernels().items():
            for name, wanted in course.payloads.items():
                images = shop.make_base(machine, wanted, None, never)
                base[name, debug] = _key(images, shop.qemu_version)
        for name, experiment in course.experiments.items():
            wanted = payload.of_experiment(experiment)
            images = shop.make_base(course.machine, wanted, experiment, never)
            base[name, False] = _key(images, shop.qemu_version)
        return cls(course, shop, base)

    def into(self, folder: Path) -> Grading:
        """The same with another folder of results."""
        return replace(self, shop=replace(self.shop, folder=folder))

    def review(self, candidates: Sequence[Candidate], observer: GradeObserver) -> None:
        """Takes in and builds all that was handed in; raises HostError where that is impossible."""
        jobs = [partial(self._review, each, observer) for each in candidates]
        run_side_by_side(jobs, self.shop.jobs)

    def run(self, candidates: Sequence[Candidate], observer: GradeObserver) -> None:
        """Boots and measures those that build; raises HostError as above."""
        jobs: list[Callable[[StopRequested], None]] = []
        for candidate in candidates:
            if not candidate.builds:
                continue
            for chain, suite, tasks in self.course.chains():
                boots = (candidate, chain, suite, tuple(tasks.values()), observer)
                jobs.append(partial(self._chain, *boots))
            if self.course.experiments:
                jobs.append(partial(self._measure, candidate, observer))
        run_side_by_side(jobs, self.shop.jobs)

    def measure(self, candidates: Sequence[Candidate], observer: GradeObserver) -> None:
        """Only measures them."""
        if self.course.experiments:
            jobs = [partial(self._measure, each, observer) for each in candidates if each.builds]
            run_side_by_side(jobs, self.shop.jobs)

    def parts(self) -> list[str]:
        """The parts of a submission's work behind its build, for estimates and progress."""
        measured = ["measurements"] if self.course.experiments else []
        return [*(str(chain) for chain, _, _ in self.course.chains()), *measured]

    def found(self, candidate: Candidate) -> Found:
        """All records of a submission, by what the rubric asks."""
        assert candidate.review is not None
        runs: dict[str, list[Run]] = {}
        unloads = []
        for name, criterion, hidden in self.course.scheme.criteria():
            wanted = {str(test) for test in self.course.chosen[name]}
            for chain in self.course.chains_of(criterion, hidden):
                if (result := candidate.chains.get(chain)) is None:
                    continue
                for case in result.cases:
                    run = Run(chain.variant, chain.seed, chain.debug, case, criterion.show)
                    if case.case in wanted:
                        runs.setdefault(name, []).append(run)
                    elif case.case == UNLOAD:
                        unloads.append(replace(run, show="verdict" if hidden else "all"))
        problems = (each.not_graded for each in candidate.chains.values())
        not_graded = next((words for words in problems if words), None)
        return Found(candidate.review, runs, unloads, candidate.measured, not_graded)

    def _review(
        self, candidate: Candidate, observer: GradeObserver, stop_requested: StopRequested
    ) -> None:
        stop_requested()
        name = candidate.submission.name
        observer.began(name, "build")
        path = self.shop.folder / candidate.below / "review.json"
        try:
            candidate.sources = submissions.take_in(
                candidate.submission.path, places.cache() / "submissions"
            )
            key = nonce(b"review", candidate.digest, *sorted(self.base.values()))
            candidate.review = records.read(Review, path, key)
            if candidate.review is None:
                candidate.review = self._reviewed(candidate, key, stop_requested)
        except Refused as error:
            candidate.review = Review("", f"it cannot be taken: {error.message}")
        records.write(path, candidate.review)
        found = candidate.review
        outcome = found.not_graded or found.problem or "builds"
        observer.ended(name, "build", outcome)

    def _reviewed(self, candidate: Candidate, key: str, stop_requested: StopRequested) -> Review:
        assert candidate.sources is not None
        folder = candidate.sources.module
        try:
            for suite in self.course.suites:
                images = self._images(candidate, suite, False, stop_requested)
            found = review.review(images, folder, self.shop.sandbox(stop_requested))
        except LimitError as error:
            stop_requested()
            words = error.message
            if "time_s" in words:
                return Review(key, None, not_graded=f"the build {words}")
            return Review(key, words)
        except (BuildError, UsageError) as error:
            message, *details = (_named(line, folder) for line in (error.message, *error.context))
            return Review(key, message, tuple(details))
        return Review(key, None, (), found.warnings, found.checkpatch, found.sparse)

    def _images(
        self, candidate: Candidate, suite: str, debug: bool, stop_requested: StopRequested
    ) -> Images:
        """The images of a suite with the submitted module."""
        assert candidate.sources is not None
        with candidate.lock:
            if (suite, debug) not in candidate.images:
                known = self.course.suites[suite]
                wanted = payload.of_suite(with_module(known, candidate.sources.module))
                machine = self.course.kernels()[debug]
                candidate.images[suite, debug] = self.shop.make(
                    machine, wanted, None, stop_requested
                )
            return candidate.images[suite, debug]

    def _chain(
        self,
        candidate: Candidate,
        chain: ChainOf,
        suite: str,
        tasks: tuple[Task, ...],
        observer: GradeObserver,
        stop_requested: StopRequested,
    ) -> None:
        stop_requested()
        name, what = candidate.submission.name, str(chain)
        observer.began(name, what)
        scheme, folder = self.course.scheme, self.shop.folder / candidate.below
        path = folder / f"{chain.slug}.json"
        rubric = scheme.rubric
        about = (rubric.timed_s, rubric.most_losses, tasks, self.course.machine)
        key = nonce(scheme.secret, candidate.digest, self.base[suite, chain.debug], chain, *about)
        result = records.read(ChainResult, path, key)
        if result is None:
            result = self._unbuildable(candidate, chain, suite, tasks, key, stop_requested)
        if result is None:
            assert candidate.sources is not None
            known = with_module(self.course.suites[suite], candidate.sources.module)
            running = Chain(
                self.course.kernels()[chain.debug],
                self._images(candidate, suite, chain.debug, stop_requested),
                *(known, chain.variant, chain.seed, rubric.timed_s, tasks, rubric.most_losses),
                *(scheme.secret, candidate.digest, candidate.sources.module.name, key),
            )
            below = f"{candidate.below}/boots/{chain.slug}"
            shutil.rmtree(self.shop.folder / below, ignore_errors=True)
            result = running.run(self.shop.folder, below, stop_requested)
        records.write(path, result)
        candidate.chains[chain] = result
        failed = sum(case.status == records.Status.FAILED for case in result.cases)
        outcome = f"{len(result.cases) - failed} of {len(result.cases)} passed"
        observer.ended(name, what, result.not_graded or outcome)

    def _unbuildable(
        self,
        candidate: Candidate,
        chain: ChainOf,
        suite: str,
        tasks: tuple[Task, ...],
        key: str,
        stop_requested: StopRequested,
    ) -> ChainResult | None:
        """What comes of a chain whose images cannot be built, such as with the debug kernel."""
        try:
            self._images(candidate, suite, chain.debug, stop_requested)
            return None
        except LimitError as error:
            stop_requested()
            return ChainResult(key, (), f"the build {error.message}")
        except (BuildError, UsageError) as error:
            assert candidate.sources is not None
            message = _named(error.message, candidate.sources.module)
            failed = records.Status.FAILED, records.Why.NOT_RUN, message
            names = [*(str(task.test) for task in tasks), UNLOAD]
            return ChainResult(key, tuple(CaseResult(name, *failed) for name in names))

    def _measure(
        self, candidate: Candidate, observer: GradeObserver, stop_requested: StopRequested
    ) -> None:
        stop_requested()
        name = candidate.submission.name
        observer.began(name, "measurements")
        course, secret = self.course, self.course.scheme.secret
        path = self.shop.folder / candidate.below / "measured.json"
        asked = [(key, each) for key, each, _ in course.scheme.measurements()]
        bases = [self.base[key, False] for key, _ in asked]
        key = nonce(secret, candidate.digest, *bases, asked, course.scheme.rubric.seed)
        measured = records.read(Measured, path, key)
        if measured is None:
            assert candidate.sources is not None
            module = candidate.sources.module
            own = {"folder": str(module), "name": module_name(module)}
            below = f"{candidate.below}/boots/measured"
            shutil.rmtree(self.shop.folder / below, ignore_errors=True)
            session = Session(
                *(course.machine, secret, candidate.digest, course.scheme.rubric.seed),
                *(self.shop.folder, below, stop_requested),
            )
            measured = Measured(key)
            for each, measurement in asked:
                experiment = course.experiments[each]
                last = experiment.module_list[-1].model_copy(update=own)
                submitted = [*experiment.module_list[:-1], last]
                mine = experiment.model_copy(update={"module": None, "modules": submitted})
                wanted = payload.of_experiment(mine)
                try:
                    images = self.shop.make(course.machine, wanted, mine, stop_requested)
                except LimitError as error:
                    stop_requested()
                    measured = replace(measured, not_graded=f"the build {error.message}")
                    continue
                except (BuildError, UsageError) as error:
                    words = _named(error.message, module)
                    measured = replace(measured, problems=measured.problems | {each: words})
                    continue
                measured = session.measure(measured, each, measurement, mine, images)
            records.write(path, measured)
        candidate.measured = measured
        outcome = f"{len(measured.values)} of {len(asked)} measured"
        observer.ended(name, "measurements", measured.not_graded or outcome)


def _key(images: Images, qemu_version: str) -> str:
    return nonce(b"base", qemu_version, *sorted(each.step.key for each in images.steps))


def _named(text: str, folder: Path) -> str:
    """What is said of files, by their names in a submission."""
    return printable(text.replace(f"{folder}/", "").replace(str(folder), "the submission"))
