"""`./inv gdb` on real guests, by scripts: in a module's init, at a sample, where a kernel died."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pibed.build import payload
from pibed.build.images import Images
from pibed.commands import build
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine, load_machine
from tests.programs import run_inv
from tests.unit.helpers import FIXTURES, ROOT

from .helpers import only_run, start

EXPERIMENT = """\
schema_version: 1
name: faulty
title: Faults of a module
module: {folder: fault_at_init, name: fault_at_init, parameters: {fault: "{fault}"}}
workload: {command: "cat /sys/module/fault_at_init/parameters/fault", timeout_s: 20}
parameters:
  fault: {title: fault, values: [0, 1], minimum: 0, maximum: 99}
metrics:
  loaded: {title: loaded with, pattern: '(\\d+)', unit: ""}
rounds: 1
seed: 1
"""


@pytest.fixture(scope="session", autouse=True)
def debug_info(machine: Machine, experiment: Experiment, images: Images) -> None:
    """The kernel's, which takes minutes where it is not there."""
    build.make_debug_info(machine, payload.of_experiment(experiment), images)


def script(*commands: str) -> list[str]:
    """Options of `./inv gdb` that run commands."""
    return ["--batch", *(word for each in commands for word in ("--ex", each))]


@contextmanager
def waiting(*options: str) -> Iterator[subprocess.Popen[str]]:
    """`./inv boot --gdb`, once it waits."""
    booted = start("boot", "--gdb", *options)
    try:
        assert booted.stdout is not None
        assert booted.stdout.readline().startswith("The guest waits for gdb.")
        assert booted.stdout.readline().startswith("  gdb-multiarch -q -x /")
        yield booted
    finally:
        booted.kill()
        booted.communicate()


TRACKER = [
    "tbreak paging.c:paging_init",
    "continue",
    "info line main",
    "next",
    "print demand_paging",
    "tbreak paging_vma_fault",
    "continue",
    "next",
    "next",
    "print *tracker",
    "backtrace",
    "frame function main",
    "print n",
    "lx-dmesg",
    "detach",
]


def check_tracker(output: str) -> None:
    """What the commands above must have shown."""
    assert "paging_init () at paging.c:" in output
    assert 'of "dense_mm.c" starts at address' in output
    assert "$1 = true" in output
    assert "nr_pages = 8," in output
    # From the module's fault through the exception to the program.
    called = output.partition("#0  paging_vma_fault")[2]
    assert "handle_mm_fault" in called
    assert " in main (argc=2" in called
    assert "dense_mm.c:" in called
    assert "$3 = 64" in output
    assert "Loaded kmod_paging module" in output


def test_init_step_and_a_tracker() -> None:
    with waiting("--demand-paging", "1", "--cmd", "dense_mm 64") as booted:
        done = run_inv("gdb", *script(*TRACKER))
        assert done.returncode == 0, done.stderr
        check_tracker(done.stdout)
        output, _ = booted.communicate(timeout=60)
        assert booted.returncode == 0
        assert output.startswith("Multiplication done\n")
    assert run_inv("gdb").returncode == 2


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A user's folder with a module that oopses, and the run that recorded it."""
    folder, results = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("results")
    shutil.copytree(FIXTURES / "modules" / "fault_at_init", folder / "fault_at_init")
    file = folder / "experiment.yaml"
    file.write_text(EXPERIMENT, encoding="utf-8")
    done = run_inv("sweep", "--experiment", str(file), "--results", str(results), "--no-report")
    assert done.returncode == 6, done.stderr
    return folder, only_run(results)


def test_a_recorded_oops(faulty: tuple[Path, Path]) -> None:
    _, run = faulty
    commands = script("info locals", "backtrace", "x/i $pc-4", "info source")
    done = run_inv("gdb", str(run), "--oops", *commands)
    assert done.returncode == 0, done.stderr
    line = next(
        number
        for number, text in enumerate(source().splitlines(), 1)
        if text.strip() == "*nowhere = 1;"
    )
    assert "fault=1: oops" in done.stdout
    assert f"in oops () at fault_at_init.c:{line}\n" in done.stdout
    assert "*nowhere = 1;" in done.stdout
    assert "nowhere = 0x0" in done.stdout
    assert "do_one_initcall" in done.stdout
    assert f"Located in {faulty[0]}/fault_at_init/fault_at_init.c" in done.stdout


def source() -> str:
    path = FIXTURES / "modules" / "fault_at_init" / "fault_at_init.c"
    return path.read_text(encoding="utf-8")


@pytest.mark.full
def test_a_sample_is_stopped_at_its_begin(faulty: tuple[Path, Path]) -> None:
    _, run = faulty
    rows = (run / "samples.csv").read_text(encoding="utf-8").splitlines()[1:]
    for number, row in enumerate(rows, 1):
        commands = script("print bprm->filename", "tbreak fault_at_init", "continue", "print fault")
        done = run_inv("gdb", str(run), "--sample", str(number), *commands)
        assert done.returncode == 0, done.stderr
        assert "$1 = 0xc" in done.stdout
        assert '"/bin/sh"' in done.stdout
        assert f"$2 = {row.split(',')[4]}\n" in done.stdout


@pytest.mark.full
def test_another_module_than_was_measured_is_refused(faulty: tuple[Path, Path]) -> None:
    folder, run = faulty
    path = folder / "fault_at_init" / "fault_at_init.c"
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace("*nowhere = 1;", "*nowhere = 2;"), encoding="utf-8")
    try:
        done = run_inv("gdb", str(run), "--oops", "--batch")
    finally:
        path.write_text(before, encoding="utf-8")
    assert done.returncode == 3
    assert "your module changed: fault_at_init/fault_at_init.c" in done.stderr


@pytest.mark.full
def test_a_module_without_debugging_information_is_refused(faulty: tuple[Path, Path]) -> None:
    folder, _ = faulty
    path = folder / "fault_at_init" / "Kbuild"
    before = path.read_text(encoding="utf-8")
    path.write_text(before + "\nccflags-y += -g0\n", encoding="utf-8")
    try:
        file = str(folder / "experiment.yaml")
        done = run_inv("boot", "--gdb", "--experiment", file, "--cmd", "true")
    finally:
        path.write_text(before, encoding="utf-8")
    assert done.returncode == 125
    assert "fault_at_init.ko: its Makefile makes it without debugging information" in done.stderr


@pytest.mark.full
@pytest.mark.alone
def test_four_cpus_in_real_time_at_a_port() -> None:
    options = ["--clock", "host", "--port", "42117", "--demand-paging", "1"]
    with waiting(*options, "--cmd", "dense_mm 64") as booted:
        done = run_inv("gdb", "--port", "42117", *script("info threads", *TRACKER))
        assert done.returncode == 0, done.stderr
        assert "CPU#3" in done.stdout
        check_tracker(done.stdout)
        output, _ = booted.communicate(timeout=60)
        assert booted.returncode == 0
        assert output.startswith("Multiplication done\n")


@pytest.mark.full
@pytest.mark.alone
def test_a_test_that_failed(tmp_path: Path) -> None:
    folder = tmp_path / "leaky"
    folder.mkdir()
    for path in (ROOT / "module").iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    text = (folder / "paging.c").read_text(encoding="utf-8")
    before, put, after = text.partition("static void paging_tracker_put")
    after = after.replace("for (i = 0;", "for (i = 1;", 1)
    (folder / "paging.c").write_text(before + put + after, encoding="utf-8")
    options = ["--module", str(folder), "--tests", "mmap.mappings_apart"]
    results = ["--results", str(tmp_path / "results")]
    assert run_inv("ktest", *options, *results).returncode == 1
    commands = script(
        *("break mmap.c:mappings_apart", "continue", "info breakpoints", "backtrace"),
        *("tbreak paging_free_page", "continue", "up", "list", "info source"),
    )
    done = run_inv("gdb", "latest", "--case", "mmap.mappings_apart", *results, *commands)
    assert done.returncode == 0, done.stderr
    # In the program that has this test, and in no other.
    assert "stop only if $in_program()" in done.stdout
    assert "#0  mappings_apart () at mmap.c:" in done.stdout
    assert " in report_case " in done.stdout or "report_case (" in done.stdout
    assert "for (i = 1; i < tracker->nr_pages; i++)" in done.stdout
    assert f"Located in {folder}/paging.c" in done.stdout


@pytest.mark.full
def test_the_other_kernel() -> None:
    machine = load_machine("pi2", {"kernel.version": "6.12"})
    options = ["--kernel", "6.12", "--demand-paging", "1", "--cmd", "dense_mm 64"]
    deadline = time.monotonic() + 900
    booted = start("boot", "--gdb", *options)
    try:
        assert booted.stdout is not None
        while not booted.stdout.readline().startswith("  gdb-multiarch"):
            assert time.monotonic() < deadline
            assert booted.poll() is None
        done = run_inv("gdb", *script(*TRACKER))
        assert done.returncode == 0, done.stderr
        check_tracker(done.stdout)
        booted.communicate(timeout=60)
    finally:
        booted.kill()
        booted.communicate()
    assert machine.kernel.version == "6.12"


@pytest.mark.full
def test_what_never_ends_is_ended(faulty: tuple[Path, Path]) -> None:
    _, run = faulty
    done = run_inv(
        "gdb", str(run), "--sample", "1", "--timeout", "20", "--batch", "--ex", "shell sleep 100"
    )
    assert done.returncode == 5
    assert "gdb was ended: its commands were not done after 20 s" in done.stderr
