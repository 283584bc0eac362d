"""What was measured is looked at on a machine that can neither build nor boot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pibed.base import places
from tests.programs import INV

from .conftest import Run
from .helpers import only_run

# All that `inv` starts on its way to Python.
PROGRAMS = ("sh", "readlink", "dirname", "cmp", "env")
ABSENT = ("gcc", "arm-linux-gnueabihf-gcc", "make", "qemu-system-arm")

Looks = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Looks:
    """Runs a program where there is Python, the checkout and `tmp_path`, but no tool that builds.

    Folders are read-only but for `tmp_path`, and there is no network.
    """
    venv = Path(sys.prefix).resolve()
    checkout = places.checkout()
    environment = {"PATH": "/usr/bin", "HOME": "/home", "LC_ALL": "C.UTF-8"}
    shown = [checkout, venv, Path(sys.base_prefix)]
    argv = ["bwrap", "--unshare-all", "--die-with-parent", "--clearenv"]
    for name in ("lib", "lib64", "usr/lib", "usr/lib64", "etc/ld.so.cache"):
        path = Path("/", name)
        if path.is_symlink():
            argv += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            argv += ["--ro-bind", str(path), str(path)]
    # The compilers' own programs.
    for folder in (each for each in Path("/usr/lib").glob("gcc*") if each.is_dir()):
        argv += ["--tmpfs", str(folder)]
    for name in PROGRAMS:
        argv += ["--ro-bind", str(Path("/usr/bin", name).resolve()), f"/usr/bin/{name}"]
    argv += ["--symlink", "usr/bin", "/bin", "--proc", "/proc", "--dev", "/dev"]
    argv += ["--tmpfs", "/tmp", "--dir", "/home"]
    # A base prefix of /usr would bring back all that is left out.
    for path in shown:
        if path == Path("/usr"):
            python = Path(sys.executable).resolve()
            argv += ["--ro-bind", str(python), str(python)]
        else:
            argv += ["--ro-bind", str(path), str(path)]
    argv += ["--bind", str(tmp_path), str(tmp_path), "--chdir", str(tmp_path)]
    for name, value in environment.items():
        argv += ["--setenv", name, value]

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*argv, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_reports_comparisons_and_lists_need_no_tool_that_builds(
    invoke: Run, elsewhere: Looks, tmp_path: Path
) -> None:
    for program in ABSENT:
        found = elsewhere("sh", "-c", f"command -v {program}")
        assert (found.returncode, found.stdout) == (127, ""), found
    results = tmp_path / "results"
    done = invoke("sweep", "--sizes", "16,32", "--runs", "2", "--results", str(results))
    assert done.returncode == 0, done.stderr
    run = only_run(results)
    here = {path: path.read_bytes() for path in sorted(run.glob("report.*"))}
    assert [path.name for path in here] == ["report.html", "report.md"]
    for path in here:
        path.unlink()

    told = elsewhere(INV, "report", run)
    assert told.returncode == 0, told.stderr
    assert {path: path.read_bytes() for path in here} == here
    compared = elsewhere(INV, "compare", run, "pi")
    assert compared.returncode == 0, compared.stderr
    assert [line[:2] for line in compared.stdout.splitlines() if line[1:3] == ". "] == [
        "1.",
        "2.",
        "3.",
    ]
    listed = elsewhere(INV, "results", "--results", results)
    assert listed.returncode == 0, listed.stderr
    assert run.name in listed.stdout
