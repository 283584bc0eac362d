"""Where two files differ first, in words that show it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Bytes of context on either side of the difference.
_TEXT_CONTEXT = 60

_HEX_CONTEXT = 8


@dataclass(frozen=True)
class Difference:
    """The first byte in which two files differ.

    `offset` counts from 0, `line` and `column` (in bytes) from 1. The excerpts are what is around
    it in either file: the rest of its line, or hexadecimal numbers where that is no text.
    """

    offset: int
    line: int
    column: int
    first: str
    second: str

    def __str__(self) -> str:
        return f"byte {self.offset} (line {self.line}, column {self.column})"


def first_difference(first: Path, second: Path) -> Difference | None:
    """None if the files are byte for byte the same; raises OSError if one cannot be read."""
    a, b = first.read_bytes(), second.read_bytes()
    if a == b:
        return None
    offset = _common(a, b)
    start = a.rfind(b"\n", 0, offset) + 1
    texts = [_line(each, max(start, offset - _TEXT_CONTEXT), offset) for each in (a, b)]
    if not all(text.isprintable() for text in texts):
        low = max(0, offset - _HEX_CONTEXT)
        texts = [each[low : offset + _HEX_CONTEXT].hex(" ") for each in (a, b)]
    shown = [text or "(the file ends here)" for text in texts]
    return Difference(offset, a.count(b"\n", 0, offset) + 1, offset - start + 1, *shown)


def _common(a: bytes, b: bytes) -> int:
    """How many bytes are the same at the beginning, found by halving."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _line(data: bytes, start: int, offset: int) -> str:
    """The text from `start` to the end of the line in which `offset` lies, which is shown."""
    end = data.find(b"\n", offset)
    stop = min(offset + _TEXT_CONTEXT, len(data) if end < 0 else end)
    text = data[start:stop].decode(errors="backslashreplace").replace("\r", "\\r")
    return text + ("\\n" if stop == end else "")


def describe(name: str, first: Path, second: Path) -> list[str]:
    """Where two files differ first, in three lines; nothing if they are the same."""
    difference = first_difference(first, second)
    if difference is None:
        return []
    return [
        f"{name}: differs from {difference} on",
        f"  {first}: {difference.first}",
        f"  {second}: {difference.second}",
    ]
