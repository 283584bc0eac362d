"""What programs for the guest are, as binutils' readelf tells: for which machine, and with what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import BuildError
from pibed.base.process import capture

_PARTS = ("--file-header", "--segments", "--dynamic")


@dataclass(frozen=True)
class Elf:
    """What the headers of an ELF file say, in readelf's words."""

    machine: str
    """Such as `ARM, ELF32, little endian`."""
    kind: str
    """Such as `EXEC (Executable file)`."""
    interpreter: str | None
    """The loader of shared libraries that it asks for; None if it is static."""
    needed: tuple[str, ...]
    """The shared libraries that it names."""

    @property
    def is_program(self) -> bool:
        """Whether a kernel runs it, once it has all that it needs."""
        return self.kind.startswith(("EXEC", "DYN"))


def read(path: Path, prefix: str, inside: Sequence[str] = ()) -> Elf:
    """What a file is; `prefix` is that of binutils, `inside` see `pibed.base.process.capture`.

    Raises ValueError for what is no ELF file, and for a broken one.
    """
    with path.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            raise ValueError("it is no program in the format ELF")
    try:
        said = capture([f"{prefix}readelf", *_PARTS, str(path)], inside=inside)
    except BuildError as error:
        raise ValueError(f"readelf cannot read it: {' '.join(error.context)}") from None
    data = _field("Data", said).rpartition(", ")[2]
    loader = re.search(r"\[Requesting program interpreter: (/.*)\]", said)
    return Elf(
        machine=", ".join([_field("Machine", said), _field("Class", said), data]),
        kind=_field("Type", said),
        interpreter=None if loader is None else loader[1],
        needed=tuple(re.findall(r"\(NEEDED\) +Shared library: \[(.*)\]", said)),
    )


def _field(name: str, said: str) -> str:
    found = re.search(rf"^ *{name}: +(.*?) *$", said, re.MULTILINE)
    if found is None:
        raise ValueError(f"readelf names no {name.lower()} of it")
    return found[1]
