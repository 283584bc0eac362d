"""Plots: the same bytes everywhere, what they show, and that nothing in them overlaps."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from pibed import plots
from pibed.base.errors import HostError
from pibed.model import plan
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.plan import Cell
from pibed.model.samples import Number, Sample, Status
from pibed.model.words import half_width, supported
from pibed.plots import canvas, charts
from pibed.plots.all import FORMATS
from pibed.plots.canvas import Plot
from pibed.plots.charts import INTERVAL
from pibed.stats.analysis import Analysis
from pibed.stats.observations import observe
from pibed.stats.summary import median_interval
from tests.unit.helpers import ROOT, experiment, measured, python

TWENTY = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 32, 64, 128, 256, 384, 512, 640, 768, 1000, 1024]

# µs, about as measured: what a page costs in mmap, and what a fault costs.
PAGE, FAULT = 2.7, 3.8


def paging(
    sizes: Sequence[int] = (64, 128, 256, 512),
    rounds: int = 8,
    modes: Sequence[int] = (1, 0),
    noise: float = 0.01,
    **more: Any,
) -> tuple[Experiment, list[Sample]]:
    """Plausible samples of the study, with `more` changes of it."""
    changes: dict[str, Any] = {
        "parameters.size.values": list(sizes),
        "parameters.demand_paging.values": list(modes),
        "rounds": rounds,
        **more,
    }
    return run(load_experiment("paging", changes), _paging_times, noise)


def multiplying(
    sizes: Sequence[int] = (64, 128, 256, 512), **more: Any
) -> tuple[Experiment, list[Sample]]:
    """The same with the multiplication alone, whose numbers are the longest: half the plots."""
    analysis = {
        "compare": "demand_paging",
        "total": ["multiply_us"],
        "growth": [{"metric": "multiply_us", "against": "size", "law": "power"}],
    }
    changes: dict[str, Any] = {"metrics.mmap_us.table": False, "analysis": analysis}
    return paging(sizes, **changes, **more)


def _paging_times(cell: dict[str, int]) -> tuple[dict[str, float], int]:
    pages = 3 * -(-8 * cell["size"] ** 2 // 4096)
    demand = cell["demand_paging"]
    multiply = 0.092 * cell["size"] ** 3 + 100 + demand * FAULT * pages
    return {"mmap_us": 56 + (1 - demand) * PAGE * pages, "multiply_us": multiply}, pages


def touching(
    percents: Sequence[int] = (0, 40, 80, 100),
    accesses: Sequence[int] = (0,),
    pages: Sequence[int] = (256,),
    table: bool = False,
) -> tuple[Experiment, list[Sample]]:
    """Plausible samples of the experiment that looks for the balance.

    Its plots are those of the total, and with `table` those of touching.
    """
    analysis = {"compare": "demand_paging", "total": ["mmap_us", "touch_us"], "balance": "percent"}
    changes = {
        "analysis": analysis,
        "metrics.mmap_us.table": False,
        "metrics.touch_us.table": table,
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
            samples.append(
                Sample(study.name, each.number, visit.order, Status.OK, Cell.of(cell), metrics)
            )
    return study, samples


def small(
    values: Mapping[Any, Sequence[Number]], **changes: Any
) -> tuple[Experiment, list[Sample]]:
    study = experiment(**changes)
    cells = {cell: {"work_us": numbers, "pages": numbers} for cell, numbers in values.items()}
    return study, measured(study, cells)


def sized(
    values: Mapping[Any, Sequence[Number]], **changes: Any
) -> tuple[Experiment, list[Sample]]:
    """The same with the sizes that the values are of."""
    sizes = sorted({size for _, size in values})
    parameters = {
        "eager": experiment().parameters["eager"].model_dump(),
        "size": {"title": "size", "values": sizes, "minimum": 1, "maximum": 1024},
    }
    return small(values, parameters=parameters, **changes)


def odd_words() -> tuple[Experiment, list[Sample]]:
    text = "a $x_{1}$ & <b> 的 " + "long " * 30
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
    "two sizes": lambda: multiplying([64, 65]),
    "twenty sizes": lambda: multiplying(TWENTY, rounds=6),
    "one sample of one size": lambda: multiplying([64], rounds=1),
    "no variation": lambda: multiplying([64, 128], noise=0),
    "one mode": lambda: multiplying([64, 128], modes=[1]),
    "many rounds of one size": lambda: multiplying([64], rounds=120),
    "balance": lambda: touching([0, 100], [0, 2], table=True),
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
        yield plots.draw(Analysis(*SHAPES[request.param]()))


def by_name(data: tuple[Experiment, list[Sample]]) -> tuple[Analysis, dict[str, Plot]]:
    analysis = Analysis(*data)
    return analysis, {plot.name: plot for plot in plots.draw(analysis)}


@pytest.fixture(scope="module")
def study() -> tuple[Analysis, dict[str, Plot]]:
    """Of the study with its four sizes, for who changes nothing in it."""
    return by_name(paging())


def digests() -> list[str]:
    """Of every kind of plot, and of more points than SVG has as paths."""
    analysis = {
        "compare": "eager",
        "total": ["work_us"],
        "growth": [{"metric": "work_us", "against": "size", "law": "linear"}],
        "balance": "size",
    }
    values = {
        (eager, size): range(9 - eager * size, 69 - eager * size)
        for eager in (0, 1)
        for size in range(1, 10)
    }
    drawn = plots.draw(Analysis(*sized(values, analysis=analysis)))
    return [hashlib.sha256(plot.render(form)).hexdigest() for plot in drawn for form in FORMATS]


# The same bytes


def test_the_same_bytes_in_another_place(tmp_path: Path) -> None:
    here = digests()
    assert len(set(here)) == len(here) == 10
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


def test_the_same_bytes_again() -> None:
    (plot, *others) = plots.draw(Analysis(*small({(0, 64): [5, 6, 7]})))
    first = [plot.render("svg"), plot.render("png")]
    assert [plot.render("svg"), plot.render("png")] == first
    (again, *_) = plots.draw(Analysis(*small({(0, 64): [5, 6, 7]})))
    assert [again.render("svg"), again.render("png")] == first
    assert first[0] not in [each.render("svg") for each in others]


def test_matplotlib_is_left_as_it_was() -> None:
    with matplotlib.rc_context({"font.size": 17, "svg.hashsalt": "mine"}):
        before = dict(matplotlib.rcParams)
        filters = list(warnings.filters)
        (plot, *_) = plots.draw(Analysis(*small({(0, 64): [5, 6, 7]})))
        plot.render("svg")
        assert dict(matplotlib.rcParams) == before
        assert warnings.filters == filters


def test_matplotlib_is_loaded_when_something_is_drawn() -> None:
    code = """
import sys
from pibed import plots
assert "matplotlib" not in sys.modules
from tests.unit.helpers import experiment, measured
from pibed.stats.analysis import Analysis
spec = experiment()
drawn = plots.draw(Analysis(spec, measured(spec, {(0, 64): {"work_us": [1], "pages": [1]}})))
assert drawn and "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    child = python(code)
    assert (child.communicate(timeout=60)[1], child.returncode) == ("", 0)


# Every shape of data


def test_files_of_any_data(drawn: list[Plot]) -> None:
    assert drawn
    names = [plot.name for plot in drawn]
    assert len(set(names)) == len(names)
    for plot in drawn:
        assert plot.alt.endswith(".")
        assert plot.title in plot.alt or plot.name.startswith(("samples", "mean"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            svg = plot.render("svg")
        root = ET.fromstring(svg)
        tags = {each.tag.rpartition("}")[2] for each in root.iter()}
        assert {"svg", "path", "title"} <= tags
        assert not tags & {"date", "text", "image", "creator"}
        assert matplotlib.__version__.encode() not in svg


def test_no_text_is_on_another_or_outside(drawn: list[Plot]) -> None:
    check_texts(drawn)


@pytest.mark.parametrize("count", range(1, 21))
def test_no_text_is_on_another_at_any_number_of_sizes(count: int) -> None:
    # The largest sizes are those with the longest labels, and the closest.
    observations = observe(*multiplying(TWENTY[-count:], rounds=1, modes=[1]))
    with canvas.settings():
        drawn = [
            *charts.medians(observations, "multiply_us", "size"),
            *charts.means(observations, "multiply_us", "size"),
        ]
        for plot in drawn:
            canvas.finish(plot.figure)
    assert len(drawn) == 2
    check_texts(drawn)


def check_texts(drawn: list[Plot]) -> None:
    """Fails where a text is on another or beyond its figure."""
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
        unit = plot.figure.get_supylabel() or plot.figure.axes[0].get_ylabel()
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
            others += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
            if (inner := axes.get_legend()) is not None:
                others += [*inner.get_texts(), inner.get_title()]
        for text in others:
            if text.get_text():
                yield text.get_text(), text.get_window_extent()


# What they show


def test_the_plots_of_an_experiment(study: tuple[Analysis, dict[str, Plot]]) -> None:
    _, found = study
    check_texts(list(found.values()))
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
    assert plots.draw(Analysis(*small({}))) == []
    _, found = by_name(multiplying([64], rounds=1))
    assert not [name for name in found if name.startswith("growth")]
    study = experiment()
    named = study.parameters["size"].model_copy(update={"labels": {64: "little", 128: "much"}})
    study = study.model_copy(update={"parameters": study.parameters | {"size": named}})
    _, found = by_name((study, measured(study, {(0, 64): {"work_us": [1]}})))
    assert list(found) == ["samples-work_us"]
    hidden = {"work_us": {"title": "work", "pattern": "(.)", "unit": "µs", "table": False}}
    assert by_name(small({(0, 64): [1]}, metrics=hidden))[1] == {}


def test_medians_their_intervals_and_all_samples(
    study: tuple[Analysis, dict[str, Plot]],
) -> None:
    analysis, found = study
    observations = analysis.observations
    (axes,) = found["median-mmap_us"].figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    drawn = [line for line in axes.lines if line.get_linestyle() != "None"]
    dots = [line for line in axes.lines if line.get_marker() == "."]
    for mode, line, bars in zip(observations.alternatives, drawn, axes.containers, strict=True):
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
    for values in ([5, 6, 7, 8, 9], [5, 6, 7, 8, 9, 10]):
        observations = observe(*small({(0, 64): values}))
        with canvas.settings():
            (middle,) = charts.medians(observations, "work_us", "size")
            (each,) = charts.samples(observations, "work_us")
        enough = len(values) == 6
        assert len(middle.figure.axes[0].containers) == enough
        for plot in (middle, each):
            assert (INTERVAL in legend_of(plot)) == enough


def test_means_and_deviations_side_by_side(study: tuple[Analysis, dict[str, Plot]]) -> None:
    analysis, found = study
    observations = analysis.observations
    (axes,) = found["mean-multiply_us"].figure.axes
    bars = [each for each in axes.containers if hasattr(each, "patches")]
    lines = [each for each in axes.containers if not hasattr(each, "patches")]
    edges = []
    for mode, patches, spans in zip(observations.alternatives, bars, lines, strict=True):
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
    axes = bars_of({(0, 64): [40], (1, 64): [50]})
    assert (axes.get_yscale(), axes.get_ylim()[0]) == ("linear", 0)
    axes = bars_of({(0, 64): [40], (1, 64): [5000]})
    assert (axes.get_yscale(), axes.get_ylim()[0]) == ("log", 10)


def test_bars_below_zero_have_their_error_bars_inside() -> None:
    axes = bars_of({(0, 64): [-50, -30], (1, 64): [10, 20]})
    deviation = 20 / 2**0.5
    assert axes.get_ylim()[0] < -40 - deviation
    assert axes.get_ylim()[1] > 15 + deviation / 2


def bars_of(values: Mapping[Any, Sequence[Number]]) -> Axes:
    """What the plot of means has its bars on."""
    with canvas.settings():
        (plot,) = charts.means(observe(*small(values)), "work_us", "size")
    (axes,) = plot.figure.axes
    return axes


def test_crowded_bars_are_all_named() -> None:
    for sizes, rotation in ((TWENTY[-4:], 0), (TWENTY, 90)):
        observations = observe(*multiplying(sizes, rounds=1))
        with canvas.settings():
            (plot,) = charts.means(observations, "multiply_us", "size")
            canvas.finish(plot.figure)
        (axes,) = plot.figure.axes
        assert [text for text, _ in labels(axes.xaxis)] == [f"{size:,}" for size in sizes]
        assert {tick.label1.get_rotation() for tick in axes.xaxis.get_major_ticks()} == {rotation}


def test_panels_share_a_logarithmic_axis_and_no_linear_one() -> None:
    parameters = {
        "eager": experiment().parameters["eager"].model_dump(),
        "k": {"title": "k", "values": [1, 2], "minimum": 0, "maximum": 99},
        "size": {"title": "size [rows]", "values": [1, 8], "minimum": 0, "maximum": 99},
    }
    for least, scale in ((5, "log"), (0, "linear")):
        values = {(0, 1, 1): [least], (0, 1, 8): [20], (0, 2, 1): [30], (0, 2, 8): [9000]}
        observations = observe(*small(values, parameters=parameters))
        with canvas.settings():
            (plot,) = charts.medians(observations, "work_us", "size")
        first, second = plot.figure.axes
        assert first.get_yscale() == second.get_yscale() == scale
        assert (first.get_ylim() == second.get_ylim()) == (scale == "log")
        assert first.get_ylim()[1] > 20 and second.get_ylim()[1] > 9000
        # Its unit is at the axis, not in the title.
        assert (plot.title, first.get_xlabel()) == ("work by size", "size [rows]")


def test_panels_of_a_row_differ_in_one_parameter() -> None:
    def blocks(**values: Sequence[int]) -> list[Cell]:
        return [
            Cell(tuple(zip(values, each, strict=True)))
            for each in itertools.product(*values.values())
        ]

    few_last = blocks(pages=range(4), access=range(3))
    assert charts.aligned(few_last) == few_last
    few_first = blocks(access=[2, 0, 1], pages=[64, 16, 256, 4])
    assert [tuple(each.as_dict().values()) for each in charts.aligned(few_first)] == [
        (access, pages) for pages in (64, 16, 256, 4) for access in (2, 0, 1)
    ]
    many = blocks(access=range(5), pages=range(4))
    assert charts.aligned(many) == many
    observations = observe(*touching([0, 100], [0, 1], [4, 8, 16, 32]))
    with canvas.settings():
        (plot,) = charts.medians(observations, "total", "percent")
    titles = [axes.get_title() for axes in plot.figure.axes]
    assert titles[:2] == ["access sequential, pages 4", "access strided, pages 4"]
    assert titles[2] == "access sequential, pages 8"
    left = [axes.get_position().x0 for axes in plot.figure.axes]
    assert left == left[:2] * 4 and left[0] < left[1]


def test_samples_are_at_their_rounds_and_outliers_have_rings() -> None:
    study, samples = small({(0, 64): [5, 6, 5, 7, 5, 6, 99, 6]}, rounds=8)
    # Nothing of round 2 is left.
    _, found = by_name((study, [each for each in samples if each.round != 2]))
    lazy, eager = found["samples-work_us"].figure.axes[:2]
    points = [xy(line) for line in lazy.lines]
    assert ([1, 3, 4, 5, 6, 7, 8], [5, 5, 7, 5, 6, 99, 6]) in points
    assert ([7], [99]) in points
    assert {line.get_markersize() for line in lazy.lines if xy(line)[0] == [7]} == {10}
    assert eager.texts[0].get_text() == "no sample"
    assert found["samples-work_us"].alt.endswith("outliers among them: 1.")


def test_points_of_many_rounds_are_small() -> None:
    widths = []
    for rounds in (30, 120):
        (plot,) = samples_of({(0, 64): range(rounds)}, rounds=rounds)
        (points,) = (line for line in plot.figure.axes[0].lines if len(xy(line)[0]) == rounds)
        widths.append(points.get_markersize())
        # No round 0, and none that was not.
        ticks = [int(text) for text, _ in labels(plot.figure.axes[0].xaxis)]
        assert len(ticks) > 3 and ticks[0] >= 1 and ticks[-1] <= rounds
    assert widths[1] == widths[0] / 2


def test_many_cells_are_around_their_medians() -> None:
    values: dict[Any, Sequence[Number]] = {
        (0, size): [100 * size, 100 * size + size, 100 * size - size] for size in range(1, 10)
    }
    (plot,) = samples_of(values)
    lazy, eager = plot.figure.axes
    assert [axes.get_title() for axes in (lazy, eager)] == ["lazy", "eager"]
    x, y = xy(lazy.lines[0])
    # By cell, and of each cell by round; the cells of a round are beside each other.
    assert y == list(itertools.chain(*([0, size, -size] for size in range(1, 10))))
    assert [round(each) for each in x] == [1, 2, 3] * 9
    for number in range(3):
        assert x[number::3] == sorted(set(x[number::3]))
    assert eager.texts[0].get_text() == "no sample"
    assert plot.alt == (
        "Samples of work in µs by round, each less the median of its cell, 9 cells a mode: "
        "from -9 to 9 µs; outliers among them: 0."
    )
    assert "outlier" not in legend_of(plot)


def test_outliers_among_many_cells_have_rings() -> None:
    values: dict[Any, Sequence[Number]] = {
        (eager, size): [50, 60, 50, 70, 50, 60, 990 if (eager, size) == (1, 7) else 60, 60]
        for eager in (0, 1)
        for size in range(1, 10)
    }
    (plot,) = samples_of(values, rounds=8)
    lazy, eager = plot.figure.axes
    (_,), (points, rings) = lazy.lines, eager.lines
    (place,), (far,) = xy(rings)
    assert (round(place), far) == (7, 930)
    assert (place, far) in zip(*xy(points), strict=True)
    # Both modes are on the same axis.
    assert lazy.get_ylim() == eager.get_ylim() and far < eager.get_ylim()[1]
    assert plot.alt.endswith("from -10 to 930 µs; outliers among them: 1.")
    assert legend_of(plot) == ["sample", "outlier"]


def test_many_cells_of_one_round_and_of_no_mode() -> None:
    values = {(eager, size): [size] for eager in (0, 1) for size in range(1, 10)}
    (plot,) = samples_of(values)
    for axes in plot.figure.axes:
        assert xy(axes.lines[0])[1] == [0] * 9
        assert [text for text, _ in labels(axes.xaxis)] == ["1"]
    (plot,) = samples_of(values, analysis={"compare": None})
    (axes,) = plot.figure.axes
    assert len(xy(axes.lines[0])[1]) == 18
    assert axes.get_title() == ""


def test_more_panels_than_a_figure_holds_go_on_in_another() -> None:
    one = {"minimum": 0, "maximum": 99}
    parameters = {
        "eager": experiment().parameters["eager"].model_dump(),
        "k": {"title": "k", "values": list(range(13))} | one,
        "size": {"title": "size", "values": [1]} | one,
    }
    values = {(0, k, 1): [5, 6] for k in range(13)}
    observations = observe(*small(values, parameters=parameters))
    with canvas.settings():
        drawn = [
            *charts.medians(observations, "work_us", "size"),
            *charts.means(observations, "work_us", "size"),
        ]
    assert {plot.name: len(plot.figure.axes) for plot in drawn} == {
        "median-work_us": 7,
        "median-work_us-2": 6,
        "mean-work_us": 7,
        "mean-work_us-2": 6,
    }


def test_very_many_points_are_a_picture_in_the_svg() -> None:
    def of_each(count: int) -> dict[Any, Sequence[Number]]:
        return {(0, size): range(count) for size in range(1, 10)}

    (few,), (many,) = samples_of(of_each(50), rounds=50), samples_of(of_each(500), rounds=500)
    small, large = few.render("svg"), many.render("svg")
    assert b"<image" not in small
    assert large.count(b"<image") == 1
    # 450 points as paths, and ten times as many in the picture.
    assert len(large) < 2 * len(small) < 300_000


def samples_of(values: Mapping[Any, Sequence[Number]], **changes: Any) -> list[Plot]:
    """The plots of samples alone, laid out."""
    with canvas.settings():
        drawn = list(charts.samples(observe(*sized(values, **changes)), "work_us"))
        for plot in drawn:
            canvas.finish(plot.figure)
    return drawn


def legend_of(plot: Plot) -> list[str]:
    return [each.get_text() for legend in plot.figure.legends for each in legend.get_texts()]


def test_fits_have_line_formula_and_interval(study: tuple[Analysis, dict[str, Plot]]) -> None:
    analysis, found = study
    for plot, fits in (
        (found["growth-mmap_us-pages_allocated-linear"], analysis.fits[:2]),
        (found["growth-multiply_us-size-power"], analysis.fits[2:]),
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
            spread = half_width(fit.slope_low, fit.slope_high)
            for number in (fit.slope, fit.slope_low, fit.slope_high):
                assert supported(abs(number), spread) in text.get_text()


def test_lines_through_points_that_are_on_none_are_inside() -> None:
    (plot,) = (
        each
        for each in plots.draw(Analysis(*multiplying(TWENTY, rounds=1)))
        if each.name.startswith("growth")
    )
    (axes,) = plot.figure.axes
    low, high = axes.get_ylim()
    curves = [xy(line)[1] for line in axes.lines if line.get_linestyle() != "None"]
    assert len(curves) == 2
    for curve in curves:
        assert low < min(curve) < 10 and max(curve) < high


def test_the_balance_is_marked_with_its_interval() -> None:
    analysis, found = by_name(touching([0, 100], [0, 1]))
    figure = found["balance"].figure
    balances = analysis.balances
    assert len(figure.axes) == len(balances) == 2
    for axes, each in zip(figure.axes, balances, strict=True):
        assert each.at is not None
        (line,) = (line for line in axes.lines if line.get_linestyle() == ":")
        assert xy(line)[0] == [each.at] * 2
        (band,) = axes.patches
        box = band.get_bbox()  # type: ignore[attr-defined]
        assert (box.x0, box.x1) == (each.low, each.high)
        assert each.low is not None and each.high is not None
        spread = half_width(each.low, each.high)
        at, low, high = (supported(value, spread) for value in (each.at, each.low, each.high))
        assert f"balance at {at} ({low} to {high})" in axes.get_title()


def test_where_there_is_no_balance_it_says_why() -> None:
    _, found = by_name(touching([80, 100]))
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
    drawn = plots.draw(Analysis(*small({(0, 64): [5]})))
    paths = plots.write(drawn, tmp_path)
    assert paths[:2] == [
        tmp_path / "plots/median-work_us.svg",
        tmp_path / "plots/median-work_us.png",
    ]
    assert sorted(paths) == sorted((tmp_path / "plots").iterdir())
    svg, png = (path.read_bytes() for path in paths[:2])
    assert (svg, png) == (drawn[0].render("svg"), drawn[0].render("png"))
    assert matplotlib.__version__.encode() not in png
    assert b"tIME" not in png
    height, width, _ = imread(paths[1]).shape
    assert 800 < width < 1200 and 500 < height < 1000
    other = tmp_path / "plots" / "notes.txt"
    other.write_text("mine")
    plots.write(drawn[:1], tmp_path)
    assert sorted((tmp_path / "plots").iterdir()) == sorted([*paths[:2], other])


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("")
    with pytest.raises(HostError, match="plots"):
        plots.write([], tmp_path)
