"""The results folder: one folder a run, whose files are a stable interface (docs/results.md)."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self, TextIO

from pibed import samples as samples_module
from pibed import summary
from pibed.agent import Command
from pibed.config import Experiment
from pibed.errors import HostError
from pibed.samples import Sample


class Run:
    """The folder of one run, being written.

    `samples.csv`, `summary.csv` and `manifest.json` appear by rename, each whole or not at all.
    """

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self.folder = folder
        self.experiment = experiment

    @classmethod
    def create(cls, root: Path, experiment: Experiment, name: str, now: datetime.datetime) -> Self:
        """A new folder for a run; see `make_folder`."""
        return cls(make_folder(root, name, now), experiment)

    def boot_folder(self, number: int, attempt: int) -> Path:
        """Makes the folder of a round's boot: `boots/<round>`, then `boots/<round>-2` and so on."""
        name = f"{number:02d}" if attempt == 1 else f"{number:02d}-{attempt}"
        folder = self.folder / "boots" / name
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise explain(error, folder) from error
        return folder

    def write_samples(self, samples: list[Sample]) -> None:
        """Writes samples.csv and summary.csv."""
        self._write("samples.csv", samples_module.to_csv(self.experiment, samples))
        summaries = summary.summarise(self.experiment, samples)
        self._write("summary.csv", summary.to_csv(self.experiment, summaries))

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Writes manifest.json."""
        import json

        self._write("manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")

    def _write(self, name: str, text: str) -> None:
        write_file(self.folder / name, text)


def make_folder(root: Path, name: str, now: datetime.datetime) -> Path:
    """Makes `<root>/<now>-<name>/` and points `<root>/latest` to it.

    Raises HostError when it cannot be written.
    """
    stem = f"{now.astimezone(datetime.UTC):%Y%m%dT%H%M%SZ}-{name}"
    require_writable(root)
    try:
        folder = _make_unique(root, stem)
        _point(root / "latest", folder.name)
    except OSError as error:
        raise explain(error, root) from error
    return folder


def write_file(target: Path, text: str) -> None:
    """Writes a file that appears by rename; raises HostError when it cannot be written."""
    unfinished = target.parent / f".{target.name}.unfinished"
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise explain(error, target) from error


def require_writable(root: Path) -> None:
    """Makes the results folder, and raises HostError if no run can be put into it."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".check-", dir=root):
            pass
    except FileExistsError:
        raise HostError(f"{root}: it is not a folder", fix="name a folder with --results") from None
    except OSError as error:
        raise explain(error, root) from error
    latest = root / "latest"
    if latest.exists() and not latest.is_symlink():
        raise HostError(f"{latest}: it is not a link to a run", fix="rename or remove it")


def write_plan(path: Path, commands: Iterable[Command]) -> None:
    """Writes a boot's commands, one a line."""
    try:
        text = "".join(f"{command}\n" for command in commands)
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise explain(error, path) from error


class SampleLog:
    """A boot's samples as they come in: one line of JSON each, on the disk before the next one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: TextIO = path.open("x", encoding="utf-8")
        except OSError as error:
            raise explain(error, path) from error

    def append(self, sample: Sample) -> None:
        """Adds a sample; raises HostError when it could not be written."""
        try:
            self._file.write(sample.to_json() + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise explain(error, self._path) from error

    def close(self) -> None:
        """Closes the file; what could not be written was said by `append`."""
        with contextlib.suppress(OSError):
            self._file.close()


def explain(error: OSError, where: Path) -> HostError:
    """An error of the file system while results are written, as the user needs it."""
    fix = "name a folder that you can write to with --results"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "free some space; what was measured before is kept, in boots/*/samples.jsonl at least"
    return HostError.from_os(error, where, fix)


def _make_unique(root: Path, stem: str) -> Path:
    """Makes the folder, numbered if another run began in the same second."""
    for number in range(1, 1000):
        folder = root / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(root / stem))


def _point(link: Path, target: str) -> None:
    """Makes `link` a symbolic link to `target`, by rename, so that it is never missing."""
    with tempfile.TemporaryDirectory(prefix=".latest-", dir=link.parent) as folder:
        new = Path(folder) / "link"
        new.symlink_to(target)
        new.rename(link)
