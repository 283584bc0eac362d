"""Two modes beside each other: against scipy, published examples, and counting by hand."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pibed.model.plan import Cell
from pibed.model.samples import Number
from pibed.stats.comparison import (
    Comparison,
    Verdict,
    compare,
    holm,
    judge,
    mann_whitney,
    resampled_ratio,
)
from pibed.stats.observations import Alternative, Series, observe
from tests.unit.helpers import experiment, measured


def found(lazy: list[Number], eager: list[Number], **analysis: Any) -> Comparison:
    """The comparison of work_us at size 64, in a run that has nothing else."""
    study = experiment(analysis={"compare": "eager", "total": ["work_us"]} | analysis)
    samples = [
        *measured(study, {(0, 64): {"work_us": lazy}}),
        *measured(study, {(1, 64): {"work_us": eager}}),
    ]
    (result,) = compare(observe(study, samples))
    return result


# Tests and sizes of effects


def test_cliffs_delta_of_a_published_example() -> None:
    # The example of R's effsize::cliff.delta (data of Hogarty and Kromrey): -0.25.
    treatment = np.array([10, 10, 20, 20, 20, 30, 30, 30, 40, 50], dtype=float)
    control = np.array([10, 20, 30, 40, 40, 50], dtype=float)
    assert mann_whitney(treatment, control)[0] == pytest.approx(-0.25)


def test_mann_whitney_of_a_published_example() -> None:
    # Permeability of the human chorioamnion, Hollander and Wolfe (1973), page 69, as in R's
    # wilcox.test: W = 35, p = 0.1272 on one side.
    term = np.array([0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46])
    early = np.array([1.15, 0.88, 0.90, 0.74, 1.21])
    delta, p, method = mann_whitney(term, early)
    assert delta == pytest.approx(2 * 35 / 50 - 1)
    assert p == pytest.approx(2 * 0.1272, abs=1e-4)
    assert method == "exact"


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 5), (2, 3), (6, 6), (10, 10), (7, 30), (30, 30)])
def test_mann_whitney_without_ties_is_scipys_exact(m: int, n: int) -> None:
    generator = np.random.default_rng(m * 100 + n)
    for shift in (0, 0.5, 3):
        x, y = generator.normal(size=m) + shift, generator.normal(size=n)
        expected = stats.mannwhitneyu(x, y, method="exact")
        delta, p, _ = mann_whitney(x, y)
        assert p == pytest.approx(expected.pvalue, rel=1e-9)
        assert delta == pytest.approx(2 * expected.statistic / (m * n) - 1)


@pytest.mark.parametrize(("m", "n"), [(1, 2), (2, 2), (3, 4), (5, 5), (4, 6)])
def test_mann_whitney_with_ties_counts_all_permutations(m: int, n: int) -> None:
    generator = np.random.default_rng(m * 100 + n)
    for _ in range(5):
        pooled = generator.integers(0, 4, m + n).astype(float)
        ranks = stats.rankdata(pooled)
        sums = [sum(chosen) for chosen in itertools.combinations(ranks, m)]
        at = ranks[:m].sum()
        below = sum(each <= at for each in sums) / len(sums)
        above = sum(each >= at for each in sums) / len(sums)
        delta, p, method = mann_whitney(pooled[:m], pooled[m:])
        assert p == pytest.approx(min(1, 2 * min(below, above)))
        assert method == "exact"
        signs = [np.sign(a - b) for a in pooled[:m] for b in pooled[m:]]
        assert delta == pytest.approx(np.mean(signs))


def test_mann_whitney_of_many_samples_is_scipys_approximation() -> None:
    generator = np.random.default_rng(1)
    x, y = generator.integers(0, 9, 40).astype(float), generator.integers(1, 10, 21).astype(float)
    _, p, method = mann_whitney(x, y)
    assert method == "normal"
    assert p == stats.mannwhitneyu(x, y, method="asymptotic").pvalue


def test_approximation_joins_the_exact_test_and_errs_to_the_safe_side() -> None:
    for seed in range(60):
        generator = np.random.default_rng(seed)
        x = np.rint(generator.normal(0, 6, 30))
        y = np.rint(generator.normal(generator.uniform(0, 8), 6, 30))
        exact = mann_whitney(x, y)[1]
        approximate = stats.mannwhitneyu(x, y, method="asymptotic").pvalue
        assert approximate > 0.99 * exact
        if exact > 0.02:
            assert approximate == pytest.approx(exact, rel=0.05)


def test_mann_whitney_of_equal_values() -> None:
    for n in (1, 10, 40):
        delta, p, _ = mann_whitney(np.full(n, 3.0), np.full(n, 3.0))
        assert (delta, p) == (0, 1)


def test_holm_of_published_examples() -> None:
    # R's p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm").
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    # Wikipedia, Holm-Bonferroni method: H4 and H1 are rejected at 0.05, H3 and H2 are not.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_of_few_and_of_large_p() -> None:
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    assert holm([0.9, 0.8]) == [1, 1]


# Verdicts

NEAR: list[Number] = [100.0, 100.1, 100.2, 100.3, 100.4, 100.5, 100.6, 100.7]
FAR: list[Number] = [110.0, 110.1, 110.2, 110.3, 110.4, 110.5, 110.6, 110.7]


def test_the_faster_mode_by_its_label() -> None:
    result = found(NEAR, FAR)
    assert (result.verdict, result.faster) == (Verdict.FIRST, Alternative(0, "lazy"))
    assert result.medians == pytest.approx((100.35, 110.35))
    assert result.difference == pytest.approx(-10)
    assert result.ratio == pytest.approx(100.35 / 110.35)
    assert result.delta == -1
    # Of the 12870 ways to divide 16 values, 2 are as extreme.
    assert result.p == result.p_holm == pytest.approx(2 / 12870)
    assert result.method == "exact"
    assert result.reason == ""
    assert not result.exact
    assert result.ratio_low is not None
    assert result.ratio_high is not None
    assert 100.0 / 110.7 <= result.ratio_low < 100.35 / 110.35 < result.ratio_high
    assert result.ratio_high <= 100.7 / 110.0


def test_turned_around_the_other_is_faster() -> None:
    result, turned = found(NEAR, FAR), found(FAR, NEAR)
    assert turned.verdict is Verdict.SECOND
    assert turned.delta == -result.delta
    assert turned.p == result.p
    assert result.ratio_low is not None
    assert turned.ratio_high == pytest.approx(1 / result.ratio_low)


def test_a_difference_below_the_relevant_one() -> None:
    result = found(NEAR, [x * 1.003 for x in NEAR])
    assert (result.verdict, result.faster, result.reason) == (Verdict.NO_DIFFERENCE, None, "")


def test_what_is_relevant_is_the_experiments_choice() -> None:
    faster = [x * 1.05 for x in NEAR]
    assert found(NEAR, faster).verdict is Verdict.FIRST
    assert found(NEAR, faster, relevant_percent=10).verdict is Verdict.NO_DIFFERENCE
    straddling = found(NEAR, faster, relevant_percent=5)
    assert straddling.verdict is Verdict.UNDECIDED
    assert "neither beyond nor within 0.05 of 1" in straddling.reason


def test_a_wide_interval_is_undecided() -> None:
    result = found([90, 95, 100, 105, 110, 120], [91, 93, 99, 107, 111, 125])
    assert (result.verdict, result.faster) == (Verdict.UNDECIDED, None)
    assert "neither beyond" in result.reason


def test_a_clear_interval_without_a_small_p_is_undecided() -> None:
    result = judge(dataclasses.replace(found(NEAR, FAR), p_holm=0.06), 0.01)
    assert (result.verdict, result.faster) == (Verdict.UNDECIDED, None)
    assert result.reason == "p is 0.06 after Holm's correction, not below 0.05"


def test_bounds_are_the_same_for_both_modes() -> None:
    base = found(NEAR, FAR)
    for low, high, verdict in (
        (1 / 1.01, 1.01, Verdict.NO_DIFFERENCE),
        (1 / 1.0101, 1.0, Verdict.UNDECIDED),
        (1.0, 1.0101, Verdict.UNDECIDED),
        (1.0101, 1.2, Verdict.SECOND),
        (0.9, 1 / 1.0101, Verdict.FIRST),
        (1.01, 1.2, Verdict.UNDECIDED),
    ):
        judged = judge(dataclasses.replace(base, ratio_low=low, ratio_high=high), 0.01)
        assert judged.verdict is verdict, (low, high)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_too_few_samples_are_undecided(n: int) -> None:
    result = found(NEAR[:n], FAR)
    assert (result.verdict, result.faster) == (Verdict.UNDECIDED, None)
    assert (result.ratio_low, result.ratio_high) == (None, None)
    assert result.reason == f"no interval below 6 samples: lazy has {n}"
    assert result.ratio is not None
    assert result.p is not None


def test_six_samples_can_decide() -> None:
    assert found(NEAR[:6], FAR[:6]).verdict is Verdict.FIRST


# Without variation


def test_nothing_varies_so_the_difference_is_exact_and_there_is_no_p() -> None:
    result = found([24] * 6, [48] * 6)
    assert (result.exact, result.difference) == (True, -24)
    assert (result.p, result.p_holm, result.method) == (None, None, None)
    assert (result.ratio, result.ratio_low, result.ratio_high) == (0.5, 0.5, 0.5)
    assert (result.delta, result.verdict) == (-1, Verdict.FIRST)


def test_equal_without_variation() -> None:
    result = found([24] * 6, [24] * 6)
    assert (result.exact, result.difference, result.ratio, result.delta) == (True, 0, 1, 0)
    assert (result.p, result.verdict) == (None, Verdict.NO_DIFFERENCE)


def test_one_sample_each_shows_no_variation_and_proves_nothing() -> None:
    result = found([24], [48])
    assert (result.exact, result.p, result.verdict) == (False, None, Verdict.UNDECIDED)
    assert "lazy has 1, eager has 1" in result.reason


def test_one_mode_is_constant() -> None:
    result = found([50] * 8, FAR)
    assert (result.exact, result.verdict) == (False, Verdict.FIRST)
    assert result.p == pytest.approx(2 / 12870)


@pytest.mark.parametrize("varying", [False, True])
def test_zero_in_the_second_mode(varying: bool) -> None:
    result = found([24 + varying * i for i in range(6)], [0] * 6)
    assert (result.ratio, result.ratio_low, result.ratio_high) == (None, None, None)
    assert result.reason == "the median of eager is 0: the ratio has no bound"
    assert (result.verdict, result.exact) == (Verdict.SECOND, not varying)


def test_zero_in_some_resamples_only() -> None:
    result = found([5, 6, 7, 8, 9, 10], [0, 0, 0, 1, 1, 1])
    assert result.ratio == 15
    assert result.ratio_high is None
    assert result.ratio_low is not None
    assert "the median of eager is 0 in resamples" in result.reason


def test_zero_in_both_modes() -> None:
    result = found([0] * 6, [0] * 6)
    assert (result.ratio, result.verdict) == (1, Verdict.NO_DIFFERENCE)
    assert result.reason == ""


def test_zero_by_zero_is_equal_in_a_resample_too() -> None:
    first = Series(np.arange(2), np.array([0.0, 4.0]))
    second = Series(np.arange(2), np.array([0.0, 2.0]))
    counts = np.array([[2, 0, 1], [0, 2, 1]], dtype=np.int16)
    assert resampled_ratio(first, second, counts).tolist() == [1, 2, 2]


def test_values_below_zero_have_no_ratio() -> None:
    result = found([-1.0, *NEAR], FAR)
    assert (result.ratio, result.ratio_low, result.verdict) == (None, None, Verdict.UNDECIDED)
    assert result.reason == "no ratio of values below 0"
    assert result.p is not None


# Whole runs


def test_every_cell_and_metric_and_their_total() -> None:
    study = experiment(
        metrics={
            "map_us": {"title": "map", "pattern": "(a)", "unit": "µs", "table": True},
            "work_us": {"title": "work", "pattern": "(b)", "unit": "µs", "table": True},
            "pages": {"title": "pages", "counter": "/sys/pages", "unit": "pages"},
        }
    )
    cells = {
        (eager, size): {
            "map_us": [10 + eager * size + i for i in range(6)],
            "work_us": [1000 * size - 3 * i for i in range(6)],
            "pages": [size] * 6,
        }
        for eager in (0, 1)
        for size in (64, 128)
    }
    observations = observe(study, measured(study, cells))
    results = compare(observations)
    assert [(each.others, each.metric) for each in results] == [
        (Cell((("size", size),)), metric)
        for size in (64, 128)
        for metric in ("map_us", "work_us", "pages", "total")
    ]
    total = results[3]
    columns = [cells[eager, 64] for eager in (0, 1)]
    sums = [
        [a + b for a, b in zip(each["map_us"], each["work_us"], strict=True)] for each in columns
    ]
    assert total.medians == (np.median(sums[0]), np.median(sums[1]))
    # Six of the eight have a p; pages do not vary.
    assert [each.p_holm for each in results if each.p is not None] == holm(
        [each.p for each in results if each.p is not None]
    )
    assert [each.p for each in results if each.metric == "pages"] == [None, None]


def test_rounds_are_drawn_whole() -> None:
    # Both modes vary by a factor of 10 between rounds, and by none within one.
    lazy: list[Number] = [10, 20, 30, 50, 70, 80, 90, 100]
    result = found(lazy, [2 * x for x in lazy])
    assert (result.ratio, result.ratio_low, result.ratio_high) == (0.5, 0.5, 0.5)


def test_same_samples_same_numbers_whatever_their_order() -> None:
    study = experiment()
    generator = np.random.default_rng(4)
    cells = {
        (eager, size): {"work_us": generator.normal(100, 9, 8).tolist(), "pages": [1] * 8}
        for eager in (0, 1)
        for size in (64, 128)
    }
    samples = measured(study, cells)
    assert compare(observe(study, samples)) == compare(observe(study, samples[::-1]))


def test_cells_without_samples_are_left_out() -> None:
    study = experiment()
    one: dict[str, list[Number]] = {"work_us": NEAR, "pages": [1] * 8}
    observations = observe(study, measured(study, {(0, 64): one, (1, 64): one, (0, 128): one}))
    assert [str(each.others) for each in compare(observations)] == ["size=64", "size=64"]
    assert observations.left_out == ("eager=1 size=128: no sample that is ok",)
    assert compare(observe(study, [])) == []


def test_no_resample_with_samples_of_both_modes() -> None:
    study = experiment()
    one = measured(study, {(0, 64): {"work_us": NEAR, "pages": [1] * 8}})
    other = measured(study, {(1, 64): {"work_us": FAR, "pages": [1] * 8}})
    apart = [dataclasses.replace(sample, round=sample.round + 8) for sample in other]
    observations = observe(study, [*one, *apart])
    only_the_first_rounds = np.repeat(np.array([[2], [0]], dtype=np.int16), 8, axis=0)
    result = compare(dataclasses.replace(observations, counts=only_the_first_rounds))[0]
    assert (result.ratio_low, result.verdict) == (None, Verdict.UNDECIDED)
    assert result.reason == "no resample has samples of lazy and eager: no interval"
    assert compare(observations)[0].verdict is Verdict.FIRST


def test_no_two_modes_nothing_to_compare() -> None:
    study = experiment(analysis={})
    samples = measured(study, {(0, 64): {"work_us": NEAR, "pages": [1] * 8}})
    assert compare(observe(study, samples)) == []
