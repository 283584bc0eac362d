"""The results folder: one folder a run, whose files are a stable interface (docs/results.md).

Whenever a run is cut off, by a signal or the end of the host's power, its folder can be taken up
again: a round counts as measured once its boots and their samples are on the disk and, behind them,
a file says so; what there is of any other round is set aside, and the round is measured anew.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, Self, TextIO

from pibed.base.errors import HostError
from pibed.base.files import (
    digest_file,
    exclusive,
    explained,
    make_unique,
    sync,
    sync_folders,
    write_file,
)
from pibed.model import plan
from pibed.model import samples as samples_module
from pibed.model.experiment import Experiment
from pibed.model.plan import Round
from pibed.model.protocol import Command
from pibed.model.samples import Sample, Status
from pibed.model.shard import Shard
from pibed.runs.locate import make_folder
from pibed.runs.manifest import Manifest
from pibed.stats import summary
from pibed.stats.analysis import Analysis

# In the folder of a round's first boot, once the whole round is measured.
_FINISHED = "finished.json"


@dataclass(frozen=True)
class Measured:
    """Rounds that were measured to their end, and what went wrong beside their samples."""

    samples: list[Sample]
    problems: list[str]


class RunFolder:
    """The folder of one run, or of a shard of one, being written.

    `samples.csv`, `summary.csv` and `manifest.json` appear by rename, each whole or not at all.
    """

    def __init__(self, folder: Path, experiment: Experiment, shard: Shard | None = None) -> None:
        self.folder = folder
        self.experiment = experiment
        self.shard = shard

    @classmethod
    def create(
        cls,
        root: Path,
        experiment: Experiment,
        name: str,
        now: datetime.datetime,
        shard: Shard | None = None,
    ) -> Self:
        """A new folder for a run; see `make_folder`."""
        return cls(make_folder(root, name, now), experiment, shard)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes from measuring into the same folder, even after a `kill -9`.

        Raises HostError if another one does.
        """

        def refuse() -> NoReturn:
            raise HostError(
                f"{self.folder}: another process is measuring this run",
                fix="wait until it has ended",
            )

        with exclusive(self.folder, refuse):
            yield

    def boot_folder(self, number: int, attempt: int) -> Path:
        """Makes the folder of a round's boot: `boots/<round>`, then `boots/<round>-2` and so on."""
        folder = self._boot(number, attempt)
        with explained(folder):
            folder.parent.mkdir(exist_ok=True)
            folder.mkdir()
            sync_folders(folder.parent)
        return folder

    def boots(self, number: int) -> list[Path]:
        """The folders of a round's boots, in their order."""
        numbered = (self._boot(number, attempt) for attempt in itertools.count(1))
        return list(itertools.takewhile(Path.is_dir, numbered))

    def take_round(
        self, number: int, boots: Sequence[Mapping[str, bytes]], problems: Sequence[str]
    ) -> None:
        """Records a round that was measured elsewhere, by the files of its boots."""
        self.take_boots(number, boots)
        self.finish_round(number, len(boots), problems)

    def take_boots(self, number: int, boots: Sequence[Mapping[str, bytes]]) -> None:
        """Writes the files of a round's boots, of which nothing is recorded yet."""
        for attempt, files in enumerate(boots, start=1):
            folder = self.boot_folder(number, attempt)
            for name, content in files.items():
                if name != _FINISHED:
                    with explained(folder / name):
                        (folder / name).write_bytes(content)

    def finish_round(self, number: int, boots: int, problems: Sequence[str]) -> None:
        """Records that a round is measured, in so many boots, once all of them is on the disk."""
        for attempt in range(1, boots + 1):
            _sync_files(self._boot(number, attempt))
        record = {"boots": boots, "problems": list(problems)}
        write_file(self._boot(number, 1) / _FINISHED, json.dumps(record, ensure_ascii=False) + "\n")

    def measured(self, round_: Round) -> Measured | None:
        """A round as it was measured; None if it was not, or not to its end."""
        try:
            text = (self._boot(round_.number, 1) / _FINISHED).read_text(encoding="utf-8")
            record = json.loads(text)
            problems = [str(each) for each in record["problems"]]
            samples: list[Sample] = []
            for attempt in range(1, int(record["boots"]) + 1):
                log = self._boot(round_.number, attempt) / "samples.jsonl"
                samples += samples_module.read_log(log.read_bytes())[0]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        expected = [(round_.number, visit.order, visit.cell) for visit in round_.visits]
        if [(each.round, each.order, each.cell) for each in samples] != expected:
            return None
        metrics = set(self.experiment.metrics)
        if any(
            set(each.metrics) != (metrics if each.status == Status.OK else set())
            for each in samples
        ):
            return None
        # The cells are those of the plan: equal ones, but there once.
        placed = zip(samples, round_.visits, strict=True)
        return Measured([replace(each, cell=visit.cell) for each, visit in placed], problems)

    def all_measured(self) -> tuple[Measured, list[Round]]:
        """What is measured of the run, and the rounds that are not."""
        there, left = Measured([], []), []
        for round_ in plan.rounds(self.experiment, self.shard):
            if (measured := self.measured(round_)) is None:
                left.append(round_)
            else:
                there.samples.extend(measured.samples)
                there.problems.extend(measured.problems)
        return there, left

    def set_aside(self, round_: Round) -> str | None:
        """Moves what an interrupted boot of a round has left to `interrupted/<n>/`.

        Returns what there was, for people; None if there was nothing.
        """
        boots = sorted(self.folder.glob(f"boots/{round_.number:02d}")) + sorted(
            self.folder.glob(f"boots/{round_.number:02d}-*")
        )
        if not boots:
            return None
        count, torn = 0, False
        for boot in boots:
            with contextlib.suppress(OSError):
                samples, cut = samples_module.read_log((boot / "samples.jsonl").read_bytes())
                count += len(samples)
                torn |= cut
        with explained(self.folder / "interrupted"):
            target = make_unique(self.folder / "interrupted", f"{round_.number:02d}")
            for boot in boots:
                boot.rename(target / boot.name)
        words = f"round {round_.number} was cut off after {count} of {len(round_.visits)} samples"
        if torn:
            words += ", the last line of its samples.jsonl is torn"
        return f"{words}; it is measured anew, and what there was of it is in {target}"

    def has_samples(self, digest: str | None) -> bool:
        """Whether samples.csv has this SHA-256, and summary.csv is there."""
        path = self.folder / "samples.csv"
        whole = path.is_file() and (self.folder / "summary.csv").is_file()
        return whole and digest_file(path) == digest

    def _boot(self, number: int, attempt: int) -> Path:
        name = f"{number:02d}" if attempt == 1 else f"{number:02d}-{attempt}"
        return self.folder / "boots" / name

    def write_samples(self, analysis: Analysis) -> None:
        """Writes samples.csv and summary.csv."""
        self._write("samples.csv", samples_module.to_csv(self.experiment, analysis.samples))
        self._write("summary.csv", summary.to_csv(self.experiment, analysis.summaries))

    def write_manifest(self, manifest: Manifest) -> None:
        """Writes manifest.json."""
        self._write("manifest.json", manifest.to_json())

    def _write(self, name: str, text: str) -> None:
        write_file(self.folder / name, text)


def write_plan(path: Path, commands: Iterable[Command]) -> None:
    """Writes a boot's commands, one a line."""
    text = "".join(f"{command}\n" for command in commands)
    with explained(path):
        path.write_text(text, encoding="utf-8", errors="surrogateescape")


class SampleLog:
    """A boot's samples as they come in: one line of JSON each, on the disk before the next one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with explained(path):
            self._file: TextIO = path.open("x", encoding="utf-8")
            sync_folders(path.parent)

    def append(self, sample: Sample) -> None:
        """Adds a sample; raises HostError when it could not be written."""
        with explained(self._path):
            self._file.write(sample.to_json() + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file; what could not be written was said by `append`."""
        with contextlib.suppress(OSError):
            self._file.close()


def _sync_files(folder: Path) -> None:
    """Puts the content of a folder's files, and their names, on the disk."""
    with explained(folder):
        for path in [*folder.iterdir(), folder]:
            sync(path)
