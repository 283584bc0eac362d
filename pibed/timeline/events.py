"""Events by the kernel's own descriptions: what a record's fields are called, and hold.

An event's `format` file is documented in Documentation/trace/events.rst of Linux.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pibed.timeline.ringbuffer import Record

Value: TypeAlias = int | str

_FIELD = re.compile(r"^\tfield:(.*?);\s*offset:(\d+);\s*size:(\d+);\s*signed:([01]);", re.MULTILINE)

_NAME = re.compile(r"(\w+)(\[[^\]]*\])?$")


@dataclass(frozen=True)
class Field:
    """A field of an event."""

    name: str
    offset: int
    length: int
    is_signed: bool
    is_array: bool
    is_text: bool
    is_elsewhere: bool
    """The field says where its array is (`__data_loc`)."""

    def value(self, data: bytes) -> Value:
        """What it holds; an array of numbers as hexadecimal digits."""
        offset, length = self.offset, self.length
        if self.is_elsewhere:
            word = int.from_bytes(data[offset : offset + 4], "little")
            offset, length = word & 0xFFFF, word >> 16
        content = data[offset : offset + length]
        if self.is_text:
            return content.partition(b"\0")[0].decode(errors="replace")
        if self.is_array or self.is_elsewhere:
            return content.hex()
        return int.from_bytes(content, "little", signed=self.is_signed)


@dataclass(frozen=True)
class Description:
    """An event's system and name, the number that its records have, and its own fields."""

    system: str
    name: str
    number: int
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Event:
    """A tracepoint that was passed."""

    time_ns: int
    cpu: int
    pid: int
    """Of the task that ran: the kernel's number of a thread."""
    system: str
    name: str
    values: Mapping[str, Value]


def describe(system: str, text: str) -> Description:
    """Reads a `format` file; raises ValueError if it is none."""
    name = re.search(r"^name: (\S+)$", text, re.MULTILINE)
    number = re.search(r"^ID: (\d+)$", text, re.MULTILINE)
    if name is None or number is None:
        raise ValueError(f"no description of an event: {text[:80]!r}")
    fields = tuple(_fields(text))
    return Description(system, name[1], int(number[1]), fields)


def describe_all(formats: Iterable[tuple[str, str]]) -> list[Description]:
    """The descriptions of systems and `format` files; what is none is left out."""
    found = []
    for system, text in formats:
        with contextlib.suppress(ValueError):
            found.append(describe(system, text))
    return found


def _fields(text: str) -> Iterator[Field]:
    for declared, offset, length, signed in _FIELD.findall(text):
        kind, _, last = declared.rpartition(" ")
        # `__data_loc char[] name`, `char comm[16]`, `unsigned long name`, `const void * name`.
        match = _NAME.search(last)
        if match is None or match[1].startswith("common_"):
            continue
        elsewhere = kind.startswith("__data_loc")
        is_array = match[2] is not None
        is_text = (elsewhere or is_array) and re.search(r"\bchar\b", kind) is not None
        yield Field(
            match[1],
            int(offset),
            int(length),
            signed == "1",
            is_array,
            is_text and "unsigned" not in kind,
            elsewhere,
        )


def decode(records: Iterable[Record], known: Iterable[Description]) -> list[Event]:
    """The events of all CPUs in their order; those without a description are left out."""
    by_number = {each.number: each for each in known}
    found = []
    for record in records:
        if len(record.data) < 8:
            continue
        # common_type, common_flags, common_preempt_count, common_pid.
        number, _, _, pid = struct.unpack_from("<HBBi", record.data)
        if (its := by_number.get(number)) is not None:
            values = {field.name: field.value(record.data) for field in its.fields}
            found.append(Event(record.time_ns, record.cpu, pid, its.system, its.name, values))
    return sorted(found, key=lambda event: (event.time_ns, event.cpu))


def task_names(text: str) -> dict[int, str]:
    """The names of tasks by their numbers, from the kernel's `saved_cmdlines`."""
    words = (line.partition(" ") for line in text.splitlines())
    return {int(number): name for number, _, name in words if number.isdigit()}
