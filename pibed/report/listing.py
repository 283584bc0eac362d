"""What `./inv results` shows: every run in the results folder, damaged ones as what they are."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pibed.base.errors import PibedError, printable
from pibed.model import plan
from pibed.model.words import enumeration
from pibed.report import wording
from pibed.report.table import Column, Table
from pibed.runs import manifest, reading
from pibed.runs.reading import Run
from pibed.stats.comparison import Comparison, Verdict

_STAMP = re.compile(r"(\d{8}T\d{6}Z)-(.+)")

NONE = "-"

"""Stands where there is nothing to tell."""


class State(Enum):
    """What a run is; the values are for people."""

    FINISHED = "finished"
    UNFINISHED = "unfinished"
    DAMAGED = "damaged"
    OLDER = "of an older pibed"
    NO_MANIFEST = "no manifest"


@dataclass(frozen=True)
class Entry:
    """One run, as the table of runs has it."""

    name: str
    """Of its folder."""
    when: str
    """UTC, to the minute."""
    experiment: str
    clock: str
    extent: str
    """Cells × rounds."""
    state: State
    told: str
    """The state and what there is to say of it, for people."""
    verdict: str
    lock: str


def runs(root: Path) -> list[Path]:
    """The folders of runs, newest first, those without a manifest too."""
    found = [
        path
        for path in root.iterdir()
        if path.is_dir()
        and not path.is_symlink()
        and (_STAMP.fullmatch(path.name) or (path / "manifest.json").is_file())
    ]
    # Runs of one second are numbered: 10 comes after 9.
    return sorted(found, key=lambda path: (_when(path), len(path.name), path.name), reverse=True)


def entry(folder: Path) -> Entry:
    """One run, whatever is left of it."""
    when = _when(folder)
    shown = f"{when:%Y-%m-%d %H:%M}" if when.year > 1 else NONE
    try:
        run = reading.read(folder)
    except (PibedError, OSError) as error:
        return _damaged(folder, shown, error)
    experiment = run.experiment
    try:
        verdict = in_a_word(run.analysis.deciding)
    except (ValueError, ArithmeticError) as error:  # numbers that nobody has measured
        verdict = f"not computable: {error}"
    differs = run.recorded.lock.differs
    state = _state(run)
    return Entry(
        folder.name,
        shown,
        experiment.name,
        run.recorded.machine.clock,
        _extent(len(plan.cells(experiment)), run.rounds),
        state,
        "; ".join(_details(run, state)),
        verdict,
        f"differs ({len(differs)})" if differs else "as locked",
    )


def table(entries: Iterable[Entry]) -> Table:
    """A row a run."""
    columns = (
        *(Column(each) for each in ("run", "when (UTC)", "experiment", "clock")),
        Column("cells × rounds", True),
        *(Column(each) for each in ("state", "verdict", "lock")),
    )
    rows = (
        (
            each.name,
            each.when,
            each.experiment,
            each.clock,
            each.extent,
            each.told,
            each.verdict,
            each.lock,
        )
        for each in entries
    )
    return Table("", columns, tuple(tuple(map(printable, row)) for row in rows))


def in_a_word(found: Sequence[Comparison]) -> str:
    """The verdict over all cells: the label of what is faster if they agree.

    Of several alternatives each is told beside its verdict against the baseline.
    """
    pairs = list(dict.fromkeys(each.alternatives for each in found))
    if len(pairs) < 2:
        return _of_two(found)
    words: dict[str, list[str]] = {}
    for pair in pairs:
        verdict = _of_two([each for each in found if each.alternatives == pair])
        words.setdefault(verdict, []).append(pair[0].label)
    return "; ".join(f"{enumeration(labels)}: {verdict}" for verdict, labels in words.items())


def _of_two(found: Sequence[Comparison]) -> str:
    verdicts = {each.verdict: each for each in found}
    if not verdicts:
        return NONE
    if len(verdicts) == 1:
        return wording.verdict(found[0])
    decided = verdicts.keys() & {Verdict.FIRST, Verdict.SECOND}
    if len(decided) == 1:
        (verdict,) = decided
        count = sum(each.verdict is verdict for each in found)
        return f"{wording.verdict(verdicts[verdict])} (in {count} of {len(found)})"
    return "it depends" if decided else Verdict.UNDECIDED.value


def _state(run: Run) -> State:
    if not run.recorded.finished:
        return State.UNFINISHED
    return State.DAMAGED if run.damage else State.FINISHED


def _details(run: Run, state: State) -> Iterable[str]:
    yield (
        f"{state.value} ({len(run.samples)} of {run.planned})"
        if state is State.UNFINISHED
        else state.value
    )
    if state is State.DAMAGED:
        yield from run.damage
    if run.recorded.shard is not None:
        yield f"shard {run.recorded.shard}"
    if bad := reading.not_ok(run.samples):
        yield f"not ok: {bad}"


def _damaged(folder: Path, when: str, error: Exception) -> Entry:
    """What can be said of a run whose manifest cannot be used."""
    path = folder / "manifest.json"
    left = manifest.remains(path)
    version = left.schema_version
    if not path.is_file():
        state = State.NO_MANIFEST
        told = state.value
    elif version is not None and version < manifest.SCHEMA_VERSION:
        ending = State.FINISHED if left.finished else State.UNFINISHED
        state = State.OLDER
        told = f"{ending.value}; {state.value} (schema {version})"
    else:
        text = error.message if isinstance(error, PibedError) else str(error)
        state = State.DAMAGED
        told = f"{state.value}: {text.removeprefix(f'{path}: ')}"
    found = _STAMP.fullmatch(folder.name)
    return Entry(
        folder.name,
        when,
        left.experiment.name or (found.group(2) if found else NONE),
        left.clock or NONE,
        _extent(left.experiment.cells, left.experiment.rounds),
        state,
        told,
        NONE,
        NONE,
    )


def _extent(cells: int | None, rounds: int | None) -> str:
    return NONE if cells is None or rounds is None else f"{cells} × {rounds}"


def _when(folder: Path) -> datetime.datetime:
    """When a run was begun, by its folder's name; the year 1 if that does not say."""
    found = _STAMP.fullmatch(folder.name)
    if found:
        try:
            return datetime.datetime.strptime(found.group(1), "%Y%m%dT%H%M%SZ").replace(
                tzinfo=datetime.UTC
            )
        except ValueError:
            pass
    return datetime.datetime.min.replace(tzinfo=datetime.UTC)
