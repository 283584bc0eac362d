"""Test suites: programs that test a module from the guest's user space, and how it is loaded.

`configs/suites/*.yaml` describe them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from pibed.model.experiment import ModuleSource
from pibed.model.loading import Identifier, Name, Package, Record, RelativePath, load

MAX_COUNTERS = 32
"""As many as module/tests/lib/ktap.c takes."""


class Suite(Record):
    """Programs that print KTAP, run once for each variant of how a module is loaded."""

    schema_version: Literal[1]
    name: Name
    title: str
    module: ModuleSource
    """The module under test."""
    variants: Annotated[dict[Name, dict[Identifier, str | int]], Field(min_length=1)]
    """The parameters with which the module is loaded; every case runs with each."""
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


def load_suite(name: str, overrides: Mapping[str, Any] | None = None) -> Suite:
    """Reads `configs/suites/<name>.yaml`; raises UsageError with file, key and expectation."""
    return load(Suite, "suite", name, overrides or {})
