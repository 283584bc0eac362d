"""What a student is told of a submission: points by criterion, and what was expected and seen.

A rubric says of each criterion how much of that is told (`show`); nothing else gets onto the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pibed.grade.marks import Graded, Item, Mark, text
from pibed.model.rubric import Scheme

NAMES = ("feedback.html", "feedback.md")

# Findings and lines of a trace that are shown of one thing.
_MOST_LINES = 40


@dataclass(frozen=True)
class Told:
    """A criterion as its student is told of it."""

    title: str
    points: str
    most: str
    full: bool
    """Whether all points were had."""
    hidden: bool
    items: tuple[Item, ...]
    """What did not pass, with what is shown of it."""
    passed: tuple[str, ...]
    """The names of what passed."""
    note: str


@dataclass(frozen=True)
class Feedback:
    """A student's page."""

    title: str
    name: str
    total: str
    most: str
    problem: str
    criteria: tuple[Told, ...]
    penalties: tuple[Told, ...]
    at_home: bool


def of(scheme: Scheme, graded: Graded, *, at_home: bool = False) -> Feedback:
    """What is told; `at_home` is what `./inv try` says, without what is hidden."""
    try_it = _command(scheme)
    return Feedback(
        scheme.rubric.title,
        graded.name,
        "" if graded.total is None else text(graded.total),
        text(graded.most),
        graded.problem,
        tuple(_told(mark, try_it) for mark in graded.marks),
        tuple(_told(mark, try_it) for mark in graded.penalties),
        at_home,
    )


def lines(item: Item) -> list[str]:
    """The details of an item that are shown."""
    shown = list(item.details[:_MOST_LINES])
    if (left := len(item.details) - len(shown)) > 0:
        shown.append(f"… and {left} more lines")
    return shown


def _told(mark: Mark, try_it: str) -> Told:
    items = tuple(_again(item, try_it, mark.hidden) for item in mark.items if not item.passed)
    passed = tuple(item.name for item in mark.items if item.passed)
    note = ""
    if mark.show == "verdict":
        items = tuple(Item(item.name, False, "", "not passed") for item in items)
    elif mark.show == "nothing":
        items, passed, note = (), (), "What is looked at here is not told."
    else:
        items = _not_run_last(items)
    full = mark.points == mark.most
    return Told(
        mark.title, text(mark.points), text(mark.most), full, mark.hidden, items, passed, note
    )


def _not_run_last(items: Sequence[Item]) -> tuple[Item, ...]:
    """What was run, and then all that was not, in one: it says the least."""
    left = [item for item in items if item.not_run]
    if not left:
        return tuple(items)
    names = ", ".join(item.name for item in left)
    return (*(item for item in items if not item.not_run), Item(names, False, "", left[0].seen))


def _again(item: Item, try_it: str, hidden: bool) -> Item:
    again = f"{try_it} {item.again}" if item.again and not hidden else ""
    return replace(item, again=again)


def _command(scheme: Scheme) -> str:
    rubric = scheme.rubric
    name = rubric.name if rubric.file is None else f"./{Path(rubric.file).name}"
    return f"./inv try FOLDER --rubric {name}"


def summary(told: Feedback) -> Iterator[str]:
    """The same in few lines, for a terminal."""
    for criterion in (*told.criteria, *told.penalties):
        of_most = f" of {criterion.most}" if criterion.most != "0" else ""
        yield f"{criterion.points + of_most:>14}  {criterion.title}"
        if criterion.note:
            yield f"{'':16}{criterion.note}"
        for item in criterion.items:
            yield f"{'':16}{item.name}: {item.seen}"
            if item.expected:
                yield f"{'':18}expected: {item.expected}"
            for line in lines(item)[:12]:
                yield f"{'':18}| {line}"
            if item.again:
                yield f"{'':18}again: {item.again}"
