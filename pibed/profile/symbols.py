"""The functions to which pieces of code belong.

The kernel is where its symbols say. Where a module was loaded, and which program a piece of a
user's code is of, is found by the code itself: processes share addresses, and nothing is asked
of the guest, which would not be the same then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.profile.binary import Binary, Function, Section
from pibed.profile.raw import Code, Raw

PAGE = 4096

# Of the vectors' page, see arch/arm/kernel/entry-armv.S of Linux: what programs call is at its end.
_VECTORS_END = 0xFFFF1000
_HELPERS = ("__kuser_helper_start", "__kuser_helper_end")

# A word of code that is in more places than this tells too little of where it is.
_COMMON = 16

UNKNOWN_USER = Function("other programs", "[unknown in other programs]")
UNKNOWN_KERNEL = Function("kernel", "[unknown in the kernel]")


@dataclass(frozen=True)
class Binaries:
    """What a guest can execute."""

    kernel: Binary
    modules: Sequence[Binary]
    programs: Sequence[Binary]
    """Where two have the same code, it is the first one's."""

    @property
    def all(self) -> Iterator[Binary]:
        """All of them."""
        yield self.kernel
        yield from self.modules
        yield from self.programs


def functions(raw: Raw, binaries: Binaries) -> dict[int, Function]:
    """The function of each piece of code, by its number."""
    found: dict[int, Function] = {}
    kernel = {number: code for number, code in raw.codes.items() if code.is_kernel}
    outside = [each for each in kernel.values() if not binaries.kernel.has(each.address)]
    loaded = [place for module in binaries.modules for place in _loaded(module, outside)]
    for number, code in kernel.items():
        found[number] = _in_kernel(code.address, binaries.kernel, loaded)
    by_page: dict[tuple[int, int], list[int]] = {}
    for number, code in raw.codes.items():
        if not code.is_kernel:
            by_page.setdefault((code.address // PAGE, code.place // PAGE), []).append(number)
    for numbers in by_page.values():
        codes = [raw.codes[number] for number in numbers]
        match = next(filter(None, (_match(each, codes) for each in binaries.programs)), None)
        for number in numbers:
            address = raw.codes[number].address
            found[number] = UNKNOWN_USER if match is None else match[0].function(address - match[1])
    return found


@dataclass(frozen=True)
class _Loaded:
    """A section of a module, and the address where it was loaded."""

    module: Binary
    section: Section
    base: int

    def has(self, address: int) -> bool:
        """Whether an address is in it."""
        return 0 <= address - self.base < len(self.section.data)

    def fits(self, code: Code) -> bool:
        """Whether code that is executed there can be the section's."""
        offset = code.address - self.base
        return _same_words(self.section, offset, _words(code)) is not None

    def overlaps(self, other: _Loaded) -> bool:
        """Whether both claim some address."""
        return self.has(other.base) or other.has(self.base)


def _loaded(module: Binary, codes: Sequence[Code]) -> list[_Loaded]:
    """Where the sections of a module were loaded: where most of the executed code fits."""
    votes: Counter[tuple[str, int]] = Counter()
    for code in codes:
        words = _words(code)
        places = {
            (name, offset - 4 * index)
            for index, word in enumerate(words)
            if len(known := module.words.get(word, ())) <= _COMMON
            for name, offset in known
        }
        for name, offset in places:
            if offset >= 0 and (same := _same_words(module.sections[name], offset, words)):
                votes[name, code.address - offset] += same
    found: list[_Loaded] = []
    for (name, base), _ in sorted(votes.items(), key=lambda each: (-each[1], each[0])):
        place = _Loaded(module, module.sections[name], base)
        if all(place.section is not each.section and not place.overlaps(each) for each in found):
            inside = (each for each in codes if place.has(each.address))
            if all(place.fits(each) for each in inside):
                found.append(place)
    return found


def _words(code: Code) -> list[int]:
    """The words of a piece of code, of which all are known."""
    return [
        int.from_bytes(code.data[at : at + 4], "little") for at in range(0, len(code.data) - 3, 4)
    ]


def _same_words(section: Section, offset: int, words: Sequence[int]) -> int | None:
    """How many words of code are those of a section from an offset on; None if one cannot be."""
    same = 0
    for at, word in enumerate(words, start=offset // 4):
        if 4 * at not in section.relocated and section.data[4 * at : 4 * at + 4] != word.to_bytes(
            4, "little"
        ):
            return None
        same += 1
    return same


def _in_kernel(address: int, kernel: Binary, loaded: Iterable[_Loaded]) -> Function:
    for place in loaded:
        if place.has(address):
            return place.module.function(address - place.base, place.section.name)
    start, end = (kernel.label(name) for name in _HELPERS)
    if start is not None and end is not None:
        first = _VECTORS_END - (end - start)
        if first <= address < _VECTORS_END:
            address += start - first
    found = kernel.function(address)
    return UNKNOWN_KERNEL if found == kernel.unknown else found


def _match(program: Binary, codes: Sequence[Code]) -> tuple[Binary, int] | None:
    """A program in which code of one page is, and by how much its addresses are moved."""
    for segment in program.segments:
        if program.is_fixed:
            if all(_is_at(segment.data, code, code.address - segment.address) for code in codes):
                return program, 0
            continue
        page = codes[0].address // PAGE * PAGE
        first = -(segment.offset % PAGE)
        for offset in range(first, len(segment.data), PAGE):
            if all(_is_at(segment.data, code, code.address - page + offset) for code in codes):
                return program, page - (segment.address + offset)
    return None


def _is_at(data: bytes, code: Code, offset: int) -> bool:
    return offset >= 0 and data[offset : offset + len(code.data)] == code.data


def of_archive(archive: Path, folder: Path) -> Mapping[str, Path]:
    """The programs and libraries of an initramfs, copied to a folder, by their places there.

    See Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
    """
    data = archive.read_bytes()
    # What reads them in a sandbox is nobody.
    folder.chmod(0o755)
    found: dict[str, Path] = {}
    at = 0
    while data[at : at + 6] in (b"070701", b"070702"):
        length, name_length = (int(data[at + place : at + place + 8], 16) for place in (54, 94))
        name = data[at + 110 : at + 110 + name_length - 1].decode(errors="replace")
        begin = at + (110 + name_length + 3) // 4 * 4
        if name == "TRAILER!!!":
            break
        content = data[begin : begin + length]
        if content.startswith(b"\x7fELF") and not name.endswith(".ko"):
            path = folder / str(len(found))
            path.write_bytes(content)
            path.chmod(0o644)
            found[name] = path
        at = begin + (length + 3) // 4 * 4
    return found
