"""The list that gen_init_cpio makes the root file system from."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed.base.errors import BuildError
from pibed.build.initramfs import CharDevice, Entry, File, Folder, Link, listing, write_archive


def test_sorted_with_parents_before_children() -> None:
    text = listing(
        [
            File("/usr/bin/work", "usr/bin/work", 0o755),
            Link("/bin", "usr/bin"),
            CharDevice("/dev/console", 5, 1),
            Folder("/tmp"),
            File("/init", "init"),
        ]
    )
    assert text == (
        "slink /bin usr/bin 777 0 0\n"
        "dir /dev 755 0 0\n"
        "nod /dev/console 600 0 0 c 5 1\n"
        "file /init init 644 0 0\n"
        "dir /tmp 755 0 0\n"
        "dir /usr 755 0 0\n"
        "dir /usr/bin 755 0 0\n"
        "file /usr/bin/work usr/bin/work 755 0 0\n"
    )


def test_order_of_the_entries_does_not_matter() -> None:
    entries = [File(f"/{name}/file", "f") for name in ("b", "a-b", "a", "a.b")]
    assert listing(entries) == listing(reversed(entries))
    lines = listing(entries).splitlines()
    for name in ("b", "a-b", "a", "a.b"):
        folder = lines.index(f"dir /{name} 755 0 0")
        assert folder < lines.index(f"file /{name}/file f 644 0 0")


def test_folder_that_is_also_a_parent_is_there_once() -> None:
    assert listing([File("/dev/x", "x"), Folder("/dev")]).count("dir /dev ") == 1


def test_nothing() -> None:
    assert listing([]) == ""


def test_two_entries_at_one_place() -> None:
    with pytest.raises(BuildError, match="two entries at /init"):
        listing([File("/init", "a"), File("/init", "b")])


@pytest.mark.parametrize(
    "entry",
    [
        File("/a file", "a"),
        File("/a", "the file"),
        Folder("/a\tb"),
        File("/a\nslink /b", "a"),
        CharDevice("/a b", 1, 3),
        Link("/a b", "c"),
        pytest.param(Link("/a", "b c")),
    ],
)
def test_whitespace_is_refused(entry: Entry) -> None:
    with pytest.raises(BuildError, match="cannot have a space"):
        listing([entry])


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """In place of gen_init_cpio: gives back its arguments and its list, or fails as asked."""
    path = tmp_path / "tool"
    path.write_text(
        '#!/bin/sh\necho "$@"\ncat\nif [ -e fail ]; then cat fail >&2; fi\n', encoding="utf-8"
    )
    path.chmod(0o755)
    return path


def test_archive_has_no_times_and_sources_from_the_folder(tool: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.cpio"
    (tmp_path / "init").touch()
    write_archive(tool, tmp_path, [File("/init", "init")], target)
    assert target.read_text(encoding="utf-8") == "-t 0 -\nfile /init init 644 0 0\n"
    # The tool takes the time of a regular file from the file.
    assert (tmp_path / "init").stat().st_mtime == 0


def test_message_of_the_tool_is_an_error_even_with_status_0(tool: Path, tmp_path: Path) -> None:
    (tmp_path / "fail").write_text("File init could not be opened", encoding="utf-8")
    with pytest.raises(BuildError, match="File init could not be opened"):
        write_archive(tool, tmp_path, [File("/init", "init")], tmp_path / "out.cpio")
