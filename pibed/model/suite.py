"""Test suites: programs that test a module from the guest's user space, and how it is loaded.

`configs/suites/*.yaml` describe them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from pibed.model import modules
from pibed.model.loading import Name, Package, Record, RelativePath, load
from pibed.model.modules import KernelOptions, ModuleSource

MAX_COUNTERS = 32
"""As many as module/tests/lib/ktap.c takes."""


VariantParameter = Annotated[str, Field(pattern=r"^(\w+\.)?[A-Za-z_]\w*$")]


class Suite(Record):
    """Programs that print KTAP, run once for each variant of how a module is loaded."""

    schema_version: Literal[1]
    name: Name
    title: str
    module: ModuleSource | None = None
    """The module under test, short for a list of one."""
    modules: list[ModuleSource] = []
    """Loaded in this order, and unloaded in reverse; the last one is the one under test."""
    kernel: KernelOptions | None = None
    variants: Annotated[dict[Name, dict[VariantParameter, str | int]], Field(min_length=1)]
    """The parameters with which modules are loaded; every case runs with each.

    `MODULE.NAME` is one of that module, and a name alone one of the module under test.
    """
    counters: Annotated[
        list[Annotated[str, Field(pattern=r"^/\S+$")]], Field(max_length=MAX_COUNTERS)
    ] = []
    """Files of the guest with a number that must be 0 when nothing of a case is left."""
    files: RelativePath | None = None
    """Folder whose files the guest gets, each at its path from there."""
    packages: list[Package] = []
    """Packages of the distribution that the guest gets, with what they depend on."""
    programs: RelativePath
    """Folder whose C files are the programs, one each."""
    library: list[RelativePath] = []
    """Folders whose C files are compiled into every program, beside those of pibed's own library,
    unless one of them has a ktap.c in its place."""
    cflags: list[str]
    """Options for the compiler."""
    stress_s: Annotated[int, Field(ge=1, le=86_400)]
    """Guest seconds that a stress test runs, in each variant, unless `--stress` says otherwise."""
    file: SkipJsonSchema[str | None] = None
    """Its file, whose folder its paths are relative to, if it is not of the checkout's configs/;
    never in the file itself."""

    @property
    def where(self) -> str:
        """Its file, for messages."""
        return self.file or f"configs/suites/{self.name}.yaml"

    @property
    def modules_by_key(self) -> dict[str, ModuleSource]:
        """All modules in the order in which they are loaded, by their keys in the file."""
        return modules.by_key(self.module, self.modules)

    @property
    def module_list(self) -> tuple[ModuleSource, ...]:
        """All modules in the order in which they are loaded."""
        return tuple(self.modules_by_key.values())

    @property
    def under_test(self) -> ModuleSource | None:
        """The module that is not in use when a case has ended."""
        return self.module_list[-1] if self.module_list else None

    def parameters(self, variant: str, module: ModuleSource) -> dict[str, str]:
        """With what a variant loads a module."""
        own = {
            key.rpartition(".")[2]: value
            for key, value in self.variants[variant].items()
            if self._named(key) == module.name
        }
        return {name: str(value) for name, value in (module.parameters | own).items()}

    def _named(self, key: str) -> str:
        """The module whose parameter a key of a variant is."""
        return key.rpartition(".")[0] or (self.under_test.name if self.under_test else "")

    @model_validator(mode="after")
    def _parameters_have_a_module(self) -> Suite:
        names = [each.name for each in self.module_list]
        for variant, parameters in self.variants.items():
            for key in parameters:
                if self._named(key) not in names:
                    raise ValueError(
                        f"variants.{variant}.{key}: it is a parameter of no module of the suite "
                        f"({', '.join(names) or 'which has none'})"
                    )
        return self


def load_suite(name: str, overrides: Mapping[str, Any] | None = None) -> Suite:
    """Reads `configs/suites/<name>.yaml`; raises UsageError with file, key and expectation."""
    return load(Suite, "suite", name, overrides or {})
