"""The initial root file system, written by the kernel's own gen_init_cpio.

gen_init_cpio takes a list of entries, so that device nodes and owners need no root, and the order
and the times do not depend on the host. See `usr/gen_init_cpio.c` of Linux.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pibed.base.errors import BuildError


@dataclass(frozen=True)
class File:
    """A regular file at `place` in the guest; `source` is relative to the folder of sources."""

    place: str
    source: str
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    """A symbolic link at `place` in the guest."""

    place: str
    target: str


@dataclass(frozen=True)
class CharDevice:
    """A character device node at `place` in the guest."""

    place: str
    major: int
    minor: int
    mode: int = 0o600


@dataclass(frozen=True)
class Folder:
    """An empty folder at `place` in the guest; those that hold something need none."""

    place: str


Entry = File | Link | CharDevice | Folder


def listing(entries: Iterable[Entry]) -> str:
    """The list for gen_init_cpio: sorted, each folder before what is in it, all owned by root.

    Raises BuildError for a path that the list's syntax cannot hold, and for two entries at one
    place.
    """
    by_place: dict[str, Entry] = {}
    for entry in entries:
        if entry.place in by_place:
            raise BuildError(f"the root file system has two entries at {entry.place}")
        by_place[entry.place] = entry
    for place in list(by_place):
        for parent in PurePosixPath(place).parents:
            if str(parent) != "/":
                by_place.setdefault(str(parent), Folder(str(parent)))
    return "".join(_line(by_place[place]) + "\n" for place in sorted(by_place))


def write_archive(tool: Path, folder: Path, entries: Iterable[Entry], target: Path) -> None:
    """Writes the entries, whose sources lie in `folder`, as a cpio archive with all times 0.

    The times of the sources themselves are set to 0 as well.

    `tool` is gen_init_cpio.

    Raises BuildError with the tool's message, OSError when the target cannot be written.
    """
    entries = list(entries)
    for entry in entries:
        if isinstance(entry, File):
            # The tool's option for the time spares regular files, and the kernel takes longer to
            # read some times than others: the guest's clock would tell when it was packed.
            with contextlib.suppress(FileNotFoundError):  # which the tool reports
                os.utime(folder / entry.source, (0, 0))
    with target.open("wb") as file:
        result = subprocess.run(
            [tool, "-t", "0", "-"],
            input=listing(entries).encode(),
            stdout=file,
            cwd=folder,
            stderr=subprocess.PIPE,
            check=False,
        )
    # The tool reports some errors only on standard error, and then ends with 0.
    if result.returncode != 0 or result.stderr:
        message = result.stderr.decode(errors="replace").strip()
        raise BuildError(f"{target}: the archive could not be made: {message}")


def _line(entry: Entry) -> str:
    texts = [entry.place]
    if isinstance(entry, File):
        texts.append(entry.source)
    elif isinstance(entry, Link):
        texts.append(entry.target)
    for text in texts:
        if any(character.isspace() for character in text):
            raise BuildError(f"{text!r}: a path in the root file system cannot have a space in it")
    match entry:
        case File(place, source, mode):
            return f"file {place} {source} {mode:o} 0 0"
        case Link(place, target):
            return f"slink {place} {target} 777 0 0"
        case CharDevice(place, major, minor, mode):
            return f"nod {place} {mode:o} 0 0 c {major} {minor}"
        case Folder(place):
            return f"dir {place} 755 0 0"
