"""Memory that a module does not give back, looked for in a boot of its own behind the rounds.

The module is loaded, the workload runs, the module is unloaded, and the kernel's memory is read;
again and again. What grows with each of these runs is lost: what the kernel keeps once does not.
Nothing of this is in the guests in which is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import GuestError
from pibed.guest.guest import Guest, Launch
from pibed.guest.pool import StopRequested
from pibed.guest.qemu import Logs
from pibed.measure.rounds import Testbed
from pibed.model import memory, plan
from pibed.model.machine import Clock
from pibed.model.memory import Memory
from pibed.model.plan import Cell, Steps, Visit
from pibed.model.samples import Sample, Status

# Runs that fill the kernel's lists and caches; runs that are compared; and as many again, to
# confirm and to size what the former have lost.
_FIRST, _RUNS = 1, 2


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
    The logs go to `folder`.
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
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with Guest(launch, Logs.below(folder), None, stop_requested) as guest:
            found = [_look_at(guest, testbed, cell, memory.NOISE[clock]) for cell in chosen]
            guest.finish()
    except GuestError as error:
        return [f"whether memory is lost could not be seen: {error.message}"]
    return [str(leak) for leak in found if leak is not None]


def _by_settings(testbed: Testbed) -> Iterator[Cell]:
    """The first cell of each way in which the modules are loaded; none without modules."""
    known = set()
    for cell in plan.cells(testbed.experiment) if testbed.experiment.module_list else ():
        load = _steps(testbed, cell).before[0].line
        if load not in known:
            known.add(load)
            yield cell


def _steps(testbed: Testbed, cell: Cell) -> Steps:
    # Without what a sample that fails of a leak is surrounded by.
    experiment = testbed.experiment.model_copy(update={"leaks": "warn"})
    (steps,) = plan.steps(experiment, [Visit(1, cell, 0)])
    return steps


def _look_at(guest: Guest, testbed: Testbed, cell: Cell, noise: int) -> Leak | None:
    def after_runs(count: int) -> Memory:
        for _ in range(count):
            _run(guest, testbed, cell)
        return _read(guest)

    begin = after_runs(_FIRST)
    middle = after_runs(_RUNS)
    if not (grown := middle - begin).where(grown, noise).total:
        return None
    end = after_runs(_RUNS)
    # What does not grow again was no leak.
    lost = (end - begin).where(grown, noise).where(end - middle, noise)
    return Leak(cell, lost, 2 * _RUNS) if lost.total else None


def _run(guest: Guest, testbed: Testbed, cell: Cell) -> None:
    """Loads, runs and unloads; raises GuestError if something does not work as in the rounds."""
    steps, last = _steps(testbed, cell), plan.unload(testbed.experiment)
    for command in (*steps, *([] if last is None else [last])):
        result = guest.run(command)
        # The workload's own status may be what is measured.
        if result.timed_out or (result.status != 0 and command is not steps.run):
            raise GuestError(f"`{command.line}` {result.ending}: {result.words}")


def _read(guest: Guest) -> Memory:
    result = guest.run(memory.reading("memory"))
    try:
        return memory.parse(result.output)
    except ValueError as error:
        raise GuestError(str(error)) from None
