"""What images consist of: their components, with sources and licences."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pibed import __version__
from pibed.build.payload import Payload
from pibed.build.sources.apt import SourcePackage
from pibed.build.toolchain import CLibrary
from pibed.model.builder import Source

_LINUX_LICENCE = "GPL-2.0-only WITH Linux-syscall-note"


@dataclass(frozen=True)
class Component:
    """Something that images are made of (`target`), or that only makes them (`host`)."""

    name: str
    version: str
    licence: str
    """As its origin states it, which need not be what SPDX knows; empty if it is not known."""
    kind: Literal["target", "host"] = "target"
    files: Mapping[str, str] = field(default_factory=dict)
    """What it was made from, with SHA-256."""
    note: str = ""
    """What is special about it, such as that it is not what the builder has by itself."""
    digest: str = ""
    """Its SHA-256, if it is one file."""


def of_debian(
    linux: Source,
    busybox: Source,
    payload: Payload,
    compilers: Mapping[str, str],
    libc: CLibrary,
    packages: Mapping[str, Source],
) -> tuple[Component, ...]:
    """Of images of the builder `debian`: the packages' sources, our files, and the compilers.

    `packages` are in the guest as the distribution has built them.
    """
    names = [each.name for each in payload.own_modules]
    names += [each.name for each in payload.programs]
    return (
        Component("linux", linux.version, _LINUX_LICENCE, files=linux.files),
        # As Buildroot has it.
        Component("busybox", busybox.version, "GPL-2.0, bzip2-1.0.4", files=busybox.files),
        *(Component(name, __version__, "GPL-2.0-only") for name in names),
        # Their licences are in their files, in words of their own.
        *(Component(name, each.version, "", files=each.files) for name, each in packages.items()),
        _agent(),
        *_of_tools(compilers, libc),
    )


def of_buildroot(
    release: str,
    packages: Mapping[str, Mapping[str, str]],
    overrides: Mapping[str, str],
    archives: Sequence[SourcePackage],
    compilers: Mapping[str, str],
    libc: CLibrary,
) -> tuple[Component, ...]:
    """Of images of the builder `buildroot`: it, its packages, our files, and the compilers.

    `packages` are those of `make show-info`; `overrides` says what took the place of some of them,
    and `archives` came from the distribution.
    """
    theirs = {re.sub(r"^linux-source-.*", "linux", each.package): each.source for each in archives}
    found = []
    for name, each in packages.items():
        if name == _agent().name:
            continue  # It is no more than a part of what goes by this name here.
        version, files = each["version"], {}
        if name in theirs:
            version, files = theirs[name].version, theirs[name].files
        elif name in overrides:
            version = _last_version(overrides[name])
        found.append(
            Component(
                name,
                version,
                _LINUX_LICENCE if name == "linux" else each["licence"],
                "host" if each["kind"] == "host" else "target",
                files,
                overrides.get(name, ""),
            )
        )
    # Files of both are in the guest: /etc of the one, init of the other.
    buildroot = Component("buildroot", release, "GPL-2.0-or-later")
    return (buildroot, _agent(), *found, *_of_tools(compilers, libc))


def collect(
    archives: Sequence[SourcePackage],
    components: Sequence[Component],
    licences: Mapping[str, Path],
    folder: Path,
) -> None:
    """Lays out sources and licences as Buildroot's `make legal-info` does.

    `licences` are files by the names of what they are for.
    """
    for archive in archives:
        place = folder / "sources" / archive.package
        place.mkdir(parents=True)
        for name in archive.source.files:
            shutil.copyfile(archive.folder / name, place / name)
    for name, path in licences.items():
        place = folder / "licenses" / name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place / path.name)
    for kind, name in (("target", "manifest.csv"), ("host", "host-manifest.csv")):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerow(["PACKAGE", "VERSION", "LICENSE", "LICENSE FILES", "SOURCE ARCHIVE"])
            for each in components:
                if each.kind == kind:
                    licence = licences.get(each.name)
                    writer.writerow(
                        [
                            each.name,
                            each.version,
                            each.licence,
                            licence.name if licence else "",
                            " ".join(sorted(each.files)),
                        ]
                    )


def _agent() -> Component:
    return Component("pibed-agent", __version__, "MIT")


def _of_tools(compilers: Mapping[str, str], libc: CLibrary) -> Iterator[Component]:
    """The compilers, and the C library, which is in every program of the guest."""
    for name, line in compilers.items():
        yield Component(name, _last_version(line), "GPL-3.0-or-later", "host", note=line)
    # Of one that is not GNU's nothing is known but its digest.
    licence = "LGPL-2.1-or-later" if libc.stated else ""
    version = _last_version(libc.stated)
    yield Component("libc", version, licence, note=libc.stated, digest=libc.digest)


def _last_version(line: str) -> str:
    """The version in a program's line: what stands before may be that of a distribution."""
    numbers: list[str] = re.findall(r"\d+(?:\.\d+)+", line) or re.findall(r"\d+", line)
    return numbers[-1] if numbers else ""
