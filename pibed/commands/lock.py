"""What `./inv lock` does."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pibed.base import places
from pibed.base.errors import HostError
from pibed.build import host, toolchain
from pibed.build.sources import lock, standing
from pibed.build.sources import packages as sources
from pibed.build.sources.apt import SourcePackage
from pibed.build.sources.lock import Lock
from pibed.build.sources.policy import Policy
from pibed.commands import arguments
from pibed.commands.options import LockOptions
from pibed.commands.setup import prerequisites


def write(options: LockOptions) -> None:
    """Locks what this host has for a machine, and prints what that changes.

    With `--archive` the sources are copied into that folder.
    """
    machine = arguments.machine(options.machine, None)
    policy = Policy(refresh=options.refresh)
    host.require([each for each in prerequisites(machine) if not each.for_tests])
    old = lock.load()
    archives = sources.fetch_all(machine, places.cache(), old, policy)
    new = Lock(
        schema_version=1,
        buildroot=old.buildroot if old else None,
        sources={each.package: each.source for each in archives},
        tools=toolchain.find(machine).all,
    )
    if options.archive is not None:
        _copy(archives, Path(options.archive).absolute())
    lock.write(new)
    changes = standing.changes(old, new)
    for line in changes:
        print(line)
    if new.buildroot is None:
        print("buildroot: not pinned; write its tag and commit into the file, see docs/lock.md")
    print(f"{lock.path()}: {len(changes) or 'no'} change{'' if len(changes) == 1 else 's'}")


def _copy(archives: Sequence[SourcePackage], folder: Path) -> None:
    """Copies the files of all packages beside each other into a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for archive in archives:
            for name in archive.source.files:
                shutil.copyfile(archive.folder / name, folder / name)
    except OSError as error:
        raise HostError.from_os(error, folder, "name another folder with --archive") from error
    print(f"{folder}: sources of {', '.join(archive.package for archive in archives)}")
