"""The root file system as it is laid together: one layer over the other, each within its rules."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import BuildError, UsageError
from pibed.build.initramfs import Entry, File, Folder, Link
from pibed.build.overlay import is_folder, walk

# What a package cannot replace: without them no guest runs any command.
_KEPT = ("bin/busybox", "bin/sh", "init")


@dataclass(frozen=True)
class Staging:
    """A folder that becomes the guest's root file system."""

    root: Path

    def put(self, file: Path, place: str) -> None:
        """A program."""
        target = self.root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        target.chmod(0o755)

    def add_packages(self, tree: Path) -> list[str]:
        """What packages bring; in the place of what is there, but for what pibed needs.

        Returns the places of those files that cannot be had in the guest, since they have a space
        in their names. Raises BuildError where a folder and a file have one place.
        """
        left_out = []
        for source, place in walk(tree):
            target = self.root / place
            if any(character.isspace() for character in place):
                left_out.append(place)
            elif is_folder(source) != is_folder(target) and os.path.lexists(target):
                raise BuildError(f"a package has something else at /{place} than the guest")
            elif place not in _KEPT:
                _copy(source, target)
        return left_out

    def add_overlay(self, tree: Path, packages: Path | None, key: str) -> None:
        """The files of a user, who can replace those of packages and nothing else.

        `key` is where they were asked for. Raises UsageError for what cannot be in the guest, and
        for what is there already.
        """
        for source, place in walk(tree):
            target = self.root / place
            is_theirs = packages is not None and os.path.lexists(packages / place)
            both_folders = is_folder(source) and is_folder(target)
            can_replace = is_theirs and not is_folder(source) and not is_folder(target)
            if os.path.lexists(target) and not both_folders and not can_replace:
                raise UsageError(
                    f"{key}: {source}: /{place} is a part of every guest",
                    fix="give the file another name",
                )
            _copy(source, target)

    def entries(self) -> Iterator[Entry]:
        """All files and links, and those folders that are empty: the others come with them."""
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if path.is_symlink():
                yield Link(f"/{name}", str(path.readlink()))
            elif path.is_file():
                # Only whether it can be executed is taken over: the rest is the umask's.
                yield File(f"/{name}", name, 0o755 if path.stat().st_mode & 0o100 else 0o644)
            elif not any(path.iterdir()):
                yield Folder(f"/{name}")


def _copy(source: Path, target: Path) -> None:
    if is_folder(source):
        target.mkdir(exist_ok=True)
        return
    target.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target, follow_symlinks=False)
