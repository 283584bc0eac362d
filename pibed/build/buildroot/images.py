"""The builder `buildroot`: the same images, made by Buildroot with the tree in `buildroot/`.

What Buildroot makes in its folder (see `folder`) is checked by its content, and copied
to where nothing changes it.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pibed.base import places
from pibed.base.errors import BuildError, HostError, UsageError
from pibed.base.files import digest_file
from pibed.build import kconfig, materials, store, toolchain, vermagic
from pibed.build.buildroot import contents, reading, recipe, snapshot, sysroot
from pibed.build.buildroot import tree as upstream
from pibed.build.buildroot.folder import BuildFolder, Compiler
from pibed.build.buildroot.snapshot import Snapshot
from pibed.build.images import Images
from pibed.build.making import Order, Workbench
from pibed.build.payload import AGENT_PLACE
from pibed.build.reads import Read
from pibed.build.sources import lock, standing
from pibed.build.sources import packages as sources
from pibed.build.sources.apt import SourcePackage
from pibed.build.sources.unpack import extract_linux, unpack_busybox
from pibed.build.store import Output, Step
from pibed.build.toolchain import CLibrary
from pibed.model.builder import Made, RecordedSettings, Settings, Standing
from pibed.model.machine import Machine


@dataclass(frozen=True)
class _Prepared:
    """A build folder that can be worked in, and how it stands to the lock."""

    work: BuildFolder
    archives: tuple[SourcePackage, ...]
    comparison: Standing


def build(order: Order, settings: Settings, folder: Path | None) -> Images:
    """Makes the images with Buildroot, which is taken from `folder` or as the lock pins it.

    See `pibed.build.debian.images.build` for the rest.
    """
    machine, payload = order.machine, order.payload
    with _prepared(order, settings, folder) as prepared:
        work, comparison, archives = prepared.work, prepared.comparison, prepared.archives
        for line in comparison.differs:
            order.progress.differs(line)
        output = _images(work)
    record = json.loads((output.path / "images.json").read_text(encoding="utf-8"))
    compilers, libc = record["compilers"], CLibrary(**record["libc"])
    modules, programs = recipe.packages(payload)
    return Images(
        kernel=output.path / machine.kernel.image,
        device_tree=output.path / "board.dtb",
        initramfs=output.path / "initramfs.cpio",
        gen_init_cpio=output.path / "gen_init_cpio",
        modules=tuple(output.path / f"{each.name}.ko" for each in payload.modules),
        programs=tuple(
            output.path / "programs" / name
            for name in ("busybox", "agent", *(each.name for each in payload.programs))
        ),
        kernel_source=work.kernel,
        kernel_build=output.path / "kernel",
        variables=toolchain.make_variables(machine, f"{work.output}/{record['prefix']}"),
        sources={each.package: each.source for each in archives},
        tools=compilers | {"libc.a": str(libc)},
        steps=(work.linux, *work.compiler.steps, output),
        lock=comparison,
        builder=Made(
            name="buildroot",
            version=work.tree.version,
            source=work.tree.key,
            folder=None if folder is None else str(folder),
            settings=RecordedSettings.model_validate(settings.model_dump(exclude={"repository"})),
            packages={
                name: each["version"]
                for name, each in record["packages"].items()
                if name not in record["overrides"]
            },
            overrides=record["overrides"],
        ),
        components=materials.of_buildroot(
            work.tree.version, record["packages"], record["overrides"], archives, compilers, libc
        ),
        read={
            "module": {k: v for name in modules for k, v in record["read"][name].items()},
            "programs": record["read"][programs],
        },
    )


def legal_info(
    order: Order, settings: Settings, folder: Path | None, images: Images, target: Path
) -> None:
    """Puts what Buildroot's `make legal-info` collects for images into the folder `target`.

    Raises BuildError if a source cannot be had, or is not any more that of the images.
    """
    log = order.root / "logs" / "legal-info.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    with (
        _prepared(order, settings, folder) as prepared,
        prepared.work.held() as held,
        order.progress.step("legal-info", 30, log) as on_line,
    ):
        if _step(prepared.work).key != images.steps[-1].step.asked.key:
            raise BuildError(
                "the checkout, or a tool, has changed since the images were made",
                fix="run the same command again",
            )
        try:
            # It may have been used for images of other sources since.
            held.prepare(log)
            collected = held.legal_info(log, on_line)
        except BuildError as error:
            if store.no_space(error, order.root):
                raise store.full(order.root) from error
            raise
        except OSError as error:
            raise store.explain(error, order.root) from error
        shutil.copytree(collected, target, symlinks=True, dirs_exist_ok=True)


@contextmanager
def _prepared(order: Order, settings: Settings, folder: Path | None) -> Iterator[_Prepared]:
    """Fetches and makes all that Buildroot is to be given."""
    machine, payload, root = order.machine, order.payload, order.root
    policy, bench = order.policy, order.bench
    if "@" in str(root):
        raise HostError(
            f"the cache folder {root} has a @ in its path, where Buildroot cannot work",
            fix="set PIBED_CACHE to another folder",
        )
    if payload.root != places.checkout():
        raise UsageError(
            f"{payload.config_file}: the builder buildroot takes sources from the checkout only",
            fix="take --builder debian",
        )
    bench.store.remove_unfinished()
    recipe.require_packages(payload)
    known = lock.load()
    if known is None or known.buildroot is None:
        raise HostError(f"{lock.path()} pins no Buildroot", fix="add `buildroot`, see docs/lock.md")
    distro = settings.toolchain == "distro"
    tools = toolchain.find(machine).all if distro else toolchain.host_only(machine)
    wanted = sources.linux(machine) | (sources.busybox() if distro else {})
    archives, comparison = sources.fetch(wanted, root, tools, policy)
    tree = (
        upstream.of_folder(folder, known.buildroot)
        if folder is not None
        else upstream.fetch(bench, known.buildroot, settings.repository)
    )
    if policy.locked:
        standing.refuse(tree.differs)
    linux = _tarball(bench, archives[0])
    differs = (*comparison.differs, *tree.differs)
    # Where `./inv clean` removes those of killed builds.
    with snapshot.taken(root / "buildroot" / "builds") as copy:
        compiler = _compiler(bench, settings, machine, archives, copy)
        work = BuildFolder(
            bench,
            machine,
            payload,
            settings,
            tree,
            linux,
            compiler,
            tools["gcc"],
            recipe.requests(copy.root, machine, payload, compiler.requests),
            copy,
            root,
            policy.mirror,
        )
        yield _Prepared(work, tuple(archives), Standing(comparison.digest, differs))


def _compiler(
    bench: Workbench,
    settings: Settings,
    machine: Machine,
    archives: Sequence[SourcePackage],
    copy: Snapshot,
) -> Compiler:
    """The toolchain of the settings, as far as it is not Buildroot that makes or fetches it."""
    if settings.toolchain == "bootlin":
        return Compiler({}, {}, "bootlin")
    if settings.toolchain == "internal":
        return Compiler(recipe.internal(copy.root, machine), {}, "internal")
    if settings.toolchain == "path":
        folder, prefix = Path(settings.path or ""), settings.prefix or ""
        requests = recipe.external(copy.root, folder, prefix)
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return Compiler(requests, _at(folder), f"path {folder} {sysroot.digest(files)}")
    installed = sysroot.find(machine.cross_compile)

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        sysroot.write(installed, folder)

    inputs = {
        "files": installed.digest,
        "script": digest_file(sysroot.SCRIPT),
        "without": " ".join((*sysroot.UNUSED, *sysroot.OTHERS)),
    }
    relocated = bench.run(Step("distro-toolchain", inputs, expected_s=5), make)
    return Compiler(
        recipe.external(copy.root, relocated.path, installed.triplet),
        _at(relocated.path),
        relocated.step.key,
        (relocated,),
        unpack_busybox(bench, archives[1]),
        _overrides(settings, copy),
    )


def _at(folder: Path) -> dict[str, str]:
    return {"BR2_TOOLCHAIN_EXTERNAL_PATH": recipe.quoted(str(folder))}


def _tarball(bench: Workbench, archive: SourcePackage) -> Output:
    """The kernel's sources, as the archive that is in the distribution's package."""

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        package = folder / "package"
        tarball = extract_linux(archive, package, log)
        # One name a version: Buildroot keeps the archives of all by their names.
        version = re.sub(r"[^\w.+-]", "_", archive.source.version)
        tarball.rename(folder / f"linux-{version}.tar.xz")
        shutil.rmtree(package)

    step = Step("linux-tarball", {"archive": archive.digest}, expected_s=3, version=2)
    return bench.run(step, make)


def _images(work: BuildFolder) -> Output:
    """The images, copied out of the build folder, with `images.json` about them."""

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> Read:
        began_ns = time.time_ns()
        with work.held() as held:
            packages = held.prepare(log)
            overrides = work.compiler.overrides.items()
            used = {name: what for name, what in overrides if name in packages}
            for name, what in sorted(used.items()):
                work.bench.progress.note(f"buildroot: {name} is overridden: {what}")
            held.make(packages, log, on_line)
            _copy(work, folder)
            prefix = held.prefix
            tools = toolchain.ask(f"{work.output}/{prefix}", work.machine)
            known = toolchain.headers(f"{work.output}/{prefix}gcc")
            read = reading.of_packages(work, packages, known)
            reading.require_older(work, read, began_ns)
            held.keep_reads(read)
            record = {
                "read": read,
                "prefix": prefix,
                "compilers": tools.compilers,
                "libc": asdict(tools.libc),
                "packages": packages,
                "overrides": used,
            }
        text = json.dumps(record, indent=1, sort_keys=True)
        (folder / "images.json").write_text(text + "\n", encoding="utf-8")
        return {name: digest for each in read.values() for name, digest in each.items()}

    return work.bench.run(_step(work), make, places.checkout())


def _step(work: BuildFolder) -> Step:
    """All that the images are made from and with."""
    return Step(
        "buildroot",
        {
            "folder": work.key,
            "board": work.snapshot.digest(work.machine.board_folder),
            "overlays": work.snapshot.digest("kernel/dts"),
            # Which of the external tree's programs are copied beside the images.
            "payload": " ".join(
                [
                    *(each.name for each in work.payload.modules),
                    work.payload.package,
                    work.payload.place,
                ]
            ),
            "overrides": json.dumps(work.compiler.overrides, sort_keys=True),
            **work.inputs,
        },
        # Measured on two cores with the distribution's toolchain; others are downloaded or built.
        expected_s=60 if (work.output / "images").is_dir() else 250,
        version=3,
    )


def _copy(work: BuildFolder, folder: Path) -> None:
    """Checks what Buildroot made, and copies it.

    Raises BuildError for what is missing or not what it should be.
    """
    images, target, payload = work.output / "images", work.output / "target", work.payload
    linux = work.machine.kernel
    contents.require_kernel(images / linux.image, linux.image_magic)
    contents.require_device_tree(images / "board.dtb")
    modules = {each.name: f"lib/modules/{each.name}.ko" for each in payload.modules}
    programs = {each.name: f"{payload.place}/{each.name}" for each in payload.programs}
    contents.require_members(
        images / "rootfs.cpio",
        ["init", "bin/busybox", AGENT_PLACE, *modules.values(), *programs.values()],
    )
    configuration = work.kernel / ".config"
    kconfig.check(configuration, kconfig.read_fragments(work.fragments))
    release = vermagic.release(work.kernel)
    if not release.startswith(f"{linux.version}."):
        raise BuildError(f"{images / linux.image}: it is Linux {release}")
    for package, (name, place) in zip(recipe.packages(payload)[0], modules.items(), strict=True):
        (built,) = (work.output / "build").glob(f"{package}-*/{name}.ko")
        for each in (built, target / place):
            vermagic.check(each, work.kernel / linux.boot_folder / linux.plain_image, release)
        shutil.copyfile(built, folder / built.name)
    shutil.copyfile(images / linux.image, folder / linux.image)
    shutil.copyfile(images / "board.dtb", folder / "board.dtb")
    shutil.copyfile(images / "rootfs.cpio", folder / "initramfs.cpio")
    shutil.copy(work.kernel / "usr" / "gen_init_cpio", folder)
    (folder / "programs").mkdir()
    for name, place in {"busybox": "bin/busybox", "agent": AGENT_PLACE, **programs}.items():
        shutil.copy(target / place, folder / "programs" / name)
    # The build folder may become that of another kernel; what is told of this one stays.
    (folder / "kernel").mkdir()
    shutil.copyfile(configuration, folder / "kernel" / ".config")
    if kconfig.read_config(configuration).get("CONFIG_DEBUG_INFO") == "y":
        shutil.copyfile(work.kernel / "vmlinux", folder / "kernel" / "vmlinux")


def _overrides(settings: Settings, copy: Snapshot) -> dict[str, str]:
    """What the distribution has in the place of Buildroot's packages."""
    file = (copy.external / "distribution.make").read_text(encoding="utf-8")
    found = re.findall(r"^\$\(eval \$\(call pibed-from-distribution,(\w+),(\w+)\)\)$", file, re.M)
    return {"busybox": "the distribution's package busybox"} | {
        f"host-{name.lower()}": f"the distribution's program: {toolchain.version(program)}"
        for name, program in found
        # It is not there, and not needed, where nothing is to be kept.
        if name != "CCACHE" or settings.ccache
    }
