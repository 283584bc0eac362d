"""`trace.dat`, which trace-cmd and KernelShark read: what was recorded, as the kernel wrote it.

Version 6 of the format, see trace-cmd.dat.v6(5).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from pibed.timeline.recording import Recorded
from pibed.timeline.ringbuffer import PAGE_BYTES, Layout

_MAGIC = b"\x17\x08\x44tracing6\0"

_OPTION_DONE, _OPTION_CLOCK = 0, 4


def write(recorded: Recorded, symbols: bytes) -> bytes:
    """The file's content; `symbols` are the kernel's, as in /proc/kallsyms."""
    layout = Layout.read(recorded.text("events/header_page"))
    # Little endian; a long of the kernel's; its pages.
    content = bytearray(_MAGIC + struct.pack("<BBI", 0, layout.commit_bytes, PAGE_BYTES))
    for name in ("header_page", "header_event"):
        content += name.encode() + b"\0" + _long(recorded.files[f"events/{name}"])
    systems: dict[str, list[bytes]] = {}
    for system, _, text in recorded.formats:
        systems.setdefault(system, []).append(text.encode())
    own = systems.pop("ftrace", [])
    content += struct.pack("<I", len(own)) + b"".join(map(_long, own))
    content += struct.pack("<I", len(systems))
    for system, texts in systems.items():
        content += system.encode() + b"\0" + struct.pack("<I", len(texts))
        content += b"".join(map(_long, texts))
    for data in (symbols, recorded.files.get("printk_formats", b"")):
        content += struct.pack("<I", len(data)) + data
    content += _long(recorded.files.get("saved_cmdlines", b""))
    return bytes(content + _buffers(recorded, len(content)))


def _buffers(recorded: Recorded, before: int) -> bytes:
    """The rest, behind so many bytes: how many CPUs, options, and their pages."""
    cpus = recorded.cpus
    count = max(cpus, default=0) + 1
    clock = recorded.files.get("trace_clock", b"[local]") + b"\0"
    head = struct.pack("<I", count) + b"options  \0"
    head += struct.pack("<HI", _OPTION_CLOCK, len(clock)) + clock
    head += struct.pack("<H", _OPTION_DONE) + b"flyrecord\0"
    at = _aligned(before + len(head) + 16 * count)
    table, buffers = b"", b""
    for cpu in range(count):
        data = _whole(cpus, cpu)
        table += struct.pack("<QQ", at + len(buffers), len(data))
        buffers += data
    return head + table + b"\0" * (at - before - len(head) - len(table)) + buffers


def _whole(cpus: Mapping[int, bytes], cpu: int) -> bytes:
    data = cpus.get(cpu, b"")
    return data + b"\0" * (_aligned(len(data)) - len(data))


def _aligned(length: int) -> int:
    return -(-length // PAGE_BYTES) * PAGE_BYTES


def _long(data: bytes) -> bytes:
    """Behind its length in eight bytes."""
    return struct.pack("<Q", len(data)) + data
