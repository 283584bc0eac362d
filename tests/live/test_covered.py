"""What tests reach of a module is counted in the user's files, wherever they are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.unit.helpers import ROOT

from .conftest import Run

# A line that no test of the suite reaches.
PATH = """\
	if (size == 12345) {
		pr_info("nobody asks for so many\\n");
		return -EINVAL;
	}
"""

COUNTED = re.compile(r"^DA:(\d+),(\d+),", re.MULTILINE)


def counted(tracefile: str) -> dict[int, int]:
    return {int(line): int(count) for line, count in COUNTED.findall(tracefile)}


@pytest.mark.full
@pytest.mark.alone
def test_unreached_line_of_a_module_anywhere(invoke: Run, tmp_path: Path) -> None:
    own, results = tmp_path / "my größe" / "hello", tmp_path / "results"
    assert invoke("new", str(own)).returncode == 0
    source = own / "module" / "hello.c"
    text = source.read_text(encoding="utf-8")
    text = text.replace("\tif (bulk)\n", f"{PATH}\tif (bulk)\n")
    source.write_text(text, encoding="utf-8")
    (missed,) = (n for n, line in enumerate(text.splitlines(), 1) if "nobody asks" in line)
    suite, folder = str(own / "suite.yaml"), str(results)
    options = ("--coverage", "--suite", suite, "--results", folder, "--fail-under", "100")
    done = invoke("ktest", *options, timeout=1500)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "is under 100 %" in done.stderr
    assert "failed:" not in done.stderr
    found = re.search(r"^not reached: module/hello\.c:([\d,-]+)$", done.stdout, re.MULTILINE)
    assert found is not None
    assert str(missed) in re.split(r"\D", found[1]), found[1]
    run = results / "ktest" / "latest"
    tracefile = (run / "coverage.info").read_text(encoding="utf-8")
    assert "SF:module/hello.c\n" in tracefile
    lines = counted(tracefile)
    assert lines[missed] == 0
    assert lines[missed - 1] > 0
    # Each variant alone reaches one of the two ways.
    assert {"byte-by-byte", "all-at-once"} == {path.name for path in (run / "boots").iterdir()}
    for words in ("if (bulk)", "if (put_user"):
        (number,) = (n for n, line in enumerate(text.splitlines(), 1) if words in line)
        assert lines[number] > 0
    page = (run / "coverage.html").read_text(encoding="utf-8")
    assert "nobody asks for so many" in page
    assert str(own) not in tracefile + page
    assert "tree/module" not in tracefile + page


@pytest.mark.full
@pytest.mark.alone
def test_module_in_the_place_of_the_suites_is_counted_in_its_own_folder(
    invoke: Run, tmp_path: Path
) -> None:
    copy = tmp_path / "my module"
    shutil.copytree(ROOT / "module", copy, ignore=shutil.ignore_patterns("tests", "lab", "user"))
    options = ("--coverage", "--module", str(copy), "--tests", "mmap.zeroed")
    done = invoke("ktest", *options, "--results", str(tmp_path / "results"), timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    tracefile = (tmp_path / "results" / "ktest" / "latest" / "coverage.info").read_text()
    assert f"SF:{copy}/paging.c\n" in tracefile
    assert f"not reached: {copy}/choice.c:" in done.stdout


@pytest.mark.full
@pytest.mark.alone
def test_tests_of_kmod_paging_reach_what_docs_say(invoke: Run, tmp_path: Path) -> None:
    options = ("--coverage", "--stress", "5", "--fail-under", "95,90")
    done = invoke("ktest", *options, "--results", str(tmp_path), timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    # Whatever else is not reached is named with its reason in docs/coverage.md.
    missed = re.findall(r"^not reached: (\S+)$", done.stdout, re.MULTILINE)
    lines = (ROOT / "module" / "paging.c").read_text(encoding="utf-8").splitlines()
    begin = next(n for n, line in enumerate(lines, 1) if "zap_vma_ptes(" in line)
    assert missed in ([], [f"module/paging.c:{begin}-{begin + 1}"])
    assert "not in the coverage" not in done.stdout


@pytest.mark.full
@pytest.mark.alone
def test_module_that_does_not_count_is_refused(invoke: Run, tmp_path: Path) -> None:
    own, results = tmp_path / "hello", tmp_path / "results"
    assert invoke("new", str(own)).returncode == 0
    kbuild = own / "module" / "Kbuild"
    kbuild.write_text(kbuild.read_text() + "GCOV_PROFILE := n\n", encoding="utf-8")
    options = ("--coverage", "--suite", str(own / "suite.yaml"), "--results", str(results))
    done = invoke("ktest", *options, timeout=1500)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "--coverage: no file of hello counts its lines" in done.stderr
    assert not list(results.glob("ktest/2*"))
