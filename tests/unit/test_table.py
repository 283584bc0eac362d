"""The table at the end of a sweep, as it is printed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from pibed.model.machine import Clock
from pibed.model.plan import Cell
from pibed.model.samples import Number
from pibed.report import tables
from pibed.report.table import printed
from pibed.stats.summary import Summary, describe
from tests.unit.helpers import experiment


def shown(
    summaries: list[Summary],
    title: str = "A title",
    others: list[Summary] | None = None,
    **changes: Any,
) -> list[list[str]]:
    """The table's lines that are not empty, each split into its cells."""
    text = io.StringIO()
    console = Console(file=text, width=120)
    by_clock: dict[Clock, Sequence[Summary]] = {"virtual": summaries}
    if others is not None:
        by_clock["host"] = others
    console.print(printed(tables.of_sweep(experiment(**changes), by_clock, title)))
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    return [
        [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in lines
        if line.strip()
    ]


def summary(eager: int, size: int, metric: str, *values: Number) -> Summary:
    return describe(Cell((("eager", eager), ("size", size))), metric, values)


def test_rows_are_literally_these() -> None:
    lines = shown(
        [
            summary(0, 64, "work_us", 81, 119, 100),
            summary(0, 64, "pages", 8, 8, 8),
            summary(1, 64, "work_us", 1.5),
        ]
    )
    assert lines[0] == ["A title"]
    assert lines[1] == ["mode", "size", "metric", "n", "min", "max", "mean", "median", "SD"]
    assert [line for line in lines[2:] if not set("".join(line)) <= {"─", " "}] == [
        ["lazy", "64", "work [µs]", "3", "81", "119", "100.0", "100.0", "19.00"],
        ["eager", "64", "work [µs]", "1", "1.5", "1.5", "1.5", "1.5"],
    ]


def test_numbers_stand_below_their_heading() -> None:
    text = io.StringIO()
    rows = [summary(0, 64, "work_us", 1), summary(0, 128, "work_us", 123456)]
    table = tables.of_sweep(experiment(), {"virtual": rows}, "t")
    Console(file=text, width=120).print(printed(table))
    heading, *lines = [line for line in text.getvalue().splitlines() if "s" in line]
    end = heading.index("mean") + len("mean")
    assert [line[:end].rsplit(maxsplit=1)[-1] for line in lines] == ["1.0", "123456.0"]


def test_two_clocks_stand_side_by_side_and_one_may_lack_a_cell() -> None:
    lines = shown(
        [summary(0, 64, "work_us", 1), summary(0, 128, "work_us", 3)],
        others=[summary(0, 128, "work_us", 4)],
    )
    assert [line for line in lines if line[0] == "lazy"] == [
        ["lazy", "64", "work [µs]", "virtual", "1", "1", "1", "1.0", "1.0"],
        ["lazy", "128", "work [µs]", "virtual", "1", "3", "3", "3.0", "3.0"],
        ["lazy", "128", "work [µs]", "host", "1", "4", "4", "4.0", "4.0"],
    ]


def test_metric_is_shown_and_decides_unless_it_says_otherwise() -> None:
    metrics = {
        "work_us": {"title": "work", "pattern": "(.)", "unit": "µs"},
        "pages": {"title": "pages", "counter": "/sys/pages", "unit": "pages"},
        "hidden": {"title": "hidden", "pattern": "(.)", "unit": "µs", "table": False},
    }
    rows = [summary(0, 64, name, 1) for name in metrics]
    lines = shown(rows, metrics=metrics)
    assert [line[2] for line in lines if line[0] == "lazy"] == ["work [µs]", "pages [pages]"]
    assert experiment(metrics=metrics).analysed.total == ["work_us"]


@pytest.mark.parametrize(
    ("values", "shown_as"),
    [
        # min, max, mean, median, SD
        ((0.0123, 0.0125, 0.0124), ["0.0123", "0.0125", "0.0124", "0.0124", "0.00010"]),
        ((42.89, 43.11, 42.0), ["42.0", "43.11", "42.67", "42.89", "0.59"]),
        ((284.25, 280.5), ["280.5", "284.2", "282.4", "282.4", "2.65"]),
        ((0.1 + 0.2, 0.3), ["0.3", "0.3", "0.3", "0.3", "3.925e-17"]),
        ((1.25e-7, 1.5e-7), ["1.25e-07", "1.5e-07", "1.375e-07", "1.375e-07", "1.768e-08"]),
        ((0.0, 0.0), ["0.0", "0.0", "0.0", "0.0", "0.000"]),
        ((2.5e17, 2.5e17), ["2.5e+17", "2.5e+17", "2.5e+17", "2.5e+17", "0.00"]),
        ((-0.0123, -0.0125), ["-0.0125", "-0.0123", "-0.0124", "-0.0124", "0.00014"]),
        # Whole numbers as ever, but for a mean of few of them.
        ((81, 119, 100), ["81", "119", "100.0", "100.0", "19.00"]),
        ((0,) * 99 + (1,), ["0", "1", "0.01", "0.0", "0.10"]),
    ],
)
def test_digits_mean_something(values: tuple[Number, ...], shown_as: list[str]) -> None:
    assert shown([summary(0, 64, "work_us", *values)])[-1][4:] == shown_as


def test_no_rows() -> None:
    assert shown([])[0] == ["A title"]


def test_unit_is_no_markup() -> None:
    metrics = {
        "work_us": {"title": "work", "pattern": r"(\d+)", "unit": "bold", "table": True},
    }
    assert "work [bold]" in shown([summary(0, 64, "work_us", 1)], metrics=metrics)[-1]


def test_names_of_the_experiment_are_no_markup() -> None:
    parameters: dict[str, Any] = {
        "eager": {
            "title": "mode [a]",
            "values": [0, 1],
            "minimum": 0,
            "maximum": 1,
            "labels": {0: "lazy [b]"},
        },
        "size": {"title": "size", "values": [64], "minimum": 1, "maximum": 1024},
    }
    lines = shown([summary(0, 64, "work_us", 1)], "A title [c]", parameters=parameters)
    assert lines[0] == ["A title [c]"]
    assert lines[1][0] == "mode [a]"
    assert lines[-1][0] == "lazy [b]"


def test_caption_is_below() -> None:
    text = io.StringIO()
    rows = [summary(0, 64, "work_us", 1)]
    caption = "differs from lock: qemu 10 [b] instead of 7.2"
    table = tables.of_sweep(experiment(), {"virtual": rows}, "t", caption)
    Console(file=text, width=120).print(printed(table))
    # Wrapped at the width of the table.
    assert " ".join(text.getvalue().split()).endswith(f" 1.0 {caption}")


def test_large_fractions_keep_their_digits() -> None:
    row = shown([summary(0, 64, "work_us", 1234567.5, 1234567.5)])[-1]
    assert row[4:6] == ["1234567.5", "1234567.5"]
