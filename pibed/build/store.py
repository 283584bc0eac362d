"""The store of what was built, keyed by content.

A step's key is the digest of all that goes into it. What a step turns out to have read only when it
is made, such as headers, is noted in its output, which is taken again as long as all of that is
what it was; see `pibed.build.reads`. Its output is a folder, made under a
temporary name and renamed into place when it is whole, so that an interrupted build leaves nothing
that looks finished. An output is held by one build at a time: the second one waits for the
first and then finds the output there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn, TypeAlias

from pibed.base import files
from pibed.base.errors import BuildError, HostError
from pibed.base.files import Remedy, exclusive
from pibed.build import reads
from pibed.build.reads import Read

# What a user can put right: no space, no permission, a file where the folder should be.
_HOST_ERRORS = (
    *(errno.ENOSPC, errno.EDQUOT),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST),
)

# Between the name of an output and the number of the process that makes it.
_UNFINISHED = ".unfinished-"

# In an output: what its step has read.
_READ = "read.json"

Make: TypeAlias = Callable[[Path, Path], Read | None]
"""Makes an output in a folder, with a log; gives what it has read where that was not known."""


@dataclass(frozen=True)
class Step:
    """One step of a build, before it is known whether it has to run.

    `inputs` names all that goes in and maps it to a digest or to the value itself; a change of
    any of them, or of `version`, gives another output. `expected_s` is how long it takes on two
    cores, for the person who waits.
    """

    name: str
    inputs: Mapping[str, str]
    expected_s: float
    version: int = 1
    read: str | None = None
    """Digest of what it has read beside `inputs`, once that is known."""

    @property
    def key(self) -> str:
        """Hexadecimal SHA-256 of the step's name, version and inputs, and of what it has read."""
        read = [] if self.read is None else [self.read]
        text = json.dumps([self.name, self.version, dict(sorted(self.inputs.items())), *read])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def asked(self) -> Step:
        """The step as it is before anything is known of what it reads."""
        return replace(self, read=None)


@dataclass(frozen=True)
class Output:
    """The folder a step has made, whether it was there already, and how long it took (seconds)."""

    step: Step
    path: Path
    cached: bool
    seconds: float
    read: Read = field(default_factory=dict)
    """What it was found to have read, where the step's inputs do not name all."""


class Store:
    """Outputs of steps under `root`, one folder each: `<root>/<step>/<start of the key>`.

    Where a step has more than one, by what it has read, the digest of that follows the key.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, step: Step) -> Path:
        """Where the output of `step` is or will be."""
        read = "" if step.read is None else f"-{step.read[:16]}"
        return self.root / step.name / f"{step.asked.key[:16]}{read}"

    def log(self, step: Step) -> Path:
        """The log of the last time `step` ran, kept when it failed as well."""
        return self.root / "logs" / f"{step.name}-{step.asked.key[:16]}.log"

    def produce(
        self,
        step: Step,
        make: Make,
        on_wait: Callable[[], None] = lambda: None,
        reads_below: Path | None = None,
    ) -> Output:
        """Returns the output of `step`, calling `make(folder, log)` if it is not there yet.

        `reads_below` is the folder from which the names of files are told that only making it
        tells; None if the step's inputs are all that it reads. `on_wait` is called when another
        process is making the same output. Raises HostError when the store cannot be written, and
        whatever `make` raises.
        """
        place = self.place(step)
        # Unique, since what a killed build had started may still write to its own.
        unfinished = place.with_name(f"{place.name}{_UNFINISHED}{os.getpid()}")
        start = time.monotonic()
        if (known := self._known(step, reads_below)) is not None:
            return known
        try:
            with exclusive(_lock(place), on_wait):
                if (known := self._known(step, reads_below)) is not None:
                    return replace(known, seconds=time.monotonic() - start)
                _remove_unfinished(place)
                unfinished.mkdir(parents=True)
                log = self.log(step)
                log.parent.mkdir(parents=True, exist_ok=True)
                log.unlink(missing_ok=True)
                read = make(unfinished, log)
                if read is not None:
                    step = replace(step, read=reads.digest(read))
                    text = json.dumps(dict(read), indent=1, ensure_ascii=False)
                    (unfinished / _READ).write_text(text + "\n", encoding="utf-8")
                _keep(unfinished, self.place(step))
        except BuildError as error:
            if no_space(error, self.root):
                raise full(self.root) from error
            raise
        except shutil.Error as error:
            raise explain(error, self.root) from error
        except OSError as error:
            if error.errno not in _HOST_ERRORS:
                raise
            raise explain(error, self.root) from error
        seconds = time.monotonic() - start
        return Output(step, self.place(step), cached=False, seconds=seconds, read=read or {})

    def _known(self, step: Step, reads_below: Path | None) -> Output | None:
        """The output if it is there and nothing that it has read is another file now."""
        place = self.place(step)
        if reads_below is None:
            return Output(step, place, cached=True, seconds=0.0) if place.is_dir() else None
        for path in sorted(place.parent.glob(f"{place.name}-*/{_READ}")):
            try:
                read: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if reads.unchanged(read, reads_below):
                found = replace(step, read=reads.digest(read))
                return Output(found, path.parent, cached=True, seconds=0.0, read=read)
        return None

    def remove_unfinished(self) -> None:
        """Removes what builds that failed or were killed left behind, but not what one is making.

        What cannot be removed stays: if that matters, the build itself will say so.
        """
        left = self.root.glob(f"*/*{_UNFINISHED}*")
        for place in {path.with_name(path.name.partition(_UNFINISHED)[0]) for path in left}:
            with contextlib.suppress(OSError), exclusive(_lock(place), _leave_alone):
                _remove_unfinished(place)


def _lock(place: Path) -> Path:
    """What whoever makes the output at `place` holds."""
    return place.with_name(f"{place.name}.lock")


def _keep(unfinished: Path, place: Path) -> None:
    """Puts an output in its place, unless the same is there and only its note was of no use."""
    if place.is_dir():
        (unfinished / _READ).rename(place / _READ)
        shutil.rmtree(unfinished)
    else:
        unfinished.rename(place)


def _leave_alone() -> NoReturn:
    raise BlockingIOError


def _remove_unfinished(place: Path) -> None:
    """To be called by whoever holds the lock."""
    for stale in place.parent.glob(f"{place.name}{_UNFINISHED}*"):
        shutil.rmtree(stale, ignore_errors=True)


def clean(root: Path, everything: bool) -> int:
    """Removes the outputs and logs of all steps, and with `everything` all else that pibed keeps.

    Returns how many bytes were freed. What pibed did not put into `root` stays.
    """
    names = ["steps", "buildroot/builds"]
    if everything:
        names += ["downloads", "apt", "logs", "boots", "verify", "buildroot"]
    freed = 0
    for folder in (root / name for name in names):
        if folder.is_dir():
            files = (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
            freed += sum(path.lstat().st_blocks * 512 for path in files)
            shutil.rmtree(folder)
    if everything:
        (root / "durations.json").unlink(missing_ok=True)
    return freed


def no_space(error: BuildError, root: Path) -> bool:
    """Whether a program failed since the disk that holds `root` is full."""
    said = any("No space left on device" in line for line in error.context)
    return said or shutil.disk_usage(root).free < 1 << 20


def explain(error: OSError, root: Path) -> HostError:
    """An error of the file system in the cache folder `root`, as the user needs it."""
    return files.explain(error, root, remedy(root))


def full(root: Path) -> HostError:
    """The disk that holds the cache folder `root` is full, as a program that failed has said."""
    return explain(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), root)


def remedy(root: Path) -> Remedy:
    """What a user can do about the cache folder `root`."""
    return Remedy(
        full=f"free some space (a build needs 3 GB below {root}), or set PIBED_CACHE",
        otherwise="make the cache folder writable, or set PIBED_CACHE to another one",
    )
