"""Statistics against numbers computed apart from pibed (exact fractions, by the formulas)."""

from __future__ import annotations

import time
from fractions import Fraction
from math import comb

import pytest

from pibed.model.plan import Cell
from pibed.model.samples import Number, Sample, Status
from pibed.stats import summary
from pibed.stats.summary import describe, median_coverage, median_interval, outlying
from tests.unit.helpers import experiment

CELL = Cell((("eager", 1), ("size", 64)))

# The runs of the study on a real Pi, pre-paging, in their order (µs).
MMAP_64 = [115, 108, 119, 121, 108, 109, 108, 110, 120, 108]
MMAP_128 = [232, 226, 222, 222, 204, 203, 226, 222, 472, 231]
MULTIPLY_512 = [
    *(25034968, 25001156, 24998842, 25012513, 25113347),
    *(25023771, 24992040, 25013943, 24998014, 25015183),
]


@pytest.mark.parametrize(
    ("values", "mean", "median", "sd", "low", "high", "least", "most"),
    [
        (MMAP_64, 112.6, 109.5, 5.541760650832108, 108, 120, 108, 121),
        (MMAP_128, 246.0, 224.0, 80.02638453798986, 204, 232, 203, 472),
        (
            MULTIPLY_512,
            25020377.7,
            25013228.0,
            35173.13732586908,
            24998014,
            25034968,
            24992040,
            25113347,
        ),
    ],
)
def test_runs_of_the_study(
    values: list[int],
    mean: float,
    median: float,
    sd: float,
    low: int,
    high: int,
    least: int,
    most: int,
) -> None:
    found = describe(CELL, "mmap_us", values)
    assert found.n == 10
    assert (found.min, found.max) == (least, most)
    assert found.mean == pytest.approx(mean, rel=1e-12)
    assert found.median == median
    assert found.sd == pytest.approx(sd, rel=1e-12)
    assert (found.ci_low, found.ci_high) == (low, high)


def test_single_sample() -> None:
    found = describe(CELL, "x", [7])
    assert (found.n, found.min, found.max, found.mean, found.median) == (1, 7, 7, 7.0, 7.0)
    assert (found.sd, found.ci_low, found.ci_high) == (None, None, None)


def test_odd_number_of_samples() -> None:
    found = describe(CELL, "x", [3, 1, 2])
    assert (found.median, found.sd) == (2.0, 1.0)


def test_equal_samples() -> None:
    found = describe(CELL, "x", [5] * 6)
    assert (found.sd, found.ci_low, found.ci_high) == (0.0, 5, 5)


@pytest.mark.parametrize(
    ("n", "k"), [(1, None), (2, None), (5, None), (6, 1), (8, 1), (9, 2), (10, 2), (20, 6)]
)
def test_median_interval(n: int, k: int | None) -> None:
    # The k of the tables, such as David and Nagaraja's or Conover's: 95 %.
    values: list[Number] = [x * 10 for x in range(n, 0, -1)]
    expected = None if k is None else (k * 10, (n + 1 - k) * 10)
    assert median_interval(values) == expected


@pytest.mark.parametrize("n", [*range(60), 1000, 1100, 2500])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_coverage_is_the_binomials(n: int, confidence: float) -> None:
    from scipy.stats import binom

    interval = median_interval(list(range(1, n + 1)), confidence)
    coverage = median_coverage(n, confidence)
    if interval is None:
        assert coverage is None
        assert 1 - 2 * binom.cdf(0, n, 0.5) < confidence or n < 2
        return
    assert interval[0] + interval[1] == n + 1
    k = int(interval[0])
    assert coverage == pytest.approx(1 - 2 * binom.cdf(k - 1, n, 0.5), rel=1e-9)
    assert coverage is not None
    assert coverage >= confidence
    assert k == n // 2 or 1 - 2 * binom.cdf(k, n, 0.5) < confidence


def test_interval_of_ten_thousand_is_quick() -> None:
    begin = time.monotonic()
    assert median_interval(list(range(1, 10001))) == (4902, 5099)
    assert time.monotonic() - begin < 1


def test_outliers_of_the_study() -> None:
    # Median 224, MAD (2+7)/2, so beyond 224 ± 3.5·4.5/0.6745 = 200.6 to 247.4.
    assert [x for x, flag in zip(MMAP_128, outlying(MMAP_128), strict=True) if flag] == [472]
    found = describe(CELL, "mmap_us", MMAP_128)
    assert (found.mad, found.outliers) == (4.5, 1)
    assert (found.n, found.max, found.mean) == (10, 472, 246.0)


def test_mad_is_scipys() -> None:
    from scipy.stats import median_abs_deviation

    for values in (MMAP_64, MMAP_128, MULTIPLY_512):
        assert describe(CELL, "x", values).mad == median_abs_deviation(values)


@pytest.mark.parametrize(
    ("values", "flagged"),
    [
        # The modified z-score of 5.18 is 0.6745·(5.18-0)/1 = 3.494, that of 5.2 is 3.507.
        ([-1, 0, 0, 1, 1, -1, 5.18], []),
        ([-1, 0, 0, 1, 1, -1, 5.2], [5.2]),
        # MAD is 0: 3 is 3/(1.253314·3/8) = 6.4 mean deviations away, 1 of two is 3.2.
        ([0, 0, 0, 0, 0, 0, 0, 3], [3]),
        ([0, 0, 0, 0, 0, 0, 1, 1], []),
        ([5, 5, 5], []),
        ([1, 1000], []),
        ([7], []),
    ],
)
def test_flagged(values: list[Number], flagged: list[Number]) -> None:
    assert [x for x, flag in zip(values, outlying(values), strict=True) if flag] == flagged


def test_median_interval_of_ten_covers_97_85_percent() -> None:
    values = list(range(1, 11))
    coverage = 1 - 2 * Fraction(sum(comb(10, j) for j in range(2)), 2**10)
    assert float(coverage) == pytest.approx(0.9785, abs=5e-5)
    assert median_interval(values, float(coverage)) == (2, 9)
    assert median_interval(values, float(coverage) + 1e-9) == (1, 10)


def test_median_interval_is_as_wide_as_the_confidence_asks() -> None:
    values = list(range(1, 11))
    assert median_interval(values, 0.5) == (4, 7)
    assert median_interval(values, 0.999) is None


def sample(eager: int, size: int, work: float, status: Status = Status.OK) -> Sample:
    metrics: dict[str, Number] = {"work_us": work, "pages": 8} if status == Status.OK else {}
    return Sample("small", 1, 1, status, Cell.of({"eager": eager, "size": size}), metrics)


def test_cells_in_the_experiments_order() -> None:
    found = summary.summarise(
        experiment(), [sample(1, 128, 5), sample(1, 64, 3), sample(0, 64, 1), sample(1, 64, 4)]
    )
    assert [(each.cell.values, each.metric, each.n, each.mean) for each in found] == [
        ((("eager", 0), ("size", 64)), "work_us", 1, 1.0),
        ((("eager", 0), ("size", 64)), "pages", 1, 8.0),
        ((("eager", 1), ("size", 64)), "work_us", 2, 3.5),
        ((("eager", 1), ("size", 64)), "pages", 2, 8.0),
        ((("eager", 1), ("size", 128)), "work_us", 1, 5.0),
        ((("eager", 1), ("size", 128)), "pages", 1, 8.0),
    ]


def test_samples_that_are_not_ok_do_not_count() -> None:
    bad: list[Status] = [each for each in Status if each != Status.OK]
    samples = [sample(0, 64, 0, status) for status in bad]
    found = summary.summarise(experiment(), [*samples, sample(0, 64, 3)])
    assert [(each.metric, each.n, each.min) for each in found] == [
        ("work_us", 1, 3),
        ("pages", 1, 8),
    ]


def test_no_sample_that_is_ok() -> None:
    assert summary.summarise(experiment(), [sample(0, 64, 0, Status.LOST)]) == []
    assert summary.summarise(experiment(), []) == []


def test_order_of_a_samples_parameters_does_not_matter() -> None:
    turned = Sample(
        "small", 1, 1, Status.OK, Cell.of({"size": 64, "eager": 0}), {"work_us": 1, "pages": 8}
    )
    assert len(summary.summarise(experiment(), [turned])) == 2


HEADER = "eager,size,metric,n,min,max,mean,median,sd,ci_low,ci_high,ci_coverage,mad,outliers\n"


def test_csv_is_literally_this() -> None:
    text = summary.to_csv(
        experiment(),
        [describe(CELL, "work_us", MMAP_64), describe(CELL, "pages", [7])],
    )
    assert text == (
        HEADER
        + "1,64,work_us,10,108,121,112.6,109.5,5.541760650832108,108,120,0.978515625,1.5,3\n"
        + "1,64,pages,1,7,7,7.0,7.0,,,,,0.0,0\n"
    )


def test_csv_of_nothing() -> None:
    assert summary.to_csv(experiment(), []) == HEADER


def test_csv_keeps_what_was_measured() -> None:
    text = summary.to_csv(experiment(), [describe(CELL, "work_us", MULTIPLY_512)])
    row = dict(zip(HEADER.strip().split(","), text.splitlines()[1].split(","), strict=True))
    assert float(row["mean"]) == pytest.approx(25020377.7, abs=0.05)
    assert float(row["median"]) == 25013228.0
    assert "e" not in row["mean"]
