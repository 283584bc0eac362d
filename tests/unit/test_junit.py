"""JUnit XML: what CI systems read, whatever the guest printed."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from pibed.ktest import junit
from pibed.ktest.ktap import CaseStatus
from pibed.ktest.outcome import CaseOutcome

OUTCOMES = [
    CaseOutcome("demand-paging", "fork.shared", CaseStatus.PASSED, 0.25, details=("seed 1",)),
    CaseOutcome(
        "demand-paging",
        "mmap.zeroed",
        CaseStatus.FAILED,
        1.5,
        "not zero",
        ("mmap.c:9: <&>", "more"),
    ),
    CaseOutcome("pre-paging", "inject.all", CaseStatus.SKIPPED, 0.1, "no fault injection"),
]


def test_a_suite_a_variant_and_a_class_a_program() -> None:
    root = ET.fromstring(junit.to_xml("title", OUTCOMES))
    assert root.attrib | {"time": ""} == {
        "name": "title",
        "tests": "3",
        "failures": "1",
        "skipped": "1",
        "errors": "0",
        "time": "",
    }
    suites = root.findall("testsuite")
    assert [(each.get("name"), each.get("tests")) for each in suites] == [
        ("title, demand-paging", "2"),
        ("title, pre-paging", "1"),
    ]
    cases = root.findall(".//testcase")
    assert [(case.get("classname"), case.get("name"), case.get("time")) for case in cases] == [
        ("demand-paging.fork", "shared", "0.250"),
        ("demand-paging.mmap", "zeroed", "1.500"),
        ("pre-paging.inject", "all", "0.100"),
    ]


def test_failures_skips_and_notes() -> None:
    root = ET.fromstring(junit.to_xml("title", OUTCOMES))
    passed, failed, skipped = root.findall(".//testcase")
    assert [child.tag for child in passed] == ["system-out"]
    assert passed.findtext("system-out") == "seed 1"
    failure = failed.find("failure")
    assert failure is not None
    assert failure.get("message") == "not zero"
    assert failure.text == "mmap.c:9: <&>\nmore"
    skip = skipped.find("skipped")
    assert skip is not None
    assert skip.get("message") == "no fault injection"


def test_bytes_that_xml_cannot_hold_do_not_break_the_file() -> None:
    outcome = CaseOutcome(
        "m", "a.b", CaseStatus.FAILED, 0.0, "esc \x1b[31m", ("nul \0, \ufffe, \ud800, ok \t",)
    )
    text = junit.to_xml("t", [outcome])
    failure = ET.fromstring(text.encode("utf-8")).find(".//failure")
    assert failure is not None
    assert failure.get("message") == "esc \ufffd[31m"
    assert failure.text == "nul \ufffd, \ufffd, \ufffd, ok \t"


def test_no_outcomes() -> None:
    assert ET.fromstring(junit.to_xml("t", [])).get("tests") == "0"
