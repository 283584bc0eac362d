"""Fits and costs: against scipy, lines known beforehand, and computing by hand."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from pibed.model.experiment import Experiment, Growth
from pibed.model.plan import Cell
from pibed.model.samples import Number
from pibed.stats.growth import CostChange, EventCost, Fit, changes, costs, fit, fits
from pibed.stats.observations import RESAMPLES, Alternative, draw, observe
from tests.unit.helpers import experiment, measured

LINEAR = Growth(metric="work_us", against="pages", law="linear")
POWER = Growth(metric="work_us", against="size", law="power")
NO_CELL = Cell(())


def study(**analysis: object) -> Experiment:
    sizes = {"title": "size", "values": [1, 2, 4, 8], "minimum": 1, "maximum": 1024}
    modes = {
        "title": "mode",
        "values": [0, 1],
        "minimum": 0,
        "maximum": 1,
        "labels": {0: "lazy", 1: "eager"},
    }
    return experiment(
        parameters={"eager": modes, "size": sizes}, analysis={"compare": "eager"} | analysis
    )


def line(growth: Growth, points: list[tuple[float, float]]) -> Fit:
    return fit(None, NO_CELL, growth, points)


def test_a_line_by_hand() -> None:
    # x: 0 1 2 3, y: 1 2 4 5. Slope 7/5, intercept 0.9, residuals .1 -.3 .3 -.1, R² 1 - 0.2/10;
    # standard error sqrt(0.2/2/5), t with 2 degrees of freedom 4.302653.
    found = line(LINEAR, [(0, 1), (1, 2), (2, 4), (3, 5)])
    assert found.slope == pytest.approx(1.4)
    assert found.intercept == pytest.approx(0.9)
    assert found.r_squared == pytest.approx(0.98)
    margin = 4.302653 * math.sqrt(0.02)
    assert found.slope_low == pytest.approx(1.4 - margin, rel=1e-6)
    assert found.slope_high == pytest.approx(1.4 + margin, rel=1e-6)
    assert found.reason == ""


def test_norris_the_certified_line_of_nist() -> None:
    # NIST StRD, linear regression, Norris (the 36 observations and their certified values).
    x = [0.2, 337.4, 118.2, 884.6, 10.1, 226.5, 666.3, 996.3, 448.6, 777.0, 558.2, 0.4]
    x += [0.6, 775.5, 666.9, 338.0, 447.5, 11.6, 556.0, 228.1, 995.8, 887.6, 120.2, 0.3]
    x += [0.3, 556.8, 339.1, 887.2, 999.0, 779.0, 11.1, 118.3, 229.2, 669.1, 448.9, 0.5]
    y = [0.1, 338.8, 118.1, 888.0, 9.2, 228.1, 668.5, 998.5, 449.1, 778.9, 559.2, 0.3]
    y += [0.1, 778.1, 668.8, 339.3, 448.9, 10.8, 557.7, 228.3, 998.0, 888.8, 119.6, 0.3]
    y += [0.6, 557.6, 339.3, 888.0, 998.5, 778.9, 10.2, 117.6, 228.9, 668.4, 449.2, 0.2]
    found = line(LINEAR, list(zip(x, y, strict=True)))
    assert found.slope == pytest.approx(1.00211681802045, rel=1e-10)
    assert found.intercept == pytest.approx(-0.262323073774029, rel=1e-9)
    assert found.r_squared == pytest.approx(0.999993745883712, rel=1e-10)
    margin = 0.429796848199937e-3 * float(stats.t.ppf(0.975, 34))
    assert found.slope_high == pytest.approx(1.00211681802045 + margin, rel=1e-9)


def test_a_power_law_is_found() -> None:
    found = line(POWER, [(x, 2.5 * x**2.9) for x in (64, 128, 256, 512)])
    assert found.slope == pytest.approx(2.9)
    assert found.intercept == pytest.approx(2.5)
    assert found.r_squared == pytest.approx(1)
    assert found.slope_low == pytest.approx(2.9)


def test_an_exponent_is_the_slope_of_the_logarithms() -> None:
    x, y = [64.0, 128, 256, 512], [25300.0, 195000, 1540000, 12200000]
    found = line(POWER, list(zip(x, y, strict=True)))
    expected = stats.linregress(np.log2(x), np.log2(y))
    assert found.slope == pytest.approx(expected.slope)
    assert found.slope_high is not None
    margin = expected.stderr * 4.30265273
    assert found.slope_high - expected.slope == pytest.approx(margin, rel=1e-6)


@pytest.mark.parametrize("growth", [LINEAR, POWER])
def test_a_single_size_is_nothing_to_fit(growth: Growth) -> None:
    for points in ([(64.0, 5.0)], [(64.0, 5.0), (64.0, 6.0)]):
        found = line(growth, points)
        assert (found.slope, found.slope_low, found.intercept, found.r_squared) == (None,) * 4
        assert found.reason == f"a single value of {growth.against}: there is nothing to fit"
    assert line(growth, []).reason == "no cell has samples: there is nothing to fit"


def test_two_sizes_have_a_slope_without_an_interval() -> None:
    found = line(LINEAR, [(1, 5), (3, 9)])
    assert [found.slope, found.intercept] == pytest.approx([2, 3])
    assert (found.slope_low, found.slope_high, found.r_squared) == (None, None, None)
    assert "two points are always on a line" in found.reason


def test_what_does_not_grow() -> None:
    found = line(LINEAR, [(1, 5), (2, 5), (4, 5)])
    assert (found.slope, found.slope_low, found.slope_high) == (0, 0, 0)
    assert (found.r_squared, found.reason) == (None, "all medians are equal: no R²")


def test_zero_has_no_logarithm() -> None:
    for points in ([(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)], [(1.0, 0.0), (2.0, 3.0), (3.0, 4.0)]):
        found = line(POWER, points)
        assert found.slope is None
        assert found.reason == "a median is not above 0: it has no logarithm"


def test_a_factor_beyond_all_numbers() -> None:
    found = line(POWER, [(1022, 1e6), (1023, 1e3), (1024, 1)])
    assert found.slope == pytest.approx(-7068, rel=1e-3)
    assert (found.intercept, found.reason) == (None, "the factor is beyond all numbers")


def test_fits_of_a_run_go_through_the_medians() -> None:
    growth = [LINEAR.model_dump(), POWER.model_dump()]
    cells: dict[tuple[int, ...], dict[str, list[Number]]] = {
        (eager, size): {"work_us": [7 * size + eager, 9999, 0], "pages": [3 * size] * 3}
        for eager in (0, 1)
        for size in (1, 2, 4, 8)
    }
    spec = study(growth=growth)
    found = fits(observe(spec, measured(spec, cells)))
    assert [(each.alternative, each.against, each.law) for each in found] == [
        (Alternative(0, "lazy"), "pages", "linear"),
        (Alternative(1, "eager"), "pages", "linear"),
        (Alternative(0, "lazy"), "size", "power"),
        (Alternative(1, "eager"), "size", "power"),
    ]
    assert found[1].points == ((3, 8), (6, 15), (12, 29), (24, 57))
    assert found[1].slope == pytest.approx(7 / 3)
    assert found[1].intercept == pytest.approx(1)
    assert found[2].slope == pytest.approx(1)


def test_a_parameter_is_fitted_apart_for_each_of_the_others() -> None:
    third = {"title": "share", "values": [0, 1], "minimum": 0, "maximum": 1}
    base = study()
    parameters = {name: each.model_dump() for name, each in base.parameters.items()}
    spec = experiment(
        parameters=parameters | {"share": third},
        analysis={"compare": "eager", "growth": [POWER.model_dump(), LINEAR.model_dump()]},
    )
    cells: dict[tuple[int, ...], dict[str, list[Number]]] = {
        (eager, size, share): {"work_us": [size ** (1 + share)], "pages": [size + share]}
        for eager in (0, 1)
        for size in (1, 2, 4, 8)
        for share in (0, 1)
    }
    found = fits(observe(spec, measured(spec, cells)))
    power = [each for each in found if each.law == "power"]
    assert [str(each.others) for each in power] == ["share=0", "share=1"] * 2
    assert [each.slope for each in power] == pytest.approx([1, 2, 1, 2])
    assert [(str(each.others), len(each.points)) for each in found if each.law == "linear"] == [
        ("", 8),
        ("", 8),
    ]


def test_missing_cells_are_no_points() -> None:
    spec = study(growth=[POWER.model_dump()])
    cells: dict[tuple[int, ...], dict[str, list[Number]]] = {
        (0, 2): {"work_us": [3], "pages": [1]},
        (0, 8): {"work_us": [3], "pages": [1]},
    }
    lazy, eager = fits(observe(spec, measured(spec, cells)))
    assert lazy.points == ((2, 3), (8, 3))
    assert eager.reason == "no cell has samples: there is nothing to fit"


def test_nothing_asked_for_nothing_fitted() -> None:
    spec = experiment()
    samples = measured(spec, {(0, 64): {"work_us": [1], "pages": [1]}})
    assert fits(observe(spec, samples)) == []
    assert costs(observe(spec, samples)) == []


def test_fit_without_a_mode() -> None:
    spec = study(compare=None, growth=[POWER.model_dump()])
    cells: dict[tuple[int, ...], dict[str, list[Number]]] = {
        (0, size): {"work_us": [size], "pages": [1]} for size in (1, 2, 4)
    }
    found = fits(observe(spec, measured(spec, cells)))
    assert [(each.alternative, str(each.others)) for each in found] == [
        (None, "eager=0"),
        (None, "eager=1"),
    ]
    assert found[0].slope == pytest.approx(1)


# The cost of one event


def cost(
    lazy: list[Number], eager: list[Number], events: tuple[list[Number], list[Number]]
) -> EventCost:
    spec = study(cost={"metric": "work_us", "events": "pages"})
    samples = [
        *measured(spec, {(0, 4): {"work_us": lazy, "pages": events[0]}}),
        *measured(spec, {(1, 4): {"work_us": eager, "pages": events[1]}}),
    ]
    (found,) = costs(observe(spec, samples))
    return found


def test_cost_by_hand() -> None:
    lazy: list[Number] = [1240, 1242, 1244, 1246, 1248, 1250, 1252]
    eager: list[Number] = [1000] * 7
    found = cost(lazy, eager, ([24] * 7, [0] * 7))
    assert (found.difference, found.event_difference) == (246, 24)
    assert found.cost == 10.25
    assert found.low is not None
    assert found.high is not None
    assert 10 <= found.low < 10.25 < found.high <= 10.5
    assert found.reason == ""


def test_cost_does_not_depend_on_which_mode_is_first() -> None:
    slow: list[Number] = [1240, 1242, 1244, 1246, 1248, 1250, 1252]
    quick: list[Number] = [1000, 1001, 1000, 1001, 1000, 1001, 1000]
    one = cost(slow, quick, ([24] * 7, [0] * 7))
    other = cost(quick, slow, ([0] * 7, [24] * 7))
    assert (one.cost, one.low, one.high) == (other.cost, other.low, other.high)


def test_cost_draws_whole_rounds() -> None:
    # Rounds differ by far more than the modes do within each.
    quick: list[Number] = [1000, 2000, 3000, 4000, 5000, 6000, 7000]
    found = cost([x + 48 for x in quick], quick, ([24] * 7, [0] * 7))
    assert (found.cost, found.low, found.high) == (2, 2, 2)


def test_no_events_nothing_to_divide_by() -> None:
    found = cost([5] * 7, [4] * 7, ([3] * 7, [3] * 7))
    assert (found.difference, found.cost, found.low, found.high) == (1, None, None, None)
    assert found.reason == "both modes have the same median of pages: nothing to divide by"


def test_events_that_are_the_same_in_many_resamples() -> None:
    found = cost([5] * 6, [4] * 6, ([0, 0, 0, 1, 1, 1], [0] * 6))
    assert found.cost == 2
    assert (found.low, found.high) == (None, None)
    assert "resamples have the same median of pages" in found.reason


@pytest.mark.parametrize("n", [1, 5])
def test_cost_of_too_few_samples_has_no_interval(n: int) -> None:
    found = cost([24] * n, [0] * n, ([24] * n, [0] * n))
    assert (found.cost, found.low, found.high) == (1, None, None)
    assert f"lazy has {n}, eager has {n}" in found.reason


def test_cells_without_samples_cost_nothing() -> None:
    spec = study(cost={"metric": "work_us", "events": "pages"})
    assert costs(observe(spec, [])) == []
    samples = measured(spec, {(0, 4): {"work_us": [1], "pages": [1]}})
    assert costs(observe(spec, samples)) == []


# What a parameter changes in it

Column = list[Number]


def switch(*values: int, cost: bool = True, sizes: tuple[int, ...] = (4,)) -> Experiment:
    """An experiment that asks what `line` changes; its cells are (line, eager, size)."""
    base = study()
    parameters = {name: each.model_dump() for name, each in base.parameters.items()}
    parameters["size"]["values"] = list(sizes)
    line = {"title": "line", "values": list(values), "minimum": 0, "maximum": 9}
    asked = {"metric": "work_us", "events": "pages"} | ({"by": "line"} if cost else {})
    return experiment(
        parameters={"line": line} | parameters, analysis={"compare": "eager", "cost": asked}
    )


def changed(
    spec: Experiment, work: dict[tuple[int, ...], Column], events: dict[int, Column]
) -> list[CostChange]:
    """`work` by (line, eager) or (line, eager, size); `events` by eager, the same in all cells."""
    cells: dict[tuple[int, ...], dict[str, Column]] = {
        (cell if len(cell) == 3 else (*cell, 4)): {"work_us": values, "pages": events[cell[1]]}
        for cell, values in work.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return changes(observe(spec, measured(spec, cells)))


def eight(value: float, step: float = 0) -> Column:
    return [value + step * row for row in range(8)]


EVENTS: dict[int, Column] = {0: eight(24), 1: eight(4)}


def test_change_by_hand() -> None:
    # Without: (1240 - 1000) / 20 = 12; with: (1400 - 1000) / 20 = 20.
    work: dict[tuple[int, ...], Column] = {
        (0, 0): eight(1240),
        (0, 1): eight(1000),
        (1, 0): eight(1400),
        (1, 1): eight(1000),
    }
    (found,) = changed(switch(0, 1), work, EVENTS)
    pair = (Alternative(0, "lazy"), Alternative(1, "eager"))
    assert found == CostChange(
        Cell((("size", 4),)), pair, "work_us", "pages", "line", (0, 1), 8.0, 8.0, 8.0, ""
    )


def test_change_is_against_the_first_value_of_the_parameter() -> None:
    work: dict[tuple[int, ...], Column] = {(line, 1): eight(1000) for line in (2, 5, 9)}
    work |= {(2, 0): eight(1040), (5, 0): eight(1100), (9, 0): eight(1020)}
    found = changed(switch(5, 2, 9), work, EVENTS)
    assert [(each.values, each.change) for each in found] == [((5, 2), -3), ((5, 9), -4)]
    found = changed(switch(2, 5, 9), work, EVENTS)
    assert [(each.values, each.change) for each in found] == [((2, 5), 3), ((2, 9), -1)]


def test_change_of_each_combination_of_the_others() -> None:
    work: dict[tuple[int, ...], Column] = {
        (line, eager, size): eight(1000 + (1 - eager) * 20 * (size + line * 3 * size))
        for line in (0, 1)
        for eager in (0, 1)
        for size in (1, 4)
    }
    found = changed(switch(0, 1, sizes=(4, 1)), work, EVENTS)
    assert [(str(each.others), each.change) for each in found] == [("size=4", 12), ("size=1", 3)]


def test_change_is_resampled_by_rounds_of_all_four_cells() -> None:
    # An independent computation: each resample's rounds one by one, numpy's medians.
    n = 9
    generator = np.random.default_rng(4)
    block = generator.exponential(50, n)
    places = [(line, eager) for line in (0, 1) for eager in (0, 1)]
    work = {place: block * generator.normal(10 + sum(place), 1, n) for place in places}
    pages = {eager: generator.integers(10, 14, n) * (3 - eager) for eager in (0, 1)}
    spec = switch(0, 1)
    (found,) = changed(
        spec,
        {place: values.tolist() for place, values in work.items()},
        {eager: values.tolist() for eager, values in pages.items()},
    )
    replicates = []
    for times in draw(n, spec.seed).T:
        rounds = np.repeat(np.arange(n), times)
        before, after = (
            (np.median(work[line, 0][rounds]) - np.median(work[line, 1][rounds]))
            / (np.median(pages[0][rounds]) - np.median(pages[1][rounds]))
            for line in (0, 1)
        )
        replicates.append(after - before)
    replicates.sort()
    assert len(replicates) == RESAMPLES
    assert [found.low, found.high] == pytest.approx([replicates[49], replicates[-50]])


def test_a_slow_round_cancels() -> None:
    # Rounds differ a hundred times as much as the costs do, in all cells alike.
    work: dict[tuple[int, ...], Column] = {
        (0, 0): eight(1040, 4000),
        (0, 1): eight(1000, 4000),
        (1, 0): eight(1100, 4000),
        (1, 1): eight(1000, 4000),
    }
    (found,) = changed(switch(0, 1), work, EVENTS)
    assert (found.change, found.low, found.high) == (3, 3, 3)


def test_a_slow_round_of_one_mode_cancels_between_the_costs() -> None:
    # Each cost varies by far more than the change; both vary with the same rounds.
    work: dict[tuple[int, ...], Column] = {
        (0, 0): eight(1000, 4000),
        (0, 1): eight(1000),
        (1, 0): eight(1060, 4000),
        (1, 1): eight(1000),
    }
    (found,) = changed(switch(0, 1), work, EVENTS)
    assert (found.change, found.low, found.high) == (3, 3, 3)


@pytest.mark.parametrize("missing", [(line, eager) for line in (0, 1) for eager in (0, 1)])
def test_no_change_without_all_four_cells(missing: tuple[int, int]) -> None:
    work = {(line, eager): eight(5) for line in (0, 1) for eager in (0, 1)}
    rest: dict[tuple[int, ...], Column] = {k: v for k, v in work.items() if k != missing}
    assert changed(switch(0, 1), rest, EVENTS) == []


def test_a_value_without_samples_leaves_the_others() -> None:
    work: dict[tuple[int, ...], Column] = {
        (line, eager): eight(line * (1 - eager)) for line in (0, 9) for eager in (0, 1)
    }
    (found,) = changed(switch(0, 5, 9), work, EVENTS)
    assert (found.values, found.change) == ((0, 9), 9 / 20)


def test_no_change_is_asked_for() -> None:
    work: dict[tuple[int, ...], Column] = {
        (line, eager): eight(5) for line in (0, 1) for eager in (0, 1)
    }
    assert changed(switch(0, 1, cost=False), work, EVENTS) == []
    assert changed(switch(1), work, EVENTS) == []
    one_mode = switch(0, 1).model_dump()
    one_mode["parameters"]["eager"]["values"] = [0]
    assert changed(Experiment.model_validate(one_mode), work, EVENTS) == []
    assert changes(observe(study(), [])) == []


def test_change_of_too_few_samples_has_no_interval() -> None:
    spec = switch(0, 1)
    for short in (0, 1):
        work: dict[tuple[int, ...], Column] = {
            (line, eager): eight(20 * line * (1 - eager))[: 5 if line == short else 8]
            for line in (0, 1)
            for eager in (0, 1)
        }
        (found,) = changed(spec, work, EVENTS)
        assert (found.change, found.low, found.high) == (1, None, None)
        assert found.reason == "no interval below 6 samples: lazy has 5, eager has 5"


def test_change_of_what_has_no_cost() -> None:
    work: dict[tuple[int, ...], Column] = {
        (line, eager): eight(5 + eager) for line in (0, 1) for eager in (0, 1)
    }
    (found,) = changed(switch(0, 1), work, {0: eight(3), 1: eight(3)})
    assert (found.change, found.low, found.high) == (None, None, None)
    assert found.reason == "both modes have the same median of pages: nothing to divide by"


def test_why_there_is_no_change_is_not_why_there_is_no_interval() -> None:
    # The first cost has too few samples for an interval; it is the second that there is none of.
    spec = switch(0, 1)
    samples = []
    for line, n, pages in ((0, 5, 24), (1, 8, 4)):
        for eager in (0, 1):
            columns = {"work_us": eight(5)[:n], "pages": eight(4 if eager else pages)[:n]}
            samples += measured(spec, {(line, eager, 4): columns})
    (found,) = changes(observe(spec, samples))
    assert found.change is None
    assert found.reason == "both modes have the same median of pages: nothing to divide by"


def beyond(rows: tuple[int, int]) -> tuple[list[EventCost], CostChange]:
    """Costs of -2 and 2 whose events are all alike in the resamples with many of some rounds.

    These are 1.6 % of the resamples: rounds 0 to 2, or 3 to 5, and so on, for each value of `line`.
    """
    spec = switch(0, 1)
    samples = []
    for line, alike in enumerate(rows):
        pages: Column = [0 if row // 3 == alike else 2 for row in range(13)]
        lazy: dict[str, Column] = {"work_us": [9 if line else 1] * 13, "pages": pages}
        eager: dict[str, Column] = {"work_us": [5] * 13, "pages": [0] * 13}
        samples += measured(spec, {(line, 0, 4): lazy, (line, 1, 4): eager})
    observations = observe(spec, samples)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = changes(observations)
    return costs(observations), found


def test_a_change_without_bound_has_a_reason() -> None:
    # Each cost has its interval, but the change is unbounded in more than 2.5 % of the resamples.
    each, found = beyond((0, 1))
    assert [(cost.low, cost.high) for cost in each] == [(-2, -2), (2, 2)]
    assert (found.change, found.low, found.high) == (4, None, None)
    assert "resamples have the same median of pages in both modes" in found.reason


def test_a_change_that_few_resamples_leave_unbounded() -> None:
    _, found = beyond((0, 0))
    assert (found.change, found.low, found.high, found.reason) == (4, 4, 4, "")


def test_resamples_in_which_no_cost_has_a_bound_do_not_count() -> None:
    spec = switch(0, 1)
    samples = []
    for line in (0, 1):
        pages: Column = [0 if row < 3 else 2 for row in range(13)]
        lazy: dict[str, Column] = {"work_us": [7 + 2 * line] * 13, "pages": pages}
        eager: dict[str, Column] = {"work_us": [5] * 13, "pages": [0] * 13}
        samples += measured(spec, {(line, 0, 4): lazy, (line, 1, 4): eager})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = changes(observe(spec, samples))
    assert (found.change, found.low, found.high, found.reason) == (1, 1, 1, "")
