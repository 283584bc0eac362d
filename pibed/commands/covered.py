"""`ktest --coverage`: what it needs before the tests, and what is said of it behind them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pibed.base.errors import HostError, UsageError
from pibed.build import host, sandbox, toolchain
from pibed.build.images import Images
from pibed.build.kconfig import read_config
from pibed.build.payload import Payload
from pibed.build.sandbox import Sandbox
from pibed.commands import arguments
from pibed.commands.options import KtestOptions
from pibed.model.machine import Machine

if TYPE_CHECKING:
    from pibed.coverage.counts import Sources
    from pibed.coverage.report import Coverage
    from pibed.guest.guest import Guest

# In the folder of a boot.
_COUNTS = "gcda"

_MOST_RANGES = 12


@dataclass(frozen=True)
class Minimum:
    """What `--fail-under` asks for, in hundredths."""

    lines: int = 0
    branches: int = 0


@dataclass(frozen=True)
class Reached:
    """What a run has reached: None if no guest came to tell."""

    coverage: Coverage | None
    least: Minimum
    folder: Path

    @property
    def summary(self) -> str:
        """For the table."""
        return str(self.coverage or "reached: not known, since every guest was lost")

    @property
    def told(self) -> Iterator[str]:
        """What a person wants to know beside that."""
        from pibed.coverage import report

        if self.coverage is not None:
            for name, lines in self.coverage.missed.items():
                yield f"not reached: {name}:{_ranges(lines)}"
        lost = [path.name for path in _boots(self.folder) if not (path / _COUNTS).is_dir()]
        if lost:
            yield f"not in the coverage, since the guest was lost: {', '.join(lost)}"
        if self.coverage is not None:
            yield f"coverage: {self.folder / report.PAGE}"

    @property
    def lacking(self) -> list[str]:
        """What of the minimum was not reached."""
        if self.coverage is None:
            return ["coverage: not known"]
        return [
            f"coverage: {share} {name} is under {percentage} %"
            for name, share, percentage in (
                ("lines", self.coverage.lines, self.least.lines),
                ("branches", self.coverage.branches, self.least.branches),
            )
            if share.is_under(percentage)
        ]


@dataclass(frozen=True)
class Covering:
    """Modules that count, and what is known of them."""

    sources: Sources
    notes: Mapping[str, Path]
    gcov: str
    holding: Sandbox
    least: Minimum

    def collect(self, guest: Guest, folder: Path) -> None:
        """Keeps what a guest has counted in the folder of its boot."""
        from pibed.coverage import readout

        target = folder / _COUNTS
        target.mkdir()
        readout.keep(readout.read(guest), list(self.notes), target)

    def report(self, title: str, folder: Path) -> Reached:
        """Writes what all boots of a run have reached into its folder."""
        from pibed.coverage import counts, report

        boots = [path / _COUNTS for path in _boots(folder) if (path / _COUNTS).is_dir()]
        files = counts.summed(boots, self.notes, self.sources, self.gcov, self.holding)
        coverage = report.write(files, self.sources, title, folder) if files else None
        return Reached(coverage, self.least, folder)


def prepare(options: KtestOptions, machine: Machine, wanted: Payload) -> tuple[Machine, Payload]:
    """The machine and the payload, whose modules count if that is asked for.

    Raises UsageError where nothing can be counted, HostError for what the host lacks.
    """
    from pibed.coverage import report

    _minimum(options)
    if not options.coverage:
        return machine, wanted
    if options.builder == "buildroot":
        raise UsageError(
            "--coverage: Buildroot's modules do not count lines", fix="take --builder debian"
        )
    if not wanted.own_modules:
        raise UsageError(
            f"{wanted.config_file}: --coverage: the suite has no module of its own whose lines "
            "could be counted",
            fix="name one: module.folder and module.name",
        )
    counting = machine.with_coverage_kernel()
    report.require_gcovr()
    _require_gcov(machine.cross_compile)
    return counting, replace(wanted, counted=True)


def cover(
    options: KtestOptions, images: Images, machine: Machine, wanted: Payload
) -> Covering | None:
    """What is needed of images whose modules count; None where that is not asked for.

    Raises UsageError if the kernel or the modules do not count after all.
    """
    from pibed.coverage import counts

    if not options.coverage:
        return None
    if read_config(images.kernel_build / ".config").get("CONFIG_GCOV_KERNEL") != "y":
        raise UsageError(
            f"{wanted.config_file}: kernel.fragments: --coverage: this kernel does not count lines",
            fix="remove what switches CONFIG_GCOV_KERNEL off",
        )
    notes = counts.notes(images.modules)
    if not notes:
        names = ", ".join(each.name for each in wanted.own_modules)
        raise UsageError(
            f"{wanted.config_file}: --coverage: no file of {names} counts its lines",
            fix="remove `GCOV_PROFILE := n` from its Kbuild file or Makefile",
        )
    holding = sandbox.choose(wanted.root, options.trust)
    gcov = _gcov(machine.cross_compile)
    return Covering(counts.sources(wanted), notes, gcov, holding, _minimum(options))


def _minimum(options: KtestOptions) -> Minimum:
    given = options.fail_under
    if given is None:
        return Minimum()
    if not options.coverage:
        raise UsageError(f"--fail-under {given}: only with --coverage", fix="add --coverage")
    numbers = arguments.parse_numbers("--fail-under", given, example="95,90")
    if len(numbers) > 2 or not all(0 <= number <= 100 for number in numbers):
        raise UsageError(
            f"--fail-under {given}: expected a percentage of lines, or of lines and of branches: "
            "--fail-under 95,90"
        )
    return Minimum(*numbers)


def _ranges(numbers: Sequence[int]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    words = [f"{low}" if low == high else f"{low}-{high}" for low, high in parts]
    more = len(words) - _MOST_RANGES
    return ",".join(words[:_MOST_RANGES]) + (f" and {more} more" if more > 0 else "")


def _boots(folder: Path) -> list[Path]:
    return sorted((folder / "boots").iterdir())


def _gcov(prefix: str) -> str:
    return f"{prefix}gcov"


def _require_gcov(prefix: str) -> None:
    """The files of one version of GCC are read by gcov of the same version."""
    gcov, compiler = _gcov(prefix), f"{prefix}gcc"
    if shutil.which(gcov) is None:
        raise HostError(f"{gcov} is not installed", fix="./inv setup")
    versions = [host.find_version(toolchain.version(each)) for each in (gcov, compiler)]
    if versions[0] != versions[1]:
        raise HostError(
            f"{gcov} is of version {versions[0]}, and {compiler} of {versions[1]}",
            fix="install both from the same package",
        )
