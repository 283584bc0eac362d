"""A run beside the Pi: how near it comes, the placement in place of the log line, a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import Clock
from pibed.model.plan import cells
from pibed.model.samples import Number, Sample, Status
from pibed.report import page
from pibed.runs.reading import Run, read
from pibed.studies import STUDIES
from pibed.studies.pi import placement, plot, reference
from tests.unit.helpers import ROOT, archived

PUBLISHED = reference.read(ROOT / "results" / "reference")
NAME = "20260203T040506Z-x"

Times = Callable[[dict[str, int], int], tuple[float, float]]
"""mmap and multiply in µs, by cell and round (from 1)."""


def run(
    folder: Path, study: Experiment, times: Times, rounds: int = 8, clock: Clock = "board"
) -> Run:
    samples = []
    for round_ in range(1, rounds + 1):
        for order, cell in enumerate(cells(study), start=1):
            mmap, multiply = times(cell.as_dict(), round_)
            metrics: dict[str, Number] = dict.fromkeys(study.metrics, 8)
            metrics |= {"mmap_us": mmap, "multiply_us": multiply}
            samples.append(Sample(study.name, round_, order, Status.OK, cell, metrics))
    return read(archived(folder / NAME, study, samples, clock=clock))


def like_the_pi(factor: float = 1.0) -> Times:
    """Means and deviations of the Pi, these by turns."""

    def times(cell: dict[str, int], round_: int) -> tuple[float, float]:
        row = {
            each.metric: factor * (each.mean + (each.sd if round_ % 2 else -each.sd))
            for each in PUBLISHED
            if (each.mode, each.size) == (cell["demand_paging"], cell["size"])
        }
        return row["mmap_us"], row["multiply_us"]

    return times


def as_on_the_board(log: str | int = "faults", **parameters: Any) -> Experiment:
    """The study with the conditions of the board."""
    study = load_experiment("study", {"rounds": 8})
    (module,) = study.module_list
    given = module.parameters | {"log": log} | parameters
    return study.with_modules([module.model_copy(update={"parameters": given})])


def crossed(*sizes: int, **overrides: Any) -> Experiment:
    """Mode and placement at these sizes."""
    return load_experiment(
        "placement", {"rounds": 8, "parameters.size.values": list(sizes)} | overrides
    )


def shown(found: Run) -> list[str]:
    return list(STUDIES["pi"].compared(found).lines)


# How near


def test_means_like_the_pi_s(tmp_path: Path) -> None:
    found = run(tmp_path, as_on_the_board(), like_the_pi())
    (line,) = [line for line in shown(found) if line.startswith("means: ")]
    assert line.startswith("means: 16 of 16 within 15 %; mean absolute error 0 %, largest ")
    assert STUDIES["pi"].reported(found).lines[3].startswith("Means: 16 of 16 within 15 %; ")


def test_means_that_differ(tmp_path: Path) -> None:
    def times(cell: dict[str, int], round_: int) -> tuple[float, float]:
        mmap, multiply = like_the_pi(1.1)(cell, round_)
        return mmap, multiply * (2 if cell == {"demand_paging": 0, "size": 512} else 1)

    found = run(tmp_path, as_on_the_board(), times)
    rows = list(reference.beside(found.analysis.observations, PUBLISHED))
    near = reference.nearness(found.experiment, rows)
    assert near is not None
    assert (near.count, near.near) == (16, 15)
    assert near.mean_error == pytest.approx((15 * 0.1 + 1.2) / 16)
    assert near.largest == pytest.approx(1.2)
    assert near.where == "multiply, pre-paging, size 512"
    assert reference.nearness(found.experiment, []) is None


def test_the_ratio_of_the_means_is_in_the_table(tmp_path: Path) -> None:
    found = run(tmp_path, as_on_the_board(), like_the_pi(1.25))
    (table,) = STUDIES["pi"].compared(found).tables
    column = [each.heading for each in table.columns].index("mean / Pi's")
    assert {row[column] for row in table.rows} == {"1.250"}


def test_the_spread(tmp_path: Path) -> None:
    found = run(tmp_path, as_on_the_board(), like_the_pi())
    rows = list(reference.beside(found.analysis.observations, PUBLISHED))
    # 309732/2340085 and 138509/1580694; of eight by turns √(8/7) of that.
    assert reference.spread(rows, 256) == (
        "standard deviation of the multiplication at size 256 with demand paging and pre-paging: "
        "14 % and 9.4 % of the mean, on the Pi 13 % and 8.8 %"
    )
    one_mode = [row for row in rows if row.published.mode == 1]
    assert reference.spread(one_mode, 256) is None
    alone = run(tmp_path / "one", as_on_the_board(), like_the_pi(), rounds=1)
    rows = list(reference.beside(alone.analysis.observations, PUBLISHED))
    assert reference.spread(rows, 256) is None


# The study with the board's conditions


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (as_on_the_board("faults"), "the module printed a line for each fault, as the board's did"),
        (as_on_the_board(1), "the module printed a line for each fault, as the board's did"),
        (as_on_the_board("none"), "this run's did not"),
        (as_on_the_board("events"), "this run's did not"),
        (as_on_the_board("none", log_faults=1), "the module printed a line for each fault"),
        (load_experiment("paging"), "this run's did not"),
        (load_experiment("logging"), "the cells above are those with the log line"),
    ],
)
def test_the_log_line(tmp_path: Path, study: Experiment, words: str) -> None:
    found = run(tmp_path, study.model_copy(update={"rounds": 8}), like_the_pi())
    (line,) = [line for line in shown(found) if line.startswith("log line: ")]
    assert words in line


def test_the_study_is_recognised(tmp_path: Path) -> None:
    found = run(tmp_path, as_on_the_board(), like_the_pi())
    lines = shown(found)
    assert sum(line[:2] in ("1.", "2.", "3.") for line in lines) == 3
    assert any("speaks of the model of the board" in line for line in lines)
    assert STUDIES["pi"].reported(found).lines


# Placement


def follows_placement(cell: dict[str, int], round_: int) -> tuple[float, float]:
    """Placement makes half as much again, faults 0.1 %."""
    base = 1000.0 * cell["size"] * (1, 1.5, 1.2)[cell["placement"]]
    return 80, base * (1 + 0.001 * cell["demand_paging"]) + round_


def test_placement_in_place_of_the_log_line(tmp_path: Path) -> None:
    found = run(tmp_path, crossed(256, 512), follows_placement)
    lines = shown(found)
    assert not any("log line" in line for line in lines)
    assert not any(line.startswith("1. ") for line in lines)
    assert len(lines) == 7
    assert lines[0].startswith(
        "At size 256 demand paging took 48 ± 15 % longer on the Pi. Here it takes 0.1 to 0.1 % "
    )
    assert lines[0].endswith(
        " longer with the same placement (95 % intervals), 50.1 % longer (95 % interval 50.1 to "
        "50.1 %) with placement alternate where pre-paging has placement even; exchanged, "
        "pre-paging takes 49.8 % longer (95 % interval 49.8 to 49.8 %)."
    )
    assert lines[1] == (
        "So what a fault costs was at most 0.21 % of what demand paging took longer at size 256 on "
        "the Pi, and the placement can be all of it."
    )
    assert lines[2].startswith("At size 256, ")
    assert " of the variance of multiply follows the placement, 0.0 % (" in lines[2]
    assert "can be all of it" in lines[4]
    assert "clock: board" in lines[-1]
    assert list(STUDIES["pi"].reported(found).lines[:6]) == lines[:6]


def test_faults_that_are_all_of_it(tmp_path: Path) -> None:
    def times(cell: dict[str, int], round_: int) -> tuple[float, float]:
        base = 1000.0 * cell["size"] * (1, 1.02, 1.01)[cell["placement"]]
        return 80, base * (1 + 0.48 * cell["demand_paging"]) + round_

    lines = placement.explained(run(tmp_path, crossed(256), times).analysis, PUBLISHED)
    assert "Here it takes 48" in lines[0]
    assert "exchanged, pre-paging takes -31" in lines[0]
    assert lines[1].startswith("So what a fault costs was at most 100 % of what demand paging took")


def test_a_placement_that_is_too_small(tmp_path: Path) -> None:
    def times(cell: dict[str, int], round_: int) -> tuple[float, float]:
        return 80, 1000.0 * cell["size"] * (1, 1.1, 1.05)[cell["placement"]]

    lines = placement.explained(run(tmp_path, crossed(256), times).analysis, PUBLISHED)
    assert lines[1] == (
        "So what a fault costs was at most 0 % of what demand paging took longer at size 256 on "
        "the Pi, and the placement at most 21 %."
    )


def test_few_samples_have_no_conclusion(tmp_path: Path) -> None:
    found = run(tmp_path, crossed(256), follows_placement, rounds=3)
    lines = placement.explained(found.analysis, PUBLISHED)
    assert len(lines) == 2
    assert "Here, of too few samples for an interval, it takes 0.1" in lines[0]


def test_other_sizes_say_nothing(tmp_path: Path) -> None:
    lines = shown(run(tmp_path, crossed(64), follows_placement))
    assert lines[0].startswith("placement: nothing to tell")
    assert len(lines) == 2


def test_modes_in_the_other_order(tmp_path: Path) -> None:
    study = crossed(256)
    turned = crossed(256, **{"parameters.demand_paging.values": [0, 1]})
    expected = placement.explained(run(tmp_path, study, follows_placement).analysis, PUBLISHED)
    found = run(tmp_path / "turned", turned, follows_placement)
    assert placement.explained(found.analysis, PUBLISHED)[:2] == expected[:2]


def test_what_crosses_nothing(tmp_path: Path) -> None:
    found = run(tmp_path, as_on_the_board(), like_the_pi())
    assert placement.explained(found.analysis, PUBLISHED) == []
    assert not placement.crosses(load_experiment("logging"))


# The picture


def test_the_picture(tmp_path: Path) -> None:
    found = run(tmp_path, as_on_the_board(), like_the_pi(1.2))
    (drawn,) = STUDIES["pi"].drawn(found)
    axes = drawn.figure.axes
    assert sorted(each.get_title() for each in axes) == [
        "mmap, demand paging",
        "mmap, pre-paging",
        "multiply, demand paging",
        "multiply, pre-paging",
    ]
    for each in axes:
        assert each.get_yscale() == "log"
        # Two lines of four points, each with its deviation.
        lines = [line for line in each.lines if line.get_marker() in ("o", "s")]
        assert [len(np.asarray(line.get_xdata())) for line in lines] == [4, 4]
        bars = [each for each in each.collections if isinstance(each, LineCollection)]
        assert sum(len(bar.get_segments()) for bar in bars) == 8
        emulated, board = (np.asarray(line.get_ydata()) for line in lines)
        assert emulated == pytest.approx(1.2 * board)
    assert "multiply, pre-paging at 512 33,870,000 µs, 28,230,000 µs on the Pi" in drawn.alt
    assert drawn.render("svg") == drawn.render("svg")


def test_one_sample_has_no_deviation(tmp_path: Path) -> None:
    found = run(tmp_path, as_on_the_board(), like_the_pi(), rounds=1)
    rows = list(reference.beside(found.analysis.observations, PUBLISHED))
    (drawn,) = plot.beside(found, rows)
    bars = [each for each in drawn.figure.axes[0].collections if isinstance(each, LineCollection)]
    assert sum(len(bar.get_segments()) for bar in bars) == 4
    assert list(plot.beside(found, [])) == []


def test_the_picture_is_in_the_report(tmp_path: Path) -> None:
    found = run(tmp_path, as_on_the_board(), like_the_pi())
    page.publish(found.folder, STUDIES.values())
    assert (found.folder / "plots" / "beside-pi.png").is_file()
    assert "The study beside a Pi" in (found.folder / "report.html").read_text(encoding="utf-8")


def test_nothing_to_draw(tmp_path: Path) -> None:
    found = run(tmp_path, crossed(256), follows_placement)
    assert STUDIES["pi"].drawn(found) == ()
