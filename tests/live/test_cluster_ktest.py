"""Suites that are tested by workers give what they give on this machine, whatever happens."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pibed.ktest import recorded
from tests.live import cluster
from tests.live.conftest import Run
from tests.live.helpers import start

pytestmark = pytest.mark.alone

# Commands are typed as the host comes to it, so that times are not the guest's alone.
_TIMES = re.compile(r"^\[ *\d+\.\d+\]|^\| # time \d+\.\d+ s$", re.MULTILINE)


def outcomes(folder: Path) -> bytes:
    """The JUnit file but for its times."""
    root = ET.parse(folder / "junit.xml").getroot()
    for each in root.iter():
        each.attrib.pop("time", None)
    return ET.tostring(root)


def logs(folder: Path) -> dict[str, str]:
    """What the guests were given and have said, but for when."""
    return {
        str(path.relative_to(folder)): _TIMES.sub("", path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("boots/*/*"))
        if path.name != "qemu.log"
    }


def require_same(plain: Path, far: Path) -> None:
    assert outcomes(plain) == outcomes(far)
    assert logs(plain) == logs(far)
    assert {each.parent.name for each in far.glob("boots/*/qemu.log")} == {
        "demand-paging",
        "pre-paging",
    }
    assert recorded.read(plain) == recorded.read(far)


def test_suite_on_workers_is_the_one_of_this_machine(
    images: object, invoke: Run, tmp_path: Path
) -> None:
    options = ("ktest", "--tests", "fork.dontfork,mmap.zeroed", "--clock", "virtual")
    plain, far = tmp_path / "plain", tmp_path / "far"
    done = invoke(*options, "--results", str(plain))
    assert done.returncode == 0, done.stderr
    done = invoke(*options, "--results", str(far), "--cluster", "local:2")
    assert done.returncode == 0, done.stderr
    assert "cluster: 2 variants in " in done.stderr
    assert "variants by worker: worker 0 1, worker 1 1" in done.stderr
    require_same(plain / "ktest" / "latest", far / "ktest" / "latest")


@pytest.mark.full
def test_killed_worker_costs_its_variant_once_more(
    images: object, invoke: Run, tmp_path: Path
) -> None:
    options = ("ktest", "--tests", "fork", "--clock", "virtual")
    plain, far = tmp_path / "plain", tmp_path / "far"
    done = invoke(*options, "--results", str(plain), timeout=600)
    assert done.returncode == 0, done.stderr
    process = start(*options, "--results", str(far), "--cluster", "local:1")
    try:
        cluster.wait_for_a_guest()
        time.sleep(1)
        cluster.workers_of(process)[0].kill()
        _, errors = process.communicate(timeout=400)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "cluster: 1 variant lost with a worker and tested again" in errors
    require_same(plain / "ktest" / "latest", far / "ktest" / "latest")
