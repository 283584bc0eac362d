"""Files: written whole or not at all, held against other processes, known by their digests."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import HostError


@dataclass(frozen=True)
class Remedy:
    """What a user can do about files that cannot be written."""

    full: str
    """The disk, or the user's share of it, is full."""
    otherwise: str
    """They may not be written, or something stands in their place."""


RESULTS = Remedy(
    full="free some space; what was measured before is kept, in boots/*/samples.jsonl at least",
    otherwise="name a folder that you can write to with --results",
)
"""For what becomes of runs."""


def explain(error: OSError, where: Path, remedy: Remedy = RESULTS) -> HostError:
    """An error of the file system, as the user needs it."""
    return HostError.from_os(error, where, remedy.full if is_full(error) else remedy.otherwise)


def is_full(error: OSError) -> bool:
    """Whether the disk is full, or the user's share of it."""
    # The errors of a copied tree have no numbers.
    copied = isinstance(error, shutil.Error) and os.strerror(errno.ENOSPC) in str(error)
    return copied or error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def explained(where: Path, remedy: Remedy = RESULTS) -> Iterator[None]:
    """Makes errors of the file system HostErrors, see `explain`."""
    try:
        yield
    except OSError as error:
        raise explain(error, where, remedy) from error


def write_file(target: Path, content: str | bytes, remedy: Remedy = RESULTS) -> None:
    """Writes a file that appears by rename, unless it is there with these very bytes.

    Raises HostError when it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    with contextlib.suppress(OSError):
        if target.read_bytes() == data:
            return
    # Another process may write the same file, such as a report that is made twice at a time.
    unfinished = target.parent / f".{target.name}.{os.getpid()}.unfinished"
    with explained(target, remedy):
        try:
            unfinished.write_bytes(data)
            sync(unfinished)
            unfinished.rename(target)
            sync_folders(target.parent)
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink()


def sync(path: Path) -> None:
    """Puts a file's content, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folders(folder: Path) -> None:
    """Puts the names in a folder, and its own name in its parent's, on the disk."""
    for each in (folder, folder.parent):
        sync(each)


def make_unique(root: Path, stem: str) -> Path:
    """Makes a folder below `root`, numbered if there is one of that name; raises OSError."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        folder = root / (stem if number == 1 else f"{stem}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(root / stem))


@contextmanager
def exclusive(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Holds a file, which is made if need be, or a folder against other processes.

    Gives its descriptor. `on_wait` is called when another one holds it, and may raise instead of
    waiting. When the process ends, however it does, it holds nothing any more.
    """
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def digest_text(text: str) -> str:
    """Hexadecimal SHA-256 of `text` in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_files(root: Path, paths: Iterable[Path]) -> str:
    """One digest of several files: their names below `root`, execute permission and bytes."""
    parts = sorted(
        f"{path.relative_to(root)} {path.stat().st_mode & 0o100:o} {digest_file(path)}"
        for path in paths
    )
    return digest_text("\n".join(parts))
