"""What a person sees of a run of test programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from pibed.base.durations import Durations
from pibed.ktest import show
from pibed.ktest.estimate import Estimate
from pibed.ktest.ktap import CaseStatus
from pibed.ktest.outcome import CaseOutcome
from pibed.ktest.show import KtestProgress

OUTCOMES = [
    CaseOutcome("demand-paging", "fork.shared", CaseStatus.PASSED, 0.25),
    CaseOutcome("demand-paging", "inject.all", CaseStatus.SKIPPED, 0.1, "no [fault] injection"),
    CaseOutcome(
        "demand-paging",
        "mmap.zeroed",
        CaseStatus.FAILED,
        1.5,
        "mmap.c:9: page 3 is not zero",
        tuple(f"line {number}" for number in range(30)),
        Path("/results/boots/demand-paging"),
    ),
    CaseOutcome("pre-paging", "fork.shared", CaseStatus.PASSED, 0.25),
]


def rendered(tmp_path: Path, *, terminal: bool = False) -> tuple[Console, KtestProgress]:
    console = Console(width=100, record=True, force_terminal=terminal, highlight=False, quiet=False)
    estimate = Estimate(Durations(tmp_path / "durations.json"), "suite", "6.1", False, [], 60)
    return console, KtestProgress(console, ["demand-paging", "pre-paging"], 3, estimate)


def test_table_has_a_row_a_case_and_a_column_a_variant() -> None:
    console = Console(width=100, record=True)
    console.print(show.table("Title [x]", OUTCOMES))
    lines = [line.rstrip() for line in console.export_text().splitlines() if line.strip()]
    assert lines[0] == "Title [x]"
    assert lines[1].split() == ["test", "demand-paging", "pre-paging"]
    assert lines[3].split() == ["fork.shared", "passed", "passed"]
    assert lines[4].split() == ["inject.all", "skipped"]
    assert lines[5].split() == ["mmap.zeroed", "failed"]


def test_reasons_of_skips_are_said_once() -> None:
    more = [
        *OUTCOMES,
        CaseOutcome("demand-paging", "inject.b", CaseStatus.SKIPPED, 0.1, "no [fault] injection"),
    ]
    assert show.skips(more) == [
        "skipped in demand-paging: no [fault] injection: inject.all, inject.b"
    ]
    assert show.skips(OUTCOMES[:1]) == []


def test_failures_with_details_and_logs() -> None:
    lines = show.failures(OUTCOMES)
    assert lines[0] == "demand-paging mmap.zeroed: mmap.c:9: page 3 is not zero"
    assert lines[1] == "  | line 0"
    assert lines[-2] == "  | … and 6 more lines"
    assert lines[-1] == "  logs: /results/boots/demand-paging"


def test_skipped_is_not_counted_as_passed() -> None:
    assert show.counts(OUTCOMES) == "2 passed, 1 failed, 1 skipped"
    assert show.counts([]) == "0 passed"


def test_a_line_a_case_in_a_log(tmp_path: Path) -> None:
    console, progress = rendered(tmp_path)
    with progress.shown("ktest: about 1 min"):
        progress.booting("demand-paging")
        for outcome in OUTCOMES[:3]:
            progress.began(outcome.variant, outcome.case)
            progress.ended(outcome)
    lines = console.export_text().splitlines()
    assert lines[0] == "ktest: about 1 min"
    assert lines[1].split() == ["demand-paging", "fork.shared", "passed", "0.2", "s"]
    assert lines[3].endswith("failed 1.5 s: mmap.c:9: page 3 is not zero")


def test_on_a_terminal_only_failures_get_a_line(tmp_path: Path) -> None:
    console, progress = rendered(tmp_path, terminal=True)
    with progress.shown("ktest: about 1 min"):
        progress.booting("demand-paging")
        for outcome in OUTCOMES[:3]:
            progress.ended(outcome)
    text = console.export_text()
    assert "mmap.zeroed" in text
    assert "fork.shared" not in text


def test_outcomes_stand_variant_by_variant_and_the_last_word_counts(tmp_path: Path) -> None:
    _, progress = rendered(tmp_path)
    for outcome in reversed(OUTCOMES):
        progress.booting(outcome.variant)
        progress.ended(outcome)
    leaked = replace(OUTCOMES[0], status=CaseStatus.FAILED, message="leaked")
    progress.ended(leaked)
    assert [outcome.variant for outcome in progress.outcomes] == [
        *["demand-paging"] * 3,
        "pre-paging",
    ]
    assert leaked in progress.outcomes
    assert OUTCOMES[0] not in progress.outcomes
