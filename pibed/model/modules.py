"""The kernel modules of an experiment or a suite, and the guest's commands that load them.

One with a folder is the user's own. One without is of the kernel's own tree; what it depends on is
loaded with it, in the order that the build has written into a file beside it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field

from pibed.model.loading import Record, RelativePath

FOLDER = "/lib/modules"
"""Where the guest has the modules."""

NEEDS = "needs"
"""Ending of the file beside a module of the kernel's tree that names what is loaded before it."""


def _without_dash(name: object) -> object:
    if isinstance(name, str) and "-" in name:
        raise ValueError(f"expected the kernel's name, {name.replace('-', '_')}, not {name!r}")
    return name


ModuleName = Annotated[str, Field(pattern=r"^\w+$", max_length=55), BeforeValidator(_without_dash)]
"""As the kernel has it: what is a dash in a file's name is an underscore there."""

ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]


class ModuleSource(Record):
    """A kernel module: where it comes from, and how it is loaded."""

    folder: RelativePath | None = None
    """Folder with its Kbuild file or Makefile; without, it is a module of the kernel's tree."""
    name: ModuleName
    """Name of the module, without `.ko`."""
    parameters: dict[ParameterName, str | int] = {}
    """Given to insmod."""


class Module(ModuleSource):
    """A module of an experiment; `{name}` in a parameter stands for one of the experiment's."""

    timeout_s: Annotated[float, Field(gt=0)] = 20
    """Guest seconds after which loading (and unloading) it is given up."""


class KernelOptions(Record):
    """What an experiment or a suite asks of the kernel, beside what the machine does."""

    fragments: Annotated[list[RelativePath], Field(min_length=1)]
    """Files with lines of a kernel configuration, in order, over those of the machine."""


_M = TypeVar("_M", bound=ModuleSource)


def by_key(module: _M | None, modules: Sequence[_M]) -> dict[str, _M]:
    """All modules in the order in which they are loaded, by their keys in the file.

    Raises ValueError if both forms were given, or one module twice.
    """
    if module is not None and modules:
        raise ValueError("modules: give either module or modules: the one is short for a list")
    found = {f"modules.{number}": each for number, each in enumerate(modules)}
    if module is not None:
        found = {"module": module}
    keys: dict[str, str] = {}
    for key, each in found.items():
        if (other := keys.setdefault(each.name, key)) != key:
            raise ValueError(f"{key}.name: {each.name} is loaded by {other} already")
    return found


def load(module: ModuleSource, parameters: Mapping[str, str]) -> str:
    """The guest's command that loads a module with parameters."""
    settings = [f"{name}={shlex.quote(value)}" for name, value in parameters.items()]
    command = " ".join([f"insmod {FOLDER}/{module.name}.ko", *settings])
    if module.folder is not None:
        return command
    before = f'grep -q "^$m " /proc/modules || insmod {FOLDER}/$m.ko || exit'
    needs = f"{FOLDER}/{module.name}.{NEEDS}"
    return f"( while read -r m; do {before}; done <{needs} ) && {command}"


def unload(modules: Sequence[ModuleSource]) -> str:
    """The guest's command that unloads modules, the last one first."""
    return " && ".join(f"rmmod {each.name}" for each in reversed(modules))


def unload_loaded(modules: Sequence[ModuleSource]) -> str:
    """The same for those that are loaded."""
    return " && ".join(
        f"{{ ! grep -q '^{each.name} ' /proc/modules || rmmod {each.name}; }}"
        for each in reversed(modules)
    )
