"""What pibed needs from the host: found, missing or too old, and how to put it right."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from pibed.base.errors import HostError, UsageError
from pibed.base.process import clean_environment
from pibed.model.machine import Machine


class State(StrEnum):
    """How a prerequisite was found on this host; `broken` ones cannot be run."""

    FOUND = "found"
    MISSING = "missing"
    TOO_OLD = "too old"
    BROKEN = "broken"


@dataclass(frozen=True)
class Prerequisite:
    """A program (or a file, if `probe` finds it) that the host must have.

    `minimum` is the oldest version that works, where one is known to matter; `arguments` make the
    program print its version. `package` is Debian's name of what brings it.
    """

    name: str
    package: str
    purpose: str
    minimum: str | None = None
    arguments: tuple[str, ...] = ("--version",)
    probe: tuple[str, ...] | None = None
    for_tests: bool = False
    """The checkout's own experiments are built and run without it."""
    cross: bool = False
    """Part of the distribution's cross toolchain."""


# Also for the tests of what is done with them.
_GIT = Prerequisite("git", "git", "fetches Buildroot")

# Only `./inv gdb` needs it.
GDB = Prerequisite("gdb-multiarch", "gdb-multiarch", "looks into a guest", "12.1", for_tests=True)

_CPIO = Prerequisite("cpio", "cpio", "packs Buildroot's root file system")


@dataclass(frozen=True)
class Inspection:
    """A prerequisite as it was found on this host; `version` is None where it has none."""

    prerequisite: Prerequisite
    state: State
    version: str | None


def prerequisites(machine: Machine) -> list[Prerequisite]:
    """All programs that building, running and testing need, in the order of their use."""
    cross, packages, qemu = f"{machine.cross_compile}gcc", machine.packages, machine.qemu
    return [
        Prerequisite("apt-get", "apt", "fetches the sources"),
        Prerequisite("dpkg-source", "dpkg-dev", "unpacks source packages"),
        Prerequisite("xz", "xz-utils", "unpacks the kernel"),
        Prerequisite("bzip2", "bzip2", "unpacks BusyBox", arguments=("--help",)),
        Prerequisite("make", "make", "builds", "3.82"),
        Prerequisite("gcc", "gcc", "builds the kernel's own tools", "5.1"),
        Prerequisite(
            "libc6-dev",
            "libc6-dev",
            "builds the kernel's own tools",
            probe=("gcc", "-print-file-name=libc.a"),
        ),
        Prerequisite("bison", "bison", "builds the kernel's configuration", "2.0"),
        Prerequisite("flex", "flex", "builds the kernel's configuration", "2.5.35"),
        Prerequisite("bc", "bc", "builds the kernel"),
        Prerequisite("perl", "perl", "builds the kernel"),
        Prerequisite(cross, packages.compiler, "compiles for the guest", "5.1", cross=True),
        Prerequisite(
            packages.libc,
            packages.libc,
            "compiles programs for the guest",
            probe=(cross, "-print-file-name=libc.a"),
            cross=True,
        ),
        Prerequisite(qemu.binary, packages.qemu, "emulates the board", qemu.minimum_version),
        Prerequisite("setpriv", "util-linux", "ends QEMU together with pibed"),
        Prerequisite("bwrap", "bubblewrap", "holds what others wrote", for_tests=True),
        Prerequisite("shellcheck", "shellcheck", "checks the shell scripts", for_tests=True),
        Prerequisite("sparse", "sparse", "checks the module", for_tests=True),
        Prerequisite("trace-cmd", "trace-cmd", "reads what was recorded", for_tests=True),
        *(replace(each, for_tests=True) for each in (_GIT, _CPIO)),
        GDB,
    ]


def for_cxx(machine: Machine) -> Prerequisite:
    """What compiles C++ for the guest; raises UsageError if the machine's file does not say."""
    if machine.packages.cxx_compiler is None:
        raise UsageError(
            f"configs/machines/{machine.name}.yaml: packages.cxx_compiler: missing, but the "
            "workload has C++"
        )
    name = f"{machine.cross_compile}g++"
    return Prerequisite(name, machine.packages.cxx_compiler, "compiles C++ for the guest", "5.1")


def for_buildroot(distro: bool, ccache: bool) -> list[Prerequisite]:
    """What Buildroot needs beyond `prerequisites`, and what it takes from the distribution."""
    needed = [
        _GIT,
        _CPIO,
        Prerequisite("rsync", "rsync", "copies sources and files of packages"),
        Prerequisite("file", "file", "looks into programs"),
        Prerequisite("unzip", "unzip", "unpacks sources", arguments=("-v",)),
        Prerequisite("wget", "wget", "downloads sources"),
        Prerequisite("patch", "patch", "patches sources"),
        Prerequisite("g++", "g++", "builds Buildroot's own tools"),
    ]
    if distro:
        needed += [
            Prerequisite("fakeroot", "fakeroot", "packs files as root's"),
            Prerequisite("kmod", "kmod", "lists modules"),
            Prerequisite("patchelf", "patchelf", "corrects paths in programs"),
            Prerequisite("pkgconf", "pkgconf", "finds libraries"),
        ]
        if ccache:
            needed.append(Prerequisite("ccache", "ccache", "keeps what was compiled"))
    return needed


def find(prerequisite: Prerequisite) -> Inspection:
    """Looks for a prerequisite and asks it for its version."""
    if prerequisite.probe is not None:
        # A compiler answers with the bare name when it does not have the file.
        path = _first_line(prerequisite.probe) or ""
        state = State.FOUND if Path(path).is_absolute() else State.MISSING
        return Inspection(prerequisite, state, None)
    if shutil.which(prerequisite.name) is None:
        return Inspection(prerequisite, State.MISSING, None)
    line = _first_line((prerequisite.name, *prerequisite.arguments))
    if line is None:
        return Inspection(prerequisite, State.BROKEN, None)
    version = find_version(line)
    minimum = prerequisite.minimum
    if minimum and version and _numbers(version) < _numbers(minimum):
        return Inspection(prerequisite, State.TOO_OLD, version)
    return Inspection(prerequisite, State.FOUND, version)


def require(needed: Sequence[Prerequisite], setup: str = "./inv setup") -> None:
    """Raises HostError that names everything missing; versions are left to `./inv doctor`.

    `setup` is the command that installs it.
    """
    missing = [
        each
        for each in needed
        if (find(each).state == State.MISSING if each.probe else shutil.which(each.name) is None)
    ]
    if missing:
        raise HostError(
            "missing on this host: " + ", ".join(each.name for each in missing),
            fix=f"{setup}, or: {install_command(missing)}",
        )


def qemu_version(binary: str, minimum: str) -> str:
    """QEMU's version line; raises HostError when it is missing, broken or older than `minimum`."""
    fix = "./inv setup, or set qemu.binary in the machine's configuration"
    if shutil.which(binary) is None:
        raise HostError(f"{binary} is not installed", fix=fix)
    line = _first_line((binary, "--version")) or ""
    version = find_version(line)
    if version is None:
        raise HostError(f"{binary} --version does not tell a version: {line!r}", fix=fix)
    if _numbers(version) < _numbers(minimum):
        raise HostError(f"{binary} is version {version}; {minimum} or newer is needed", fix=fix)
    return line


def install_command(missing: Sequence[Prerequisite]) -> str:
    """The one command that installs the packages of all prerequisites named."""
    packages = sorted({each.package for each in missing})
    if shutil.which("apt-get") is None:
        return "install what Debian calls " + ", ".join(packages)
    command = "apt-get update && apt-get install --yes --no-install-recommends " + " ".join(
        packages
    )
    if os.geteuid() == 0:
        return command
    if shutil.which("sudo") is None:
        return f"as root: {command}"
    return f"sudo sh -c '{command}'"


def install(
    missing: Sequence[Prerequisite], log: Path, say: Callable[[str], None] = lambda text: None
) -> None:
    """Installs packages with apt, as root or through a sudo that asks for no password.

    Raises HostError with the command to run where neither is possible, or when apt fails.
    """
    packages = sorted({each.package for each in missing})
    if shutil.which("apt-get") is None:
        raise HostError(
            "this system has no apt-get, so its packages must be installed by hand",
            fix=install_command(missing),
        )
    sudo: tuple[str, ...] = ()
    if os.geteuid() != 0:
        sudo = ("sudo", "-n")
        if (
            shutil.which("sudo") is None
            or subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode
        ):
            raise HostError("packages can only be installed by root", fix=install_command(missing))
    say(f"setup: installing {', '.join(packages)} (a minute or two; log: {log})")
    log.parent.mkdir(parents=True, exist_ok=True)
    noninteractive = ("env", "DEBIAN_FRONTEND=noninteractive")
    with log.open("w", encoding="utf-8") as file:
        for arguments in (
            ("update",),
            ("install", "--yes", "--no-install-recommends", *packages),
        ):
            status = subprocess.run(
                [
                    *sudo,
                    *noninteractive,
                    "apt-get",
                    "--quiet",
                    "--option=DPkg::Lock::Timeout=120",
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
            if status != 0:
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
                raise HostError(
                    f"apt-get {arguments[0]} ended with status {status}",
                    log=log,
                    context=lines[-10:],
                    fix="check the network and the package sources in /etc/apt",
                )


def find_version(text: str) -> str | None:
    """The first dotted number in a text."""
    match = re.search(r"\d+(\.\d+)+", text)
    return match[0] if match else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _first_line(argv: Sequence[str]) -> str | None:
    """The first line a program prints, or None if it cannot be run."""
    try:
        result = subprocess.run(
            argv,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    # The loader's and the shell's word for a program that cannot run.
    if result.returncode in (126, 127):
        return None
    return result.stdout.partition("\n")[0].strip()
