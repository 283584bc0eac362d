"""What the documentation says about the code is so."""

from __future__ import annotations

import re

from pibed.model.experiment import AnalysisPlan, Cost, Growth
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
