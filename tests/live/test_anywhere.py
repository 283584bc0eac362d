"""Everything from a folder of the user's, outside the checkout, with a space and an umlaut."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from pibed.base import places
from pibed.build.images import Images
from pibed.commands.verify import compare_runs

from .conftest import Run
from .helpers import start, wait_for_samples

CELLS = ("--set", "size=1024,16384", "--runs", "3", "--no-report")


@pytest.fixture
def own(invoke: Run, tmp_path: Path) -> Path:
    """What `./inv new` makes."""
    folder = tmp_path / "my größe" / "hello"
    made = invoke("new", str(folder))
    assert made.returncode == 0, made.stderr
    return folder


@pytest.mark.alone
def test_a_folder_anywhere_is_measured_gone_on_with_and_given_away(
    invoke: Run, own: Path, tmp_path: Path
) -> None:
    results, experiment = tmp_path / "results", str(own / "experiment.yaml")

    def run(*arguments: str) -> str:
        done = invoke(*arguments, "--results", str(results))
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    # Cut off, and taken up again.
    process = start("sweep", "--experiment", experiment, *CELLS, "--results", str(results))
    first = wait_for_samples(results, 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    run("sweep", "--resume", "latest", "--no-report")
    rows = (first / "samples.csv").read_text().splitlines()[1:]
    assert len(rows) == 12
    assert all(",ok," in row for row in rows)
    assert "12 samples measured again" in run("verify", "--measure", "--experiment", experiment)
    # An archive for somebody else, who has the folder in another place.
    archive = tmp_path / "run.tar.gz"
    assert invoke("pack", str(first), "--output", str(archive)).returncode == 0
    subprocess.run(["tar", "--extract", "--file", archive], cwd=tmp_path, check=True)
    packed = tmp_path / first.name
    away = own.rename(tmp_path / "away")
    sources = packed / "sources"
    for path in ("module/Kbuild", "module/hello.c", "workload/read_hello.c", "experiment.yaml"):
        assert (sources / path).read_bytes() == (away / path).read_bytes()
    replayed = subprocess.run(
        [packed / "replay"], capture_output=True, text=True, timeout=120, check=False
    )
    assert (replayed.returncode, replayed.stderr) == (0, ""), replayed.stdout
    manifest = str(packed / "run" / "manifest.json")
    assert "the folder of hello" in invoke("rerun", manifest, "--results", str(results)).stderr
    again = run("rerun", manifest, "--sources", str(sources), "--name", "again")
    assert f"samples.csv: byte for byte that of {manifest}" in again
    assert "differs from" not in again
    (second,) = results.glob("*-again")
    assert compare_runs(first, second)[0] == []
    # Looking needs nothing of the folder.
    shutil.rmtree(away)
    assert "identical" in run("compare", str(first), str(second))
    assert second.name in run("results")
    run("report", str(first))
    assert (first / "report.html").is_file()


def test_a_new_folders_tests_pass(invoke: Run, own: Path, tmp_path: Path) -> None:
    done = invoke("ktest", "--suite", str(own / "suite.yaml"), "--results", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


@pytest.mark.full
def test_a_failed_test_is_told_by_the_users_file(invoke: Run, own: Path, tmp_path: Path) -> None:
    source = own / "tests" / "read.c"
    source.write_text(source.read_text().replace("page, 100), 100)", "page, 100), 99)"))
    done = invoke(
        *("ktest", "--suite", str(own / "suite.yaml"), "--results", str(tmp_path)),
        *("--tests", "read.zeros", "--param", "bulk=1"),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(
        r" read\.c:\d+: read\(hello_device\(\), page, 100\) is 100, expected 99", done.stdout
    )


@pytest.mark.full
@pytest.mark.alone
def test_verify_builds_a_folder_anywhere_again(invoke: Run, tmp_path: Path) -> None:
    """With a package of the distribution, of the version in the folder."""
    folder = tmp_path / "my größe"
    assert invoke("new", str(folder), "--from", "paging-under-stress").returncode == 0
    file = str(folder / "experiment.yaml")
    done = invoke("verify", "--build", "--experiment", file, timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kmod_paging.ko, busybox, agent, dense_mm, initramfs\n" in done.stdout


@pytest.mark.full
def test_the_tutorials_steps_run_as_written(images: Images, tmp_path: Path) -> None:
    """In a home folder with a space and an umlaut, and with nothing there before."""
    page = (places.checkout() / "docs" / "your-own.md").read_text(encoding="utf-8")
    steps = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    home = tmp_path / "my größe"
    home.mkdir()
    cache = {"PIBED_CACHE": str(places.cache())}
    told = ""
    for step in steps:
        done = subprocess.run(
            ["sh", "-euc", step],
            cwd=places.checkout(),
            env=os.environ | cache | {"HOME": str(home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, step + done.stdout + done.stderr
        told += done.stdout
    # What the page says is the answer.
    (answer,) = re.findall(r"^The answer, after the table:\n\n    (.*)$", page, re.MULTILINE)
    assert told.count(answer) == 2
    assert "compared: 2 worse" in told
    assert "9 passed" in told
    assert {path.name for path in home.glob("[!.]*")} == {"hello", "locks", "locks.tar.gz"}
