"""The steps that make the images: kernel, device tree, BusyBox, module, programs, initramfs.

`build` is the default builder: sources and cross compiler come from the distribution's packages.
Each step is keyed by what goes into it (see `pibed.build.store`); what a step made is used by the
next through its key, so that a change rebuilds exactly what depends on it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.base import places
from pibed.base.errors import BuildError, UsageError
from pibed.base.files import digest_files, digest_text
from pibed.base.process import run_logged
from pibed.build import kconfig, materials, toolchain, vermagic
from pibed.build.images import Images
from pibed.build.initramfs import CharDevice, Entry, File, Folder, Link, write_archive
from pibed.build.making import Order, Workbench, cores
from pibed.build.payload import Payload
from pibed.build.sources import packages as sources
from pibed.build.sources.apt import SourcePackage
from pibed.build.sources.unpack import extract_linux, unpack_busybox
from pibed.build.store import Output, Step
from pibed.build.toolchain import Toolchain
from pibed.model.builder import Made
from pibed.model.machine import Machine

# Fixed, so that the same sources give the same bytes wherever and whenever they are built.
REPRODUCIBLE = {
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_USER": "pibed",
    "KBUILD_BUILD_HOST": "pibed",
    "KBUILD_BUILD_VERSION": "1",
    "SOURCE_DATE_EPOCH": "0",
    "KCONFIG_NOTIMESTAMP": "1",
    "LOCALVERSION": "",
}


@dataclass(frozen=True)
class _Builder(Workbench):
    machine: Machine
    tools: Toolchain

    @property
    def variables(self) -> list[str]:
        return [f"ARCH={self.machine.arch}", f"CROSS_COMPILE={self.machine.cross_compile}"]


def build(order: Order) -> Images:
    """Makes the images for a machine and what it is to run.

    Raises HostError for a missing tool or what the policy refuses, BuildError for a source that
    cannot be had, a failed step with its log or a module that the kernel would refuse, UsageError
    for files that the configuration names and that are not there.
    """
    machine, payload, bench = order.machine, order.payload, order.bench
    tools = toolchain.find(machine)
    packages = sources.linux(machine) | sources.busybox()
    (linux, busybox), comparison = sources.fetch(packages, order.root, tools.all, order.policy)
    for line in comparison.differs:
        order.progress.differs(line)
    builder = _Builder(bench.store, bench.progress, bench.jobs, machine, tools)

    linux_source = _unpack_linux(builder, linux)
    kernel = _kernel(builder, linux_source)
    device_tree = _device_tree(builder, kernel)
    busybox_source = unpack_busybox(builder, busybox)
    busybox_binary = _busybox(builder, busybox_source)
    module = _module(builder, payload, linux_source, kernel)
    programs = _programs(builder, payload)
    initramfs = _initramfs(builder, payload, kernel, busybox_binary, module, programs)
    boot = kernel.path / "arch" / machine.arch / "boot"
    module_file = module.path / f"{payload.module_name}.ko"
    release = (kernel.path / "include" / "config" / "kernel.release").read_text().strip()
    vermagic.check(module_file, boot / "Image", release)
    return Images(
        kernel=boot / "zImage",
        device_tree=device_tree.path / "board.dtb",
        initramfs=initramfs.path / "initramfs.cpio",
        gen_init_cpio=kernel.path / "usr" / "gen_init_cpio",
        module=module_file,
        programs=(
            busybox_binary.path / "root" / "bin" / "busybox",
            *(programs.path / each.name for each in payload.programs),
        ),
        kernel_source=linux_source.path,
        kernel_build=kernel.path,
        variables=tuple(builder.variables),
        sources={archive.package: archive.source for archive in (linux, busybox)},
        tools=tools.linking,
        steps=(
            *(linux_source, busybox_source),
            *(kernel, device_tree, busybox_binary, module, programs, initramfs),
        ),
        lock=comparison,
        builder=Made(name="debian"),
        components=materials.of_debian(linux.source, busybox.source, payload, tools.linking),
    )


def legal_info(order: Order, images: Images, target: Path) -> None:
    """Puts licences and sources of images that `build` made into the folder `target`."""
    packages = sources.linux(order.machine) | sources.busybox()
    archives, _ = sources.fetch(packages, order.root, {}, order.policy)
    (busybox,) = (each.path for each in images.steps if each.step.name == "busybox-source")
    gpl = places.checkout() / "LICENSES" / "GPL-2.0-only.txt"
    licences = {
        **{each.name: gpl for each in images.components if each.licence == "GPL-2.0-only"},
        "linux": images.kernel_source / "COPYING",
        "busybox": busybox / "LICENSE",
        "libc": Path("/usr/share/doc/libc6-dev-armhf-cross/copyright"),
        "pibed-agent": places.checkout() / "LICENSES" / "MIT.txt",
    }
    materials.collect(
        archives,
        images.components,
        {name: path for name, path in licences.items() if path.is_file()},
        target,
    )


def _unpack_linux(builder: _Builder, archive: SourcePackage) -> Output:
    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        package = folder / "package"
        tarball = extract_linux(archive, package, log)
        run_logged(
            [
                "tar",
                "--extract",
                f"--file={tarball}",
                f"--directory={folder}",
                "--strip-components=1",
            ],
            log,
            env={"XZ_DEFAULTS": "--threads=0"},
        )
        shutil.rmtree(package)

    return builder.run(Step("linux-source", {"archive": archive.digest}, expected_s=25), make)


def _kernel(builder: _Builder, source: Output) -> Output:
    machine = builder.machine
    fragments = [
        places.checkout() / "kernel" / "fragments" / f"{name}.config"
        for name in machine.kernel.fragments
    ]
    requests = kconfig.read_fragments(fragments)
    dtb = _device_tree_target(machine, source)
    text = "".join(f"{request}\n" for request in requests.values())

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        base = ["make", f"O={folder}", f"-j{builder.jobs}", *builder.variables]
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
            [*base, "zImage", dtb, "modules"],
            log,
            cwd=source.path,
            env=REPRODUCIBLE,
            on_line=on_line,
        )

    inputs = {
        "source": source.step.key,
        "config": digest_text(text),
        "variables": " ".join(builder.variables),
        "device tree": dtb,
        # Not the C library: nothing of it gets into the kernel.
        "tools": str(builder.tools.compilers),
    }
    # Measured on two cores; sanitizers make the compiler slower.
    expected_s = 240 if "CONFIG_KASAN" in requests else 140
    return builder.run(Step("kernel", inputs, expected_s=expected_s), make)


def _device_tree_target(machine: Machine, source: Output) -> str:
    """What make is asked for: since Linux 6.5 the device trees lie in a folder a vendor."""
    folder = source.path / "arch" / machine.arch / "boot" / "dts"
    found = sorted(folder.rglob(f"{machine.kernel.device_tree}.dts"))
    if not found:
        raise UsageError(
            f"configs/machines/{machine.name}.yaml: kernel.device_tree: there is no "
            f"{machine.kernel.device_tree}.dts in {folder}"
        )
    return found[0].relative_to(folder).with_suffix(".dtb").as_posix()


def _device_tree(builder: _Builder, kernel: Output) -> Output:
    machine = builder.machine
    folder_of_overlays = places.checkout() / "kernel" / "dts"
    overlays = [folder_of_overlays / f"{name}.dtso" for name in machine.kernel.overlays]
    _require_files(overlays, f"configs/machines/{machine.name}.yaml: kernel.overlays")

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        tools = kernel.path / "scripts" / "dtc"
        built = kernel.path / "arch" / machine.arch / "boot" / "dts"
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
    return builder.run(Step("device-tree", inputs, expected_s=1), make)


def _busybox(builder: _Builder, source: Output) -> Output:
    fragment = places.checkout() / builder.machine.board_folder / "busybox.config"
    requests = kconfig.read_fragments([fragment])

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        objects = folder / "objects"
        objects.mkdir()
        base = ["make", f"O={objects}", f"-j{builder.jobs}", *builder.variables]

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
        "variables": " ".join(builder.variables),
        "tools": str(builder.tools.linking),
    }
    return builder.run(Step("busybox", inputs, expected_s=20), make)


def _module(builder: _Builder, payload: Payload, source: Output, kernel: Output) -> Output:
    origin = payload.module_folder
    files = [
        path
        for path in sorted(origin.glob("*"))
        if path.name in ("Kbuild", "Makefile") or path.suffix in (".c", ".h", ".S")
    ]
    name = f"{payload.module_name}.ko"

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        for path in files:
            shutil.copyfile(path, folder / path.name)
        run_logged(
            module_make(kernel.path, builder.variables, folder),
            log,
            cwd=source.path,
            env=REPRODUCIBLE,
            on_line=on_line,
        )
        if not (folder / name).is_file():
            raise BuildError(f"{origin / 'Kbuild'}: it makes no {name}", log=log)

    inputs = {"kernel": kernel.step.key, "files": digest_files(origin, files), "name": name}
    return builder.run(Step("module", inputs, expected_s=3), make)


def _programs(builder: _Builder, payload: Payload) -> Output:
    compiler = f"{builder.machine.cross_compile}gcc"
    flags = ["-Wall", "-Wextra", "-static", *payload.cflags]

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        for program in payload.programs:
            target = str(folder / program.name)
            # Compiled by names relative to their folder, so that no path of the host gets in.
            argv = [compiler, *flags, "-o", target, *program.arguments()]
            run_logged(argv, log, cwd=program.folder, on_line=on_line)

    files = {file for each in payload.programs for file in (*each.sources, *each.headers)}
    inputs = {
        "files": digest_files(places.checkout(), sorted(files)),
        "programs": " ".join(each.name for each in payload.programs),
        "cflags": " ".join(payload.cflags),
        "tools": str(builder.tools.linking),
    }
    return builder.run(Step("programs", inputs, expected_s=len(payload.programs)), make)


def _initramfs(
    builder: _Builder,
    payload: Payload,
    kernel: Output,
    busybox: Output,
    module: Output,
    programs: Output,
) -> Output:
    overlay = places.checkout() / builder.machine.board_folder / "overlay"
    files = [path for path in sorted(overlay.rglob("*")) if path.is_file()]
    strip = f"{builder.machine.cross_compile}strip"

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        staging = folder / "files"
        shutil.copytree(overlay, staging)
        shutil.copytree(busybox.path / "root", staging, symlinks=True, dirs_exist_ok=True)
        (staging / "lib" / "modules").mkdir(parents=True)
        name = f"{payload.module_name}.ko"
        stripped = str(staging / "lib" / "modules" / name)
        run_logged([strip, "--strip-debug", "-o", stripped, str(module.path / name)], log)
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
        "place": payload.place,
    }
    return builder.run(Step("initramfs", inputs, expected_s=1, version=3), make)


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


def module_make(kernel_build: Path, variables: Sequence[str], folder: Path) -> list[str]:
    """The make command that builds the module in `folder`; to be run in the kernel's sources."""
    return [
        "make",
        f"O={kernel_build}",
        f"M={folder}",
        f"-j{cores()}",
        *variables,
        # No path of the host in the module, whatever it prints with __FILE__.
        f"KCFLAGS=-ffile-prefix-map={folder}=module",
        "modules",
    ]


def _require_files(paths: list[Path], where: str) -> None:
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{where}: there is no file {path}")
