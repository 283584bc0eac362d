"""Machines: what is emulated, with its kernel. `configs/machines/*.yaml` describe them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pibed.model.loading import Name, Record, RelativePath, load

Clock = Literal["virtual", "host"]

Series = Annotated[str, Field(pattern=r"^\d+\.\d+$")]


class DebugKernel(Record):
    """What turns the kernel into one that finds errors, for `./inv ktest --debug`."""

    fragments: Annotated[list[Name], Field(min_length=1)]
    """Files of kernel/fragments/ without `.config`, behind the kernel's own."""
    kernel_args: list[str] = []
    """Added to the kernel's command line."""
    boot_timeout_s: Annotated[float, Field(gt=0)]
    """In place of the machine's."""


class Kernel(Record):
    """The guest's kernel."""

    version: Series
    """Series, such as "6.1": the package `linux-source-<version>` is built."""
    versions: list[Series]
    """The series that `--kernel` takes; the module is tested on all of them."""
    fragments: Annotated[list[Name], Field(min_length=1)]
    """Files of kernel/fragments/ without `.config`, in order; a later line wins."""
    device_tree: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    """The board's device tree in the kernel's sources, without `.dtb`."""
    overlays: list[Name] = []
    """Files of kernel/dts/ without `.dtso`, applied to the device tree in order."""
    debug: DebugKernel

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

    binary: str = "qemu-system-arm"
    """Name of the program, looked up in PATH, or an absolute path."""
    minimum_version: Annotated[str, Field(pattern=r"^\d+\.\d+$")]
    """Older ones are refused."""
    args: list[str] = []
    """Added to QEMU's command line with every clock."""


class Machine(Record):
    """An emulated board with its kernel and user space."""

    schema_version: Literal[1]
    name: Name
    board: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    """QEMU's machine type."""
    cpus: Annotated[int, Field(ge=1, le=64)]
    """CPUs of the board (QEMU's -smp)."""
    memory_mib: Annotated[int, Field(ge=16, le=65536)]
    """Memory of the board in MiB."""
    arch: Annotated[str, Field(pattern=r"^[a-z0-9]+$")]
    """The kernel's name of the architecture."""
    cross_compile: Annotated[str, Field(pattern=r"^[\w.-]*$")]
    """Prefix of the cross compiler's programs."""
    kernel: Kernel
    board_folder: RelativePath
    """Folder with `overlay/` (files of the root file system) and `busybox.config`."""
    kernel_args: list[str]
    """The kernel's command line, with every clock."""
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


def load_machine(name: str, overrides: Mapping[str, Any] | None = None) -> Machine:
    """Reads `configs/machines/<name>.yaml`; `overrides` maps dotted keys to new values.

    Raises UsageError with file, key and what was expected.
    """
    return load(Machine, "machine", name, overrides or {})
