"""What a variance follows: by hand, where there is nothing to compute, and in words."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pibed.model.experiment import Experiment
from pibed.model.plan import Cell
from pibed.model.samples import Sample, Status
from pibed.report import follows, tables
from pibed.report.answer import headline
from pibed.stats.analysis import Analysis
from pibed.stats.comparison import Verdict
from pibed.stats.effects import Effect, Shares, decompose
from pibed.stats.observations import RESAMPLES, Series, draw, interval
from tests.unit.helpers import experiment, measured

MODES = {0: "lazy", 1: "eager"}
PLACES = {0: "even", 1: "alternate", 2: "scattered"}

Value = Callable[[int, int, int], float]
"""A value by mode, placement and round (from 0)."""


def named(title: str, labels: dict[int, str], values: Sequence[int]) -> dict[str, Any]:
    return {"title": title, "values": list(values), "minimum": 0, "maximum": 9, "labels": labels}


def study(
    modes: Sequence[int] = (0, 1),
    placements: Sequence[int] = (0, 1),
    sizes: Sequence[int] = (),
    effects: Any = None,
) -> Experiment:
    parameters: dict[str, Any] = {
        "place": named("placement", PLACES, placements),
        "eager": named("mode", MODES, modes),
    }
    if sizes:
        size = {"title": "size", "values": list(sizes), "minimum": 1, "maximum": 1024}
        parameters["size"] = size
    asked = {"metric": "work_us", "factors": ["place", "eager"]}
    return experiment(
        parameters=parameters,
        workload={"source": "a.c", "command": "work", "timeout_s": 30},
        analysis={"compare": "eager", "total": ["work_us"], "effects": effects or asked},
    )


def seen(
    spec: Experiment, value: Value, rounds: int = 8, missing: Sequence[tuple[int, int]] = ()
) -> Analysis:
    """All cells alike at every size; without those in `missing` (mode, placement)."""
    places = spec.parameters["place"].numbers
    modes = spec.parameters["eager"].numbers
    sizes: list[tuple[int, ...]] = [()]
    if "size" in spec.parameters:
        sizes = [(each,) for each in spec.parameters["size"].numbers]
    columns: dict[tuple[int, ...], dict[str, list[float]]] = {
        (place, mode, *size): {
            "work_us": [value(mode, place, row) for row in range(rounds)],
            "pages": [8] * rounds,
        }
        for place, mode, size in itertools.product(places, modes, sizes)
        if (mode, place) not in missing
    }
    return Analysis(spec, measured(spec, columns))


def shares(effect: Effect) -> Shares:
    assert effect.shares is not None, effect.reason
    return effect.shares


def values(found: Shares) -> list[float]:
    return [each.value for each in (found.compared, found.other, found.interaction, found.residual)]


def by_hand(mode: int, place: int, row: int) -> float:
    """Means 10, 14, 30 and 34; two samples that are 1 off on either side."""
    return 10 + 4 * mode + 20 * place + (1 if row % 2 else -1)


def test_shares_by_hand() -> None:
    # Around 22: modes ±2, placements ±10, together nothing; variance in each cell 2, of its mean 1,
    # of which each of the three has a quarter by chance: 3.75, 99.75, 0 and 2 of 105.5.
    (found,) = seen(study(), by_hand, 2).effects
    assert values(shares(found)) == pytest.approx([3.75 / 105.5, 99.75 / 105.5, 0, 2 / 105.5])
    assert (shares(found).other.low, shares(found).other.high) == (None, None)
    assert found.reason == "no interval below 6 samples: a cell has 2"
    assert (found.compared, found.other, found.levels) == ("eager", "place", (0, 1))


def test_the_order_of_the_factors_is_nothing() -> None:
    asked = {"metric": "work_us", "factors": ["eager", "place"]}
    assert seen(study(effects=asked), by_hand, 2).effects == seen(study(), by_hand, 2).effects


def test_an_interaction_alone_by_hand() -> None:
    # Means 10 and 30 crosswise: around 20 all of ±10 is the interaction.
    def crossed(mode: int, place: int, row: int) -> float:
        return (30 if mode == place else 10) + (1 if row % 2 else -1)

    (found,) = seen(study(), crossed, 2).effects
    assert values(shares(found)) == pytest.approx([0, 0, 99.75 / 101.75, 2 / 101.75])
    assert found.levels is None
    assert found.exchanged == ()


def test_three_levels_are_omega_squared_of_the_sums_of_squares() -> None:
    def value(mode: int, place: int, row: int) -> float:
        return 50 * mode * place + 70 * place + 30 * mode + (row - 2) * (1 + place)

    spec = study(placements=(0, 1, 2))
    (found,) = seen(spec, value, 5).effects
    x = np.array(
        [[[value(m, p, row) for row in range(5)] for p in range(3)] for m in range(2)], dtype=float
    )
    means, centre = x.mean(axis=2), x.mean()
    by_mode, by_place = means.mean(axis=1) - centre, means.mean(axis=0) - centre
    ss = [
        15 * (by_mode**2).sum(),
        10 * (by_place**2).sum(),
        5 * ((means - centre - by_mode[:, None] - by_place) ** 2).sum(),
    ]
    total = ((x - centre) ** 2).sum()
    error = ((x - means[..., None]) ** 2).sum() / 24
    expected = [(s - df * error) / (total + error) for s, df in zip(ss, (1, 2, 2), strict=True)]
    assert values(shares(found))[:3] == pytest.approx(expected)
    assert sum(values(shares(found))) == pytest.approx(1)


def test_cells_weigh_the_same_however_many_samples_they_have() -> None:
    spec = study()
    samples = [
        each
        for each in seen(spec, by_hand, 8).samples
        if each.round <= 2 or each.cell == Cell.of({"place": 0, "eager": 0})
    ]
    (found,) = Analysis(spec, samples).effects
    # The variance of the cell with eight is 8/7, of its mean 1/7.
    residual, chance = (8 / 7 + 3 * 2) / 4, (1 / 7 + 3) / 4
    parts = [4 - chance / 4, 100 - chance / 4, 0, residual]
    assert values(shares(found)) == pytest.approx([each / sum(parts) for each in parts])


def test_intervals_are_the_bootstraps() -> None:
    generator = np.random.default_rng(1)
    noise = generator.normal(0, 3, (2, 2, 8))
    spec = study()
    (found,) = seen(spec, lambda m, p, row: by_hand(m, p, 0) + float(noise[m, p, row])).effects
    grid = [
        [
            Series(np.arange(8), np.array([by_hand(m, p, 0) for _ in range(8)]) + noise[m, p])
            for p in (0, 1)
        ]
        for m in (0, 1)
    ]
    replicates = []
    for times in draw(8, spec.seed).T:
        rounds = np.repeat(np.arange(8), times)
        x = np.array([[each.values[rounds] for each in row] for row in grid])
        means, centre = x.mean(axis=2), x.mean()
        variance = x.var(axis=2).mean() * (8 / 7) ** 2
        chance = 2 * variance / 8
        modes, places = means.mean(axis=1) - centre, means.mean(axis=0) - centre
        both = means - centre - modes[:, None] - places
        parts = [max(0.0, (part**2).mean() - chance / 4) for part in (modes, places, both)]
        replicates.append(np.array([*parts, variance]) / (sum(parts) + variance))
    assert len(replicates) == RESAMPLES
    for each, column in zip(
        (shares(found).compared, shares(found).other, shares(found).interaction),
        range(3),
        strict=False,
    ):
        expected = interval(np.array(replicates)[:, column])
        assert (each.low, each.high) == pytest.approx(expected)
    assert found.reason == ""


def test_a_resample_without_samples_of_a_cell_is_not_counted() -> None:
    grid = [[Series(np.array([0, 1]), np.array([1.0, 2.0])) for _ in (0, 1)] for _ in (0, 1)]
    counts = np.array([[0, 1], [0, 1], [2, 0]], dtype=np.int16)
    found = decompose(grid, counts)
    assert np.isnan(found[:, 0]).all()
    assert not np.isnan(found[:, 1]).any()


# What cannot be computed


def test_no_variance_at_all() -> None:
    # A value whose mean is not exact.
    (found,) = seen(study(), lambda m, p, row: 0.1).effects
    assert found.shares is None
    assert found.reason == "no sample differs from another: there is no variance"
    assert (found.levels, found.exchanged) == (None, ())
    assert follows.in_short(study(), found) == (
        "How much of the variance of work follows mode and placement is not known: no sample "
        "differs from another: there is no variance; with the same placement the modes differ by "
        "no more than 0 %."
    )


def test_no_variance_within_cells_is_a_share_of_nothing() -> None:
    (found,) = seen(study(), lambda m, p, row: 10 + 20 * p).effects
    assert values(shares(found)) == [0, 1, 0, 0]
    assert (shares(found).other.low, shares(found).other.high) == (1, 1)
    assert (shares(found).compared.low, shares(found).compared.high) == (0, 0)


def test_one_sample_a_cell() -> None:
    analysis = seen(study(), by_hand, 1)
    (found,) = analysis.effects
    assert found.shares is None
    assert found.reason == "a cell has one sample: how samples of one cell differ is not known"
    assert [each.medians for each in found.within] == [(9, 13), (29, 33)]
    assert "; with the same placement the medians of the modes differ by 45 % at most; " in (
        follows.in_short(analysis.experiment, found)
    )


def test_a_missing_cell() -> None:
    (found,) = seen(study(), by_hand, missing=[(1, 1)]).effects
    assert (found.shares, found.levels, found.exchanged) == (None, None, ())
    assert found.reason == "no sample of eager at placement alternate"
    assert [each.others for each in found.within] == [Cell.of({"place": 0})]


def test_failed_cells_are_missing() -> None:
    spec = study()
    samples = [
        each
        if each.cell != Cell.of({"place": 0, "eager": 0})
        else Sample(spec.name, each.round, each.order, Status.FAILED, each.cell, {})
        for each in seen(spec, by_hand).samples
    ]
    (found,) = Analysis(spec, samples).effects
    assert found.reason == "no sample of lazy at placement even"
    assert Analysis(spec, []).effects[0].shares is None


def test_one_level_is_no_factor() -> None:
    (found,) = seen(study(placements=(1,)), by_hand).effects
    assert found.reason == "place has one value: there is nothing that the variance could follow"
    assert len(found.within) == 1
    assert seen(study(modes=(1,)), by_hand).effects == []


def test_nobody_asks() -> None:
    assert seen(experiment(parameters=study().model_dump()["parameters"],
                           workload={"source": "a.c", "command": "work", "timeout_s": 30}),
                by_hand).effects == []  # fmt: skip


# Beside each other


def like_the_caches(mode: int, place: int, row: int) -> float:
    """Placement makes half as much again; the mode 0.2 %."""
    return (1000 + 500 * place) * (1 + 0.002 * mode) + row


def test_exchanged_by_hand() -> None:
    (found,) = seen(study(), like_the_caches).effects
    lazy_even, eager_even = found.exchanged
    assert [each.label for each in lazy_even.alternatives] == [
        "lazy at placement even",
        "eager at placement alternate",
    ]
    # Medians of 1003.5 and 1506.5, and of 1005.5 and 1503.5: 3.5 is that of the rounds.
    assert lazy_even.ratio == pytest.approx(1003.5 / 1506.5)
    assert eager_even.ratio == pytest.approx(1005.5 / 1503.5)
    assert [each.verdict for each in found.exchanged] == [Verdict.FIRST] * 2


def test_the_worst_of_three_levels_may_be_any() -> None:
    def value(mode: int, place: int, row: int) -> float:
        return (500, 900, 100)[place] + row

    (found,) = seen(study(placements=(0, 1, 2)), value).effects
    assert found.levels == (2, 1)


def test_one_slow_round_chooses_no_level() -> None:
    def value(mode: int, place: int, row: int) -> float:
        return 1000 + 500 * place + (9000 if (mode, place, row) == (0, 0, 0) else row)

    (found,) = seen(study(), value).effects
    assert found.levels == (0, 1)


# In words


def test_of_a_rate_the_best_level_is_the_one_with_the_larger_medians() -> None:
    slow = study()
    rate = slow.metrics["work_us"].model_copy(update={"better": "higher", "unit": "MB/s"})
    fast = slow.model_copy(update={"metrics": slow.metrics | {"work_us": rate}})
    (found,) = seen(fast, like_the_caches).effects
    assert found.levels == (1, 0)
    (line, *_) = headline(seen(fast, like_the_caches))
    assert line.endswith(
        "; whichever mode is at placement alternate is faster than the other at placement even: "
        "lazy at placement alternate has 49.5 % more (49.4 to 49.7) and eager at placement "
        "alternate has 50.1 % more (50 to 50.2)."
    )


def test_effects_are_of_two_alternatives() -> None:
    with pytest.raises(ValidationError, match="eager has more than two values"):
        study(modes=(0, 1, 2))


def test_the_answer_in_a_sentence() -> None:
    analysis = seen(study(sizes=(64, 256)), like_the_caches)
    lines = headline(analysis)[:2]
    assert [line.partition(", ")[0] for line in lines] == ["At size 64", "At size 256"]
    assert lines[0] == (
        "At size 64, 100.0 % (95 % interval 100.0 to 100.0) of the variance of work follows the "
        "placement, 0.0 % (0.0 to 0.0) the mode; with the same placement the modes differ by no "
        "more than 0.2 %; whichever mode is at placement even is faster than the other at "
        "placement alternate: eager at placement alternate takes 50.1 % longer (50 to 50.2) and "
        "lazy at placement alternate takes 49.5 % longer (49.4 to 49.7)."
    )


def test_the_larger_share_is_told_first_and_what_two_samples_know() -> None:
    (line, *_) = headline(seen(study(), lambda m, p, row: by_hand(p, m, row), 2))
    assert line == (
        "94.5 % of the variance of work follows the mode, 3.6 % the placement; with the same "
        "placement the medians of the modes differ by 200 % at most; lazy at placement even and "
        "eager at placement alternate: undecided; eager at placement even and lazy at placement "
        "alternate: undecided."
    )


def test_exchanged_the_mode_may_decide() -> None:
    def value(mode: int, place: int, row: int) -> float:
        return 1000 + 500 * mode + 100 * place + row

    analysis = seen(study(), value)
    line = follows.in_short(analysis.experiment, analysis.effects[0])
    assert "; lazy at placement even is faster, eager at placement alternate takes 59." in line
    assert "; lazy at placement alternate is faster, eager at placement even takes 36." in line

    def little(mode: int, place: int, row: int) -> float:
        return 1000 + 5 * place + row % 2

    analysis = seen(study(), little)
    line = follows.in_short(analysis.experiment, analysis.effects[0])
    assert "; lazy at placement even and eager at placement alternate differ by no more" in line


def test_many_combinations_are_a_range() -> None:
    spec = study(sizes=range(1, 9))
    first = Cell.of({"place": 0, "eager": 0, "size": 1})
    samples = [each for each in seen(spec, by_hand).samples if each.cell != first]
    lines = headline(Analysis(spec, samples))
    assert lines[0] == (
        "Of the variance of work follow 3.773 % the mode and 95.14 % the placement at 7 of 8 "
        "values of size."
    )
    assert lines[1] == "What the variance of work follows is not known at size 1."


def test_in_full_and_as_a_table() -> None:
    analysis = seen(study(sizes=(64, 256)), by_hand)
    lines = follows.in_full(analysis.experiment, analysis.effects[0])
    assert len(lines) == 3
    assert lines[0].startswith("At size 64, of the variance of work follow 3.")
    assert lines[0].endswith(" neither.")
    shown = follows.table(analysis.experiment, analysis.effects)
    assert shown is not None
    assert [len(row) for row in shown.rows] == [len(shown.columns)] * 2
    assert shown.title == "What the variance of work follows"
    assert shown in tables.of_report(analysis)
    assert follows.table(analysis.experiment, []) is None


@pytest.mark.parametrize("ratio", [1.00301, 1.0111, 1.5, 1.1, 3.333])
def test_a_bound_is_never_rounded_below_itself(ratio: float) -> None:
    analysis = seen(study(), lambda mode, place, row: 1000 * ratio if mode else 1000)
    line = follows.in_short(analysis.experiment, analysis.effects[0])
    shown = float(line.partition("no more than ")[2].partition(" %")[0])
    assert 100 * (ratio - 1) <= shown + 1e-9
    assert shown <= 100 * (ratio - 1) * 1.1
