"""What workers have sent, as if it had been made here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pibed.base.files import Remedy, explained
from pibed.build.images import Images
from pibed.guest import trace
from pibed.guest.console import told_in

_REMEDY = Remedy(
    full="free some space on its file system",
    otherwise="make it writable, or name another folder with --results",
)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files by their paths in a folder; raises HostError if that is impossible."""
    with explained(folder, _REMEDY):
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def last_words(console: bytes, images: Images) -> list[str]:
    """What the kernel of a guest that was lost has said, by the symbols and tools that are here.

    `console` is the log.
    """
    died, lines = told_in(console)
    return trace.excerpt(lines, images) if died else trace.blocked(lines, images)
