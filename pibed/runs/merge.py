"""Shards of a sweep made one run, byte for byte the one that a single machine measures.

Nothing is measured here: what the shards' folders have is checked, and put together. Where that
cannot be a run of one machine it is refused, naming what differs.
"""

from __future__ import annotations

import datetime
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pibed.base.errors import UsageError
from pibed.base.files import digest_text, explained
from pibed.model import samples as samples_module
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine
from pibed.model.plan import Cell
from pibed.model.samples import Sample, Status
from pibed.model.shard import Shard
from pibed.runs import locate, manifest
from pibed.runs.folder import Measured, RunFolder
from pibed.runs.hints import resume_command
from pibed.runs.manifest import Manifest, MergedShard, SamplesRecord
from pibed.stats.analysis import Analysis

# What of a manifest is of the host, or of the shard, and may differ.
_OWN = {
    *("finished", "resumed", "jobs", "rounds", "samples", "problems", "warnings"),
    *("shard", "sandbox", "host", "merged"),
}

# Differences that are told, and letters of a value.
_MOST, _LETTERS = 10, 70


@dataclass(frozen=True)
class Part:
    """A shard that was measured to its end."""

    folder: Path
    recorded: Manifest
    shard: Shard

    @property
    def name(self) -> str:
        """For people: which shard, and where it is."""
        return f"shard {self.shard} ({self.folder})"


@dataclass(frozen=True)
class Merged:
    """The run that was made."""

    run: RunFolder
    recorded: Manifest
    analysis: Analysis

    @property
    def machine(self) -> Machine:
        """That of all shards."""
        return self.recorded.machine

    @property
    def experiment(self) -> Experiment:
        """That of all shards."""
        return self.recorded.experiment

    @property
    def samples(self) -> Sequence[Sample]:
        """Sorted by round and order."""
        return self.analysis.samples

    @property
    def problems(self) -> Sequence[str]:
        """What went wrong beside the samples."""
        return self.recorded.problems

    @property
    def differs(self) -> Sequence[str]:
        """From the lock."""
        return self.recorded.lock.differs

    @property
    def warnings(self) -> Sequence[str]:
        """What a reader of the numbers should know."""
        return self.recorded.warnings


def parts(folders: Iterable[Path]) -> list[Part]:
    """All shards of one sweep by their numbers.

    Raises UsageError for what is no finished shard, for shards that are there twice or not at all,
    and for those that were not measured alike.
    """
    found = sorted(map(_part, folders), key=lambda each: each.shard.number)
    if not found:
        raise UsageError("merge: expected the runs that are shards", fix="./inv merge RUN…")
    first = found[0]
    for other in found:
        if other.shard.of != first.shard.of:
            raise UsageError(
                f"{first.name} and {other.name} are of sweeps that were divided otherwise: their "
                "rounds overlap",
                fix=f"name the {first.shard.of} shards of one sweep, or the {other.shard.of} of "
                "the other",
            )
    for one, other in itertools.pairwise(found):
        if one.shard.number == other.shard.number:
            raise UsageError(
                f"shard {one.shard} is there twice: {one.folder} and {other.folder}",
                fix="leave one of them out",
            )
    for other in found[1:]:
        if lines := list(_differences(first.recorded, other.recorded)):
            more = f"; {len(lines) - _MOST} more" if len(lines) > _MOST else ""
            raise UsageError(
                f"{other.name} was not measured as {first.name}: {'; '.join(lines[:_MOST])}{more}",
                fix="measure it anew with the same checkout, options and QEMU as the others, or "
                "name shards of one sweep",
            )
    there = {each.shard.number for each in found}
    if missing := [n for n in range(1, first.shard.of + 1) if n not in there]:
        names = ", ".join(f"{n}/{first.shard.of}" for n in missing[:_MOST])
        more = f" and {len(missing) - _MOST} more" if len(missing) > _MOST else ""
        raise UsageError(
            f"shards are missing: {names}{more}",
            fix=f"name their folders as well, or measure them with --shard {missing[0]}/"
            f"{first.shard.of} and so on, and what else the others were given",
        )
    return found


def merge(found: Sequence[Part], root: Path, name: str, now: datetime.datetime) -> Merged:
    """Makes one run of all shards in a new folder in `root`, which is there whole or not at all.

    The run counts as finished unless memory that the module loses has still to be looked for: the
    first shard has looked for all, but only in cells of which it has a sample that is `ok`.

    Raises UsageError for a shard whose files are not as they were written, HostError where the
    run's cannot be written.
    """
    experiment = found[0].recorded.experiment
    locate.require_writable(root)
    with (
        explained(root),
        tempfile.TemporaryDirectory(prefix=".merge-", dir=root) as staging,
    ):
        made = RunFolder(Path(staging) / "run", experiment)
        (made.folder / "boots").mkdir(parents=True)
        measured = [_take(each, made.folder) for each in found]
        samples = [sample for each in measured for sample in each.samples]
        samples.sort(key=lambda each: (each.round, each.order))
        problems = [problem for each in measured for problem in each.problems]
        looked = _looked_for_leaks(experiment, _well(measured[0].samples), _well(samples))
        if looked and (leaks := found[0].folder / "leaks").is_dir():
            _take_files(leaks, made.folder / "leaks")
        analysis = Analysis(experiment, samples)
        made.write_samples(analysis)
        record = _record(found, made.folder / "samples.csv", samples, problems, looked)
        made.write_manifest(record)
        folder = locate.make_folder(root, name, now)
        made.folder.rename(folder)
    return Merged(RunFolder(folder, experiment), record, analysis)


def _part(folder: Path) -> Part:
    recorded = manifest.read(folder / "manifest.json")
    if recorded.shard is None:
        what = "a run of all rounds" if recorded.merged is None else "merged already"
        raise UsageError(
            f"{folder}: it is no shard, but {what}", fix="name runs of ./inv sweep --shard …"
        )
    if not recorded.finished:
        raise UsageError(
            f"{folder}: shard {recorded.shard} was cut off", fix=resume_command(folder)
        )
    return Part(folder, recorded, recorded.shard)


def _differences(first: Manifest, other: Manifest) -> Iterator[str]:
    """What is not the same in both but should be, one line a key of the manifest."""
    before, after = (dict(_flat("", _comparable(each))) for each in (first, other))
    for key in dict.fromkeys([*before, *after]):
        then, now = (_text(each[key]) if key in each else "nothing" for each in (before, after))
        if then != now:
            pairs = itertools.takewhile(
                lambda pair: pair[0] == pair[1], zip(then, now, strict=False)
            )
            same = sum(1 for _ in pairs)
            yield f"{key}: {_shown(now, same)} instead of {_shown(then, same)}"


def _comparable(recorded: Manifest) -> dict[str, Any]:
    """What a manifest says but for the host: without the folders in which something lies."""
    content = recorded.model_dump(mode="json", exclude=_OWN)
    content["qemu"]["command"] = " ".join(recorded.qemu.options)
    content["builder"].pop("folder", None)
    if recorded.experiment.file is not None:
        content["experiment"]["file"] = Path(recorded.experiment.file).name
    return content


def _flat(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _flat(f"{place}.{key}" if place else str(key), each)
    else:
        yield place, value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(text: str, same: int) -> str:
    """A text, or the part of it that begins where another one is not the `same` any more."""
    if len(text) <= _LETTERS:
        return text
    begin = max(0, same - _LETTERS // 2)
    end = begin + _LETTERS
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if end < len(text) else ''}"


def _take(part: Part, target: Path) -> Measured:
    """Takes the boots of a shard over, and returns what was measured in them."""
    run = RunFolder(part.folder, part.recorded.experiment, part.shard)
    measured, missing = run.all_measured()
    what = f"round {missing[0].number} is not whole" if missing else ""
    if not missing:
        text = samples_module.to_csv(run.experiment, measured.samples)
        if digest_text(text) != part.recorded.samples_digest:
            what = "the samples in its boots are not those that the manifest describes"
    if what:
        raise UsageError(f"{part.name}: {what}", fix=f"to mend it: {resume_command(part.folder)}")
    numbers = part.shard.numbers(run.experiment.rounds)
    for boot in (part.folder / "boots").iterdir():
        number = boot.name.partition("-")[0]
        if number.isdecimal() and int(number) in numbers:
            _take_files(boot, target / "boots" / boot.name)
    return measured


def _take_files(source: Path, target: Path) -> None:
    """Makes a folder with the same files: links to them where that can be, else copies.

    No file of a run is ever written again.
    """
    target.mkdir()
    with os.scandir(source) as entries:
        for entry in entries:
            if not entry.is_file(follow_symlinks=False):
                continue
            try:
                os.link(entry.path, target / entry.name)
            except OSError:  # another file system, or another user's file
                shutil.copyfile(entry.path, target / entry.name)


def _well(samples: Iterable[Sample]) -> set[Cell]:
    return {each.cell for each in samples if each.status == Status.OK}


def _looked_for_leaks(experiment: Experiment, first: set[Cell], whole: set[Cell]) -> bool:
    """Whether the first shard has looked for leaks as a single machine looks, or none is to."""
    return experiment.leaks == "ignore" or not experiment.module_list or first == whole


def _record(
    found: Sequence[Part],
    csv: Path,
    samples: Sequence[Sample],
    problems: Iterable[str],
    looked: bool,
) -> Manifest:
    """The manifest of the whole, of what the shards' say."""
    first = found[0].recorded
    merged = [
        MergedShard(
            number=each.shard.number,
            run=each.folder.name,
            resumed=each.recorded.resumed,
            jobs=each.recorded.jobs,
            sandbox=each.recorded.sandbox,
            host=each.recorded.host,
        )
        for each in found
    ]
    return first.model_copy(
        update={
            "finished": looked,
            "resumed": sum(each.resumed for each in merged),
            "jobs": sum(each.jobs for each in merged),
            "rounds": manifest.round_seeds(first.experiment),
            "shard": None,
            "samples": SamplesRecord.of(csv, samples),
            "problems": sorted(problems),
            "warnings": first.warnings if looked else [],
            "merged": merged,
        }
    )
