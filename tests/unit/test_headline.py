"""The answer in a few sentences: the balance, what a switch costs, and nothing that is not so."""

from __future__ import annotations

import itertools
import random
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import pytest

from pibed.model import words as naming
from pibed.model.experiment import Experiment
from pibed.model.plan import Cell, cells
from pibed.model.samples import Number, Sample, Status
from pibed.report.answer import headline
from pibed.stats.analysis import Analysis
from pibed.stats.balance import Balance
from pibed.stats.comparison import Comparison, Verdict
from pibed.stats.growth import CostChange
from pibed.stats.observations import Observations, observe
from tests.unit.helpers import experiment
from tests.unit.test_statistics import POOLS

# The value of a metric at a cell, in a round from 0.
Value = Callable[[Mapping[str, int], int], Number]


def parameter(
    title: str, values: Sequence[int], labels: dict[int, str] | None = None
) -> dict[str, Any]:
    return {
        "title": title,
        "values": list(values),
        "minimum": 0,
        "maximum": 9999,
        "labels": labels or {},
    }


MODE = parameter("mode", [0, 1], {0: "lazy", 1: "eager"})


def study(parameters: dict[str, Any], **analysis: Any) -> Experiment:
    return experiment(
        parameters={"eager": MODE} | parameters,
        workload={"source": "a.c", "command": "work", "timeout_s": 30},
        analysis={"compare": "eager", "total": ["work_us"]} | analysis,
    )


def seen(
    spec: Experiment, work: Value, pages: Value = lambda at, row: 8, rounds: int = 6
) -> Analysis:
    """A run in which `work` and `pages` give each cell's metrics; where work is -1 it has none."""
    return Analysis(
        spec,
        [
            Sample(
                "small",
                row + 1,
                1,
                Status.OK,
                Cell.of(at),
                {"work_us": value, "pages": pages(at, row)},
            )
            for cell in cells(spec)
            for row in range(rounds)
            for at in [cell.as_dict()]
            if (value := work(at, row)) != -1
        ],
    )


def answer(analysis: Analysis, about: str) -> list[str]:
    """The sentences of the headline that have these words."""
    lines = headline(analysis)
    return [line for line in lines if re.search(about, line)]


# Where the balance lies


def balanced(work: Value, rounds: int = 6, **others: Any) -> list[str]:
    """Over 0 to 80 % touched, within each combination of the others."""
    touched = parameter("touched [%]", [0, 20, 40, 60, 80])
    spec = study(others | {"touched": touched}, balance="touched")
    return answer(seen(spec, work, rounds=rounds), "(?i)both modes take|no balance")


def lines_that_cross(at: Callable[[Mapping[str, int]], float], lazy_first: bool = True) -> Value:
    """Lazy grows with what is touched; both are equal at `at`."""
    sign = 1 if lazy_first else -1
    return lambda cell, _: (
        1000 if cell["eager"] else 1000 + sign * 10 * (cell["touched"] - at(cell))
    )


def test_one_balance() -> None:
    assert balanced(lines_that_cross(lambda cell: 30)) == [
        "Both modes take the same work at 30 % touched (95 % interval 30 to 30); below that lazy "
        "has the smaller median, above that eager."
    ]
    assert balanced(lines_that_cross(lambda cell: 30, lazy_first=False)) == [
        "Both modes take the same work at 30 % touched (95 % interval 30 to 30); below that eager "
        "has the smaller median, above that lazy."
    ]


def test_a_balance_that_is_uncertain() -> None:
    cross = lines_that_cross(lambda cell: 30)
    # Where both modes are later by as much, nothing is uncertain.
    (line,) = balanced(lambda cell, row: cross(cell, row) + row * 5)
    assert "at 30 % touched (95 % interval 30 to 30);" in line
    (line,) = balanced(lambda cell, row: cross(cell, row) + cell["eager"] * (row * 20 - 50))
    found = re.search(r"at 30 % touched \(95 % interval (\S+) to (\S+)\);", line)
    assert found is not None, line
    assert 20 < float(found[1]) < 30 < float(found[2]) < 40


SIZES: dict[str, Any] = {"size": parameter("size", [64, 128, 256])}


def test_several_balances() -> None:
    at = {64: 10, 128: 50, 256: 30}
    assert balanced(lines_that_cross(lambda cell: at[cell["size"]]), **SIZES) == [
        "Both modes take the same work at 10 to 50 % touched at size 64, 128 and 256 (95 % "
        "intervals within 10 to 50); below that lazy has the smaller median, above that eager."
    ]
    assert balanced(lines_that_cross(lambda cell: 30), **SIZES)[0].startswith(
        "Both modes take the same work at 30 % touched at size 64, 128 and 256 (95 % intervals "
        "within 30 to 30); below"
    )


def test_balances_with_the_modes_on_different_sides() -> None:
    one, other = (lines_that_cross(lambda cell: 30, lazy_first) for lazy_first in (True, False))
    assert balanced(
        lambda cell, row: (one if cell["size"] == 64 else other)(cell, row), **SIZES
    ) == [
        "Both modes take the same work at 30 % touched at size 64, 128 and 256 (95 % intervals "
        "within 30 to 30)."
    ]


def test_a_balance_at_an_end_has_one_side() -> None:
    assert balanced(lines_that_cross(lambda cell: 0)) == [
        "Both modes take the same work at 0 % touched (95 % interval 0 to 0); above that eager "
        "has the smaller median."
    ]
    assert balanced(lines_that_cross(lambda cell: 80)) == [
        "Both modes take the same work at 80 % touched (95 % interval 80 to 80); below that lazy "
        "has the smaller median."
    ]
    # At one size it is at the end, at the other it is not.
    (line,) = balanced(
        lines_that_cross(lambda cell: 80 if cell["size"] == 64 else 30),
        size=parameter("size", [64, 128]),
    )
    assert line.endswith("at 30 to 80 % touched at size 64 and 128 (95 % intervals within 30 to "
                         "80).")  # fmt: skip


def test_balances_of_which_one_has_no_interval() -> None:
    cross = lines_that_cross(lambda cell: 30)
    (line,) = balanced(
        lambda cell, row: -1 if row == 5 and cell["size"] == 64 else cross(cell, row),
        **SIZES,
    )
    assert line == (
        "Both modes take the same work at 30 % touched at size 64, 128 and 256; below that lazy "
        "has the smaller median, above that eager."
    )


def test_no_balance() -> None:
    never = lines_that_cross(lambda cell: 200)
    assert balanced(never) == ["No balance in touched; none in range: lazy is faster from 0 to 80."]
    assert balanced(never, **SIZES) == [
        "No balance in touched at size 64, 128 and 256; none in range: lazy is faster from 0 to 80."
    ]
    at = {64: 200, 128: -50, 256: 30}
    assert balanced(lines_that_cross(lambda cell: at[cell["size"]]), **SIZES) == [
        "Both modes take the same work at 30 % touched at size 256 (95 % interval 30 to 30); "
        "below that lazy has the smaller median, above that eager.",
        # At one lazy is faster, at the other eager: there is no single reason.
        "No balance in touched at size 64 and 128.",
    ]


def test_many_balances_are_counted() -> None:
    sizes: dict[str, Any] = {"size": parameter("size", range(1, 9))}
    cross = lines_that_cross(lambda cell: 30 + cell["size"])
    (line,) = balanced(cross, **sizes)
    assert "at 31 to 38 % touched at all 8 values of size (95 % intervals within 31 to 38)" in line
    at = lines_that_cross(lambda cell: 30 if cell["size"] > 2 else 200)
    some, none = balanced(at, **sizes)
    assert "at 30 % touched at 6 of 8 values of size (" in some
    assert none.startswith("No balance in touched at 2 of 8 values of size; none in range: lazy")
    both: dict[str, Any] = {
        "size": parameter("size", [1, 2]),
        "access": parameter("access", [0, 1], {0: "up"}),
    }
    (line,) = balanced(cross, **both)
    assert "at 31 to 32 % touched in all 4 combinations of size and access (" in line
    one, none = balanced(
        lines_that_cross(lambda cell: 30 if cell["size"] == 1 and not cell["access"] else 200),
        **both,
    )
    assert "at 30 % touched at size 1, access up (95 % interval 30 to 30)" in one
    assert none.startswith("No balance in touched in 3 of 4 combinations of size and access; none")


def test_a_balance_and_its_interval_have_the_same_digits() -> None:
    spec = study({"size": parameter("size", [1000, 3001])}, balance="size")
    (line,) = answer(
        seen(spec, lambda cell, _: 0 if cell["eager"] else cell["size"] - 1234.56), "Both"
    )
    assert "at size 1,235 (95 % interval 1,235 to 1,235); below" in line


# What a switch costs


LINE = parameter("log line", [0, 1], {0: "off", 1: "on"})


def switched(
    cost: Callable[[Mapping[str, int], int], float],
    rounds: int = 6,
    line: Any = LINE,
    **others: Any,
) -> list[str]:
    """`cost` is that of each of the 20 pages by which the modes differ; None leaves a cell out."""
    spec = study(
        {"line": line} | others, cost={"metric": "work_us", "events": "pages", "by": "line"}
    )
    observations = seen(
        spec,
        lambda at, row: (
            -1 if cost(at, row) < -100 else 1000 if at["eager"] else 1000 + 20 * cost(at, row)
        ),
        lambda at, row: 4 if at["eager"] else 24,
        rounds,
    )
    return answer(observations, "instead of")


def test_a_switch_that_costs() -> None:
    assert switched(lambda at, _: 5 + 3 * at["line"]) == [
        "Log line on instead of off adds 3 µs to work for each of the pages."
    ]
    assert switched(lambda at, _: 5 - 3 * at["line"]) == [
        "Log line on instead of off takes 3 µs from work for each of the pages."
    ]


def test_a_small_cost_is_not_rounded_away() -> None:
    assert switched(lambda at, _: 5 + 0.000_25 * at["line"]) == [
        "Log line on instead of off adds 0.00025 µs to work for each of the pages."
    ]


def test_a_switch_at_several_sizes() -> None:
    assert switched(lambda at, _: 5 + at["line"] * at["size"] / 64, **SIZES) == [
        "Log line on instead of off adds 1, 2 and 4 µs to work for each of the pages at size 64, "
        "128 and 256."
    ]
    assert switched(lambda at, _: 5 + at["line"], **SIZES) == [
        "Log line on instead of off adds 1 µs to work for each of the pages at size 64, 128 and "
        "256."
    ]


def test_a_switch_that_adds_takes_and_cannot_be_told() -> None:
    def cost(at: Mapping[str, int], row: int) -> float:
        return 5 + at["line"] * {64: 2.0, 128: -1.0, 256: row - 2.5}[at["size"]]

    assert switched(cost, **SIZES) == [
        "Log line on instead of off adds 2 µs to work for each of the pages at size 64.",
        "Log line on instead of off takes 1 µs from work for each of the pages at size 128.",
        "What log line on instead of off changes in the cost of one of the pages cannot be told "
        "at size 256.",
    ]


@pytest.mark.parametrize("change", [0, 2])
def test_a_switch_of_too_few_samples_cannot_be_told(change: float) -> None:
    assert switched(lambda at, _: 5 + change * at["line"], rounds=5) == [
        "What log line on instead of off changes in the cost of one of the pages cannot be told."
    ]


def test_a_switch_that_was_not_measured_everywhere() -> None:
    assert switched(
        lambda at, _: -1000 if at["size"] == 128 and at["line"] else 5 + at["line"], **SIZES
    ) == [
        "Log line on instead of off adds 1 µs to work for each of the pages at size 64 and 256.",
        "What log line on instead of off changes in the cost of one of the pages cannot be told "
        "at size 128.",
    ]


def test_a_switch_in_many_combinations() -> None:
    sizes: dict[str, Any] = {"size": parameter("size", range(1, 9))}
    assert switched(lambda at, _: 5 + at["line"] * at["size"], **sizes) == [
        "Log line on instead of off adds 1 to 8 µs to work for each of the pages at all 8 values "
        "of size."
    ]
    assert switched(
        lambda at, _: 5 + at["line"] * (at["size"] if at["size"] < 3 else 0), **sizes
    ) == [
        "Log line on instead of off adds 1 and 2 µs to work for each of the pages at 2 of 8 "
        "values of size.",
        "What log line on instead of off changes in the cost of one of the pages cannot be told "
        "at 6 of 8 values of size.",
    ]
    both: dict[str, Any] = {
        "size": parameter("size", [1, 2]),
        "access": parameter("access", [0, 1]),
    }
    assert switched(lambda at, _: 5 + at["line"], **both) == [
        "Log line on instead of off adds 1 µs to work for each of the pages in all 4 combinations "
        "of size and access."
    ]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (6, "1, 2, 3, 4, 5 and 6 µs to work for each of the pages at size 1, 2, 3, 4, 5 and 6."),
        (7, "1 to 7 µs to work for each of the pages at all 7 values of size."),
    ],
)
def test_up_to_six_places_are_named(count: int, words: str) -> None:
    sizes: dict[str, Any] = {"size": parameter("size", range(1, count + 1))}
    (line,) = switched(lambda at, _: 5 + at["line"] * at["size"], **sizes)
    assert line == f"Log line on instead of off adds {words}"


def test_a_switch_of_three_values_that_has_a_unit() -> None:
    delay = parameter("delay [ms]", [1, 5, 9])
    assert switched(lambda at, _: 5 + at["line"], line=delay) == [
        "5 instead of 1 ms delay adds 4 µs to work for each of the pages.",
        "9 instead of 1 ms delay adds 8 µs to work for each of the pages.",
    ]


def test_a_switch_where_nothing_decides() -> None:
    spec = study(
        {"line": LINE}, total=[], cost={"metric": "work_us", "events": "pages", "by": "line"}
    )
    found = seen(
        spec,
        lambda at, _: 100 if at["eager"] else 150 + 10 * at["line"],
        lambda at, _: 0 if at["eager"] else 10,
    )
    assert headline(found) == [
        "Log line on instead of off adds 1 µs to work for each of the pages.",
        "Nothing decides which mode is faster: the experiment has no total.",
    ]


# Everything together


def test_what_is_asked_is_answered_first() -> None:
    spec = study(
        {"line": LINE, "touched": parameter("touched [%]", [0, 100])},
        balance="touched",
        cost={"metric": "work_us", "events": "pages", "by": "line"},
    )
    found = seen(
        spec,
        lambda at, _: 500 if at["eager"] else (10 + at["line"]) * (at["touched"] or 1),
        lambda at, _: 0 if at["eager"] else at["touched"] or 1,
    )
    lines = headline(found)
    assert [line.split()[0] for line in lines] == ["Both", "Log", "Lazy", "Eager"], lines
    assert lines[2:] == [
        "Lazy is faster in work in 2 of 4 combinations of log line and touched.",
        "Eager is faster in work in 2 of 4 combinations of log line and touched.",
    ]


# Whatever was measured, what is said of it is so

ODD: Sequence[Sequence[Number]] = [
    *POOLS,
    [float("nan"), 1, 2],
    [float("inf"), 1, 2],
    [-5, -6, -7],
    [1e300, 1],
    list(range(1, 9)),
]


class Quick(Analysis):
    """An analysis of fewer resamples."""

    @cached_property
    def observations(self) -> Observations:
        return observe(self.experiment, self.samples, 199)


def odd(spec: Experiment, pool: Sequence[Number], seed: int) -> Analysis:
    generator = random.Random(seed)
    rounds, missing = generator.choice([1, 5, 6, 8]), generator.choice([0, 0, 0.02, 0.3])
    # How the modes differ, and where: so that there are balances, and changes that can be told.
    slope, lead = generator.choice([0, 3, -3, 100]), generator.choice([0, 10, -10, 5])
    samples = []
    for cell, row in itertools.product(cells(spec), range(rounds)):
        at = cell.as_dict()
        if generator.random() < missing:
            continue
        shift = slope * at["touched"] * (at["line"] + 1) + lead if at["eager"] else 0
        metrics = {
            "work_us": generator.choice(pool) + shift,
            "pages": generator.choice([9, 9, 9, 8])
            if at["eager"]
            else generator.choice([1, pool[0]]),
        }
        samples.append(Sample("small", row + 1, 1, Status.OK, Cell.of(at), metrics))
    return Quick(spec, samples)


def claimed(line: str, spec: Experiment, blocks: Sequence[Cell]) -> set[Cell] | int:
    """Where a sentence says that it holds: the places, or how many."""
    if share := re.search(rf"\b(all|\d+ of) {len(blocks)} (values|combinations) of", line):
        return len(blocks) if share[1] == "all" else int(share[1].split()[0])
    names = [name for name, _ in blocks[0].values]
    if not names:
        return set(blocks)
    for size in range(1, len(blocks) + 1 if len(names) == 1 and len(blocks) < 7 else 2):
        for some in itertools.combinations(blocks, size):
            values = [naming.label(spec, *each.values[0]) for each in some]
            several = naming.with_unit(spec, names[0], naming.enumeration(values))
            words = naming.place(spec, some[0]) if size == 1 else several
            if re.search(rf" at {re.escape(words)}(?=[;.]| \()", line):
                return set(some)
    raise AssertionError(line)


def holds_at(line: str, spec: Experiment, blocks: Sequence[Cell], expected: set[Cell]) -> bool:
    found = claimed(line, spec, blocks)
    return found == (len(expected) if isinstance(found, int) else expected)


SHAPES: Sequence[dict[str, Any]] = [
    {},
    {"size": parameter("size", [64, 128])},
    {"touched": parameter("touched", range(8))},
    {
        "size": parameter("size", [1, 2]),
        "access": parameter("access", [0, 1], {0: "up", 1: "down"}),
    },
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: " ".join(shape) or "none")
def test_every_sentence_on_the_balance_and_the_switch_is_true(shape: dict[str, Any]) -> None:
    spec = study(
        {"line": LINE, "touched": parameter("touched", [0, 1, 3])} | shape,
        balance="touched",
        cost={"metric": "work_us", "events": "pages", "by": "line"},
    )
    pools = list(ODD) * (1 if shape else 3)
    told = sum(check(odd(spec, pool, seed)) for seed, pool in enumerate(pools))
    assert told > 5


def check(analysis: Analysis) -> int:
    """Holds the sentences against the balances and changes; returns how many there were."""
    spec = analysis.experiment
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        observations = analysis.observations
        lines = headline(analysis)
        verdicts, every, shifts = analysis.comparisons, analysis.balances, analysis.changes
    for line in lines:
        assert re.fullmatch(r"[A-Z0-9].*\.", line), line
        assert not re.search(r"\bNone\b|\bnan\b|\binf\b|  |\(\)|; ?[.;,)]|\.\.", line), line
    if lines[0].startswith("Nothing"):
        return 0
    count = 0
    blocks = observations.blocks("touched")
    known = [each for each in every if each.at is not None]
    both = [line for line in lines if line.startswith("Both modes")]
    assert len(both) == bool(known)
    for line in both:
        count += 1
        assert holds_at(line, spec, blocks, {each.others for each in known}), line
        at = [each.at for each in known if each.at is not None]
        words = re.search(r"at touched (\S+?)(?: to (\S+?))?(?= at| in|;| \()", line)
        assert words is not None, line
        assert float(words[1]) == told_of(min(at), known, at.index(min(at)))
        assert float(words[2] or words[1]) == told_of(max(at), known, at.index(max(at)))
        bounds = re.search(r"95 % interval(?:s within)? (\S+) to (\S+)\)", line)
        assert (bounds is None) == any(None in (each.low, each.high) for each in known)
        if bounds:
            lows = [each.low for each in known if each.low is not None]
            assert float(bounds[1]) == told_of(min(lows), known, lows.index(min(lows)))
        for side, mode in re.findall(r"(below|above) that (\w+)", line):
            for each in known:
                gaps = [
                    gap
                    for value, gap in each.points
                    if each.at is not None
                    and (value < each.at if side == "below" else value > each.at)
                ]
                assert gaps
                assert all((gap < 0) == (mode == "lazy") and gap for gap in gaps), line
    nowhere = [line for line in lines if line.startswith("No balance")]
    assert len(nowhere) == (len(known) < len(every))
    for line in nowhere:
        assert holds_at(line, spec, blocks, {e.others for e in every if e.at is None}), line
    check_verdicts(observations, lines, verdicts)
    return count + check_changes(observations, lines, shifts)


def told_of(value: float, known: Sequence[Balance], index: int) -> Any:
    """A value of one of the balances as it is told: four digits, or two of its interval's width."""
    low, high = known[index].low, known[index].high
    spread = 0.0 if low is None or high is None else (high - low) / 2
    # The second digit of a number is at most a tenth of it; rounding is half of that.
    return pytest.approx(value, rel=1e-3, abs=spread / 20)


def check_verdicts(
    observations: Observations, lines: Sequence[str], verdicts: Sequence[Comparison]
) -> None:
    spec, places = observations.experiment, observations.blocks()
    decided = [each for each in verdicts if each.metric == "work_us"]
    for verdict, words in {
        Verdict.FIRST: "Lazy is faster",
        Verdict.SECOND: "Eager is faster",
        Verdict.UNDECIDED: "These samples do not decide",
        Verdict.NO_DIFFERENCE: "The modes differ by no more than 1 %",
    }.items():
        expected = {each.others for each in decided if each.verdict is verdict}
        said = [line for line in lines if line.startswith(words)]
        assert len(said) == bool(expected)
        assert all(holds_at(line, spec, places, expected) for line in said), said
    missing = [line for line in lines if "cannot be compared" in line]
    assert len(missing) == (len(decided) < len(places))
    assert all(line.startswith(f"{len(places) - len(decided)} more ") for line in missing)


def check_changes(
    observations: Observations, lines: Sequence[str], shifts: Sequence[CostChange]
) -> int:
    spec, blocks = observations.experiment, observations.blocks("line")
    count = 0
    sure = {
        " adds ": {each.others for each in shifts if (each.low or 0) > 0},
        " takes ": {each.others for each in shifts if (each.high or 0) < 0},
    }
    sure["What "] = set(blocks) - sure[" adds "] - sure[" takes "]
    for words, expected in sure.items():
        said = [line for line in lines if "instead of" in line and words in line]
        assert len(said) == bool(expected and shifts), (words, said, expected)
        for line in said:
            count += words != "What "
            assert holds_at(line, spec, blocks, expected), line
    return count
