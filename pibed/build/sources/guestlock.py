"""The lock of the packages that guests get: `packages.lock.yaml` beside an experiment or a suite.

It lies beside what asks for them, and not in `configs/lock.yaml`, so that a folder of one's own can
be given away with it. For each list of packages that is asked for it has the versions of all that
these need, as they were resolved together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field

from pibed.base.errors import UsageError
from pibed.base.files import Remedy, write_file
from pibed.model.builder import Source
from pibed.model.loading import Package, Record, load_file

NAME = "packages.lock.yaml"

Resolved = dict[Package, Source]
"""Packages by their names, with all that they depend on."""


class PackageSet(Record):
    """What a list of packages was resolved to."""

    architecture: Package
    """The distribution's name of the guest's architecture."""
    asked: Annotated[list[Package], Field(min_length=1)]
    """The packages that were asked for, sorted."""
    packages: Resolved


class PackagesLock(Record):
    """All lists that are locked in a folder."""

    schema_version: Literal[1]
    sets: list[PackageSet]


def load(path: Path, architecture: str, asked: Sequence[str]) -> Resolved | None:
    """What the lock has for packages; None if it does not have them, or if there is no lock.

    Raises UsageError with file, key and what was expected.
    """
    for each in _sets(path):
        if each.architecture == architecture and each.asked == sorted(asked):
            return each.packages
    return None


def write(path: Path, architecture: str, asked: Sequence[str], packages: Resolved) -> None:
    """Locks what packages were resolved to; the others of the file stay. The same gives the same
    bytes.

    Raises HostError if the file cannot be written.
    """
    new = PackageSet(architecture=architecture, asked=sorted(asked), packages=packages)
    others = [
        each
        for each in _sets(path)
        if (each.architecture, each.asked) != (new.architecture, new.asked)
    ]
    sets = sorted([*others, new], key=lambda each: (each.architecture, each.asked))
    text = yaml.safe_dump(
        {"sets": [_sorted(each) for each in sets]},
        sort_keys=False,
        default_flow_style=False,
        width=10_000,
    )
    write_file(
        path,
        "# Packages of the distribution for guests, with what they depend on, and the SHA-256 of\n"
        "# their files. Keep this file beside what asks for them; `./inv lock --experiment …\n"
        f"# --refresh` replaces it.\nschema_version: 1\n{text}",
        Remedy(full="free some space", otherwise="make the folder writable"),
    )


def differences(locked: Resolved, found: Mapping[str, Source]) -> list[str]:
    """What differs from the lock, one line each."""
    lines = []
    for name in sorted({*locked, *found}):
        then, now = locked.get(name), found.get(name)
        if then != now:
            before = "nothing" if then is None else then.version
            after = f"{name} {now.version}" if now is not None else f"no {name}"
            same = then is not None and now is not None and then.version == now.version
            lines.append(f"{after} {'with other content' if same else f'instead of {before}'}")
    return lines


def _sets(path: Path) -> list[PackageSet]:
    if not path.exists():
        return []
    try:
        return load_file(PackagesLock, path, {}).sets
    except UsageError as error:
        fix = "correct it, or remove it: a new one, of the newest versions, is made then"
        raise UsageError(error.message, fix=fix) from None


def _sorted(each: PackageSet) -> dict[str, object]:
    packages = {
        name: {"version": source.version, "files": dict(sorted(source.files.items()))}
        for name, source in sorted(each.packages.items())
    }
    return {"architecture": each.architecture, "asked": each.asked, "packages": packages}
