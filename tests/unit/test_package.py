"""The package as it is installed, and what the documents say of it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import pibed
from pibed.base import places
from pibed.base.errors import HostError
from tests.unit.helpers import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*argv, "--directory", folder], cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_version_stands_in_one_place(wheel: Path) -> None:
    assert wheel.name.startswith(f"pibed-{pibed.__version__}-")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in project
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## (\d+\.\d+\.\d+) - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert released[0] == pibed.__version__
    assert "\n## Unreleased\n" in changelog


def test_wheel_has_all_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("pibed/")}
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "pibed").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == here
    assert "pibed/py.typed" in packed


def test_without_a_checkout_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "__file__", str(tmp_path / "pibed" / "base" / "places.py"))
    with pytest.raises(HostError, match="not in a checkout"):
        places.checkout()


def packages() -> set[str]:
    return {path.parent.name for path in (ROOT / "pibed").glob("*/__init__.py")}


def test_architecture_names_every_package() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    picture = (ROOT / "docs" / "images" / "architecture.svg").read_text(encoding="utf-8")
    drawn = set(re.findall(r'class="name">(\w+)<', picture))
    assert table == drawn == packages()
