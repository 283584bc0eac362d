"""Every test has a tier, and none is skipped without an excuse."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import excuses
from tests.unit.helpers import ROOT

TELLS = """
def pytest_collection_finish(session):
    for item in session.items:
        print("TIERS", *(mark.name for mark in item.iter_markers()), item.nodeid)
"""


def run_pytest(
    *arguments: str | Path, cwd: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=cwd,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_file(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a file of tests by the rules of `tests/conftest.py`."""
    (folder / "test_it.py").write_text(text)
    rules = ("-c", ROOT / "pyproject.toml", "--rootdir", folder, "-p", "tests.conftest")
    return run_pytest("-p", "no:cacheprovider", *rules, folder / "test_it.py", *arguments)


def test_every_test_is_of_one_tier(tmp_path: Path) -> None:
    (tmp_path / "tells.py").write_text(TELLS)
    done = run_pytest("--collect-only", "-q", "-p", "tells", "tests", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stdout
    marks = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("TIERS ")]
    tiers = [[mark for mark in each if mark in ("everyday", "full")] for each in marks]
    (count,) = re.findall(r"^(\d+) tests collected", done.stdout, re.MULTILINE)
    assert len(tiers) == int(count)
    assert [each for each in tiers if len(set(each)) != 1] == []
    assert {each[0] for each in tiers} == {"everyday", "full"}


def test_two_tiers_are_one_too_many(tmp_path: Path) -> None:
    text = """
import pytest
pytestmark = pytest.mark.full
@pytest.mark.everyday
def test_a(): pass
"""
    done = run_file(tmp_path, text)
    assert done.returncode == 4
    assert "test_it.py::test_a is of two tiers: everyday and full" in done.stderr


@pytest.mark.parametrize(("marks", "passed"), [("everyday", 2), ("full", 1)])
def test_what_is_of_no_tier_is_of_every_day(tmp_path: Path, marks: str, passed: int) -> None:
    text = """
import pytest
@pytest.mark.parametrize("a", [1, pytest.param(2, marks=pytest.mark.full)])
def test_a(a): pass
@pytest.mark.alone
def test_b(): pass
"""
    done = run_file(tmp_path, text, "-m", marks)
    assert f"{passed} passed, {3 - passed} deselected" in done.stdout


def test_mark_that_is_none_is_an_error(tmp_path: Path) -> None:
    done = run_file(tmp_path, "import pytest\n@pytest.mark.ful\ndef test_a(): pass\n")
    assert done.returncode == 2
    assert "'ful' not found in `markers`" in done.stdout


def test_skip_needs_an_excuse_that_holds(tmp_path: Path) -> None:
    text = f"""
import os, pytest
from tests import excuses
def test_a(): pytest.skip({excuses.NO_MAGIC!r})
def test_b(): pytest.skip("no time")
@pytest.mark.skipif(True, reason={excuses.NO_MAGIC!r})
def test_c(): pass
@pytest.mark.skipif(True, reason="no time either")
def test_d(): pass
def test_e(): pytest.skip({excuses.NO_BUILDROOT!r})
@pytest.fixture(autouse=True)
def clone(monkeypatch): monkeypatch.setenv("PIBED_BUILDROOT", "/a/clone")
"""
    done = run_file(tmp_path, text)
    assert done.returncode == 1
    assert "2 failed, 2 skipped, 1 error" in done.stdout
    for name, reason in (("b", "no time"), ("d", "no time either"), ("e", excuses.NO_BUILDROOT)):
        assert f"test_{name}: skipped, though this should not be so: {reason}" in done.stdout


def test_moments_of_kills_are_told_and_can_be_given(tmp_path: Path) -> None:
    text = "import os\ndef test_a(): assert os.environ['PIBED_SEED'] == '7'\n"
    (tmp_path / "test_it.py").write_text(text)
    done = run_pytest(
        "-p", "tests.conftest", "-c", ROOT / "pyproject.toml", tmp_path, PIBED_SEED="7"
    )
    assert "moments of kills: PIBED_SEED=7" in done.stdout
    assert done.returncode == 0
