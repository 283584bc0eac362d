"""A run as it lies in its folder, read to be looked at: no build, no QEMU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pibed.base.errors import UsageError
from pibed.base.files import digest_file
from pibed.model import plan
from pibed.model import samples as samples_module
from pibed.model.experiment import Experiment
from pibed.model.plan import Cell
from pibed.model.samples import Sample, Status
from pibed.model.shard import Shard
from pibed.model.words import counted
from pibed.runs import manifest
from pibed.runs.folder import RunFolder
from pibed.runs.hints import MERGE_COMMAND, resume_command
from pibed.runs.manifest import Manifest
from pibed.stats.analysis import Analysis


@dataclass(frozen=True)
class Run:
    """What a run's files say."""

    folder: Path
    recorded: Manifest
    samples: tuple[Sample, ...]
    """Sorted by round and order."""
    damage: tuple[str, ...]
    """What of its files is not as pibed wrote them, one sentence each."""

    @property
    def experiment(self) -> Experiment:
        """As it was measured."""
        return self.recorded.experiment

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.name

    def sample(self, row: int) -> Sample:
        """That of a row of samples.csv, from 1; raises UsageError if there is none."""
        count = len(self.samples)
        if not count:
            raise UsageError(f"{self.folder}: it has no samples yet")
        if not 1 <= row <= count:
            raise UsageError(
                f"--sample {row}: {self.name} has samples 1 to {count}",
                fix="give the number of a row of its samples.csv, from 1",
            )
        return self.samples[row - 1]

    @property
    def planned(self) -> int:
        """How many samples the run has when it has come to its end."""
        return len(plan.cells(self.experiment)) * self.rounds

    @property
    def rounds(self) -> int:
        """How many rounds it has then."""
        return len(plan.numbers(self.experiment, self.recorded.shard))

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not as a finished run has it, one sentence each."""
        notes = self.damage
        if (shard := self.recorded.shard) is not None:
            rounds = counted(self.experiment.rounds, "round")
            notes += (
                f"This is shard {shard}, {self.rounds} of {rounds}: "
                f"{MERGE_COMMAND} makes one run of all {shard.of}",
            )
        if self.recorded.finished:
            return notes
        return (
            *notes,
            f"The run has not come to its end: {len(self.samples)} of {self.planned} samples; "
            f"{resume_command(self.folder)} goes on with it",
        )

    @cached_property
    def analysis(self) -> Analysis:
        """What the statistics say of it."""
        return Analysis(self.experiment, self.samples)


def read(folder: Path) -> Run:
    """Reads a run's manifest and samples.

    The samples are those of samples.csv; before it is written, or where it cannot be read, those
    of the rounds that were measured to their end. Raises UsageError for a manifest that is none.
    """
    recorded = manifest.read(folder / "manifest.json")
    experiment = recorded.experiment
    damage = []
    found, reason = _from_csv(folder / "samples.csv", experiment, recorded.shard)
    if found is None:
        if reason:
            damage.append(f"{reason}: the samples are taken from boots/")
        found = _from_boots(folder, experiment, recorded.shard)
    elif digest_file(folder / "samples.csv") != recorded.samples_digest:
        # A run that is being resumed has the samples.csv of its first part.
        damage.append("samples.csv is not the file that the manifest describes")
    planned = len(plan.cells(experiment)) * len(plan.numbers(experiment, recorded.shard))
    if recorded.finished and len(found) != planned:
        damage.append(f"There are {len(found)} of {planned} samples")
    found.sort(key=lambda each: (each.round, each.order))
    return Run(folder, recorded, tuple(found), tuple(damage))


def not_ok(found: Sequence[Sample]) -> str:
    """How many samples are not `ok`, by status, such as `2 panic, 1 timeout`; empty if all are."""
    counts = Counter(each.status for each in found if each.status != Status.OK)
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


def messages(run: Run) -> dict[tuple[int, int], str]:
    """Why samples are not `ok`, by round and order, as far as the boots' files are there."""
    if all(each.status == Status.OK for each in run.samples):
        return {}
    return {
        (each.round, each.order): each.message
        for each in _from_boots(run.folder, run.experiment, run.recorded.shard)
        if each.message
    }


def _from_csv(
    path: Path, experiment: Experiment, shard: Shard | None
) -> tuple[list[Sample] | None, str]:
    """The samples, or None and why; no reason is given for a file that is not there."""
    try:
        found = samples_module.from_csv(experiment, path.read_text(encoding="utf-8"))
        _require_of(experiment, shard, found)
        return found, ""
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"samples.csv cannot be read ({error.strerror})"
    except (UnicodeDecodeError, ValueError) as error:
        return None, f"samples.csv is damaged ({error})"


def _require_of(experiment: Experiment, shard: Shard | None, found: Sequence[Sample]) -> None:
    """Raises ValueError unless each is of a cell, has its metrics, and is there once."""
    numbers = plan.numbers(experiment, shard)
    seen: dict[Cell, set[int]] = {cell: set() for cell in plan.cells(experiment)}
    for each in found:
        where = f"round {each.round}, order {each.order}"
        if each.cell not in seen:
            raise ValueError(f"{where}: no cell of the experiment")
        if each.metrics.keys() != (
            experiment.metrics.keys() if each.status == Status.OK else set()
        ):
            raise ValueError(f"{where}: other metrics than a sample that is {each.status} has")
        if each.round not in numbers:
            has = f"the experiment has {experiment.rounds} rounds"
            raise ValueError(f"{where}: {has if shard is None else f'not of shard {shard}'}")
        if each.round in seen[each.cell]:
            raise ValueError(f"{where}: the cell is there twice")
        seen[each.cell].add(each.round)


def _from_boots(folder: Path, experiment: Experiment, shard: Shard | None) -> list[Sample]:
    there, _ = RunFolder(folder, experiment, shard).all_measured()
    return there.samples
