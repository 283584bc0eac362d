"""Licences, sources and the bill of materials of the images that all other tests boot."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pibed.base.files import digest_file
from pibed.build.images import Images
from pibed.build.sources import lock
from tests import disk

from .conftest import Run


def test_folder_has_the_locked_sources_and_the_bill_of_the_images(
    invoke: Run, images: Images, tmp_path: Path
) -> None:
    folder = tmp_path / "legal"
    done = invoke("legal", "--output", str(folder))
    assert done.returncode == 0, done.stderr
    bom = json.loads((folder / "bom.json").read_text())
    described = bom["metadata"]["component"]["components"]
    assert {each["name"]: each["hashes"][0]["content"] for each in described} == {
        "kernel": digest_file(images.kernel),
        "device tree": digest_file(images.device_tree),
        "initramfs": digest_file(images.initramfs),
    }
    known = lock.load()
    assert known is not None
    for package in ("linux-source-6.1", "busybox"):
        found = {each.name: digest_file(each) for each in (folder / "sources" / package).iterdir()}
        assert found == known.sources[package].files
    names = {each["name"] for each in bom["components"] if each["scope"] == "required"}
    assert {"linux", "busybox", "kmod_paging", "dense_mm", "pibed-agent", "libc"} <= names
    assert {each.name for each in (folder / "licenses").iterdir()} == names
    again = invoke("legal", "--output", str(folder))
    assert again.returncode == 2
    assert "it is there already" in again.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that the sources do not fit into."""
    with disk.small(tmp_path / "small", "50m") as folder:
        yield folder


def test_full_disk_leaves_nothing_and_the_same_command_can_be_repeated(
    invoke: Run, small_disk: Path
) -> None:
    command = ("legal", "--output", str(small_disk / "legal"))
    done = invoke(*command)
    assert done.returncode == 3
    assert "No space left on device" in done.stderr
    assert list(small_disk.iterdir()) == []
    subprocess.run(["mount", "-o", "remount,size=500m", str(small_disk)], check=True)
    done = invoke(*command)
    assert done.returncode == 0, done.stderr
    assert [each.name for each in small_disk.iterdir()] == ["legal"]
