"""Pages of the kernel's ring buffer, as `trace_pipe_raw` gives them, decoded into records.

The layout is that of kernel/trace/ring_buffer.c and include/linux/ring_buffer.h of Linux, for a
little-endian kernel; `events/header_page` says where the data of a page begin.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pibed.base.errors import GuestError

PAGE_BYTES = 4096

# type_len of a record's first word; smaller ones are its length in words.
_PADDING, _TIME_EXTEND, _TIME_STAMP = 29, 30, 31

_DELTA_BITS = 27

# Bits of a page's length that say that records before it were lost, and how many.
_MISSED, _MISSED_STORED = 1 << 31, 1 << 30

_FIELD = re.compile(r"field: ?[\w ]+ (\w+);\s*offset:(\d+);\s*size:(\d+);")


@dataclass(frozen=True)
class Layout:
    """Where what is in a page."""

    commit: int
    """Offset of the number of bytes that are used."""
    commit_bytes: int
    data: int
    """Offset of the first record."""

    @classmethod
    def read(cls, text: str) -> Layout:
        """From the kernel's `events/header_page`; raises GuestError if it is none."""
        fields = {name: (int(offset), int(length)) for name, offset, length in _FIELD.findall(text)}
        if not {"commit", "data"} <= fields.keys():
            raise GuestError("the kernel's events/header_page is none that is known")
        return cls(*fields["commit"], fields["data"][0])


@dataclass(frozen=True)
class Record:
    """One event as the kernel wrote it."""

    cpu: int
    time_ns: int
    data: bytes


def records(cpu: int, pages: bytes, layout: Layout) -> Iterator[Record]:
    """The records of a CPU's pages, the oldest first."""
    for start in range(0, len(pages) - layout.data, PAGE_BYTES):
        yield from _page(cpu, pages[start : start + PAGE_BYTES], layout)


def lost(pages: bytes, layout: Layout) -> bool:
    """Whether a page says that there were records before it which had no room."""
    return any(
        _commit(pages[start : start + PAGE_BYTES], layout) & (_MISSED | _MISSED_STORED)
        for start in range(0, len(pages) - layout.data, PAGE_BYTES)
    )


def _commit(page: bytes, layout: Layout) -> int:
    # The flags are in the lower half of a long of 64 bits as well.
    return int(struct.unpack_from("<I", page, layout.commit)[0])


def _page(cpu: int, page: bytes, layout: Layout) -> Iterator[Record]:
    (time,) = struct.unpack_from("<Q", page)
    used = _commit(page, layout) & ~(_MISSED | _MISSED_STORED)
    at, end = layout.data, min(layout.data + used, len(page))
    while at + 4 <= end:
        (word,) = struct.unpack_from("<I", page, at)
        kind, delta = word & 31, word >> 5
        extra = int(struct.unpack_from("<I", page, at + 4)[0]) if at + 8 <= end else 0
        if kind == _PADDING:
            if not delta:
                return
            time += delta
            at += 4 + extra
        elif kind == _TIME_EXTEND:
            time += (extra << _DELTA_BITS) + delta
            at += 8
        elif kind == _TIME_STAMP:
            # The upper bits of a time that is longer are those of the last one.
            stamp = (extra << _DELTA_BITS) + delta
            time = stamp | (time & ~((1 << 59) - 1))
            at += 8
        else:
            time += delta
            length = kind * 4 if kind else extra - 4
            begin = at + 4 if kind else at + 8
            yield Record(cpu, time, page[begin : begin + length])
            at = begin + (length + 3 & ~3)
