"""The examples, each copied to a folder outside the checkout with a space in its path."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import pytest

from pibed.model.experiment import Experiment, load_experiment
from tests.unit.helpers import ROOT

from .conftest import Run
from .helpers import only_run
from .test_sweep import rows

# Beside them are scripts for clusters.
EXAMPLES = sorted({path.name for path in (ROOT / "examples").iterdir()} - {"clusters"})


def copied(invoke: Run, tmp_path: Path, name: str) -> Path:
    folder = tmp_path / "an example" / name
    done = invoke("new", str(folder), "--from", name)
    assert done.returncode == 0, done.stderr
    return folder


def answers(text: str) -> list[str]:
    """The sentences between where the results and where the report are."""
    return (
        text.partition("\nresults: ")[2].partition("\n")[2].partition("\nreport: ")[0].splitlines()
    )


def section(name: str) -> str:
    """What docs/examples.md says of one, in one line a paragraph."""
    text = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


def documented(name: str, experiment: Experiment) -> dict[tuple[str, ...], list[str]]:
    """The medians in the table there, by the labels of a cell."""
    table = re.findall(r"^\| (.*) \|$", section(name), re.MULTILINE)[1:]
    count = len(experiment.parameters)
    split = [line.split(" | ") for line in table]
    return {tuple(line[:count]): line[count:] for line in split}


@pytest.mark.full
@pytest.mark.parametrize("name", EXAMPLES)
def test_numbers_in_the_documentation_are_measured(invoke: Run, tmp_path: Path, name: str) -> None:
    folder = copied(invoke, tmp_path, name)
    file, results = str(folder / "experiment.yaml"), tmp_path / "results"
    done = invoke("sweep", "--experiment", file, "--results", str(results), timeout=1800)
    assert done.returncode == 0, done.stderr
    said = " ".join(section(name).split())
    assert all(f"*{answer}*" in said for answer in answers(done.stdout))
    experiment = load_experiment(file)
    measured: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for row in rows(only_run(results)):
        cell = tuple(
            {str(value): label for value, label in each.labels.items()}.get(row[key], row[key])
            for key, each in experiment.parameters.items()
        )
        for metric in experiment.metrics:
            measured.setdefault(cell, {}).setdefault(metric, []).append(float(row[metric]))
    known = documented(name, experiment)
    assert known.keys() == measured.keys()
    for cell, medians in known.items():
        found = [statistics.median(values) for values in measured[cell].values()]
        digits = [len(text.partition(".")[2]) for text in medians]
        rounded = [f"{value:,.{count}f}" for value, count in zip(found, digits, strict=True)]
        assert rounded == medians, cell


@pytest.mark.full
@pytest.mark.parametrize(
    "name", [each for each in EXAMPLES if (ROOT / "examples" / each / "suite.yaml").is_file()]
)
def test_suites_of_examples_pass(invoke: Run, tmp_path: Path, name: str) -> None:
    folder = copied(invoke, tmp_path, name)
    done = invoke("ktest", "--suite", str(folder / "suite.yaml"), "--results", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_ring_buffer_outside_the_checkout(invoke: Run, tmp_path: Path) -> None:
    """Every day, as far as it takes seconds."""
    folder = copied(invoke, tmp_path, "ring-buffer")
    done = invoke(
        *("sweep", "--experiment", str(folder / "experiment.yaml"), "--set", "chunk=4096"),
        *("--runs", "6", "--results", str(tmp_path / "results")),
    )
    assert done.returncode == 0, done.stderr
    assert answers(done.stdout) == ["64 KiB is faster in throughput at bytes at once 4096."]
    measured = rows(only_run(tmp_path / "results"))
    assert len(measured) == 12
    # What the larger ring is faster by: fewer changes from one process to the other.
    waits = {row["capacity"]: int(row["waits"]) for row in measured}
    assert waits["4096"] > 2 * waits["65536"] > 0
