"""The files with the symbols, lines and types of all that runs in a guest."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import BuildError
from pibed.base.process import capture
from pibed.build import modinfo
from pibed.build.debian.debuginfo import DebugInfo
from pibed.build.images import Images
from pibed.build.kconfig import read_config
from pibed.build.payload import Payload
from pibed.build.sandbox import around

# On ARM modules lie in the 16 MiB below the kernel, and programs below these; see
# arch/arm/include/asm/memory.h of Linux.
_MODULES = 16 << 20

_LOAD = re.compile(
    r"^ +LOAD +(0x[0-9a-f]+) (0x[0-9a-f]+) 0x[0-9a-f]+ (0x[0-9a-f]+) 0x[0-9a-f]+ .*E", re.MULTILINE
)


@dataclass(frozen=True)
class Program:
    """A program of the guest's; `segments` are address, length and place in `code` of its code."""

    file: Path
    """With what describes it."""
    code: Path
    """That the guest has."""
    fixed: bool
    """Whether it is executed at the addresses that it was linked for."""
    segments: Sequence[tuple[int, int, int]]


@dataclass(frozen=True)
class Symbols:
    """What gdb reads for a guest."""

    vmlinux: Path
    scripts: Path
    """The kernel's own, to be sourced."""
    modules: Mapping[str, Path]
    programs: Mapping[str, Program]
    sources: Sequence[Path]
    """Folders from which source files have their names."""
    user_end: int
    """Address at which the kernel and its modules begin."""
    lacking: Sequence[str]
    """What has no debugging information, in words."""


def require_described(images: Images, payload: Payload) -> None:
    """Raises BuildError for a module of the user's without debugging information."""
    own = {each.name for each in payload.own_modules}
    for path in images.modules:
        if modinfo.kernel_name(path.stem) not in own:
            continue
        said = _readelf(images, ["--debug-dump=info", "--dwarf-depth=1"], path)
        units = re.findall(r" DW_AT_name +: .*?(\S+)$", said, re.MULTILINE)
        # The kernel's build adds one of its own to each module.
        if all(each.endswith(".mod.c") for each in units):
            raise BuildError(
                f"{path.name}: its Makefile makes it without debugging information, so that gdb "
                "knows neither its lines nor its variables",
                fix="remove -g0, -s or strip from it: the guest's copy is stripped anyway",
            )


def of_images(images: Images, payload: Payload, info: DebugInfo) -> Symbols:
    """The symbols of images for a payload."""
    booted = {path.name: path for path in images.programs}
    files = booted | dict(info.programs)
    programs, lacking = {}, []
    for each in payload.programs:
        path = files[each.name]
        if path.read_bytes()[:4] != b"\x7fELF":
            continue
        sections = _readelf(images, ["-SW"], path)
        if ".symtab" not in sections:
            lacking.append(
                f"{path}: stripped: gdb knows none of its functions; link it without -s, and do "
                "not strip it"
            )
        elif ".debug_info" not in sections:
            lacking.append(
                f"{path}: gdb knows its functions, but not its lines and variables; "
                "compile it with -g"
            )
        programs[each.name] = program(images, path, booted[each.name])
    for path in (*info.modules.values(), *(each.file for each in programs.values())):
        _touch(path)
    config = read_config(images.kernel_build / ".config")
    return Symbols(
        info.vmlinux,
        info.scripts,
        info.modules,
        programs,
        [*_sources(payload), images.kernel_source],
        int(config["CONFIG_PAGE_OFFSET"], 16) - _MODULES,
        lacking,
    )


def _touch(path: Path) -> None:
    """Makes a file newer than its sources, which gdb warns of otherwise.

    They are what it was made of: that is known by content. Their dates are those of a checkout.
    """
    with contextlib.suppress(OSError):  # another user's
        os.utime(path)


def _sources(payload: Payload) -> list[Path]:
    """The folders of the user's, from which files have their names in what describes them."""
    # Those of a module that lies anywhere else begin with the name of its folder.
    outside = [each for each in payload.folders if not each.is_relative_to(payload.root)]
    return [payload.root, *(each.parent for each in outside)]


def _readelf(images: Images, options: Sequence[str], path: Path) -> str:
    prefix = images.variables.get("CROSS_COMPILE", "")
    return capture([f"{prefix}readelf", *options, str(path)], inside=around(images.sandbox, path))


def program(images: Images, file: Path, code: Path) -> Program:
    """A program of images as gdb needs to know it."""
    said = _readelf(images, ["-hlW"], code)
    segments = [
        (int(address, 16), int(length, 16), int(place, 16))
        for place, address, length in _LOAD.findall(said)
    ]
    return Program(file, code, "EXEC (Executable file)" in said, segments)
