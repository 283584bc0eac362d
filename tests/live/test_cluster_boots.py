"""What workers boot for `grade`, `try` and `profile` gives what this machine alone gives."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from pibed.build.images import Images
from pibed.commands.test import DEBUG_SERIES
from tests import handed_in
from tests.handed_in import HandedIn
from tests.live import cluster
from tests.live.conftest import Run, qemus
from tests.live.helpers import start
from tests.live.test_grading import QUICK, course
from tests.programs import run_inv

pytestmark = pytest.mark.alone


def files(folder: Path) -> dict[str, bytes]:
    """All that is written, but for the command lines of QEMU."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "qemu.log"
    }


def require_same(plain: Path, far: Path) -> None:
    one, other = files(plain), files(far)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


def test_submissions_that_workers_boot_have_the_same_marks(images: Images, tmp_path: Path) -> None:
    handed, rubric = course(tmp_path, QUICK)
    options = ["grade", str(handed), "--rubric", str(rubric), "--results"]
    plain, far = tmp_path / "plain", tmp_path / "far"
    done = run_inv(*options, str(plain), timeout=300)
    assert done.returncode == 0, done.stderr
    done = run_inv(*options, str(far), "--cluster", "local:2", timeout=300)
    assert done.returncode == 0, done.stderr
    assert "4 submissions, boots on local:2" in done.stderr
    assert "cluster: 6 parts in " in done.stderr
    require_same(plain / "grade" / "latest", far / "grade" / "latest")
    # What is there is not booted again.
    again = [str(far), "--resume", "latest", "--cluster", "local:1"]
    done = run_inv(*options, *again, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "cluster:" not in done.stderr
    require_same(plain / "grade" / "latest", far / "grade" / "latest")


def test_cells_that_workers_boot_have_the_same_profile(
    images: object, invoke: Run, tmp_path: Path
) -> None:
    plain, far = tmp_path / "plain", tmp_path / "far"
    options = ("profile", "--set", "size=64", "--against", "demand_paging=0", "--results")
    one = invoke(*options, str(plain))
    assert one.returncode == 0, one.stderr
    other = invoke(*options, str(far), "--cluster", "local:2")
    assert other.returncode == 0, other.stderr
    assert "profiles by worker: worker 0 1, worker 1 1" in other.stderr
    assert one.stdout.split("differential")[0] == other.stdout.split("differential")[0]
    require_same(plain / "profile" / "latest", far / "profile" / "latest")


def test_guest_that_dies_on_a_worker_is_told_of_as_here(
    images: object, invoke: Run, tmp_path: Path
) -> None:
    crash = "echo c >/proc/sysrq-trigger"
    told = []
    for where in ((), ("--cluster", "local:1")):
        done = invoke("profile", "--cmd", crash, "--results", str(tmp_path), *where)
        assert done.returncode == 5, done.stderr
        words, _, log = done.stderr.partition("log:")
        told.append(words)
        assert Path(log.split()[0]).is_file()
    assert told[0] == told[1]
    assert "sysrq triggered crash" in told[0]


FULL = [
    HandedIn("right", handed_in.zipped, right=True),
    HandedIn("not zeroed", handed_in.wrong(0), loses=("contents",)),
    *(each for each in handed_in.HOSTILE if each.name == "panic in exit"),
]


@pytest.mark.full
def test_killed_workers_cost_their_parts_once_more(images: Images, tmp_path: Path) -> None:
    """By a whole rubric, with measurements."""
    handed = tmp_path / "handed-in"
    handed.mkdir()
    for each in FULL:
        each.make(handed)
    plain, far = tmp_path / "plain", tmp_path / "far"
    done = run_inv("grade", str(handed), "--results", str(plain), timeout=900)
    assert done.returncode == 0, done.stderr
    process = start("grade", str(handed), "--results", str(far), "--cluster", "local:2")
    try:
        for _ in range(3):
            cluster.wait_for_a_guest(300)
            time.sleep(2)
            cluster.workers_of(process)[0].kill()
            time.sleep(5)
        _, errors = process.communicate(timeout=900)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "lost with worker" in errors
    require_same(plain / "grade" / "latest", far / "grade" / "latest")
    assert not qemus()


DEBUG = f"""schema_version: 1
name: debug
title: On the debug kernel
kernel: "{DEBUG_SERIES}"
build: {{points: 1}}
criteria:
  leaks:
    title: Pages are zeroed, and no memory is lost
    suite: paging-lab
    variants: [demand-paging]
    cases: [pages.zeroed]
    points: 1
    debug: true
penalties:
  leak: {{each: 1, most: 1}}
  crash: {{each: 1, most: 1}}
"""


@pytest.mark.full
def test_what_the_debug_kernel_says_on_a_worker_has_files_and_lines(tmp_path: Path) -> None:
    handed, rubric = tmp_path / "handed-in", tmp_path / "rubric.yaml"
    handed.mkdir()
    rubric.write_text(DEBUG, encoding="utf-8")
    lost = handed_in.INIT + "\tif (!kmalloc(100, GFP_KERNEL))\n\t\treturn -ENOMEM;\n"
    beyond = handed_in.INIT + "\tchar *it = kmalloc(8, GFP_KERNEL);\n\n\tit[8] = 1;\n\tkfree(it);\n"
    handed_in.copy(handed / "leaks", init=(handed_in.INIT, lost))
    handed_in.copy(handed / "writes beyond", init=(handed_in.INIT, beyond))
    options = ["grade", str(handed), "--rubric", str(rubric), "--results"]
    plain, far = tmp_path / "plain", tmp_path / "far"
    for results, where in ((plain, []), (far, ["--cluster", "local:2"])):
        done = run_inv(*options, str(results), *where, timeout=1800)
        assert done.returncode == 0, done.stderr
    require_same(plain / "grade" / "latest", far / "grade" / "latest")
    told = far / "grade" / "latest" / "submissions"
    # Of what a module has done in its init function the kernel keeps no names for kmemleak.
    for name, place in (
        ("leaks", r"do_one_initcall\S* \(init/main\.c:\d+\)"),
        ("writes_beyond", r"paging_init\S* .*\(paging\.c:\d+\)"),
    ):
        text = (told / name / "feedback.md").read_text(encoding="utf-8")
        assert re.search(place, text), text


@pytest.mark.full
def test_submission_at_home_by_workers(images: Images, tmp_path: Path) -> None:
    handed, rubric = course(tmp_path, QUICK[1:2])
    options = ["try", str(handed / "wrong-00"), "--rubric", str(rubric), "--results"]
    one = run_inv(*options, str(tmp_path / "plain"), timeout=300)
    other = run_inv(*options, str(tmp_path / "far"), "--cluster", "local:2", timeout=300)
    assert one.returncode == other.returncode == 1, one.stderr + other.stderr
    assert one.stdout.split("feedback:")[0] == other.stdout.split("feedback:")[0]
    (plain,), (far,) = (list((tmp_path / each / "try").glob("2*")) for each in ("plain", "far"))
    require_same(plain, far)
