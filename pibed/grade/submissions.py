"""What was handed in: found in a folder, copied with care, and known by its content."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pibed.base import archives
from pibed.base.errors import PibedError, UsageError, printable
from pibed.base.files import explained
from pibed.build.store import remedy

MAKEFILES = ("Kbuild", "Makefile")
"""By which a module's folder is known."""

REFERENCE = "reference"
"""What the module is called that does it right; no submission's slug."""

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst", ".zip")

# More than any module of a course has.
_MOST_FILES, _MOST_BYTES = 2000, 64 << 20

_LONGEST_SLUG = 60


class Refused(PibedError):
    """A submission that cannot be taken as it is; the message is for its author."""


@dataclass(frozen=True)
class Submission:
    """One submission: where it lies, what it is called, and what its folder of results is."""

    path: Path
    name: str
    """For people, in one line."""
    slug: str
    """Letters that any file system takes; no two have the same."""


def find(folder: Path) -> list[Submission]:
    """The submissions in a folder: its folders and archives, but for hidden ones.

    Raises UsageError if it is no folder or has none.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: there is no such folder",
            fix="name a folder that has a folder, tar or zip for each submission",
        )
    paths = sorted(folder.iterdir())
    found = [path for path in paths if not path.name.startswith(".")]
    found = [path for path in found if path.is_dir() or is_archive(path)]
    if not found:
        raise UsageError(
            f"{folder}: it has neither folders nor archives ({', '.join(ARCHIVES)})",
            fix="name the folder above the submissions; ./inv try grades a single one",
        )
    if any((folder / name).is_file() for name in MAKEFILES):
        raise UsageError(
            f"{folder}: it looks like a single submission, since it has a Makefile or Kbuild",
            fix=f"./inv try {folder}",
        )
    return name_all(found)


def name_all(paths: Sequence[Path]) -> list[Submission]:
    """Submissions with names and slugs of their own."""
    taken = {REFERENCE}
    found = []
    for path in paths:
        name = _stem(path)
        slug = re.sub(r"[^A-Za-z0-9._-]", "_", name).strip("._-")[:_LONGEST_SLUG] or "submission"
        number, unique = 1, slug
        # Some file systems take large and small letters for the same.
        while unique.lower() in taken:
            number += 1
            unique = f"{slug}-{number}"
        taken.add(unique.lower())
        found.append(Submission(path, printable(name), unique))
    return found


def is_archive(path: Path) -> bool:
    """Whether a file is called as an archive is."""
    return path.is_file() and path.name.lower().endswith(ARCHIVES)


@dataclass(frozen=True)
class Sources:
    """The files of a submission, copied; those with the same `digest` have the same marks."""

    folder: Path
    digest: str

    @property
    def module(self) -> Path:
        """The outermost folder with a Kbuild or a Makefile; raises Refused if there is none."""
        level = [self.folder]
        while level:
            for folder in level:
                if any((folder / name).is_file() for name in MAKEFILES):
                    return folder
            inside = sorted(path for each in level for path in each.iterdir())
            # Not through links, which may lead back.
            level = [path for path in inside if path.is_dir() and not path.is_symlink()]
        files = sum(path.is_file() for path in self.folder.rglob("*"))
        found = "the submission is empty" if not files else f"none of its {files} files is one"
        raise Refused(f"there is no file Kbuild or Makefile: {found}")


def take_in(path: Path, store: Path) -> Sources:
    """Copies a submission's files into the folder `store`, where they go by their content.

    Raises Refused for what is no submission, such as a link or a device among the files, HostError
    where it cannot be written.
    """
    with explained(store, remedy(store)):
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=store) as name:
            folder = Path(name) / "source"
            _unpack(path, folder) if path.is_file() else _copy(path, folder)
            known = digest(folder)
            place = store / known[:32]
            if not place.is_dir():
                with _not_there_yet():
                    Path(name).rename(place)
                    Path(name).mkdir()
            return Sources(place / "source", known)


def digest(folder: Path) -> str:
    """Hexadecimal SHA-256 of all files and links below a folder, with their names."""
    text = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = os.fsencode(path.relative_to(folder))
        if path.is_symlink():
            data = os.fsencode(path.readlink())
            text.update(b"link %d %s %d " % (len(name), name, len(data)) + data)
            continue
        if not path.is_file():
            continue
        data = path.read_bytes()
        text.update(b"%d %s %d " % (len(name), name, len(data)) + data)
    return text.hexdigest()


@contextmanager
def _not_there_yet() -> Iterator[None]:
    """Another process may have put the same into its place."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def _unpack(archive: Path, target: Path) -> None:
    try:
        archives.unpack(archive, target, archives.Limits(_MOST_BYTES, _MOST_BYTES, _MOST_FILES))
    except archives.Refused as error:
        raise Refused(error.message) from None


def _copy(origin: Path, target: Path) -> None:
    files = total = 0
    target.mkdir()
    for path, status in _entries(origin):
        relative = path.relative_to(origin)
        if stat.S_ISDIR(status.st_mode):
            (target / relative).mkdir()
            continue
        if not stat.S_ISREG(status.st_mode):
            kind = "a link" if stat.S_ISLNK(status.st_mode) else "no regular file"
            raise Refused(f"{printable(str(relative))}: it is {kind}, which is not taken")
        files += 1
        total += status.st_size
        if files > _MOST_FILES or total > _MOST_BYTES:
            raise Refused(f"more than {_MOST_FILES} files, or {_MOST_BYTES >> 20} MiB in all")
        (target / relative).write_bytes(path.read_bytes())


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """All below a folder but what is hidden, parents first; links are not followed."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        status = path.lstat()
        yield path, status
        if stat.S_ISDIR(status.st_mode):
            yield from _entries(path)


def _stem(path: Path) -> str:
    name = path.name
    if path.is_dir():
        return name
    ending = max((each for each in ARCHIVES if name.lower().endswith(each)), key=len)
    return name[: -len(ending)]
