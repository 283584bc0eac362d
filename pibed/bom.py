"""What images consist of: the bill of materials as CycloneDX has it, licences and sources."""

from __future__ import annotations

import csv
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pibed import __version__
from pibed.apt import Archive
from pibed.store import digest_file

_VERSION = "1.6"


@dataclass(frozen=True)
class Component:
    """Something that images are made of (`target`), or that only makes them (`host`)."""

    name: str
    version: str
    licence: str
    """As its origin states it, which need not be a name that SPDX knows."""
    kind: Literal["target", "host"] = "target"
    files: Mapping[str, str] = field(default_factory=dict)
    """What it was made from, with SHA-256."""
    note: str = ""
    """What is special about it, such as that it is not what the builder has by itself."""

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "name": self.name,
            "version": self.version,
            "licence": self.licence,
            "kind": self.kind,
            "files": dict(self.files),
            "note": self.note,
        }


def document(
    title: str, components: Sequence[Component], images: Mapping[str, Path]
) -> dict[str, Any]:
    """A CycloneDX document; the same images of the same components give the same one.

    `images` are the files that it is about, by name.
    """
    digests = {name: digest_file(path) for name, path in sorted(images.items())}
    known = sorted(components, key=lambda each: (each.kind != "target", each.name))
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": _VERSION,
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, str([title, digests, known])).urn,
        "version": 1,
        "metadata": {
            "component": {
                "type": "firmware",
                "bom-ref": "images",
                "name": title,
                "components": [
                    {"type": "file", "name": name, "hashes": [_hash(digest)]}
                    for name, digest in digests.items()
                ],
            },
            "tools": {
                "components": [{"type": "application", "name": "pibed", "version": __version__}]
            },
        },
        "components": [_component(each) for each in known],
        "dependencies": [
            {
                "ref": "images",
                "dependsOn": [_reference(each) for each in known if each.kind == "target"],
            }
        ],
    }


def collect(
    archives: Sequence[Archive],
    components: Sequence[Component],
    licences: Mapping[str, Path],
    folder: Path,
) -> None:
    """Lays out sources and licences as Buildroot's `make legal-info` does.

    `licences` are files by the names of what they are for.
    """
    for archive in archives:
        place = folder / "sources" / archive.package
        place.mkdir(parents=True)
        for name in archive.source.files:
            shutil.copyfile(archive.folder / name, place / name)
    for name, path in licences.items():
        place = folder / "licenses" / name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place / path.name)
    for kind, name in (("target", "manifest.csv"), ("host", "host-manifest.csv")):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerow(["PACKAGE", "VERSION", "LICENSE", "LICENSE FILES", "SOURCE ARCHIVE"])
            for each in components:
                if each.kind == kind:
                    licence = licences.get(each.name)
                    writer.writerow(
                        [
                            each.name,
                            each.version,
                            each.licence,
                            licence.name if licence else "",
                            " ".join(sorted(each.files)),
                        ]
                    )


def _component(each: Component) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "operating-system" if each.name == "linux" else "library",
        "bom-ref": _reference(each),
        "name": each.name,
        "version": each.version,
        # What does not get into the images is named all the same: it made them.
        "scope": "required" if each.kind == "target" else "excluded",
    }
    if each.licence:
        entry["licenses"] = [{"license": {"name": each.licence}}]
    if each.files:
        entry["components"] = [
            {"type": "file", "name": name, "hashes": [_hash(digest)]}
            for name, digest in sorted(each.files.items())
        ]
    if each.note:
        entry["description"] = each.note
    return entry


def _reference(each: Component) -> str:
    return f"{each.kind}:{each.name}"


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}
