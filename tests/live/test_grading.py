"""Submissions are graded on the real thing: the same marks, however often it is cut off."""

from __future__ import annotations

import contextlib
import csv
import os
import random
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pibed.build.images import Images
from tests import handed_in
from tests.handed_in import HandedIn
from tests.live.helpers import start
from tests.programs import run_inv

RUBRIC = """schema_version: 1
name: quick
title: A quick lab
build: {points: 2}
criteria:
  contents:
    title: Pages are zeroed
    suite: paging-lab
    variants: [demand-paging]
    cases: [pages.zeroed, pages.read_then_written]
    points: 4
  unload:
    title: The module is held
    suite: paging-lab
    variants: [demand-paging]
    cases: [unload.while_open]
    points: 2
penalties:
  crash: {each: 1, most: 1}
hidden: hidden.yaml
"""

HIDDEN = """schema_version: 1
secret: "a sentence that nobody knows"
criteria:
  secret:
    title: What is not told before
    suite: paging-lab
    variants: [pre-paging]
    cases: [unload.while_inherited]
    points: 2
    show: verdict
"""

# What a grading writes that must be the same each time.
WRITTEN = ("grades.csv", "grades.html", "junit.xml")

QUICK = [
    HandedIn("right", handed_in.zipped, right=True),
    HandedIn("not zeroed", handed_in.wrong(0), loses=("contents",)),
    next(each for each in handed_in.RIGHT if each.name == "does not compile"),
    next(each for each in handed_in.HOSTILE if each.name == "panic in exit"),
]


def course(folder: Path, submissions: Sequence[HandedIn]) -> tuple[Path, Path]:
    """What was handed in, and a rubric with something hidden."""
    handed = folder / "handed in"
    handed.mkdir()
    for each in submissions:
        each.make(handed)
    rubric = folder / "rubric.yaml"
    rubric.write_text(RUBRIC, encoding="utf-8")
    (folder / "hidden.yaml").write_text(HIDDEN, encoding="utf-8")
    return handed, rubric


def rows(results: Path) -> dict[str, dict[str, str]]:
    text = (results / "grade" / "latest" / "grades.csv").read_text(encoding="utf-8")
    return {row["submission"]: row for row in csv.DictReader(text.splitlines())}


def written(results: Path) -> dict[str, bytes]:
    """All that a grading tells, by the names of the files."""
    folder = results / "grade" / "latest"
    told = [*folder.glob("submissions/*/feedback.*"), *folder.glob("submissions/*/results.json")]
    files = [*(folder / name for name in WRITTEN), *told]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def going_on(results: Path) -> list[str]:
    """What goes on with the grading there, if there is one."""
    return ["--resume", "latest"] if (results / "grade" / "latest").exists() else []


def begun(results: Path, *options: str) -> subprocess.Popen[str]:
    return start("grade", *options, str(results), *going_on(results))


def kill_after(seconds: float, process: subprocess.Popen[str]) -> bool:
    """Kills a grading and what it has begun; whether it had not come to its end before."""
    time.sleep(seconds)
    killed = process.poll() is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    return killed


def finished(results: Path, *options: str) -> dict[str, bytes]:
    """What is written when it may come to its end."""
    done = run_inv("grade", *options, str(results), *going_on(results), timeout=300)
    assert done.returncode == 0, done.stderr
    return written(results)


@pytest.mark.full
@pytest.mark.alone
def test_gradings_killed_twenty_times_end_with_the_same_table(
    images: Images, tmp_path: Path
) -> None:
    handed, rubric = course(tmp_path, QUICK)
    options = [str(handed), "--rubric", str(rubric), "--results"]
    whole = finished(tmp_path / "whole", *options)
    generator = random.Random(os.environ["PIBED_SEED"])
    kills = gradings = 0
    while kills < 20:
        gradings += 1
        cut, moments, killed = tmp_path / f"cut-{gradings}", list[float](), True
        while killed and len(moments) < 6:
            moments.append(generator.uniform(0.2, 6))
            killed = kill_after(moments[-1], begun(cut, *options))
            kills += killed
        assert finished(cut, *options) == whole, f"killed at {moments}"


@pytest.mark.alone
def test_killed_gradings_end_with_the_same_table(images: Images, tmp_path: Path) -> None:
    handed, rubric = course(tmp_path, QUICK)
    options = [str(handed), "--rubric", str(rubric), "--results"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = run_inv("grade", *options, str(whole), timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "about" in done.stderr
    found = rows(whole)
    assert {name: row["total"] for name, row in found.items()} == {
        "zipped": "10",
        "wrong-00": "6",
        "broken": "0",
        "panics": "9",
    }
    assert found["wrong-00"]["contents"] == "0"
    assert found["wrong-00"]["secret"] == "2"
    assert found["broken"]["status"] == "does not build"
    assert "'nothing' undeclared" in found["broken"]["problem"]
    assert found["panics"]["penalty_crash"] == "-1"
    feedback = whole / "grade" / "latest" / "submissions"
    text = (feedback / "wrong-00" / "feedback.md").read_text(encoding="utf-8")
    command = re.search(r"`\./inv (try FOLDER --rubric .*)`", text)
    assert command is not None
    assert "is not zero" in text
    panics = (feedback / "panics" / "feedback.md").read_text(encoding="utf-8")
    assert re.search(r"paging_exit\S* .*\(paging\.c:\d+\)", panics), panics

    seed = os.environ["PIBED_SEED"]
    generator = random.Random(seed)
    moments = [generator.uniform(1, 6) for _ in range(4)]
    for moment in moments:
        kill_after(moment, begun(cut, *options))
    assert finished(cut, *options) == written(whole), f"PIBED_SEED={seed}, killed at {moments}"

    # The command of the feedback shows the same failure again, and nothing that is hidden.
    again = run_inv("try", str(handed / "wrong-00"), "--rubric", str(rubric), *_behind(command[1]))
    assert again.returncode == 1, again.stderr
    assert "is not zero" in again.stdout
    assert "What is not told before" not in again.stdout


def _behind(command: str) -> list[str]:
    """The words of a command behind those that say which submission and rubric."""
    return re.sub(r"^try FOLDER --rubric \S+ ", "", command).split()


@pytest.mark.alone
def test_interrupted_grading_says_how_to_go_on(images: Images, tmp_path: Path) -> None:
    """Even in a build that never ends."""
    endless = next(each for each in handed_in.HOSTILE if each.name.startswith("endless"))
    handed, rubric = course(tmp_path, [endless])
    results = tmp_path / "results"
    process = start("grade", str(handed), "--rubric", str(rubric), "--results", str(results))
    deadline = time.monotonic() + 60
    while not (results / "grade" / "latest").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(3)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "--resume" in errors
    assert "Traceback" not in errors


def test_no_such_rubric_submission_or_grading(tmp_path: Path) -> None:
    handed, rubric = course(tmp_path, QUICK[1:2])
    options = ["--rubric", str(rubric), "--results", str(tmp_path / "results")]
    for arguments, words in (
        (["grade", str(handed), "--rubric", "none"], "there is no rubric 'none'"),
        (["grade", str(handed), *options, "--only", "meier"], "there is no such submission"),
        (["grade", str(handed), *options, "--resume", "latest"], "there is no such grading"),
        (["grade", str(tmp_path / "nowhere"), *options], "there is no such folder"),
        (["try", str(handed / "wrong-00"), *options, "--case", "nothing.at_all"], "--case"),
        (["try", str(rubric), *options], "neither a folder nor an archive"),
    ):
        done = run_inv(*arguments)
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def packed(folder: Path) -> None:
    """Each folder as an archive of its own, as it would be handed in."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and any(path.iterdir()):
            with tarfile.open(folder / f"{path.name}.tar.gz", "w:gz") as file:
                file.add(path, "lab")
            subprocess.run(["rm", "-r", path], check=True)


@pytest.mark.full
@pytest.mark.alone
def test_every_fault_of_a_course_is_found_by_its_criterion(images: Images, tmp_path: Path) -> None:
    """As docs/grading.md says: from archives to the table."""
    handed = tmp_path / "handed-in"
    handed.mkdir()
    made: dict[str, HandedIn] = {}
    every = [*handed_in.THIRTY, *handed_in.ARCHIVES]
    before: set[str] = set()
    for each in every:
        each.make(handed)
        (new,) = {path.name for path in handed.iterdir()} - before
        before.add(new)
        made[new.partition(".")[0].replace("\n", "?")] = each
    packed(handed)
    outside = Path("/tmp/pibed-was-here")
    outside.unlink(missing_ok=True)
    done = run_inv("grade", str(handed), "--results", str(tmp_path / "results"), timeout=3600)
    # A build that never ends has no mark.
    assert done.returncode == 6, done.stdout + done.stderr
    assert not outside.exists()
    assert not (tmp_path.parent / "outside").exists()
    found = rows(tmp_path / "results")
    found = {name.lstrip("'"): row for name, row in found.items()}
    reference = found.pop("reference")
    assert reference["total"] == "100"
    assert found.keys() == made.keys()
    for name, each in made.items():
        row = found[name]
        assert re.fullmatch(each.status, row["status"]), (each.name, row)
        assert re.search(each.problem, row["problem"]), (each.name, row)
        if each.right:
            assert row["total"] == row["of"], (each.name, row)
        for criterion in each.keeps:
            assert row[criterion] == reference[criterion], (each.name, criterion, row)
        for criterion in each.loses:
            lost = f"penalty_{criterion}" in row and row[f"penalty_{criterion}"] != "0"
            full = row.get(criterion) == reference.get(criterion)
            assert lost or not full, (each.name, criterion, row)


@pytest.mark.full
@pytest.mark.alone
def test_marks_are_the_same_for_any_number_of_jobs(images: Images, tmp_path: Path) -> None:
    handed, rubric = course(tmp_path, QUICK)
    first: dict[str, bytes] = {}
    for number in range(20):
        results = tmp_path / f"results-{number}"
        options = ["--rubric", str(rubric), "--results", str(results)]
        jobs = str(1 + number % 4)
        done = run_inv("grade", str(handed), *options, "--jobs", jobs, timeout=300)
        assert done.returncode == 0, done.stderr
        first = first or written(results)
        assert written(results) == first
