"""One analysis of a run: each of its parts is computed once, whoever asks for it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pibed.commands import compare, report, results
from pibed.commands.options import CompareOptions, ListingOptions, ReportOptions
from pibed.model.experiment import load_experiment
from pibed.report.changes import changes
from pibed.runs import reading
from pibed.stats import analysis
from pibed.stats.analysis import Analysis
from pibed.studies import STUDIES
from tests.unit.helpers import archived, experiment, measured
from tests.unit.test_findings import made as made_touched
from tests.unit.test_penalty import logging, made

PARTS = (
    "observe",
    "summarise",
    "outliers",
    "compare",
    "fits",
    "costs",
    "changes",
    "effects",
    "balances",
)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each part of an analysis has been computed since."""
    counts: Counter[str] = Counter()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted_function(*arguments: Any) -> Any:
            counts[name] += 1
            return function(*arguments)

        return counted_function

    for name in PARTS:
        monkeypatch.setattr(analysis, name, counting(name, getattr(analysis, name)))
    return counts


def logged(root: Path, name: str) -> Path:
    """A run of the study whose report has a part of every kind but a balance."""
    study = logging(**{"parameters.size.values": [256, 512]})
    samples = made(study, lambda size, line, row: 7 + 43 * line + row)
    return archived(root / f"20260203T040506Z-{name}", study, samples)


def test_a_report_computes_each_part_once(tmp_path: Path, counted: Counter[str]) -> None:
    folder = logged(tmp_path, "x")
    counted.clear()
    report.report(ReportOptions(run=folder.name, results=str(tmp_path)))
    assert counted == dict.fromkeys(PARTS, 1)


def test_nothing_is_computed_that_nobody_asks_for(tmp_path: Path, counted: Counter[str]) -> None:
    folder = logged(tmp_path, "x")
    counted.clear()
    results.show(ListingOptions(results=str(tmp_path)))
    assert counted == {"observe": 1, "compare": 1}
    counted.clear()
    changes(reading.read(folder), reading.read(folder))
    assert counted == {"observe": 2}
    counted.clear()
    compare.compare(CompareOptions(first=folder.name, second="pi", results=str(tmp_path)))
    assert counted == {"observe": 1, "compare": 1, "costs": 1, "changes": 1}


def test_what_a_sweep_writes_and_shows_is_summarised_once(counted: Counter[str]) -> None:
    study = experiment()
    found = Analysis(study, measured(study, {(0, 64): {"work_us": [5], "pages": [8]}}))
    assert found.summaries is found.summaries
    assert counted == {"summarise": 1}


def test_the_study_takes_the_analysis_of_a_run_that_asks_the_same(
    tmp_path: Path, counted: Counter[str]
) -> None:
    """Where a run asks for less than the study does, its samples are analysed for the study."""
    plain = load_experiment("logging", {"rounds": 8, "analysis": None})
    samples = made(plain, lambda size, line, row: 7 + 43 * line + row)
    study = load_experiment(
        "balance",
        {"rounds": 8, "analysis": None, "parameters.access.values": [0]},
    )
    touched = made_touched(study, lambda mode, percent: (10, 10 + mode * percent))
    for name, asked, found, times in (("a", plain, samples, 1), ("b", study, touched, 2)):
        run = reading.read(archived(tmp_path / f"20260203T040506Z-{name}", asked, found))
        counted.clear()
        assert run.analysis.observations.deciding == "total"
        assert STUDIES["pi"].reported(run).lines
        assert counted["observe"] == times


def test_only_the_analysis_calls_the_statistics() -> None:
    """Whoever else did would compute them again."""
    package = Path(analysis.__file__).parent.parent
    for path in set(package.rglob("*.py")) - {Path(analysis.__file__)}:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pibed.stats."):
                assert not {each.name for each in node.names} & set(PARTS), path
