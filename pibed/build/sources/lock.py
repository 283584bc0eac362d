"""The lock: what the images are built from and what measures, pinned in `configs/lock.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from pibed.base import places
from pibed.base.errors import UsageError
from pibed.base.files import Remedy, write_file
from pibed.model.builder import Source
from pibed.model.loading import Package, Record, load_file


class Pin(Record):
    """A commit of Buildroot."""

    tag: Annotated[str, Field(pattern=r"^\d{4}\.\d\d(\.\d+)?$")]
    """Its release, such as 2025.02.16."""
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    """What the tag must stand for."""


class Lock(Record):
    """What a machine's images are built from and what measures."""

    schema_version: Literal[1]
    buildroot: Pin | None = None
    """Used by the builder `buildroot`."""
    sources: dict[Package, Source]
    """Packages by their names."""
    tools: dict[str, str]
    """Tools and the lines in which they state their versions."""


def path() -> Path:
    """Where the lock is."""
    return places.checkout() / "configs" / "lock.yaml"


def load() -> Lock | None:
    """Reads the lock; None if there is none.

    Raises UsageError with file, key and what was expected.
    """
    if not path().exists():
        return None
    try:
        return load_file(Lock, path(), {})
    except UsageError as error:
        fix = "correct it, or remove it and make a new one with `./inv lock`, see docs/lock.md"
        raise UsageError(error.message, fix=fix) from None


def write(lock: Lock) -> None:
    """Replaces the lock file: the same lock gives the same bytes."""
    text = f"""\
# yaml-language-server: $schema=lock.schema.json
#
# What the images are built from and what measures; see docs/lock.md. Written by `./inv lock`.
schema_version: 1

# Packages of the distribution, and the SHA-256 of their files.
{_dump("sources", {name: _sorted(source) for name, source in lock.sources.items()})}
{_pin(lock)}\
# The lines in which the tools state their versions; libc.a is linked into the guest's programs.
{_dump("tools", lock.tools)}"""
    write_file(path(), text, Remedy(full="free some space", otherwise="make it writable"))


def _pin(lock: Lock) -> str:
    if lock.buildroot is None:
        return ""
    words = "# What the builder `buildroot` builds with; see docs/builders.md."
    return f"{words}\n{_dump('buildroot', lock.buildroot.model_dump())}\n"


def _dump(key: str, value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(
        {key: dict(sorted(value.items()))},
        sort_keys=False,
        default_flow_style=False,
        allow_unicode=True,
        width=10_000,
    )


def _sorted(source: Source) -> dict[str, Any]:
    return {"version": source.version, "files": dict(sorted(source.files.items()))}
