"""The files with the symbols, lines and types of all that runs in a guest."""

from __future__ import annotations

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
    prefix = images.variables.get("CROSS_COMPILE", "")
    own = {each.name for each in payload.own_modules}
    for path in images.modules:
        if modinfo.kernel_name(path.stem) not in own:
            continue
        said = capture([f"{prefix}readelf", "--debug-dump=info", "--dwarf-depth=1", str(path)])
        units = re.findall(r" DW_AT_name +: .*?(\S+)$", said, re.MULTILINE)
        # The kernel's build adds one of its own to each module.
        if all(each.endswith(".mod.c") for each in units):
            raise BuildError(
                f"{path.name}: its Makefile makes it without debugging information, so that gdb "
                "knows neither its lines nor its variables",
                fix="remove -g0, -s or strip from it: the guest's copy is stripped anyway",
            )


def of_images(images: Images, payload: Payload, info: DebugInfo, folder: Path) -> Symbols:
    """The symbols of images for a payload; gdb's copies of modules get into a folder."""
    prefix = images.variables.get("CROSS_COMPILE", "")
    booted = {path.name: path for path in images.programs}
    files = booted | dict(info.programs)
    programs, lacking = {}, []
    for each in payload.programs:
        path = files[each.name]
        if path.read_bytes()[:4] != b"\x7fELF":
            continue
        sections = _sections(path, prefix)
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
        programs[each.name] = program(path, booted[each.name], prefix)
    config = read_config(images.kernel_build / ".config")
    return Symbols(
        info.vmlinux,
        info.scripts,
        {
            modinfo.kernel_name(path.stem): _unplaced(path, folder, prefix)
            for path in images.modules
        },
        programs,
        [*_sources(payload), images.kernel_source],
        int(config["CONFIG_PAGE_OFFSET"], 16) - _MODULES,
        lacking,
    )


def _unplaced(module: Path, folder: Path, prefix: str) -> Path:
    """A copy of a module whose sections all have the address 0.

    Linux 6.12 gives one of them another, and gdb places only modules that have none.
    """
    copy = folder / module.name
    capture([f"{prefix}objcopy", "--change-section-vma", "*=0", str(module), str(copy)])
    return copy


def _sources(payload: Payload) -> list[Path]:
    """The folders of the user's, from which files have their names in what describes them."""
    # Those of a module that lies anywhere else begin with the name of its folder.
    outside = [each for each in payload.folders if not each.is_relative_to(payload.root)]
    return [payload.root, *(each.parent for each in outside)]


def _sections(path: Path, prefix: str) -> str:
    return capture([f"{prefix}readelf", "-SW", str(path)])


def program(file: Path, code: Path, prefix: str) -> Program:
    """A program as gdb needs to know it; `prefix` is that of binutils."""
    said = capture([f"{prefix}readelf", "-hlW", str(code)])
    segments = [
        (int(address, 16), int(length, 16), int(place, 16))
        for place, address, length in _LOAD.findall(said)
    ]
    return Program(file, code, "EXEC (Executable file)" in said, segments)
