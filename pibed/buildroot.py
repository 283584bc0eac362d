"""The builder `buildroot`: the same set of images, made by Buildroot from the tree in `buildroot/`.

Buildroot works in a folder of its own for each combination of its release, toolchain, kernel and
configuration, where it goes on with what is there. It would not notice by itself that a source or a
fragment has changed: here the packages whose inputs are others than those they were built from are
built anew. What it makes is checked by its content, and copied to where nothing changes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pibed import contents, kconfig, recipe, sources, sysroot, toolchain, upstream, vermagic
from pibed import lock as locks
from pibed.apt import Archive
from pibed.bom import Component
from pibed.build import (
    LINUX_LICENCE,
    Images,
    Progress,
    Workbench,
    cores,
    tool_components,
    unpack_busybox,
)
from pibed.config import Machine, checkout
from pibed.errors import BuildError, HostError
from pibed.lock import DEFAULT_POLICY, Comparison, Policy
from pibed.packagelog import PackageLog
from pibed.payload import Payload
from pibed.process import capture, clean_environment, run_logged
from pibed.recipe import Settings
from pibed.store import Output, Step, Store, digest_file, digest_files, digest_text
from pibed.upstream import Tree

# What the packages of the external tree are made of lies in these folders of the checkout.
_FOLDERS = ("buildroot", "kernel", "module")


@dataclass(frozen=True)
class _Compiler:
    """What compiles for the guest."""

    requests: dict[str, str]
    """Options of Buildroot that do not depend on where it is."""
    places: dict[str, str]
    """Options that do."""
    key: str
    """Stands for its content."""
    steps: tuple[Output, ...] = ()
    busybox: Output | None = None
    """Sources in the place of Buildroot's own; the distribution's programs come with them."""


@dataclass(frozen=True)
class _Build:
    """A build folder and all that goes into it."""

    bench: Workbench
    machine: Machine
    payload: Payload
    settings: Settings
    tree: Tree
    linux: Output
    compiler: _Compiler
    requests: dict[str, str]
    root: Path
    mirror: Path | None

    # Both once: the checkout may be edited while it is built.
    @cached_property
    def key(self) -> str:
        """A change of it means another folder."""
        external = checkout() / "buildroot"
        recipes = [path for path in _files(external) if "board" not in path.parts]
        return digest_text(
            json.dumps(
                {
                    "buildroot": self.tree.key,
                    "external": digest_files(external, recipes),
                    "linux": self.linux.step.key,
                    "toolchain": self.compiler.key,
                    "options": {
                        name: value
                        for name, value in sorted(self.requests.items())
                        # Of one package, which is built anew for it.
                        if not name.endswith("_CFLAGS")
                    },
                    # So that what is compiled without it is compiled indeed.
                    "ccache": self.settings.ccache,
                }
            )
        )

    @property
    def place(self) -> Path:
        """The build folder."""
        return self.root / "buildroot" / "builds" / self.key[:16]

    @property
    def output(self) -> Path:
        """Where Buildroot works."""
        return self.place / "output"

    @property
    def kernel(self) -> Path:
        """Where Linux is built, in its sources."""
        return self.output / "build" / "linux-custom"

    @property
    def fragments(self) -> list[Path]:
        """Of the kernel's configuration."""
        folder = checkout() / "kernel" / "fragments"
        return [folder / f"{name}.config" for name in self.machine.kernel.fragments]

    @cached_property
    def inputs(self) -> dict[str, str]:
        """What each package is made of that can change within the folder, as a digest."""
        root = checkout()
        module, _ = recipe.packages(self.payload)
        linux = digest_files(root, self.fragments)
        sources_ = digest_files(root, _files(root / "module"))
        busybox = digest_file(root / self.machine.board_folder / "busybox.config")
        own = {path.name for path in (root / "buildroot" / "package").iterdir()} - {module}
        return {
            "linux": linux,
            "busybox": busybox,
            module: digest_text(linux + sources_),
            **{
                name: digest_text(sources_ + self.requests.get(recipe.symbol(name, "_CFLAGS"), ""))
                for name in sorted(own)
            },
        }


@dataclass(frozen=True)
class _Prepared:
    """A build folder that can be worked in, and how it stands to the lock."""

    work: _Build
    archives: tuple[Archive, ...]
    comparison: Comparison


def build(
    settings: Settings,
    folder: Path | None,
    machine: Machine,
    payload: Payload,
    root: Path,
    progress: Progress,
    policy: Policy,
    jobs: int | None = None,
) -> Images:
    """Makes the images with Buildroot, which is taken from `folder` or as the lock pins it.

    See `pibed.build.build` for the rest.
    """
    prepared = _prepare(settings, folder, machine, payload, root, progress, policy, jobs)
    work, comparison, archives = prepared.work, prepared.comparison, prepared.archives
    for line in comparison.differs:
        progress.differs(line)
    output = _images(work)
    record = json.loads((output.path / "images.json").read_text(encoding="utf-8"))
    return Images(
        kernel=output.path / "zImage",
        device_tree=output.path / "board.dtb",
        initramfs=output.path / "initramfs.cpio",
        gen_init_cpio=output.path / "gen_init_cpio",
        module=output.path / f"{payload.module_name}.ko",
        programs=tuple(
            output.path / "programs" / name
            for name in ("busybox", *(each.name for each in payload.programs))
        ),
        kernel_source=work.kernel,
        kernel_build=work.kernel,
        variables=(f"ARCH={machine.arch}", f"CROSS_COMPILE={work.output}/{record['prefix']}"),
        sources={each.package: each.source.model_dump() for each in archives},
        tools=record["tools"],
        steps=(work.linux, *work.compiler.steps, output),
        lock=comparison,
        builder={
            "name": "buildroot",
            "version": work.tree.version,
            "source": work.tree.key,
            "folder": None if folder is None else str(folder),
            "settings": settings.model_dump(),
            "packages": {
                name: each["version"]
                for name, each in record["packages"].items()
                if name not in record["overrides"]
            },
            "overrides": record["overrides"],
        },
        components=(
            *_components(record["packages"], record["overrides"], archives),
            *tool_components(record["tools"]),
        ),
    )


def legal_info(
    settings: Settings,
    folder: Path | None,
    machine: Machine,
    payload: Payload,
    root: Path,
    progress: Progress,
    target: Path,
) -> None:
    """Puts what Buildroot's `make legal-info` collects into the folder `target`.

    Raises BuildError if a source cannot be had.
    """
    work = _prepare(settings, folder, machine, payload, root, progress, DEFAULT_POLICY).work
    log = root / "logs" / "legal-info.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    with _held(work), progress.step("legal-info", 30, log) as on_line:
        if not (work.output / ".config").is_file():
            _configure(work, log)
        argv = [*_command(work), "legal-info"]
        run_logged(argv, log, env=_environment(), on_line=on_line)
        shutil.copytree(work.output / "legal-info", target, symlinks=True, dirs_exist_ok=True)


def _prepare(
    settings: Settings,
    folder: Path | None,
    machine: Machine,
    payload: Payload,
    root: Path,
    progress: Progress,
    policy: Policy,
    jobs: int | None = None,
) -> _Prepared:
    """Fetches and makes all that Buildroot is to be given."""
    recipe.require_packages(payload)
    known = locks.load()
    if known is None or known.buildroot is None:
        raise HostError(
            f"{locks.path()} pins no Buildroot", fix="add `buildroot`, see docs/lock.md"
        )
    bench = Workbench(Store(root / "steps"), progress, jobs or cores())
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
        locks.refuse(tree.differs)
    compiler = _compiler(bench, settings, machine, archives)
    work = _Build(
        bench,
        machine,
        payload,
        settings,
        tree,
        _tarball(bench, archives[0]),
        compiler,
        recipe.requests(machine, payload, compiler.requests),
        root,
        policy.mirror,
    )
    differs = (*comparison.differs, *tree.differs)
    return _Prepared(work, tuple(archives), Comparison(comparison.digest, differs))


def _components(
    packages: Mapping[str, Mapping[str, str]],
    overrides: Mapping[str, str],
    archives: Sequence[Archive],
) -> list[Component]:
    """Buildroot's packages; what came from the distribution as that is."""
    theirs = {re.sub(r"^linux-source-.*", "linux", each.package): each.source for each in archives}
    found = []
    for name, each in packages.items():
        version, files = each["version"], {}
        if name in theirs:
            version, files = theirs[name].version, theirs[name].files
        elif name in overrides:
            version = overrides[name]
        found.append(
            Component(
                name,
                version,
                LINUX_LICENCE if name == "linux" else each["licence"],
                "host" if each["kind"] == "host" else "target",
                files,
                overrides.get(name, ""),
            )
        )
    return found


def _compiler(
    bench: Workbench, settings: Settings, machine: Machine, archives: Sequence[Archive]
) -> _Compiler:
    """The toolchain of the settings, as far as it is not Buildroot that makes or fetches it."""
    if settings.toolchain == "bootlin":
        return _Compiler({}, {}, "bootlin")
    if settings.toolchain == "internal":
        return _Compiler(recipe.internal(machine), {}, "internal")
    if settings.toolchain == "path":
        folder, prefix = Path(settings.path or ""), settings.prefix or ""
        requests = recipe.external(folder, prefix)
        compiler = folder / "bin" / f"{prefix}-gcc"
        # Two compilers that say the same of themselves and have the same bytes are one.
        key = digest_text(capture([str(compiler), "-v"]) + digest_file(compiler.resolve()))
        return _Compiler(requests, _at(folder), f"path {folder} {key}")
    installed = sysroot.find(machine.cross_compile)

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        sysroot.write(installed, folder)

    relocated = bench.run(Step("distro-toolchain", {"files": installed.digest}, expected_s=5), make)
    return _Compiler(
        recipe.external(relocated.path, installed.triplet),
        _at(relocated.path),
        relocated.step.key,
        (relocated,),
        unpack_busybox(bench, archives[1]),
    )


def _at(folder: Path) -> dict[str, str]:
    return {"BR2_TOOLCHAIN_EXTERNAL_PATH": recipe.quoted(str(folder))}


def _tarball(bench: Workbench, archive: Archive) -> Output:
    """The kernel's sources, as the archive that is in the distribution's package."""

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        package = folder / "package"
        run_logged(["dpkg-deb", "--extract", str(archive.path(".deb")), str(package)], log)
        (tarball,) = package.glob("usr/src/linux-source-*.tar.xz")
        tarball.rename(folder / "linux.tar.xz")
        shutil.rmtree(package)

    return bench.run(Step("linux-tarball", {"archive": archive.digest}, expected_s=3), make)


def _images(work: _Build) -> Output:
    """The images, copied out of the build folder, with `images.json` about them."""

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        with _held(work):
            packages = _configure(work, log)
            overrides = _overrides(work, packages)
            for name, what in sorted(overrides.items()):
                work.bench.progress.note(f"buildroot: {name} is overridden: {what}")
            _make(work, packages, log, on_line)
            _copy(work, folder)
            record = {
                "prefix": _prefix(work),
                "tools": toolchain.ask(f"{work.output}/{_prefix(work)}", work.machine).linking,
                "packages": packages,
                "overrides": overrides,
            }
        text = json.dumps(record, indent=1, sort_keys=True)
        (folder / "images.json").write_text(text + "\n", encoding="utf-8")

    board = checkout() / work.machine.board_folder
    step = Step(
        "buildroot",
        {
            "folder": work.key,
            "board": digest_files(board, _files(board)),
            "overlays": digest_files(checkout() / "kernel", _files(checkout() / "kernel" / "dts")),
            # Which of the external tree's programs are copied beside the images.
            "payload": f"{work.payload.module_name} {work.payload.package} {work.payload.place}",
            **work.inputs,
        },
        # Measured on two cores with the distribution's toolchain; others are downloaded or built.
        expected_s=60 if (work.output / "images").is_dir() else 330,
    )
    return work.bench.run(step, make)


@contextmanager
def _held(work: _Build) -> Iterator[None]:
    """Holds the build folder against other processes."""
    work.place.mkdir(parents=True, exist_ok=True)
    with (work.place / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _configure(work: _Build, log: Path) -> dict[str, dict[str, str]]:
    """Writes all that Buildroot reads, and makes it forget what changed.

    Returns the packages that are to be built, with their `version`, `licence`, `kind` (`target` or
    `host`) and the name of their build `folder`.
    """
    _snapshot(work)
    tarball = work.linux.path / "linux.tar.xz"
    digest = digest_file(tarball)
    # The headers of an internal toolchain are the kernel's.
    for name in ("linux", "linux-headers"):
        hashes = work.place / "patches" / name / f"{name}.hash"
        hashes.parent.mkdir(parents=True, exist_ok=True)
        hashes.write_text(f"sha256  {digest}  {tarball.name}\n", encoding="utf-8")
    local = work.place / "local.mk"
    lines = []
    if work.compiler.busybox is not None:
        lines.append(f"include {work.place}/tree/buildroot/distribution.make")
        lines.append(f"BUSYBOX_OVERRIDE_SRCDIR = {work.compiler.busybox.path}")
    local.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    cache = work.root / "buildroot"
    wanted = work.place / "wanted.config"
    places = {
        "BR2_LINUX_KERNEL_CUSTOM_TARBALL_LOCATION": recipe.quoted(f"file://{tarball}"),
        "BR2_GLOBAL_PATCH_DIR": recipe.quoted(str(work.place / "patches")),
        "BR2_PACKAGE_OVERRIDE_FILE": recipe.quoted(str(local)),
        "BR2_DL_DIR": recipe.quoted(str(cache / "dl")),
        "BR2_JLEVEL": str(work.bench.jobs),
    }
    if work.settings.ccache:
        places["BR2_CCACHE"] = "y"
        places["BR2_CCACHE_DIR"] = recipe.quoted(str(cache / "ccache"))
    if work.mirror is not None:
        places["BR2_PRIMARY_SITE"] = recipe.quoted(f"file://{work.mirror}")
    wanted.write_text(recipe.text(work.requests | work.compiler.places | places), encoding="utf-8")
    work.output.mkdir(exist_ok=True)
    run_logged(
        [
            *_command(work),
            f"BR2_EXTERNAL={work.place / 'tree' / 'buildroot'}",
            f"BR2_DEFCONFIG={wanted}",
            "defconfig",
        ],
        log,
        env=_environment(),
    )
    kconfig.check(work.output / ".config", kconfig.read_fragments([wanted]))
    _forget(work, log)
    info = work.place / "show-info.log"
    info.unlink(missing_ok=True)
    run_logged([*_command(work), "--silent", "show-info"], info, env=_environment())
    # Behind the line that run_logged writes.
    known = json.loads(info.read_text(encoding="utf-8").partition("\n")[2])
    return {
        name: {
            "version": each.get("version", ""),
            "licence": each.get("licenses", ""),
            "kind": each["type"],
            "folder": Path(each["stamp_dir"]).name,
        }
        for name, each in known.items()
        if each["type"] != "rootfs" and not each.get("virtual")
    }


def _snapshot(work: _Build) -> None:
    """Copies what Buildroot takes from the checkout: whoever edits there does not disturb it."""
    tree = work.place / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    for name in _FOLDERS:
        shutil.copytree(checkout() / name, tree / name)
    for path in tree.rglob("*"):
        # Whether something is built anew is decided by content, not by times.
        os.utime(path, (0, 0))


def _forget(work: _Build, log: Path) -> None:
    """Removes what was built of packages whose inputs are others now."""
    record = work.place / "packages.json"
    try:
        before = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    now = work.inputs
    changed = sorted(name for name, digest in now.items() if before.get(name) != digest)
    if before and changed:
        work.bench.progress.note(f"buildroot: built anew: {', '.join(changed)}")
        targets = [f"{name}-dirclean" for name in changed]
        run_logged([*_command(work), *targets], log, env=_environment())
    # Put together anew from what the packages install, so that nothing stays of what is gone.
    shutil.rmtree(work.output / "target", ignore_errors=True)
    for name in ("rootfs.cpio", "board.dtb"):
        (work.output / "images" / name).unlink(missing_ok=True)
    record.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")


def _make(
    work: _Build,
    packages: Mapping[str, Mapping[str, str]],
    log: Path,
    on_line: Callable[[str], None],
) -> None:
    folders = {each["folder"]: name for name, each in packages.items()}
    follower = PackageLog(work.output, folders, work.bench.progress.note)

    def follow(line: str) -> None:
        on_line(line)
        follower.on_line(line)

    try:
        run_logged(
            [*_command(work), f"-j{work.bench.jobs}"],
            log,
            env=_environment(),
            on_line=follow,
            silence_s=work.settings.silence_s,
        )
    except BuildError as error:
        raise follower.failure(error, log) from None
    follower.finished()


def _copy(work: _Build, folder: Path) -> None:
    """Checks what Buildroot made, and copies it.

    Raises BuildError for what is missing or not what it should be.
    """
    images, target, payload = work.output / "images", work.output / "target", work.payload
    contents.require_kernel(images / "zImage")
    contents.require_device_tree(images / "board.dtb")
    module = f"lib/modules/{payload.module_name}.ko"
    programs = {each.name: f"{payload.place}/{each.name}" for each in payload.programs}
    contents.require_members(
        images / "rootfs.cpio", ["init", "bin/busybox", module, *programs.values()]
    )
    kconfig.check(work.kernel / ".config", kconfig.read_fragments(work.fragments))
    package = recipe.packages(payload)[0]
    (built,) = (work.output / "build").glob(f"{package}-*/{payload.module_name}.ko")
    release = (work.kernel / "include" / "config" / "kernel.release").read_text().strip()
    boot = work.kernel / "arch" / work.machine.arch / "boot"
    for each in (built, target / module):
        vermagic.check(each, boot / "Image", release)
    shutil.copyfile(images / "zImage", folder / "zImage")
    shutil.copyfile(images / "board.dtb", folder / "board.dtb")
    shutil.copyfile(images / "rootfs.cpio", folder / "initramfs.cpio")
    shutil.copyfile(built, folder / built.name)
    shutil.copy(work.kernel / "usr" / "gen_init_cpio", folder)
    (folder / "programs").mkdir()
    for name, place in {"busybox": "bin/busybox", **programs}.items():
        shutil.copy(target / place, folder / "programs" / name)


def _overrides(work: _Build, packages: Iterable[str]) -> dict[str, str]:
    """Which packages are not built from Buildroot's own sources, and what is taken instead."""
    if work.compiler.busybox is None:
        return {}
    file = (checkout() / "buildroot" / "distribution.make").read_text(encoding="utf-8")
    found = re.findall(r"^\$\(eval \$\(call pibed-from-distribution,(\w+),(\w+)\)\)$", file, re.M)
    programs = {f"host-{name.lower()}": program for name, program in found}
    return {"busybox": "the distribution's package busybox"} | {
        name: f"the distribution's program: {_first_line(program)}"
        for name, program in programs.items()
        if name in packages
    }


def _first_line(program: str) -> str:
    return capture([program, "--version"]).partition("\n")[0]


def _prefix(work: _Build) -> str:
    """What the names of the compiler's programs begin with, relative to Buildroot's output."""
    line = capture(
        [*_command(work), "--silent", "printvars", "VARS=TARGET_CROSS"], env=_environment()
    )
    path = line.strip().partition("=")[2]
    return str(Path(path).relative_to(work.output)) if path else ""


def _command(work: _Build) -> list[str]:
    return ["make", "--no-print-directory", f"--directory={work.tree.path}", f"O={work.output}"]


def _environment() -> dict[str, str]:
    """Beyond `clean_environment`: nothing that Buildroot refuses or that gets into images."""
    known = clean_environment()["PATH"].split(":")
    path = [each for each in known if each.startswith("/") and not set(each) & set(" \t\n@")]
    extra = {"PATH": ":".join(path), "SOURCE_DATE_EPOCH": "0", "TERM": "dumb"}
    if os.geteuid() == 0:
        # host-tar's configure refuses root without it.
        extra["FORCE_UNSAFE_CONFIGURE"] = "1"
    return extra


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]
