"""The kernel's memory as a guest prints it, and what of it is told as lost."""

from __future__ import annotations

import itertools

import pytest

from pibed.base.errors import GuestError
from pibed.measure import leaks as looking
from pibed.measure.leaks import Leak
from pibed.model import memory, plan
from pibed.model.memory import Memory
from pibed.model.plan import Cell
from pibed.model.protocol import Result
from tests.unit.helpers import experiment

# Of 1000 pages 600 are free, 4 are kept by CPUs, 100 are known otherwise.
PRINTED = """\
MemTotal:           4000 kB
MemFree:            2400 kB
MemAvailable:       3000 kB
Buffers:               0 kB
Cached:              100 kB
AnonPages:            80 kB
Active(anon):         80 kB
Slab:                160 kB
SReclaimable:         60 kB
SUnreclaim:          100 kB
KernelStack:          20 kB
PageTables:           20 kB
VmallocTotal:     245760 kB
VmallocUsed:          12 kB
Percpu:                8 kB
Node 0, zone      DMA
      count: 3
      count: 1
"""


def test_pages_that_nobody_is_known_to_use_are_drivers() -> None:
    assert memory.parse(PRINTED.splitlines()) == Memory(pages=296, slabs=25, vmalloc=3)


@pytest.mark.parametrize("name", ["MemTotal", "Slab", "SReclaimable", "VmallocUsed"])
def test_a_line_that_is_not_there_is_said(name: str) -> None:
    lines = [line for line in PRINTED.splitlines() if not line.startswith(f"{name}:")]
    with pytest.raises(ValueError, match=name):
        memory.parse(lines)


def test_only_kinds_beyond_noise_are_lost() -> None:
    grown = Memory(9, 8, -20)
    assert grown.where(grown, 8) == Memory(9, 0, 0)
    assert grown.where(Memory(0, 9, 9), 8) == Memory(0, 8, -20)
    assert Memory(10, 2, 3) - Memory(1, 2, 4) == Memory(9, 0, -1)


def test_leak_is_told_by_each_run_and_kind() -> None:
    leak = Leak(Cell.of({"size": 64}), Memory(96, 6, 0), 4)
    assert str(leak) == (
        "memory leak: size=64: each run, from loading the module to unloading it, loses about "
        "102 KiB (pages 96 KiB, slabs 6 KiB)"
    )


def test_failing_leaks_put_each_visit_between_two_readings() -> None:
    visits = plan.rounds(experiment())[0].visits
    usual = plan.steps(experiment(), visits)
    assert all(each.memory is None and not each.rehearsal for each in usual)
    first, *others = plan.steps(experiment(leaks="fail"), visits)
    for each in (first, *others):
        assert each.memory is not None
        ids = [command.id.partition(".")[2] for command in each]
        seen = ids[len(each.rehearsal) :]
        assert (seen[0], seen[1], seen[-1]) == ("memory-before", "load", "memory-after")
        assert seen[-2] == "unload"
    assert [each.line for each in first.rehearsal][-1] == "rmmod kmod"
    assert not any(each.rehearsal for each in others)
    # Each visit has unloaded it.
    assert plan.last_command(experiment(leaks="fail")) is None
    every = [command.id for each in (first, *others) for command in each]
    assert len(set(every)) == len(every)


def test_rehearsal_takes_a_run_that_fails_by_intent() -> None:
    first, *_ = plan.steps(experiment(leaks="fail"), plan.rounds(experiment())[0].visits)
    (run,) = [each for each in first.rehearsal if ".run" in each.id]
    assert run.line.endswith("; }; true")


@pytest.mark.parametrize("leaks", ["warn", "ignore"])
def test_what_is_measured_does_not_depend_on_looking_for_leaks(leaks: str) -> None:
    assert plan.digest(experiment(leaks=leaks)) == plan.digest(experiment())


def looked_at(*pages: int, status: int = 0) -> Leak | None:
    """What is told of a cell when so many more pages are held at each reading."""
    (cell, *_) = plan.cells(experiment())
    runs = looking._runs(experiment(), [cell])
    readings = iter(PRINTED.replace("2400", str(2400 - 4 * each)) for each in pages)
    results = {}
    for run in runs:
        for command in run:
            lines = next(readings).splitlines() if command is run.reading else ()
            failed = status if command is run.unload else 0
            results[command] = Result(command.id, failed, False, False, tuple(lines))
    return looking._leak(runs, results, noise=8)


def test_what_grows_twice_is_a_leak_and_what_grows_once_is_none() -> None:
    leak = looked_at(0, 48, 96)
    assert leak is not None
    assert (leak.lost, leak.runs) == (Memory(96, 0, 0), 4)
    assert looked_at(0, 48, 48) is None
    assert looked_at(0, 0, 48) is None
    assert looked_at(0, 8, 16) is None


def test_module_that_cannot_be_unloaded_is_said() -> None:
    with pytest.raises(GuestError, match="rmmod kmod` ended with status 1"):
        looked_at(0, 48, 96, status=1)


def test_looking_for_leaks_is_planned_as_a_whole() -> None:
    """Each run loads and unloads; memory is read behind the first, third and fifth of a cell."""
    cells = plan.cells(experiment())[::2]
    for study in (experiment(), experiment(leaks="fail")):
        runs = looking._runs(study, cells)
        assert [run.cell for run in runs] == [cell for cell in cells for _ in range(5)]
        assert [run.reading is not None for run in runs] == [True, False, True, False, True] * 2
        ids = [command.id for command in itertools.chain(*runs)]
        assert ids[:4] == ["1.load", "1.counters-before", "1.run", "1.counters-after"]
        assert ids[4:7] == ["1.unload", "1.memory", "2.load"]
        assert len(set(ids)) == len(ids)
