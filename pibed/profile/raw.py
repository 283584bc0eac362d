"""The file into which the timing plugin writes a profile: addresses, and what was counted there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pibed.base.errors import GuestError

KERNEL = 0xBF000000
"""The lowest address of the kernel, whose modules begin there (CONFIG_VMSPLIT_3G)."""


@dataclass(frozen=True)
class Code:
    """A piece of code without a branch in it."""

    address: int
    place: int
    """In the guest's memory."""
    length: int
    """Bytes."""
    data: bytes
    """Its first bytes, up to 64."""

    @property
    def is_kernel(self) -> bool:
        """Whether it is the kernel's or a module's."""
        return self.address >= KERNEL


@dataclass(frozen=True)
class Frame:
    """What a call, or an exception, at a site has entered."""

    caller: int
    """The site's number."""
    is_exception: bool
    entry: int
    """Address."""


@dataclass(frozen=True)
class Site:
    """A piece of code in a frame, and what happened there; frame 0 is that without a caller."""

    frame: int
    code: int
    events: tuple[int, ...]


@dataclass(frozen=True)
class Raw:
    """All of the file; codes, frames and sites by their numbers."""

    events: tuple[str, ...]
    codes: Mapping[int, Code] = field(default_factory=dict)
    frames: Mapping[int, Frame] = field(default_factory=dict)
    sites: Mapping[int, Site] = field(default_factory=dict)
    beyond: tuple[int, ...] = ()
    """What happened at sites for which there was no room."""


def read(path: Path) -> Raw:
    """Reads the file; raises GuestError if it is not there, not whole, or of another form."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError as error:
        raise GuestError(f"{path}: {error.strerror}: nothing was profiled") from None
    if not lines:
        raise GuestError(
            f"{path}: the profile is empty: the command or its phase has not come to its end"
        )
    if lines[-1] != "end":
        raise GuestError(f"{path}: the profile is not whole")
    codes: dict[int, Code] = {}
    frames: dict[int, Frame] = {}
    sites: dict[int, Site] = {}
    beyond: tuple[int, ...] = ()
    try:
        head, *events = lines[0].split()
        if head != "profile":
            raise ValueError(head)
        for line in lines[1:-1]:
            kind, *words = line.split()
            if kind == "code":
                number, address, place, length = words[:4]
                data = bytes.fromhex(words[4])
                codes[int(number)] = Code(int(address, 16), int(place, 16), int(length), data)
            elif kind == "frame":
                number, caller, how, entry = words
                frames[int(number)] = Frame(int(caller), how == "exception", int(entry, 16))
            elif kind == "site":
                site, frame, code, *counts = map(int, words)
                sites[site] = Site(frame, code, tuple(counts))
            elif kind == "beyond":
                beyond = tuple(map(int, words))
            else:
                raise ValueError(kind)
    except (ValueError, IndexError) as error:
        raise GuestError(f"{path}: it is no profile: {error}") from None
    return Raw(tuple(events), codes, frames, sites, beyond)
