"""Plots: the same bytes everywhere, what they show, and that nothing in them overlaps."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from pibed import balance, canvas, charts, growth, plan, plots
from pibed.canvas import Plot
from pibed.config import Experiment, load_experiment
from pibed.errors import HostError
from pibed.observations import Observations, observe
from pibed.samples import Number, Sample
from pibed.summary import median_interval
from tests.unit.helpers import ROOT, experiment, measured, python

TWENTY = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 32, 64, 128, 256, 384, 512, 640, 768, 1000, 1024]

# µs, about as measured: what a page costs in mmap, and what a fault costs.
PAGE, FAULT = 2.7, 3.8


def paging(
    sizes: Sequence[int] = (64, 128, 256, 512),
    rounds: int = 8,
    modes: Sequence[int] = (1, 0),
    noise: float = 0.01,
) -> tuple[Experiment, list[Sample]]:
    changes = {
        "parameters.size.values": list(sizes),
        "parameters.demand_paging.values": list(modes),
        "rounds": rounds,
    }

    def times(cell: dict[str, int]) -> tuple[dict[str, float], int]:
        pages = 3 * -(-8 * cell["size"] ** 2 // 4096)
        demand = cell["demand_paging"]
        multiply = 0.092 * cell["size"] ** 3 + 100 + demand * FAULT * pages
        return {"mmap_us": 56 + (1 - demand) * PAGE * pages, "multiply_us": multiply}, pages

    return run(load_experiment("paging", changes), times, noise)


def touching(
    percents: Sequence[int] = (0, 40, 80, 100),
    accesses: Sequence[int] = (0,),
    pages: Sequence[int] = (256,),
) -> tuple[Experiment, list[Sample]]:
    """Plausible samples of the experiment that looks for the balance."""
    analysis = {"mode": "demand_paging", "total": ["mmap_us", "touch_us"], "balance": "percent"}
    changes = {
        "analysis": analysis,
        "parameters.percent.values": list(percents),
        "parameters.access.values": list(accesses),
        "parameters.pages.values": list(pages),
        "rounds": 8,
    }

    def times(cell: dict[str, int]) -> tuple[dict[str, float], int]:
        pages, demand = cell["pages"], cell["demand_paging"]
        touched = pages * cell["percent"] // 100
        write = 0.3 + 0.1 * cell["access"] + demand * FAULT
        return {"mmap_us": 18 + (1 - demand) * PAGE * pages, "touch_us": 2 + touched * write}, pages

    return run(load_experiment("balance", changes), times, 0.01)


def run(
    study: Experiment, times: Callable[[dict[str, int]], tuple[dict[str, float], int]], noise: float
) -> tuple[Experiment, list[Sample]]:
    """Samples of every round; `noise` is the share by which they scatter."""
    samples = []
    for each in plan.rounds(study):
        generator = random.Random(each.seed)
        for visit in each.visits:
            cell = visit.cell.as_dict()
            exact, pages = times(cell)
            metrics: dict[str, Number] = {
                name: round(value * (1 + noise * generator.random()))
                for name, value in exact.items()
            }
            metrics |= dict.fromkeys(("pages_allocated", "pages_freed", "faults"), pages)
            samples.append(Sample(study.name, each.number, visit.order, "ok", cell, metrics))
    return study, samples


def small(
    values: dict[tuple[int, int], Sequence[Number]], **changes: Any
) -> tuple[Experiment, list[Sample]]:
    study = experiment(**changes)
    cells = {cell: {"work_us": numbers, "pages": numbers} for cell, numbers in values.items()}
    return study, measured(study, cells)


def odd_words() -> tuple[Experiment, list[Sample]]:
    text = "a $x_{1}$ & <b>\x07 的\n" + "long " * 30
    modes = {"title": text, "values": [0, 1], "minimum": 0, "maximum": 1}
    work = {"title": text, "pattern": "(.)", "unit": "$µs$", "table": True}
    return small(
        {(eager, size): [size, size + 1] for eager in (0, 1) for size in (1, 2)},
        parameters={
            "eager": modes | {"labels": {0: text, 1: text + "2"}},
            "size": {"title": text, "values": [1, 2], "minimum": 1, "maximum": 2},
        },
        metrics={"work_us": work, "pages": {"title": text, "counter": "/x", "unit": "%"}},
    )


SHAPES: dict[str, Callable[[], tuple[Experiment, list[Sample]]]] = {
    "one size": lambda: paging([64]),
    "two sizes": lambda: paging([64, 65]),
    "four sizes": paging,
    "twenty sizes": lambda: paging(TWENTY, rounds=6),
    "one sample": lambda: paging(rounds=1),
    "one sample of one size": lambda: paging([64], rounds=1),
    "no variation": lambda: paging(noise=0),
    "one mode": lambda: paging(modes=[1]),
    "many rounds": lambda: paging([64], rounds=120),
    "balance": lambda: touching([0, 100], [0, 1, 2]),
    "no balance": lambda: touching([100]),
    "zeros": lambda: small({(0, 64): [0, 0], (0, 128): [0, 0], (1, 64): [0], (1, 128): [0]}),
    "below zero": lambda: small({(0, 64): [-5, 3], (1, 64): [-1e9, 2]}),
    "from tiny to huge": lambda: small({(0, 64): [1e-50, 2e-50], (1, 128): [1e50, 9e49]}),
    "hardly different": lambda: small({(0, 64): [12186898, 12186899], (1, 64): [12186898] * 2}),
    "missing cells": lambda: small({(0, 64): [5, 6, 7], (1, 128): [8]}),
    "odd words": odd_words,
}


@pytest.fixture(scope="module", params=SHAPES)
def drawn(request: pytest.FixtureRequest) -> Iterator[list[Plot]]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield plots.draw(observe(*SHAPES[request.param]()))


def by_name(data: tuple[Experiment, list[Sample]]) -> tuple[Observations, dict[str, Plot]]:
    observations = observe(*data)
    return observations, {plot.name: plot for plot in plots.draw(observations)}


def digests() -> list[str]:
    """Of all plots of two runs."""
    return [
        hashlib.sha256(plot.render(form)).hexdigest()
        for data in (paging([64, 512], rounds=6), touching([0, 100]))
        for plot in plots.draw(observe(*data))
        for form in plots.FORMATS
    ]


# The same bytes


def test_the_same_bytes_again_and_in_another_place(tmp_path: Path) -> None:
    here = digests()
    assert len(set(here)) == len(here) > 20
    assert digests() == here
    # matplotlib takes the settings of the folder that it is started in.
    settings = "font.size: 20\nfont.family: serif\nsvg.fonttype: none\nlines.linewidth: 9\n"
    settings += "axes.formatter.use_locale: True\nfigure.dpi: 33\nsavefig.bbox: tight\n"
    (tmp_path / "matplotlibrc").write_text(settings)
    code = "import matplotlib; assert matplotlib.rcParams['font.size'] == 20\n"
    code += "from tests.unit.test_plots import digests; print(*digests())"
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C",
        "TZ": "Asia/Kathmandu",
        "PYTHONHASHSEED": "7",
        "SOURCE_DATE_EPOCH": "1",
        "MPLBACKEND": "svg",
    }
    env.pop("MATPLOTLIBRC", None)
    child = python(code, env=env, cwd=tmp_path)
    out, errors = child.communicate(timeout=120)
    assert (child.returncode, errors) == (0, "")
    assert out.split() == here


def test_drawing_twice_changes_nothing() -> None:
    (plot, *_) = plots.draw(observe(*paging(rounds=2)))
    first = [plot.render("svg"), plot.render("png")]
    assert [plot.render("svg"), plot.render("png")] == first


def test_matplotlib_is_left_as_it_was() -> None:
    with matplotlib.rc_context({"font.size": 17, "svg.hashsalt": "mine"}):
        before = dict(matplotlib.rcParams)
        filters = list(warnings.filters)
        (plot, *_) = plots.draw(observe(*paging([64], rounds=1)))
        plot.render("svg")
        assert dict(matplotlib.rcParams) == before
        assert warnings.filters == filters


def test_matplotlib_is_loaded_when_something_is_drawn() -> None:
    code = """
import sys
from pibed import plots
assert "matplotlib" not in sys.modules
from tests.unit.helpers import experiment, measured
from pibed.observations import observe
spec = experiment()
drawn = plots.draw(observe(spec, measured(spec, {(0, 64): {"work_us": [1], "pages": [1]}})))
assert drawn and "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    child = python(code)
    assert (child.communicate(timeout=60)[1], child.returncode) == ("", 0)


# Every shape of data


def test_files_of_any_data(drawn: list[Plot]) -> None:
    assert drawn
    names = [plot.name for plot in drawn]
    assert len(set(names)) == len(names)
    kinds: set[str] = set()
    for plot in drawn:
        assert plot.alt.endswith(".")
        assert plot.title in plot.alt or plot.name.startswith(("samples", "mean"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            svg = plot.render("svg")
            png = plot.render("png") if plot.name.partition("-")[0] not in kinds else b""
        kinds.add(plot.name.partition("-")[0])
        root = ET.fromstring(svg)
        tags = {each.tag.rpartition("}")[2] for each in root.iter()}
        assert {"svg", "path", "title"} <= tags
        assert not tags & {"date", "text", "image", "creator"}
        assert matplotlib.__version__.encode() not in svg + png
        assert b"tIME" not in png


def test_no_text_is_on_another_or_outside(drawn: list[Plot]) -> None:
    for plot in drawn:
        boxes = [(text, *box.extents) for text, box in texts(plot.figure)]
        assert len(boxes) > 5
        for (a, left, low, right, high), (b, x0, y0, x1, y1) in itertools.combinations(boxes, 2):
            apart = x1 <= left + 1 or right <= x0 + 1 or y1 <= low + 1 or high <= y0 + 1
            assert apart, (plot.name, a, b)
        for text, left, low, right, high in boxes:
            assert left >= -1 and low >= -1, (plot.name, text)
            assert right <= plot.figure.bbox.x1 + 1, (plot.name, text)
            assert high <= plot.figure.bbox.y1 + 1, (plot.name, text)


def test_every_axis_has_numbers_and_a_title(drawn: list[Plot]) -> None:
    for plot in drawn:
        unit = plot.figure.get_supylabel()
        assert unit.endswith("]"), plot.name
        assert any(axes.get_xlabel() for axes in plot.figure.axes)
        for axes in plot.figure.axes:
            assert any(text for text, _ in labels(axes.xaxis)), plot.name
            if not any(each.get_text() == "no sample" for each in axes.texts):
                assert any(text for text, _ in labels(axes.yaxis)), plot.name


def labels(axis: Axis) -> Iterator[tuple[str, Bbox]]:
    """The labels of an axis that are drawn, and where."""
    low, high = sorted(axis.get_view_interval())
    for tick in axis.get_major_ticks():
        if low <= tick.get_loc() <= high and tick.label1.get_text():
            yield tick.label1.get_text(), tick.label1.get_window_extent()


def texts(figure: Figure) -> Iterator[tuple[str, Bbox]]:
    """All texts of a figure, and where they are."""
    with canvas.settings():
        figure.draw_without_rendering()
        others: list[Text] = figure.texts[:]
        for text in (figure._suptitle, figure._supylabel):  # type: ignore[attr-defined]
            if text is not None and text not in others:
                others.append(text)
        for legend in figure.legends:
            others += legend.get_texts()
        for axes in figure.axes:
            yield from labels(axes.xaxis)
            yield from labels(axes.yaxis)
            others += [axes.title, axes.xaxis.label, *axes.texts]
            if (inner := axes.get_legend()) is not None:
                others += [*inner.get_texts(), inner.get_title()]
        for text in others:
            if text.get_text():
                yield text.get_text(), text.get_window_extent()


# What they show


def test_the_plots_of_an_experiment() -> None:
    _, found = by_name(paging(rounds=1))
    assert list(found) == [
        "median-mmap_us",
        "median-multiply_us",
        "median-total",
        "mean-mmap_us",
        "mean-multiply_us",
        "samples-mmap_us",
        "samples-multiply_us",
        "growth-mmap_us-pages_allocated-linear",
        "growth-multiply_us-size-power",
    ]


def test_what_an_experiment_lacks_is_not_drawn() -> None:
    assert plots.draw(observe(*small({}))) == []
    _, found = by_name(paging([64]))
    assert not [name for name in found if name.startswith("growth")]
    study = experiment()
    named = study.parameters["size"].model_copy(update={"labels": {64: "little", 128: "much"}})
    study = study.model_copy(update={"parameters": study.parameters | {"size": named}})
    _, found = by_name((study, measured(study, {(0, 64): {"work_us": [1]}})))
    assert list(found) == ["samples-work_us"]
    hidden = {"work_us": {"title": "work", "pattern": "(.)", "unit": "µs"}}
    assert by_name(small({(0, 64): [1]}, metrics=hidden))[1] == {}


def test_medians_their_intervals_and_all_samples() -> None:
    observations, found = by_name(paging())
    (axes,) = found["median-mmap_us"].figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    drawn = [line for line in axes.lines if line.get_linestyle() != "None"]
    dots = [line for line in axes.lines if line.get_marker() == "."]
    for mode, line, bars in zip(observations.modes, drawn, axes.containers, strict=True):
        series = [
            observations.series(observations.cell(block, mode), "mmap_us")
            for block in observations.blocks()
        ]
        values = [list(each.values) for each in series if each is not None]
        assert xy(line)[1] == [np.median(each) for each in values]
        expected = [median_interval(each) for each in values]
        assert segments(bars) == [pytest.approx(each) for each in expected]
    assert sorted(itertools.chain(*(xy(line)[1] for line in dots))) == sorted(
        sample.metrics["mmap_us"] for sample in paging()[1]
    )


def test_below_six_samples_there_are_no_intervals() -> None:
    _, found = by_name(paging(rounds=5))
    (axes,) = found["median-mmap_us"].figure.axes
    assert not axes.containers
    assert "95 %" not in "".join(text for text, _ in texts(found["median-mmap_us"].figure))


def test_means_and_deviations_side_by_side() -> None:
    observations, found = by_name(paging())
    (axes,) = found["mean-multiply_us"].figure.axes
    bars = [each for each in axes.containers if hasattr(each, "patches")]
    lines = [each for each in axes.containers if not hasattr(each, "patches")]
    edges = []
    for mode, patches, spans in zip(observations.modes, bars, lines, strict=True):
        for block, bar, ends in zip(observations.blocks(), patches, segments(spans), strict=True):
            series = observations.series(observations.cell(block, mode), "multiply_us")
            assert series is not None
            assert bar.get_height() == pytest.approx(series.values.mean())
            deviation = np.std(series.values, ddof=1)
            assert ends[1] - ends[0] == pytest.approx(2 * deviation)
            edges.append((bar.get_x(), bar.get_x() + bar.get_width()))
    for (_, right), (left, _) in itertools.pairwise(sorted(edges)):
        assert right < left


def test_bars_begin_at_zero_unless_they_differ_too_much() -> None:
    _, found = by_name(small({(0, 64): [40], (1, 64): [50]}))
    (axes,) = found["mean-work_us"].figure.axes
    assert (axes.get_yscale(), axes.get_ylim()[0]) == ("linear", 0)
    _, found = by_name(small({(0, 64): [40], (1, 64): [5000]}))
    (axes,) = found["mean-work_us"].figure.axes
    assert (axes.get_yscale(), axes.get_ylim()[0]) == ("log", 10)


def test_samples_are_at_their_rounds_and_outliers_have_rings() -> None:
    study, samples = small({(0, 64): [5, 6, 5, 7, 5, 6, 99, 6]}, rounds=8)
    # Nothing of round 2 is left.
    _, found = by_name((study, [each for each in samples if each.round != 2]))
    lazy, eager = found["samples-work_us"].figure.axes[:2]
    points = [xy(line) for line in lazy.lines]
    assert ([1, 3, 4, 5, 6, 7, 8], [5, 5, 7, 5, 6, 99, 6]) in points
    assert ([7], [99]) in points
    assert eager.texts[0].get_text() == "no sample"
    assert found["samples-work_us"].alt.endswith("outliers among them: 1.")


def test_many_cells_go_on_in_another_figure() -> None:
    _, found = by_name(paging(TWENTY, rounds=1))
    names = [name for name in found if name.startswith("samples-mmap_us")]
    assert names == ["samples-mmap_us", "samples-mmap_us-2", "samples-mmap_us-3"]
    assert [len(found[name].figure.axes) for name in names] == [14, 14, 12]


def test_fits_have_line_formula_and_interval() -> None:
    observations, found = by_name(paging())
    for plot, fits in (
        (found["growth-mmap_us-pages_allocated-linear"], growth.fits(observations)[:2]),
        (found["growth-multiply_us-size-power"], growth.fits(observations)[2:]),
    ):
        (axes,) = plot.figure.axes
        curves = [line for line in axes.lines if line.get_linestyle() != "None"]
        legend = axes.get_legend()
        assert legend is not None
        for fit, curve, text in zip(fits, curves, legend.get_texts(), strict=True):
            assert fit.slope is not None and fit.intercept is not None
            assert fit.slope_low is not None and fit.slope_high is not None
            for x, y in zip(*xy(curve), strict=True):
                linear = fit.law == "linear"
                by_hand = fit.intercept + fit.slope * x if linear else fit.intercept * x**fit.slope
                assert y == pytest.approx(by_hand)
            for number in (fit.slope, fit.slope_low, fit.slope_high):
                assert canvas.number(abs(number)) in text.get_text()


def test_the_balance_is_marked_with_its_interval() -> None:
    observations, found = by_name(touching([0, 100], [0, 1], [256, 2048]))
    figure = found["balance"].figure
    balances = balance.balances(observations)
    assert len(figure.axes) == len(balances) == 4
    for axes, each in zip(figure.axes, balances, strict=True):
        assert each.at is not None
        (line,) = (line for line in axes.lines if line.get_linestyle() == ":")
        assert xy(line)[0] == [each.at] * 2
        (band,) = axes.patches
        box = band.get_bbox()  # type: ignore[attr-defined]
        assert (box.x0, box.x1) == (each.low, each.high)
        assert f"balance at {each.at:.4g} ({each.low:.4g} to {each.high:.4g})" in axes.get_title()


def test_where_there_is_no_balance_it_says_why() -> None:
    _, found = by_name(touching([80, 90, 100]))
    for axes in found["balance"].figure.axes:
        assert "no balance: none in range: pre-paging is faster" in axes.get_title().replace(
            "\n", " "
        )
        assert not axes.patches


def xy(line: Line2D) -> tuple[list[float], list[float]]:
    """The points of a line."""
    x, y = line.get_data()
    return np.asarray(x, float).tolist(), np.asarray(y, float).tolist()


def segments(container: Any) -> list[tuple[float, float]]:
    """The lower and upper ends of error bars."""
    (lines,) = container.lines[2]
    assert isinstance(lines, LineCollection)
    return [(float(each[0][1]), float(each[1][1])) for each in lines.get_segments()]


def test_modes_with_equal_labels_are_both_in_the_legend() -> None:
    _, found = by_name(odd_words())
    (legend,) = found["median-work_us"].figure.legends
    assert len(legend.get_texts()) == 3


def test_cells_are_named_with_labels_and_units() -> None:
    study, _ = touching()
    named = [charts.named(study, cell) for cell in plan.cells(study)]
    assert named[1] == "mode demand paging, access sequential, pages 256, touched 40 %"


# The files


def test_files_are_written_whole(tmp_path: Path) -> None:
    drawn = plots.draw(observe(*paging([64], rounds=1)))
    paths = plots.write(drawn, tmp_path)
    assert paths[:2] == [
        tmp_path / "plots/median-mmap_us.svg",
        tmp_path / "plots/median-mmap_us.png",
    ]
    assert sorted(paths) == sorted((tmp_path / "plots").iterdir())
    assert paths[0].read_bytes() == drawn[0].render("svg")
    height, width, _ = imread(paths[1]).shape
    assert 800 < width < 1200 and 500 < height < 1000
    plots.write(drawn, tmp_path)
    assert sorted(paths) == sorted((tmp_path / "plots").iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("")
    with pytest.raises(HostError, match="plots"):
        plots.write([], tmp_path)
