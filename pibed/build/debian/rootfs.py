"""The steps that make the root file system: BusyBox, the agent, programs, the initramfs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pibed.base import places
from pibed.base.errors import UsageError
from pibed.base.files import digest_files
from pibed.base.process import run_logged
from pibed.build import kconfig
from pibed.build.debian.bench import REPRODUCIBLE, Bench
from pibed.build.debian.programs import Programs
from pibed.build.initramfs import CharDevice, Entry, File, Folder, Link, write_archive
from pibed.build.payload import AGENT_PLACE, Payload
from pibed.build.store import Output, Step

# Where the guest's shell looks for programs.
_PATH = ("usr/bin", "bin", "usr/sbin", "sbin")


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


def initramfs(
    bench: Bench,
    payload: Payload,
    kernel: Output,
    busybox: Output,
    module: Output,
    programs: Programs,
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
        module_file = f"{payload.module_name}.ko"
        stripped = str(staging / "lib" / "modules" / module_file)
        run_logged([strip, "--strip-debug", "-o", stripped, str(module.path / module_file)], log)
        (staging / AGENT_PLACE).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(agent.path / "agent", staging / AGENT_PLACE)
        place = staging / payload.place
        place.mkdir(parents=True, exist_ok=True)
        where = _PATH if payload.place in _PATH else (payload.place,)
        taken = {path.name for each in where for path in staging.glob(f"{each}/*")}
        for name, file in programs.files.items():
            if name in taken:
                raise UsageError(
                    f"{payload.config_file}: {name} is the name of a program that the guest has "
                    "already",
                    fix="rename the file",
                )
            shutil.copyfile(file, place / name)
            (place / name).chmod(0o755)
        entries = [*_system_entries(), *_staged_entries(staging)]
        tool = kernel.path / "usr" / "gen_init_cpio"
        write_archive(tool, staging, entries, folder / "initramfs.cpio")
        shutil.rmtree(staging)

    inputs = {
        "overlay": digest_files(overlay, files),
        "kernel": kernel.step.key,
        "busybox": busybox.step.key,
        "module": module.step.key,
        "programs": programs.key,
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
