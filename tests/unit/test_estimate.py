"""How long tests are said to take, and what is learned from how long they took."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed.base.durations import Durations
from pibed.ktest.cases import TableEntry
from pibed.ktest.estimate import Estimate
from pibed.ktest.ktap import CaseStatus
from pibed.ktest.outcome import CaseOutcome

TESTS = [
    TableEntry("a", "quick", timed=False, slow=False),
    TableEntry("a", "slow", timed=False, slow=True),
    TableEntry("b", "timed", timed=True, slow=False),
]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which goes on as it is told."""
    now = [100.0]
    monkeypatch.setattr("pibed.ktest.estimate.time.monotonic", lambda: now[0])
    return now


def estimate(
    path: Path, *, debug: bool = False, kernel: str = "6.1", stress_s: int = 60
) -> Estimate:
    return Estimate(Durations(path), "suite", kernel, debug, TESTS, stress_s)


def run(tests: Estimate, clock: list[float], failed: str = "") -> None:
    """One variant: 5 s to boot, 2, 4 and 90 s for the cases, 3 s to unload."""
    tests.booting("v")
    clock[0] += 5
    cases = [("a.quick", 2), ("a.slow", 4), ("b.timed", 90), ("module.unload", 3)]
    for case, seconds in cases:
        if not case.startswith("module"):
            tests.began("v", case)
        clock[0] += seconds
        status = CaseStatus.FAILED if case == failed else CaseStatus.PASSED
        tests.ended(CaseOutcome("v", case, status, 0.1))


def test_as_long_as_it_took(tmp_path: Path, clock: list[float]) -> None:
    path = tmp_path / "durations.json"
    durations = Durations(path)
    run(Estimate(durations, "suite", "6.1", False, TESTS, 60), clock)
    durations.save()
    assert estimate(path).expected_s(["v"], 1) == pytest.approx(104)
    assert estimate(path).expected_s(["v", "v"], 1) == pytest.approx(208)
    assert estimate(path).expected_s(["v", "v"], 2) == pytest.approx(104)
    # A timed case takes the longer the longer it is to run: 90 s become 15 s.
    assert estimate(path, stress_s=10).expected_s(["v"], 1) == pytest.approx(29)
    guessed = estimate(tmp_path / "none").expected_s(["v"], 1)
    for other in (estimate(path, kernel="6.12"), estimate(path)):
        assert other.expected_s(["w"], 1) == guessed


def test_plain_and_debug_kernels_are_known_apart(tmp_path: Path, clock: list[float]) -> None:
    path = tmp_path / "durations.json"
    durations = Durations(path)
    run(Estimate(durations, "suite", "6.1", False, TESTS, 60), clock)
    durations.save()
    debug = estimate(path, debug=True).expected_s(["v"], 1)
    assert debug == estimate(tmp_path / "none", debug=True).expected_s(["v"], 1)
    assert debug > estimate(tmp_path / "none").expected_s(["v"], 1)


def test_what_failed_teaches_nothing(tmp_path: Path, clock: list[float]) -> None:
    durations = Durations(tmp_path / "durations.json")
    run(Estimate(durations, "suite", "6.1", False, TESTS, 60), clock, failed="a.slow")
    assert durations.get("ktest suite 6.1 v a.quick") == 2
    assert durations.get("ktest suite 6.1 v a.slow") is None


def test_few_tests_are_said_to_take_little(tmp_path: Path) -> None:
    few = Estimate(Durations(tmp_path / "none"), "suite", "6.1", False, TESTS[:1], 60)
    assert few.expected_s(["v", "w"], 2) < 20
