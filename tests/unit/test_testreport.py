"""What a person sees of a run of test programs."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from pibed.ktest import show
from pibed.ktest.runner import CaseOutcome
from pibed.ktest.show import KtestProgress

OUTCOMES = [
    CaseOutcome("demand-paging", "fork.shared", "passed", 0.25),
    CaseOutcome("demand-paging", "inject.all", "skipped", 0.1, "no [fault] injection"),
    CaseOutcome(
        "demand-paging",
        "mmap.zeroed",
        "failed",
        1.5,
        "mmap.c:9: page 3 is not zero",
        tuple(f"line {number}" for number in range(30)),
        Path("/results/boots/demand-paging"),
    ),
    CaseOutcome("pre-paging", "fork.shared", "passed", 0.25),
]


def rendered(*, terminal: bool = False) -> tuple[Console, KtestProgress]:
    console = Console(width=100, record=True, force_terminal=terminal, highlight=False, quiet=False)
    return console, KtestProgress(console)


def test_table_has_a_row_a_case_and_a_column_a_mode() -> None:
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
        CaseOutcome("demand-paging", "inject.b", "skipped", 0.1, "no [fault] injection"),
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


def test_a_line_a_case_in_a_log() -> None:
    console, progress = rendered()
    with progress.shown("ktest: about 1 min"):
        progress.listed("demand-paging", 3)
        for outcome in OUTCOMES[:3]:
            progress.began(outcome.mode, outcome.case)
            progress.ended(outcome)
    lines = console.export_text().splitlines()
    assert lines[0] == "ktest: about 1 min"
    assert lines[1].split() == ["demand-paging", "fork.shared", "passed", "0.2", "s"]
    assert lines[3].endswith("failed 1.5 s: mmap.c:9: page 3 is not zero")


def test_on_a_terminal_only_failures_get_a_line() -> None:
    console, progress = rendered(terminal=True)
    with progress.shown("ktest: about 1 min"):
        progress.listed("demand-paging", 3)
        for outcome in OUTCOMES[:3]:
            progress.ended(outcome)
    text = console.export_text()
    assert "mmap.zeroed" in text
    assert "fork.shared" not in text
