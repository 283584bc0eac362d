"""Archives that somebody handed in, unpacked with care: tar (plain, gz, bz2, xz, zst) and zip.

What an archive says of itself is not believed: bytes are counted as they come out of it, files are
made new under names that were checked, and links, which must lead to what is in the archive, are
made when all else is there. Neither owners nor permissions are taken over.
"""

from __future__ import annotations

import bz2
import importlib
import io
import lzma
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from gzip import GzipFile
from pathlib import Path, PurePosixPath
from typing import IO, TypeAlias, cast

from pibed.base.errors import UsageError, printable

_CHUNK = 1 << 16
# What decompressing may keep in memory; xz -9 wants 65 MiB.
_XZ_MEMORY = 128 << 20

# What systems put beside the files.
_JUNK = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})

# Of a zip archive's end, see 4.3.16 of PKWARE's APPNOTE.TXT: entries, and bytes of their list.
_ZIP_END = struct.Struct("<4s4H2LH")
_ZIP_END_MARK = b"PK\x05\x06"
# The same in 64 bits, which hold whatever the former says, and where that is (4.3.14, 4.3.15).
_ZIP64_END = struct.Struct("<4sQ2H2L4Q")
_ZIP64_LOCATOR = struct.Struct("<4sLQL")
_ZIP64_LOCATOR_MARK = b"PK\x06\x07"

_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(ValueError, OverflowError, struct.error, RecursionError, NotImplementedError),
)


@dataclass(frozen=True)
class Limits:
    """What an archive may hold."""

    bytes: int = 256 << 20
    """Of all files, headers included."""
    file_bytes: int = 64 << 20
    files: int = 10_000
    """With folders and links."""
    ratio: int = 200
    """Unpacked bytes to packed ones, once there are more than 8 MiB of the former."""
    depth: int = 32
    """Folders in each other."""


_RATIO_FROM = 8 << 20


class Refused(UsageError):
    """An archive that is not unpacked; the message says which, what in it, and why."""


def unpack(archive: Path, target: Path, limits: Limits | None = None) -> None:
    """Unpacks an archive into the new folder `target`, which appears when it is whole.

    Folders that are alone at the top are left out, and so is what systems add. Raises Refused,
    OSError for files that cannot be read or written.
    """
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=target.parent) as name:
        work = _Work(archive, Path(name) / "files", limits)
        work.folder.mkdir()
        with archive.open("rb") as file:
            reader = _reader(archive, file)
            packed = archive.stat().st_size
            if packed > limits.bytes:
                raise work.refused(f"it has more than {limits.bytes >> 20} MiB")
            reader(file, work)
        top, prefix = work.folder, PurePosixPath()
        while len(inside := list(top.iterdir())) == 1 and inside[0].is_dir():
            if any(not link.is_relative_to(prefix / inside[0].name) for link in work.links):
                break
            top, prefix = inside[0], prefix / inside[0].name
        work.make_links(top, prefix)
        if not any(path.is_file() for path in top.rglob("*")):
            raise work.refused("there is no file in it")
        top.rename(target)


@dataclass
class _Work:
    """An archive that is being unpacked into a folder in which there is nothing else."""

    archive: Path
    folder: Path
    limits: Limits
    links: dict[PurePosixPath, str] = field(default_factory=dict)
    _bytes: int = 0
    _entries: int = 0

    def refused(self, why: str, name: str | None = None) -> Refused:
        """Why it is not unpacked, and which entry is the reason."""
        where = self.archive.name if name is None else f"{self.archive.name}: {name[:200]!r}"
        return Refused(printable(f"{where}: {why}"))

    def came(self, size: int) -> None:
        """So many bytes more came out of the archive."""
        self._bytes += size
        if self._bytes > self.limits.bytes:
            raise self.refused(f"it unpacks to more than {self.limits.bytes >> 20} MiB")
        packed = max(1, self.archive.stat().st_size)
        if self._bytes > _RATIO_FROM and self._bytes > packed * self.limits.ratio:
            raise self.refused(f"it unpacks to more than {self.limits.ratio} times its size")

    def place(self, name: str) -> PurePosixPath | None:
        """Where an entry belongs; None for what is left out."""
        self._entries += 1
        if self._entries > self.limits.files:
            raise self.refused(f"it has more than {self.limits.files} files")
        if not name.isprintable():
            raise self.refused("a name with a control character, or that is not UTF-8", name)
        if name.startswith("/") or name[1:3] in (":/", ":\\"):
            raise self.refused("an absolute path", name)
        path = PurePosixPath(name)
        if ".." in path.parts:
            raise self.refused("a path with ..", name)
        if len(path.parts) > self.limits.depth or any(
            len(each.encode()) > 255 for each in path.parts
        ):
            raise self.refused("a path that is too long", name)
        if any(part in _JUNK or part.startswith("._") for part in path.parts):
            return None
        return path if path.parts else None

    def make_folder(self, place: PurePosixPath) -> Path:
        """Makes a folder with those above it."""
        target = self.folder
        for part in place.parts:
            target /= part
            if not target.is_dir():
                try:
                    target.mkdir()
                except FileExistsError:
                    raise self.refused("a folder and a file of the same name", str(place)) from None
        return target

    def make_file(self, place: PurePosixPath, source: IO[bytes], executable: bool) -> None:
        """Writes a file."""
        target = self.make_folder(place.parent) / place.name
        if target.exists() or place in self.links:
            raise self.refused("it is there twice", str(place))
        left = self.limits.file_bytes
        with target.open("xb") as file:
            while chunk := source.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    size = f"{self.limits.file_bytes >> 20} MiB"
                    raise self.refused(f"a file of more than {size}", str(place))
                file.write(chunk)
        target.chmod(0o755 if executable else 0o644)

    def make_links(self, top: Path, prefix: PurePosixPath) -> None:
        """Makes the links, in what has been unpacked without the folders of `prefix`."""
        made = []
        for place, value in self.links.items():
            path = top / place.relative_to(prefix)
            # Through a link it would be made elsewhere.
            if path.exists() or any(above in self.links for above in place.parents):
                raise self.refused("it is there twice", str(place))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(value)
            made.append((place, path))
        end = top.resolve()
        for place, path in made:
            try:
                inside = path.resolve().is_relative_to(end) and path.exists()
            except (OSError, RuntimeError):  # links in a circle
                inside = False
            if not inside:
                raise self.refused("a link to nothing that is in the archive", str(place))


_Reader: TypeAlias = Callable[[IO[bytes], _Work], None]


def _reader(archive: Path, file: IO[bytes]) -> _Reader:
    """What reads an archive, by how it begins."""
    start = file.read(512)
    file.seek(0)
    if start.startswith((b"PK\x03\x04", _ZIP_END_MARK)):
        return _read_zip
    for mark, opened in _COMPRESSED.items():
        if start.startswith(mark):
            return lambda file, work: _read_tar(opened(file), work)
    if start[257:262] == b"ustar" or (start and not any(start)):
        return _read_tar
    known = "expected a tar archive (.tar, .tar.gz, .tar.bz2, .tar.xz) or a zip archive"
    raise Refused(f"{archive.name}: it is neither: {known}")


def _read_tar(stream: IO[bytes], work: _Work) -> None:
    counted = _Counted(stream, work)
    with (
        _damage(work),
        tarfile.open(fileobj=counted, mode="r|", errors="surrogateescape") as tar,
    ):
        for member in tar:
            place = work.place(member.name)
            if place is None:
                continue
            if member.isdir():
                work.make_folder(place)
            elif member.issym():
                if not member.linkname.isprintable() or member.linkname.startswith("/"):
                    raise work.refused("a link to an absolute path", member.name)
                work.links[place] = member.linkname
            elif member.issparse():
                # Its holes are bytes that never come out of the archive.
                raise work.refused(
                    "a sparse file (tar without --sparse packs all of it)", member.name
                )
            elif member.isreg():
                if (source := tar.extractfile(member)) is not None:
                    work.make_file(place, source, bool(member.mode & 0o111))
            else:
                why = _KINDS.get(member.type, "a file of an unknown kind")
                raise work.refused(why, member.name)
        # Behind the last file is what tells whether all of it is whole.
        while counted.read():
            pass


_KINDS = {
    tarfile.LNKTYPE: "a hard link (tar --hard-dereference packs the file itself)",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}


def _read_zip(file: IO[bytes], work: _Work) -> None:
    _require_short_list(file, work)
    with _damage(work), zipfile.ZipFile(file) as packed:
        for entry in packed.infolist():
            # As some programs of Windows write paths.
            name = entry.filename.replace("\\", "/")
            place = work.place(name)
            if place is None:
                continue
            mode = entry.external_attr >> 16
            kind = mode & 0o170000
            if entry.flag_bits & 1:
                raise work.refused("a file that is encrypted", name)
            if kind not in (0, 0o100000, 0o040000, 0o120000):
                raise work.refused("a device or a named pipe", name)
            if name.endswith("/"):
                work.make_folder(place)
                continue
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise work.refused("a file that is compressed neither by deflate nor at all", name)
            with packed.open(entry) as source:
                counted = cast(IO[bytes], _Counted(source, work))
                if kind == 0o120000:
                    value = counted.read(4096).decode("utf-8", "replace")
                    if not value.isprintable() or value.startswith("/"):
                        raise work.refused("a link to an absolute path", name)
                    work.links[place] = value
                else:
                    work.make_file(place, counted, bool(mode & 0o111))


def _require_short_list(file: IO[bytes], work: _Work) -> None:
    """Raises Refused for a list of entries that would fill the memory before it is looked at."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _ZIP_END.size - 0xFFFF))
    tail = file.read()
    at = tail.rfind(_ZIP_END_MARK)
    if at < 0 or len(tail) - at < _ZIP_END.size:
        raise work.refused("it is damaged: its end is missing")
    *_, entries, length, _, _ = _ZIP_END.unpack_from(tail, at)
    end = size - len(tail) + at - _ZIP64_LOCATOR.size
    file.seek(max(0, end))
    if end >= 0 and file.read(4) == _ZIP64_LOCATOR_MARK:
        more_entries, more_length = _zip64_list(file, end, work)
        entries, length = max(entries, more_entries), max(length, more_length)
    if entries > work.limits.files or length > work.limits.files * 512:
        raise work.refused(f"it has more than {work.limits.files} files")
    file.seek(0)


def _zip64_list(file: IO[bytes], locator: int, work: _Work) -> tuple[int, int]:
    """Entries and bytes of the list, by the record before the locator that is at an offset."""
    begin = locator - _ZIP64_END.size
    file.seek(locator)
    *_, place, _ = _ZIP64_LOCATOR.unpack(file.read(_ZIP64_LOCATOR.size))
    # Of a record elsewhere it depends on Python's version whether it holds.
    if begin < 0 or place != begin:
        raise work.refused("it is damaged: its end is in pieces")
    file.seek(begin)
    *_, entries, length, _ = _ZIP64_END.unpack(file.read(_ZIP64_END.size))
    return entries, length


@contextmanager
def _damage(work: _Work) -> Iterator[None]:
    """Makes what goes wrong in reading an archive its own fault."""
    try:
        yield
    except Refused:
        raise
    except OSError as error:
        if error.errno is not None:  # of the system, not of a decompressor
            raise
        raise work.refused(f"it is damaged: {error}") from error
    except _DAMAGED as error:
        raise work.refused(f"it is damaged: {error}") from error


class _Counted(io.RawIOBase):
    """A stream of which each byte that is read is told."""

    def __init__(self, stream: IO[bytes], work: _Work) -> None:
        self._stream = stream
        self._work = work

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, never all that there are."""
        found = self._stream.read(_CHUNK if size < 0 else size)
        self._work.came(len(found))
        return found


class _Decompressed(io.RawIOBase):
    """What a decompressor with a limit of its own makes of a stream, piece by piece."""

    def __init__(self, file: IO[bytes], start: Callable[[], lzma.LZMADecompressor]) -> None:
        self._file = file
        self._start = start
        self._now = start()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; none at the end."""
        while True:
            if self._now.eof:
                rest = self._now.unused_data or self._file.read(_CHUNK)
                if not rest.strip(b"\0"):
                    return b""
                self._now = self._start()
            else:
                rest = self._file.read(_CHUNK) if self._now.needs_input else b""
                if self._now.needs_input and not rest:
                    raise EOFError("it ends in the middle")
            if found := self._now.decompress(rest, _CHUNK if size < 0 else size):
                return found


def _xz(file: IO[bytes]) -> IO[bytes]:
    def start() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    return _Decompressed(file, start)  # type: ignore[return-value]


def _zst(file: IO[bytes]) -> IO[bytes]:
    try:
        zstd = importlib.import_module("compression.zstd")  # since Python 3.14
    except ImportError:
        raise Refused(
            "this Python does not read zst archives", fix="pack it as .tar.gz or .tar.xz"
        ) from None
    return zstd.ZstdFile(file)  # type: ignore[no-any-return]


_COMPRESSED: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": lambda file: GzipFile(fileobj=file),  # type: ignore[dict-item, return-value]
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": _xz,
    b"\x28\xb5\x2f\xfd": _zst,
}
