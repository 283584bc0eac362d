"""A run of the memory experiment beside what was published of boards: numbers, words, a plot."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.lines import Line2D

from pibed.base import places
from pibed.base.errors import HostError, UsageError
from pibed.commands import compare
from pibed.commands.options import CompareOptions
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import Clock
from pibed.model.plan import Cell, cells
from pibed.model.samples import Number, Sample, Status
from pibed.report import page
from pibed.runs.reading import Run, read
from pibed.studies import STUDIES
from pibed.studies.boards import plot, reference
from pibed.studies.boards.reference import BANDWIDTHS, LATENCIES, Row
from pibed.studies.nearness import nearness
from tests.unit.helpers import ROOT, archived, experiment

PUBLISHED = reference.read(ROOT / "results" / "reference" / "boards.csv")
SIZES = [4 << power for power in range(15)]
NAME = "20260203T040506Z-memory"

Value = Callable[[str, int], float]
"""A number of a run by measure and size in KiB."""


def memory(sizes: list[int] | None = None, **changes: Any) -> Experiment:
    metrics = {
        name: {"title": name.rpartition("_ns")[0] or name, "pattern": "(a)", "unit": unit}
        for names, unit in ((LATENCIES, "ns"), (BANDWIDTHS, "MB/s"))
        for name in names.values()
    }
    buffer = {
        "title": "buffer [KiB]",
        "values": sizes or SIZES,
        "minimum": 1,
        "maximum": 1 << 20,
    }
    changes = {
        "name": "memory",
        "parameters": {"buffer_kib": buffer},
        "metrics": metrics,
        "module": {"folder": "module", "name": "kmod"},
        "workload": {"source": "a.c", "command": "memory_bench {buffer_kib}", "timeout_s": 9},
    } | changes
    return experiment(**changes)


def test_the_shipped_experiment_measures_all_of_it() -> None:
    shipped = load_experiment("memory")
    assert {*LATENCIES.values(), *BANDWIDTHS.values()} <= shipped.metrics.keys()
    sizes = {each.buffer_kib for each in PUBLISHED} - {None}
    assert sizes <= set(shipped.parameters["buffer_kib"].values)
    units = {name: shipped.metrics[name].unit for name in (*LATENCIES.values(), "memset_mb_s")}
    assert set(units.values()) == {"ns", "MB/s"}


def published(soc: str, measure: str, size: int | None) -> list[float]:
    return [
        each.value
        for each in PUBLISHED
        if (each.soc, each.measure, each.buffer_kib) == (soc, measure, size)
    ]


def like(soc: str, factor: float = 1.0) -> Value:
    """As the board is, where anything is known of it; 99 elsewhere."""

    def value(measure: str, size: int) -> float:
        found = published(soc, measure, None if measure in BANDWIDTHS else size)
        return factor * (sum(found) / len(found)) if found else 99

    return value


def samples(study: Experiment, value: Value, rounds: int = 3) -> list[Sample]:
    names = LATENCIES | BANDWIDTHS
    found = []
    for round_ in range(1, rounds + 1):
        for order, cell in enumerate(cells(study), start=1):
            size = cell.as_dict()["buffer_kib"]
            metrics: dict[str, Number] = {
                metric: value(measure, size)
                for measure, metric in names.items()
                if metric in study.metrics
            }
            found.append(Sample(study.name, round_, order, Status.OK, Cell.of(cell.as_dict()),
                                metrics))  # fmt: skip
    return found


def made(
    folder: Path,
    value: Value,
    timing: str | None = "bcm2837",
    clock: Clock = "board",
    study: Experiment | None = None,
) -> Run:
    study = study or memory()
    found = samples(study, value)
    return read(archived(folder / NAME, study, found, clock=clock, timing=timing))


def by_size(found: list[Row], measure: str) -> dict[int | None, Row]:
    return {row.buffer_kib: row for row in found if row.measure == measure}


# What was published


def test_the_published_numbers() -> None:
    assert len(PUBLISHED) == 91
    assert published("bcm2837", "memset", None) == [1705.0]
    assert published("bcm2836", "random_read_over_l1", 512) == [25.5, 16.4]
    assert published("bcm2837", "pointer_chase", 64) == [22.87]
    assert {each.measure for each in PUBLISHED} - {*LATENCIES, *BANDWIDTHS} == {
        "frequency_max",
        "frequency_min",
    }


def test_the_files_are_described() -> None:
    text = (ROOT / "results" / "reference" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "results" / "reference").glob("*.csv"):
        assert f"`{path.name}`" in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "boards.csv"),
        ("", "the boards' numbers are damaged: it has no rows"),
        ("soc,source,measure\nA,b,c\n", "the boards' numbers are damaged"),
        ("soc,source,measure,size_bytes,value\nA,b,c,1024,fast\n", "numbers are damaged: could"),
        ("soc,source,measure,size_bytes,value\nA\n", "the boards' numbers are damaged"),
    ],
)
def test_numbers_that_are_not_there(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "boards.csv").write_text(content)
    with pytest.raises(HostError, match=words) as caught:
        reference.read(tmp_path / "boards.csv")
    assert caught.value.fix == "restore results/reference/ from the repository"


# Beside each other


def test_a_run_as_the_board_is(tmp_path: Path) -> None:
    run = made(tmp_path, like("bcm2837"))
    found = reference.rows(run, PUBLISHED)
    assert list(by_size(found, "random_read_over_l1")) == SIZES[3:]
    assert list(by_size(found, "pointer_chase")) == SIZES[:13]
    assert all(row.ratio is None or row.ratio == pytest.approx(1) for row in found)
    # 0.1 and 0.2 ns are no measure.
    assert [(row.measure, row.buffer_kib) for row in found if row.ratio is None] == [
        ("random_read_over_l1", 32),
        ("random_read_dual_over_l1", 32),
    ]
    lines = list(reference.lines(run, found))
    # Eight sizes of each of three measures without 512 KiB; in all 11, 11 and 13.
    assert lines[0].startswith("latency, 64 KiB to 8 MiB but 512 KiB: 21 of 21 within 15 %; mean ")
    assert lines[1].startswith("latency, all sizes: 35 of 35 within 15 %; mean absolute error 0 %,")
    assert lines[2:] == [
        "memset_mb_s: 1,705 MB/s, 1,705 on the board: +0.0 %",
        "memcpy_mb_s: 1,110.5 MB/s, 1,110.5 on the board: +0.0 %",
    ]


def test_two_boards_are_their_mean(tmp_path: Path) -> None:
    run = made(tmp_path, lambda measure, size: 20.95, "bcm2836")
    found = reference.rows(run, PUBLISHED)
    row = by_size(found, "random_read_over_l1")[512]
    assert row.board == pytest.approx(20.95)
    assert row.ratio == pytest.approx(1)
    # One of them has a bandwidth, and none a pointer chase.
    assert [len(row.published) for row in found if row.buffer_kib is None] == [1, 1]
    assert by_size(found, "pointer_chase") == {}
    shown = reference.table(run, found, "x")
    assert shown.columns[-1].heading == "each board"
    assert "25.5, 16.4" in [row[-1] for row in shown.rows]
    assert "the mean of these" in shown.note
    alone = reference.table(
        run, reference.rows(made(tmp_path / "a", like("bcm2837")), PUBLISHED), ""
    )
    assert alone.columns[-1].heading == "run / board"
    assert [len(each) for each in alone.rows] == [len(alone.columns)] * len(alone.rows)


def test_how_near(tmp_path: Path) -> None:
    def value(measure: str, size: int) -> float:
        factor = {64: 1.2, 128: 0.7, 512: 3.0, 16384: 1.3}.get(size, 1.1)
        return factor * like("bcm2837")(measure, size)

    run = made(tmp_path, value)
    lines = list(reference.lines(run, reference.rows(run, PUBLISHED)))
    # Of seven sizes of each measure two are beyond: (0.2 + 0.3 + 5 · 0.1)/7.
    assert lines[0] == (
        "latency, 64 KiB to 8 MiB but 512 KiB: 15 of 21 within 15 %; mean absolute error 14 %, "
        "largest 30 % (random_read_over_l1, 128 KiB)"
    )
    assert lines[1].endswith("largest 200 % (random_read_over_l1, 512 KiB)")


def test_bandwidth_is_that_of_the_large_buffers(tmp_path: Path) -> None:
    def value(measure: str, size: int) -> float:
        return {8192: 1600, 16384: 1700, 32768: 1800, 65536: 1900}.get(size, 9000)

    run = made(tmp_path, value)
    (memset, memcpy) = (row for row in reference.rows(run, PUBLISHED) if row.buffer_kib is None)
    assert (memset.run, memset.n, memset.size) == (1750, 12, "from 8192")
    assert memcpy.ratio == pytest.approx(1750 / 1110.5)
    small = made(tmp_path / "small", value, study=memory([64, 4096]))
    assert all(row.buffer_kib for row in reference.rows(small, PUBLISHED))


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ({"a": 1.15, "b": 0.85}, (2, 2, 0.15)),
        ({"a": 1.1501, "b": 0.8499}, (2, 0, 0.15)),
        ({"a": 1.0}, (1, 1, 0.0)),
    ],
)
def test_near_is_within_15_percent(
    ratios: dict[str, float], expected: tuple[int, int, float]
) -> None:
    found = nearness(ratios)
    assert found is not None
    assert (found.count, found.near) == expected[:2]
    assert found.mean_error == pytest.approx(expected[2], abs=1e-3)
    assert nearness({}) is None


# What is refused


@pytest.mark.parametrize(
    ("timing", "clock", "words"),
    [
        ("bcm2837", "virtual", "its clock is virtual, whose times are not those of any board"),
        (None, "host", "its clock is host, whose times"),
        ("bcm2711", "board", "nothing is published of bcm2711, only of bcm2836, bcm2837"),
    ],
)
def test_other_clocks(tmp_path: Path, timing: str | None, clock: Clock, words: str) -> None:
    run = made(tmp_path, like("bcm2837"), timing, clock)
    with pytest.raises(UsageError, match=words) as caught:
        STUDIES["boards"].compared(run)
    assert "./inv sweep --experiment memory --clock board" in (caught.value.fix or "")
    assert STUDIES["boards"].reported(run).lines == ()
    assert STUDIES["boards"].drawn(run) == ()


def test_other_experiments(tmp_path: Path) -> None:
    run = read(archived(tmp_path / NAME, experiment(), [], clock="board", timing="bcm2837"))
    with pytest.raises(UsageError, match="small does not measure what the boards' benchmarks do"):
        STUDIES["boards"].compared(run)
    assert STUDIES["boards"].reported(run).lines == ()
    assert STUDIES["boards"].drawn(run) == ()


def test_nothing_in_common(tmp_path: Path) -> None:
    empty = read(
        archived(tmp_path / NAME, memory(), [], clock="board", timing="bcm2837", finished=False)
    )
    with pytest.raises(UsageError, match="there is no sample that is ok"):
        reference.rows(empty, PUBLISHED)
    run = made(tmp_path / "odd", like("bcm2837"), study=memory([48, 96]))
    with pytest.raises(UsageError, match="none of its buffers is of a size"):
        reference.rows(run, PUBLISHED)


# Shown


def test_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made(tmp_path, like("bcm2837", 1.05))
    compare.compare(CompareOptions(first=str(run.folder), second="boards"))
    text = capsys.readouterr().out
    assert f"{NAME} beside a board (bcm2837)" in text
    assert (
        "latency, 64 KiB to 8 MiB but 512 KiB: 21 of 21 within 15 %; mean absolute error 5 %"
        in (text)
    )
    assert "memset_mb_s: 1,790.2 MB/s, 1,705 on the board: +5.0 %" in text
    assert "clock: board: the guest's time is that of a model" in text


def test_in_a_report(tmp_path: Path) -> None:
    run = made(tmp_path, like("bcm2837", 1.05))
    page.publish(run.folder, STUDIES.values())
    text = (run.folder / "report.md").read_text(encoding="utf-8")
    assert "Latency, 64 KiB to 8 MiB but 512 KiB: 21 of 21 within 15 %" in text
    assert f"./inv compare {NAME} boards" in text
    assert (run.folder / "plots" / "boards-latency.svg").is_file()
    assert "Latency by the size of the buffer: board and emulation" in (
        (run.folder / "report.html").read_text(encoding="utf-8")
    )


def test_without_the_published_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(tmp_path, like("bcm2837"))
    monkeypatch.setattr(places, "checkout", lambda: tmp_path)
    (line,) = STUDIES["boards"].reported(run).lines
    assert line.startswith("Not compared with a board: ")
    assert STUDIES["boards"].drawn(run) == ()
    with pytest.raises(HostError, match=r"boards\.csv"):
        STUDIES["boards"].compared(run)
    shutil.copytree(ROOT / "results" / "reference", tmp_path / "results" / "reference")
    assert len(STUDIES["boards"].drawn(run)) == 1


def drawn_at(line: Line2D) -> tuple[list[float], list[float]]:
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


def test_the_plot(tmp_path: Path) -> None:
    run = made(tmp_path, like("bcm2836", 1.1), "bcm2836")
    (shown,) = plot.latency(run, reference.rows(run, PUBLISHED))
    # Nothing is published of the pointer chase on this board.
    assert [axes.get_title() for axes in shown.figure.axes] == [
        "random_read_over_l1",
        "random_read_dual_over_l1",
    ]
    axes = shown.figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    (x, y), (at, published_there) = (drawn_at(each) for each in axes.lines)
    assert x == SIZES[4:]
    assert y == pytest.approx(
        [1.1 * like("bcm2836")("random_read_over_l1", size) for size in SIZES[4:]]
    )
    # Both boards are shown.
    assert at.count(512) == 2
    assert {25.5, 16.4} <= set(published_there)
    low, high = axes.get_ylim()
    assert low < min(published_there)
    assert high > max(y)
    assert "random_read_over_l1 7.095 ns at 64 KiB, 6.45 on the board to " in shown.alt
    assert shown.render("svg") == shown.render("svg")


def test_a_run_that_is_too_fast_to_draw(tmp_path: Path) -> None:
    run = made(tmp_path, lambda measure, size: 0.0)
    (shown,) = plot.latency(run, reference.rows(run, PUBLISHED))
    line, points = shown.figure.axes[0].lines
    assert drawn_at(line) == ([], [])
    assert drawn_at(points)[0] == SIZES[4:]
