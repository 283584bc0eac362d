"""The distribution's cross compiler as Buildroot takes it: a folder of its own, with a sysroot.

Distributions configure their cross compilers for the sysroot `/`, where the host's own headers and
libraries are found as well, and Buildroot refuses such a compiler. A copy of its files finds what
belongs to it beside itself, and a script in the compiler's place names a sysroot with nothing but
the target's C library.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import HostError
from pibed.base.files import digest_text
from pibed.base.process import capture

UNUSED = ("lto1", "lto-dump", "cc1plus", "f951", "gnat1", "d21", "go1", "cc1obj", "cc1objplus")
"""Of a compiler's files (other languages, link-time optimisation): not needed to compile C, and
several times as large as what is."""

OTHERS = ("g++", "gfortran", "gdc", "gccgo", "gm2", "gnat")
"""Compilers of other languages, which a host may have beside that of C: Buildroot refuses a
toolchain that has one for C++ and is not said to."""

_TOOLS = ("ar", "as", "ld", "ld.bfd", "nm", "objcopy", "objdump", "ranlib", "readelf", "strip")

# What stands in the compiler's place.
SCRIPT = Path(__file__).with_name("compiler")


@dataclass(frozen=True)
class Installed:
    """Where the distribution has the parts of its cross compiler."""

    triplet: str
    programs: Path
    """Folder of `<triplet>-gcc` and the others."""
    private: Path
    """The compiler's own folder: its passes, headers and libgcc."""
    target: Path
    """The target's `include` and `lib`."""

    def files(self) -> Iterator[Path]:
        """All files that are copied."""
        programs = sorted(self.programs.glob(f"{self.triplet}-*"))
        yield from (path for path in programs if path.is_file())
        for folder in (self.private, self.target / "include", self.target / "lib"):
            yield from (path for path in sorted(folder.rglob("*")) if path.is_file())

    @property
    def digest(self) -> str:
        """Of all files."""
        return digest(self.files())


def digest(files: Iterable[Path]) -> str:
    """Of the names, sizes and times of a compiler's files, which are replaced as a whole."""
    stats = ((path, path.stat()) for path in files)
    return digest_text("\n".join(f"{path} {s.st_size} {s.st_mtime_ns}" for path, s in stats))


def find(cross_compile: str) -> Installed:
    """Looks for the parts of a compiler; raises HostError if it is not laid out as Debian's is."""
    compiler = f"{cross_compile}gcc"
    where = shutil.which(compiler)
    if where is None:
        raise HostError(f"{compiler} is not installed", fix="./inv setup")
    triplet = capture([compiler, "-dumpmachine"]).strip()
    private = Path(capture([compiler, "-print-libgcc-file-name"]).strip()).parent
    target = Path(capture([compiler, "-print-file-name=libc.a"]).strip()).resolve().parent.parent
    inside = Path("lib") / "gcc-cross" / triplet
    if not (
        private.parent.as_posix().endswith(f"/{inside}")
        and (target / "lib" / "libc.a").is_file()
        and (target / "include" / "stdio.h").is_file()
    ):
        raise HostError(
            f"{where}: it is not laid out as Debian's cross compilers are",
            fix="take another toolchain: configs/buildroot.yaml: toolchain, see docs/builders.md",
        )
    return Installed(triplet, Path(where).parent, private, target)


def write(installed: Installed, folder: Path) -> None:
    """Makes the relocated compiler in a folder, which can be moved as a whole."""
    triplet = installed.triplet
    real = folder / "real"
    (real / "bin").mkdir(parents=True)
    (folder / "bin").mkdir()
    for path in sorted(installed.programs.glob(f"{triplet}-*")):
        name = path.name.removeprefix(f"{triplet}-")
        # A link to nothing is none.
        if not path.is_file() or name.startswith((*UNUSED, *OTHERS)):
            continue
        shutil.copy2(path, real / "bin" / path.name)
        script = re.fullmatch(rf"{re.escape(triplet)}-(gcc|cpp)(-\d+)?", path.name)
        place = folder / "bin" / path.name
        if script:
            shutil.copy(SCRIPT, place)
        else:
            place.symlink_to(f"../real/bin/{path.name}")
    # The compiler looks for the assembler and the linker by their plain names here.
    (real / triplet / "bin").mkdir(parents=True)
    for tool in _TOOLS:
        (real / triplet / "bin" / tool).symlink_to(f"../../bin/{triplet}-{tool}")
    private = real / "lib" / "gcc-cross" / triplet / installed.private.name
    shutil.copytree(
        installed.private, private, symlinks=True, ignore=shutil.ignore_patterns(*UNUSED, "plugin")
    )
    sysroot = folder / "sysroot"
    shutil.copytree(installed.target / "include", sysroot / "usr" / "include", symlinks=True)
    shutil.copytree(installed.target / "lib", sysroot / "lib", symlinks=True)
    # The linker reads the paths in here relative to the sysroot.
    script_of_libc = sysroot / "lib" / "libc.so"
    text = script_of_libc.read_text(encoding="ascii")
    script_of_libc.write_text(text.replace(f"{installed.target}/lib/", "/lib/"), encoding="ascii")
