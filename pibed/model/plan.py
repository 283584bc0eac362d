"""What is to be run, decided before anything runs: cells, rounds, and the agent's commands.

All of it follows from the experiment and its seed alone.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal

from pibed.model import kernellog, memory, modules
from pibed.model.experiment import Experiment
from pibed.model.parameter import Value
from pibed.model.placeholders import fill
from pibed.model.protocol import Command
from pibed.model.shard import Shard
from pibed.model.workload import Workload

# Guest seconds for reading the counters, or the kernel's log.
_SHORT_S = 20.0


@dataclass(frozen=True, eq=False)
class Cell:
    """One point of the experiment: a value for every parameter, or for some of them (a block).

    Cells are the same if their values are, in whatever order the parameters stand: the order, that
    of an experiment, is for showing them.
    """

    values: tuple[tuple[str, Value], ...]

    @classmethod
    def of(cls, values: Mapping[str, Value]) -> Cell:
        """The cell with these values by parameter."""
        return cls(tuple(values.items()))

    def as_dict(self) -> dict[str, Any]:
        """The values by parameter, each of which is of its parameter's kind."""
        return dict(self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and frozenset(self.values) == frozenset(other.values)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        # Once for a cell, of which there may be a million samples.
        return hash(frozenset(self.values))

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.values)


@dataclass(frozen=True)
class Visit:
    """A cell's place in a round: its number in the order (from 1) and the idle time before it."""

    order: int
    cell: Cell
    idle_us: int


@dataclass(frozen=True)
class Round:
    """One visit to every cell, in an order and with idle times drawn from the round's seed."""

    number: int
    seed: int
    visits: tuple[Visit, ...]


def cells(experiment: Experiment) -> list[Cell]:
    """All combinations of the parameters' values; the last parameter varies fastest."""
    names = list(experiment.parameters)
    values = [experiment.parameters[name].values for name in names]
    return [
        Cell(tuple(zip(names, combination, strict=True)))
        for combination in itertools.product(*values)
    ]


def round_seed(seed: int, number: int) -> int:
    """The seed of a round, 32 bits; each round's is independent of how many rounds there are."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")


def numbers(experiment: Experiment, shard: Shard | None = None) -> range:
    """The numbers of the experiment's rounds, from 1, or of a shard of them."""
    return range(1, experiment.rounds + 1) if shard is None else shard.numbers(experiment.rounds)


def rounds(experiment: Experiment, shard: Shard | None = None) -> list[Round]:
    """The experiment's rounds, or a shard of them; a round is the same in either."""
    all_cells = cells(experiment)
    result = []
    for number in numbers(experiment, shard):
        seed = round_seed(experiment.seed, number)
        # Only random() gives the same numbers in every version of Python, so it alone is used.
        generator = random.Random(seed)
        shuffled = sorted(all_cells, key=lambda cell: generator.random())
        visits = tuple(
            Visit(order, cell, _idle_us(experiment.workload, generator.random()))
            for order, cell in enumerate(shuffled, start=1)
        )
        result.append(Round(number, seed, visits))
    return result


@dataclass(frozen=True)
class Steps:
    """The agent's commands for one visit: `run` is what is measured.

    `before` and `after` must succeed. `counters` is read before and after the run, and is None
    where no metric needs it. So are the `kernel_log`'s marks, of which the second gives the log,
    and the readings of the kernel's `memory`, before the module is loaded and after it is unloaded.
    """

    visit: Visit
    before: tuple[Command, ...]
    run: Command
    counters: tuple[Command, Command] | None
    kernel_log: tuple[Command, Command] | None
    after: tuple[Command, ...]
    memory: tuple[Command, Command] | None = None
    rehearsal: tuple[Command, ...] = ()
    """What comes before all that, of which nothing is kept."""

    def __iter__(self) -> Iterator[Command]:
        pairs = [pair for pair in (self.counters, self.kernel_log) if pair is not None]
        yield from self.rehearsal
        if self.memory is not None:
            yield self.memory[0]
        yield from self.before
        yield from (pair[0] for pair in pairs)
        yield self.run
        yield from (pair[1] for pair in reversed(pairs))
        yield from self.after
        if self.memory is not None:
            yield self.memory[1]


def steps(experiment: Experiment, visits: Sequence[Visit]) -> list[Steps]:
    """The commands of a boot that makes these visits, starting with no module loaded.

    All modules are loaded anew when a parameter of one changes, and in each visit where a leak
    fails it.
    """
    result: list[Steps] = []
    leaks_fail = experiment.leaks == "fail"
    loaded: str | None = None
    for visit in visits:
        values = visit.cell.as_dict()
        before = []
        wanted = load_line(experiment, values) if experiment.module_list else None
        if wanted is not None and (wanted != loaded or leaks_fail):
            before.append(Command(f"{visit.order}.load", load_timeout_s(experiment), wanted))
            loaded = wanted
        workload = experiment.workload
        command = fill(workload.command, values)
        # The agent ends the group of a command with it, and what is in the background is in there.
        beside = f"{_background(workload.background, values)} & " if workload.background else ""
        around = partial(_around, workload, values)
        for number in range(1, workload.warm_up_runs + 1):
            id = f"{visit.order}.warm-up-{number}"
            warm_up = Command(id, workload.timeout_s, beside + command)
            before += [*around("before", id), warm_up, *around("after", id)]
        before += around("before", str(visit.order))
        idle = f"usleep {visit.idle_us}; " if visit.idle_us else ""
        run = Command(f"{visit.order}.run", workload.timeout_s, beside + idle + command)
        files = counter_files(experiment)
        counters = None
        if files:
            read = f"cat {' '.join(files)}"
            counters = (
                Command(f"{visit.order}.counters-before", _SHORT_S, read),
                Command(f"{visit.order}.counters-after", _SHORT_S, read),
            )
        log = None
        if experiment.reads_kernel_log:
            log = (
                Command(f"{visit.order}.log-begins", _SHORT_S, kernellog.begin(visit.order)),
                Command(f"{visit.order}.log-ends", _SHORT_S, kernellog.end(visit.order)),
            )
        after = around("after", str(visit.order))
        its = Steps(visit, tuple(before), run, counters, log, tuple(after))
        result.append(_with_memory(experiment, its, first=not result) if leaks_fail else its)
    return result


def last_command(experiment: Experiment) -> Command | None:
    """Unloads the modules at the end of a boot, so that they log their totals; None without any.

    Nor is there one where a leak fails a visit: each visit has unloaded them itself.
    """
    return None if experiment.leaks == "fail" else unload(experiment)


def unload(experiment: Experiment) -> Command | None:
    """Unloads the modules; None without any."""
    if not experiment.module_list:
        return None
    line = modules.unload(experiment.module_list)
    return Command("unload", load_timeout_s(experiment), line)


def commands(experiment: Experiment, its: Sequence[Steps]) -> list[Command]:
    """All commands of a boot."""
    last = last_command(experiment)
    return [*(each for steps in its for each in steps), *([] if last is None else [last])]


def _with_memory(experiment: Experiment, steps: Steps, first: bool) -> Steps:
    """A visit that unloads the module as well, between two readings of the kernel's memory.

    The first visit of a boot is rehearsed, since the kernel's lists and caches fill up in it.
    """
    id = f"{steps.visit.order}.memory"
    last = unload(experiment)
    after = () if last is None else (replace(last, id=f"{steps.visit.order}.unload"),)
    readings = (memory.reading(f"{id}-before"), memory.reading(f"{id}-after"))
    made = replace(steps, after=(*steps.after, *after), memory=readings)
    if not first:
        return made
    run = replace(steps.run, line=f"{{ {steps.run.line}; }}; true")
    again = [*steps.before, run, *steps.after, *after]
    return replace(
        made, rehearsal=tuple(replace(each, id=f"{each.id}-rehearsal") for each in again)
    )


def digest(experiment: Experiment) -> str:
    """Hexadecimal SHA-256 of all that the guests are told to do, as long as none is lost."""
    text = hashlib.sha256()
    for each in rounds(experiment):
        text.update(f"{each.number} {each.seed}\n".encode())
        for command in commands(experiment, steps(experiment, each.visits)):
            text.update(f"{command}\n".encode(errors="surrogateescape"))
    return text.hexdigest()


def load_line(experiment: Experiment, values: Mapping[str, Value]) -> str:
    """The command that loads all modules for these values, in place of those that are loaded."""
    its = experiment.module_list
    loads = [
        modules.load(each, {name: fill(str(v), values) for name, v in each.parameters.items()})
        for each in its
    ]
    return " && ".join([modules.unload_loaded(its), *loads])


def load_timeout_s(experiment: Experiment) -> float:
    """Guest seconds after which loading, or unloading, the modules is given up."""
    return sum(each.timeout_s for each in experiment.module_list)


def counts_events(experiment: Experiment) -> bool:
    """Whether a metric is an event, which the timing plugin counts."""
    return any(metric.event is not None for metric in experiment.metrics.values())


def counter_files(experiment: Experiment) -> list[str]:
    """The guest's files that hold counters, in the order of the metrics."""
    return [metric.counter for metric in experiment.metrics.values() if metric.counter]


def _idle_us(workload: Workload, drawn: float) -> int:
    """The time for a number drawn from 0 up to but without 1."""
    span = workload.idle_us_max - workload.idle_us_min
    return workload.idle_us_min + int(drawn * (span + 1))


def _around(
    workload: Workload, values: Mapping[str, Value], key: Literal["before", "after"], id: str
) -> list[Command]:
    """What the workload has to be run before or after a run of this id."""
    line = workload.lines.get(key)
    return [Command(f"{id}.{key}", workload.timeout_s, fill(line, values))] if line else []


def _background(line: str, values: Mapping[str, Value]) -> str:
    """A shell of its own, so that nothing in the line reaches beyond it."""
    return f"sh -c {shlex.quote(fill(line, values))} >/dev/null 2>&1"
