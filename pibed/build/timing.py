"""The timing plugin for QEMU, made of `timing/` with the host's compiler for the QEMU that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pibed.base import places
from pibed.base.errors import BuildError, HostError, UsageError
from pibed.base.files import digest_files
from pibed.base.process import capture, run_logged
from pibed.build import host, toolchain
from pibed.build.making import Workbench
from pibed.build.store import Output, Step
from pibed.model.board import Board, load_board
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine

INTERFACES: Mapping[str, int] = {"7.2": 1, "10.0": 4}
"""The QEMUs with which the plugin was tested, and the version of their plugin interface."""

_COMPILER = "gcc"


@dataclass(frozen=True)
class Timing:
    """The plugin, and the board whose numbers it reads from a file."""

    plugin: Path
    board_file: Path
    board: Board


def wanted(machine: Machine, experiment: Experiment) -> Board | None:
    """The board that measuring an experiment with the machine's clock needs, if it needs one.

    Raises UsageError for a board that is not described, and where events cannot be counted.
    """
    if machine.clock == "board":
        return board_of(machine)
    counted = next((name for name, each in experiment.metrics.items() if each.event), None)
    if counted is None:
        return None
    if machine.clock == "host":
        where = f"{experiment.where}: metrics.{counted}.event"
        raise UsageError(
            f"{where}: with --clock host events cannot be counted",
            fix="measure it with --clock virtual or --clock board",
        )
    return board_of(machine)


def board_of(machine: Machine) -> Board:
    """The board of a machine; raises UsageError where there is none."""
    where = f"configs/machines/{machine.name}.yaml: timing"
    if machine.timing is None:
        raise UsageError(f"{where}: missing; expected the name of a file of configs/boards/")
    try:
        return load_board(machine.timing)
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", fix=error.fix) from None


def interface(machine: Machine) -> int:
    """The version of the plugin interface of the QEMU that will run.

    Raises HostError for a QEMU that the plugin does not know, or that loads no plugins.
    """
    binary = machine.qemu.binary
    line = host.qemu_version(binary, machine.qemu.minimum_version)
    series = ".".join((host.find_version(line) or "").split(".")[:2])
    if series not in INTERFACES:
        raise HostError(
            f"{binary} is {line}: the board's time and counts are known to be right with "
            f"QEMU {' and '.join(INTERFACES)} only",
            fix="set qemu.binary in the machine's configuration to one of these, "
            "or measure with --clock virtual",
        )
    if "\n-plugin " not in capture([binary, "-help"]):
        raise HostError(
            f"{binary} was built without plugins, which the board's time and counts need",
            fix="set qemu.binary in the machine's configuration to a QEMU that has them",
        )
    return INTERFACES[series]


def make(bench: Workbench, board: Board, api: int) -> tuple[Timing, Output]:
    """The plugin for this board and version of the interface, and the step that made it.

    Raises HostError for a missing compiler, BuildError with the log if it cannot be compiled.
    """
    folder = places.checkout() / "timing"
    sources = sorted(p for kind in ("*.c", "*.h", "Makefile") for p in folder.glob(kind))
    text = board.text()

    def run(target: Path, log: Path, on_line: Callable[[str], None]) -> None:
        variables = {"OUT": str(target), "API": str(api), "CC": _COMPILER}
        words = toolchain.assignments(variables)
        run_logged(["make", "-C", str(folder), *words], log, on_line=on_line)
        if not (target / "timing.so").is_file():
            raise BuildError(f"make made no timing.so of {folder}", log=log)
        (target / "board.txt").write_text(text, encoding="ascii")

    inputs = {
        "sources": digest_files(folder, sources),
        "compiler": toolchain.version(_COMPILER),
        "api": str(api),
        "board": text,
    }
    output = bench.run(Step("timing", inputs, expected_s=5), run)
    return Timing(output.path / "timing.so", output.path / "board.txt", board), output
