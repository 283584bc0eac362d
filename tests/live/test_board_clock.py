"""The board's time and counts of events: the same bytes whatever the host does, and true counts."""

from __future__ import annotations

import contextlib
import datetime
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pibed.base import places
from pibed.build import timing
from pibed.commands import build
from pibed.commands.verify import compare_runs
from pibed.guest.guest import Guest, Launch
from pibed.guest.qemu import Logs
from pibed.measure import rounds
from pibed.model import plan
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import Clock, Machine, load_machine
from pibed.model.protocol import Command
from pibed.model.samples import Number, Status
from pibed.runs import manifest
from pibed.runs.folder import RunFolder

from .conftest import Run
from .helpers import Silent, only_run, start, wait_for_samples

EVENTS = {
    f"metrics.{name}": {"title": name, "event": name, "unit": "events"}
    for name in ("instructions", "cycles", "l1d_misses", "l2_misses", "tlb_walks")
}

SIZES = {"parameters.size.values": [16, 32], "rounds": 2}

SWEEP = ("sweep", "--no-report", "--machine", "pi3", "--sizes", "16,32", "--runs", "3")


def machine(clock: Clock, **overrides: Any) -> Machine:
    return load_machine("pi3", overrides | {"clock": clock})


def measured(results: Path, clock: Clock, study: Experiment, jobs: int = 1) -> Path:
    """A run's folder; every sample in it is `ok`."""
    known = machine(clock)
    images = build.make_images(known, study, board=timing.wanted(known, study))
    now = datetime.datetime.now(datetime.UTC)
    run = RunFolder.create(results, study, study.name, now)
    observer = Silent()
    rounds.measure_rounds(
        rounds.Testbed(known, images, study, "QEMU"), run, plan.rounds(study), jobs, observer
    )
    assert {each.status for each in observer.samples} == {Status.OK}
    assert observer.problems == []
    return run.folder


@contextlib.contextmanager
def busy_host() -> Iterator[None]:
    """Twice as many programs that compute as there are cores."""
    count = 2 * len(os.sched_getaffinity(0))
    loops = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(count)]
    try:
        yield
    finally:
        for each in loops:
            each.kill()
            each.wait()


@pytest.mark.parametrize("clock", ["board", "virtual"])
def test_time_and_counts_are_the_same_side_by_side_and_under_load(
    tmp_path: Path, clock: Clock
) -> None:
    study = load_experiment("paging", EVENTS | SIZES)
    alone = measured(tmp_path / "alone", clock, study)
    with busy_host():
        beside = measured(tmp_path / "beside", clock, study, jobs=2)
    differences, compared = compare_runs(alone, beside)
    assert differences == []
    names = {path.name for path in alone.glob("boots/*/*")}
    assert {"counts", "samples.jsonl", "console.log"} <= names
    assert compared == 2 * 5


def test_killed_and_resumed_is_the_same(tmp_path: Path, invoke: Run) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = invoke(*SWEEP, "--results", str(whole))
    assert done.returncode == 0, done.stderr
    process = start(*SWEEP, "--results", str(cut), "--jobs", "1")
    run = wait_for_samples(cut, 5)
    process.kill()
    process.communicate(timeout=30)
    assert not (run / "samples.csv").exists()
    done = invoke("sweep", "--no-report", "--resume", str(run))
    assert done.returncode == 0, done.stderr
    assert compare_runs(only_run(whole), run)[0] == []
    recorded = manifest.read(run / "manifest.json")
    assert recorded.resumed == 1
    assert recorded.board is not None
    assert recorded.board.name == "bcm2837"
    # It is told that another plugin or board measures, if one does.
    done = invoke("rerun", str(run / "manifest.json"), "--results", str(tmp_path / "again"))
    assert done.returncode == 0, done.stderr
    assert "differs from" not in done.stderr
    assert "samples.csv: byte for byte that of" in done.stdout
    done = invoke("verify", "--measure", "--run", str(run))
    assert done.returncode == 0, done.stderr + done.stdout


def test_a_packed_run_is_replayed_by_qemu_alone(tmp_path: Path, invoke: Run) -> None:
    few = ("--sizes", "16", "--runs", "1", "--results", str(tmp_path / "results"))
    done = invoke("sweep", "--no-report", "--machine", "pi3", *few)
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path / "results")
    done = invoke("pack", str(run), "--output", str(tmp_path / "run.tar.gz"))
    assert done.returncode == 0, done.stderr
    subprocess.run(["tar", "-xzf", "run.tar.gz"], cwd=tmp_path, check=True)
    replayed = subprocess.run(
        [tmp_path / run.name / "replay"], capture_output=True, text=True, timeout=60, check=False
    )
    assert replayed.returncode == 0, replayed.stderr + replayed.stdout
    assert "the same, byte for byte" in replayed.stdout


def test_counting_disturbs_nothing(tmp_path: Path) -> None:
    plain = measured(tmp_path / "plain", "virtual", load_experiment("paging", SIZES))
    counted = measured(tmp_path / "counted", "virtual", load_experiment("paging", EVENTS | SIZES))
    for log in plain.glob("boots/*/*.log"):
        if log.name != "qemu.log":
            assert log.read_bytes() == (counted / log.relative_to(plain)).read_bytes()
    assert not list(plain.glob("boots/*/counts"))


@pytest.mark.parametrize("encoding", ["-marm", "-mthumb"])
def test_instructions_are_those_of_qemu(tmp_path: Path, encoding: str) -> None:
    # At shift=0 each instruction moves the guest's clock by a nanosecond, and nothing else does.
    qemu = ["-icount", "shift=0,sleep=off", "-global", "bcm2836.enabled-cpus=1"]
    known = machine("virtual", **{"clocks.virtual.qemu_args": qemu})
    steps = {"title": "steps", "values": [1000, 2_000_000], "minimum": 0, "maximum": 10**7}
    study = load_experiment(
        "paging",
        {
            "workload.source": "tests/fixtures/programs/ticks.c",
            "workload.cflags": ["-O1", encoding],
            "workload.command": "ticks {steps}",
            "parameters.steps": steps,
            "parameters.demand_paging.values": [1],
            "parameters.size.values": [1],
            "metrics": {
                "ns": {"title": "time", "pattern": r"took (\d+) ns", "unit": "ns"},
                "executed": {
                    "title": "executed",
                    "event": "instructions",
                    "phase": 0,
                    "unit": "instructions",
                },
            },
            "analysis": None,
            "rounds": 1,
        },
    )
    images = build.make_images(known, study, board=timing.wanted(known, study))
    run = RunFolder.create(tmp_path, study, "ticks", datetime.datetime.now(datetime.UTC))
    observer = Silent()
    rounds.measure_rounds(
        rounds.Testbed(known, images, study, "QEMU"), run, plan.rounds(study), 1, observer
    )
    taken: dict[int, dict[str, Number]] = {
        each.cell.as_dict()["steps"]: each.metrics for each in observer.samples
    }
    assert [each.message for each in observer.samples] == ["", ""]
    few, many = taken[1000], taken[2_000_000]
    executed, ns = (many[name] - few[name] for name in ("executed", "ns"))
    assert executed > 10**7
    # The clock of the guest moves by 16 ns; both are read twice.
    assert abs(executed - ns) <= 64


def test_what_runs_in_the_background_ends_with_its_run(tmp_path: Path) -> None:
    study = load_experiment("paging", SIZES | {"workload.background": "yes {size}; sleep 99"})
    known = machine("virtual")
    (first, *_) = plan.steps(study, plan.rounds(study)[0].visits)
    look = Command("look", 20, "ps | grep -c '[y]es '")
    commands = [*first, look]
    launch = Launch(known, build.make_images(known, study), "virtual", 1)
    with Guest(launch, Logs.below(tmp_path), commands) as guest:
        results = {command.id: guest.run(command) for command in commands}
        guest.finish()
    run = results[first.run.id]
    assert run.status == 0
    assert "Multiplication done" in run.text
    assert results["look"].text == "0"


def test_an_unknown_qemu_is_refused_before_anything_is_built(
    tmp_path: Path, invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu = tmp_path / "qemu-system-arm"
    qemu.write_text('#!/bin/sh\necho "QEMU emulator version 8.2.0"\n')
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PIBED_CACHE", str(tmp_path / "cache"))
    done = invoke("sweep", "--machine", "pi3", "--results", str(tmp_path / "results"))
    assert done.returncode == 3
    assert "version 8.2.0: the board's time and counts are known" in done.stderr
    assert "QEMU 7.2 and 10.0 only" in done.stderr
    assert not (tmp_path / "cache" / "steps").exists()
    assert places.cache() == tmp_path / "cache"
