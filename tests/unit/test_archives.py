"""Archives that were handed in, with all that one can do wrong or mean ill in them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pibed.base.archives import Limits, Refused, unpack

FILES = {"lab/Kbuild": b"obj-m := lab.o\n", "lab/src/lab.c": b"int lab;\n"}
SMALL = Limits(bytes=4 << 20, file_bytes=1 << 20, files=50, depth=8)


def tar_of(*entries: tarfile.TarInfo | tuple[str, bytes], mode: str = "w") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
    return packed.getvalue()


def entry(name: str, kind: bytes, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def zip_of(
    *entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return packed.getvalue()


def zip_entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def unpacked(folder: Path, content: bytes, limits: Limits = SMALL) -> dict[str, bytes]:
    archive, target = folder / "handed-in", folder / "target"
    archive.write_bytes(content)
    try:
        unpack(archive, target, limits)
    finally:
        # Nothing is left beside it, whatever happened.
        assert {path.name for path in folder.iterdir()} <= {"handed-in", "target"}
    return {
        path.relative_to(target).as_posix(): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    "pack",
    [
        lambda: tar_of(*FILES.items()),
        lambda: tar_of(*FILES.items(), mode="w:gz"),
        lambda: tar_of(*FILES.items(), mode="w:bz2"),
        lambda: tar_of(*FILES.items(), mode="w:xz"),
        lambda: zip_of(*FILES.items()),
        lambda: zip_of(*FILES.items(), method=zipfile.ZIP_STORED),
        lambda: zip_of(*((name.replace("/", "\\"), data) for name, data in FILES.items())),
        # In folders that are alone, and with what systems add.
        lambda: tar_of(*((f"a/b/{name}", data) for name, data in FILES.items())),
        lambda: zip_of(*FILES.items(), ("__MACOSX/lab/._Kbuild", b"x"), ("lab/.DS_Store", b"x")),
        lambda: tar_of(("._lab", b"x"), *FILES.items()),
        # Several streams in one, as pigz and xz make them.
        lambda: b"".join(
            map(gzip.compress, (tar_of(*FILES.items())[:512], tar_of(*FILES.items())[512:]))
        ),
        lambda: b"".join(
            map(lzma.compress, (tar_of(*FILES.items())[:512], tar_of(*FILES.items())[512:]))
        ),
    ],
)
def test_what_is_in_it(tmp_path: Path, pack: Callable[[], bytes]) -> None:
    assert unpacked(tmp_path, pack()) == {"Kbuild": b"obj-m := lab.o\n", "src/lab.c": b"int lab;\n"}


def test_permissions_are_not_taken_over(tmp_path: Path) -> None:
    program = tarfile.TarInfo("run.sh")
    program.mode, program.uid = 0o6755, 1234
    secret = tarfile.TarInfo("locked")
    secret.mode = 0o000
    unpacked(tmp_path, tar_of(program, secret))
    found = (tmp_path / "target" / "run.sh").stat()
    assert stat.S_IMODE(found.st_mode) == 0o755
    assert found.st_uid == os.geteuid()
    assert stat.S_IMODE((tmp_path / "target" / "locked").stat().st_mode) == 0o644


def test_link_to_what_is_in_it_stays(tmp_path: Path) -> None:
    link = entry("lab/first.c", tarfile.SYMTYPE, "src/lab.c")
    assert unpacked(tmp_path, tar_of(link, *FILES.items()))["first.c"] == b"int lab;\n"
    assert (tmp_path / "target" / "first.c").readlink() == Path("src/lab.c")


A = ("a", b"a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tar_of(("/etc/cron.d/x", b"x")), r"'/etc/cron.d/x': an absolute path"),
        (zip_of(("C:\\x", b"x")), r"'C:/x': an absolute path"),
        (tar_of(("a/../../x", b"x")), r"'a/../../x': a path with \.\."),
        (zip_of(("..\\..\\x", b"x")), r"'../../x': a path with \.\."),
        (tar_of(A, entry("b", tarfile.LNKTYPE, "a")), r"'b': a hard link"),
        (tar_of(A, entry("b", tarfile.LNKTYPE, "/etc/shadow")), r"'b': a hard link"),
        (tar_of(A, entry("b", tarfile.SYMTYPE, "/etc/shadow")), r"'b': a link to an absolute"),
        (tar_of(A, entry("b", tarfile.SYMTYPE, "../x")), r"'b': a link to nothing that is in"),
        (tar_of(A, entry("b", tarfile.SYMTYPE, "b")), r"'b': a link to nothing that is in"),
        (tar_of(A, entry("b", tarfile.SYMTYPE, "none")), r"'b': a link to nothing that is in"),
        # What is inside as text leads out by a link on the way.
        (
            tar_of(A, entry("d", tarfile.SYMTYPE, "."), entry("e", tarfile.SYMTYPE, "d/..")),
            r"'e': a link to nothing that is in the archive",
        ),
        # A file, or another link, behind a link.
        (tar_of(A, entry("b", tarfile.SYMTYPE, "/tmp"), ("b/c", b"x")), r"'b': a link to an abs"),
        (tar_of(A, entry("b", tarfile.SYMTYPE, ".."), ("b/c", b"x")), r"'b': it is there twice"),
        (
            tar_of(
                A, entry("b", tarfile.SYMTYPE, ".."), entry("b/c", tarfile.SYMTYPE, "handed-in")
            ),
            r"'b/c': it is there twice",
        ),
        (zip_of(A, (zip_entry("b", 0o120777), b"/etc/shadow")), r"'b': a link to an absolute"),
        (zip_of(A, (zip_entry("b", 0o120777), b"../../x")), r"'b': a link to nothing that is in"),
        (tar_of(A, entry("b", tarfile.CHRTYPE)), r"'b': a device"),
        (tar_of(A, entry("b", tarfile.BLKTYPE)), r"'b': a device"),
        (tar_of(A, entry("b", tarfile.FIFOTYPE)), r"'b': a named pipe"),
        (zip_of(A, (zip_entry("b", 0o010644), b"")), r"'b': a device or a named pipe"),
        (tar_of(("a\nb", b"x")), r"'a\\nb': a name with a control character"),
        (tar_of(("a\x1b[2Jb", b"x")), r"'a\\x1b\[2Jb': a name with a control"),
        (tar_of(("a\udcff", b"x")), r"a name with a control character, or that is not UTF-8"),
        (zip_of(("a\nb", b"x")), r"'a\\nb': a name with a control character"),
        (tar_of(A, A), r"'a': it is there twice"),
        (tar_of(A, ("a/b", b"x")), r"'a': a folder and a file of the same name"),
        (tar_of(("/".join("abcdefghij"), b"x")), r"a path that is too long"),
        (tar_of(("x" * 300, b"x")), r"a path that is too long"),
        (tar_of(), r"there is no file in it"),
        (tar_of(entry("a", tarfile.DIRTYPE)), r"there is no file in it"),
        (tar_of(("__MACOSX/a", b"x")), r"there is no file in it"),
        (zip_of(), r"there is no file in it"),
        (b"", r"it is neither: expected a tar archive"),
        (b"\x7fELF" + bytes(2000), r"it is neither: expected a tar archive"),
        (b"Rar!\x1a\x07" + bytes(2000), r"it is neither: expected a tar archive"),
        (tar_of(*FILES.items(), mode="w:gz")[:-20], r"it is damaged: "),
        (tar_of(*FILES.items(), mode="w:xz")[:-20], r"it is damaged: "),
        (tar_of(*FILES.items(), mode="w:bz2")[:-20], r"it is damaged: "),
        (tar_of(*FILES.items())[:700], r"it is damaged: "),
        (zip_of(*FILES.items())[:-30], r"it is damaged: "),
        (
            zip_of(*FILES.items(), method=zipfile.ZIP_STORED).replace(b"int lab", b"int bal"),
            r"it is damaged: ",
        ),
        (b"\x1f\x8b" + bytes(500), r"it is damaged: "),
        (b"\xfd7zXZ\x00" + bytes(500), r"it is damaged: "),
        (b"BZh9" + bytes(500), r"it is damaged: "),
        (zip_of(A, method=zipfile.ZIP_BZIP2), r"'a': a file that is compressed neither by def"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(Refused, match=message) as caught:
        unpacked(tmp_path, content)
    assert caught.value.message.startswith("handed-in: ")
    assert caught.value.message.isprintable()
    assert not (tmp_path / "target").exists()


def encrypted() -> bytes:
    content = bytearray(zip_of(A))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] |= 1
    return bytes(content)


def test_encrypted(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"'a': a file that is encrypted"):
        unpacked(tmp_path, encrypted())


def claims_little() -> bytes:
    """A zip archive whose file is said to be of ten bytes."""
    content = bytearray(zip_of(("a", bytes(2 << 20))))
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<L", content, content.index(mark) + at, 10)
    return bytes(content)


@pytest.mark.parametrize(
    ("pack", "limits", "message"),
    [
        (lambda: gzip.compress(bytes(20 << 20)), SMALL, r"unpacks to more than 4 MiB"),
        (
            lambda: gzip.compress(tar_of(*((f"f{i}", bytes(800_000)) for i in range(20)))),
            SMALL,
            r"it unpacks to more than 4 MiB",
        ),
        (
            lambda: bz2.compress(tar_of(("f", bytes(80 << 20)))),
            Limits(file_bytes=100 << 20),
            r"it unpacks to more than 200 times its size",
        ),
        (
            lambda: lzma.compress(tar_of(("f", bytes(80 << 20)))),
            Limits(file_bytes=100 << 20),
            r"it unpacks to more than 200 times its size",
        ),
        (
            lambda: zip_of(("f", bytes(80 << 20))),
            Limits(file_bytes=100 << 20),
            r"it unpacks to more than 200 times its size",
        ),
        (lambda: zip_of(("f", bytes(2 << 20))), SMALL, r"'f': a file of more than 1 MiB"),
        (lambda: tar_of(("f", bytes(2 << 20))), SMALL, r"'f': a file of more than 1 MiB"),
        (claims_little, SMALL, r"it is damaged: "),
        (
            lambda: tar_of(*((f"f{i}", b"") for i in range(51))),
            SMALL,
            r"it has more than 50 files",
        ),
        (
            lambda: zip_of(*((f"f{i}", b"") for i in range(51))),
            SMALL,
            r"it has more than 50 files",
        ),
        (lambda: tar_of(("f", os.urandom(5 << 20))), SMALL, r"it has more than 4 MiB"),
    ],
)
def test_bomb_is_stopped_while_it_is_unpacked(
    tmp_path: Path, pack: Callable[[], bytes], limits: Limits, message: str
) -> None:
    content = pack()
    began = time.process_time()
    with pytest.raises(Refused, match=message):
        unpacked(tmp_path, content, limits)
    assert time.process_time() - began < 2
    assert not (tmp_path / "target").exists()


def test_header_that_is_a_bomb(tmp_path: Path) -> None:
    """An extended header of 2 GiB, of which there are but a few bytes."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 2 << 30
    content = gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(8 << 20))
    with pytest.raises(Refused, match="unpacks to more than 4 MiB"):
        unpacked(tmp_path, content)


def sparse(count: int, size: int) -> bytes:
    """A tar archive of files of so many bytes that are one hole each, as GNU tar writes them."""
    packed = bytearray()
    for number in range(count):
        info = tarfile.TarInfo(f"hole{number}")
        info.type = tarfile.GNUTYPE_SPARSE
        header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        # Its only piece, which is empty, is at its end; then its size. See "GNU tar: Sparse".
        struct.pack_into("12s12s", header, 386, b"%011o\0" % size, b"%011o\0" % 0)
        struct.pack_into("12s", header, 483, b"%011o\0" % size)
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        packed += header
    return bytes(packed) + bytes(1024)


def test_holes_do_not_fill_the_disk(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="'hole0': a sparse file"):
        unpacked(tmp_path, sparse(20, 1 << 20))


def zip64(entries: int, shift: int = 0) -> bytes:
    """A zip archive whose end says that there is one entry, and in 64 bits that there are more."""
    files = zip_of(*((f"f{i}", b"") for i in range(entries)))
    at = files.rindex(b"PK\x05\x06")
    length, begin = struct.unpack_from("<LL", files, at + 12)
    record = struct.pack("<4sQ2H2L", b"PK\x06\x06", 44, 45, 45, 0, 0)
    record += struct.pack("<4Q", entries, entries, length, begin)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at + shift, 1)
    return (
        files[:at]
        + record
        + locator
        + files[at : at + 8]
        + struct.pack("<2H2LH", 1, 1, 46, begin, 0)
    )


def test_list_of_a_zip64_archive_is_counted_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(unpacked(tmp_path, zip64(3))) == 3
    refused = ((zip64(51), "more than 50 files"), (zip64(3, 1), "in pieces"))
    # Before the list is read, which takes the memory.
    monkeypatch.setattr(zipfile, "ZipFile", None)
    for content, message in refused:
        folder = tmp_path / message
        folder.mkdir()
        with pytest.raises(Refused, match=message):
            unpacked(folder, content)
