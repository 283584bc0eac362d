"""More than two alternatives: each is compared with the baseline that the experiment names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pibed import plots
from pibed.commands import sweep
from pibed.commands.options import SweepOptions
from pibed.model.experiment import Experiment
from pibed.model.plan import cells
from pibed.plots import canvas
from pibed.report import listing, page, wording
from pibed.report.answer import headline
from pibed.runs import reading
from pibed.stats.analysis import Analysis
from pibed.stats.comparison import Verdict, holm
from tests.unit.helpers import archived, experiment, measured

# Of each kind of heap: how long the work takes, by size.
COSTS = {0: {64: 100, 128: 400}, 1: {64: 150, 128: 300}, 2: {64: 100, 128: 200}}


def study(baseline: int | None = None, values: tuple[int, ...] = (0, 1, 2), **more: Any) -> Any:
    labels = {0: "slab", 1: "pool", 2: "arena", 3: "stack", 4: "none"}
    heap = {"title": "heap", "values": list(values), "minimum": 0, "maximum": 99, "labels": labels}
    parameters = {"heap": heap, "size": experiment().model_dump()["parameters"]["size"]}
    module = {"folder": "m", "name": "kmod", "parameters": {}}
    asked = {"compare": "heap", "total": ["work_us"], "baseline": baseline}
    analysis = asked | more.pop("analysis", {})
    return experiment(
        parameters=parameters | more.pop("parameters", {}),
        module=module,
        rounds=8,
        analysis=analysis,
        **more,
    )


def analysed(spec: Experiment, costs: Any = None, pages: Any = None) -> Analysis:
    """A run whose samples lie close around these costs."""
    costs, found = costs or COSTS, {}
    for cell in cells(spec):
        at = cell.as_dict()
        cost = costs[at["heap"]][at["size"]]
        counts = [(pages or {}).get(at["heap"], 8)] * spec.rounds
        values = [10 * cost + row for row in range(spec.rounds)]
        found[tuple(at.values())] = {"work_us": values, "pages": counts}
    return Analysis(spec, measured(spec, found))


def told(analysis: Analysis) -> list[tuple[str, str]]:
    """The labels of each pair of the deciding metric, and the verdict, at size 64 and then 128."""
    return [
        (" / ".join(each.label for each in found.alternatives), wording.verdict(found))
        for found in sorted(analysis.deciding, key=lambda each: each.others.as_dict()["size"])
    ]


def test_each_is_compared_with_the_first_unless_another_is_named() -> None:
    assert told(analysed(study())) == [
        ("pool / slab", "slab"),
        ("arena / slab", "no relevant difference"),
        ("pool / slab", "pool"),
        ("arena / slab", "arena"),
    ]
    assert told(analysed(study(baseline=1))) == [
        ("slab / pool", "slab"),
        ("arena / pool", "arena"),
        ("slab / pool", "pool"),
        ("arena / pool", "arena"),
    ]


@pytest.mark.parametrize(
    ("baseline", "pair"), [(None, "slab / pool"), (1, "slab / pool"), (0, "pool / slab")]
)
def test_of_two_the_second_is_the_baseline_unless_another_is_named(
    baseline: int | None, pair: str
) -> None:
    found = told(analysed(study(baseline, values=(0, 1))))
    assert found == [(pair, "slab"), (pair, "pool")]


def test_all_comparisons_are_one_family() -> None:
    found = analysed(study()).comparisons
    assert len(found) == 2 * 2 * 2  # sizes, metrics, alternatives beside the baseline
    tested = [each for each in found if each.p is not None]
    assert [each.p_holm for each in tested] == holm([each.p or 0.0 for each in tested])
    assert len(tested) == 4
    least = min(tested, key=lambda each: each.p or 0.0)
    assert least.p_holm == pytest.approx(4 * (least.p or 0.0))


def test_samples_of_the_baseline_are_missing() -> None:
    spec = study()
    whole = analysed(spec)
    part = [each for each in whole.samples if each.cell.as_dict() != {"heap": 0, "size": 64}]
    assert headline(Analysis(spec, part))[-1] == (
        "2 more cannot be compared: a heap has no sample that is ok there."
    )
    alone = [each for each in whole.samples if each.cell.as_dict()["heap"] != 0]
    assert headline(Analysis(spec, alone)) == [
        "Nothing is compared: no cell has samples of slab and another heap that are ok."
    ]


def test_answer_puts_together_what_is_alike() -> None:
    assert headline(analysed(study())) == [
        "Slab is faster than pool in work at size 64.",
        "Arena differs from slab by no more than 1 % in work at size 64.",
        "Pool and arena are faster than slab in work at size 128.",
    ]
    costs = {heap: {64: cost, 128: cost} for heap, cost in enumerate((300, 100, 200, 300, 400))}
    assert headline(analysed(study(values=(0, 1, 2, 3, 4)), costs)) == [
        "Pool and arena are faster than slab in work at size 64 and 128.",
        "Stack differs from slab by no more than 1 % in work at size 64 and 128.",
        "Slab is faster than none in work at size 64 and 128.",
    ]
    few = study()
    analysis = analysed(few)
    short = Analysis(few, [each for each in analysis.samples if each.round < 3])
    assert headline(short) == [
        "These samples do not tell pool and arena from slab in work at size 64 and 128.",
        "It takes at least 6 samples of each heap.",
    ]


def test_sentences_name_the_two() -> None:
    analysis = analysed(study())
    lines = [wording.compared(analysis.experiment, each) for each in analysis.deciding]
    assert lines[0].startswith("At size 64, work: slab is faster; pool takes 49.83 % longer (")
    assert lines[1].startswith(
        "At size 64, work: no relevant difference; arena and slab are no more than 1 % apart"
    )


def test_table_has_a_row_for_each(tmp_path: Path) -> None:
    spec = study()
    folder = archived(tmp_path / "20260203T040506Z-a", spec, analysed(spec).samples)
    table = page.make(reading.read(folder), []).tables[0]
    headings = [column.heading for column in table.columns[:6]]
    assert headings == ["size", "metric", "heap", "verdict", "median", "median, slab"]
    assert [row[:4] for row in table.rows] == [
        ("64", "work [µs]", "pool", "slab"),
        ("64", "work [µs]", "arena", "no relevant difference"),
        ("128", "work [µs]", "pool", "pool"),
        ("128", "work [µs]", "arena", "arena"),
    ]
    assert table.note.endswith(
        "Each is compared with slab; the ratio is its median by that of slab."
    )
    assert listing.entry(folder).verdict == "pool: it depends; arena: arena (in 1 of 2)"
    same = Analysis(spec, analysed(spec, dict.fromkeys(COSTS, COSTS[0])).samples)
    assert listing.in_a_word(same.deciding) == "pool and arena: no relevant difference"


def test_balance_of_each_with_the_baseline() -> None:
    analysis = analysed(study(analysis={"balance": "size"}))
    lines = headline(analysis)
    assert lines[0].startswith("Pool and slab take the same work at size 85.33 (95 % interval ")
    assert lines[0].endswith("; below that slab has the smaller median, above that pool.")
    assert "arena" in lines[1].lower()
    drawn = {each.name: each.title for each in plots.draw(analysis) if "balance" in each.name}
    assert drawn == {
        "balance": "work by size, and the balance of pool and slab",
        "balance-2": "work by size, and the balance of arena and slab",
    }
    flat = {heap: {64: 1, 128: 2} for heap in COSTS}
    never = analysed(study(analysis={"balance": "size"}), flat)
    assert wording.balanced(never.experiment, never.balances[0]) == (
        "No balance in size between pool and slab; the medians of pool and slab are equal "
        "everywhere."
    )


def test_cost_of_an_event_against_the_baseline() -> None:
    line = {"title": "line", "values": [0, 1], "minimum": 0, "maximum": 1}
    cost = {"metric": "work_us", "events": "pages", "by": "line"}
    spec = study(parameters={"line": line}, analysis={"cost": cost})
    analysis = analysed(spec, pages={0: 10, 1: 20, 2: 10})
    pairs = {(each.alternatives[0].label, each.cost) for each in analysis.costs}
    assert pairs == {("pool", 50.0), ("pool", -100.0), ("arena", None)}
    pool, arena = (wording.costed(spec, each) for each in analysis.costs[:2])
    assert pool.endswith("the medians of pool and slab differ by 500 µs and 10 pages.")
    assert arena.endswith("arena and slab have the same median of pages: nothing to divide by."), (
        arena
    )
    lines = [line for line in headline(analysis) if "changes in the cost" in line]
    assert lines == [
        "What line 1 instead of 0 changes in the cost of one of the pages between "
        f"{first} and slab cannot be told at size 64 and 128."
        for first in ("pool", "arena")
    ]


def test_as_many_looks_as_alternatives() -> None:
    many = canvas.looks(30)
    assert len({(look.colour, look.marker) for look in many}) == 30
    assert canvas.looks(2) == list(canvas.LOOKS)
    axis = canvas.ParameterAxis((64, 128, 160), log=False, abreast=12)
    places = [axis.place(value, index) for value in axis.values for index in range(12)]
    assert places == sorted(places)
    _, (axes,) = canvas.panels("t", 1, 1, (3, 3), "x", "y")
    axis.prepare(axes)
    low, high = axes.get_xlim()
    assert low < places[0] < places[-1] < high


def test_all_are_drawn() -> None:
    growth = [{"metric": "work_us", "against": "size", "law": "power"}]
    values = (0, 1, 2, 3, 4)
    costs = {heap: {64: 100 * (heap + 1), 128: 300 * (heap + 1)} for heap in values}
    drawn = {
        each.name: each
        for each in plots.draw(analysed(study(values=values, analysis={"growth": growth}), costs))
    }
    for name in ("median-work_us", "mean-work_us", "growth-work_us-size-power"):
        for label in ("slab", "pool", "arena", "stack", "none"):
            assert label in drawn[name].alt, name
    texts = drawn["median-work_us"].figure.legends[0].get_texts()
    assert [text.get_text() for text in texts][:5] == ["slab", "pool", "arena", "stack", "none"]
    assert len(drawn["samples-work_us"].figure.axes) == 10


def test_sweep_without_the_baseline_compares_what_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = study(baseline=2)

    def load(_: str | None, overrides: Any = None) -> Experiment:
        data = spec.model_dump()
        for key, value in (overrides or {}).items():
            first, *rest = key.split(".")
            at = data[first]
            for part in rest[:-1]:
                at = at[part]
            at[rest[-1]] = value
        return Experiment.model_validate(data)

    monkeypatch.setattr("pibed.commands.arguments.experiment", load)
    left = sweep._experiment(SweepOptions(set=("heap=pool,slab",)))
    assert left.analysed.baseline is None
    assert "heap=2, the baseline of small, is not measured" in capsys.readouterr().err
    assert sweep._experiment(SweepOptions(set=("heap=2,0",))).analysed.baseline == 2
    assert sweep._experiment(SweepOptions(set=("size=64",))).analysed.baseline == 2
    assert capsys.readouterr().err == ""


def test_verdict_of_higher_is_better_against_the_baseline() -> None:
    data = experiment().model_dump()["metrics"]
    data["work_us"] |= {"better": "higher", "unit": "MB/s"}
    found = analysed(study(metrics=data))
    assert {each.verdict for each in found.deciding[:1]} == {Verdict.FIRST}
    assert headline(found)[0] == "Pool is faster than slab in work at size 64."
