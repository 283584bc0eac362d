"""The steps that make the root file system: BusyBox, the agent, programs, the initramfs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pibed.base import places
from pibed.base.errors import BuildError, UsageError
from pibed.base.files import digest_files
from pibed.base.process import run_logged
from pibed.build import elf, kconfig
from pibed.build.debian.bench import REPRODUCIBLE, Bench
from pibed.build.debian.loading import Loadable
from pibed.build.debian.programs import LINK, Programs, missing
from pibed.build.debian.staging import Staging
from pibed.build.initramfs import CharDevice, Entry, Folder, write_archive
from pibed.build.overlay import digest
from pibed.build.payload import AGENT_PLACE, Payload
from pibed.build.program import Program
from pibed.build.sandbox import around
from pibed.build.store import Output, Step
from pibed.model.machine import Machine
from pibed.model.modules import FOLDER, NEEDS

# Where the guest's shell looks for programs.
_PATH = ("usr/bin", "bin", "usr/sbin", "sbin")

# Where programs look for libraries.
_LIBRARIES = ("lib", "lib/*", "usr/lib", "usr/lib/*")

# Which part of the guest's memory its root file system can take: it is there twice when it is
# unpacked, and all that is measured has to have room.
_MEMORY_SHARE = 4


def busybox(bench: Bench, source: Output) -> Output:
    """BusyBox, installed, with the configuration of the machine's board folder."""
    fragment = places.checkout() / bench.machine.board_folder / "busybox.config"
    requests = kconfig.read_fragments([fragment])

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        objects = folder / "objects"
        objects.mkdir()
        base = ["make", f"O={objects}", f"-j{bench.jobs}", *bench.assignments]

        def run(*arguments: str, stdin: str | None = None) -> None:
            run_logged(
                [*base, *arguments],
                log,
                cwd=source.path,
                env=REPRODUCIBLE,
                stdin=stdin,
                on_line=on_line,
            )

        run("allnoconfig")
        kconfig.merge(objects / ".config", requests)
        # oldconfig asks for what the fragment leaves open; an empty line takes the default.
        run("oldconfig", stdin="\n" * 2000)
        kconfig.check(objects / ".config", requests)
        run("busybox")
        run(f"CONFIG_PREFIX={folder / 'root'}", "install")
        shutil.rmtree(objects)

    inputs = {
        "source": source.step.key,
        "config": "".join(f"{request}\n" for request in requests.values()),
        "variables": " ".join(bench.assignments),
        "tools": str(bench.tools.linking),
    }
    return bench.run(Step("busybox", inputs, expected_s=20), make)


def agent(bench: Bench) -> Output:
    """What runs the commands in the guest."""
    origin = places.checkout() / "buildroot" / "package" / "pibed-agent"
    files = [origin / name for name in ("agent.c", "Makefile")]

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        for path in files:
            shutil.copyfile(path, folder / path.name)
        compiler = f"CC={bench.machine.cross_compile}gcc"
        run_logged(["make", compiler, "agent"], log, cwd=folder, env=REPRODUCIBLE, on_line=on_line)

    inputs = {"files": digest_files(origin, files), "tools": str(bench.tools.linking)}
    return bench.run(Step("agent", inputs, expected_s=1), make)


@dataclass(frozen=True)
class Parts:
    """What a root file system is laid together from, beside the board's overlay."""

    kernel: Output
    busybox: Output
    agent: Output
    modules: Loadable
    programs: Programs
    packages: Output | None
    """The distribution's packages, unpacked; None where none is wanted."""


def initramfs(bench: Bench, payload: Payload, parts: Parts) -> Output:
    """The root file system.

    Raises UsageError for a program or a file that is called as one that the guest has already,
    BuildError for one that is too large for the guest.
    """
    overlay = places.checkout() / bench.machine.board_folder / "overlay"
    files = [path for path in sorted(overlay.rglob("*")) if path.is_file()]
    strip = f"{bench.machine.cross_compile}strip"
    packages = None if parts.packages is None else parts.packages.path / "root"

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        root = folder / "files"
        shutil.copytree(overlay, root)
        shutil.copytree(parts.busybox.path / "root", root, symlinks=True, dirs_exist_ok=True)
        staging = Staging(root)
        if packages is not None and (left_out := staging.add_packages(packages)):
            bench.progress.note(f"packages: left out for spaces in names: {', '.join(left_out)}")
        modules = root / FOLDER.lstrip("/")
        modules.mkdir(parents=True, exist_ok=True)
        for name, path in parts.modules.files.items():
            stripped = str(modules / f"{name}.ko")
            bench.sandbox.run(
                [strip, "--strip-debug", "-o", stripped, str(path)],
                log,
                output=modules,
                readable=[path],
                sources=path.parent,
                cwd=modules,
            )
        for name, needed in parts.modules.needs.items():
            text = "".join(f"{each}\n" for each in needed)
            (modules / f"{name}.{NEEDS}").write_text(text, encoding="ascii")
        staging.put(parts.agent.path / "agent", AGENT_PLACE)
        _require_free(root, payload, parts.programs)
        for name, file in parts.programs.files.items():
            staging.put(file, f"{payload.place}/{name}")
        if payload.files is not None:
            staging.add_overlay(payload.files, packages, f"{payload.config_file}: files")
        for program in payload.programs:
            if not isinstance(program, Program):  # which is static
                where = f"{payload.config_file}: workload: {program.name}"
                made = parts.programs.files[program.name]
                _require_runnable(root, made, bench, where)
        tool = parts.kernel.path / "usr" / "gen_init_cpio"
        entries = [*_system_entries(), *staging.entries()]
        write_archive(tool, root, entries, folder / "initramfs.cpio")
        shutil.rmtree(root)

    inputs = {
        "overlay": digest_files(overlay, files),
        "kernel": parts.kernel.step.key,
        "busybox": parts.busybox.step.key,
        "module": parts.modules.key,
        "programs": parts.programs.key,
        "agent": parts.agent.step.key,
        "place": payload.place,
        **({} if parts.packages is None else {"packages": parts.packages.step.key}),
        **({} if payload.files is None else {"files": digest(payload.files)}),
    }
    made = bench.run(Step("initramfs", inputs, expected_s=1, version=3), make)
    _require_fitting(made.path / "initramfs.cpio", bench.machine, payload)
    return made


def _require_free(root: Path, payload: Payload, programs: Programs) -> None:
    """Raises UsageError for a program that is called as one that the guest has already."""
    where = _PATH if payload.place in _PATH else (payload.place,)
    taken = {path.name for each in where for path in root.glob(f"{each}/*")}
    for name in programs.files:
        if name in taken:
            raise UsageError(
                f"{payload.config_file}: {name} is the name of a program that the guest has "
                "already",
                fix="rename the file",
            )


def _require_runnable(root: Path, program: Path, bench: Bench, where: str) -> None:
    """Raises BuildError for a program that asks for what the guest does not have."""
    first = program.read_bytes().partition(b"\n")[0].decode(errors="replace")
    if first.startswith("#!"):
        (shell, *_) = first[2:].split() or [""]
        if not os.path.lexists(root / shell.lstrip("/")):
            raise BuildError(
                f"{where}: its first line asks for {shell or 'nothing'}, which the guest does not "
                "have",
                fix="take #!/bin/sh, or ask for the package that has it: `packages: [bash]`",
            )
        return
    inside = around(bench.sandbox.kind, program)
    found = elf.read(program, bench.machine.cross_compile, inside)
    if found.interpreter is None:
        return
    libraries = {path.name for each in _LIBRARIES for path in root.glob(f"{each}/*.so*")}
    lacking = [name for name in found.needed if name not in libraries]
    if not os.path.lexists(root / found.interpreter.lstrip("/")):
        lacking.insert(0, found.interpreter)
    if lacking:
        raise BuildError(f"{where}: {missing(lacking)}", fix=LINK)


def _require_fitting(archive: Path, machine: Machine, payload: Payload) -> None:
    """Raises BuildError for an archive that leaves too little of the guest's memory."""
    mebibytes = archive.stat().st_size >> 20
    if mebibytes > machine.memory_mib // _MEMORY_SHARE:
        raise BuildError(
            f"{payload.config_file}: the guest's root file system takes {mebibytes} MiB, but it "
            f"lies in its memory of {machine.memory_mib} MiB, of which it can take "
            f"{machine.memory_mib // _MEMORY_SHARE} MiB",
            fix="ask for fewer or smaller packages and files",
        )


def _system_entries() -> list[Entry]:
    """Mount points, and the console that the kernel opens for init before /dev is mounted."""
    folders = [Folder(f"/{name}") for name in ("dev", "proc", "sys", "tmp", "run", "root")]
    return [*folders, CharDevice("/dev/console", 5, 1)]
