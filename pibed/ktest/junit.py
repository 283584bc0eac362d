"""JUnit XML, the form in which CI systems take the results of tests."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from pibed.ktest.ktap import CaseStatus
from pibed.ktest.outcome import CaseOutcome

# What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_xml(title: str, outcomes: Sequence[CaseOutcome]) -> str:
    """The outcomes as a document: a suite for each variant, a class for each program."""
    root = ET.Element("testsuites", _counts(outcomes) | {"name": title})
    for variant in dict.fromkeys(outcome.variant for outcome in outcomes):
        members = [outcome for outcome in outcomes if outcome.variant == variant]
        suite = ET.SubElement(root, "testsuite", _counts(members) | {"name": f"{title}, {variant}"})
        for outcome in members:
            case = ET.SubElement(
                suite,
                "testcase",
                {
                    "classname": f"{variant}.{outcome.program}",
                    "name": outcome.name,
                    "time": f"{outcome.seconds:.3f}",
                },
            )
            text = _clean("\n".join(outcome.details))
            if outcome.status == CaseStatus.FAILED:
                failure = ET.SubElement(case, "failure", {"message": _clean(outcome.message)})
                failure.text = text
            elif outcome.status == CaseStatus.SKIPPED:
                ET.SubElement(case, "skipped", {"message": _clean(outcome.message)})
            if outcome.status != CaseStatus.FAILED and text:
                ET.SubElement(case, "system-out").text = text
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _counts(outcomes: Sequence[CaseOutcome]) -> dict[str, str]:
    return {
        "tests": str(len(outcomes)),
        "failures": str(sum(outcome.status == CaseStatus.FAILED for outcome in outcomes)),
        "skipped": str(sum(outcome.status == CaseStatus.SKIPPED for outcome in outcomes)),
        "errors": "0",
        "time": f"{sum(outcome.seconds for outcome in outcomes):.3f}",
    }


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
