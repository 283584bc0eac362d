"""A suite of a module that is not kmod_paging and has no counters: its findings are its own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pibed.build import payload
from pibed.build.images import Images
from pibed.commands import build
from pibed.ktest import runner
from pibed.ktest.cases import choose, read_tests
from pibed.ktest.ktap import CaseStatus
from pibed.ktest.outcome import CaseOutcome
from pibed.model.loading import load_file
from pibed.model.machine import Machine
from pibed.model.suite import Suite
from tests.unit.helpers import ROOT

FOLDER = ROOT / "tests" / "fixtures" / "suites" / "echo"

VARIANTS = ("empty", "preset")

FOUND = "bytes.c:36: count is 1, expected 3, which is 3"


class Told:
    """Keeps what came of the cases, by variant and name."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str], CaseOutcome] = {}

    def booting(self, variant: str) -> None: ...
    def began(self, variant: str, case: str) -> None: ...
    def ended(self, outcome: CaseOutcome) -> None:
        self.outcomes[outcome.variant, outcome.case] = outcome


def run(
    machine: Machine, suite: Suite, images: Images, folder: Path, pattern: str | None = None
) -> Told:
    tests = choose(read_tests(sorted((FOLDER / "programs").glob("*.c"))), pattern)
    told = Told()
    setup = runner.TestRun(machine, images, suite, tests, seed=1, stress_s=1, folder=folder)
    runner.run_suite(setup, 2, told)
    return told


@pytest.mark.alone
def test_findings_are_shown_as_themselves(machine: Machine, tmp_path: Path) -> None:
    suite = load_file(Suite, FOLDER / "suite.yaml", {})
    assert suite.counters == []
    images = build.make_payload_images(machine, payload.of_suite(suite))
    told = run(machine, suite, images, tmp_path)
    statuses = {key: outcome.status for key, outcome in told.outcomes.items()}
    for variant in VARIANTS:
        for case in ("bytes.preset", "bytes.module_is_named", "module.unload"):
            assert statuses.pop((variant, case)) == CaseStatus.PASSED
        assert statuses.pop((variant, "bytes.all_come_back")) == CaseStatus.FAILED
        failed = told.outcomes[variant, "bytes.all_come_back"]
        assert failed.message == FOUND
        assert statuses.pop((variant, "bytes.any_byte")) == CaseStatus.FAILED
        died = told.outcomes[variant, "bytes.any_byte"]
        assert "NULL pointer" in died.message
        assert any("echo_device.c:" in line for line in died.details[:6])
    assert not statuses


@pytest.mark.alone
def test_counter_that_is_not_there_or_not_zero_is_said(machine: Machine, tmp_path: Path) -> None:
    missing, never_zero = "/sys/class/misc/echo/bytes", "/proc/sys/kernel/pid_max"
    counters = {"counters": [missing, never_zero]}
    suite = load_file(Suite, FOLDER / "suite.yaml", {}).model_copy(update=counters)
    suite = suite.model_copy(update={"variants": {"empty": {}}})
    images = build.make_payload_images(machine, payload.of_suite(suite))
    told = run(machine, suite, images, tmp_path, "bytes.preset,bytes.all_come_back")
    outcome = told.outcomes["empty", "bytes.preset"]
    assert outcome.status == CaseStatus.FAILED
    assert outcome.message == f"afterwards {missing} cannot be read"
    assert any(
        line.startswith("afterwards pid_max is ") and line.endswith(", expected 0")
        for line in outcome.details
    )
    # What a case has found itself comes before.
    found = told.outcomes["empty", "bytes.all_come_back"]
    assert found.message == FOUND


def test_modules_of_folders_elsewhere_are_not_taken_for_each_other(
    machine: Machine, tmp_path: Path
) -> None:
    wanted = payload.of_suite(load_file(Suite, FOLDER / "suite.yaml", {}))
    folders = [tmp_path / name / "module" for name in ("one", "other")]
    for folder in folders:
        shutil.copytree(FOLDER / "module", folder)
    source = folders[1] / "echo_device.c"
    source.write_text(source.read_text().replace("size - 1", "size - 2"))
    one, other = (
        build.make_payload_images(
            machine, replace(wanted, modules=(replace(wanted.modules[0], folder=folder),))
        ).modules[0]
        for folder in folders
    )
    assert one.read_bytes() != other.read_bytes()
