"""What a guest gets on top of its base: a kernel module, and programs.

An experiment brings a module and its workload, a test suite a module and test programs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from pibed.base import places
from pibed.base.errors import UsageError
from pibed.build.mirror import MAKEFILES
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

    def arguments(self, root: Path) -> list[str]:
        """The sources as the compiler gets them, relative to `folder` if they are below `root`."""
        return [
            os.path.relpath(source, self.folder) if source.is_relative_to(root) else str(source)
            for source in self.sources
        ]

    def elsewhere(self, root: Path) -> list[Path]:
        """The folders of its sources that are not below `root`."""
        folders = (source.parent for source in self.sources if not source.is_relative_to(root))
        return list(dict.fromkeys(folders))


@dataclass(frozen=True)
class Payload:
    """A module and programs for a guest; `programs` are put into its folder `place`."""

    module_folder: Path
    module_name: str
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


# Where the guest finds the programs of a suite; not in PATH, since `mmap` could be anything.
TESTS_PLACE = "usr/lib/pibed/tests"
# Where it has what its init executes.
AGENT_PLACE = "usr/lib/pibed/agent"
# Of every guest; beside the images, and where these are compared, all go by their names alone.
_TAKEN = frozenset({"agent", "busybox", "kernel", "module", "initramfs"})


def of_experiment(experiment: Experiment) -> Payload:
    """The module and the workload of an experiment.

    Raises UsageError for files that the configuration names and that are not there, or that are
    called as a program is that every guest has.
    """
    root = root_of(experiment)
    config_file = experiment.where
    module = _module_folder(root, experiment.module.folder, config_file)
    source = root / experiment.workload.source
    if not source.is_file():
        raise UsageError(f"{config_file}: workload.source: there is no file {source}")
    _require_inside(source, root, f"{config_file}: workload.source")
    _require_free(source, f"{config_file}: workload.source")
    return Payload(
        module,
        experiment.module.name,
        (Program(source.stem, (source,)),),
        tuple(experiment.workload.cflags),
        "usr/bin",
        config_file,
        source.stem.replace("_", "-"),
        root,
    )


def of_suite(suite: Suite) -> Payload:
    """The module and the test programs of a suite; raises UsageError as `of_experiment` does."""
    root = root_of(suite)
    config_file = suite.where
    module = _module_folder(root, suite.module.folder, config_file)
    programs = _c_files(root, suite.programs, f"{config_file}: programs")
    for source in programs:
        _require_free(source, f"{config_file}: programs")
    shared = [
        source
        for name in suite.library
        for source in _c_files(root, name, f"{config_file}: library")
    ]
    cflags = list(suite.cflags)
    if all(path.name != "ktap.c" for path in shared):
        library = places.checkout() / "module" / "tests" / "lib"
        shared += sorted(library.glob("*.c"))
        # Its headers are found by their names, and what failed there is told by a path from there.
        cflags += [f"-I{library}", f"-ffile-prefix-map={library}/="]
    return Payload(
        module,
        suite.module.name,
        tuple(Program(source.stem, (source, *shared)) for source in programs),
        tuple(cflags),
        TESTS_PLACE,
        config_file,
        f"{suite.name}-tests",
        root,
    )


def root_of(config: Experiment | Suite) -> Path:
    """What the paths of an experiment or a suite are relative to: its own folder, or the checkout.

    Raises UsageError for a folder that is no more.
    """
    if config.file is None:
        return places.checkout()
    folder = Path(config.file).parent
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: the folder of {config.name}, with its sources, is not there any more",
            fix="put it back, or measure anew from its new place: ./inv rerun RUN --sources DIR",
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


def _module_folder(root: Path, relative: str, config_file: str) -> Path:
    folder = root / relative
    found = [folder / name for name in MAKEFILES if (folder / name).is_file()]
    if not found:
        raise UsageError(
            f"{config_file}: module.folder: there is no file {folder / MAKEFILES[0]}, nor "
            f"{MAKEFILES[1]}"
        )
    # No configuration has an absolute path: that one was given on the command line.
    if not Path(relative).is_absolute():
        _require_inside(found[0], root, f"{config_file}: module.folder")
    return folder
