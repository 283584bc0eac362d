"""Files: written whole or not at all, locked against other processes, known by their digests."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pibed.base.errors import HostError


def write_file(target: Path, content: str | bytes) -> None:
    """Writes a file that appears by rename, unless it is there with these very bytes.

    Raises HostError when it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    with contextlib.suppress(OSError):
        if target.read_bytes() == data:
            return
    # Another process may write the same file, such as a report that is made twice at a time.
    unfinished = target.parent / f".{target.name}.{os.getpid()}.unfinished"
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(target)
        sync_folders(target.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise explain(error, target) from error


def explain(error: OSError, where: Path) -> HostError:
    """An error of the file system while results are written, as the user needs it."""
    fix = "name a folder that you can write to with --results"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "free some space; what was measured before is kept, in boots/*/samples.jsonl at least"
    return HostError.from_os(error, where, fix)


def sync_folders(folder: Path) -> None:
    """Puts the names in a folder, and its own name in its parent's, on the disk."""
    for each in (folder, folder.parent):
        descriptor = os.open(each, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[int]:
    """Holds a lock file, which is made if need be, against other processes; its descriptor.

    `on_wait` is called when another one holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


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
