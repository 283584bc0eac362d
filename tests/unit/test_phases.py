"""The two phases of pibed's own tests: what is selected, counted, and said at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed.base.errors import ChecksFailed
from pibed.commands import phases
from pibed.commands.phases import Totals
from pibed.commands.transcript import Ended, Transcript

JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest">
<testcase file="tests/test_a.py" name="test_good" />
<testcase file="tests/test_a.py" name="test_many[1]" />
<testcase file="tests/test_a.py" name="test_many[2]"><failure message="no">x</failure></testcase>
<testcase file="tests/test_b.py" name="test_c"><skipped message="why [not]">y</skipped></testcase>
<testcase file="tests/test_b.py" name="test_d" />
<testcase file="tests/test_b.py" name="test_d"><error message="left">z</error></testcase>
</testsuite></testsuites>
"""


class Pytest(Transcript):
    """Writes a report in place of each run of pytest."""

    def __init__(self, path: Path, *statuses: int) -> None:
        super().__init__(path)
        self.statuses = list(statuses)
        self.runs: list[list[str]] = []

    def run(self, argv, cwd, environment=None) -> Ended:  # type: ignore[no-untyped-def]
        self.runs.append([str(each) for each in argv])
        (report,) = (
            each.partition("=")[2] for each in self.runs[-1] if each.startswith("--junitxml=")
        )
        Path(report).write_text(JUNIT)
        return Ended(self.statuses.pop(0), printed=True)


@pytest.mark.parametrize(
    ("full", "marks"),
    [
        (False, ["everyday and not alone", "everyday and alone"]),
        (True, ["not alone", "alone"]),
    ],
)
def test_both_phases_are_counted(tmp_path: Path, full: bool, marks: list[str]) -> None:
    with Pytest(tmp_path / "log", 1, 1) as transcript:
        totals = phases.run(transcript, full=full, live=True)
    assert [argv[argv.index("-m", 3) + 1] for argv in transcript.runs] == marks
    assert ["-n" in argv for argv in transcript.runs] == [True, False]
    assert totals.passed == 2 * 2
    assert len(totals.failed) == 2 * 2
    assert totals.counts == "4 failed, 4 passed, 2 skipped"


def test_live_tests_are_left_out(tmp_path: Path) -> None:
    with Pytest(tmp_path / "log", 0, 5) as transcript:
        phases.run(transcript, full=False, live=False)
    assert all("tests/live" not in argv and "tests/unit" in argv for argv in transcript.runs)


@pytest.mark.parametrize("status", [2, 3, 4, -9])
def test_pytest_that_cannot_work_has_not_passed(tmp_path: Path, status: int) -> None:
    with (
        Pytest(tmp_path / "log", 0, status) as transcript,
        pytest.raises(ChecksFailed, match=rf"pytest ended with status {status}") as caught,
    ):
        phases.run(transcript, full=False, live=True)
    assert caught.value.log == tmp_path / "log"


def test_failure_that_no_test_has_is_not_passed(tmp_path: Path) -> None:
    class Silent(Pytest):
        def run(self, argv, cwd, environment=None) -> Ended:  # type: ignore[no-untyped-def]
            ended = super().run(argv, cwd, environment)
            if not self.statuses:
                (report,) = (each for each in self.runs[-1] if each.startswith("--junitxml="))
                Path(report.partition("=")[2]).write_text("<testsuites />")
            return ended

    with (
        Silent(tmp_path / "log", 1, 1) as transcript,
        pytest.raises(ChecksFailed, match="pytest ended with status 1"),
    ):
        phases.run(transcript, full=False, live=True)


def test_a_test_that_fails_in_its_clean_up_has_not_passed(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(JUNIT)
    totals = Totals()
    totals.add(tmp_path / "junit.xml")
    assert totals.passed == 2
    assert totals.failed == ["tests/test_a.py::test_many[2]", "tests/test_b.py::test_d"]
    assert totals.skipped == {"why [not]": ["tests/test_b.py::test_c"]}


def test_end_says_what_did_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIBED_BUILDROOT", raising=False)
    totals = Totals(7, ["t/a.py::b"], {"no root": ["t/c.py::d[1]", "t/c.py::d[2]", "t/c.py::e"]})
    omitted = ["tests/live/test_k.py::test_f[x]", "tests/live/test_k.py::test_f[y/z::]"]
    assert phases.summary(totals, omitted, 83.2, live=True) == [
        "failed: t/a.py::b",
        "skipped: 3 tests: no root: c.py::d (2), c.py::e",
        "left out: 2 live tests of the full tier (./inv test --full): test_k.py::test_f (2)",
        "  those of the builder buildroot are only run where PIBED_BUILDROOT names a clone of "
        "Buildroot, see docs/builders.md",
        "============== 1 failed, 7 passed, 3 skipped in 83.20s (0:01:23) ===============",
    ]


def test_end_of_a_run_of_everything() -> None:
    (line,) = phases.summary(Totals(12), [], 3, live=True)
    assert line.strip("= ") == "12 passed in 3.00s (0:00:03)"


def test_end_without_live_tests_names_the_command_that_has_them() -> None:
    first, *_ = phases.summary(Totals(1), ["tests/live/test_b.py::test_c"], 1, live=False)
    assert first == "left out: 1 live test (./inv test): test_b.py::test_c"
