"""Everything from a folder of the user's, outside the checkout, with a space and an umlaut."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run
from .helpers import only_run


@pytest.fixture
def own(invoke: Run, tmp_path: Path) -> Path:
    """What `./inv new` makes."""
    folder = tmp_path / "my größe" / "hello"
    made = invoke("new", str(folder))
    assert made.returncode == 0, made.stderr
    return folder


def test_a_new_folder_is_measured(invoke: Run, own: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    swept = invoke(
        *("sweep", "--experiment", str(own / "experiment.yaml"), "--set", "size=1024"),
        *("--runs", "6", "--results", str(results), "--no-report"),
    )
    assert swept.returncode == 0, swept.stderr
    rows = (only_run(results) / "samples.csv").read_text().splitlines()[1:]
    assert len(rows) == 12
    assert all(",ok," in row for row in rows)
