"""The tools that decide what is built and measured, each with a line that tells it from others."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import HostError
from pibed.base.files import digest_file
from pibed.base.process import capture
from pibed.model.machine import Machine


@dataclass(frozen=True)
class CLibrary:
    """A C library that programs are linked with statically."""

    stated: str
    """How GNU's names itself, with its version; empty for any other."""
    digest: str
    """SHA-256 of libc.a."""

    def __str__(self) -> str:
        return ", ".join(filter(None, [self.stated, f"SHA-256 {self.digest}"]))


@dataclass(frozen=True)
class Toolchain:
    """What the host has for a machine."""

    compilers: dict[str, str]
    """Compilers and linker, by name: the line in which each states its version."""
    libc: CLibrary
    """That programs of the guest are linked with."""
    qemu: str
    """QEMU's version line."""

    @property
    def linking(self) -> dict[str, str]:
        """All that makes programs of the guest: the compilers and the C library."""
        return self.compilers | {"libc.a": str(self.libc)}

    @property
    def all(self) -> dict[str, str]:
        """Everything, as the lock has it."""
        return self.linking | {"qemu": self.qemu}


def make_variables(machine: Machine, cross_compile: str) -> dict[str, str]:
    """What make is given for Linux, BusyBox and modules; `cross_compile` is the prefix to use."""
    return {"ARCH": machine.arch, "CROSS_COMPILE": cross_compile}


def assignments(variables: Mapping[str, str]) -> list[str]:
    """Variables as words of make's command line."""
    return [f"{name}={value}" for name, value in variables.items()]


def find(machine: Machine) -> Toolchain:
    """Asks each tool; raises HostError for one that is missing, BuildError for a broken one."""
    return ask(machine.cross_compile, machine)


def ask(cross_compile: str, machine: Machine) -> Toolchain:
    """The same with another cross compiler than the machine's, whose prefix may have a folder."""
    programs = ("gcc", f"{cross_compile}gcc", f"{cross_compile}ld")
    return Toolchain(
        compilers={Path(program).name: version(program) for program in programs},
        libc=_libc(f"{cross_compile}gcc"),
        qemu=version(machine.qemu.binary),
    )


def cxx(compiler: str) -> dict[str, str]:
    """A C++ compiler, and its library, which programs are linked with statically."""
    path = Path(capture([compiler, "-print-file-name=libstdc++.a"]).strip())
    library = f"SHA-256 {digest_file(path)}" if path.is_absolute() else "none"
    return {compiler: version(compiler), "libstdc++.a": library}


def host_only(machine: Machine) -> dict[str, str]:
    """The tools that are the host's whatever compiles for the guest, as the lock has them."""
    return {"gcc": version("gcc"), "qemu": version(machine.qemu.binary)}


def version(program: str) -> str:
    """The line in which a program states its version."""
    return capture([program, "--version"]).partition("\n")[0]


def headers(compiler: str) -> list[Path]:
    """The folders in which a compiler looks for headers by itself."""
    # It says so on standard error.
    language = "c++" if compiler.endswith("++") else "c"
    ask = ["sh", "-c", 'exec "$@" 2>&1', "sh", compiler, "-E", "-v", "-x", language, "/dev/null"]
    said = capture([*ask, "-o", "/dev/null"]).partition("search starts here:\n")[2]
    folders = re.findall(r"^ (/.*)$", said.partition("End of search list")[0], re.M)
    return [Path(os.path.normpath(folder)) for folder in folders]


def _libc(compiler: str) -> CLibrary:
    path = Path(capture([compiler, "-print-file-name=libc.a"]).strip())
    # A compiler answers with the bare name when it does not have the file.
    if not path.is_absolute():
        raise HostError(f"{compiler} has no libc.a", fix="./inv setup")
    content = path.read_bytes()
    stated = re.search(rb"GNU C Library \([ -~]+\) [ -~]*version \d[.\d]*\d", content)
    return CLibrary(stated[0].decode() if stated else "", hashlib.sha256(content).hexdigest())
