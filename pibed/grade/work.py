"""The work of a grading: builds, then chains of boots and measurements, several side by side.

What is found of a submission is a record in its folder as soon as it is there, and is not found
again as long as all that decides it is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock

from pibed.base import places
from pibed.base.errors import BuildError, LimitError, UsageError, printable
from pibed.build import payload, review
from pibed.build.images import Images
from pibed.build.payload import Payload
from pibed.build.sandbox import Sandbox
from pibed.build.substitute import module_name, with_module
from pibed.grade import records, submissions
from pibed.grade.chain import Chain, Task
from pibed.grade.course import ChainOf, Course
from pibed.grade.decoding import decoded
from pibed.grade.marks import Found, Run
from pibed.grade.measurement import Measuring
from pibed.grade.nonce import nonce
from pibed.grade.parts import (
    GradeObserver,
    Part,
    PartsOf,
    Record,
    RunParts,
    SharingObserver,
)
from pibed.grade.records import UNLOAD, CaseResult, ChainResult, Measured, Review
from pibed.grade.submissions import Refused, Sources, Submission
from pibed.guest.pool import StopRequested
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine
from pibed.model.rubric import Measurement

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
    measured: dict[str, Measured] = field(default_factory=dict)
    """By the measurement's name."""
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
    common: Sequence[Images]
    """With the modules that the suites name: all else is that of submissions, too."""

    @classmethod
    def prepared(cls, course: Course, shop: Shop) -> Grading:
        """Builds what all submissions share, with the modules that the suites name."""
        base = {}
        common = []
        for debug, machine in course.kernels().items():
            for name, wanted in course.payloads.items():
                images = shop.make_base(machine, wanted, None, never)
                base[name, debug] = _key(images, shop.qemu_version)
                common.append(images)
        for name, experiment in course.experiments.items():
            wanted = payload.of_experiment(experiment)
            images = shop.make_base(course.machine, wanted, experiment, never)
            base[name, False] = _key(images, shop.qemu_version)
            common.append(images)
        return cls(course, shop, base, common)

    def into(self, folder: Path) -> Grading:
        """The same with another folder of results."""
        return replace(self, shop=replace(self.shop, folder=folder))

    def run(self, sources: Sequence[PartsOf], observer: SharingObserver, by: RunParts) -> None:
        """Takes in, builds, boots and measures; raises HostError where that is impossible."""
        by(sources, self.shop.folder, self.shop.jobs, observer)

    def whole(self, candidate: Candidate, observer: GradeObserver) -> PartsOf:
        """All that is to be done with a submission."""
        return partial(self._taken_in, candidate, observer, self._parts)

    def numbers(self, candidate: Candidate, observer: GradeObserver) -> PartsOf:
        """What of that measures."""
        return partial(self._taken_in, candidate, observer, self._measurements)

    def _taken_in(
        self,
        candidate: Candidate,
        observer: GradeObserver,
        parts_of: Callable[[Candidate], Iterator[Part]],
        stop_requested: StopRequested,
    ) -> Sequence[Part]:
        self._review(candidate, observer, stop_requested)
        return list(parts_of(candidate)) if candidate.builds else ()

    def _parts(self, candidate: Candidate) -> Iterator[Part]:
        slug = candidate.submission.slug
        for chain, suite, tasks in self.course.chains():
            yield Part(
                *(candidate.submission.name, str(chain), f"{slug}/{chain.slug}"),
                f"{candidate.below}/boots/{chain.slug}",
                partial(self._begin_chain, candidate, chain, suite, tuple(tasks.values())),
                partial(self._end_chain, candidate, chain, suite),
            )
        yield from self._measurements(candidate)

    def _measurements(self, candidate: Candidate) -> Iterator[Part]:
        for name, measurement, _ in self.course.scheme.measurements():
            yield Part(
                *(candidate.submission.name, _measurement(name)),
                f"{candidate.submission.slug}/measured-{name}",
                f"{candidate.below}/boots/measured-{name}",
                partial(self._begin_measurement, candidate, name, measurement),
                partial(self._end_measurement, candidate, name),
            )

    def part_names(self) -> list[str]:
        """The parts of a submission's work behind its build, for estimates and progress."""
        measured = (_measurement(name) for name in self.course.experiments)
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
        return Found(candidate.review, runs, unloads, _together(candidate), not_graded)

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

    def _begin_chain(
        self,
        candidate: Candidate,
        chain: ChainOf,
        suite: str,
        tasks: tuple[Task, ...],
        stop_requested: StopRequested,
    ) -> ChainResult | Chain:
        """What is known of a chain, or its boots."""
        scheme, rubric = self.course.scheme, self.course.scheme.rubric
        about = (rubric.timed_s, rubric.most_losses, tasks, self.course.machine)
        key = nonce(scheme.secret, candidate.digest, self.base[suite, chain.debug], chain, *about)
        known = records.read(ChainResult, self._chain_record(candidate, chain), key)
        if known is None:
            known = self._unbuildable(candidate, chain, suite, tasks, key, stop_requested)
        if known is not None:
            return known
        assert candidate.sources is not None
        module = candidate.sources.module
        return Chain(
            self.course.kernels()[chain.debug],
            self._images(candidate, suite, chain.debug, stop_requested),
            with_module(self.course.suites[suite], module),
            *(chain.variant, chain.seed, rubric.timed_s, tasks, rubric.most_losses),
            *(scheme.secret, candidate.digest, module.name, key),
        )

    def _end_chain(self, candidate: Candidate, chain: ChainOf, suite: str, record: Record) -> str:
        assert isinstance(record, ChainResult)
        assert candidate.sources is not None
        if any(case.said for case in record.cases):
            images = candidate.images[suite, chain.debug]
            record = decoded(record, images, candidate.sources.module.name)
        records.write(self._chain_record(candidate, chain), record)
        candidate.chains[chain] = record
        return record.not_graded or _outcome(record)

    def _chain_record(self, candidate: Candidate, chain: ChainOf) -> Path:
        return self.shop.folder / candidate.below / f"{chain.slug}.json"

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

    def _begin_measurement(
        self,
        candidate: Candidate,
        name: str,
        measurement: Measurement,
        stop_requested: StopRequested,
    ) -> Measured | Measuring:
        """What is known of a measurement, or its boots."""
        course, secret = self.course, self.course.scheme.secret
        seed = course.scheme.rubric.seed
        key = nonce(secret, candidate.digest, self.base[name, False], name, measurement, seed)
        known = records.read(Measured, self._measured_record(candidate, name), key)
        if known is not None:
            return known
        assert candidate.sources is not None
        module = candidate.sources.module
        experiment = course.experiments[name]
        own = {"folder": str(module), "name": module_name(module)}
        last = experiment.module_list[-1].model_copy(update=own)
        submitted = [*experiment.module_list[:-1], last]
        mine = experiment.model_copy(update={"module": None, "modules": submitted})
        try:
            images = self.shop.make(
                course.machine, payload.of_experiment(mine), mine, stop_requested
            )
        except LimitError as error:
            stop_requested()
            return Measured(key, not_graded=f"the build {error.message}")
        except (BuildError, UsageError) as error:
            return Measured(key, problems={name: _named(error.message, module)})
        return Measuring(
            *(course.machine, images, mine, name, measurement, seed),
            *(secret, candidate.digest, key),
        )

    def _end_measurement(self, candidate: Candidate, name: str, record: Record) -> str:
        assert isinstance(record, Measured)
        records.write(self._measured_record(candidate, name), record)
        candidate.measured[name] = record
        return record.not_graded or record.problems.get(name) or "measured"

    def _measured_record(self, candidate: Candidate, name: str) -> Path:
        return self.shop.folder / candidate.below / f"measured-{name}.json"


def _outcome(record: ChainResult) -> str:
    """In a few words, for people."""
    failed = {each.case for each in record.cases if each.status == records.Status.FAILED}
    cases = [each.case for each in record.cases if each.case != UNLOAD]
    outcome = f"{len(cases) - len(failed.intersection(cases))} of {len(cases)} passed"
    return outcome + (", unloading failed" if UNLOAD in failed else "")


def _measurement(name: str) -> str:
    """What a measurement is called among the parts."""
    return f"measurement {name}"


def _together(candidate: Candidate) -> Measured | None:
    """What was measured, if anything was."""
    each = list(candidate.measured.values())
    if not each:
        return None
    return Measured(
        "",
        {name: values for one in each for name, values in one.values.items()},
        {name: problem for one in each for name, problem in one.problems.items()},
        next((one.not_graded for one in each if one.not_graded), None),
    )


def _key(images: Images, qemu_version: str) -> str:
    return nonce(b"base", qemu_version, *sorted(each.step.key for each in images.steps))


def _named(text: str, folder: Path) -> str:
    """What is said of files, by their names in a submission."""
    return printable(text.replace(f"{folder}/", "").replace(str(folder), "the submission"))
