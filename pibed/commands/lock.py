"""What `./inv lock` does."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pibed.base import places
from pibed.base.errors import HostError, UsageError
from pibed.build import host, payload, toolchain
from pibed.build.sources import guestlock, guestpackages, lock, standing
from pibed.build.sources import packages as sources
from pibed.build.sources.apt import SourcePackage
from pibed.build.sources.lock import Lock
from pibed.build.sources.policy import Policy
from pibed.commands import arguments
from pibed.commands.options import LockOptions
from pibed.commands.setup import prerequisites
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine


def write(options: LockOptions) -> None:
    """Locks what this host has for a machine, and prints what that changes.

    With `--archive` the sources are copied into that folder.
    """
    machine = arguments.machine(options.machine, None)
    if options.experiment is not None:
        _write_packages(machine, arguments.experiment(options.experiment), options)
        return
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
    print(f"{lock.path()}: {_number(changes)}")


def _write_packages(machine: Machine, experiment: Experiment, options: LockOptions) -> None:
    """Locks the packages that an experiment's guest gets."""
    wanted = payload.of_experiment(experiment).packages
    if wanted is None:
        raise UsageError(f"{experiment.where}: packages: it asks for none, so nothing is locked")
    architecture = guestpackages.architecture(machine)
    old = guestlock.load(wanted.lock, architecture, wanted.names)
    found = guestpackages.fetch(
        wanted, architecture, places.cache(), Policy(refresh=options.refresh)
    )
    if options.archive is not None:
        _copy_files(found.files, Path(options.archive).absolute())
    if found.lack:
        print(found.lack, file=sys.stderr)
    guestlock.write(wanted.lock, architecture, wanted.names, found.packages)
    changes = guestlock.differences(old or {}, found.packages)
    for line in changes:
        print(line)
    print(f"{wanted.lock}: {_number(changes)}")


def _number(changes: Sequence[str]) -> str:
    return f"{len(changes) or 'no'} change{'' if len(changes) == 1 else 's'}"


def _copy(archives: Sequence[SourcePackage], folder: Path) -> None:
    """Copies the files of all packages beside each other into a folder."""
    _copy_files([each.folder / name for each in archives for name in each.source.files], folder)
    print(f"{folder}: sources of {', '.join(archive.package for archive in archives)}")


def _copy_files(files: Sequence[Path], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in files:
            shutil.copyfile(path, folder / path.name)
    except OSError as error:
        raise HostError.from_os(error, folder, "name another folder with --archive") from error
