"""A folder of the user's whose files a guest gets, each at its path from there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pibed.base.errors import UsageError
from pibed.base.files import digest_file, digest_text

# Where init mounts file systems, which would hide what lies there.
_MOUNTED = ("dev", "proc", "run", "sys", "tmp")


# What every guest has, whatever else is in it.
_OWN = ("init", "bin/busybox", "bin/sh", "usr/lib/pibed")


def require(tree: Path, key: str) -> list[Path]:
    """The files of a user's overlay; raises UsageError for one that no guest can have."""
    found = []
    for source, place in walk(tree):
        if any(character.isspace() or not character.isprintable() for character in place):
            raise UsageError(
                f"{key}: {source}: a path in the guest cannot have a space in it",
                fix="rename it",
            )
        if not is_folder(source) and any(
            place == own or place.startswith(f"{own}/") for own in _OWN
        ):
            raise UsageError(
                f"{key}: {source}: /{place} is a part of every guest",
                fix="give the file another name",
            )
        if place.partition("/")[0] in _MOUNTED and place not in _MOUNTED:
            raise UsageError(
                f"{key}: {source}: the guest mounts a file system over "
                f"/{place.partition('/')[0]}, which would hide it",
                fix="put it into another folder, and copy it with `workload.before`",
            )
        if source.is_symlink():
            _require_inside(source, tree, key)
        elif not source.is_dir() and not source.is_file():
            raise UsageError(f"{key}: {source}: it is neither a file nor a folder nor a link")
        if not is_folder(source):
            found.append(source)
    return found


def digest(tree: Path) -> str:
    """One digest of all: names, what can be executed, bytes, and where links lead."""
    lines = []
    for path, place in walk(tree):
        if path.is_symlink():
            lines.append(f"{place} -> {path.readlink()}")
        elif path.is_file():
            lines.append(f"{place} {path.stat().st_mode & 0o100:o} {digest_file(path)}")
        else:
            lines.append(f"{place}/")
    return digest_text("\n".join(lines))


def walk(tree: Path) -> Iterator[tuple[Path, str]]:
    """All that is in a folder, each folder before what is in it, with its place in the guest."""
    for path in sorted(tree.rglob("*")):
        yield path, path.relative_to(tree).as_posix()


def is_folder(path: Path) -> bool:
    """Whether it is one, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def _require_inside(link: Path, tree: Path, key: str) -> None:
    """Raises UsageError for a link that leads somewhere else in the guest than on the host."""
    target = link.readlink()
    if target.is_absolute():
        return
    if not Path(os.path.normpath(link.parent / target)).is_relative_to(os.path.normpath(tree)):
        raise UsageError(
            f"{key}: {link} leads out of {tree}, to {target}",
            fix="put a copy in place of the link, or let it begin with a slash: the guest's root",
        )
