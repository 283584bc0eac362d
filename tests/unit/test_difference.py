"""Where files differ, as it is told to a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed.base.difference import Difference, first_difference


def differ(folder: Path, first: bytes, second: bytes) -> Difference | None:
    (folder / "a").write_bytes(first)
    (folder / "b").write_bytes(second)
    return first_difference(folder / "a", folder / "b")


@pytest.mark.parametrize("content", [b"", b"a", b"a\nb\n", bytes(range(256)) * 5000])
def test_equal_files(tmp_path: Path, content: bytes) -> None:
    assert differ(tmp_path, content, content) is None


def test_text_shows_the_lines(tmp_path: Path) -> None:
    found = differ(tmp_path, b"head\nsize,58\nmore\n", b"head\nsize,59\nmore\n")
    assert found == Difference(11, 2, 7, "size,58\\n", "size,59\\n")
    assert str(found) == "byte 11 (line 2, column 7)"


def test_line_that_is_missing(tmp_path: Path) -> None:
    assert differ(tmp_path, b"a\nb\n", b"a\n") == Difference(
        2, 2, 1, "b\\n", "(the file ends here)"
    )
    assert differ(tmp_path, b"", b"x") == Difference(0, 1, 1, "(the file ends here)", "x")


def test_last_line_without_its_end(tmp_path: Path) -> None:
    assert differ(tmp_path, b"a\nb\n", b"a\nb") == Difference(3, 2, 2, "b\\n", "b")


def test_only_the_surroundings_of_a_long_line(tmp_path: Path) -> None:
    found = differ(tmp_path, b"x" * 100_000 + b"1" + b"y" * 900, b"x" * 100_000 + b"2" + b"y" * 900)
    assert found is not None
    assert (found.offset, found.line, found.column) == (100_000, 1, 100_001)
    assert found.first == "x" * 60 + "1" + "y" * 59
    assert found.second == "x" * 60 + "2" + "y" * 59


def test_binary_files_in_hexadecimal(tmp_path: Path) -> None:
    found = differ(tmp_path, bytes(range(32)), bytes([*range(16), 255, *range(17, 32)]))
    assert found is not None
    assert found.offset == 16
    assert found.first == "08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17"
    assert found.second == "08 09 0a 0b 0c 0d 0e 0f ff 11 12 13 14 15 16 17"


def test_carriage_returns_and_bytes_that_are_no_text_are_visible(tmp_path: Path) -> None:
    assert differ(tmp_path, b"a\r\n", b"a\n") == Difference(1, 1, 2, "a\\r\\n", "a\\n")
    found = differ(tmp_path, b"a\xff\n", b"a\xfe\n")
    assert found is not None
    assert (found.first, found.second) == ("a\\xff\\n", "a\\xfe\\n")


@pytest.mark.parametrize("offset", [0, 1, 7, 4095, 4096, 9998, 9999])
def test_every_offset_is_found(tmp_path: Path, offset: int) -> None:
    content = bytes(index % 251 for index in range(10_000))
    changed = bytearray(content)
    changed[offset] ^= 1
    found = differ(tmp_path, content, bytes(changed))
    assert found is not None
    assert found.offset == offset
    assert found.line == content[:offset].count(b"\n") + 1
