"""The steps that make the kernel and the board's device tree."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from pibed.base import places
from pibed.base.errors import UsageError
from pibed.base.files import digest_files, digest_text
from pibed.base.process import run_logged
from pibed.build import kconfig
from pibed.build.debian import treemodules
from pibed.build.debian.bench import REPRODUCIBLE, Bench
from pibed.build.payload import Payload
from pibed.build.store import Output, Step
from pibed.model.machine import Machine


def kernel(bench: Bench, payload: Payload, source: Output) -> Output:
    """The kernel with the fragments of the machine and of the payload, its device trees, its
    modules, and what others are built with.

    Raises UsageError for a fragment or a device tree that is not there and for a module of its tree
    that it will not have, BuildError for a line of a fragment that does not survive.
    """
    machine = bench.machine
    fragments = [
        places.checkout() / "kernel" / "fragments" / f"{name}.config"
        for name in machine.kernel.fragments
    ]
    requests = kconfig.read_fragments([*fragments, *payload.fragments])
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
        config = kconfig.read_config(folder / ".config")
        treemodules.require_configured(payload, source.path, config)
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


def _require_files(paths: list[Path], where: str) -> None:
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{where}: there is no file {path}")
