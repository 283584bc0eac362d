"""A kernel's last words made readable: the call trace first, addresses as files and lines.

Of the user's modules there is always debugging information, of the kernel where it was asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pibed.build.images import Images
from pibed.build.kconfig import read_config
from pibed.build.sandbox import around
from pibed.build.symbols import Address, Position, positions

_STAMP = re.compile(r"^\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?")

# A place as the kernel prints it (%pS, see lib/vsprintf.c of Linux); without an offset the function
# that was called.
_NAME = r"([\w.$]+)(?:\+0x([0-9a-f]+)/0x([0-9a-f]+))?(?: \[(\w+)\])?"

_PLACE = re.compile(r"(?<![\w.$])([\w.$]+)\+0x([0-9a-f]+)/0x([0-9a-f]+)(?: \[(\w+)\])?")

# Where it stopped: arch/arm/kernel/process.c, arch/arm64/kernel/process.c of Linux.
_AT = re.compile(r"^(?:PC is at|pc :) " + _NAME)

# A caller: arch/arm/kernel/traps.c, and the form of other architectures.
_FROM = re.compile(rf"^\s+{_NAME} from {_NAME}$")

_CALLER = re.compile(rf"^\s+{_NAME}$")

# What is called when the kernel reports something, and says nothing of it.
_REPORTING = frozenset(
    {
        *("unwind_backtrace", "show_stack", "dump_backtrace", "dump_stack_lvl", "dump_stack"),
        *("panic", "check_panic_on_warn", "__warn", "warn_slowpath_fmt", "ubsan_epilogue"),
        *("print_report", "kasan_report", "end_report", "end_report.part.0"),
        *("__schedule_bug", "__might_resched"),
    }
)

# What follows a warning without a reason.
_NO_REASON = re.compile(r"Modules linked in:|CPU: |Kernel panic|Hardware name:|Call trace:|$")

_MOST_CALLERS = 16

# Of words without a trace.
_MOST_LINES = 20


@dataclass(frozen=True)
class _Frame:
    """A place in a trace. `returns`: it is where a call returns to, behind what called."""

    function: str
    offset: int | None
    length: int
    module: str | None
    returns: bool

    def __str__(self) -> str:
        place = "" if self.offset is None else f"+{self.offset:#x}/{self.length:#x}"
        return f"{self.function}{place}{f' [{self.module}]' if self.module else ''}"

    @property
    def address(self) -> Address | None:
        """Of the instruction that it is about; None if that is not known."""
        if self.offset is None:
            return None
        back = 1 if self.returns and self.offset else 0
        return Address(self.function, self.offset - back, self.length)


def excerpt(lines: Sequence[str], images: Images) -> list[str]:
    """What the kernel said first, and how it came there: a line a function, the innermost first.

    `lines` of the console begin where it tells of its end. Without a trace the first of them are
    returned.
    """
    bare = [_STAMP.sub("", line) for line in lines]
    frames = _trace(bare)
    if not frames:
        return list(lines[:_MOST_LINES])
    known = _Known(images, frames)
    told = [text for frame in frames[:_MOST_CALLERS] for text in known.told(frame)]
    return [bare[0], *_reason(bare), *(f"  {text}" for text in told)]


def _reason(lines: Sequence[str]) -> Sequence[str]:
    """What a warning was given for, which is a line of its own: __warn in kernel/panic.c."""
    is_warning = lines[0].startswith("WARNING: CPU") and len(lines) > 1
    return [] if not is_warning or _NO_REASON.match(lines[1]) else [lines[1]]


def blocked(lines: Sequence[str], images: Images) -> list[str]:
    """The same of a task that sleeps in the kernel, of which sysrq's `w` has told in `lines`."""
    begin = next((number for number, line in enumerate(lines) if "task:" in line), len(lines))
    return excerpt(lines[begin:], images) if begin < len(lines) else list(lines[-_MOST_LINES:])


def decode(lines: Sequence[str], images: Images) -> list[str]:
    """The lines of a kernel's log with source positions added behind the places in them."""
    places = []
    for line in lines:
        is_exact = _AT.match(_STAMP.sub("", line)) is not None
        matches = _PLACE.finditer(line)
        places.append([_frame(match.groups(), returns=not is_exact) for match in matches])
    known = _Known(images, [frame for each in places for frame in each])
    decoded = []
    for line, frames in zip(lines, places, strict=True):
        positions_ = iter([known.position(frame) for frame in frames])
        decoded.append(_PLACE.sub(partial(_with_next, positions_), line))
    return decoded


def _with_next(texts: Iterator[str], match: re.Match[str]) -> str:
    return match[0] + next(texts)


class _Known:
    """What is known of some places, asked for at once."""

    def __init__(self, images: Images, frames: Iterable[_Frame]) -> None:
        self._images = images
        binaries: dict[str | None, Path] = {each.stem: each for each in images.modules}
        config = read_config(images.kernel_build / ".config")
        if config.get("CONFIG_DEBUG_INFO", "n") == "y":
            binaries[None] = images.kernel_build / "vmlinux"
        frames = list(frames)
        self._found = {
            module: self._ask(binary, (each for each in frames if each.module == module))
            for module, binary in binaries.items()
        }

    def told(self, frame: _Frame) -> list[str]:
        """A line for each inlined function at a place, and one for the function itself."""
        chain = self._chain(frame)
        if not chain:
            return [str(frame)]
        *inlined, own = chain
        lines = [f"{each.function} ({self._line(each)}), inlined in" for each in inlined]
        return [*lines, f"{frame} ({self._line(own)})"]

    def position(self, frame: _Frame) -> str:
        """The innermost line at a place, in brackets; nothing if it is not known."""
        chain = self._chain(frame)
        return f" ({self._line(chain[0])})" if chain else ""

    def _chain(self, frame: _Frame) -> Sequence[Position]:
        if frame.address is None:
            return ()
        return self._found.get(frame.module, {}).get(frame.address, ())

    def _ask(
        self, binary: Path, frames: Iterable[_Frame]
    ) -> Mapping[Address, tuple[Position, ...]]:
        if not binary.is_file():
            # Of the kernel's, which another machine has.
            return {}
        wanted = (frame.address for frame in frames if frame.address is not None)
        prefix = self._images.variables.get("CROSS_COMPILE", "")
        return positions(binary, prefix, wanted, around(self._images.sandbox, binary))

    def _line(self, position: Position) -> str:
        """Without the folders of the kernel, which say nothing."""
        line = position.line
        for folder in (self._images.kernel_build, self._images.kernel_source):
            line = line.replace(f"{folder}/", "")
        return os.path.normpath(line)


def _trace(lines: Sequence[str]) -> list[_Frame]:
    """The first call trace, the innermost function first; empty if there is none."""
    start, top = _top(lines)
    callers = _callers(lines[start:])
    if top is None:
        while callers and callers[0].function in _REPORTING:
            callers.pop(0)
        return callers
    for number, frame in enumerate(callers):
        if frame.function == top.function and frame.offset in (None, top.offset):
            # The same place, of which one of the two knows more.
            return [top, *callers[number + 1 :]]
    reports = callers and callers[0].function in _REPORTING
    return [top] if reports else [top, *callers]


def _top(lines: Sequence[str]) -> tuple[int, _Frame | None]:
    """Where the trace begins, and the place at which the kernel was, if it says so."""
    for number, line in enumerate(lines):
        if (match := _AT.match(line)) is not None:
            return number, _frame(match.groups(), returns=False)
    # A warning and KASAN name the place in their first line, behind the call that reports it.
    for match in _PLACE.finditer(lines[0] if lines else ""):
        return 0, _frame(match.groups(), returns=True)
    return 0, None


def _callers(lines: Sequence[str]) -> list[_Frame]:
    """The first block of callers in which the module is, or the first one at all."""
    blocks: list[list[_Frame]] = [[]]
    for line in lines:
        if (match := _FROM.match(line)) is not None:
            names = match.groups()
            if not blocks[-1]:
                blocks[-1].append(_frame(names[:4], returns=True))
            blocks[-1].append(_frame(names[4:], returns=True))
        elif (match := _CALLER.match(line)) is not None and match[2] is not None:
            blocks[-1].append(_frame(match.groups(), returns=True))
        elif blocks[-1]:
            blocks.append([])
    with_module = (block for block in blocks if any(frame.module for frame in block))
    return list(next(with_module, blocks[0]))


def _frame(groups: Sequence[str | None], *, returns: bool) -> _Frame:
    name, offset, length, module = groups
    at = None if offset is None else int(offset, 16)
    return _Frame(name or "", at, int(length or "0", 16), module, returns)
