"""Marks: what the records of a submission are worth by a rubric. Nothing is run here.

Sums are exact decimal numbers, and everything follows from the rubric and the records alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from statistics import median

from pibed.grade.records import UNLOAD, CaseResult, Measured, Review, Status, Why
from pibed.model.rubric import Criterion, Deduction, Limit, Measurement, Scheme, Show, exact
from pibed.model.words import number

_CENT = Decimal("0.01")

# What is not a crash of the kernel alone, and by which penalty.
_PENALTY = {Why.CRASH: "crash", Why.HANG: "hang", Why.LEAK: "leak", Why.RACE: "race"}


@dataclass(frozen=True)
class Run:
    """A case in a variant and with a seed, and what came of it."""

    variant: str
    seed: int
    debug: bool
    result: CaseResult
    show: Show = "all"
    """What the student is told of it."""


@dataclass(frozen=True)
class Item:
    """A thing that was looked at for a criterion: a case, or a number."""

    name: str
    passed: bool
    expected: str
    seen: str
    details: tuple[str, ...] = ()
    again: str = ""
    """The words behind `./inv try FOLDER` that show the same failure again."""
    not_run: bool = False
    """Whether the guest was lost too often before."""


@dataclass(frozen=True)
class Mark:
    """The points of a criterion."""

    name: str
    title: str
    points: Decimal
    most: Decimal
    hidden: bool
    show: Show
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Graded:
    """The marks of a submission; no total where the host did not let it be graded."""

    name: str
    slug: str
    digest: str
    total: Decimal | None
    most: Decimal
    problem: str
    """Why nothing could be run, or was not graded; empty for a module that builds."""
    marks: tuple[Mark, ...]
    penalties: tuple[Mark, ...]
    measured: Mapping[str, float]
    """Numbers by measurement."""
    is_reference: bool = False

    @property
    def cases(self) -> tuple[int, int]:
        """How many items passed, and how many there are."""
        items = [item for mark in self.marks for item in mark.items]
        return sum(item.passed for item in items), len(items)


@dataclass(frozen=True)
class Found:
    """All records of a submission: `runs` by criterion."""

    review: Review
    runs: Mapping[str, Sequence[Run]]
    unloads: Sequence[Run]
    measured: Measured | None
    not_graded: str | None = None


def grade(
    scheme: Scheme,
    name: str,
    slug: str,
    digest: str,
    found: Found,
    expectations: Mapping[str, str],
    reference: Mapping[str, float] | None,
    is_reference: bool = False,
) -> Graded:
    """The marks of a submission by its records.

    `expectations` says what must hold in a case, by its name; `reference` has the reference's
    numbers by measurement, None if there is none.
    """
    marks = [_build(scheme, found.review)]
    builds = found.review.problem is None
    for key, criterion, hidden in scheme.criteria():
        runs = found.runs.get(key, ()) if builds else ()
        marks.append(_criterion(key, criterion, hidden, runs, expectations, builds))
    values = _values(found.measured)
    for key, measurement, hidden in scheme.measurements():
        marks.append(
            _measurement(key, measurement, hidden, values, reference or {}, found.measured, builds)
        )
    penalties = tuple(_penalties(scheme, found))
    not_graded = found.review.not_graded or found.not_graded
    if found.measured is not None:
        not_graded = not_graded or found.measured.not_graded
    total = sum((mark.points for mark in (*marks, *penalties)), Decimal(0))
    return Graded(
        name,
        slug,
        digest,
        None if not_graded else max(total, Decimal(0)),
        scheme.points,
        f"not graded: {not_graded}" if not_graded else found.review.problem or "",
        tuple(marks),
        penalties,
        values,
        is_reference,
    )


def _build(scheme: Scheme, review: Review) -> Mark:
    build = scheme.rubric.build
    most = exact(build.points)
    if review.problem is not None:
        item = Item("build", False, "the module builds", review.problem, review.details)
        return Mark("build", "Build", Decimal(0), most, False, "all", (item,))
    items = [Item("build", True, "the module builds", "it does")]
    points = most
    for what, deduction, lines in (
        ("compiler's warnings", build.warnings, review.warnings),
        ("checkpatch", build.checkpatch, review.checkpatch),
        ("sparse", build.sparse, review.sparse),
    ):
        if deduction is None:
            continue
        cost = _deducted(deduction, len(lines))
        points -= cost
        seen = f"{len(lines)} finding{'' if len(lines) == 1 else 's'}"
        if cost:
            seen += f", which cost{'s' if len(lines) == 1 else ''} {text(cost)}"
        items.append(Item(what, not lines, "no findings", seen, lines))
    return Mark("build", "Build", max(points, Decimal(0)), most, False, "all", tuple(items))


def _deducted(deduction: Deduction, count: int) -> Decimal:
    return min(exact(deduction.each) * count, exact(deduction.most))


def _criterion(
    name: str,
    criterion: Criterion,
    hidden: bool,
    runs: Sequence[Run],
    expectations: Mapping[str, str],
    builds: bool,
) -> Mark:
    most = exact(criterion.points)
    cases: dict[str, list[Run]] = {}
    for run in runs:
        cases.setdefault(run.result.case, []).append(run)
    items = [_case(case, its, expectations.get(case, "")) for case, its in cases.items()]
    passed = sum(item.passed for item in items)
    if not items:
        seen = "nothing was run" if builds else "the module does not build"
        items = [Item(", ".join(criterion.cases), False, "", seen)]
        points = Decimal(0)
    elif criterion.award == "all":
        points = most if passed == len(items) else Decimal(0)
    else:
        points = rounded(most * passed / len(items))
    return Mark(name, criterion.title, points, most, hidden, criterion.show, tuple(items))


def _case(case: str, runs: Sequence[Run], expected: str) -> Item:
    """A case has passed if it did wherever it makes sense, which must be somewhere."""
    failed = min(
        (run for run in runs if run.result.status == Status.FAILED),
        key=lambda run: run.result.why is Why.NOT_RUN,
        default=None,
    )
    if failed is not None:
        same, other = _others(failed, runs)
        where = f"variant {failed.variant}, seed {failed.seed}"
        if same:
            where += f", and {same} more of {len(runs)} runs"
        seen = f"{failed.result.message} ({where})"
        if other is not None:
            seen += f"; {_where(other)}"
        not_run = failed.result.why is Why.NOT_RUN
        again = "" if not_run else _again(failed)
        return Item(case, False, expected, seen, failed.result.details, again, not_run)
    if all(run.result.status == Status.SKIPPED for run in runs):
        seen = f"it was skipped everywhere: {runs[0].result.message}"
        return Item(case, False, expected, seen)
    return Item(case, True, expected, "it does")


def _where(run: Run) -> str:
    """What came of a run, and which it was."""
    return f"{run.result.message} (variant {run.variant}, seed {run.seed})"


def _again(run: Run) -> str:
    """See `Item`; nothing for what surrounds the cases."""
    if run.result.case == UNLOAD:
        return ""
    return f"--case {run.result.case} --variant {run.variant} --seed {run.seed}"


def _others(failed: Run, runs: Sequence[Run]) -> tuple[int, Run | None]:
    """How many other runs failed in the same way, and the first that did in another one."""
    others = [run for run in runs if run.result.status == Status.FAILED and run is not failed]
    ways = [run for run in others if run.result.message != failed.result.message]
    told = (run for run in ways if run.result.why is not Why.NOT_RUN)
    return len(others) - len(ways), next(told, None)


def _measurement(
    name: str,
    measurement: Measurement,
    hidden: bool,
    values: Mapping[str, float],
    reference: Mapping[str, float],
    measured: Measured | None,
    builds: bool,
) -> Mark:
    most = exact(measurement.points)
    expected = ", ".join(_limits(measurement.limit, reference.get(name)))
    value = values.get(name)
    if value is None:
        problem = measured.problems.get(name) if measured is not None else None
        seen = problem or ("nothing was measured" if builds else "the module does not build")
        passed = False
    else:
        seen = number(value)
        passed = _within(measurement.limit, value, reference.get(name))
    item = Item(measurement.metric, passed, expected, seen)
    points = most if passed else Decimal(0)
    return Mark(name, measurement.title, points, most, hidden, measurement.show, (item,))


def _limits(limit: Limit, reference: float | None) -> Iterator[str]:
    for words, bound in (("at most", limit.at_most), ("at least", limit.at_least)):
        if bound is not None:
            yield f"{words} {number(bound)}"
    for words, factor in (
        ("at most", limit.at_most_of_reference),
        ("at least", limit.at_least_of_reference),
    ):
        if factor is not None:
            value = "" if reference is None else f" = {number(factor * reference)}"
            yield f"{words} {number(factor)} × the reference{value}"


def _within(limit: Limit, value: float, reference: float | None) -> bool:
    """Whether a number keeps to a limit; never to one by a reference that has no number."""
    if limit.relative and reference is None:
        return False
    base = reference or 0.0
    return (
        (limit.at_most is None or value <= limit.at_most)
        and (limit.at_least is None or value >= limit.at_least)
        and (limit.at_most_of_reference is None or value <= limit.at_most_of_reference * base)
        and (limit.at_least_of_reference is None or value >= limit.at_least_of_reference * base)
    )


def _values(measured: Measured | None) -> dict[str, float]:
    if measured is None:
        return {}
    return {name: median(values) for name, values in measured.values.items() if values}


def _penalties(scheme: Scheme, found: Found) -> Iterator[Mark]:
    """What is taken off; each case counts once, however many criteria and runs it is in."""
    if found.review.problem is not None:
        return
    titles = {
        "crash": "The kernel died",
        "hang": "The guest hung",
        "leak": "Memory was leaked",
        "race": "Locks or accesses are wrong",
    }
    runs = [run for its in found.runs.values() for run in its] + list(found.unloads)
    for kind, title in titles.items():
        deduction: Deduction | None = getattr(scheme.rubric.penalties, kind)
        hits: dict[str, Run] = {}
        for run in _failures(runs, kind):
            known = hits.setdefault(run.result.case, run)
            # The first of which the student is told, if there is one.
            if known.show != "all" and run.show == "all":
                hits[run.result.case] = run
        if deduction is None or not hits:
            continue
        items = tuple(
            Item(case, False, "", _where(run), run.result.details, _again(run))
            if run.show == "all"
            else Item("a case that is not told", False, "", "not passed")
            for case, run in hits.items()
        )
        cost = _deducted(deduction, len(hits))
        yield Mark(kind, title, -cost, Decimal(0), False, "all", items)


def _failures(runs: Iterable[Run], kind: str) -> Iterator[Run]:
    for run in runs:
        if run.result.why is not None and _PENALTY.get(run.result.why) == kind:
            yield run


def rounded(points: Decimal) -> Decimal:
    """Points to the cent, halves upwards."""
    return points.quantize(_CENT, ROUND_HALF_UP)


def text(points: Decimal) -> str:
    """Points for people, without zeros behind."""
    written = f"{rounded(points):f}"
    return written.rstrip("0").rstrip(".")
