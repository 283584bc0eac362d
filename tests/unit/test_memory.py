"""The kernel's memory as a guest prints it, and what of it is told as lost."""

from __future__ import annotations

import pytest

from pibed.measure.leaks import Leak
from pibed.model import memory, plan
from pibed.model.memory import Memory
from pibed.model.plan import Cell
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
