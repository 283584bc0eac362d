"""Memory that a module does not give back, looked for in a boot of its own behind the rounds.

The module is loaded, the workload runs, the module is unloaded, and the kernel's memory is read;
again and again. What grows with each of these runs is lost: what the kernel keeps once does not.
Nothing of this is in the guests in which is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pibed.base.errors import GuestError
from pibed.guest.guest import Guest, Launch
from pibed.guest.pool import StopRequested
from pibed.guest.qemu import Logs
from pibed.measure.rounds import Testbed
from pibed.model import memory, plan
from pibed.model.experiment import Experiment
from pibed.model.machine import Clock
from pibed.model.memory import Memory
from pibed.model.plan import Cell, Steps, Visit
from pibed.model.protocol import Command, Result
from pibed.model.samples import Sample, Status
from pibed.runs.folder import write_plan

# The runs behind which the memory is read: the first has filled the kernel's lists and caches, the
# next ones are compared, and as many again confirm and size what those have lost.
_READ_AFTER = (1, 3, 5)


@dataclass(frozen=True)
class Leak:
    """What so many runs of a cell have lost."""

    cell: Cell
    lost: Memory
    runs: int

    def __str__(self) -> str:
        return (
            f"memory leak: {self.cell}: each run, from loading the module to unloading it, loses "
            f"about {self.lost.in_words(self.runs)}"
        )


def look(
    testbed: Testbed, samples: Sequence[Sample], folder: Path, stop_requested: StopRequested
) -> list[str]:
    """Warnings of what is lost, for each way in which modules are loaded, by its first cell.

    Of the samples it takes which cells have one that is `ok`: what does not run is not looked at.
    What is done does not depend on what is seen, so that the guest has its plan as those of the
    rounds have theirs: the same bytes each time. Plan and logs go to `folder`.
    """
    well = {sample.cell for sample in samples if sample.status == Status.OK}
    chosen = [cell for cell in _by_settings(testbed) if cell in well]
    if not chosen:
        return []
    # What is lost does not depend on how long things take, but on how many CPUs there are.
    clock: Clock = testbed.machine.clock
    if clock == "board" and "virtual" in testbed.machine.clocks:
        clock = "virtual"
    launch = Launch(testbed.machine, testbed.images, clock, testbed.experiment.seed % 2**32)
    runs = _runs(testbed.experiment, chosen)
    commands = [command for run in runs for command in run]
    folder.mkdir(parents=True, exist_ok=True)
    write_plan(folder / "plan", commands)
    try:
        with Guest(launch, Logs.below(folder), commands, stop_requested) as guest:
            # To the end, whatever fails: a guest that is cut off says more or less of the rest.
            results = {command: guest.run(command) for command in commands}
            guest.finish()
        found = [
            _leak([run for run in runs if run.cell == cell], results, memory.NOISE[clock])
            for cell in chosen
        ]
    except GuestError as error:
        return [f"whether memory is lost could not be seen: {error.message}"]
    return [str(leak) for leak in found if leak is not None]


@dataclass(frozen=True)
class _Run:
    """A run of a cell, from loading the modules to unloading them; `reading` may come behind it."""

    steps: Steps
    unload: Command
    reading: Command | None

    @property
    def cell(self) -> Cell:
        return self.steps.visit.cell

    def __iter__(self) -> Iterator[Command]:
        yield from self.steps
        yield self.unload
        if self.reading is not None:
            yield self.reading

    def memory(self, results: Mapping[Command, Result]) -> Memory | None:
        """What was read; raises GuestError if something did not work as in the rounds."""
        for command in self:
            result = results[command]
            # The workload's own status may be what is measured.
            if result.timed_out or (result.status != 0 and command is not self.steps.run):
                raise GuestError(f"`{command.line}` {result.ending}: {result.words}")
        if self.reading is None:
            return None
        try:
            return memory.parse(results[self.reading].output)
        except ValueError as error:
            raise GuestError(str(error)) from None


def _by_settings(testbed: Testbed) -> Iterator[Cell]:
    """The first cell of each way in which the modules are loaded; none without modules."""
    experiment = testbed.experiment
    known = set()
    for cell in plan.cells(experiment) if experiment.module_list else ():
        load = plan.load_line(experiment, cell.as_dict())
        if load not in known:
            known.add(load)
            yield cell


def _runs(experiment: Experiment, chosen: Sequence[Cell]) -> list[_Run]:
    """All runs of the cells, one cell behind the other; their numbers go through."""
    # Without what a sample that fails of a leak is surrounded by.
    experiment = experiment.model_copy(update={"leaks": "warn"})
    unload = plan.unload(experiment)
    assert unload is not None
    runs: list[_Run] = []
    for cell in chosen:
        for count in range(1, max(_READ_AFTER) + 1):
            number = len(runs) + 1
            (steps,) = plan.steps(experiment, [Visit(number, cell, 0)])
            reading = memory.reading(f"{number}.memory") if count in _READ_AFTER else None
            runs.append(_Run(steps, replace(unload, id=f"{number}.unload"), reading))
    return runs


def _leak(runs: Sequence[_Run], results: Mapping[Command, Result], noise: int) -> Leak | None:
    """What the runs of a cell have lost; raises GuestError as `_Run.memory` does."""
    read = [run.memory(results) for run in runs]
    begin, middle, end = (each for each in read if each is not None)
    # What does not grow again was no leak.
    lost = (end - begin).where(middle - begin, noise).where(end - middle, noise)
    return Leak(runs[0].cell, lost, _READ_AFTER[-1] - _READ_AFTER[0]) if lost.total else None
