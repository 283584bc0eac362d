"""What is profiled, and what is read of a boot in which that was done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import GuestError, UsageError
from pibed.build.images import Images
from pibed.build.kconfig import read_config
from pibed.build.sandbox import around
from pibed.build.symbols import Address, positions
from pibed.guest.guest import Launch
from pibed.model.counts import Window
from pibed.model.protocol import Command, Result
from pibed.profile import binary, raw, symbols, tree
from pibed.profile.binary import Function
from pibed.profile.boot import FILE, ProfiledBoot
from pibed.profile.symbols import Binaries
from pibed.profile.tree import Profile

# Of the kernel's: what switches threads, and what gives a process another program
# (arch/arm/kernel/entry-armv.S and fs/exec.c of Linux).
_SWITCH, _EXEC = "__switch_to", "begin_new_exec"


@dataclass(frozen=True)
class Subject:
    """What is profiled: a boot's commands, which of them, and which phase of it or all."""

    title: str
    commands: Sequence[Command]
    index: int
    """Of the command."""
    phase: int | None


@dataclass(frozen=True)
class Recording:
    """A profile, and how the command ended."""

    profile: Profile
    result: Result


def binaries_of(images: Images, folder: Path) -> Binaries:
    """What a guest of these images can execute; its own files are copied to a folder.

    Raises BuildError for a file that cannot be read.
    """
    prefix = images.variables.get("CROSS_COMPILE", "")
    payload = {path.name for path in images.programs}
    found = symbols.of_archive(images.initramfs, folder)
    places = sorted(found, key=lambda place: (Path(place).name not in payload, place))
    return Binaries(
        binary.read(images.kernel_build / "vmlinux", prefix, "kernel"),
        [
            binary.read(path, prefix, path.stem, around(images.sandbox, path))
            for path in images.modules
        ],
        [
            binary.read(
                found[place], prefix, Path(place).name, around(images.sandbox, found[place])
            )
            for place in places
        ],
    )


def boot_of(launch: Launch, subject: Subject, binaries: Binaries) -> ProfiledBoot:
    """The boot in which a subject is profiled; raises UsageError for another kernel."""
    switch, exec_ = (_kernels(binaries, name) for name in (_SWITCH, _EXEC))
    window = Window(subject.index + 1, subject.phase, (switch.start, switch.end), exec_.start)
    return ProfiledBoot(
        *(launch.machine, launch.images, launch.clock, launch.seed),
        *(tuple(subject.commands), subject.index, window),
    )


def read(
    boot: ProfiledBoot, result: Result, subject: Subject, binaries: Binaries, folder: Path
) -> Recording:
    """Reads what a boot has left in a folder, and checks that what the functions took is all that
    was counted.

    Raises GuestError for a profile that is not whole; UsageError for a phase that the program does
    not have.
    """
    found = raw.read(folder / FILE)
    functions = symbols.functions(found, binaries)
    # By the virtual clock there is no model of what else happens.
    count = len(found.events) if boot.clock == "board" else 1
    profile = tree.grow(found, functions, subject.title, count)
    _require_all(profile, result, subject)
    return Recording(profile, result)


def _kernels(binaries: Binaries, name: str) -> Function:
    found = binaries.kernel.symbol(name)
    if found is None:
        raise UsageError(
            f"{binaries.kernel.path}: the kernel has no function {name}, by which threads are told "
            "apart in a profile"
        )
    return found


def _require_all(profile: Profile, result: Result, subject: Subject) -> None:
    """Raises an error if the functions' sum is not what was counted from begin to end."""
    assert result.counts is not None
    for event, total in zip(profile.events, profile.total, strict=True):
        try:
            counted = result.counts.of(event, subject.phase)  # type: ignore[arg-type]
        except ValueError as error:
            raise UsageError(
                f"{subject.title}: {error}",
                fix="phases are marked by the program, see module/user/phase.h"
                if subject.phase is not None
                else None,
            ) from None
        if counted != total:
            raise GuestError(f"the profile has {total} {event} of {counted} that were counted")


def lines_of(profile: Profile, binaries: Binaries, images: Images) -> dict[Function, str]:
    """`FILE:LINE` of the functions of a profile, where there is debugging information."""
    prefix = images.variables.get("CROSS_COMPILE", "")
    config = read_config(images.kernel_build / ".config")
    has_lines = [*binaries.modules, *binaries.programs]
    if config.get("CONFIG_DEBUG_INFO", "n") == "y":
        has_lines.append(binaries.kernel)
    known = {node.function for _, node in profile.root.walk() if node.function.end}
    found: dict[Function, str] = {}
    for each in has_lines:
        own = {
            Address(function.name, 0, function.end - function.start): function
            for function in sorted(known)
            if function.binary == each.name
        }
        inside = [] if each is binaries.kernel else around(images.sandbox, each.path)
        for address, chain in positions(each.path, prefix, own, inside).items():
            line = chain[-1].line
            for folder in (images.kernel_build, images.kernel_source):
                line = line.replace(f"{folder}/", "")
            found[own[address]] = os.path.normpath(line)
    return found


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """For the guest's programs while they are looked into."""
    return tempfile.TemporaryDirectory(prefix="pibed-")
