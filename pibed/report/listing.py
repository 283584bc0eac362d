"""What `./inv results` shows: every run in the results folder, damaged ones as what they are."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import PibedError
from pibed.model import plan
from pibed.runs import manifest, reading
from pibed.runs.reading import Run
from pibed.stats.modes import NO_DIFFERENCE, UNDECIDED, Comparison, compare
from pibed.stats.observations import observe

_STAMP = re.compile(r"(\d{8}T\d{6}Z)-(.+)")

NONE = "-"

"""Stands where there is nothing to tell."""


@dataclass(frozen=True)
class Entry:
    """One run, in words."""

    name: str
    """Of its folder."""
    when: str
    """UTC, to the minute."""
    experiment: str
    clock: str
    size: str
    """Cells × rounds."""
    state: str
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
        verdict = in_a_word(compare(observe(experiment, run.samples)), _deciding(run))
    except (ValueError, ArithmeticError) as error:  # numbers that nobody has measured
        verdict = f"not computable: {error}"
    differs = run.recorded.lock.differs
    return Entry(
        folder.name,
        shown,
        experiment.name,
        run.recorded.machine.clock,
        _size(len(plan.cells(experiment)), experiment.rounds),
        _state(run),
        verdict,
        f"differs ({len(differs)})" if differs else "as locked",
    )


def in_a_word(comparisons: Iterable[Comparison], deciding: str | None) -> str:
    """The verdict on the deciding metric over all cells: a mode's label if they agree."""
    verdicts = [each.verdict for each in comparisons if each.metric == deciding]
    if not verdicts:
        return NONE
    if len(set(verdicts)) == 1:
        return verdicts[0]
    decided = set(verdicts) - {UNDECIDED, NO_DIFFERENCE}
    if len(decided) == 1:
        label = decided.pop()
        return f"{label} (in {verdicts.count(label)} of {len(verdicts)})"
    return "it depends" if decided else UNDECIDED


def _deciding(run: Run) -> str | None:
    return observe(run.experiment, ()).deciding


def _state(run: Run) -> str:
    words = []
    if not run.recorded.finished:
        words.append(f"unfinished ({len(run.samples)} of {run.planned})")
    else:
        words.append("finished")
    if bad := reading.not_ok(run.samples):
        words.append(f"not ok: {bad}")
    if run.recorded.finished and run.damage:
        words = ["damaged", *run.damage, *words[1:]]
    return "; ".join(words)


def _damaged(folder: Path, when: str, error: Exception) -> Entry:
    """What can be said of a run whose manifest cannot be used."""
    path = folder / "manifest.json"
    left = manifest.remains(path)
    version = left.schema_version
    if not path.is_file():
        state = "no manifest"
    elif version is not None and version < manifest.SCHEMA_VERSION:
        ending = "finished" if left.finished else "unfinished"
        state = f"{ending}; of an older pibed (schema {version})"
    else:
        text = error.message if isinstance(error, PibedError) else str(error)
        state = f"damaged: {text.removeprefix(f'{path}: ')}"
    found = _STAMP.fullmatch(folder.name)
    return Entry(
        folder.name,
        when,
        left.experiment.name or (found.group(2) if found else NONE),
        left.clock or NONE,
        _size(left.experiment.cells, left.experiment.rounds),
        state,
        NONE,
        NONE,
    )


def _size(cells: int | None, rounds: int | None) -> str:
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
