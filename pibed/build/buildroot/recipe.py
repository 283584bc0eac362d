"""What Buildroot is asked for: its configuration, from a machine, a payload and the settings."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pibed.base import places
from pibed.base.errors import BuildError, HostError, UsageError
from pibed.base.process import capture
from pibed.build import kconfig
from pibed.build.payload import Payload
from pibed.build.program import Program
from pibed.model.machine import Machine

# The newest kernel headers and compiler that Buildroot 2025.02 has names for.
_NEWEST_HEADERS = (6, 12)

_EXTERNAL = "$(BR2_EXTERNAL_PIBED_PATH)"

# What all options of a toolchain begin with.
_TOOLCHAIN = "BR2_TOOLCHAIN_"

_TOOLCHAINS = Path("buildroot") / "toolchains"

# What a compiler is asked with.
_HEADERS = Path(__file__).with_name("headers.c")
_OPENMP = Path(__file__).with_name("openmp.c")

_DEFAULT = re.compile(r"^config \w+_CFLAGS\n(?:\t.*\n)*?\tdefault (\".*\")$", re.MULTILINE)

_SITE = re.compile(rf"^\w+_SITE = {re.escape(_EXTERNAL)}/\.\./(\S+)$", re.MULTILINE)


def symbol(package: str, option: str = "") -> str:
    """The option of a package of the external tree, such as BR2_PACKAGE_DENSE_MM_CFLAGS."""
    return f"BR2_PACKAGE_{package.upper().replace('-', '_')}{option}"


def require_packages(payload: Payload) -> None:
    """Raises UsageError unless the external tree has the payload's packages, of its sources.

    Nor does it know kernels that are a payload's own, or modules that need one another.
    """
    for what, key in (
        ("more than one module", [each.key for each in payload.modules[1:]]),
        ("module of the kernel's tree", [each.key for each in payload.tree_modules]),
        ("kernel configuration of an experiment's", ["kernel.fragments"] * len(payload.fragments)),
    ):
        if key:
            raise UsageError(
                f"{payload.config_file}: {key[0]}: the builder buildroot takes no {what}",
                fix="take --builder debian",
            )
    folder = places.checkout() / "buildroot" / "package"
    modules, programs = packages(payload)
    wanted = list(zip(modules, payload.folders, strict=True))
    wanted += [(programs, each.folder) for each in payload.compiled]
    for name, source in wanted:
        if not (folder / name / f"{name}.mk").is_file():
            raise UsageError(
                f"{payload.config_file}: Buildroot has no package {name}",
                fix=f"add one in {folder}, see docs/builders.md, or use the builder debian",
            )
        known = places.checkout() / site(places.checkout(), name)
        if not source.is_relative_to(known):
            raise UsageError(
                f"{payload.config_file}: Buildroot's package {name} is made of {known}, "
                f"not of {source}",
                fix=f"correct {folder / name / name}.mk, or use the builder debian",
            )
    _require_c_only(payload)


def _require_c_only(payload: Payload) -> None:
    """Raises UsageError for what a package of the external tree does not bring."""
    forms = {
        each.name: "is not of sources that are named"
        for each in payload.programs
        if not isinstance(each, Program)
    }
    for each in payload.compiled:
        if each.is_cxx:
            forms[each.name] = "is C++"
        elif each.libraries:
            forms[each.name] = "has libraries of its own"
    if not payload.programs:
        forms["the workload"] = "is no program of the experiment's"
    if payload.files is not None or payload.packages is not None:
        key = "packages" if payload.files is None else "files"
        raise UsageError(
            f"{payload.config_file}: {key}: the builder buildroot does not put them into the guest",
            fix="take --builder debian",
        )
    for name, what in forms.items():
        raise UsageError(
            f"{payload.config_file}: workload: {name} {what}, which the builder buildroot does "
            "not take",
            fix="take --builder debian",
        )


def site(root: Path, package: str) -> str:
    """The folder, relative to the checkout `root`, that a package of its external tree is made of.

    Raises UsageError if it does not say so.
    """
    path = root / "buildroot" / "package" / package / f"{package}.mk"
    match = _SITE.search(path.read_text(encoding="utf-8"))
    if match is None:
        raise UsageError(f"{path}: expected …_SITE = {_EXTERNAL}/../FOLDER")
    return match[1]


def packages(payload: Payload) -> tuple[list[str], str]:
    """The packages of a payload's modules and of its programs."""
    return [each.name.replace("_", "-") for each in payload.own_modules], payload.package


def requests(
    root: Path, machine: Machine, payload: Payload, toolchain: Mapping[str, str]
) -> dict[str, str]:
    """Options and their values; a later one replaces an earlier one.

    `root` is the checkout or a copy, `toolchain` has what the toolchain needs unless it is the one
    of the machine's defconfig. Raises UsageError
    for a machine that the external tree does not know.
    """
    name = Path("buildroot") / "configs" / f"pibed_{machine.name}_defconfig"
    defconfig = root / name
    if not defconfig.is_file():
        raise UsageError(
            f"configs/machines/{machine.name}.yaml: the builder buildroot does not know this "
            f"machine: there is no {name}"
        )
    board = f"{_EXTERNAL}/{Path(machine.board_folder).relative_to('buildroot')}"
    fragments = [f"{_EXTERNAL}/../kernel/fragments/{x}.config" for x in machine.kernel.fragments]
    ours = {
        "BR2_LINUX_KERNEL_LATEST_VERSION": "n",
        "BR2_LINUX_KERNEL_CUSTOM_TARBALL": "y",
        "BR2_LINUX_KERNEL_CUSTOM_CONFIG_FILE": quoted(fragments[0]),
        "BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES": quoted(" ".join(fragments[1:])),
        "BR2_ROOTFS_POST_IMAGE_SCRIPT_ARGS": quoted(
            " ".join([machine.kernel.device_tree, *machine.kernel.overlays])
        ),
        "BR2_PACKAGE_BUSYBOX_CONFIG": quoted(f"{board}/busybox.config"),
        "BR2_ROOTFS_OVERLAY": quoted(f"{board}/overlay"),
        **{symbol(name): "y" for name in (*packages(payload)[0], payload.package)},
        symbol(payload.package, "_CFLAGS"): quoted(" ".join(payload.cflags)),
    }
    known = _options(defconfig)
    if toolchain:
        # In the place of the one that the machine's file has for builds by hand.
        known = {name: value for name, value in known.items() if not name.startswith(_TOOLCHAIN)}
    return known | dict(toolchain) | ours


def default_cflags(root: Path, package: str) -> str:
    """The value of a package's option for its compiler options where nothing else is asked for."""
    path = root / "buildroot" / "package" / package / "Config.in"
    found = _DEFAULT.search(path.read_text(encoding="utf-8"))
    return "" if found is None else found[1]


def internal(root: Path, machine: Machine) -> dict[str, str]:
    """What makes Buildroot build its toolchain."""
    series = _capped(tuple(int(part) for part in machine.kernel.version.split(".")))
    return _options(root / _TOOLCHAINS / "internal.config") | {
        f"BR2_PACKAGE_HOST_LINUX_HEADERS_CUSTOM_{series}": "y"
    }


def external(root: Path, folder: Path, prefix: str) -> dict[str, str]:
    """What Buildroot must be told of a toolchain in a folder, as its compiler says it.

    Raises HostError if there is no compiler, BuildError for one that does not compile.
    """
    compiler = folder / "bin" / f"{prefix}-gcc"
    if not compiler.is_file():
        raise HostError(
            f"{compiler}: there is no such compiler",
            fix="correct path and prefix in configs/buildroot.yaml, see docs/builders.md",
        )
    answers = _ask(compiler)
    version = answers["version"]
    headers = _capped((version >> 16, version >> 8 & 255))
    libc = "GLIBC" if answers["glibc"] else "UCLIBC" if answers["uclibc"] else "MUSL"
    series = capture([str(compiler), "-dumpversion"]).strip().partition(".")[0]
    return _options(root / _TOOLCHAINS / "external.config") | {
        "BR2_TOOLCHAIN_EXTERNAL_CUSTOM_PREFIX": quoted(prefix),
        f"BR2_TOOLCHAIN_EXTERNAL_GCC_{series}": "y",
        f"BR2_TOOLCHAIN_EXTERNAL_HEADERS_{headers}": "y",
        f"BR2_TOOLCHAIN_EXTERNAL_CUSTOM_{libc}": "y",
        "BR2_TOOLCHAIN_EXTERNAL_INET_RPC": "y" if answers["rpc"] else "n",
        # Buildroot refuses a toolchain that has more than it is said to.
        "BR2_TOOLCHAIN_EXTERNAL_CXX": "y" if (folder / "bin" / f"{prefix}-g++").is_file() else "n",
        "BR2_TOOLCHAIN_EXTERNAL_OPENMP": "y" if _has_openmp(compiler) else "n",
    }


def text(requested: Mapping[str, str]) -> str:
    """A configuration file with these options."""
    return "".join(
        f"# {name} is not set\n" if value == "n" else f"{name}={value}\n"
        for name, value in sorted(requested.items())
    )


def quoted(value: str) -> str:
    """A text as the value of an option."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _options(path: Path) -> dict[str, str]:
    return {name: each.value for name, each in kconfig.read_fragments([path]).items()}


def _capped(series: tuple[int, ...]) -> str:
    """A series of the kernel as Buildroot's options have it."""
    return "{}_{}".format(*min(series, _NEWEST_HEADERS))


def _ask(compiler: Path) -> dict[str, int]:
    """The numbers that the headers of a compiler state; 0 where they state none."""
    output = capture([str(compiler), "-E", "-P", str(_HEADERS)])
    answers = dict.fromkeys(("version", "glibc", "uclibc", "rpc"), 0)
    answers |= {name: int(value) for name, value in re.findall(r"^(\w+)=(\d+)$", output, re.M)}
    if not answers["version"]:
        raise BuildError(f"{compiler}: it has no kernel headers", context=output.splitlines()[-5:])
    return answers


def _has_openmp(compiler: Path) -> bool:
    """As Buildroot looks for it."""
    with tempfile.TemporaryDirectory(prefix="pibed-") as folder:
        try:
            capture([str(compiler), "-fopenmp", "-o", f"{folder}/a", str(_OPENMP)])
        except BuildError:
            return False
    return True
