"""Addresses in a kernel or a module, as files and lines: what debugging information says of them.

By binutils' readelf and addr2line. A module is not linked: an address in it is one in a section.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import BuildError, HostError
from pibed.base.process import capture

# A kernel with all of its debugging information takes some seconds.
_TIMEOUT_S = 60

_SECTION = re.compile(r"^\s*\[\s*(\d+)\] (\S+)", re.MULTILINE)

_FUNCTION = re.compile(
    r"^\s*\d+: ([0-9a-f]+)\s+(0x[0-9a-f]+|\d+) FUNC\s+\S+\s+\S+\s+(\d+) (\S+)", re.MULTILINE
)


@dataclass(frozen=True)
class Address:
    """A place in a function, as the kernel prints it: name, offset and length of the function."""

    function: str
    offset: int
    length: int


@dataclass(frozen=True)
class Position:
    """A line of a source file, and the function that it is in, which may be inlined."""

    function: str
    line: str
    """`FILE:LINE`."""


def positions(
    binary: Path, prefix: str, addresses: Iterable[Address], inside: Sequence[str] = ()
) -> dict[Address, tuple[Position, ...]]:
    """Where addresses are: the innermost of the inlined functions first, the last one is real.

    `prefix` is that of the compiler's programs, `inside` see `pibed.base.process.capture`. What is
    not known is left out, and all if the programs fail.
    """
    wanted = list(dict.fromkeys(addresses))
    if not wanted or not binary.is_file():
        return {}
    table = _run([f"{prefix}readelf", "-hSsW", str(binary)], inside)
    relocatable = "REL (Relocatable file)" in table
    sections = dict(_SECTION.findall(table))
    by_place: dict[str, list[tuple[Address, int]]] = {}
    known = {each.function for each in wanted}
    functions = [each for each in _FUNCTION.findall(table) if each[3] in known]
    for address in wanted:
        if (function := _function(address, functions)) is not None:
            value, _, section, _ = function
            place = sections.get(section, "") if relocatable else ""
            # The last bit says Thumb on ARM.
            start = int(value, 16) & ~1
            by_place.setdefault(place, []).append((address, start + address.offset))
    found: dict[Address, tuple[Position, ...]] = {}
    for place, each in by_place.items():
        option = ["-j", place] if place else []
        argv = [f"{prefix}addr2line", "-e", str(binary), *option, "-a", "-f", "-i"]
        answers = _answers(_run([*argv, *(f"{number:#x}" for _, number in each)], inside))
        if len(answers) == len(each):
            found |= {
                address: answer
                for (address, _), answer in zip(each, answers, strict=True)
                if answer
            }
    return found


def _function(
    address: Address, functions: Sequence[tuple[str, str, str, str]]
) -> tuple[str, str, str, str] | None:
    """The row of readelf's for the function in which an address is."""
    candidates = [
        each
        for each in functions
        if each[3] == address.function and address.offset < max(1, int(each[1], 0))
    ]
    # Static functions can have one name. The kernel's length may be the distance to what follows.
    same = (each for each in candidates if int(each[1], 0) == address.length)
    return next(same, candidates[0] if candidates else None)


def _answers(text: str) -> list[tuple[Position, ...]]:
    """What addr2line says of each address: its number, then pairs of function and line."""
    answers: list[tuple[Position, ...]] = []
    block: list[str] = []
    for line in [*text.splitlines(), "0x0"]:
        if line.startswith("0x"):
            answers.append(_chain(block))
            block = []
        else:
            block.append(line)
    return answers[1:]


def _chain(lines: Sequence[str]) -> tuple[Position, ...]:
    pairs = zip(lines[::2], lines[1::2], strict=False)
    chain = [Position(name, re.sub(r" \(discriminator \d+\)$", "", line)) for name, line in pairs]
    return tuple(each for each in chain if not each.line.startswith("??") and "?" not in each.line)


def _run(argv: Sequence[str], inside: Sequence[str]) -> str:
    try:
        return capture(argv, inside=inside, timeout_s=_TIMEOUT_S)
    except (BuildError, HostError):
        return ""
