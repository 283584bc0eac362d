"""What is in images, whatever a build's exit status said."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed.base.errors import BuildError
from pibed.build.buildroot import contents
from pibed.model.machine import load_machine
from tests.unit.helpers import packed


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An initramfs as Buildroot packs it."""
    root = tmp_path / "root"
    (root / "lib" / "modules").mkdir(parents=True)
    (root / "lib" / "modules" / "a.ko").write_bytes(b"module")
    (root / "init").write_bytes(b"#!/bin/sh\n")
    (root / "empty").touch()
    (root / "link").symlink_to("init")
    return packed(root, tmp_path / "rootfs.cpio")


def test_members_are_the_regular_files(archive: Path) -> None:
    assert contents.members(archive) == {
        "init": b"#!/bin/sh\n",
        "empty": b"",
        "lib/modules/a.ko": b"module",
    }
    contents.require_members(archive, ["init", "lib/modules/a.ko"])


def test_every_member_that_is_missing_or_empty_is_named(archive: Path) -> None:
    with pytest.raises(BuildError) as caught:
        contents.require_members(archive, ["init", "lib/modules/b.ko", "empty", "link"])
    assert caught.value.message == f"{archive}: it lacks empty, lib/modules/b.ko, link"


@pytest.mark.parametrize("keep", [0, 50, 300])
def test_archive_that_is_cut_off(archive: Path, keep: int) -> None:
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(BuildError, match="it is no whole initramfs"):
        contents.require_members(archive, ["init"])


def test_archive_with_a_header_that_is_none(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[10] = ord("x")
    archive.write_bytes(data)
    with pytest.raises(BuildError, match="it is no whole initramfs"):
        contents.require_members(archive, ["init"])


def test_no_root_file_system_at_all(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"rootfs\.cpio: it was not made"):
        contents.require_members(tmp_path / "rootfs.cpio", ["init"])


def test_kernel_and_device_tree_are_known_by_their_magic_numbers(tmp_path: Path) -> None:
    kernel, tree = tmp_path / "zImage", tmp_path / "board.dtb"
    kernel.write_bytes(b"\0" * 0x24 + b"\x18\x28\x6f\x01" + b"\0" * 8)
    tree.write_bytes(b"\xd0\x0d\xfe\xed" + b"\0" * 8)
    magic = load_machine("pi2").kernel.image_magic
    contents.require_kernel(kernel, magic)
    contents.require_device_tree(tree)
    with pytest.raises(BuildError, match="it is no kernel for this machine"):
        contents.require_kernel(tree, magic)
    with pytest.raises(BuildError, match="it is no device tree"):
        contents.require_device_tree(kernel)
    with pytest.raises(BuildError, match="it was not made"):
        contents.require_kernel(tmp_path / "none", magic)
