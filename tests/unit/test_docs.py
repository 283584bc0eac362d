"""What the documentation says about the code is so."""

from __future__ import annotations

import re

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
