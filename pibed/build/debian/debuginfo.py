"""What a debugger reads of images that were built without it: types, variables and lines.

A compiler makes the same code with debugging information as without. So kernel and programs are
compiled once more with it, beside the images, whose bytes stay what they are; that the code is the
same is checked.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pibed.base import places
from pibed.base.errors import BuildError, UsageError
from pibed.base.files import digest_file, digest_text
from pibed.base.process import capture, run_logged
from pibed.build import kconfig, modinfo, sandbox, toolchain
from pibed.build.debian import programs
from pibed.build.debian.bench import REPRODUCIBLE, Bench
from pibed.build.images import Images
from pibed.build.making import Order, Workbench
from pibed.build.payload import Payload
from pibed.build.store import Output, Step

# Files of the kernel of which GCC makes other code with debugging information: it keeps a variable
# that is only written (`mtime` in init/initramfs.c). They stay without.
_NOT_DESCRIBED = ("initramfs",)

# The note of the build's own identity, a digest of the debugging information as well.
_BUILD_ID = ".note*"


@dataclass(frozen=True)
class DebugInfo:
    """Files with the debugging information of images."""

    vmlinux: Path
    """The kernel."""
    scripts: Path
    """The kernel's own helpers for gdb, to be sourced."""
    modules: Mapping[str, Path]
    """By the kernel's names of them."""
    programs: Mapping[str, Path]
    """The programs that are compiled of sources, by their names in the guest."""


def require_kept(builder: str) -> None:
    """Raises UsageError for a builder whose images cannot be described afterwards."""
    if builder != "debian":
        raise UsageError(
            f"the builder {builder} keeps nothing that a debugger could read",
            fix="take the default builder: leave out --builder",
        )


def make(order: Order, images: Images) -> DebugInfo:
    """Debugging information of the images that were made for an order, if it is not there yet.

    Raises UsageError for images of another builder, BuildError with the log if it cannot be made
    or is that of another code.
    """
    plain = order.bench
    kernel = _kernel(plain, images)
    tools = toolchain.find(order.machine)
    holding = sandbox.choose(order.payload.root, order.trust, order.limits)
    bench = Bench(plain.store, plain.progress, plain.jobs, order.machine, tools, holding)
    return DebugInfo(
        kernel.path / "vmlinux",
        kernel.path / "vmlinux-gdb.py",
        {modinfo.kernel_name(each.stem): _module(bench, each) for each in images.modules},
        _programs(bench, order.payload, images),
    )


def _module(bench: Bench, module: Path) -> Path:
    """A copy of a module whose sections all have the address 0.

    Linux 6.12 gives one of them another, and gdb places only modules that have none.
    """

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        copy = [f"{bench.machine.cross_compile}objcopy", "--change-section-vma", "*=0"]
        bench.sandbox.run(
            [*copy, str(module), str(folder / module.name)],
            log,
            output=folder,
            readable=[module],
            sources=module.parent,
            cwd=folder,
        )

    inputs = {"module": digest_file(module), "tools": str(bench.tools.compilers)}
    return bench.run(Step("module-debug-info", inputs, expected_s=1), make).path / module.name


def _programs(bench: Bench, payload: Payload, images: Images) -> dict[str, Path]:
    if not payload.compiled:
        return {}
    described = replace(payload, cflags=(*payload.cflags, "-g"))
    output = programs.compile(bench, described, payload.compiled)
    booted = {path.name: path for path in images.programs}
    found = {each.name: output.path / each.name for each in payload.compiled}
    for name, path in found.items():
        _require_same_functions(images, booted[name], path, bench.store.log(output.step))
    return found


def _kernel(bench: Workbench, images: Images) -> Output:
    require_kept(images.builder.name)
    (built,) = (each for each in images.steps if each.step.name == "kernel")
    requests = kconfig.read_fragments([places.checkout() / "kernel" / "fragments" / "gdb.config"])

    if kconfig.read_config(images.kernel_build / ".config").get("CONFIG_DEBUG_INFO") == "y":
        # Its types were left out, and with them the compiler makes other code.
        raise UsageError(
            "gdb cannot look into a kernel with the debug options: it is built without types",
            fix="test without --debug, and look into that",
        )
    targets = ["vmlinux", "scripts_gdb"]

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        objects = folder / "objects"
        objects.mkdir()
        shutil.copyfile(images.kernel_build / ".config", objects / ".config")
        kconfig.merge(objects / ".config", requests)
        assignments = toolchain.assignments(images.variables)
        base = ["make", f"O={objects}", f"-j{bench.jobs}", *assignments]
        run_logged([*base, "olddefconfig"], log, cwd=images.kernel_source, env=REPRODUCIBLE)
        kconfig.check(objects / ".config", requests)
        run_logged(
            [*base, *(f"CFLAGS_REMOVE_{each}.o=-g" for each in _NOT_DESCRIBED), *targets],
            log,
            cwd=images.kernel_source,
            env=REPRODUCIBLE,
            on_line=on_line,
        )
        _require_same(images, images.kernel_build / "vmlinux", objects / "vmlinux", log)
        (objects / "vmlinux").rename(folder / "vmlinux")
        for name in ("vmlinux-gdb.py", "scripts/gdb"):
            source, target = objects / name, folder / name
            target.parent.mkdir(exist_ok=True)
            # What are links to the sources is copied.
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copyfile(source, target)
        shutil.rmtree(objects)

    config = "".join(f"{request}\n" for request in requests.values())
    inputs = {"kernel": built.step.key, "config": digest_text(config)}
    inputs["not described"] = " ".join(_NOT_DESCRIBED)
    return bench.run(Step("kernel-debug-info", inputs, expected_s=200), make)


def _require_same(images: Images, booted: Path, described: Path, log: Path) -> None:
    """Raises BuildError if two kernels, but for what describes them, are not the same."""
    prefix = images.variables.get("CROSS_COMPILE", "")
    with tempfile.TemporaryDirectory(prefix="pibed-") as name:
        digests = []
        for number, path in enumerate((booted, described)):
            target = Path(name) / str(number)
            argv = [f"{prefix}objcopy", "-O", "binary", "-R", _BUILD_ID, str(path), str(target)]
            run_logged(argv, log)
            digests.append(digest_file(target))
    if digests[0] != digests[1]:
        raise _other(booted, log)


def _require_same_functions(images: Images, booted: Path, described: Path, log: Path) -> None:
    """Raises BuildError if two programs do not have the same functions in the same places.

    The linker may put its own bridges between Thumb and ARM code in another order.
    """
    prefix = images.variables.get("CROSS_COMPILE", "")
    found = []
    for path in (booted, described):
        inside = sandbox.around(images.sandbox, path)
        said = capture([f"{prefix}nm", "-S", "--defined-only", str(path)], inside=inside)
        found.append([each for each in said.splitlines() if re.search(r" [Tt] ", each)])
    bridges = re.compile(r"_(from_thumb|from_arm|veneer)$")
    first, second = ([each for each in lines if not bridges.search(each)] for lines in found)
    # Of one that was stripped only its file is known.
    if first and first != second:
        raise _other(booted, log)


def _other(path: Path, log: Path) -> BuildError:
    what = f"{path.name}, compiled again with debugging information, is another one"
    return BuildError(what, log=log)
