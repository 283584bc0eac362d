"""The bill of materials of images, as CycloneDX has it: what is in them and what made them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pibed import __version__
from pibed.store import digest_file, digest_text

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
        "serialNumber": f"urn:uuid:{uuid.UUID(digest_text(str([title, digests, known]))[:32])}",
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
