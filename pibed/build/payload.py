"""What a guest gets on top of its base: kernel modules, and programs.

An experiment brings modules and its workload, a test suite modules and test programs.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pibed.base import places
from pibed.base.errors import UsageError
from pibed.build import overlay
from pibed.build.mirror import KBUILD, OBJECTS, files_of, makefile
from pibed.build.program import AnyProgram, Program, Ready, Target
from pibed.build.sources import guestlock
from pibed.build.sources.guestpackages import Wanted
from pibed.model.experiment import Experiment
from pibed.model.suite import Suite
from pibed.model.workload import Make, Workload


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
    programs: tuple[AnyProgram, ...]
    cflags: tuple[str, ...]
    place: str
    config_file: str
    """Where all this was asked for, for messages."""
    package: str
    """What the programs are called as a package of Buildroot."""
    root: Path = field(default_factory=places.checkout)
    """What the configuration's paths are relative to; in binaries and records files go by their
    paths from there."""
    files: Path | None = None
    """Folder with files of the guest's, each at its path from there."""
    packages: Wanted | None = None
    """Packages of the distribution."""
    fragments: tuple[Path, ...] = ()
    """Of the kernel's configuration, over those of the machine."""

    @property
    def compiled(self) -> tuple[Program, ...]:
        """The programs of sources."""
        return tuple(each for each in self.programs if isinstance(each, Program))

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
    config_file = experiment.where
    programs = _workload(experiment.workload, root, f"{config_file}: workload")
    return Payload(
        _modules(root, experiment, config_file),
        programs,
        tuple(experiment.workload.cflags),
        "usr/bin",
        config_file,
        "".join(each.name.replace("_", "-") for each in programs),
        root,
        _overlay(experiment, root, config_file),
        _packages(experiment, root, config_file),
        _fragments(root, experiment, config_file),
    )


def of_suite(suite: Suite) -> Payload:
    """The modules and the test programs of a suite; raises UsageError as `of_experiment` does."""
    root = root_of(suite)
    config_file = suite.where
    programs = _c_files(root, suite.programs, f"{config_file}: programs")
    for source in programs:
        _require_free(source.stem, source, f"{config_file}: programs")
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
        _modules(root, suite, config_file),
        tuple(Program(source.stem, (source, *shared)) for source in programs),
        tuple(cflags),
        TESTS_PLACE,
        config_file,
        f"{suite.name}-tests",
        root,
        _overlay(suite, root, config_file),
        _packages(suite, root, config_file),
        _fragments(root, suite, config_file),
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


def _overlay(config: Experiment | Suite, root: Path, config_file: str) -> Path | None:
    if config.files is None:
        return None
    key = f"{config_file}: files"
    folder = root / config.files
    if not folder.is_dir():
        raise UsageError(f"{key}: there is no folder {folder}")
    _require_inside(folder, root, key)
    overlay.require(folder, key)
    return folder


def _packages(config: Experiment | Suite, root: Path, config_file: str) -> Wanted | None:
    if not config.packages:
        return None
    beside = places.checkout() / "configs" if config.file is None else root
    names = tuple(dict.fromkeys(config.packages))
    return Wanted(names, beside / guestlock.NAME, f"{config_file}: packages")


def _workload(workload: Workload, root: Path, key: str) -> tuple[AnyProgram, ...]:
    """The program of a workload; none where its command is one that the guest has anyway."""
    if sources := workload.compiled:
        key = f"{key}.{'source' if workload.source is not None else 'sources'}"
        paths = tuple(_file(source, root, key) for source in sources)
        name = paths[0].stem
        _require_free(name, paths[0], key)
        return (Program(name, paths, tuple(workload.libraries)),)
    if workload.script is not None:
        script = _file(workload.script, root, f"{key}.script")
        _require_free(script.name, script, f"{key}.script")
        _require_script(script, f"{key}.script")
        return (Ready(script.name, script, script=True),)
    if workload.program is not None:
        file = _file(workload.program, root, f"{key}.program")
        _require_free(file.name, file, f"{key}.program")
        return (Ready(file.name, file, script=False),)
    if workload.make is not None:
        return (_target(workload, workload.make, root, f"{key}.make"),)
    return ()


def _target(workload: Workload, make: Make, root: Path, key: str) -> Target:
    folder = root / make.folder
    if not any((folder / name).is_file() for name in ("GNUmakefile", "makefile", "Makefile")):
        raise UsageError(f"{key}.folder: there is no Makefile in {folder}")
    _require_inside(folder, root, f"{key}.folder")
    files_of(folder, OBJECTS, lambda path: _require_inside(path, root, f"{key}.folder"))
    name = PurePosixPath(make.program).name
    _require_free(name, folder / make.program, f"{key}.program")
    return Target(name, folder, make.target, make.program, tuple(workload.libraries))


def _file(relative: str, root: Path, key: str) -> Path:
    path = root / relative
    if not path.is_file():
        raise UsageError(f"{key}: there is no file {path}")
    _require_inside(path, root, key)
    return path


def _require_script(path: Path, key: str) -> None:
    """Raises UsageError for what the guest's kernel would not run, or not as it is meant."""
    first = path.read_bytes().partition(b"\n")[0]
    if not first.startswith(b"#!"):
        raise UsageError(
            f"{key}: {path}: its first line does not say what runs it",
            fix="begin it with `#!/bin/sh`",
        )
    if first.endswith(b"\r"):
        raise UsageError(
            f"{key}: {path}: its lines end as on Windows, which the guest's shell does not take",
            fix=f"sed -i 's/\\r$//' {shlex.quote(str(path))}",
        )


def _require_free(name: str, source: Path, key: str) -> None:
    if name in _TAKEN:
        raise UsageError(
            f"{key}: {source}: the name {name} is taken, by a part of every guest",
            fix="rename the file",
        )
    if any(character.isspace() for character in name):
        raise UsageError(
            f"{key}: {source}: a program in the guest cannot have a space in its name",
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
    if not folder.is_dir():
        raise UsageError(f"{key}: there is no folder {folder}")
    if makefile(folder) is None:
        raise UsageError(
            f"{key}: there is no file {folder / KBUILD[0]}, nor {KBUILD[1]}",
            fix="a Makefile as for a build by hand will do: obj-m := NAME.o",
        )
    # No configuration has an absolute path: that one was given on the command line.
    inside = folder if Path(relative).is_absolute() else root
    _require_inside(folder, inside, key)
    files_of(folder, check=lambda path: _require_inside(path, inside, key))
    return folder


def _fragments(root: Path, config: Experiment | Suite, config_file: str) -> tuple[Path, ...]:
    paths = [root / name for name in config.kernel.fragments] if config.kernel else []
    for path in paths:
        key = f"{config_file}: kernel.fragments"
        if not path.is_file():
            raise UsageError(f"{key}: there is no file {path}")
        _require_inside(path, root, key)
    return tuple(paths)
