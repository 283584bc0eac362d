"""Programs, modules and the kernel: their functions, and their code as it is in the file.

By binutils' readelf. A module is not linked: its functions have addresses in their sections.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pibed.base.process import capture

# A kernel takes less than one.
_TIMEOUT_S = 60

_SECTION = re.compile(
    r"^\s*\[\s*(\d+)\] (\S+)\s+(\S+)\s+([0-9a-f]{8}) ([0-9a-f]{6,}) ([0-9a-f]{6,}) "
    r"[0-9a-f]{2} +([A-Za-z]*) ",
    re.MULTILINE,
)
_SYMBOL = re.compile(
    r"^\s*\d+: ([0-9a-f]+)\s+(0x[0-9a-f]+|\d+) (FUNC|IFUNC|NOTYPE)\s+(\S+)\s+\S+\s+(\d+) (\S+)",
    re.MULTILINE,
)
_RELOCATIONS = re.compile(r"^Relocation section '\.rela?(\S+)' ")
_RELOCATION = re.compile(r"^([0-9a-f]{8}) ")
_SEGMENT = re.compile(
    r"^\s*LOAD\s+0x([0-9a-f]+) 0x([0-9a-f]+) 0x[0-9a-f]+ 0x([0-9a-f]+) 0x[0-9a-f]+ (R?\s?W?\s?E?)",
    re.MULTILINE,
)


@dataclass(frozen=True, order=True)
class Function:
    """A function, or what stands for code of which no function is known."""

    binary: str
    """The name of the program or module that it is in, or `kernel`."""
    name: str
    section: str = ""
    start: int = 0
    """Address; of a module in the section."""
    end: int = 0
    """The address behind it."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Section:
    """A section with code: where it is when the program runs, and its bytes."""

    name: str
    address: int
    data: bytes
    relocated: frozenset[int] = frozenset()
    """Offsets of the words that are not in the file as they are when the code runs."""


@dataclass(frozen=True)
class Segment:
    """What is loaded of a program to be executed."""

    address: int
    data: bytes
    offset: int
    """Of the data in the file."""


@dataclass(frozen=True)
class Binary:
    """An ELF file."""

    name: str
    path: Path
    is_fixed: bool
    """Whether it is loaded where its addresses say."""
    sections: Mapping[str, Section]
    segments: Sequence[Segment]
    functions: Mapping[str, Sequence[Function]] = field(default_factory=dict)
    """By section, sorted."""
    labels: Mapping[str, int] = field(default_factory=dict)
    """Addresses of all symbols of hand-written code that are no functions."""

    @property
    def is_stripped(self) -> bool:
        """Whether no function is known of it."""
        return not any(self.functions.values())

    def function(self, address: int, section: str | None = None) -> Function:
        """The function at an address, which in a module is one in a section."""
        names = self._sections_at(address) if section is None else [section]
        for name in names:
            found = self.functions.get(name, ())
            at = bisect.bisect_right(found, address, key=lambda each: each.start) - 1
            if at >= 0 and address < found[at].end:
                return found[at]
            if name.startswith(".plt"):
                return Function(self.name, "[plt]")
        return self.unknown

    @property
    def unknown(self) -> Function:
        """What stands for its code of which no function is known."""
        return Function(self.name, f"[unknown in {self.name}]")

    def symbol(self, name: str) -> Function | None:
        """The function of a name."""
        every = (each for found in self.functions.values() for each in found)
        return next((each for each in every if each.name == name), None)

    def has(self, address: int) -> bool:
        """Whether there is code of it at an address."""
        return bool(self._sections_at(address))

    def label(self, name: str) -> int | None:
        """The address of a label in hand-written code."""
        return self.labels.get(name)

    def _sections_at(self, address: int) -> list[str]:
        return [
            name
            for name, each in self.sections.items()
            if each.address <= address < each.address + len(each.data)
        ]

    @cached_property
    def words(self) -> dict[int, list[tuple[str, int]]]:
        """Where in its sections each word of code is that is there as it is in the file."""
        found: dict[int, list[tuple[str, int]]] = {}
        for name, section in self.sections.items():
            for offset in range(0, len(section.data) - 3, 4):
                if offset not in section.relocated:
                    word = int.from_bytes(section.data[offset : offset + 4], "little")
                    found.setdefault(word, []).append((name, offset))
        return found


def read(path: Path, prefix: str, name: str, inside: Sequence[str] = ()) -> Binary:
    """What is known of a file; `prefix` is that of binutils, `inside` as in `capture`.

    Raises BuildError if it cannot be read.
    """
    said = capture([f"{prefix}readelf", "-hSslrW", str(path)], inside=inside, timeout_s=_TIMEOUT_S)
    data = path.read_bytes()
    relocatable = "REL (Relocatable file)" in said
    numbers: dict[int, str] = {}
    places: dict[str, tuple[int, int, int]] = {}
    for number, section, kind, address, offset, length, flags in _SECTION.findall(said):
        numbers[int(number)] = section
        if "X" in flags and kind == "PROGBITS":
            places[section] = (int(address, 16), int(offset, 16), int(length, 16))
    relocated = _relocated(said) if relocatable else {}
    sections = {
        section: Section(
            section, address, data[offset : offset + length], relocated.get(section, frozenset())
        )
        for section, (address, offset, length) in places.items()
    }
    segments = [
        Segment(
            int(address, 16),
            data[int(offset, 16) : int(offset, 16) + int(length, 16)],
            int(offset, 16),
        )
        for offset, address, length, flags in _SEGMENT.findall(said)
        if "E" in flags
    ]
    symbols = _SYMBOL.findall(said)
    functions = _functions(name, symbols, numbers, sections)
    labels = {name: int(value, 16) for value, _, kind, *_, name in symbols if kind == "NOTYPE"}
    is_fixed = "EXEC (Executable file)" in said
    return Binary(name, path, is_fixed, sections, segments, functions, labels)


def _relocated(said: str) -> dict[str, frozenset[int]]:
    """The offsets that relocations change, by section."""
    found: dict[str, set[int]] = {}
    current: set[int] = set()
    for line in said.splitlines():
        if (section := _RELOCATIONS.match(line)) is not None:
            current = found.setdefault(section[1], set())
        elif (one := _RELOCATION.match(line)) is not None:
            current.add(int(one[1], 16) & ~3)
        elif line and not line.startswith(" "):
            current = set()
    return {name: frozenset(offsets) for name, offsets in found.items()}


def _functions(
    binary: str,
    symbols: Iterable[tuple[str, ...]],
    numbers: Mapping[int, str],
    sections: Mapping[str, Section],
) -> dict[str, list[Function]]:
    """Functions by section; labels in hand-written code count where no function is."""
    sized: dict[str, dict[int, Function]] = {}
    labels: dict[str, dict[int, str]] = {}
    for value, length, kind, _, number, name in sorted(symbols, key=lambda each: _liked(each[5])):
        section = numbers.get(int(number), "")
        if section not in sections or name.startswith(("$", ".L")):
            continue
        # The last bit says Thumb.
        start = int(value, 16) & ~1 if kind != "NOTYPE" else int(value, 16)
        span = int(length, 0)
        if kind == "NOTYPE" or not span:
            labels.setdefault(section, {}).setdefault(start, name)
        else:
            function = Function(binary, name, section, start, start + span)
            sized.setdefault(section, {}).setdefault(start, function)
    found: dict[str, list[Function]] = {}
    for section, each in sections.items():
        known = sorted(sized.get(section, {}).values(), key=lambda one: one.start)
        starts = [one.start for one in known]
        base = 0 if each.address == 0 else each.address
        ends = [*starts, base + len(each.data)]
        own = sorted(labels.get(section, {}).items())
        for index, (start, name) in enumerate(own):
            at = bisect.bisect_right(starts, start) - 1
            if at >= 0 and start < known[at].end:
                continue
            following = own[index + 1][0] if index + 1 < len(own) else ends[-1]
            end = min(following, ends[bisect.bisect_right(starts, start)])
            if end > start:
                known_label = Function(binary, name, section, start, end)
                found.setdefault(section, []).append(known_label)
        found[section] = sorted([*known, *found.get(section, [])], key=lambda one: one.start)
    return found


def _liked(name: str) -> tuple[int, int, str]:
    """Orders names of one place: the fewest underscores before it, then the shortest."""
    return len(name) - len(name.lstrip("_")), len(name), name
