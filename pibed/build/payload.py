"""What a guest gets on top of its base: kernel modules, and programs.

An experiment brings modules and its workload, a test suite modules and test programs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from pibed.base import places
from pibed.base.errors import UsageError
from pibed.build.mirror import files_below, makefile
from pibed.model.experiment import Experiment
from pibed.model.suite import Suite


@dataclass(frozen=True)
class Program:
    """A C program, linked statically; `sources` in the order in which the compiler gets them."""

    name: str
    sources: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """Where the compiler runs, so that it meets names that are the same on every host."""
        return self.sources[0].parent

    def arguments(self) -> list[str]:
        """The sources as the compiler gets them, relative to `folder`."""
        return [os.path.relpath(source, self.folder) for source in self.sources]


@dataclass(frozen=True)
class Module:
    """A module of the user's, in a folder, or of the kernel's own tree, without one."""

    name: str
    folder: Path | None
    key: str = "module"
    """Where it was asked for, in the configuration's file."""


@dataclass(frozen=True)
class Payload:
    """Modules and programs for a guest; `programs` are put into its folder `place`."""

    modules: tuple[Module, ...]
    """In the order in which they are loaded."""
    programs: tuple[Program, ...]
    cflags: tuple[str, ...]
    place: str
    config_file: str
    """Where all this was asked for, for messages."""
    package: str
    """What the programs are called as a package of Buildroot."""
    root: Path = field(default_factory=places.checkout)
    """What the configuration's paths are relative to; in binaries and records files go by their
    paths from there."""
    fragments: tuple[Path, ...] = ()
    """Of the kernel's configuration, over those of the machine."""

    @property
    def folders(self) -> dict[Path, list[Module]]:
        """The user's modules by their folders."""
        found: dict[Path, list[Module]] = {}
        for each in self.modules:
            if each.folder is not None:
                found.setdefault(each.folder, []).append(each)
        return found

    @property
    def own_modules(self) -> tuple[Module, ...]:
        """The user's modules."""
        return tuple(each for each in self.modules if each.folder is not None)

    @property
    def tree_modules(self) -> tuple[Module, ...]:
        """Those of the kernel's own tree."""
        return tuple(each for each in self.modules if each.folder is None)


# Where the guest finds the programs of a suite; not in PATH, since `mmap` could be anything.
TESTS_PLACE = "usr/lib/pibed/tests"
# Where it has what its init executes.
AGENT_PLACE = "usr/lib/pibed/agent"
# Of every guest; beside the images, and where these are compared, all go by their names alone.
_TAKEN = frozenset({"agent", "busybox", "kernel", "module", "initramfs"})


def of_experiment(experiment: Experiment) -> Payload:
    """The modules and the workload of an experiment.

    Raises UsageError for files that the configuration names and that are not there, or that are
    called as a program is that every guest has.
    """
    root = root_of(experiment)
    config_file = f"configs/experiments/{experiment.name}.yaml"
    if experiment.folder is not None:
        config_file = f"the experiment {experiment.name} of {root}"
    source = root / experiment.workload.source
    if not source.is_file():
        raise UsageError(f"{config_file}: workload.source: there is no file {source}")
    _require_inside(source, root, f"{config_file}: workload.source")
    _require_free(source, f"{config_file}: workload.source")
    return Payload(
        _modules(root, experiment, config_file),
        (Program(source.stem, (source,)),),
        tuple(experiment.workload.cflags),
        "usr/bin",
        config_file,
        source.stem.replace("_", "-"),
        root,
        _fragments(root, experiment, config_file),
    )


def of_suite(suite: Suite) -> Payload:
    """The modules and the test programs of a suite; raises UsageError as `of_experiment` does."""
    root = root_of(suite)
    config_file = f"configs/suites/{suite.name}.yaml"
    if suite.folder is not None:
        config_file = f"the suite {suite.name} of {root}"
    programs = _c_files(root, suite.programs, f"{config_file}: programs")
    for source in programs:
        _require_free(source, f"{config_file}: programs")
    shared = [
        source
        for name in suite.library
        for source in _c_files(root, name, f"{config_file}: library")
    ]
    return Payload(
        _modules(root, suite, config_file),
        tuple(Program(source.stem, (source, *shared)) for source in programs),
        tuple(suite.cflags),
        TESTS_PLACE,
        config_file,
        f"{suite.name}-tests",
        root,
        _fragments(root, suite, config_file),
    )


def root_of(config: Experiment | Suite) -> Path:
    """What the paths of an experiment or a suite are relative to: its own folder, or the checkout.

    Raises UsageError for a folder that is no more.
    """
    if config.folder is None:
        return places.checkout()
    folder = Path(config.folder)
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: the folder of {config.name}, with its sources, is not there any more",
            fix="put the folder back where it was",
        )
    return folder


def _c_files(root: Path, relative: str, key: str) -> list[Path]:
    folder = root / relative
    if not (found := sorted(folder.glob("*.c"))):
        raise UsageError(f"{key}: there is no C file in {folder}")
    for path in found:
        _require_inside(path, root, key)
    return found


def _require_free(source: Path, key: str) -> None:
    if source.stem in _TAKEN:
        raise UsageError(
            f"{key}: {source}: the name {source.stem} is taken, by a part of every guest",
            fix="rename the file",
        )


def _require_inside(path: Path, root: Path, key: str) -> None:
    if not path.resolve().is_relative_to(root.resolve()):
        raise UsageError(
            f"{key}: {path} leads out of {root}, to {path.resolve()}",
            fix="put a copy in place of the link",
        )


def _modules(root: Path, config: Experiment | Suite, config_file: str) -> tuple[Module, ...]:
    found = []
    for key, each in config.modules_by_key.items():
        folder = None
        if each.folder is not None:
            folder = _module_folder(root, each.folder, f"{config_file}: {key}.folder")
        found.append(Module(each.name, folder, key))
    return tuple(found)


def _module_folder(root: Path, relative: str, key: str) -> Path:
    folder = root / relative
    if makefile(folder) is None:
        what = "is neither a Kbuild file nor a Makefile in" if folder.is_dir() else "is no folder"
        raise UsageError(f"{key}: there {what} {folder}")
    _require_inside(folder, root, key)
    files_below(folder, lambda path: _require_inside(path, root, key))
    return folder


def _fragments(root: Path, config: Experiment | Suite, config_file: str) -> tuple[Path, ...]:
    paths = [root / name for name in config.kernel.fragments] if config.kernel else []
    for path in paths:
        key = f"{config_file}: kernel.fragments"
        if not path.is_file():
            raise UsageError(f"{key}: there is no file {path}")
        _require_inside(path, root, key)
    return tuple(paths)
