"""Fits a board's memory to what was published of it: `bench/fit_board.py BOARD [--write]`.

BOARD is a file of configs/boards/, such as bcm2837. Its numbers whose source is `fitted` are chosen
so that memory_bench in the guest measures what benchmarks measured on boards of that kind
(results/reference/boards.csv), and nothing else goes in: no number of the study on a Pi does.
The sum of squares of the relative errors is made small by Gauss-Newton steps, each a boot for every
number. With --write the file's values are replaced; without, they are printed.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from pibed.base import places
from pibed.build.making import cores
from pibed.commands import build
from pibed.guest.guest import Guest, Launch
from pibed.guest.qemu import Logs
from pibed.model.board import LIMITS, Board, load_board
from pibed.model.experiment import load_experiment
from pibed.model.machine import load_machine
from pibed.model.protocol import Command
from pibed.model.samples import take_metrics
from pibed.studies.boards import reference

# KiB: sizes about which boards of one kind agree, see pibed/studies/boards/reference.py.
SIZES = (64, 128, 256, 1024, 2048, 4096, 8192)

# By how much a number is changed to see what it does.
STEP = 0.2

# How strongly a number stays where it was if the measurements say nothing about it: what a change
# of it by all of its value counts as, in relative errors.
PRIOR = 0.02

Key = tuple[str, int]
"""A metric of the experiment `memory`, and the size of the buffer in KiB."""


def targets(board: str) -> dict[Key, float]:
    """What was published: the mean of the boards of that kind."""
    published = reference.read(places.checkout() / "results" / "reference" / "boards.csv")
    found: dict[Key, list[float]] = {}
    for each in published:
        if each.soc != board:
            continue
        if each.measure in reference.LATENCIES and each.buffer_kib in SIZES:
            key = (reference.LATENCIES[each.measure], each.buffer_kib)
        elif each.measure in reference.BANDWIDTHS:
            key = (reference.BANDWIDTHS[each.measure], SIZES[-1])
        else:
            continue
        found.setdefault(key, []).append(each.value)
    return {key: float(np.mean(values)) for key, values in found.items()}


class Bench:
    """The guest that measures, with any numbers of the board."""

    def __init__(self, board: str) -> None:
        names = sorted(p.stem for p in (places.checkout() / "configs" / "machines").glob("*.yaml"))
        machines = [load_machine(name, {"clock": "board"}) for name in names]
        self._machine = next(each for each in machines if each.timing == board)
        self._experiment = load_experiment("memory")
        self._images = build.make_images(self._machine, self._experiment, board=load_board(board))

    def measure(self, board: Board) -> dict[Key, float]:
        """The medians of one boot; those of one sample are the sample's."""
        assert self._images.timing is not None
        seconds = self._experiment.workload.timeout_s
        with tempfile.TemporaryDirectory(prefix="pibed-fit-") as name:
            file = Path(name) / "board.txt"
            file.write_text(board.text(), encoding="ascii")
            timing = dataclasses.replace(self._images.timing, board_file=file, board=board)
            images = dataclasses.replace(self._images, timing=timing)
            commands = [Command(str(kib), seconds, f"memory_bench {kib}") for kib in SIZES]
            found: dict[Key, float] = {}
            launch = Launch(self._machine, images, "board", seed=1)
            with Guest(launch, Logs.below(Path(name)), commands) as guest:
                for kib, command in zip(SIZES, commands, strict=True):
                    result = guest.run(command)
                    if result.status != 0:
                        raise SystemExit(f"memory_bench {kib} {result.ending}: {result.words}")
                    taken = take_metrics(self._experiment, result, None)
                    found |= {(metric, kib): float(value) for metric, value in taken.items()}
                guest.finish()
        return found


def changed(board: Board, values: Mapping[str, int]) -> Board:
    """The board with other values of some numbers."""
    numbers = {
        key: each.model_copy(update={"value": values.get(key, each.value)})
        for key, each in board.numbers.items()
    }
    return board.model_copy(update={"numbers": numbers})


def fitted(board: Board) -> list[str]:
    """The numbers that are to be found."""
    return [key for key, each in board.numbers.items() if each.source.startswith("fitted")]


def errors(measured: Mapping[Key, float], wanted: Mapping[Key, float]) -> np.ndarray:
    """Logarithms of measured by wanted: relative errors that are the same in both directions."""
    return np.array([np.log(measured[key] / value) for key, value in wanted.items()])


def step(bench: Bench, board: Board, wanted: Mapping[Key, float]) -> dict[str, int]:
    """One Gauss-Newton step: what the numbers should be."""
    keys = fitted(board)
    before = {key: board.numbers[key].value for key in keys}
    other = {key: max(1, round(value * (1 + STEP))) for key, value in before.items()}
    other = {key: value if value != before[key] else value + 1 for key, value in other.items()}
    boards = [board, *(changed(board, {key: other[key]}) for key in keys)]
    with ThreadPoolExecutor(cores()) as pool:
        base, *moved = (errors(each, wanted) for each in pool.map(bench.measure, boards))
    tell(wanted, base)
    # Columns are errors by relative change of a number.
    scale = np.array([(other[key] - before[key]) / max(1, before[key]) for key in keys])
    slopes = np.stack([each - base for each in moved], axis=1) / scale
    rows = np.concatenate([slopes, PRIOR * np.eye(len(keys))])
    change = np.linalg.lstsq(rows, np.concatenate([-base, np.zeros(len(keys))]), rcond=None)[0]
    found = {}
    for key, by in zip(keys, change, strict=True):
        low, high = LIMITS[key]
        # A number that would more than halve or double is followed step by step.
        found[key] = min(high, max(low, round(before[key] * (1 + min(1.0, max(-0.5, by))))))
    return found


def tell(wanted: Mapping[Key, float], found: np.ndarray) -> None:
    """Prints how near a board's numbers come."""
    within = int(np.sum(np.abs(np.exp(found) - 1) <= 0.15))
    rms = float(np.sqrt(np.mean(found**2)))
    print(f"{within} of {len(wanted)} within 15 %, root mean square of the errors {rms:.1%}")
    for (metric, kib), error in sorted(zip(wanted, found, strict=True)):
        print(f"  {metric:28} {kib:6} KiB  {np.exp(error):.3f}")


def write(path: Path, values: Mapping[str, int]) -> None:
    """Replaces values in a board's file, where each number has a line of its own."""
    text = path.read_text(encoding="utf-8")
    for key, value in values.items():
        text, count = re.subn(rf"(?m)^(  {key}: {{value: )\d+", rf"\g<1>{value}", text)
        if count != 1:
            raise SystemExit(f"{path}: {key}: expected one line `  {key}: {{value: …`")
    path.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """Fits, and prints or writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("board")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args(arguments)
    board, wanted, bench = load_board(options.board), targets(options.board), Bench(options.board)
    for _ in range(options.steps):
        values = step(bench, board, wanted)
        board = changed(board, values)
        print("\n".join(f"{key}: {value}" for key, value in values.items()))
    tell(wanted, errors(bench.measure(board), wanted))
    if options.write:
        write(places.checkout() / "configs" / "boards" / f"{options.board}.yaml", values)


if __name__ == "__main__":
    main(sys.argv[1:])
