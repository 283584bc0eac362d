"""What is in images, read from their bytes: a build's exit status does not tell."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pibed.base.errors import BuildError
from pibed.model.machine import Magic

# See the Devicetree Specification, "Flattened Devicetree (DTB) Format".
_DEVICE_TREE = Magic(offset=0, value="d00dfeed")

# Of the archives that the kernel takes; see early-userspace/buffer-format.rst of Linux.
_NEWC = b"070701"

_HEADER = 110


def require_kernel(path: Path, magic: Magic) -> None:
    """Raises BuildError if a file does not have the magic number of the machine's kernels."""
    _require(path, magic, "kernel for this machine")


def require_device_tree(path: Path) -> None:
    """Raises BuildError if a file is no device tree."""
    _require(path, _DEVICE_TREE, "device tree")


def require_members(path: Path, names: Iterable[str]) -> None:
    """Raises BuildError that names each regular file, with its content, that an archive lacks."""
    files = members(path)
    if missing := sorted(name for name in names if not files.get(name)):
        raise BuildError(f"{path}: it lacks {', '.join(missing)}")


def members(path: Path) -> dict[str, bytes]:
    """The regular files of an uncompressed initramfs, by name; raises BuildError if it is none."""
    data = _read(path)
    files: dict[str, bytes] = {}
    place = 0
    while True:
        header = data[place : place + _HEADER]
        if len(header) < _HEADER or not header.startswith(_NEWC):
            raise BuildError(f"{path}: it is no whole initramfs")
        try:
            fields = [int(header[6 + 8 * n : 14 + 8 * n], 16) for n in range(13)]
        except ValueError:
            raise BuildError(f"{path}: it is no whole initramfs") from None
        mode, size, length = fields[1], fields[6], fields[11]
        name = data[place + _HEADER : place + _HEADER + length - 1].decode(errors="replace")
        start = _aligned(place + _HEADER + length)
        if name == "TRAILER!!!":
            return files
        if mode & 0o170000 == 0o100000:
            files[name.removeprefix("./")] = data[start : start + size]
        place = _aligned(start + size)


def _aligned(place: int) -> int:
    return (place + 3) & ~3


def _require(path: Path, magic: Magic, what: str) -> None:
    if not _read(path)[magic.offset :].startswith(bytes.fromhex(magic.value)):
        raise BuildError(f"{path}: it is no {what}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BuildError(f"{path}: it was not made") from None
