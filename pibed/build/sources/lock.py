"""The lock: what the images are built from and what measures, pinned in `configs/lock.yaml`.

A build compares what it has with the lock. By default it goes on and says what differs, so that
every result can be marked with it; `--locked` refuses instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from pibed.base import places
from pibed.base.errors import HostError, UsageError
from pibed.base.files import Remedy, digest_file, write_file
from pibed.model.builder import Source, Standing
from pibed.model.loading import Record, load_file

Package = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$")]


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


@dataclass(frozen=True)
class Policy:
    """What the command line says about sources and the lock."""

    locked: bool = False
    """Refuse whatever differs from the lock."""
    refresh: bool = False
    """Ask the distribution for the newest sources."""
    mirror: Path | None = None
    """Folder with the locked files, taken from there instead of the network."""


DEFAULT_POLICY = Policy()


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


def compare(lock: Lock | None, sources: Mapping[str, Source], tools: Mapping[str, str]) -> Standing:
    """Compares what a build has with the lock; what the lock names beyond that does not matter."""
    if lock is None:
        return Standing(None, (f"there is no configs/{path().name}",))
    return Standing(digest_file(path()), tuple(differences(lock, sources, tools)))


def differences(lock: Lock, sources: Mapping[str, Source], tools: Mapping[str, str]) -> list[str]:
    """What differs from the lock, one line each: `busybox 1:1.35.0-5 instead of 1:1.35.0-4`."""
    lines = []
    for package, source in sorted(sources.items()):
        locked = lock.sources.get(package)
        if locked is None:
            lines.append(f"{package} {source.version} instead of nothing")
        elif source.version != locked.version:
            lines.append(f"{package} {source.version} instead of {locked.version}")
        elif source.files != locked.files:
            names = sorted({name for name, _ in source.files.items() ^ locked.files.items()})
            lines.append(f"{package} {source.version} with other content: {', '.join(names)}")
    for tool, line in sorted(tools.items()):
        if (known := lock.tools.get(tool)) != line:
            lines.append(f"{tool}: {line} instead of {known or 'nothing'}")
    return lines


def changes(old: Lock | None, new: Lock) -> list[str]:
    """What a new lock changes, one line each."""
    old = old or Lock(schema_version=1, sources={}, tools={})
    return [
        *differences(old, new.sources, new.tools),
        *(
            f"nothing instead of {name} {source.version}"
            for name, source in sorted(old.sources.items())
            if name not in new.sources
        ),
        *(
            f"{name}: nothing instead of {line}"
            for name, line in sorted(old.tools.items())
            if name not in new.tools
        ),
    ]


def refuse(differs: Sequence[str]) -> None:
    """Raises HostError that names every difference, if there are any."""
    if differs:
        raise HostError(
            "\n".join(["what is here differs from the lock:", *(f"  {each}" for each in differs)]),
            fix="install the locked tools, take locked sources from a --mirror (docs/lock.md), "
            "accept what is here with `./inv lock`, or leave --locked away: results are marked",
        )
