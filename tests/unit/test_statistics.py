"""All statistics of odd runs: holes, constants, zeros, tiny and huge numbers, one round."""

from __future__ import annotations

import dataclasses
import math
import random
import warnings

import pytest

from pibed.model.plan import Cell
from pibed.model.samples import Number, Sample, Status
from pibed.stats import summary
from pibed.stats.balance import balances
from pibed.stats.comparison import Verdict, compare
from pibed.stats.growth import changes, costs, fits
from pibed.stats.observations import observe
from tests.unit.helpers import experiment

STUDY = experiment(
    parameters={
        "eager": {"title": "mode", "values": [0, 1], "minimum": 0, "maximum": 1},
        "size": {"title": "size", "values": [1, 2, 4], "minimum": 1, "maximum": 9},
    },
    metrics={
        name: {"title": name, "pattern": "(a)", "unit": "µs"}
        for name in ("work_us", "map_us", "pages")
    },
    analysis={
        "compare": "eager",
        "total": ["work_us", "map_us"],
        "growth": [
            {"metric": "work_us", "against": "pages", "law": "linear"},
            {"metric": "work_us", "against": "size", "law": "power"},
            {"metric": "pages", "against": "work_us", "law": "power"},
        ],
        "cost": {"metric": "work_us", "events": "pages", "by": "size"},
        "balance": "size",
    },
)

POOLS: list[list[Number]] = [
    [0],
    [0, 1],
    [5],
    [1, 2, 3],
    [-1, 0, 1],
    [0.1, 0.2, 0.3],
    list(range(100)),
    [1e50, -1e50, 1],
    [1e-200, 2e-200],
    [5e-324, 1],
]


def odd_run(pool: list[Number], seed: int) -> list[Sample]:
    generator = random.Random(seed)
    missing = generator.choice([0, 0, 0.1, 0.5])
    return [
        Sample("small", number, 1, Status.OK, Cell.of({"eager": eager, "size": size}), metrics)
        if generator.random() < 0.9
        else Sample("small", number, 1, Status.PANIC, Cell.of({"eager": eager, "size": size}), {})
        for number in range(1, generator.choice([1, 2, 5, 6, 7, 12]) + 1)
        for eager in (0, 1)
        for size in (1, 2, 4)
        for metrics in [{name: generator.choice(pool) for name in STUDY.metrics}]
        if generator.random() >= missing
    ]


def numbers(value: object) -> list[float]:
    """All floats in a result, however deep."""
    if isinstance(value, float):
        return [value]
    if dataclasses.is_dataclass(value):
        return numbers([getattr(value, field.name) for field in dataclasses.fields(value)])
    if isinstance(value, (list, tuple)):
        return [number for each in value for number in numbers(each)]
    assert value is None or isinstance(value, (int, str, Verdict)), value
    return []


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_no_number_is_nan_or_infinite_and_none_is_missing_without_a_reason(
    pool: list[Number],
) -> None:
    for seed in range(20):
        samples = odd_run(pool, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            observations = observe(STUDY, samples)
            compared, fitted = compare(observations), fits(observations)
            cost, balance = costs(observations), balances(observations)
            change = changes(observations)
            summaries = summary.summarise(STUDY, samples)
        for number in numbers([compared, fitted, cost, change, balance, summaries]):
            assert type(number) is float  # not one of numpy's, which print and store differently
            assert math.isfinite(number)
        for one in compared:
            needed = (one.ratio, one.ratio_low, one.ratio_high)
            assert one.reason or (None not in needed and one.verdict is not Verdict.UNDECIDED)
        for fit in fitted:
            assert fit.reason or None not in (fit.slope, fit.slope_low, fit.r_squared)
        for each in cost:
            assert each.reason or None not in (each.cost, each.low, each.high)
        for one_change in change:
            assert one_change.reason or None not in (
                one_change.change,
                one_change.low,
                one_change.high,
            )
        for point in balance:
            assert point.reason or None not in (point.at, point.low, point.high)
