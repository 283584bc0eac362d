"""The Pi's findings: reproduced, not reproduced or undecided, by runs made up for each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pibed.base.errors import HostError, UsageError
from pibed.commands import compare
from pibed.commands.options import CompareOptions
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.plan import Cell, cells
from pibed.model.samples import Sample, Status
from pibed.runs.reading import Run, read
from pibed.studies import STUDIES
from pibed.studies.pi import findings, reference
from pibed.studies.pi.findings import Finding
from tests.unit.helpers import ROOT, archived

PUBLISHED = reference.read(ROOT / "results" / "reference")


def paging(**overrides: Any) -> Experiment:
    return load_experiment("paging", {"rounds": 8} | overrides)


def made(study: Experiment, times: Any, rounds: int = 8) -> list[Sample]:
    """Samples whose two times are `times(mode, other)` in µs, and a little more in each round."""
    found = []
    others = next(name for name in ("size", "percent") if name in study.parameters)
    second = next(name for name in ("multiply_us", "touch_us") if name in study.metrics)
    for round_ in range(1, rounds + 1):
        for order, cell in enumerate(cells(study), start=1):
            values = cell.as_dict()
            mmap, work = times(values["demand_paging"], values[others])
            metrics: dict[str, int | float] = dict.fromkeys(study.metrics, 8)
            metrics |= {"mmap_us": mmap, second: work * (1 + round_ / 10000)}
            found.append(Sample(study.name, round_, order, Status.OK, Cell.of(values), metrics))
    return found


def like_the_pi(mode: int, size: int) -> tuple[float, float]:
    row = {each.metric: each.median for each in PUBLISHED if (each.mode, each.size) == (mode, size)}
    work = row["multiply_us"] if size > 128 else 100000.0 * size
    return row["mmap_us"], work


def judged(study: Experiment, samples: list[Sample], tmp_path: Path) -> list[Finding]:
    run = read(archived(tmp_path / "20260203T040506Z-x", study, samples))
    return findings.findings(reference.require_study(run), PUBLISHED)


def test_the_published_numbers() -> None:
    assert len(PUBLISHED) == 16
    share, width = reference.excess(PUBLISHED, 256, "multiply_us")
    assert share == pytest.approx(2340085.2 / 1580694.5 - 1)
    # Welch: 2.262 · √(309732² + 138509²)/√10 / 1580694
    assert width == pytest.approx(0.1535, abs=1e-4)
    assert [len(each.other) for each in PUBLISHED] == [0] * 8 + [10] * 8


def test_numbers_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="pi-prepaging-runs"):
        reference.read(tmp_path)
    (tmp_path / "pi-prepaging-runs.csv").write_text("mode\n")
    (tmp_path / "pi-summary.csv").write_text("mode,size\nnone,1\n")
    with pytest.raises(HostError, match="the Pi's numbers are damaged"):
        reference.read(tmp_path)


def test_a_run_like_the_pi(tmp_path: Path) -> None:
    study = paging()
    first, second, third = judged(study, made(study, like_the_pi), tmp_path)
    assert (first.verdict, second.verdict) == ("reproduced", "reproduced")
    assert [each.verdict for each in third.statements] == ["reproduced", "reproduced", "undecided"]
    assert third.verdict == "undecided"
    assert "1.54 µs a page, 1.54 on the Pi" in first.statements[1].words
    assert "here by 45.6 %" in second.statements[0].words


def test_the_studys_numbers_are_the_published_ones(tmp_path: Path) -> None:
    study = paging()
    run = read(archived(tmp_path / "20260203T040506Z-x", study, made(study, like_the_pi)))
    analysis = reference.require_study(run)
    first, second, _ = findings.findings(analysis, PUBLISHED)
    assert "on the Pi means of 86 to 89 µs" in first.statements[0].words
    assert "by 48 % at size 256 and 8 % at 512; nothing to tell at 64 and 128" in second.text
    doubled = [replace(each, mean=(1 + each.mode) * each.mean) for each in PUBLISHED]
    first, second, _ = findings.findings(analysis, doubled)
    assert "on the Pi means of 172 to 179 µs" in first.statements[0].words
    assert "by 196 % at size 256 and 116 % at 512;" in second.text


def test_a_run_unlike_the_pi(tmp_path: Path) -> None:
    study = paging()

    def times(mode: int, size: int) -> tuple[float, float]:
        return (size if mode else 50), (1000.0 * size if mode else 2000.0 * size)

    found = judged(study, made(study, times), tmp_path)
    assert [each.verdict for each in found] == ["not reproduced"] * 3
    assert all(
        statement.verdict == "not reproduced"
        for finding in found
        for statement in finding.statements
        if "touches all of the memory" not in statement.words
    )


def test_no_relevant_difference_is_not_reproduced(tmp_path: Path) -> None:
    study = paging()
    _, second, _ = judged(study, made(study, lambda mode, size: (80, 1000.0 * size)), tmp_path)
    assert [each.verdict for each in second.statements] == [
        "not reproduced",
        "not reproduced",
        "reproduced",
        "reproduced",
    ]


@pytest.mark.parametrize(
    ("overrides", "rounds"),
    [
        ({}, 1),
        ({}, 5),
        ({"parameters.size.values": [96]}, 8),
        ({"parameters.demand_paging.values": [1], "parameters.size.values": [64]}, 8),
    ],
)
def test_what_too_little_was_measured_for_is_undecided(
    tmp_path: Path, overrides: dict[str, Any], rounds: int
) -> None:
    study = paging(**overrides)
    samples = made(study, lambda mode, size: (80, 1000.0 * size), rounds)
    found = judged(study, samples, tmp_path)
    assert [each.verdict for each in found] == ["undecided"] * 3


def test_one_mode_has_its_part_of_a_finding(tmp_path: Path) -> None:
    study = paging(**{"parameters.demand_paging.values": [1]})
    first, second, _ = judged(study, made(study, like_the_pi), tmp_path)
    assert [each.verdict for each in first.statements] == ["reproduced", "undecided"]
    assert second.verdict == "undecided"


def test_with_the_log_line_as_on_the_board(tmp_path: Path) -> None:
    study = load_experiment("logging", {"rounds": 8})
    samples = [
        each
        if each.cell.as_dict()["log_faults"] == 1
        else Sample(each.experiment, each.round, each.order, Status.OK, each.cell,
                    each.metrics | {"multiply_us": 5})
        for each in made(study, like_the_pi)
    ]  # fmt: skip
    _, second, _ = judged(study, samples, tmp_path)
    assert second.verdict == "reproduced"


@pytest.mark.parametrize(
    ("cost", "last"), [(0.5, "reproduced"), (9.0, "reproduced"), (0.0, "not reproduced")]
)
def test_little_touched(tmp_path: Path, cost: float, last: str) -> None:
    study = load_experiment(
        "balance", {"rounds": 8, "parameters.access.values": [0], "parameters.pages.values": [256]}
    )

    def times(mode: int, percent: int) -> tuple[float, float]:
        # Pre-paging pays 100 at once, demand paging by what is touched.
        return (10, 10 + (2 + cost) * percent) if mode else (110, 10 + percent)

    _, _, third = judged(study, made(study, times), tmp_path)
    wins, little = third.statements
    assert little.verdict == "reproduced"
    assert wins.verdict == third.verdict == last


def show(run: Run, capsys: pytest.CaptureFixture[str]) -> str:
    compare.compare(CompareOptions(first=str(run.folder), second="pi"))
    return capsys.readouterr().out


def test_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = paging()
    samples = made(study, like_the_pi)
    run = read(archived(tmp_path / "20260203T040506Z-x", study, samples))
    text = show(run, capsys)
    assert "1. The mmap time is constant" in text
    assert "pre-paging: reproduced\n" in text
    assert "is not refuted" in text
    assert "this run's did not" in text
    host = archived(tmp_path / "20260203T040506Z-y", study, samples[:1], clock="host")
    text = show(read(host), capsys)
    assert "speaks of QEMU on this host" in text
    assert "note: There are 1 of 64 samples" in text


def test_what_has_nothing_to_say(tmp_path: Path) -> None:
    run = read(archived(tmp_path / "20260203T040506Z-x", paging(), [], finished=False))
    with pytest.raises(UsageError, match="there is no sample that is ok"):
        STUDIES["pi"].compared(run)


def test_constant_is_judged_at_every_size(tmp_path: Path) -> None:
    study = paging()

    def times(mode: int, size: int) -> tuple[float, float]:
        return (88 if mode and size == 256 else 80 if mode else size), 1000.0 * size

    samples = made(study, times)
    # At size 256 the ratio lies around the bound of 1.1.
    for each in samples:
        if each.cell == Cell.of({"demand_paging": 1, "size": 256}):
            each.metrics["mmap_us"] += each.round % 3 - 1
    first, _, _ = judged(study, samples, tmp_path)
    assert [each.verdict for each in first.statements] == ["undecided", "reproduced"]


def test_the_log_line_is_never_taken_for_the_mode(tmp_path: Path) -> None:
    # With one mode left, the log line is the only parameter of two values that have labels.
    study = load_experiment("logging", {"rounds": 8, "parameters.demand_paging.values": [1]})
    samples = made(study, like_the_pi)
    for each in samples:
        each.metrics["multiply_us"] *= 1 + each.cell.as_dict()["log_faults"]
    _, second, third = judged(study, samples, tmp_path)
    assert {each.verdict for each in (*second.statements, *third.statements)} == {"undecided"}
