"""Profiles: all that was counted is in them, where it belongs, and twice the same."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from pibed.build import timing
from pibed.build.images import Images
from pibed.commands import build
from pibed.guest.guest import Launch
from pibed.model.experiment import load_experiment
from pibed.model.machine import Clock, load_machine
from pibed.model.protocol import Command
from pibed.profile import record
from pibed.profile.record import Recording, Subject

from .conftest import Run

STEPS = 100_003


def images_with_loop(clock: Clock) -> tuple[Launch, Images]:
    machine = load_machine("pi3", {"clock": clock})
    source = {"workload.source": "tests/fixtures/programs/known_loop.c", "workload.cflags": ["-O1"]}
    study = load_experiment("paging", source)
    images = build.make_images(machine, study, board=timing.board_of(machine))
    return Launch(machine, images, clock, 1), images


def profiled(clock: Clock, folder: Path) -> Recording:
    folder.mkdir()
    launch, images = images_with_loop(clock)
    commands = [Command("first", 20, "true"), Command("loop", 20, f"known_loop {STEPS}")]
    with record.temporary_folder() as programs:
        binaries = record.binaries_of(images, Path(programs))
        subject = Subject("loop", commands, 1, None)
        boot = record.boot_of(launch, subject, binaries)
        result = boot.run(folder, lambda: None)
        return record.read(boot, result, subject, binaries, folder)


def by_disassembly(program: Path, steps: int) -> int:
    """The instructions of one call, counted in what objdump says of the function."""
    argv = ["arm-linux-gnueabihf-objdump", "-d", "--disassemble=known_loop", str(program)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^ +([0-9a-f]+):\t[0-9a-f]{8} +\t(\S+)\t?(\S*)", said, re.MULTILINE)
    addresses = [int(address, 16) for address, _, _ in found]
    ((last, first),) = [
        (int(address, 16), int(where, 16)) for address, name, where in found if name == "bne"
    ]
    loop = sum(first <= each <= last for each in addresses)
    assert (len(addresses), loop) == (8, 4)
    return len(addresses) - loop + steps * loop


@pytest.mark.parametrize("clock", ["virtual", "board"])
def test_a_loop_agrees_with_its_disassembly_and_the_sum_with_what_was_counted(
    tmp_path: Path, clock: Clock
) -> None:
    taken = profiled(clock, tmp_path / "first")
    profile, counts = taken.profile, taken.result.counts
    assert counts is not None
    assert profile.total[0] == counts.of("instructions")
    rows = {(row.function.binary, row.function.name): row for row in profile.rows()}
    _, images = images_with_loop(clock)
    (program,) = (path for path in images.programs if path.name == "known_loop")
    loop = rows["known_loop", "known_loop"]
    assert loop.own[0] == 2 * by_disassembly(program, STEPS)
    # The timer's interrupts are in the kernel, though they come in the loop.
    assert rows["known_loop", "main"].total[0] > loop.own[0]
    if clock == "board":
        events = dict(zip(profile.events, profile.total, strict=True))
        assert events["cycles"] == counts.of("cycles")
        assert events["branch_misses"] == counts.of("branch_misses") > 0
        assert loop.own[profile.events.index("cycles")] > STEPS
    else:
        again = tmp_path / "again"
        profiled(clock, again)
        for name in ("profile", "counts", "console.log", "agent.log"):
            assert (again / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


def test_two_cells_are_set_beside_each_other(tmp_path: Path, invoke: Run) -> None:
    cell = ("--set", "size=16", "--set", "demand_paging=pre-paging")
    done = invoke("profile", *cell, "--against", "demand_paging=1", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "busybox, agent: no symbols are in there" in done.stderr
    assert "paging_mmap" in done.stdout
    assert "module/paging.c:" in done.stdout
    (folder,) = (tmp_path / "profile").glob("2*")
    with (folder / "difference.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for number in ("1", "2"):
        own = folder / number
        speedscope = json.loads((own / "speedscope.json").read_text(encoding="utf-8"))
        total = speedscope["profiles"][0]["endValue"]
        assert sum(speedscope["profiles"][0]["weights"]) == total
        marks = [line.split() for line in (own / "counts").read_text().splitlines()]
        # Loading the module, the counters, what is profiled, the counters, unloading.
        ends = [int(each[1]) for each in marks if each[0] == "81"]
        begins = [int(each[1]) for each in marks if each[0] == "80"]
        assert ends[2] - begins[2] == total
        assert sum(int(row[f"instructions_{number}"]) for row in rows) == total
        folded = (own / "stacks.folded").read_text(encoding="utf-8").splitlines()
        assert sum(int(line.rpartition(" ")[2]) for line in folded) == total
    faults = {row["function"]: row for row in rows if row["binary"] == "kmod_paging"}
    assert faults["paging_vma_fault"]["instructions_1"] == "0"
    assert int(faults["paging_vma_fault"]["instructions_2"]) > 0
    assert "<svg" in (folder / "difference.svg").read_text(encoding="utf-8")


def test_a_phase_that_is_not_there_is_told(tmp_path: Path, invoke: Run) -> None:
    done = invoke("profile", "--set", "size=1", "--phase", "7", "--results", str(tmp_path))
    assert done.returncode == 2
    assert "phase 7 was not marked" in done.stderr


def test_a_qemu_without_plugins_is_refused_before_anything_is_built(
    tmp_path: Path, invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu = tmp_path / "qemu-system-arm"
    qemu.write_text('#!/bin/sh\necho "QEMU emulator version 7.2.22"\n')
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PIBED_CACHE", str(tmp_path / "cache"))
    done = invoke("profile", "--results", str(tmp_path / "results"))
    assert done.returncode == 3
    assert "was built without plugins" in done.stderr
    assert not (tmp_path / "cache" / "steps").exists()
