"""What the documentation says about the code is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pibed.model.experiment import AnalysisPlan, Cost, Experiment, Growth, Metric
from pibed.model.parameter import Parameter
from pibed.model.suite import Suite
from tests.live import test_lab
from tests.live.reliability import Table
from tests.live.test_faults import FAULTS, FULL_DISK
from tests.unit.helpers import ROOT


def test_every_case_has_its_statement_and_every_statement_its_case() -> None:
    cases = {
        f"{path.stem}.{name}"
        for path in (ROOT / "module" / "tests").glob("*.c")
        for name in re.findall(r'\.name = "(\w+)"', path.read_text(encoding="utf-8"))
    }
    text = (ROOT / "docs" / "module.md").read_text(encoding="utf-8")
    stated = re.findall(r"`(\w+\.\w+)`", text.partition("| statement | test |")[2])
    assert len(cases) > 100
    assert sorted(stated) == sorted(cases)


def test_every_fault_is_documented_and_every_documented_one_tested() -> None:
    rows = Table(ROOT / "docs" / "reliability.md", writes=False).rows
    assert list(rows) == [*(fault.name for fault in FAULTS), FULL_DISK]
    for fault in FAULTS:
        row = rows[fault.name]
        assert (row.provoked, row.status) == (fault.provoked, fault.status)
        assert row.seconds <= row.deadline_s == fault.deadline_s


def test_every_key_of_the_analysis_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `analysis\.(\w+)` \| (.*) \|$", text, re.MULTILINE))
    assert list(rows) == list(AnalysisPlan.model_fields)
    for key, record in (("growth", Growth), ("cost", Cost)):
        assert record.model_fields.keys() <= set(re.findall(r"`(\w+)`", rows[key]))


def test_the_tutorial_states_every_key_that_must_be_there() -> None:
    """And no other one."""
    text = (ROOT / "docs" / "your-own.md").read_text(encoding="utf-8")
    for record, table in ((Experiment, "| of an experiment |"), (Suite, "| of a suite |")):
        rows = text.partition(table)[2].partition("\n\n")[0]
        stated = set()
        for row in re.findall(r"^\| (`.*?) \|", rows, re.MULTILINE):
            first, *others = re.findall(r"`([\w.]+)`", row)
            stated |= {
                first,
                *(first.rpartition(".")[0] + each for each in others if each[0] == "."),
            }
            stated |= {each for each in others if each[0] != "."}
        wanted = {*required(record), "variants.NAME"} if record is Suite else required(record)
        assert stated == wanted - {"schema_version", "name", "title", "variants"}


def required(record: type[BaseModel]) -> set[str]:
    """The keys that must be given, those of records below included."""
    found = set()
    for name, field in record.model_fields.items():
        kind = field.annotation
        below: Any = {"parameters": Parameter, "metrics": Metric}.get(name, kind)
        if not field.is_required():
            continue
        if isinstance(below, type) and issubclass(below, BaseModel):
            middle = "NAME." if below is not kind else ""
            found |= {f"{name}.{middle}{key}" for key in required(below)}
        else:
            found.add(name)
    return found


def test_every_error_that_the_lab_finds_is_documented_with_its_cases() -> None:
    text = (ROOT / "docs" / "lab.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| ([^|`]+) \| (`[^|]+) \|$", text, re.MULTILINE))
    found = {
        name: re.findall(r"`([a-z_.]+)`", cases)
        for name, cases in documented.items()
        if "." in cases and name in {each.name for each in test_lab.WRONG}
    }
    assert found == {each.name: list(each.caught_by) for each in test_lab.WRONG}


PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file that is there and, behind a #, to a heading of that page."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not re.match(r"[a-z]+:", link) and (
            not target.exists() or (anchor and anchor not in anchors(target))
        ):
            dead.append(link)
    assert dead == []


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_headings_have_the_anchors_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Metrics\n\ntext\n\n## `configs/lock.yaml`: what's in it\n")
    assert anchors(page) == {"metrics", "configslockyaml-whats-in-it"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_has_a_gap_that_was_to_be_filled(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"\b(?:FIGURES|TODO|TBD|XXX|FIXME)\b", text) == []
