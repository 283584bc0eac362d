"""The sweep as a user runs it, on the real guest."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pibed.base.errors import IncompleteError
from pibed.base.files import digest_file
from pibed.build.sources import lock
from pibed.commands import build
from pibed.measure import rounds, run
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import Machine
from pibed.model.samples import Status
from pibed.runs import manifest

from .conftest import Run
from .helpers import copy_of_checkout, measure, only_run, start, wait_for_samples

# The report is looked at where it is what is tested.
SWEEP = ("sweep", "--no-report")
PAGE = 4096


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "samples.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pages(size: int) -> int:
    """Pages of three matrices of doubles."""
    return 3 * -(-8 * size * size // PAGE)


@pytest.mark.parametrize("clock", ["virtual", pytest.param("host", marks=pytest.mark.alone)])
def test_paging_study(invoke: Run, tmp_path: Path, clock: str) -> None:
    done = invoke(
        *(*SWEEP, "--sizes", "33,64,128", "--runs", "2", "--clock", clock),
        *("--results", str(tmp_path / "my results"), "--name", "study"),
    )
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path / "my results")
    assert run.name.endswith("-study")
    assert (tmp_path / "my results" / "latest").resolve() == run
    assert f"results: {run}" in done.stdout
    assert not (run / "report.html").exists()

    samples = rows(run)
    assert len(samples) == 2 * 3 * 2
    assert [int(row["round"]) for row in samples] == [1] * 6 + [2] * 6
    assert [int(row["order"]) for row in samples] == [1, 2, 3, 4, 5, 6] * 2
    for row in samples:
        assert row["status"] == "ok"
        expected = pages(int(row["size"]))
        assert int(row["pages_allocated"]) == int(row["pages_freed"]) == expected
        assert int(row["faults"]) == (expected if row["demand_paging"] == "1" else 0)
        assert int(row["mmap_us"]) > 0
        assert int(row["multiply_us"]) > 0

    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["finished"] is True
    assert manifest["samples"]["statuses"] == {"ok": 12}
    assert manifest["samples"]["digest"] == digest_file(run / "samples.csv")
    assert manifest["experiment"]["parameters"]["size"]["values"] == [33, 64, 128]
    assert manifest["clock"] == clock
    assert manifest["lock"]["digest"] == digest_file(lock.path())
    assert ("differs from lock: " in done.stdout) == bool(manifest["lock"]["differs"])

    # The kernel's log has the module's lines, none for a mapping; the agent's line none of them.
    console = (run / "boots" / "01" / "console.log").read_text()
    assert "Loaded kmod_paging module" in console
    assert "paging_mmap() invoked" not in console
    assert "Unloaded kmod_paging module" in console
    agent = (run / "boots" / "01" / "agent.log").read_text(errors="replace")
    assert "kmod_paging module" not in agent


def test_virtual_clock_shows_the_studys_first_finding(invoke: Run, tmp_path: Path) -> None:
    """mmap is flat with demand paging, and grows with the pages with pre-paging."""
    done = invoke(*SWEEP, "--sizes", "64,128,256", "--runs", "2", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    times: dict[tuple[str, int], list[int]] = {}
    for row in rows(only_run(tmp_path)):
        times.setdefault((row["demand_paging"], int(row["size"])), []).append(int(row["mmap_us"]))
    fastest = {cell: min(values) for cell, values in times.items()}
    assert fastest["1", 256] <= 1.1 * fastest["1", 64]
    assert fastest["0", 128] >= 1.8 * fastest["0", 64]
    assert fastest["0", 256] >= 2.5 * fastest["0", 128]


def test_what_a_sweep_says_is_made_again_from_its_files(invoke: Run, tmp_path: Path) -> None:
    done = invoke("sweep", "--sizes", "64", "--runs", "1", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path)
    page = run / "report.html"
    assert f"report: {page}" in done.stdout
    assert "These samples do not decide which mode is faster" in done.stdout
    drawn = sorted((run / "plots").iterdir())
    assert {path.suffix for path in drawn} == {".svg", ".png"}
    before = {path: path.read_bytes() for path in (page, run / "report.md", *drawn)}
    assert before[page].count(b"<svg") == len(drawn) / 2 > 5
    for path in before:
        path.unlink()
    again = invoke("report", str(run))
    assert again.returncode == 0, again.stderr
    assert {path: path.read_bytes() for path in before} == before
    beside = invoke("compare", str(run), "pi")
    assert beside.returncode == 0, beside.stderr
    assert [line[:2] for line in beside.stdout.splitlines() if line[1:3] == ". "] == [
        "1.",
        "2.",
        "3.",
    ]
    listed = invoke("results", "--results", str(tmp_path))
    assert run.name in listed.stdout


@pytest.mark.alone
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_sweep_keeps_its_samples(
    images: object, tmp_path: Path, signum: int, status: int
) -> None:
    process = start(*SWEEP, "--sizes", "64,128", "--runs", "40", "--results", str(tmp_path))
    run = wait_for_samples(tmp_path, 5).resolve()
    os.killpg(process.pid, signum)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert str(run) in errors
    logged = [
        json.loads(line)
        for log in run.glob("boots/*/samples.jsonl")
        for line in log.read_text().splitlines()
    ]
    assert len(rows(run)) == len(logged) >= 5
    assert json.loads((run / "manifest.json").read_text())["finished"] is False


@pytest.mark.alone
def test_killed_sweep_leaves_no_qemu_and_its_samples(images: object, tmp_path: Path) -> None:
    process = start(*SWEEP, "--sizes", "64,128", "--runs", "40", "--results", str(tmp_path))
    run = wait_for_samples(tmp_path, 3)
    process.kill()
    process.communicate(timeout=30)
    time.sleep(0.5)  # the kernel ends QEMU; the fixture looks whether it did
    lines = [line for log in run.glob("boots/*/samples.jsonl") for line in log.open()]
    assert len(lines) >= 3
    assert all(json.loads(line)["status"] == "ok" for line in lines)


@pytest.mark.alone
def test_killed_qemu_costs_one_sample_and_its_round_goes_on(images: object, tmp_path: Path) -> None:
    process = start(
        *(*SWEEP, "--sizes", "64,256", "--runs", "1", "--jobs", "1", "--results", str(tmp_path))
    )
    wait_for_samples(tmp_path, 1)
    subprocess.run(["pkill", "-KILL", "-f", f"qemu-system-arm.*{tmp_path}"], check=True)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 6, errors
    run = only_run(tmp_path)
    statuses = [row["status"] for row in rows(run)]
    assert sorted(statuses) == ["lost", "ok", "ok", "ok"]
    assert (run / "boots" / "01-2" / "agent.log").is_file()
    assert "killed by signal 9" in errors
    assert "results:" in output


def test_two_sweeps_at_once_do_not_meet(images: object, tmp_path: Path) -> None:
    options = (*SWEEP, "--sizes", "64", "--runs", "2", "--results", str(tmp_path))
    pair = [start(*options), start(*options)]
    for process in pair:
        _, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors
    runs = sorted(path for path in tmp_path.iterdir() if not path.is_symlink())
    assert len(runs) == 2
    assert all(len(rows(run)) == 4 for run in runs)


def test_same_seed_same_bytes(invoke: Run, tmp_path: Path) -> None:
    """Whatever the jobs, the host's load and the time: all that the guest said is equal."""
    runs = []
    for name, jobs in (("one", "1"), ("two", "2")):
        hogs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(int(jobs))]
        try:
            done = invoke(
                *(*SWEEP, "--sizes", "64,128", "--runs", "3", "--jobs", jobs),
                *("--results", str(tmp_path / name)),
            )
        finally:
            for hog in hogs:
                hog.kill()
                hog.wait()
        assert done.returncode == 0, done.stderr
        runs.append(only_run(tmp_path / name))
    for file in (
        "samples.csv",
        *(f"boots/0{n}/{log}.log" for n in (1, 2, 3) for log in ("agent", "console")),
    ):
        assert (runs[0] / file).read_bytes() == (runs[1] / file).read_bytes(), file


def test_other_seed_other_order(invoke: Run, tmp_path: Path) -> None:
    orders = []
    for seed in ("1", "2"):
        done = invoke(
            *(*SWEEP, "--sizes", "16,32,64", "--runs", "1", "--seed", seed),
            *("--results", str(tmp_path / seed)),
        )
        assert done.returncode == 0, done.stderr
        orders.append(
            [(row["demand_paging"], row["size"]) for row in rows(only_run(tmp_path / seed))]
        )
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def buggy(name: str, workload: str = "true") -> Experiment:
    """An experiment on one of the broken modules of the fixtures."""
    return Experiment.model_validate(
        {
            "schema_version": 1,
            "name": "buggy",
            "title": "A broken module",
            "module": {"folder": f"tests/fixtures/modules/{name}", "name": name},
            "workload": {
                "source": "module/user/dense_mm.c",
                "command": f"echo 1; {workload}",
                "timeout_s": 10,
            },
            "parameters": {"cell": {"title": "cell", "values": [1, 2], "minimum": 1, "maximum": 2}},
            "metrics": {"one": {"title": "one", "unit": "", "pattern": r"(\d+)"}},
            "rounds": 1,
            "seed": 1,
        }
    )


def test_module_that_kills_the_kernel_at_unload(machine: Machine, tmp_path: Path) -> None:
    samples, problems = measure(machine, buggy("oops_at_exit"), tmp_path)
    assert [sample.status for sample in samples] == [Status.OK] * 2
    assert len(problems) == 1
    assert "round 1: the guest was lost at the end" in problems[0]


def test_no_cell_is_measured_in_another_ones_mode(machine: Machine, tmp_path: Path) -> None:
    """A module that cannot be unloaded, since something holds its device, ends the boot."""
    experiment = load_experiment(
        "paging",
        {
            "rounds": 1,
            "parameters.size.values": [16, 17, 18],
            # Out of the reach of what cleans up behind a command.
            "workload.command": (
                "env -u PIBED_RUN setsid sleep 1 </dev/paging >/dev/null 2>&1 & "
                "sleep 0.05; dense_mm {size}"
            ),
        },
    )
    samples, _ = measure(machine, experiment, tmp_path)
    assert len(samples) == 6
    assert any(sample.status == Status.FAILED for sample in samples)
    for sample in samples:
        if sample.status == Status.OK:
            values = sample.cell.as_dict()
            expected = pages(values["size"]) if values["demand_paging"] else 0
            assert sample.metrics["faults"] == expected


def test_first_failure_can_be_the_last(images: object, tmp_path: Path) -> None:
    """What was measured is kept, and the rest can be measured later."""
    checkout, results = copy_of_checkout(tmp_path / "copy"), tmp_path / "results"
    study = checkout / "configs" / "experiments" / "paging.yaml"
    text = study.read_text(encoding="utf-8")
    assert "command: dense_mm {size}" in text
    study.write_text(text.replace("dense_mm {size}", "test {size} = 16 && dense_mm {size}"))

    def sweep(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "invoke", "sweep", "--no-report", *options],
            cwd=checkout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    what = ("--sizes", "16,17", "--modes", "1", "--runs", "6", "--jobs", "1")
    done = sweep(*what, "--fail-fast", "--results", str(results))
    assert done.returncode == 6, done.stderr
    assert "ended at the first failure: round 1: demand_paging=1 size=17: failed: " in done.stderr
    assert "Traceback" not in done.stderr
    folder = only_run(results)
    assert f"./inv sweep --resume {folder}" in done.stderr
    assert [row["status"] for row in rows(folder)][-1] == "failed"
    assert len(rows(folder)) <= 2
    assert manifest.read(folder / "manifest.json").finished is False
    assert sweep("--resume", str(folder), "--fail-fast").returncode == 6
    rest = sweep("--resume", str(folder))
    assert rest.returncode == 6
    assert "6 of 12 samples are not ok" in rest.stderr
    assert manifest.read(folder / "manifest.json").finished is True


def test_failure_of_a_guest_beside_its_samples_can_be_the_last(
    machine: Machine, tmp_path: Path
) -> None:
    experiment = buggy("oops_at_exit").model_copy(update={"rounds": 2})
    images = build.make_images(machine, experiment)
    testbed = rounds.Testbed(machine, images, experiment, "QEMU")
    with pytest.raises(IncompleteError, match="round 1: the guest was lost at the end"):
        run.measure(tmp_path, testbed, 1, "buggy", fail_fast=True)
    record = manifest.read(only_run(tmp_path) / "manifest.json")
    assert record.finished is False
    assert len(record.problems) == 1
