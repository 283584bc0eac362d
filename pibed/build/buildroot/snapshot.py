"""What Buildroot takes from the checkout, copied first: somebody may edit there during a build.

All that a build with Buildroot reads of the checkout, and every digest of it, is of this copy.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pibed.base import places
from pibed.base.files import digest_files
from pibed.build.buildroot import recipe
from pibed.build.store import explain


@dataclass(frozen=True)
class Snapshot:
    """A copy of the folders of the checkout that the external tree refers to, below `root`."""

    root: Path

    @property
    def external(self) -> Path:
        """The external tree."""
        return self.root / "buildroot"

    @cached_property
    def packages(self) -> list[str]:
        """Names of the external tree's packages."""
        return sorted(path.name for path in (self.external / "package").iterdir())

    def digest(self, folder: str, without: str | None = None) -> str:
        """Of all files below a folder, but for those of its subfolder `without`."""
        top = self.root / folder
        files = [
            path
            for path in top.rglob("*")
            if path.is_file() and path.relative_to(top).parts[0] != without
        ]
        return digest_files(top, files)

    def move(self, target: Path) -> None:
        """Puts the files at `target`, in the place of what is there; not here any more then."""
        shutil.rmtree(target, ignore_errors=True)
        self.root.rename(target)


def _dangling(folder: str, names: list[str]) -> list[str]:
    """Links to nothing, as an editor's lock is one."""
    paths = (Path(folder) / name for name in names)
    return [path.name for path in paths if path.is_symlink() and not path.exists()]


@contextmanager
def taken(folder: Path) -> Iterator[Snapshot]:
    """A snapshot below `folder`, removed at the end unless it was moved.

    Raises HostError for what cannot be copied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="snapshot-", dir=folder) as name:
        root = Path(name) / "tree"
        packages = (places.checkout() / "buildroot" / "package").iterdir()
        sites = {Path(recipe.site(places.checkout(), path.name)).parts[0] for path in packages}
        try:
            for each in sorted({"buildroot", "kernel", *sites}):
                shutil.copytree(places.checkout() / each, root / each, ignore=_dangling)
        except shutil.Error as error:
            raise explain(error, folder) from error
        for path in root.rglob("*"):
            # Whether something is built anew is decided by content, not by times.
            os.utime(path, (0, 0))
        yield Snapshot(root)
