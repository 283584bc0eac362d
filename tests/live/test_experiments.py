"""The other experiments on the real guest: what their statistics are made from is exact."""

from __future__ import annotations

from pathlib import Path

from pibed.model.experiment import load_experiment
from pibed.model.machine import Machine
from pibed.model.samples import Status
from pibed.stats.balance import balances
from pibed.stats.growth import changes
from pibed.stats.observations import observe

from .helpers import measure, only_run


def test_touched_pages_and_the_balance_of_the_modes(machine: Machine, tmp_path: Path) -> None:
    study = load_experiment(
        "balance",
        {
            "rounds": 2,
            "parameters.pages.values": [300],
            "parameters.percent.values": [0, 33, 100],
        },
    )
    found, problems = measure(machine, study, tmp_path)
    assert problems == []
    assert len(found) == 2 * 18
    for sample in found:
        assert sample.status == Status.OK, sample.message
        values = sample.cell.as_dict()
        touched = values["percent"] * 3
        faults = touched if values["demand_paging"] else 0
        pages = touched if values["demand_paging"] else 300
        assert (sample.metrics["faults"], sample.metrics["pages_allocated"]) == (faults, pages)
    for balance in balances(observe(study, found)):
        assert balance.at is not None, balance.reason
        assert 40 < balance.at < 100
        assert balance.points[0][1] < 0 < balance.points[-1][1]


def test_what_the_log_line_costs(machine: Machine, tmp_path: Path) -> None:
    study = load_experiment("logging", {"rounds": 2, "parameters.size.values": [128]})
    found, problems = measure(machine, study, tmp_path)
    assert problems == []
    assert {sample.status for sample in found} == {"ok"}
    (change,) = changes(observe(study, found))
    assert change.change is not None
    assert change.change > 0
    # Both modes with the line and without: 96 pages are faulted in under demand paging alone.
    logs = only_run(tmp_path).glob("boots/*/console.log")
    lines = [log.read_text().count("paging_vma_fault() invoked: took a page fault") for log in logs]
    assert lines == [96] * 2
