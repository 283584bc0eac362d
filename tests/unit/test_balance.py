"""The point where both modes take the same time, against lines whose crossing is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from pibed.model.experiment import Experiment
from pibed.model.samples import Number
from pibed.stats.balance import Balance, balances, crossings
from pibed.stats.observations import observe
from tests.unit.helpers import experiment, measured

SHARES = [0, 250, 500, 750, 1000]


def study(
    shares: Sequence[int] = SHARES, pages: Sequence[int] = (64,), **analysis: Any
) -> Experiment:
    def parameter(title: str, values: Sequence[int], labels: dict[int, str]) -> dict[str, Any]:
        return {
            "title": title,
            "values": list(values),
            "minimum": 0,
            "maximum": 4096,
            "labels": labels,
        }

    return experiment(
        parameters={
            "pages_mapped": parameter("pages", pages, {}),
            "share": parameter("touched, per mille", shares, {}),
            "eager": parameter("mode", [0, 1], {0: "lazy", 1: "eager"}),
        },
        workload={"source": "a.c", "command": "work {share}", "timeout_s": 30},
        analysis={"compare": "eager", "total": ["work_us"], "balance": "share"} | analysis,
    )


def balance(
    lazy: Callable[[int], list[Number]],
    eager: Callable[[int], list[Number]],
    shares: Sequence[int] = SHARES,
) -> Balance:
    spec = study(shares)
    samples = []
    for share in shares:
        for mode, values in ((0, lazy(share)), (1, eager(share))):
            samples += measured(spec, {(64, share, mode): {"work_us": values, "pages": values}})
    (found,) = balances(observe(spec, samples))
    return found


def constant(value: float, n: int = 6) -> list[Number]:
    return [value] * n


def test_crossing_of_two_lines() -> None:
    # 100 + share/2 and 250: equal at 300, between two of the values measured.
    found = balance(lambda share: constant(100 + share / 2), lambda share: constant(250))
    assert found.at == pytest.approx(300)
    assert [found.low, found.high] == pytest.approx([300, 300])
    assert found.reason == ""
    assert found.points == ((0, -150), (250, -25), (500, 100), (750, 225), (1000, 350))
    assert (found.parameter, found.metric, str(found.others)) == (
        "share",
        "work_us",
        "pages_mapped=64",
    )


def test_values_in_any_order_are_interpolated_between_neighbours() -> None:
    found = balance(
        lambda share: constant(100 + share / 2),
        lambda share: constant(250),
        [1000, 0, 500, 250, 750],
    )
    assert found.at == pytest.approx(300)


def test_crossing_at_a_measured_value() -> None:
    found = balance(constant, lambda share: constant(500))
    assert (found.at, found.low, found.high) == (500, 500, 500)


@pytest.mark.parametrize("end", [0, 1000])
def test_crossing_at_an_end(end: int) -> None:
    found = balance(constant, lambda share: constant(end))
    assert (found.at, found.reason) == (end, "")


def test_interval_contains_the_crossing_and_rounds_are_drawn_whole() -> None:
    noise: list[Number] = [-9, -6, -2, 0, 1, 4, 8]
    found = balance(
        lambda share: [100 + share / 2 + each for each in noise], lambda share: constant(250, 7)
    )
    assert found.at == pytest.approx(300)
    assert found.low is not None
    assert found.high is not None
    # The drawn median is one of the seven: 2 µs more are 4 per mille less.
    assert 300 - 16 <= found.low < 300 < found.high <= 300 + 18
    both = balance(
        lambda share: [100 + share / 2 + each for each in noise],
        lambda share: [250 + each for each in noise],
    )
    assert [both.low, both.high] == pytest.approx([300, 300])


def test_none_in_range_says_who_is_faster() -> None:
    found = balance(constant, lambda share: constant(2000))
    assert (found.at, found.low, found.high) == (None, None, None)
    assert found.reason == "none in range: lazy is faster from 0 to 1000"
    found = balance(lambda share: constant(share + 1), lambda share: constant(0))
    assert found.reason == "none in range: eager is faster from 0 to 1000"


def test_several_crossings_are_none() -> None:
    found = balance(lambda share: constant(abs(share - 500)), lambda share: constant(125))
    assert found.at is None
    assert found.reason == "the medians are equal at several values of share: 375, 625"


def test_touching_is_no_crossing() -> None:
    found = balance(lambda share: constant(abs(share - 500)), lambda share: constant(0))
    assert found.at is None
    assert found.reason == "the medians are equal at 500, but eager is faster on both sides"


def test_equal_everywhere() -> None:
    found = balance(lambda share: constant(5), lambda share: constant(5))
    assert (found.at, found.reason) == (None, "the medians of both modes are equal everywhere")


def test_a_bound_beyond_the_range_is_none() -> None:
    noise: list[Number] = [-90, -60, -20, 0, 10, 40, 80]
    found = balance(lambda share: [share + each for each in noise], lambda share: constant(980, 7))
    assert found.at == pytest.approx(980)
    assert found.low is not None
    assert found.high is None
    assert found.reason == "the upper bound lies above all measured share"
    found = balance(lambda share: [share + each for each in noise], lambda share: constant(20, 7))
    assert found.at == pytest.approx(20)
    assert found.low is None
    assert found.high is not None
    assert found.reason == "the lower bound lies below all measured share"


def test_a_bound_beyond_the_range_when_the_modes_are_swapped() -> None:
    noise: list[Number] = [-90, -60, -20, 0, 10, 40, 80]
    found = balance(lambda share: constant(980, 7), lambda share: [share + each for each in noise])
    assert found.low is not None
    assert found.high is None


def test_too_few_samples_have_no_interval() -> None:
    found = balance(
        lambda share: constant(100 + share / 2, 5), lambda share: constant(250), [0, 1000]
    )
    assert found.at == pytest.approx(300)
    assert (found.low, found.high) == (None, None)
    assert found.reason == (
        "no interval below 6 samples: lazy at share=0 has 5, lazy at share=1000 has 5"
    )


def test_a_single_value_is_nothing_to_interpolate() -> None:
    found = balance(lambda share: constant(1), lambda share: constant(2), [500])
    assert (found.at, found.reason) == (
        None,
        "a single value of share: there is nothing to interpolate",
    )


def test_missing_cells_are_passed_over() -> None:
    spec = study(pages=[64, 128])
    samples = []
    for share in (0, 500, 1000):
        cells = {(64, share, 1): {"work_us": [250] * 6}}
        if share != 500:
            cells[64, share, 0] = {"work_us": [100 + share // 2] * 6}
        samples += measured(spec, cells)
    observations = observe(spec, samples)
    first, second = balances(observations)
    assert [share for share, _ in first.points] == [0, 1000]
    assert first.at == pytest.approx(300)
    assert (second.at, second.points) == (None, ())
    assert second.reason == "no cell has samples: there is nothing to interpolate"
    assert "pages_mapped=64 share=500 eager=0: no sample that is ok" in observations.left_out


def test_nothing_asked_for() -> None:
    spec = experiment()
    assert balances(observe(spec, [])) == []


def test_crossings_of_many_rows() -> None:
    values = np.array([0.0, 10, 20])
    rows = np.array(
        [
            [-1.0, 1, 2],
            [-1.0, 0, 2],
            [-3.0, -2, -1],
            [1.0, 2, 3],
            [-1.0, 1, -1],
            [np.nan, 1, 2],
            [0.0, 1, 2],
        ]
    )
    found = crossings(values, rows, 1.0)
    assert found[:5].tolist() == [5, 10, math.inf, -math.inf, 10]
    assert np.isnan(found[5])
    assert found[6] == 0
    assert crossings(values, -rows[2:4], -1.0).tolist() == [math.inf, -math.inf]
