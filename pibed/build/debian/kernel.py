"""The steps that make the kernel, the board's device tree, and a module for that kernel."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pibed.base import places
from pibed.base.errors import BuildError, UsageError
from pibed.base.files import digest_files, digest_text
from pibed.base.process import run_logged
from pibed.build import kconfig, reads, toolchain
from pibed.build.debian.bench import REPRODUCIBLE, Bench
from pibed.build.diagnostics import explained
from pibed.build.making import cores
from pibed.build.mirror import READ_BY_MAKE, mirrored, named, read_by_kbuild, sources
from pibed.build.payload import Payload
from pibed.build.reads import Read
from pibed.build.store import Output, Step
from pibed.model.machine import Machine


def kernel(bench: Bench, source: Output) -> Output:
    """The kernel with the machine's fragments, its device trees, and what modules are built with.

    Raises UsageError for a fragment or a device tree that is not there, BuildError for a line of a
    fragment that does not survive.
    """
    machine = bench.machine
    fragments = [
        places.checkout() / "kernel" / "fragments" / f"{name}.config"
        for name in machine.kernel.fragments
    ]
    requests = kconfig.read_fragments(fragments)
    targets = [machine.kernel.image, _device_tree_target(machine, source), "modules"]
    text = "".join(f"{request}\n" for request in requests.values())

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        base = ["make", f"O={folder}", f"-j{bench.jobs}", *bench.assignments]
        wanted = folder / "wanted.config"
        wanted.write_text(text, encoding="utf-8")
        run_logged(
            [*base, f"KCONFIG_ALLCONFIG={wanted}", "allnoconfig"],
            log,
            cwd=source.path,
            env=REPRODUCIBLE,
        )
        kconfig.check(folder / ".config", requests)
        run_logged(
            [*base, *targets],
            log,
            cwd=source.path,
            env=REPRODUCIBLE,
            on_line=on_line,
        )

    inputs = {
        "source": source.step.key,
        "config": digest_text(text),
        "variables": " ".join(bench.assignments),
        "targets": " ".join(targets),
        # Not the C library: nothing of it gets into the kernel.
        "tools": str(bench.tools.compilers),
    }
    # Measured on two cores; sanitizers make the compiler slower.
    expected_s = 240 if "CONFIG_KASAN" in requests else 140
    return bench.run(Step("kernel", inputs, expected_s=expected_s), make)


def _device_tree_target(machine: Machine, source: Output) -> str:
    """What make is asked for: since Linux 6.5 the device trees lie in a folder a vendor."""
    folder = source.path / machine.kernel.boot_folder / "dts"
    found = sorted(folder.rglob(f"{machine.kernel.device_tree}.dts"))
    if not found:
        raise UsageError(
            f"configs/machines/{machine.name}.yaml: kernel.device_tree: there is no "
            f"{machine.kernel.device_tree}.dts in {folder}"
        )
    return found[0].relative_to(folder).with_suffix(".dtb").as_posix()


def device_tree(bench: Bench, kernel: Output) -> Output:
    """The board's device tree with the machine's overlays.

    Raises UsageError for an overlay that is not there.
    """
    machine = bench.machine
    folder_of_overlays = places.checkout() / "kernel" / "dts"
    overlays = [folder_of_overlays / f"{name}.dtso" for name in machine.kernel.overlays]
    _require_files(overlays, f"configs/machines/{machine.name}.yaml: kernel.overlays")

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        tools = kernel.path / "scripts" / "dtc"
        built = kernel.path / machine.kernel.boot_folder / "dts"
        (current,) = built.rglob(f"{machine.kernel.device_tree}.dtb")
        for number, overlay in enumerate(overlays):
            compiled = folder / f"{number}.dtbo"
            merged = folder / f"{number}.dtb"
            run_logged(
                [str(tools / "dtc"), "-q", "-@", "-O", "dtb", "-o", str(compiled), str(overlay)],
                log,
            )
            run_logged(
                [str(tools / "fdtoverlay"), "-i", str(current), "-o", str(merged), str(compiled)],
                log,
            )
            current = merged
        shutil.copyfile(current, folder / "board.dtb")

    inputs = {
        "kernel": kernel.step.key,
        "overlays": digest_files(folder_of_overlays, overlays),
        "order": " ".join(machine.kernel.overlays),
    }
    return bench.run(Step("device-tree", inputs, expected_s=1), make)


def module(bench: Bench, payload: Payload, source: Output, kernel: Output) -> Output:
    """The payload's module.

    Raises BuildError with what the compiler says if it cannot be built, and if its Kbuild file
    makes another one.
    """
    origin = payload.module_folder
    name = f"{payload.module_name}.ko"
    trees = (source.path, kernel.path)

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> Read:
        began_ns = time.time_ns()
        with mirrored(origin, payload.root, folder / "tree") as mirror:
            command = module_make(*trees, bench.variables, mirror.folder, mirror.named)
            command.append(f"{READ_BY_MAKE}={mirror.makefiles}")
            try:
                bench.sandbox.run(
                    command,
                    log,
                    output=mirror.folder,
                    readable=[*trees, mirror.top],
                    sources=mirror.root,
                    cwd=source.path,
                    env=REPRODUCIBLE,
                    on_line=on_line,
                )
            except BuildError as error:
                what = f"the module {payload.module_name}"
                raise explained(error, what, mirror.original, mirror.in_words) from None
            made = mirror.folder / name
            if not made.is_file():
                raise BuildError(f"{origin / 'Kbuild'}: it makes no {name}", log=log)
            known = [*trees, *toolchain.headers(bench.compiler)]
            files = read_by_kbuild(mirror, known)
            read = reads.digests(bench.sandbox.visible(files, mirror.root), payload.root)
            made.rename(folder / name)
        reads.require_older(read, payload.root, began_ns)
        return read

    inputs = {
        "kernel": kernel.step.key,
        "name": name,
        "sources": json.dumps(sources(origin, payload.root)),
        "named": named(origin, payload.root),
        # What another folder outside the root has read says nothing of this one.
        "folder": reads.name_of(origin, payload.root),
    }
    step = Step("module", inputs, expected_s=3, version=3)
    return bench.run(step, make, payload.root)


def module_make(
    kernel_source: Path,
    kernel_build: Path,
    variables: Mapping[str, str],
    folder: Path,
    named: str,
) -> list[str]:
    """The make command that builds the module in `folder`; to be run in the kernel's sources.

    What the module says of its files begins with `named` in the place of the folder and a slash.
    """
    # No path of the host in the module, whatever it prints with __FILE__, nor in what debuggers and
    # traces read: that is there whatever kernel it is for, since it costs the guest nothing.
    flags = [
        "-g",
        f"-ffile-prefix-map={folder}/={named}",
        f"-fdebug-prefix-map={kernel_source}/=",
        f"-fdebug-prefix-map={kernel_build}=.",
    ]
    return [
        "make",
        f"O={kernel_build}",
        f"M={folder}",
        f"-j{cores()}",
        *toolchain.assignments(variables),
        f"KCFLAGS={' '.join(shlex.quote(flag) for flag in flags)}",
        "modules",
    ]


def _require_files(paths: list[Path], where: str) -> None:
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{where}: there is no file {path}")
