"""Where the steps of the builder `debian` are made: with which tools, in which environment."""

from __future__ import annotations

from dataclasses import dataclass

from pibed.build import toolchain
from pibed.build.making import Workbench
from pibed.build.sandbox import Sandbox
from pibed.build.toolchain import Toolchain
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
class Bench(Workbench):
    """A workbench for a machine, with the tools that make its images."""

    machine: Machine
    tools: Toolchain
    sandbox: Sandbox
    """Where what users wrote is compiled."""

    @property
    def compiler(self) -> str:
        """What compiles for the guest."""
        return f"{self.machine.cross_compile}gcc"

    @property
    def cxx_compiler(self) -> str:
        """What compiles C++ for the guest."""
        return f"{self.machine.cross_compile}g++"

    @property
    def variables(self) -> dict[str, str]:
        """What make is given."""
        return toolchain.make_variables(self.machine, self.machine.cross_compile)

    @property
    def assignments(self) -> list[str]:
        """The same as words of its command line."""
        return toolchain.assignments(self.variables)
