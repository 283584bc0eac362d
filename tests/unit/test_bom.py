"""The bill of materials, and the folder of licences and sources."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from pibed import __version__
from pibed.base.files import digest_file
from pibed.build import bill, materials
from pibed.build.materials import Component
from pibed.build.sources.apt import SourcePackage
from pibed.build.toolchain import CLibrary
from pibed.model.builder import Source

COMPONENTS = [
    Component("gcc", "12", "GPL-3.0-or-later", "host"),
    Component("libc", "2.36", "LGPL-2.1-or-later", digest="cd" * 32),
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
    made = bill.document("pi2", COMPONENTS, images)
    assert [each["bom-ref"] for each in made["components"]] == [
        "target:busybox",
        "target:libc",
        "target:linux",
        "host:gcc",
    ]
    assert [(each["scope"], each["type"]) for each in made["components"]] == [
        ("required", "application"),
        ("required", "library"),
        ("required", "operating-system"),
        ("excluded", "application"),
    ]
    assert made["dependencies"] == [
        {"ref": "images", "dependsOn": ["target:busybox", "target:libc", "target:linux"]}
    ]
    described = made["metadata"]["component"]["components"]
    assert {each["name"]: each["hashes"][0]["content"] for each in described} == {
        name: digest_file(path) for name, path in images.items()
    }
    busybox, libc, linux, _ = made["components"]
    assert libc["hashes"] == [{"alg": "SHA-256", "content": "cd" * 32}]
    assert busybox["description"] == "overridden"
    assert "licenses" not in busybox
    assert linux["components"][0]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("", []),
        ("unknown", []),
        ("MIT", [{"license": {"id": "MIT"}}]),
        ("GPL-2.0-only", [{"license": {"id": "GPL-2.0-only"}}]),
        # As Buildroot has it.
        ("GPL-2.0", [{"license": {"id": "GPL-2.0-only"}}]),
        ("LGPL-2.1+", [{"license": {"id": "LGPL-2.1-or-later"}}]),
        ("GPL-2.0+, MIT", [{"license": {"id": "GPL-2.0-or-later"}}, {"license": {"id": "MIT"}}]),
        ("GPL-2.0+ or MIT", [{"expression": "GPL-2.0-or-later OR MIT"}]),
        (
            "GPL-2.0+ or MIT, BSD-3-Clause",
            [{"expression": "(GPL-2.0-or-later OR MIT) AND (BSD-3-Clause)"}],
        ),
        (
            "GPL-2.0-only WITH Linux-syscall-note",
            [{"expression": "GPL-2.0-only WITH Linux-syscall-note"}],
        ),
        # What SPDX does not know keeps its words.
        (
            "GPL-2.0, bzip2-1.0.4",
            [{"license": {"id": "GPL-2.0-only"}}, {"license": {"name": "bzip2-1.0.4"}}],
        ),
        (
            "GPL-2.0 or MIT, others",
            [{"license": {"name": "GPL-2.0 or MIT"}}, {"license": {"name": "others"}}],
        ),
        ("LGPL-2.1+ (library)", [{"license": {"name": "LGPL-2.1+ (library)"}}]),
        ("GPL-3.0-with-GCC-exception", [{"license": {"id": "GPL-3.0-with-GCC-exception"}}]),
    ],
)
def test_licences_are_in_the_words_of_spdx(stated: str, expected: list[dict[str, Any]]) -> None:
    assert bill.licences(stated) == expected


def test_the_same_images_have_the_same_document_and_others_another(
    images: dict[str, Path],
) -> None:
    first = bill.document("pi2", COMPONENTS, images)
    assert json.dumps(first) == json.dumps(bill.document("pi2", COMPONENTS[::-1], images))
    images["kernel"].write_text("other")
    assert bill.document("pi2", COMPONENTS, images)["serialNumber"] != first["serialNumber"]


def test_sources_and_licences_are_laid_out_with_a_table(tmp_path: Path) -> None:
    downloads, folder = tmp_path / "downloads", tmp_path / "legal"
    downloads.mkdir()
    folder.mkdir()
    (downloads / "linux.tar").write_text("sources")
    archive = SourcePackage(
        "linux", Source(version="6.1.1", files={"linux.tar": "ab" * 32}), downloads
    )
    licence = tmp_path / "COPYING"
    licence.write_text("GPL")
    materials.collect([archive], COMPONENTS, {"linux": licence}, folder)
    assert (folder / "sources" / "linux" / "linux.tar").read_text() == "sources"
    assert (folder / "licenses" / "linux" / "COPYING").read_text() == "GPL"
    tables = {}
    for name in ("manifest.csv", "host-manifest.csv"):
        with (folder / name).open(newline="") as file:
            tables[name] = list(csv.DictReader(file))
    assert [(row["PACKAGE"], row["LICENSE FILES"]) for row in tables["manifest.csv"]] == [
        ("libc", ""),
        ("linux", "COPYING"),
        ("busybox", ""),
    ]
    assert [row["SOURCE ARCHIVE"] for row in tables["manifest.csv"]] == ["", "linux.tar", ""]
    assert [row["PACKAGE"] for row in tables["host-manifest.csv"]] == ["gcc"]


PACKAGES = {
    "busybox": ("target", "1.37.0", "GPL-2.0, bzip2-1.0.4"),
    "dense-mm": ("target", "1", "GPL-2.0"),
    "host-kmod": ("host", "33", "LGPL-2.1+ (library)"),
    "host-makedevs": ("host", "", "GPL-2.0"),
    "host-tar": ("host", "1.35", "GPL-3.0+"),
    "kmod-paging": ("target", "1", "GPL-2.0"),
    "linux": ("target", "custom", "GPL-2.0"),
    "pibed-agent": ("target", "1", "MIT"),
    "skeleton-init-none": ("target", "", "unknown"),
}
OVERRIDES = {
    "busybox": "the distribution's package busybox",
    "host-kmod": "the distribution's program: kmod version 30",
    "host-tar": "the distribution's program: tar (GNU tar) 1.34",
}
COMPILERS = {
    "gcc": "gcc (Debian 12.2.0-14+deb12u1) 12.2.0",
    "arm-x-gcc": "arm-x-gcc.br_real (Buildroot 2021.11-11272-ge2962af) 12.3.0",
    "arm-x-ld": "GNU ld (GNU Binutils for Debian) 2.40",
}
GLIBC = "GNU C Library (Debian GLIBC 2.36-8) stable release version 2.36"


def of_buildroot(libc: str) -> dict[str, Component]:
    """What images that Buildroot made consist of."""
    packages = {
        name: {"kind": kind, "version": version, "licence": licence}
        for name, (kind, version, licence) in PACKAGES.items()
    }
    archives = [
        SourcePackage(name, Source(version=version, files={f"{name}.tar": "ab" * 32}), Path())
        for name, version in (("linux-source-6.1", "6.1.192-2"), ("busybox", "1.35.0-4"))
    ]
    found = materials.of_buildroot(
        "2025.02.16", packages, OVERRIDES, archives, COMPILERS, CLibrary(libc, "cd" * 32)
    )
    return {each.name: each for each in found}


def test_buildroot_its_packages_and_what_stands_in_for_them(images: dict[str, Path]) -> None:
    found = of_buildroot(GLIBC)
    assert {name: each.version for name, each in found.items()} == {
        "buildroot": "2025.02.16",
        "pibed-agent": __version__,
        "busybox": "1.35.0-4",
        "dense-mm": "1",
        "host-kmod": "30",
        "host-makedevs": "",
        "host-tar": "1.34",
        "kmod-paging": "1",
        "linux": "6.1.192-2",
        "skeleton-init-none": "",
        "gcc": "12.2.0",
        "arm-x-gcc": "12.3.0",
        "arm-x-ld": "2.40",
        "libc": "2.36",
    }
    assert found["linux"].files == {"linux-source-6.1.tar": "ab" * 32}
    assert found["host-tar"].note == OVERRIDES["host-tar"]
    assert (found["libc"].note, found["libc"].digest) == (GLIBC, "cd" * 32)
    assert bill.licences(found["kmod-paging"].licence) == bill.licences("GPL-2.0-only")
    whole = bill.document("pi2", list(found.values()), images)
    references = [each["bom-ref"] for each in whole["components"]]
    assert len(references) == len(set(references)) == len(found)
    assert set(whole["dependencies"][0]["dependsOn"]) <= set(references)
    for each in whole["components"]:
        # CycloneDX allows one expression, or any number of identifiers and names.
        kinds = {kind for licence in each.get("licenses", []) for kind in licence}
        assert kinds <= {"license"} or (kinds == {"expression"} and len(each["licenses"]) == 1)
        assert "unknown" not in json.dumps(each)
        assert each.get("version") != ""


def test_c_library_that_is_not_gnus_has_no_licence_that_could_be_wrong() -> None:
    libc = of_buildroot("")["libc"]
    assert (libc.version, libc.licence, libc.digest) == ("", "", "cd" * 32)
