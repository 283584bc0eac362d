"""Parameters whose values are text: from the file and the command line to samples and plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pibed import plots
from pibed.base.errors import UsageError
from pibed.commands import configured, settings, sweep
from pibed.commands.options import SweepOptions
from pibed.model import samples as samples_module
from pibed.model.experiment import Experiment
from pibed.model.loading import _explain
from pibed.model.parameter import Parameter
from pibed.model.plan import Cell, cells, digest, load_line, rounds, steps
from pibed.model.samples import Sample, Status
from pibed.plots.canvas import ParameterAxis
from pibed.report import page, tables
from pibed.report.answer import headline
from pibed.report.changes import changes
from pibed.runs import reading
from pibed.runs.folder import RunFolder
from pibed.stats.analysis import Analysis
from tests.unit.helpers import archived, experiment, measured

HEAP: dict[str, Any] = {
    "title": "heap",
    "values": ["slab", "new pool", "it's"],
    "labels": {"slab": "SLAB", "none": "no heap"},
}


def study(heap: dict[str, Any] | None = None, **changes: Any) -> Experiment:
    parameters = {
        "heap": HEAP | (heap or {}),
        "size": experiment().model_dump()["parameters"]["size"],
    }
    module = {"folder": "m", "name": "kmod", "parameters": {"heap": "{heap}"}}
    work = {"source": "a.c", "command": "work {size} '{heap}'", "timeout_s": 1}
    data = {"parameters": parameters, "module": module, "workload": work, "rounds": 8}
    return experiment(**data | changes)


def run(spec: Experiment, less: int = 0) -> list[Sample]:
    return measured(
        spec,
        {
            tuple(at.values()): {
                "work_us": [1000 * (len(at["heap"]) - less) + row for row in range(spec.rounds)],
                "pages": [8] * spec.rounds,
            }
            for at in (cell.as_dict() for cell in cells(spec))
        },
    )


# What the guest is told


def test_text_reaches_module_and_command() -> None:
    spec = study()
    visit = rounds(spec)[0].visits[0]
    values = visit.cell.as_dict()
    assert steps(spec, [visit])[0].run.line.endswith(f"work {values['size']} '{values['heap']}'")
    # A parameter of the module is one word of the shell, whatever the text is.
    assert load_line(spec, {"heap": "new pool", "size": 1}).endswith(" heap='new pool'")
    assert load_line(spec, {"heap": "it's", "size": 1}).endswith(""" heap='it'"'"'s'""")


def test_cells_in_the_order_of_the_file() -> None:
    assert [str(cell) for cell in cells(study())][:3] == [
        "heap=slab size=64",
        "heap=slab size=128",
        "heap=new pool size=64",
    ]
    assert len({Cell.of({"a": "1"}), Cell.of({"a": 1})}) == 2


# Refused


@pytest.mark.parametrize(
    ("heap", "words"),
    [
        ({"values": ["a", 1]}, "values: 1 is a number, but the first value is text"),
        ({"values": [1, "a"], "labels": {}}, "values: 'a' is text, but the first value is whole n"),
        ({"labels": {1: "one"}}, "labels: 1 is a number, but the first value is text"),
        ({"values": [True, "b"]}, "text, not True, for which YAML takes on, off, yes and no with"),
        ({"labels": {False: "x"}}, "text, not False, for which YAML takes on, off, yes and no w"),
        ({"values": ["a,b"]}, "expected text without commas"),
        ({"values": [""]}, "expected text without commas, control characters and spaces around"),
        ({"values": [" a"]}, "spaces around it, not ' a'"),
        ({"values": ["a\nb"]}, "control characters"),
        ({"values": ["a", "a"]}, "values: a is there more than once"),
        ({"values": [1.5]}, "1.5"),
        ({"minimum": 0}, "minimum: only numbers have one"),
        ({"maximum": 0}, "maximum: only numbers have one"),
        ({"labels": {"slab": "new pool"}}, "labels: 'new pool' is a value, but the label of slab"),
        ({"labels": {"slab": "none", "none": "x"}}, "'none' is a value, but the label of slab"),
    ],
)
def test_refused(heap: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        study(heap)
    assert words in _explain(Path("x.yaml"), caught.value, {})


def test_numbers_have_bounds() -> None:
    for lacks in ("minimum", "maximum"):
        data = {"title": "n", "values": [1], "minimum": 0, "maximum": 9}
        data.pop(lacks)
        with pytest.raises(ValidationError, match=f"{lacks}: expected a number"):
            Parameter.model_validate(data)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"compare": "size", "total": ["work_us"], "balance": "heap"}, "analysis.balance: the val"),
        (
            {"growth": [{"metric": "work_us", "against": "heap", "law": "linear"}]},
            "analysis.growth: the values of heap are text, not numbers",
        ),
        (
            {"compare": "heap", "baseline": "none"},
            "none is not a value of heap: slab, new pool, it",
        ),
        ({"baseline": "slab"}, "analysis.baseline: expected analysis.compare beside it"),
    ],
)
def test_what_needs_numbers_says_so(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        study(analysis=asked)


# The command line


def swept(monkeypatch: pytest.MonkeyPatch, text: str) -> list[Any]:
    def load(_: str | None, overrides: Any = None) -> Experiment:
        values = (overrides or {}).get("parameters.heap.values", HEAP["values"])
        return study({"values": values})

    monkeypatch.setattr("pibed.commands.arguments.experiment", load)
    return [*sweep._experiment(SweepOptions(set=(f"heap={text}",))).parameters["heap"].values]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("slab", ["slab"]),
        ("it's, new pool", ["it's", "new pool"]),
        ("SLAB,no heap", ["slab", "none"]),
        ("none", ["none"]),
    ],
)
def test_set(monkeypatch: pytest.MonkeyPatch, text: str, values: list[str]) -> None:
    assert swept(monkeypatch, text) == values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slob", "--set heap=slob: 'slob' is no value"),
        ("slab,,none", "--set heap=slab,,none: a value is missing"),
        ("1", "'1' is no value"),
        ("slab,SLAB", "slab is there more than once"),
    ],
)
def test_set_to_something_else(monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        swept(monkeypatch, text)
    assert words in caught.value.message
    if "no value" in words:
        assert caught.value.fix == (
            "expected, with commas between them: slab, new pool, it's, none, SLAB, no heap"
        )


def test_label_of_two_values() -> None:
    parameter = Parameter.model_validate(
        {"title": "t", "values": ["a", "b"], "labels": {"a": "x", "b": "x"}}
    )
    setting = settings.Setting("--set t", "=", "x", "t")
    with pytest.raises(UsageError, match="x is the label of a and of b") as caught:
        settings.values(setting, parameter)
    assert caught.value.fix == "give the text"


def test_option_that_an_experiment_declares(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    file = {"parameters": {"heap": HEAP | {"options": {"sweep": "heaps"}}}}
    (tmp_path / "experiments" / "x.yaml").write_text(json.dumps(file))
    options = configured.read(tmp_path).options("sweep")
    assert options == {"heaps": "values of heap: slab (SLAB), new pool, it's (experiment x)"}


# Files


def test_samples_are_read_as_they_were_written() -> None:
    spec = study()
    found = run(spec)
    assert samples_module.from_csv(spec, samples_module.to_csv(spec, found)) == sorted(
        found, key=lambda each: (each.round, each.order)
    )
    for each in found[:3]:
        assert Sample.from_json(each.to_json()) == each
    line = json.dumps(json.loads(found[0].to_json()) | {"parameters": {"heap": None}})
    with pytest.raises(TypeError, match="None is no value of a parameter"):
        Sample.from_json(line)


def test_text_that_looks_like_a_number_stays_text() -> None:
    spec = study({"values": ["1", "02"], "labels": {"1": "one"}})
    text = samples_module.to_csv(spec, run(spec))
    assert {each.cell.as_dict()["heap"] for each in samples_module.from_csv(spec, text)} == {
        "1",
        "02",
    }
    assert Experiment.model_validate_json(spec.model_dump_json()) == spec


def test_manifest_keeps_labels(tmp_path: Path) -> None:
    """Keys of JSON are text, those of labels what the values are."""
    for spec in (study(), experiment(rounds=8)):
        path = archived(tmp_path / spec.title / str(len(spec.parameters)) / digest(spec), spec, [])
        assert reading.read(path).experiment == spec
    data = json.loads(experiment().model_dump_json())
    data["parameters"]["eager"]["labels"] = {"x": "lazy"}
    with pytest.raises(ValidationError, match="labels: 'x' is text, but the first value is whole"):
        Experiment.model_validate_json(json.dumps(data))


def test_run_is_taken_up_again(tmp_path: Path) -> None:
    spec = study()
    folder = RunFolder(tmp_path, spec)
    first, _ = (each for each in rounds(spec)[:2])
    boot = folder.boot_folder(1, 1)
    numbers: dict[str, Any] = {"work_us": 1, "pages": 2}
    lines = [
        Sample(spec.name, 1, visit.order, Status.OK, visit.cell, numbers).to_json()
        for visit in first.visits
    ]
    (boot / "samples.jsonl").write_text("".join(f"{line}\n" for line in lines))
    folder.finish_round(1, 1, [])
    measured_ = folder.measured(first)
    assert measured_ is not None
    assert [each.cell for each in measured_.samples] == [visit.cell for visit in first.visits]


# What is said and drawn


def test_all_of_a_report(tmp_path: Path) -> None:
    spec = study(analysis={"compare": "heap", "total": ["work_us"], "baseline": "it's"})
    runs = [
        reading.read(archived(tmp_path / f"20260203T04050{index}Z-a", spec, run(spec, index)))
        for index in (0, 1)
    ]
    assert headline(runs[0].analysis) == [
        "SLAB differs from it's by no more than 1 % in work at size 64 and 128.",
        "It's is faster than new pool in work at size 64 and 128.",
    ]
    found = changes(*runs)
    assert {each.trend for each in found.changes if each.metric == "work_us"} == {"better"}
    made = page.make(runs[0], [])
    assert "new pool" in page.render(made, "report.html")
    table = tables.of_sweep(spec, {"virtual": runs[0].analysis.summaries}, "t")
    assert [row[0] for row in table.rows][::2] == ["SLAB", "new pool", "it's"]
    assert not table.columns[0].number


def test_categorical_axis() -> None:
    axis = ParameterAxis(("b", "a", "c"), log=False, abreast=2)
    assert [axis.at(value) for value in axis.values] == [0, 1, 2]
    assert axis.place("b", 0) < 0 < axis.place("b", 1)
    work = {"source": "a.c", "command": "work {heap}", "timeout_s": 1}
    spec = study(parameters={"heap": HEAP | {"labels": {}}, "mode": MODE}, workload=work)
    drawn = {each.name: each for each in plots.draw(Analysis(spec, run(spec)))}
    axes = drawn["median-work_us"].figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["slab", "new pool", "it's"]
    # Points, and no line from one word to another.
    assert {line.get_linestyle() for line in axes.lines} == {"None"}
    told = "x 4,004 µs at slab, 8,004 µs at new pool, 4,004 µs at it's, y "
    assert told in drawn["median-work_us"].alt
    bars = drawn["mean-work_us"].figure.axes[0]
    assert [label.get_text() for label in bars.get_xticklabels()] == ["slab", "new pool", "it's"]


MODE = {"title": "mode", "values": [0, 1], "minimum": 0, "maximum": 1, "labels": {0: "x", 1: "y"}}


def test_numbers_are_before_text_along_the_axis() -> None:
    heap = HEAP | {"labels": {}}
    size = experiment().model_dump()["parameters"]["size"]
    spec = study(parameters={"size": size, "heap": heap})
    titles = {each.title for each in plots.draw(Analysis(spec, run(spec)))}
    assert "work by size" in titles
