"""Machines: what is emulated, with its kernel. `configs/machines/*.yaml` describe them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from pibed.base.errors import UsageError
from pibed.model.loading import Name, Package, Record, RelativePath, load

Clock = Literal["virtual", "board", "host"]

Use = Literal["console", "agent"]

Series = Annotated[str, Field(pattern=r"^\d+\.\d+$")]

FileName = Annotated[str, Field(pattern=r"^[\w.-]+$")]


class DebugKernel(Record):
    """What turns the kernel into one that finds errors, for `./inv ktest --debug`."""

    fragments: Annotated[list[Name], Field(min_length=1)]
    """Files of kernel/fragments/ without `.config`, behind the kernel's own."""
    kernel_args: list[str] = []
    """Added to the kernel's command line."""
    boot_timeout_s: Annotated[float, Field(gt=0)]
    """In place of the machine's."""


class CoverageKernel(Record):
    """What turns the kernel into one whose modules count lines, for `./inv ktest --coverage`."""

    fragments: Annotated[list[Name], Field(min_length=1)]
    """Files of kernel/fragments/ without `.config`, behind all others of the machine."""


class Magic(Record):
    """Bytes by which a file is known."""

    offset: Annotated[int, Field(ge=0)]
    """At which byte of the file they begin."""
    value: Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$")]
    """The bytes, each as two hexadecimal digits."""


class Kernel(Record):
    """The guest's kernel."""

    version: Series
    """Series, such as "6.1": the package `linux-source-<version>` is built."""
    versions: list[Series]
    """The series that `--kernel` takes; the module is tested on all of them."""
    fragments: Annotated[list[Name], Field(min_length=1)]
    """Files of kernel/fragments/ without `.config`, in order; a later line wins."""
    boot_folder: RelativePath
    """Folder of the kernel's sources, and of its build, that has the images and `dts/`."""
    image: FileName
    """What QEMU boots: a file that make is asked for, and makes in `boot_folder`."""
    image_magic: Magic
    """By which `image` is known."""
    plain_image: FileName
    """The image that is not compressed, made on the way to `image`: it tells what modules fit."""
    device_tree: FileName
    """The board's device tree below `dts/` of `boot_folder`, without `.dtb`."""
    overlays: list[Name] = []
    """Files of kernel/dts/ without `.dtso`, applied to the device tree in order."""
    debug: DebugKernel
    coverage: CoverageKernel | None = None

    @model_validator(mode="after")
    def _version_is_known(self) -> Kernel:
        if self.version not in self.versions:
            raise ValueError(f"version: expected one of {', '.join(self.versions)}")
        return self


class ClockMode(Record):
    """How QEMU and the kernel are started for one kind of clock."""

    jobs: Literal["cores", "one"]
    """How many rounds run side by side unless `--jobs` says otherwise."""
    qemu_args: list[str]
    """Added to QEMU's command line."""
    kernel_args: list[str]
    """Added to the kernel's command line."""


class Emulator(Record):
    """The emulator."""

    binary: str
    """Name of the program, looked up in PATH, or an absolute path."""
    minimum_version: Annotated[str, Field(pattern=r"^\d+\.\d+$")]
    """Older ones are refused."""
    args: list[str] = []
    """Added to QEMU's command line with every clock."""


class Packages(Record):
    """Debian's packages of what depends on the machine."""

    compiler: Package
    """Of the cross compiler."""
    cxx_compiler: Package | None = None
    """Of the cross compiler for C++, which only workloads of that need."""
    libc: Package
    """Of the static C library that the guest's programs are linked with."""
    qemu: Package
    """Of the emulator."""
    architecture: Package | None = None
    """The distribution's name of the guest's architecture, for packages that the guest gets."""


class SerialLine(Record):
    """A serial line of the board."""

    use: Use
    """What it carries: the kernel's words, or commands and results."""
    device: Annotated[str, Field(pattern=r"^\w+$")]
    """The kernel's name of it: that of its file in the guest's /dev."""


class Machine(Record):
    """An emulated board with its kernel and user space."""

    schema_version: Literal[1]
    name: Name
    board: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    """QEMU's machine type."""
    timing: Name | None = None
    """The file of configs/boards/ whose time the clock `board` has; events need it as well."""
    cpus: Annotated[int, Field(ge=1, le=64)]
    """CPUs of the board (QEMU's -smp)."""
    memory_mib: Annotated[int, Field(ge=16, le=65536)]
    """Memory of the board in MiB."""
    arch: Annotated[str, Field(pattern=r"^[a-z0-9]+$")]
    """The kernel's name of the architecture."""
    cross_compile: Annotated[str, Field(pattern=r"^[\w.-]*$")]
    """Prefix of the cross compiler's programs."""
    packages: Packages
    kernel: Kernel
    board_folder: RelativePath
    """Folder with `overlay/` (files of the root file system) and `busybox.config`."""
    guest_clock: Annotated[int, Field(ge=0)] | None = None
    """Physical address of a 64-bit counter of microseconds that reading leaves as it is: by it the
    host knows how long a command has taken of a guest that says nothing any more."""
    serial_lines: list[SerialLine]
    """In the order in which QEMU's board has them."""
    kernel_args: list[str]
    """The kernel's command line, with every clock, behind the name of its console."""
    qemu: Emulator
    clock: Clock
    """The clock that is used unless `--clock` says otherwise."""
    clocks: dict[Clock, ClockMode]
    boot_timeout_s: Annotated[float, Field(gt=0)]
    """Host seconds until the agent's first marker must have come."""

    @model_validator(mode="after")
    def _clock_is_described(self) -> Machine:
        if self.clock not in self.clocks:
            raise ValueError(f"clock: {self.clock} is not described in clocks")
        return self

    @model_validator(mode="after")
    def _board_clock_can_be_driven(self) -> Machine:
        if (mode := self.clocks.get("board")) is None:
            return self
        if self.timing is None:
            raise ValueError("clocks.board: needs timing, the name of a file of configs/boards/")
        words = [*self.qemu.args, *mode.qemu_args]
        if "shift=0,sleep=off" not in words:
            raise ValueError("clocks.board.qemu_args: expected -icount shift=0,sleep=off")
        if self.cpus > 1 and not (
            any(word.endswith(".enabled-cpus=1") for word in words)
            and "maxcpus=1" in mode.kernel_args
        ):
            raise ValueError(
                "clocks.board: one CPU can be started, and no more: expected enabled-cpus=1 in "
                "qemu_args and maxcpus=1 in kernel_args"
            )
        if debugger := {"-gdb", "-s", "-S"} & set(words):
            raise ValueError(
                f"clocks.board: {min(debugger)}: no debugger can stop a guest that has the "
                "board's time"
            )
        return self

    @model_validator(mode="after")
    def _each_use_has_one_line(self) -> Machine:
        if sorted(line.use for line in self.serial_lines) != sorted(get_args(Use)):
            raise ValueError(f"serial_lines: expected one for each of: {', '.join(get_args(Use))}")
        return self

    def serial_device(self, use: Use) -> str:
        """The kernel's name of a serial line."""
        return next(line.device for line in self.serial_lines if line.use == use)

    def with_debug_kernel(self) -> Machine:
        """The same machine with a kernel that finds errors."""
        debug = self.kernel.debug
        kernel = self.kernel.model_copy(
            update={"fragments": [*self.kernel.fragments, *debug.fragments]}
        )
        return self.model_copy(
            update={
                "kernel": kernel,
                "kernel_args": [*self.kernel_args, *debug.kernel_args],
                "boot_timeout_s": debug.boot_timeout_s,
            }
        )

    def with_coverage_kernel(self) -> Machine:
        """The same machine with a kernel whose modules can count lines.

        Raises UsageError if it has none.
        """
        if self.kernel.coverage is None:
            raise UsageError(
                f"configs/machines/{self.name}.yaml: the machine has no kernel that counts lines",
                fix="add kernel.coverage, see docs/configuration.md",
            )
        fragments = [*self.kernel.fragments, *self.kernel.coverage.fragments]
        kernel = self.kernel.model_copy(update={"fragments": fragments})
        return self.model_copy(update={"kernel": kernel})


def load_machine(name: str, overrides: Mapping[str, Any] | None = None) -> Machine:
    """Reads `configs/machines/<name>.yaml`; `overrides` maps dotted keys to new values.

    Raises UsageError with file, key and what was expected.
    """
    return load(Machine, "machine", name, overrides or {})
