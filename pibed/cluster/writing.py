"""Files of boots that come from workers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pibed.base.files import explained


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files by their paths in a folder; raises HostError if that is impossible."""
    with explained(folder):
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
