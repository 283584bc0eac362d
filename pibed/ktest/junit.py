"""JUnit XML, the form in which CI systems take the results of tests."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from pibed.ktest.runner import CaseOutcome

# What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_xml(title: str, outcomes: Sequence[CaseOutcome]) -> str:
    """The outcomes as a document: a suite for each mode, a class for each program."""
    root = ET.Element("testsuites", _counts(outcomes) | {"name": title})
    for mode in dict.fromkeys(outcome.mode for outcome in outcomes):
        members = [outcome for outcome in outcomes if outcome.mode == mode]
        suite = ET.SubElement(root, "testsuite", _counts(members) | {"name": f"{title}, {mode}"})
        for outcome in members:
            program, _, name = outcome.case.partition(".")
            case = ET.SubElement(
                suite,
                "testcase",
                {
                    "classname": f"{mode}.{program}",
                    "name": name,
                    "time": f"{outcome.seconds:.3f}",
                },
            )
            text = _clean("\n".join(outcome.details))
            if outcome.status == "failed":
                failure = ET.SubElement(case, "failure", {"message": _clean(outcome.message)})
                failure.text = text
            elif outcome.status == "skipped":
                ET.SubElement(case, "skipped", {"message": _clean(outcome.message)})
            if outcome.status != "failed" and text:
                ET.SubElement(case, "system-out").text = text
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _counts(outcomes: Sequence[CaseOutcome]) -> dict[str, str]:
    return {
        "tests": str(len(outcomes)),
        "failures": str(sum(outcome.status == "failed" for outcome in outcomes)),
        "skipped": str(sum(outcome.status == "skipped" for outcome in outcomes)),
        "errors": "0",
        "time": f"{sum(outcome.seconds for outcome in outcomes):.3f}",
    }


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
