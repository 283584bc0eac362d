"""Runs that are killed at random moments, taken up, and measured again: always the same bytes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pytest

from pibed.build.images import Images
from pibed.commands.verify import compare_runs
from tests import disk

from .conftest import Run, qemus
from .helpers import copy_of_checkout, only_run, require_merged, start, wait_for_samples
from .test_sweep import rows

RUN = ("--sizes", "16,32", "--runs", "3")
# The report of an undisturbed run is there; the others' would not be looked at.
MEASURE = ("sweep", "--no-report")
SWEEP = (*MEASURE, *RUN)
KILLS = 20
OF_EVERY_DAY = 4


@pytest.fixture(scope="module")
def undisturbed(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody touched."""
    results = tmp_path_factory.mktemp("undisturbed")
    process = start("sweep", *RUN, "--results", str(results))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return only_run(results)


@dataclass(frozen=True)
class Moment:
    """So many seconds after so many samples are there, wherever they are from."""

    samples: int
    seconds: float


def kill(process: subprocess.Popen[str], results: Path, moment: Moment) -> None:
    """Kills pibed and nothing else, unless it ends before; QEMU must not outlive it."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        logs = results.glob("2*/boots/*/samples.jsonl")
        if sum(log.read_bytes().count(b"\n") for log in logs) >= moment.samples:
            break
        time.sleep(0.01)
    try:
        process.wait(moment.seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def runs(results: Path) -> list[Path]:
    """The runs that have begun: a folder without a manifest is none yet."""
    return sorted(path.parent for path in results.glob("2*/manifest.json"))


@pytest.mark.alone
@pytest.mark.parametrize(
    "number",
    [
        pytest.param(each, marks=[pytest.mark.full] if each >= OF_EVERY_DAY else [])
        for each in range(KILLS)
    ],
)
def test_killed_and_resumed_is_the_same(undisturbed: Path, tmp_path: Path, number: int) -> None:
    """At other moments every day; those of PIBED_SEED, where it is given."""
    seed = os.environ["PIBED_SEED"]
    generator = random.Random(f"{seed} {number}")
    moments = [
        Moment(generator.randrange(12), generator.uniform(0, 0.7))
        for _ in range(generator.choice((1, 1, 2)))
    ]
    kill(start(*SWEEP, "--results", str(tmp_path)), tmp_path, moments[0])
    for moment in moments[1:]:
        if begun := runs(tmp_path):
            kill(start(*MEASURE, "--resume", str(begun[0])), tmp_path, moment)
    what = ("--resume", str(runs(tmp_path)[0])) if runs(tmp_path) else RUN
    process = start(*MEASURE, *what, "--results", str(tmp_path))
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, f"PIBED_SEED={seed}, killed at {moments}: {errors}"
    assert "results:" in output
    (run,) = runs(tmp_path)
    assert compare_runs(undisturbed, run)[0] == [], f"PIBED_SEED={seed}, killed at {moments}"


@pytest.mark.alone
def test_interrupted_and_resumed_is_the_same(undisturbed: Path, tmp_path: Path) -> None:
    """Ctrl-C writes what there is; what was not finished is measured anew."""
    process = start(*SWEEP, "--jobs", "1", "--results", str(tmp_path))
    wait_for_samples(tmp_path, 6)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    (run,) = runs(tmp_path)
    assert f"./inv sweep --resume {run}" in errors
    process = start(*MEASURE, "--resume", str(run), "--jobs", "2")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert compare_runs(undisturbed, run)[0] == []


@pytest.fixture
def small_disk(undisturbed: Path, tmp_path: Path) -> Iterator[Path]:
    """A file system with room for the first of a run's boots and a half."""
    # A tmpfs counts whole pages.
    pages = [-(-path.stat().st_size // 4096) for path in undisturbed.glob("boots/01/*")]
    manifest = -(-(undisturbed / "manifest.json").stat().st_size // 4096)
    size = 4096 * (manifest + sum(pages) + sum(pages) // 2)
    with disk.small(tmp_path / "disk", size) as folder:
        yield folder


def test_full_disk_and_resumed_is_the_same(undisturbed: Path, small_disk: Path) -> None:
    process = start(*SWEEP, "--jobs", "1", "--results", str(small_disk))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 3, errors
    assert "No space left on device" in errors
    assert "Traceback" not in errors
    (run,) = runs(small_disk)
    assert (run / "boots" / "01" / "finished.json").is_file()
    assert not (run / "boots" / "02" / "finished.json").is_file()
    # Room for all samples, but not for the report.
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    process = start("sweep", "--resume", str(run))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 3, errors
    assert re.search(r"/(report|plots/).*: No space left on device", errors)
    assert compare_runs(undisturbed, run)[0] == []
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    process = start("report", str(run))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert (run / "report.html").stat().st_size > 0


@pytest.mark.alone
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_end_of_the_host_is_no_sample(undisturbed: Path, tmp_path: Path, signum: int) -> None:
    """A host that shuts down ends QEMU as well, and maybe first."""
    process = start(*SWEEP, "--jobs", "1", "--results", str(tmp_path))
    wait_for_samples(tmp_path, 5)
    for pid in qemus():
        os.kill(pid, signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert "QEMU was told to end" in errors
    (run,) = runs(tmp_path)
    process = start(*MEASURE, "--resume", str(run))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert compare_runs(undisturbed, run)[0] == []


@pytest.mark.alone
def test_disk_that_is_full_for_a_moment_is_noticed(undisturbed: Path, small_disk: Path) -> None:
    """QEMU drops what it cannot write; a log with a hole is not taken for whole."""
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    process = start(
        *(*MEASURE, "--sizes", "16,32,48,64,96,128", "--runs", "1"),
        # A line of the kernel's log for each fault: what is dropped must be more than a block.
        *("--experiment", "logging", "--set", "log_faults=on"),
        *("--results", str(small_disk)),
    )
    wait_for_samples(small_disk, 1)
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    wait_for_samples(small_disk, 9)
    filler.unlink()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert re.search(r"\.log: only \d+ of \d+ bytes could be written", errors)
    (run,) = runs(small_disk)
    assert not list(run.glob("boots/*/finished.json"))


@pytest.mark.alone
def test_run_that_is_being_measured_is_left_alone(
    undisturbed: Path, invoke: Run, tmp_path: Path
) -> None:
    process = start(*SWEEP, "--jobs", "1", "--results", str(tmp_path))
    wait_for_samples(tmp_path, 1)
    (run,) = runs(tmp_path)
    done = invoke("sweep", "--resume", str(run))
    assert process.poll() is None, "it ended too early for this test"
    assert done.returncode == 3, done.stderr
    assert "another process is measuring this run" in done.stderr
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert compare_runs(undisturbed, run)[0] == []
    assert not (run / "interrupted").exists()


def test_finished_run_that_is_damaged_is_mended(
    undisturbed: Path, invoke: Run, tmp_path: Path
) -> None:
    copy = tmp_path / "20260101T000000Z-damaged"
    shutil.copytree(undisturbed, copy)
    log = copy / "boots" / "02" / "samples.jsonl"
    log.write_bytes(log.read_bytes()[:-10])
    done = invoke(*MEASURE, "--resume", str(copy))
    assert done.returncode == 0, done.stderr
    assert "round 2 was cut off after 3 of 4 samples" in done.stderr
    assert "is torn" in done.stderr
    assert compare_runs(undisturbed, copy)[0] == []
    assert json.loads((copy / "manifest.json").read_text())["resumed"] == 1


def test_finished_run_is_only_shown(undisturbed: Path, invoke: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}
    done = invoke("sweep", "--resume", str(undisturbed))
    assert done.returncode == 0, done.stderr
    assert "has come to its end already" in done.stderr
    assert f"results: {undisturbed}" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")} == before


def test_verify_finds_a_run_the_same_under_load(undisturbed: Path, invoke: Run) -> None:
    hogs = [
        subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count() or 1)
    ]
    try:
        done = invoke("verify", "--measure", "--run", str(undisturbed))
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    assert done.returncode == 0, done.stderr
    assert "12 samples measured again" in done.stdout


@pytest.mark.full
@pytest.mark.alone
def test_verify_builds_the_same_again(invoke: Run) -> None:
    done = invoke("verify", "--build", timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == (
        "verify: built again, byte for byte the same: kernel configuration, kernel, device tree, "
        "kmod_paging.ko, busybox, agent, dense_mm, initramfs\n"
    )


@pytest.mark.parametrize(
    "file",
    [
        *("samples.csv", "boots/02/agent.log"),
        pytest.param("leaks/agent.log", marks=pytest.mark.full),
    ],
)
def test_verify_shows_what_is_not_the_same(
    undisturbed: Path, invoke: Run, tmp_path: Path, file: str
) -> None:
    copy = tmp_path / "20260101T000000Z-changed"
    shutil.copytree(undisturbed, copy)
    data = bytearray((copy / file).read_bytes())
    place = data.rindex(b"1")
    data[place : place + 1] = b"7"
    (copy / file).write_bytes(data)
    done = invoke("verify", "--measure", "--run", str(copy))
    assert done.returncode == 1, done.stderr
    assert f"{file}: differs from byte {place} " in done.stdout
    assert "measured again, it is not the same" in done.stderr
    kept = Path(done.stderr.rpartition("what was measured now is in ")[2].strip())
    assert compare_runs(undisturbed, kept)[0] == []
    shutil.rmtree(kept)


def test_rerun_says_that_it_is_the_same(undisturbed: Path, invoke: Run, tmp_path: Path) -> None:
    path = undisturbed / "manifest.json"
    done = invoke("rerun", str(path), "--results", str(tmp_path), "--jobs", "1", "--name", "again")
    assert done.returncode == 0, done.stderr
    assert f"samples.csv: byte for byte that of {path}" in done.stdout
    run = only_run(tmp_path)
    assert run.name.endswith("-again")
    assert compare_runs(undisturbed, run)[0] == []
    for name in ("plan", "agent.log", "console.log"):
        path = Path("leaks") / name
        assert (run / path).read_bytes() == (undisturbed / path).read_bytes()


def test_pack_is_replayed_with_qemu_alone(undisturbed: Path, invoke: Run, tmp_path: Path) -> None:
    archives = [tmp_path / name for name in ("one.tar.gz", "two.tar.gz")]
    for archive in archives:
        done = invoke("pack", str(undisturbed), "--output", str(archive))
        assert done.returncode == 0, done.stderr
    assert archives[0].read_bytes() == archives[1].read_bytes()
    subprocess.run(["tar", "--extract", "--file", archives[0]], cwd=tmp_path, check=True)
    folder = tmp_path / undisturbed.name
    subprocess.run(["shellcheck", folder / "replay"], check=True)

    def replay() -> subprocess.CompletedProcess[str]:
        # Nothing of the environment but where programs are, and how a test's QEMU is known.
        kept = {name: os.environ[name] for name in ("PATH", "PIBED_TEST")}
        return subprocess.run(
            [folder / "replay"], env=kept, capture_output=True, text=True, timeout=120, check=False
        )

    done = replay()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.count("the same, byte for byte") == 3
    log = folder / "run" / "boots" / "02" / "agent.log"
    log.write_bytes(log.read_bytes().replace(b"begin 1.run", b"begin 7.run"))
    done = replay()
    assert done.returncode == 2
    assert "the archive is damaged" in done.stderr
    sums = subprocess.check_output(
        "find . -type f ! -name SHA256SUMS | xargs sha256sum", shell=True, cwd=folder
    )
    (folder / "SHA256SUMS").write_bytes(sums)
    done = replay()
    assert done.returncode == 1
    assert "02: differs" in done.stdout
    assert done.stdout.count("the same, byte for byte") == 2


@pytest.mark.alone
def test_boot_that_was_lost_is_not_replayed(images: Images, invoke: Run, tmp_path: Path) -> None:
    process = start(*MEASURE, "--sizes", "16,200", "--runs", "1", "--results", str(tmp_path))
    wait_for_samples(tmp_path, 1)
    for pid in qemus():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 6
    (run,) = runs(tmp_path)
    done = invoke("pack", str(run), "--output", str(tmp_path / "run.tar.gz"))
    assert done.returncode == 0, done.stderr
    subprocess.run(["tar", "--extract", "--file", "run.tar.gz", run.name], cwd=tmp_path, check=True)
    replayed = subprocess.run(
        [tmp_path / run.name / "replay"], capture_output=True, text=True, timeout=60, check=False
    )
    assert replayed.returncode == 0, replayed.stderr
    assert "01: not replayed: its guest was lost" in replayed.stdout
    assert "01-2: the same, byte for byte" in replayed.stdout


@pytest.mark.parametrize(
    "edit",
    [
        lambda run: shutil.rmtree(run / "boots" / "02"),
        lambda run: (run / "samples.csv").write_text("edited"),
        lambda run: (run / "summary.csv").unlink(),
    ],
)
def test_what_is_not_whole_is_not_packed_but_mended(
    undisturbed: Path, invoke: Run, tmp_path: Path, edit: Callable[[Path], None]
) -> None:
    copy = tmp_path / "20260101T000000Z-edited"
    shutil.copytree(undisturbed, copy)
    edit(copy)
    done = invoke("pack", str(copy), "--output", str(tmp_path / "run.tar.gz"))
    assert done.returncode == 2
    assert f"to mend it: ./inv sweep --resume {copy}" in done.stderr
    assert not (tmp_path / "run.tar.gz").exists()
    done = invoke(*MEASURE, "--resume", str(copy))
    assert done.returncode == 0, done.stderr
    assert compare_runs(undisturbed, copy)[0] == []
    assert (copy / "summary.csv").read_bytes() == (undisturbed / "summary.csv").read_bytes()


@pytest.mark.parametrize("task", [("pack",), ("verify", "--measure", "--run")])
def test_what_was_cut_off_is_neither_packed_nor_verified(
    undisturbed: Path, invoke: Run, tmp_path: Path, task: tuple[str, ...]
) -> None:
    copy = tmp_path / "20260101T000000Z-cut"
    shutil.copytree(undisturbed, copy)
    manifest = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(manifest.replace('"finished": true', '"finished": false'))
    done = invoke(*task, str(copy))
    assert done.returncode == 2
    assert f"./inv sweep --resume {copy}" in done.stderr


def test_run_of_other_images_is_not_gone_on_with(
    undisturbed: Path, invoke: Run, tmp_path: Path
) -> None:
    copy = tmp_path / "20260101T000000Z-other"
    shutil.copytree(undisturbed, copy)
    content = json.loads((copy / "manifest.json").read_text())
    content["finished"] = False
    content["images"]["initramfs"] = "0" * 64
    shutil.rmtree(copy / "boots" / "02")
    (copy / "manifest.json").write_text(json.dumps(content))
    done = invoke("sweep", "--resume", str(copy))
    assert done.returncode == 3
    assert "initramfs: its SHA-256 is " in done.stderr
    assert f"./inv rerun {copy}/manifest.json" in done.stderr
    assert sorted(path.name for path in (copy / "boots").iterdir()) == ["01", "03"]
    refused = invoke("pack", str(copy))
    assert refused.returncode == 2


def test_same_bytes_from_another_folder_on_a_terminal(undisturbed: Path, tmp_path: Path) -> None:
    checkout = copy_of_checkout(tmp_path / "another checkout")
    child = pexpect.spawn(
        sys.executable,
        ["-m", "invoke", *SWEEP, "--jobs", "1", "--results", str(tmp_path / "results")],
        cwd=str(checkout),
        env=os.environ | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
        dimensions=(20, 60),
        timeout=120,
    )
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    assert b"\x1b[" in (child.before or b"")  # it was a terminal
    assert compare_runs(undisturbed, only_run(tmp_path / "results"))[0] == []


@pytest.mark.alone
def test_both_clocks_stand_in_one_table(invoke: Run, tmp_path: Path) -> None:
    done = invoke(
        *(*MEASURE, "--sizes", "16", "--modes", "0", "--runs", "2", "--clock", "both"),
        *("--results", str(tmp_path)),
    )
    assert done.returncode == 0, done.stderr
    found = {run.name.rpartition("-")[2]: run for run in runs(tmp_path)}
    assert found.keys() == {"virtual", "host"}
    virtual, host = found["virtual"], found["host"]
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith(" pre-paging")]
    assert [line[4] for line in lines] == ["virtual", "host"] * 2
    assert [len(rows(run)) for run in (virtual, host)] == [2, 2]
    refused = invoke("verify", "--measure", "--run", str(host))
    assert refused.returncode == 2
    assert "measured in real time" in refused.stderr


def test_changed_module_and_workload_are_named(tmp_path: Path) -> None:
    """To whoever measures again, goes on, or compares."""
    checkout, results = copy_of_checkout(tmp_path / "copy"), tmp_path / "results"

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "invoke", *arguments, "--results", str(results)],
            cwd=checkout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    run(*MEASURE, "--sizes", "16", "--modes", "0", "--runs", "1")
    first = only_run(results)
    record = json.loads((first / "manifest.json").read_text())
    assert set(record["made_of"]) == {"module", "workload", "kernel"}
    assert record["made_of"]["kernel"] == {}
    assert "module/paging.h" in record["made_of"]["module"]
    assert list(record["made_of"]["workload"]) == [
        "module/paging.h",
        "module/user/dense_mm.c",
        "module/user/phase.h",
    ]
    for name, old, new in (
        ("module/paging.c", "Loaded ", "Here is "),
        ("module/user/dense_mm.c", '"usage: ', '"to be called: '),
    ):
        text = (checkout / name).read_text()
        assert old in text
        (checkout / name).write_text(text.replace(old, new))
    module = "your module changed: module/paging.c"
    workload = "your workload changed: module/user/dense_mm.c"
    again = run("rerun", str(first), "--name", "again")
    assert f"differs from {first.name}: {module}\n" in again
    assert f"differs from {first.name}: {workload}\n" in again
    (second,) = set(runs(results)) - {first}
    compared = run("compare", str(first), str(second))
    assert module in compared
    assert workload in compared
    shutil.rmtree(first / "boots")
    refused = run("sweep", "--resume", str(first))
    assert module in refused
    assert "cannot be measured as its beginning was" in refused


@pytest.mark.alone
def test_shards_are_merged_into_the_same_run(
    undisturbed: Path, invoke: Run, tmp_path: Path
) -> None:
    """The first is measured as it comes, the other is killed and taken up again."""
    results = [tmp_path / f"host-{number}" for number in (1, 2)]
    shards = [
        ("--shard", f"{number}/2", "--jobs", "1", "--results", str(folder))
        for number, folder in enumerate(results, start=1)
    ]
    kill(start(*SWEEP, *shards[1]), results[1], Moment(1, 0.1))
    (left,) = runs(results[1])
    for what in ((*RUN, *shards[0]), ("--resume", str(left))):
        done = invoke(*MEASURE, *what)
        assert done.returncode == 0, done.stderr
    folders = [only_run(each) for each in results]
    rounds = [sorted(each.name for each in (folder / "boots").iterdir()) for folder in folders]
    assert rounds == [["01", "03"], ["02"]]
    done = invoke("merge", *map(str, reversed(folders)), "--results", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path / "out")
    assert f"report: {run / 'report.html'}" in done.stdout
    require_merged(undisturbed, run)
