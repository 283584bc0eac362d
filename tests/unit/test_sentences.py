"""Sentences are true of every shape of data that the statistics know."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest

from pibed.model import words as naming
from pibed.model.plan import Cell
from pibed.model.samples import Number, Sample
from pibed.report import wording
from pibed.report.answer import headline
from pibed.stats.analysis import Analysis
from pibed.stats.balance import balances
from pibed.stats.comparison import compare
from pibed.stats.growth import CostChange, changes, costs, fits
from pibed.stats.observations import Alternative, observe
from tests.unit.helpers import experiment, measured
from tests.unit.test_statistics import POOLS, STUDY, numbers, odd_run

PAIR = (Alternative(0, "lazy"), Alternative(1, "eager"))
SLOW, FAST = [20, 21, 22, 23, 24, 25], [10, 11, 12, 13, 14, 15]


def words(lazy: list[Number], eager: list[Number], unit: str = "µs", **analysis: Any) -> str:
    """The sentence on work_us at size 64."""
    study = experiment(
        metrics={"work_us": {"title": "work", "pattern": "(a)", "unit": unit, "table": True}},
        analysis={"compare": "eager", "total": ["work_us"]} | analysis,
    )
    cells = {(0, 64): {"work_us": lazy}, (1, 64): {"work_us": eager}}
    (found,) = compare(observe(study, measured(study, cells)))
    return wording.compared(study, found)


def test_a_mode_that_is_faster() -> None:
    assert words([130, 131, 132, 133, 134, 135], [100] * 6) == (
        "At size 64, work: eager is faster; lazy takes 32.5 % longer (95 % interval 30.5 to 34.5 "
        "%). Medians: 132.5 µs with lazy, 100 µs with eager."
    )
    assert "lazy is faster; eager takes 32.5 % longer (95 % interval 30.5 to 34.5 %)" in words(
        [100] * 6, [130, 131, 132, 133, 134, 135]
    )


def test_twice_and_more_is_said_in_times() -> None:
    assert "lazy is faster; eager takes 4 times as long." in words([10] * 6, [40] * 6)


def test_what_is_no_time_is_not_faster() -> None:
    text = words([10] * 6, [40] * 6, unit="pages")
    assert "lazy is lower; eager has 4 times as much. In every sample: 10 pages" in text


def test_a_median_of_zero_has_no_percentage() -> None:
    for lazy, eager, mode in ((SLOW, [0] * 6, "eager"), ([0] * 6, SLOW, "lazy")):
        text = words(list(lazy), list(eager))
        assert f"work: {mode} is faster. Medians: " in text


def test_no_relevant_difference() -> None:
    assert "no relevant difference; the modes are no more than 1 % apart (95 %" in words(
        [10000, 10001, 10002, 10003, 10004, 10005], [10001, 10002, 10003, 10004, 10005, 10006]
    )
    assert "work: no difference. In every sample: 7 µs with lazy, 7 µs" in words([7] * 6, [7] * 6)
    text = words([1000] * 6, [1001] * 6)
    assert "no more than 1 % apart. In every sample: 1,000 µs with lazy, 1,001 µs" in text


@pytest.mark.parametrize(
    ("lazy", "eager", "why"),
    [
        ([5], [9], "no interval below 6 samples: lazy has 1, eager has 1. Medians: 5 µs"),
        (FAST, [-1, 0, 1, 2, 3, 4], "no ratio of values below 0"),
        (FAST, [30, 1, 30, 1, 30, 1], "the ratio's interval"),
    ],
)
def test_undecided_says_why(lazy: list[Number], eager: list[Number], why: str) -> None:
    assert f"work: undecided; {why}" in words(lazy, eager)


# Headlines


def answer(cells: dict[tuple[int, int], list[int]], **changes: Any) -> list[str]:
    study = experiment(**changes)
    values: dict[Any, Any] = {
        cell: {"work_us": column, "pages": [8] * len(column)} for cell, column in cells.items()
    }
    return headline(Analysis(study, measured(study, values)))


def test_headline_names_the_sizes() -> None:
    both = {(0, 64): SLOW, (1, 64): FAST, (0, 128): SLOW, (1, 128): FAST}
    assert answer(both) == ["Eager is faster in work at size 64 and 128."]
    assert answer(both | {(0, 128): FAST, (1, 128): FAST[::-1]}) == [
        "Eager is faster in work at size 64.",
        "These samples do not decide which mode is faster in work at size 128.",
    ]


def test_headline_says_how_many_samples_a_verdict_takes() -> None:
    assert answer({(0, 64): SLOW[:5], (1, 64): FAST[:5]})[:2] == [
        "These samples do not decide which mode is faster in work at size 64.",
        "It takes at least 6 samples of each mode.",
    ]


def test_headline_tells_of_missing_cells() -> None:
    assert answer({(0, 64): SLOW, (1, 64): FAST, (0, 128): SLOW}) == [
        "Eager is faster in work at size 64.",
        "1 more cannot be compared: a mode has no sample that is ok there.",
    ]
    expected = ["Nothing is compared: no cell has samples of both modes that are ok."]
    assert answer({(0, 64): SLOW, (1, 128): FAST}) == expected
    assert answer({}) == expected


def test_what_is_compared_is_called_by_its_title() -> None:
    access = {"title": "access [kind]", "values": [0, 1], "minimum": 0, "maximum": 1}
    parameters = experiment().model_dump()["parameters"] | {"eager": access}
    asked: dict[str, Any] = {"compare": "eager", "total": ["work_us"]}
    shown: dict[str, Any] = {"parameters": parameters, "analysis": asked}
    assert answer({(0, 64): FAST, (1, 64): FAST}, **shown) == [
        "The accesses differ by no more than 1 % in work at size 64.",
        "1 more cannot be compared: an access has no sample that is ok there.",
    ]
    assert answer({(0, 64): FAST, (1, 64): FAST[::-1]}, **shown)[0] == (
        "These samples do not decide which access is faster in work at size 64."
    )
    assert answer({}, **shown) == [
        "Nothing is compared: no cell has samples of both accesses that are ok."
    ]


@pytest.mark.parametrize(
    ("noun", "several", "one"),
    [
        ("mode", "modes", "a mode"),
        ("access", "accesses", "an access"),
        ("policy", "policies", "a policy"),
        ("way", "ways", "a way"),
        ("switch", "switches", "a switch"),
        ("unit", "units", "a unit"),
    ],
)
def test_several_and_one_of_a_noun(noun: str, several: str, one: str) -> None:
    assert (naming.plural(noun), naming.indefinite(noun)) == (several, one)


def test_headline_of_one_mode() -> None:
    one = {"title": "mode", "values": [0], "minimum": 0, "maximum": 1, "labels": {0: "lazy"}}
    size = {"title": "size", "values": [64], "minimum": 1, "maximum": 1024}
    study: dict[str, Any] = {"parameters": {"eager": one, "size": size}}
    expected = "Nothing is compared: the experiment names no parameter whose values are"
    assert answer({(0, 64): SLOW}, **study)[0].startswith(expected)
    study["analysis"] = {"compare": "eager", "total": ["work_us"]}
    (line,) = answer({(0, 64): SLOW}, **study)
    assert line == "Nothing is compared: eager has one value: there is nothing to compare it with."


def test_many_combinations_are_counted() -> None:
    sizes = list(range(1, 9))
    parameters = {
        "eager": {"title": "mode", "values": [0, 1], "minimum": 0, "maximum": 1,
                  "labels": {0: "lazy", 1: "eager"}},
        "size": {"title": "size", "values": sizes, "minimum": 1, "maximum": 9},
    }  # fmt: skip
    cells = {(mode, size): SLOW if mode == 0 else FAST for mode in (0, 1) for size in sizes}
    assert answer(cells, parameters=parameters) == [
        "Eager is faster in work at all 8 values of size."
    ]
    assert answer(cells | {(0, 3): FAST}, parameters=parameters) == [
        "Eager is faster in work at 7 of 8 values of size.",
        "The modes differ by no more than 1 % in work at size 3.",
    ]


# Growth, costs, balance


def grown(values: dict[int, list[int]], law: str = "linear") -> str:
    parameters = {
        "size": {"title": "size", "values": list(values), "minimum": 1, "maximum": 1024},
    }
    growth = [{"metric": "work_us", "against": "size", "law": law}]
    study = experiment(
        parameters=parameters,
        module={"folder": "module", "name": "kmod", "parameters": {}},
        analysis={"growth": growth},
    )
    samples = measured(
        study,
        {(size,): {"work_us": row, "pages": [1] * len(row)} for size, row in values.items()},
    )
    (found,) = fits(observe(study, samples))
    return wording.fitted(study, found)


@pytest.mark.parametrize(
    ("values", "law", "text"),
    [
        ({1: [12], 2: [14], 3: [16]}, "linear",
         "Work grows by 2 µs for one more of size, from 10 µs at 0 (95 % interval 2 to 2, R² 1, "
         "3 points)."),
        ({1: [16], 2: [14], 3: [12]}, "linear",
         "Work falls by 2 µs for one more of size, from 18 µs at 0 (95 % interval 2 to 2, R² 1, "
         "3 points)."),
        ({1: [12], 2: [14]}, "linear",
         "Work grows by 2 µs for one more of size, from 10 µs at 0 (2 points); two points are "
         "always on a line: no interval and no R²."),
        ({1: [5], 2: [5], 3: [5]}, "linear", "Work is the same, 5 µs, at all 3 points."),
        ({1: [5], 2: [9], 3: [5]}, "linear", "Work: no growth with size can be told; slope "),
        ({1: [5]}, "linear",
         "Work: no growth is fitted; a single value of size: there is nothing to fit."),
        ({1: [3], 2: [12], 4: [48]}, "power", "Work grows as size to the power of 2 (95 %"),
        ({1: [48], 2: [12], 4: [3]}, "power", "Work falls as size to the power of -2 (95 %"),
        ({1: [0], 2: [12], 4: [48]}, "power", "Work: no growth is fitted; a median is not above"),
    ],
)  # fmt: skip
def test_growth(values: dict[int, list[int]], law: str, text: str) -> None:
    assert grown(values, law).startswith(text)


def costed(work: tuple[list[int], list[int]], pages: tuple[int, int]) -> str:
    study = experiment(
        analysis={
            "compare": "eager",
            "total": ["work_us"],
            "cost": {"metric": "work_us", "events": "pages"},
        }
    )
    cells = {
        (mode, 64): {"work_us": work[mode], "pages": [pages[mode]] * len(work[mode])}
        for mode in (0, 1)
    }
    (found,) = costs(observe(study, measured(study, cells)))
    return wording.costed(study, found)


def test_costs() -> None:
    steady = [100, 102, 104, 106, 108, 110]
    less = [each - 50 for each in steady]
    assert costed((steady, less), (10, 0)).startswith(
        "At size 64, each of the pages adds 5 µs to work (95 % interval 5 to 5); the modes' "
        "medians differ by 50 µs and 10 pages."
    )
    assert "takes 5 µs from work (95 % interval 5 to 5)" in costed((less, steady), (10, 0))
    assert "no cost of one of the pages in work can be told from 0: " in costed(
        (steady, steady[::-1]), (10, 0)
    )
    assert "to work (no interval below 6 samples: lazy has 2, eager has 2); " in costed(
        (steady[:2], less[:2]), (10, 0)
    )
    assert "no cost of one of the pages; both modes have the same" in costed((steady, less), (8, 8))


LINE = {
    "title": "log line",
    "values": [0, 1],
    "minimum": 0,
    "maximum": 1,
    "labels": {0: "off", 1: "on"},
}


@pytest.mark.parametrize(
    ("change", "low", "high", "reason", "text"),
    [
        (3.0, 2.5, 3.5, "",
         "at size 64, log line on instead of off adds 3 µs to work for each of the pages (95 % "
         "interval 2.5 to 3.5)."),
        (-3.0, -3.5, -2.5, "",
         "at size 64, log line on instead of off takes 3 µs from work for each of the pages (95 % "
         "interval 2.5 to 3.5)."),
        (0.5, -1.0, 2.0, "",
         "at size 64, what log line on instead of off changes in the cost of one of the pages "
         "cannot be told from 0: 0.5 µs of work (95 % interval -1 to 2)."),
        (-0.5, -2.0, 1.0, "",
         "at size 64, what log line on instead of off changes in the cost of one of the pages "
         "cannot be told from 0: -0.5 µs of work (95 % interval -2 to 1)."),
        (0.0, 0.0, 0.0, "",
         "at size 64, what log line on instead of off changes in the cost of one of the pages "
         "cannot be told from 0: 0 µs of work (95 % interval 0 to 0)."),
        (-3.0, None, None, "no interval below 6 samples: lazy has 2",
         "at size 64, log line on instead of off takes 3 µs from work for each of the pages (no "
         "interval below 6 samples: lazy has 2)."),
        (None, None, None, "nothing to divide by",
         "at size 64, what log line on instead of off changes in the cost of one of the pages is "
         "not known; nothing to divide by."),
    ],
)  # fmt: skip
def test_changes(
    change: float | None, low: float | None, high: float | None, reason: str, text: str
) -> None:
    study = experiment(parameters=experiment().model_dump()["parameters"] | {"line": LINE})
    at = Cell((("size", 64),))
    numbers = (change, low, high, reason)
    found = CostChange(at, PAIR, "work_us", "pages", "line", (0, 1), *numbers)
    assert wording.changed(study, found) == f"A{text[1:]}"
    nowhere = CostChange(Cell(()), PAIR, "work_us", "pages", "line", (0, 1), *numbers)
    words = text.removeprefix("at size 64, ")
    assert wording.changed(study, nowhere) == f"{words[0].upper()}{words[1:]}"


def test_a_parameter_whose_title_has_a_unit() -> None:
    touched = {"title": "touched [%]", "values": [0, 20], "minimum": 0, "maximum": 100}
    study = experiment(parameters=experiment().model_dump()["parameters"] | {"touched": touched})
    assert naming.title(study, "touched") == "touched"
    assert naming.with_unit(study, "touched", "20 to 30") == "20 to 30 % touched"
    assert naming.with_unit(study, "size", "64") == "size 64"
    at = Cell((("eager", 1), ("size", 64), ("touched", 20)))
    assert naming.place(study, at) == "mode eager, size 64, 20 % touched"
    assert naming.place(study, Cell(())) == ""
    found = CostChange(Cell(()), PAIR, "work_us", "pages", "touched", (0, 20), 2.0, 1.0, 3.0, "")
    assert wording.changed(study, found) == (
        "20 instead of 0 % touched adds 2 µs to work for each of the pages (95 % interval 1 to 3)."
    )


def balanced(lazy: dict[int, list[int]], eager: dict[int, list[int]]) -> str:
    study = experiment(
        analysis={"compare": "eager", "total": ["work_us"], "balance": "size"},
    )
    cells = {
        (mode, size): {"work_us": values, "pages": [1] * len(values)}
        for mode, column in ((0, lazy), (1, eager))
        for size, values in column.items()
    }
    (found,) = balances(observe(study, measured(study, cells)))
    return wording.balanced(study, found)


def test_balance() -> None:
    near = {64: FAST, 128: SLOW}
    assert balanced(near, {64: SLOW, 128: FAST}) == (
        "Both modes take the same work at size 96, on a straight line between 64 and 128 (95 % "
        "interval 96 to 96); below that lazy has the smaller median, above that eager."
    )
    assert "below that eager has the smaller" in balanced({64: SLOW, 128: FAST}, near)
    assert "No balance in size; none in range: lazy is faster from 64 to 128." in balanced(
        {64: FAST, 128: FAST}, {64: SLOW, 128: SLOW}
    )
    text = balanced({64: FAST[:2], 128: SLOW[:2]}, {64: SLOW[:2], 128: FAST[:2]})
    assert "between 64 and 128 (no interval below 6 samples" in text


# All that there can be


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_sentences_of_odd_runs(pool: list[Number]) -> None:
    for seed in range(10):
        samples: list[Sample] = odd_run(pool, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            analysis = Analysis(STUDY, samples)
            observations, comparisons = analysis.observations, analysis.comparisons
        lines = headline(analysis)
        lines += [wording.compared(STUDY, each) for each in comparisons]
        lines += [wording.fitted(STUDY, each) for each in fits(observations)]
        lines += [wording.costed(STUDY, each) for each in costs(observations)]
        lines += [wording.changed(STUDY, each) for each in changes(observations)]
        lines += [wording.balanced(STUDY, each) for each in balances(observations)]
        assert len(numbers(comparisons)) or "compared" in lines[0]
        for line in lines:
            assert line.endswith(".")
            assert not re.search(r"\bNone\b|\bnan\b|\binf\b|  |\(\)|; ?[.;,)]|\.\.", line), line


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1536, "1,536"),
        (25429.5, "25,429.5"),
        (0.1234567, "0.1235"),
        (-3.0, "-3"),
        (1e50, "1e+50"),
        (1e-50, "1e-50"),
        (123.456, "123.5"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert naming.number(value) == text


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (1537417.5, 39.1, "1,537,418"),
        (12192848.6, 1234, "12,192,800"),
        (59.3, 1.57, "59.3"),
        (58.444, 0.516, "58.44"),
        # What is whole needs no more digits.
        (59, 1.57, "59"),
        (58.5, 0.5, "58.5"),
        # The second digit is that of the rounded uncertainty.
        (1.23456, 0.0996, "1.23"),
        (1.23456, 0.00949, "1.2346"),
        (-0.0006018, 0.0023, "-0.0006"),
        # Two digits are left of what is less than its uncertainty.
        (22.5, 9999, "22"),
        (0.0456, 75, "0.046"),
        (0, 12, "0"),
        # Exact, or not known how exact.
        (25429.5, 0, "25,429.5"),
        (1537, None, "1,537"),
        (1e50, 1e47, "1e+50"),
        (1e-50, 1e-52, "1e-50"),
        (123.456, 1e-30, "123.456"),
    ],
)
def test_digits_that_are_supported(value: float, spread: float | None, text: str) -> None:
    assert naming.supported(value, spread) == text


def test_an_intervals_bounds_have_the_digits_of_its_width() -> None:
    assert naming.interval(1.00028641, 1.00097712) == "1.00029 to 1.00098"
    assert naming.interval(7, 7) == "7 to 7"
    assert naming.half_width(1, 4) == 1.5
    assert naming.half_width(None, 4) is naming.half_width(1, None) is None


def test_an_exact_difference_keeps_its_digits() -> None:
    text = words([1000.25] * 6, [1001.75] * 6)
    assert "In every sample: 1,000.2 µs with lazy, 1,001.8 µs with eager" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one word", "One word."),
        ("eager=1 is faster", "eager=1 is faster."),
        ("samples.csv is damaged", "samples.csv is damaged."),
        ("undecided.", "Undecided."),
        ("µs are short", "µs are short."),
    ],
)
def test_beginning_and_end_of_a_sentence(text: str, expected: str) -> None:
    assert naming.sentence(text) == expected


def test_number_without_a_unit_has_no_brackets() -> None:
    assert naming.in_unit("work", "µs") == "work [µs]"
    assert naming.in_unit("checksum", "") == "checksum"
