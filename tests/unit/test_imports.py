"""The contracts on imports in pyproject.toml hold, and each notices what breaks it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.helpers import ROOT


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package that can be changed, beside the same contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pibed", tmp_path / "pibed", ignore=ignored)
    return tmp_path


DOWN, LOOKING = "Imports go down only", "Looking builds and boots nothing"


@pytest.mark.parametrize(
    ("place", "line", "broken"),
    [
        ("base/files.py", "from pibed.model import machine", {DOWN}),
        ("base/files.py", "import pibed.commands.frame", {DOWN}),
        # What is only for types is an import too.
        (
            "stats/summary.py",
            "import typing\nif typing.TYPE_CHECKING:\n    from pibed.runs import locate",
            {DOWN},
        ),
        # Downwards, but into the other wing.
        ("report/words.py", "from pibed.build import host", {LOOKING}),
        ("studies/pi/findings.py", "from pibed.guest import guest", {LOOKING}),
        ("report/words.py", "from pibed.measure import run", {DOWN, LOOKING}),
        # A package that is in no layer.
        ("extra/__init__.py", "", {DOWN}),
    ],
)
def test_wrong_import_is_noticed(package: Path, place: str, line: str, broken: set[str]) -> None:
    file = package / "pibed" / place
    file.parent.mkdir(exist_ok=True)
    if not file.exists():
        file.touch()
    file.write_text(f"{file.read_text()}\n{line}\n")
    done = lint(package)
    assert done.returncode == 1, done.stdout + done.stderr
    assert {name for name in (DOWN, LOOKING) if f"{name} BROKEN" in done.stdout} == broken


def test_package_as_it_is_keeps_them(package: Path) -> None:
    done = lint(package)
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout
