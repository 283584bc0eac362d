"""Small file systems, to fill them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import excuses


@contextmanager
def small(folder: Path, size: str | int) -> Iterator[Path]:
    """A file system in a new folder, its size as mount(8) has it; skips the test without root."""
    if not excuses.may_mount():
        pytest.skip(excuses.NO_MOUNT)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
