"""The kernel's memory, from what a guest prints of it: what drivers hold, and what they have lost.

`/proc/meminfo` says what most pages are used for: processes, files, page tables, stacks, slabs and
vmalloc. A page that a driver has allocated for itself is in none of these, so that the rest of the
sum is what drivers hold. Caches that grow and shrink are not in it, which is why it comes back to
the same number within a few pages, where free memory differs by megabytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pibed.model.machine import Clock
from pibed.model.protocol import Command

PAGE_KIB = 4

# What pages are used for, beside slabs and vmalloc (see Linux, filesystems/proc.rst).
_USES = (
    *("MemFree", "Buffers", "Cached", "SwapCached", "AnonPages"),
    *("KernelStack", "PageTables", "SecPageTables", "Percpu"),
)

_LINE = re.compile(r"(\w+(?:\(\w+\))?): +(\d+) kB")

# Of zoneinfo: pages that a CPU keeps for its next use, of one zone.
_KEPT = re.compile(r" +count: +(\d+)")

NOISE: dict[Clock, int] = {"virtual": 8, "board": 8, "host": 64}
"""Pages of each kind that come and go without any doing of a module, over some runs of it; several
times what was measured, see docs/leaks.md."""

# Guest seconds; a loaded kernel takes a fraction of one.
_SECONDS = 30.0


def reading(id: str) -> Command:
    """The command that prints the guest's memory, for `parse`.

    Before it, caches that may go are dropped, slabs that hold nothing are given back, and what the
    CPUs keep for themselves is added up. RCU frees what ended processes have left a moment later.
    """
    flush = (
        "usleep 30000; echo 3 >/proc/sys/vm/drop_caches; "
        "for cache in /sys/kernel/slab/*/shrink; do echo 1 >$cache; done"
    )
    refresh = "echo 1 >/proc/sys/vm/stat_refresh"
    line = f"{flush}; {flush}; {refresh}; cat /proc/meminfo /proc/zoneinfo"
    return Command(id, _SECONDS, line)


@dataclass(frozen=True)
class Memory:
    """Pages that are held, or that are more than there were before."""

    pages: int
    """Of nobody that is known: such as alloc_page() gives."""
    slabs: int
    """Of kmalloc() and its like, without caches that can be reclaimed."""
    vmalloc: int

    @property
    def total(self) -> int:
        """Of all kinds."""
        return self.pages + self.slabs + self.vmalloc

    def __sub__(self, other: Memory) -> Memory:
        return Memory(
            self.pages - other.pages, self.slabs - other.slabs, self.vmalloc - other.vmalloc
        )

    def where(self, grown: Memory, noise: int) -> Memory:
        """Itself in the kinds in which `grown` is more than `noise`, and 0 in the others."""
        return Memory(
            self.pages if grown.pages > noise else 0,
            self.slabs if grown.slabs > noise else 0,
            self.vmalloc if grown.vmalloc > noise else 0,
        )

    def in_words(self, runs: int = 1) -> str:
        """What each of some runs has lost, in all and by kind."""
        kinds = {"pages": self.pages, "slabs": self.slabs, "vmalloc": self.vmalloc}
        parts = [f"{kind} {_kib(lost, runs)}" for kind, lost in kinds.items() if lost]
        return f"{_kib(self.total, runs)} ({', '.join(parts)})"


def _kib(pages: int, runs: int) -> str:
    return f"{pages * PAGE_KIB / runs:.4g} KiB"


def parse(lines: Sequence[str]) -> Memory:
    """The memory that the command of `reading` has printed.

    Raises ValueError if a number is missing.
    """
    kib: dict[str, int] = {}
    kept = 0
    for line in lines:
        if match := _LINE.fullmatch(line.strip()):
            kib[match[1]] = int(match[2])
        elif match := _KEPT.match(line):
            kept += int(match[1])
    try:
        slab, vmalloc = kib["Slab"], kib["VmallocUsed"]
        used = sum(kib.get(name, 0) for name in _USES) + slab + vmalloc
        return Memory(
            pages=(kib["MemTotal"] - used) // PAGE_KIB - kept,
            slabs=(slab - kib["SReclaimable"]) // PAGE_KIB,
            vmalloc=vmalloc // PAGE_KIB,
        )
    except KeyError as error:
        raise ValueError(f"/proc/meminfo has no line {error}") from None
