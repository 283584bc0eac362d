"""Samples as arrays, and medians of drawn rounds, against numpy and against drawing by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pibed.model.plan import Cell
from pibed.model.samples import Number, Sample, Status
from pibed.stats.observations import Alternative, Series, draw, interval, medians, observe, too_few
from tests.unit.helpers import experiment, measured


def series(values: list[float], rounds: list[int] | None = None) -> Series:
    return Series(np.array(rounds or range(len(values)), dtype=np.intp), np.array(values))


def sample(number: int, eager: int, work: float, status: Status = Status.OK) -> Sample:
    metrics: dict[str, Number] = {"work_us": work, "pages": 8} if status == Status.OK else {}
    return Sample("small", number, 1, status, Cell.of({"eager": eager, "size": 64}), metrics)


CELL = Cell((("eager", 0), ("size", 64)))


def test_cells_without_samples_are_named() -> None:
    found = observe(experiment(), [sample(1, 0, 5), sample(2, 0, 6), sample(1, 1, 7, Status.PANIC)])
    assert found.left_out == (
        "eager=0 size=128: no sample that is ok",
        "eager=1 size=64: no sample that is ok",
        "eager=1 size=128: no sample that is ok",
    )
    work = found.series(CELL, "work_us")
    assert work is not None
    assert work.values.tolist() == [5, 6]
    assert found.series(Cell((("eager", 1), ("size", 64))), "work_us") is None


def test_a_metric_that_is_missing_is_named() -> None:
    lacking = Sample(
        "small", 1, 1, Status.OK, Cell.of({"eager": 0, "size": 64}), {"pages": float("nan")}
    )
    found = observe(experiment(), [lacking, *[sample(2, 1, 5)]])
    assert "eager=0 size=64: no sample that is ok" in found.left_out
    half = Sample("small", 1, 1, Status.OK, Cell.of({"eager": 0, "size": 64}), {"pages": 3})
    found = observe(experiment(), [half])
    assert "eager=0 size=64: no sample that has work_us" in found.left_out


def test_what_a_failed_sample_measured_does_not_count() -> None:
    failed = Sample(
        "small", 1, 1, Status.FAILED, Cell.of({"eager": 0, "size": 64}), {"work_us": 1, "pages": 1}
    )
    found = observe(experiment(), [failed, sample(2, 0, 5)])
    work = found.series(CELL, "work_us")
    assert work is not None
    assert work.values.tolist() == [5]


def test_what_is_no_cell_of_the_experiment_does_not_count() -> None:
    foreign = Sample(
        "small", 1, 1, Status.OK, Cell.of({"eager": 0, "size": 4}), {"work_us": 1, "pages": 1}
    )
    bare = Sample("small", 1, 1, Status.OK, Cell.of({"size": 64}), {"work_us": 1, "pages": 1})
    unknown = Sample("small", 1, 1, Status.OK, Cell.of({"eager": 0, "size": 64}), {"other": 1})
    found = observe(experiment(), [foreign, bare, unknown])
    assert len(found.left_out) == 4
    assert found.counts.shape == (0, 1999)


def test_total_is_the_sum_within_a_sample() -> None:
    data = {"compare": "eager", "total": ["work_us", "more_us"]}
    metrics = {
        "work_us": {"title": "work", "pattern": "(a)", "unit": "µs"},
        "more_us": {"title": "more", "pattern": "(b)", "unit": "µs"},
    }
    study = experiment(analysis=data, metrics=metrics)
    found = observe(study, measured(study, {(0, 64): {"work_us": [1, 2], "more_us": [10, 30]}}))
    assert found.metrics == ("work_us", "more_us", "total")
    assert found.deciding == "total"
    total = found.series(CELL, "total")
    assert total is not None
    assert total.values.tolist() == [11, 32]


def test_a_total_of_one_metric_is_that_metric() -> None:
    found = observe(experiment(), [])
    assert (found.metrics, found.deciding) == (("work_us", "pages"), "work_us")


def test_alternatives_have_their_labels() -> None:
    labelled = observe(experiment(), []).alternatives
    assert labelled == (Alternative(0, "lazy"), Alternative(1, "eager"))
    bare = observe(experiment(analysis={"compare": "size"}), []).alternatives
    assert bare == (Alternative(64, "size=64"), Alternative(128, "size=128"))


def test_why_there_is_nothing_to_compare() -> None:
    modes = {"title": "mode", "values": [0], "minimum": 0, "maximum": 1}
    sizes = {"title": "size", "values": [64, 128], "minimum": 1, "maximum": 1024}
    parameters = {"eager": modes, "size": sizes}
    assert "names no parameter" in observe(experiment(parameters=parameters), []).reason
    study = experiment(parameters=parameters, analysis={"compare": "eager"})
    assert "eager has one value" in observe(study, []).reason


def test_draws_are_rounds_with_replacement() -> None:
    counts = draw(10, 1)
    assert counts.shape == (10, 1999)
    assert (counts.sum(axis=0) == 10).all()
    assert counts.min() == 0
    # Each round comes as often as the others: 1999 times, with a standard deviation of 42.
    assert np.abs(counts.sum(axis=1) - 1999).max() < 4 * 42.4
    # Within a resample it comes never with probability 0.9^10.
    assert (counts == 0).mean() == pytest.approx(0.9**10, abs=0.01)


def test_draws_follow_from_the_seed_whatever_the_version_of_numpy() -> None:
    assert (draw(4, 1) == draw(4, 1)).all()
    assert (draw(4, 1) != draw(4, 2)).any()
    first = [[2, 0, 1, 1], [0, 0, 2, 2], [0, 2, 0, 2], [0, 1, 2, 1]]
    assert draw(4, 1)[:, :4].T.tolist() == first
    assert draw(3, 2**63 - 1).shape == (3, 1999)


def test_medians_are_those_of_the_drawn_values() -> None:
    generator = np.random.default_rng(3)
    for n in (1, 2, 3, 6, 10, 11):
        values = generator.integers(0, 8, n).astype(float)
        counts = draw(n, n, resamples=200)
        expected = [np.median(np.repeat(values, column)) for column in counts.T]
        assert medians(series(values.tolist()), counts).tolist() == expected


@pytest.mark.parametrize("rounds", [2, 3, 8, 9, 10, 97, 400])
def test_medians_of_any_number_of_rounds(rounds: int) -> None:
    """Some of which have no sample, with values of which many are equal."""
    generator = np.random.default_rng(rounds)
    counts = draw(rounds, rounds, 99)
    for different in (2, 5, 1000):
        rows = np.sort(generator.choice(rounds, rounds - rounds // 3, replace=False))
        values = generator.integers(0, different, len(rows)).astype(np.float64)
        found = medians(Series(rows, values), counts)
        for resample in range(99):
            drawn = np.repeat(values, counts[rows, resample])
            assert found[resample] == np.median(drawn) if len(drawn) else np.isnan(found[resample])


def test_a_resample_without_a_sample_has_no_median() -> None:
    counts = np.array([[0, 1, 2], [2, 1, 0]], dtype=np.int16)
    found = medians(series([7.0], [1]), counts)
    assert found[:2].tolist() == [7, 7]
    assert np.isnan(found[2])


def test_several_samples_of_a_round_are_drawn_together() -> None:
    counts = np.array([[2, 0, 1], [0, 2, 1]], dtype=np.int16)
    assert medians(series([1, 2, 10, 20], [0, 0, 1, 1]), counts).tolist() == [1.5, 15, 6]


def test_interval_is_the_fiftieth_from_either_end() -> None:
    shuffled = np.random.default_rng(1).permutation(np.arange(1.0, 2000.0))
    assert interval(shuffled) == (50, 1950)
    assert interval(np.array([np.nan, 3, np.nan])) == (3, 3)
    assert interval(np.array([np.nan])) is None
    assert interval(np.array([])) is None
    assert interval(np.array([-np.inf] * 60 + [1.0] * 1939)) == (-np.inf, 1)


def test_too_few_samples_are_named() -> None:
    assert too_few(("a", series([1.0] * 6)), ("b", series([1.0] * 7))) == ""
    text = too_few(("a", series([1.0] * 5)), ("b", series([1.0] * 7)))
    assert text == "no interval below 6 samples: a has 5"
