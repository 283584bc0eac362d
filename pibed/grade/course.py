"""A course: a rubric with all that it names, read and checked before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pibed.base.errors import UsageError
from pibed.build import payload
from pibed.build.payload import Payload
from pibed.grade.chain import Task
from pibed.grade.submissions import REFERENCE, Submission
from pibed.ktest.cases import TableEntry, choose, read_tests
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import Machine
from pibed.model.rubric import Criterion, Measurement, Scheme, configuration, root_of
from pibed.model.suite import Suite, load_suite


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
    experiments: Mapping[str, Experiment]
    """Of each measurement, with its metric alone."""

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
                if suites[given].under_test is None:
                    raise UsageError(f"{suites[given].where}: it has no module to be replaced")
                payloads[given] = payload.of_suite(suites[given])
                tests[given] = read_tests([each.sources[0] for each in payloads[given].compiled])
            where = f"the rubric {scheme.rubric.name}: {name}"
            for variant in criterion.variants:
                if variant not in suites[given].variants:
                    known = ", ".join(suites[given].variants)
                    raise UsageError(f"{where}: variants: {variant} is none of: {known}")
            try:
                chosen[name] = choose(tests[given], ",".join(criterion.cases))
            except UsageError as error:
                words = error.message.removeprefix("--tests ")
                raise UsageError(f"{where}: cases: {words}", fix=error.fix) from None
        experiments = {
            name: _experiment(scheme, name, measurement)
            for name, measurement, _ in scheme.measurements()
        }
        return cls(scheme, machine, suites, payloads, tests, chosen, experiments)

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

    @property
    def reference(self) -> Submission:
        """The module that does it right, of a rubric that has one.

        Raises UsageError if it is not there.
        """
        rubric = self.scheme.rubric
        path = root_of(rubric) / (rubric.reference or ".")
        if not path.is_dir():
            raise UsageError(f"the rubric {rubric.name}: reference: there is no folder {path}")
        return Submission(path, REFERENCE, REFERENCE)

    @property
    def units(self) -> dict[str, str]:
        """The unit of each measurement."""
        return {
            name: self.experiments[name].metrics[each.metric].unit
            for name, each, _ in self.scheme.measurements()
        }

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


def _experiment(scheme: Scheme, name: str, measurement: Measurement) -> Experiment:
    """The experiment that a measurement names; raises UsageError if it has no such cell."""
    experiment = load_experiment(configuration(scheme.rubric, measurement.experiment))
    where = f"the rubric {scheme.rubric.name}: {name}"
    if not experiment.module_list:
        raise UsageError(f"{where}: experiment: it has no module to be replaced")
    if measurement.metric not in experiment.metrics:
        known = ", ".join(experiment.metrics)
        raise UsageError(f"{where}: metric: {measurement.metric} is none of: {known}")
    if measurement.cell.keys() != experiment.parameters.keys():
        known = ", ".join(experiment.parameters)
        raise UsageError(f"{where}: cell: expected a value for each of: {known}")
    # No counter of the module itself is read: only what is asked for must be there.
    metrics = {measurement.metric: experiment.metrics[measurement.metric]}
    return experiment.model_copy(update={"metrics": metrics, "analysis": None})
