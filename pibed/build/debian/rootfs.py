"""The steps that make the root file system: BusyBox, the agent, programs, the initramfs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pibed.base import places
from pibed.base.errors import BuildError, UsageError
from pibed.base.files import digest_files
from pibed.base.process import run_logged
from pibed.build import kconfig, reads, toolchain
from pibed.build.debian.bench import REPRODUCIBLE, Bench
from pibed.build.diagnostics import explained
from pibed.build.initramfs import CharDevice, Entry, File, Folder, Link, write_archive
from pibed.build.payload import AGENT_PLACE, Payload
from pibed.build.sandbox import Sandbox
from pibed.build.store import Output, Step


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


def programs(bench: Bench, payload: Payload) -> Output:
    """The payload's programs; raises BuildError with what the compiler says of one."""
    flags = ["-Wall", "-Wextra", "-static", *payload.cflags]
    # Asked each time: a header that is new can come before the one that was found before.
    files = read_by_compiler(bench.sandbox, bench.compiler, flags, payload)
    read = reads.digests(files, payload.root)

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        began_ns = time.time_ns()
        for program in payload.programs:
            target = str(folder / program.name)
            # Compiled by names relative to their folder, so that no path of the host gets in.
            argv = [bench.compiler, *flags, "-o", target, *program.arguments(payload.root)]
            with _explained(f"the program {program.name}", program.folder):
                bench.sandbox.run(
                    argv,
                    log,
                    output=folder,
                    readable=program.elsewhere(payload.root),
                    sources=payload.root,
                    cwd=program.folder,
                    on_line=on_line,
                )
        reads.require_older(read, payload.root, began_ns)

    inputs = {
        "read": reads.digest(read),
        "programs": json.dumps(
            [[each.name, *each.arguments(payload.root)] for each in payload.programs]
        ),
        "cflags": " ".join(payload.cflags),
        "tools": str(bench.tools.linking),
    }
    step = Step("programs", inputs, expected_s=len(payload.programs), version=2)
    output = bench.run(step, make)
    known = toolchain.headers(bench.compiler)
    own = [file for file in files if not any(map(file.is_relative_to, known))]
    return replace(output, read=reads.digests(own, payload.root))


def read_by_compiler(
    sandbox: Sandbox, compiler: str, flags: Sequence[str], payload: Payload
) -> set[Path]:
    """All files that go into the payload's programs as they are now, but for those that the linker
    knows itself.

    The compiler gets those below the payload's root by relative paths. Raises BuildError for one
    that is not there.
    """
    files: set[Path] = set()
    programs = payload.programs
    for folder in {program.folder for program in programs}:
        here = [program for program in programs if program.folder == folder]
        files |= reads.linked(flags, folder)
        arguments = dict.fromkeys(
            source for each in here for source in each.arguments(payload.root)
        )
        what = f"the program {here[0].name}" if len(here) == 1 else "a program"
        with _explained(what, folder):
            argv = [compiler, "-M", *flags, *arguments]
            rules = sandbox.capture(
                argv,
                readable=[path for each in here for path in each.elsewhere(payload.root)],
                sources=payload.root,
                cwd=folder,
            )
        files |= {reads.actual(path, folder) for path in reads.prerequisites(rules)}
    return files


@contextmanager
def _explained(what: str, folder: Path) -> Iterator[None]:
    """Makes errors of a compiler that runs in a folder those of the user's files."""

    def locate(path: str) -> Path | None:
        return reads.actual(path, folder) if (folder / path).is_file() else None

    try:
        yield
    except BuildError as error:
        raise explained(error, what, locate) from None


def initramfs(
    bench: Bench,
    payload: Payload,
    kernel: Output,
    busybox: Output,
    module: Output,
    programs: Output,
    agent: Output,
) -> Output:
    """The root file system: the board's overlay, BusyBox, the agent, the module and the programs.

    Raises UsageError for a program that is called as one of BusyBox.
    """
    overlay = places.checkout() / bench.machine.board_folder / "overlay"
    files = [path for path in sorted(overlay.rglob("*")) if path.is_file()]
    strip = f"{bench.machine.cross_compile}strip"

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        staging = folder / "files"
        shutil.copytree(overlay, staging)
        shutil.copytree(busybox.path / "root", staging, symlinks=True, dirs_exist_ok=True)
        (staging / "lib" / "modules").mkdir(parents=True)
        name = f"{payload.module_name}.ko"
        stripped = str(staging / "lib" / "modules" / name)
        run_logged([strip, "--strip-debug", "-o", stripped, str(module.path / name)], log)
        (staging / AGENT_PLACE).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(agent.path / "agent", staging / AGENT_PLACE)
        place = staging / payload.place
        place.mkdir(parents=True, exist_ok=True)
        for program in payload.programs:
            if (place / program.name).is_symlink():
                raise UsageError(
                    f"{payload.config_file}: {program.name} is the name of a program that the "
                    "guest has already"
                )
            shutil.copy(programs.path / program.name, place)
        entries = [*_system_entries(), *_staged_entries(staging)]
        tool = kernel.path / "usr" / "gen_init_cpio"
        write_archive(tool, staging, entries, folder / "initramfs.cpio")
        shutil.rmtree(staging)

    inputs = {
        "overlay": digest_files(overlay, files),
        "kernel": kernel.step.key,
        "busybox": busybox.step.key,
        "module": module.step.key,
        "programs": programs.step.key,
        "agent": agent.step.key,
        "place": payload.place,
    }
    return bench.run(Step("initramfs", inputs, expected_s=1, version=3), make)


def _system_entries() -> list[Entry]:
    """Mount points, and the console that the kernel opens for init before /dev is mounted."""
    folders = [Folder(f"/{name}") for name in ("dev", "proc", "sys", "tmp", "run", "root")]
    return [*folders, CharDevice("/dev/console", 5, 1)]


def _staged_entries(staging: Path) -> Iterator[Entry]:
    for path in sorted(staging.rglob("*")):
        name = path.relative_to(staging).as_posix()
        if path.is_symlink():
            yield Link(f"/{name}", str(path.readlink()))
        elif path.is_file():
            # Only whether it can be executed is taken over: the rest is the umask's.
            yield File(f"/{name}", name, 0o755 if path.stat().st_mode & 0o100 else 0o644)
