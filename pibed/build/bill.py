"""The bill of materials of images, as CycloneDX has it, with licences in SPDX's words."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from pibed import __version__
from pibed.base.files import digest_file
from pibed.build.materials import Component

_VERSION = "1.6"

# What is no program.
_TYPES = {"linux": "operating-system"} | dict.fromkeys(
    ("libc", "glibc", "musl", "uclibc"), "library"
)


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


def licences(stated: str) -> list[dict[str, Any]]:
    """Licences as CycloneDX has them: in SPDX's words if it knows all of them.

    Understands how Buildroot writes them: with a comma if both apply, `GPL-2.0` for that version
    only, and `GPL-2.0+` for later ones as well. There are none in `unknown`.
    """
    texts = [text for text in stated.split(", ") if text not in ("", "unknown")]
    known = [_spdx(text) for text in texts]
    if "" not in known and any(" " in each for each in known):
        # Nothing can stand beside an expression.
        joined = " AND ".join(f"({each})" for each in known) if len(known) > 1 else known[0]
        return [{"expression": joined}]
    return [
        {"license": {"id": each} if each and " " not in each else {"name": text}}
        for text, each in zip(texts, known, strict=True)
    ]


def _component(each: Component) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": _TYPES.get(each.name, "application"),
        "bom-ref": _reference(each),
        "name": each.name,
        # What does not get into the images is named all the same: it made them.
        "scope": "required" if each.kind == "target" else "excluded",
    }
    if each.version:
        entry["version"] = each.version
    if found := licences(each.licence):
        entry["licenses"] = found
    if each.digest:
        entry["hashes"] = [_hash(each.digest)]
    if each.files:
        entry["components"] = [
            {"type": "file", "name": name, "hashes": [_hash(digest)]}
            for name, digest in sorted(each.files.items())
        ]
    if each.note:
        entry["description"] = each.note
    return entry


def _spdx(text: str) -> str:
    """An identifier or expression of SPDX; empty for what is none."""
    versions = re.compile(r"\b(A?L?GPL-\d\.\d)(\+|(?![\w.+-]))")
    text = versions.sub(lambda m: m[1] + ("-or-later" if m[2] else "-only"), text)
    try:
        return canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return ""


def _reference(each: Component) -> str:
    return f"{each.kind}:{each.name}"


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}
