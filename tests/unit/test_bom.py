"""The bill of materials, and the folder of licences and sources."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pibed import bom
from pibed.apt import Archive
from pibed.bom import Component
from pibed.lock import Source
from pibed.store import digest_file

COMPONENTS = [
    Component("gcc", "gcc 12", "GPL-3.0-or-later", "host"),
    Component("linux", "6.1.1", "GPL-2.0-only", files={"linux.tar": "ab" * 32}),
    Component("busybox", "1.35", "", note="overridden"),
]


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    for name in ("zImage", "initramfs"):
        (tmp_path / name).write_text(name)
    return {"kernel": tmp_path / "zImage", "initramfs": tmp_path / "initramfs"}


def test_components_of_the_images_come_first_and_the_images_depend_on_them(
    images: dict[str, Path],
) -> None:
    made = bom.document("pi2", COMPONENTS, images)
    assert [each["bom-ref"] for each in made["components"]] == [
        "target:busybox",
        "target:linux",
        "host:gcc",
    ]
    assert [each["scope"] for each in made["components"]] == ["required", "required", "excluded"]
    assert made["dependencies"] == [
        {"ref": "images", "dependsOn": ["target:busybox", "target:linux"]}
    ]
    described = made["metadata"]["component"]["components"]
    assert {each["name"]: each["hashes"][0]["content"] for each in described} == {
        name: digest_file(path) for name, path in images.items()
    }
    busybox, linux, _ = made["components"]
    assert busybox["description"] == "overridden"
    assert "licenses" not in busybox
    assert linux["components"][0]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]


def test_the_same_images_have_the_same_document_and_others_another(
    images: dict[str, Path],
) -> None:
    first = bom.document("pi2", COMPONENTS, images)
    assert json.dumps(first) == json.dumps(bom.document("pi2", COMPONENTS[::-1], images))
    images["kernel"].write_text("other")
    assert bom.document("pi2", COMPONENTS, images)["serialNumber"] != first["serialNumber"]


def test_sources_and_licences_are_laid_out_with_a_table(tmp_path: Path) -> None:
    downloads, folder = tmp_path / "downloads", tmp_path / "legal"
    downloads.mkdir()
    folder.mkdir()
    (downloads / "linux.tar").write_text("sources")
    archive = Archive("linux", Source(version="6.1.1", files={"linux.tar": "ab" * 32}), downloads)
    licence = tmp_path / "COPYING"
    licence.write_text("GPL")
    bom.collect([archive], COMPONENTS, {"linux": licence}, folder)
    assert (folder / "sources" / "linux" / "linux.tar").read_text() == "sources"
    assert (folder / "licenses" / "linux" / "COPYING").read_text() == "GPL"
    tables = {}
    for name in ("manifest.csv", "host-manifest.csv"):
        with (folder / name).open(newline="") as file:
            tables[name] = list(csv.DictReader(file))
    assert [(row["PACKAGE"], row["LICENSE FILES"]) for row in tables["manifest.csv"]] == [
        ("linux", "COPYING"),
        ("busybox", ""),
    ]
    assert tables["manifest.csv"][0]["SOURCE ARCHIVE"] == "linux.tar"
    assert [row["PACKAGE"] for row in tables["host-manifest.csv"]] == ["gcc"]
