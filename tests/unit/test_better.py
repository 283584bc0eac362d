"""Metrics of which more is better: every verdict turns round, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pibed import plots
from pibed.base.errors import ChecksFailed
from pibed.commands import compare
from pibed.commands.options import CompareOptions
from pibed.model.experiment import Experiment
from pibed.model.plan import cells
from pibed.model.samples import Sample
from pibed.report import listing, page, tables
from pibed.report.answer import headline
from pibed.report.changes import changes, conclusions
from pibed.report.wording import compared
from pibed.runs import reading
from pibed.stats.analysis import Analysis
from pibed.stats.comparison import Verdict
from tests.unit.helpers import archived, experiment, measured

LESS = [100, 101, 102, 103, 104, 105, 106, 107]
MORE = [125, 126, 127, 128, 129, 130, 131, 132]

RATE = {"title": "rate", "pattern": r"(\d+) MB/s", "unit": "MB/s", "table": True}
TIME = {"title": "work", "pattern": r"took (\d+) us", "unit": "µs", "table": True}


def study(better: str = "higher", unit: str = "MB/s", **analysis: Any) -> Experiment:
    return experiment(
        rounds=8,
        metrics={"rate": RATE | {"better": better, "unit": unit}, "work_us": TIME},
        analysis={"compare": "eager", "total": ["rate"]} | analysis,
    )


def samples(spec: Experiment, lazy: list[int], eager: list[int]) -> list[Sample]:
    return measured(
        spec,
        {
            tuple(cell.as_dict().values()): {"rate": rate, "work_us": rate}
            for cell in cells(spec)
            for rate in [eager if cell.as_dict()["eager"] else lazy]
        },
    )


def analysis(better: str = "higher", unit: str = "MB/s", **asked: Any) -> Analysis:
    """Of a run in which eager has 24 % more of everything."""
    spec = study(better, unit, **asked)
    return Analysis(spec, samples(spec, LESS, MORE))


def test_verdict_is_for_the_larger_values() -> None:
    verdicts = {each.metric: each.verdict for each in analysis().comparisons}
    assert verdicts == {"rate": Verdict.SECOND, "work_us": Verdict.FIRST}
    assert {each.verdict for each in analysis("lower").comparisons} == {Verdict.FIRST}
    turned = study()
    swapped = Analysis(turned, samples(turned, MORE, LESS)).comparisons
    assert {each.metric: each.faster.label for each in swapped if each.faster} == {
        "rate": "lazy",
        "work_us": "eager",
    }


def test_equal_values_have_no_better_one() -> None:
    spec = study()
    found = Analysis(spec, samples(spec, LESS, LESS)).deciding
    assert {each.faster for each in found} == {None}


@pytest.mark.parametrize(
    ("unit", "how"), [("MB/s", "faster"), ("pages", "higher"), ("s", "higher")]
)
def test_answer_says_what_is_better(unit: str, how: str) -> None:
    assert headline(analysis(unit=unit)) == [f"Eager is {how} in rate at size 64 and 128."]


def test_sentence_says_by_how_much_the_better_one_has_more() -> None:
    found = analysis()
    (first, _) = found.deciding
    assert compared(found.experiment, first) == (
        "At size 64, rate: eager is faster; it has 24.15 % more than lazy (95 % interval 23.58 to "
        "24.75 %). Medians: 103.5 MB/s with lazy, 128.5 MB/s with eager."
    )
    spec = study()
    factor = Analysis(spec, samples(spec, [4 * each for each in LESS], LESS)).deciding[0]
    assert "lazy is faster; it has 4 times as much as eager (95 % int" in compared(spec, factor)


def test_balance_has_the_larger_median_beside_it() -> None:
    spec = study(balance="size")
    at = {(0, 64): LESS, (1, 64): MORE, (0, 128): MORE, (1, 128): LESS}
    crossed = measured(spec, {cell: {"rate": v, "work_us": v} for cell, v in at.items()})
    answer = headline(Analysis(spec, crossed))[0]
    assert answer.startswith("Both modes have the same rate at size 96 (95 % interval ")
    assert answer.endswith("; below that eager has the larger median, above that lazy.")
    (line, _) = headline(analysis(balance="size"))
    assert line == "No balance in size; none in range: eager is better from 64 to 128."


def run(folder: Path, name: str, values: list[int], better: str = "higher") -> reading.Run:
    spec = study(better)
    folder = folder / f"20260203T040506Z-{name}"
    return reading.read(archived(folder, spec, samples(spec, values, values)))


def test_a_throughput_that_falls_is_a_regression(tmp_path: Path) -> None:
    before, after = run(tmp_path, "a", MORE), run(tmp_path, "b", LESS)
    lines = list(conclusions(changes(before, after)))
    assert lines[0].startswith("worse: mode lazy, size 64: the median of rate is 103.5 MB/s after")
    assert "better: mode lazy, size 64: the median of work is 103.5 µs after 128.5 µs, -19.5 %" in (
        lines
    )
    options = CompareOptions(
        first=before.name, second=after.name, results=str(tmp_path), fail_on_regression=True
    )
    with pytest.raises(ChecksFailed, match="4 got worse"):  # four cells' rate, and no time
        compare.compare(options)


def test_what_was_said_last_of_a_metric_counts(tmp_path: Path) -> None:
    found = changes(run(tmp_path, "a", LESS, "lower"), run(tmp_path, "b", MORE))
    assert {each.trend for each in found.changes if each.metric == "rate"} == {"better"}
    assert "higher is better: of no metric, then rate" in found.notes


def test_list_of_runs_names_the_larger_one(tmp_path: Path) -> None:
    spec = study()
    folder = archived(tmp_path / "20260203T040506Z-a", spec, samples(spec, LESS, MORE))
    assert listing.entry(folder).verdict == "eager"


def test_report_says_which_values_have_the_verdict(tmp_path: Path) -> None:
    spec = study()
    folder = archived(tmp_path / "20260203T040506Z-a", spec, samples(spec, LESS, MORE))
    made = page.make(reading.read(folder), [])
    assert "Which mode is faster" in [part.title for part in made.findings]
    table = made.tables[0]
    assert [row[1:3] for row in table.rows[:2]] == [("rate [MB/s]", "eager"), ("work [µs]", "lazy")]
    assert "smaller values, of rate with the larger ones, has the verdict" in table.note
    counted = analysis(unit="pages")
    only = [each for each in counted.comparisons if each.metric == "rate"]
    assert (
        "with the larger values has" in tables._verdicts("", counted.experiment, only, False).note
    )


def test_axes_say_that_higher_is_better() -> None:
    drawn = {each.name: each.figure for each in plots.draw(analysis())}
    titles = {name: figure.axes[0].get_ylabel() for name, figure in drawn.items()}
    assert titles["median-rate"] == "rate [MB/s], higher is better"
    assert titles["mean-rate"] == "mean rate [MB/s], higher is better"
    assert titles["median-work_us"] == "work [µs]"


def test_no_sum_of_what_should_rise_and_what_should_fall() -> None:
    with pytest.raises(ValidationError, match=r"analysis\.total: no sum of work_us, of which lowe"):
        study(unit="µs", total=["rate", "work_us"])
    left_out = study(unit="µs").model_copy(update={"analysis": None})
    assert left_out.analysed.total == ["rate"]
    with pytest.raises(ValidationError, match="'lower' or 'higher'"):
        study("more")
