"""Live tests boot the real images under the real QEMU; the images are built when missing."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pibed.base import places
from pibed.build.images import Images
from pibed.commands import build
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import Machine, load_machine
from tests.programs import run_inv

from .reliability import Table

Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reliability",
        type=Path,
        metavar="FILE",
        help="write the table of faults to FILE instead of checking that of docs/reliability.md",
    )


@pytest.fixture(scope="session")
def reliability(pytestconfig: pytest.Config) -> Iterator[Table]:
    """The documented table of faults, to be checked, or written if it was asked for."""
    given = pytestconfig.getoption("--reliability", None)
    table = Table(given or places.checkout() / "docs" / "reliability.md", given is not None)
    yield table
    table.close()


@pytest.fixture(scope="session")
def machine() -> Machine:
    return load_machine("pi2")


@pytest.fixture(scope="session")
def experiment() -> Experiment:
    return load_experiment("paging")


@pytest.fixture(scope="session")
def images(machine: Machine, experiment: Experiment) -> Images:
    return build.make_images(machine, experiment)


@pytest.fixture
def invoke(images: Images) -> Run:
    """Runs ./inv with arguments as a user would; its deadline is two minutes."""

    return run_inv


@pytest.fixture(autouse=True)
def no_qemu_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test did: none of the QEMUs it started may outlive it."""
    # Known by its environment, which outlives the parents.
    monkeypatch.setenv("PIBED_TEST", str(uuid.uuid4()))
    yield
    left = qemus()
    assert not left, f"QEMU left behind: {left}"


def qemus() -> set[int]:
    """The QEMUs that this test has started and that are still there."""
    mark = f"PIBED_TEST={os.environ['PIBED_TEST']}"
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            program = path.read_bytes().split(b"\0")[0]
            environment = path.with_name("environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if program.endswith(b"qemu-system-arm") and mark.encode() in environment:
            found.add(int(path.parent.name))
    return found
