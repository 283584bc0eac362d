"""A module that the kernel would refuse is found before a boot."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed.base.errors import BuildError
from pibed.build import vermagic

MAGIC = "6.12.117 SMP mod_unload ARMv7 p2v8 "


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """As in a real image: the banner, the release alone, and then the magic behind a number."""
    image = tmp_path / "Image"
    image.write_bytes(
        b"\x01\0version 6.12.117 (pibed@pibed) (gcc 12) #1 SMP\0\0\0"
        b"6.12.117\0\0\0\0\x01\x00\x00\x00" + MAGIC.encode() + b"\0module.async_probe\0"
    )
    return image


def module(folder: Path, magic: str | None) -> Path:
    path = folder / "kmod.ko"
    text = b"" if magic is None else b"vermagic=" + magic.encode() + b"\0"
    path.write_bytes(b"\x7fELF\0license=GPL\0" + text + b"name=kmod\0")
    return path


def test_equal_magic_passes(kernel: Path, tmp_path: Path) -> None:
    assert vermagic.of_kernel(kernel, "6.12.117") == MAGIC
    vermagic.check(module(tmp_path, MAGIC), kernel, "6.12.117")


@pytest.mark.parametrize(
    "magic",
    [
        "6.1.192 SMP mod_unload ARMv7 p2v8 ",
        "6.12.117 SMP preempt mod_unload ARMv7 p2v8 ",
        "6.12.117",
    ],
)
def test_another_magic_is_refused_and_both_are_named(
    kernel: Path, tmp_path: Path, magic: str
) -> None:
    path = module(tmp_path, magic)
    with pytest.raises(BuildError) as refusal:
        vermagic.check(path, kernel, "6.12.117")
    assert str(path) in refusal.value.message
    assert f"'{magic.strip()}'" in refusal.value.message
    assert f"'{MAGIC.strip()}'" in refusal.value.message
    assert refusal.value.fix


def test_what_is_no_module_and_what_is_no_kernel(kernel: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no kernel module"):
        vermagic.of_module(module(tmp_path, None))
    with pytest.raises(BuildError, match=r"no vermagic of release 6\.1\.192"):
        vermagic.of_kernel(kernel, "6.1.192")
    with pytest.raises(BuildError, match="no vermagic"):
        vermagic.of_kernel(kernel, "6.12.11")
