"""KTAP: what the test programs print is believed only if it is whole."""

from __future__ import annotations

import pytest

from pibed.ktest import ktap
from pibed.ktest.ktap import CaseStatus, KtapResult


def parse(text: str) -> list[KtapResult]:
    document = ktap.parse(text.strip("\n").split("\n"))
    assert document.problem is None
    return list(document.results)


def test_results_with_names_statuses_reasons_and_notes() -> None:
    results = parse(
        """
KTAP version 1
1..4
# first note
ok 1 zeroed
# fork.c:31: expected child == 0
# and more
not ok 2 child shares pages
ok 3 inject # SKIP the kernel has no fault injection
ok 4
"""
    )
    assert results == [
        KtapResult("zeroed", CaseStatus.PASSED, "", ("first note",)),
        KtapResult(
            "child shares pages",
            CaseStatus.FAILED,
            "",
            ("fork.c:31: expected child == 0", "and more"),
        ),
        KtapResult("inject", CaseStatus.SKIPPED, "the kernel has no fault injection", ()),
        KtapResult("", CaseStatus.PASSED, "", ()),
    ]


def test_tap_13_and_a_dash_before_the_name() -> None:
    assert parse("TAP version 13\n1..1\nok 1 - name") == [
        KtapResult("name", CaseStatus.PASSED, "", ())
    ]


@pytest.mark.parametrize("directive", ["SKIP", "skip why", "Skip"])
def test_skip_in_any_case_of_letters(directive: str) -> None:
    assert parse(f"KTAP version 1\n1..1\nok 1 a # {directive}")[0].status == "skipped"


def test_a_failure_is_never_excused() -> None:
    for directive in ("SKIP", "TODO known"):
        assert parse(f"KTAP version 1\n1..1\nnot ok 1 a # {directive}")[0].status == "failed"


def test_a_note_that_looks_like_a_result_is_a_note() -> None:
    results = parse("KTAP version 1\n1..1\n# ok 1 fake\nnot ok 1 real")
    assert [(each.name, each.status) for each in results] == [("real", "failed")]


@pytest.mark.parametrize(
    ("text", "problem", "results"),
    [
        ("1..1\nok 1 a", "there is no line 'KTAP version 1'", 1),
        ("", "there is no line 'KTAP version 1'", 0),
        ("KTAP version 1\nok 1 a", "there is no plan (a line such as '1..4')", 1),
        ("KTAP version 1\n1..2\nok 1 a", "1 of 2 results are there", 1),
        ("KTAP version 1\n1..1\nok 1 a\nok 2 b", "2 of 1 results are there", 2),
        ("KTAP version 1\n1..2\nok 2 b\nok 1 a", "expected result 1, not 'ok 2 b'", 0),
        ("KTAP version 1\n1..2\nok 1 a\nok 1 a", "expected result 2, not 'ok 1 a'", 1),
        ("KTAP version 1\n1..1\nBail out! no module", "Bail out! no module", 0),
        ("KTAP version 1\n1..1\nok 1 a\nBail out! later", "Bail out! later", 1),
    ],
)
def test_what_is_not_whole_has_a_problem_and_the_results_before_it(
    text: str, problem: str, results: int
) -> None:
    document = ktap.parse(text.split("\n"))
    assert document.problem == problem
    assert len(document.results) == results
