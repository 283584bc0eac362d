"""What the log line may be of the Pi's cost of a fault: by hand, and true of every run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pibed.base import places
from pibed.base.errors import HostError
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.plan import Cell, cells
from pibed.model.samples import Number, Sample, Status
from pibed.runs.reading import read
from pibed.studies import STUDIES
from pibed.studies.pi import findings, penalty, reference
from tests.unit.helpers import ROOT, archived, experiment

PUBLISHED = reference.read(ROOT / "results" / "reference")

# What a fault costs in µs, by size, log line and round.
Cost = Callable[[int, int, int], float]


def logging(**overrides: Any) -> Experiment:
    return load_experiment("logging", {"rounds": 8} | overrides)


def made(study: Experiment, cost: Cost, rounds: int = 8) -> list[Sample]:
    samples = []
    for round_ in range(1, rounds + 1):
        for order, cell in enumerate(cells(study), start=1):
            at = cell.as_dict()
            size, lazy = at["size"], at["demand_paging"]
            faults = reference.pages(size) * lazy
            each = cost(size, at.get("log_faults", 0), round_)
            metrics: dict[str, Number] = dict.fromkeys(study.metrics, 8)
            metrics |= {"faults": faults, "multiply_us": 1000.0 * size + each * faults}
            samples.append(Sample(study.name, round_, order, Status.OK, Cell.of(at), metrics))
    return samples


def told(study: Experiment, samples: list[Sample], folder: Path) -> list[str]:
    run = read(archived(folder / "20260203T040506Z-x", study, samples))
    return penalty.explained(reference.require_study(run), PUBLISHED)


def test_what_a_fault_cost_on_the_pi() -> None:
    # Means of ten runs with demand paging and pre-paging; three matrices of 8·512²/4096 pages.
    found, width = penalty.on_the_pi(PUBLISHED, 512)
    assert found == pytest.approx((30421729.8 - 28226165.7) / 1536)
    # Welch, with Student's t for 9 degrees of freedom.
    assert width == pytest.approx(2.262 * ((615331.84**2 + 125957.4**2) / 10) ** 0.5 / 1536)
    found, width = penalty.on_the_pi(PUBLISHED, 256)
    assert found == pytest.approx((2340085.2 - 1580694.5) / 384)
    assert width == pytest.approx(2.262 * ((309732.39**2 + 138508.53**2) / 10) ** 0.5 / 384)


def test_a_run_that_measured_the_line(tmp_path: Path) -> None:
    lines = told(logging(), made(logging(), lambda size, line, _: 7 + 43 * line), tmp_path)
    # 43 and 7 of 1978 and 1429 µs; 79 characters of ten bits at 115,200 baud are 6858 µs.
    assert lines == [
        "At size 256 demand paging took 1,978 ± 632 µs longer for each fault on the Pi; here "
        "storing the log line takes 43 µs (95 % interval 43 to 43), 2.2 % of that, and what else a "
        "fault costs more than a first write to a page that is there takes 7 µs (95 % interval 7 "
        "to 7), 0.35 % of that.",
        "At size 512 demand paging took 1,429 ± 292 µs longer for each fault on the Pi; here "
        "storing the log line takes 43 µs (95 % interval 43 to 43), 3 % of that, and what else a "
        "fault costs more than a first write to a page that is there takes 7 µs (95 % interval 7 "
        "to 7), 0.49 % of that.",
        "Nor did the board wait for a serial console at each fault: at 115,200 baud the 79 "
        "characters of a line take 6,858 µs, more than the whole penalty. Here the console is "
        "written to between the runs.",
        "At size 64 and 128 a fault cost 0.2 ± 44 and -32.0 ± 139 µs more on the Pi. If the log "
        "line cost the same at every fault, it cost at most 44 µs: 3.1 % of the penalty.",
        "So the log line was 2.2 % (what storing it costs by an emulator's clock) to 3.1 % of the "
        "Pi's penalty, unless it cost more with larger matrices.",
    ]


def test_the_characters_of_a_line_are_those_of_the_module(tmp_path: Path) -> None:
    source = (ROOT / "module" / "paging.c").read_text(encoding="utf-8")
    line = re.search(r'pr_info\("(%s\(\) invoked: took a page fault at VA 0x%lx)\\n"', source)
    assert line is not None
    shown = line[1].replace("%s", "paging_vma_fault").replace("%lx", "76d81000")
    # A serial console ends a line with two characters.
    study = logging(**{"parameters.size.values": [512]})
    printing = told(study, made(study, lambda size, line, _: 7 + 43 * line), tmp_path)[1]
    assert f"the {len(f'[   12.345678] {shown}') + 2} characters" in printing


@pytest.mark.parametrize(
    ("cost", "line", "rest"),
    [
        (lambda size, line, row: 7, "shows no cost: 0 µs (95 % interval 0 to 0)", "takes 7 µs ("),
        (
            lambda size, line, row: 7 - 2 * line,
            "shows no cost: -2 µs (95 % interval -2 to -2)",
            "takes 7 µs (",
        ),
        (
            lambda size, line, row: 7 + line * (row - 4),
            "shows no cost: 0.5 µs (95 % interval -",
            "takes 7 µs (",
        ),
        (
            lambda size, line, row: 43 * line - 5,
            "takes 43 µs (",
            "shows no cost: -5 µs (95 % interval -5 to -5)",
        ),
    ],
)
def test_what_shows_no_cost_takes_no_time(tmp_path: Path, cost: Cost, line: str, rest: str) -> None:
    study = logging(**{"parameters.size.values": [512]})
    share, _, _, end = told(study, made(study, cost), tmp_path)
    assert f"here storing the log line {line}" in share
    assert (
        f", and what else a fault costs more than a first write to a page that is there {rest}"
        in share
    )
    assert re.search(r"-\S+ %", share) is None
    assert ("So the log line was 0 % (" in end) == ("no cost" in line)


def test_what_takes_longer_than_on_the_pi(tmp_path: Path) -> None:
    study = logging(**{"parameters.size.values": [512]})
    lines = told(study, made(study, lambda size, line, _: 3000 + 15000 * line), tmp_path)
    assert "takes 15,000 µs (95 % interval 15,000 to 15,000), 1,000 % of that, and" in lines[0]
    assert "takes 3,000 µs (95 % interval 3,000 to 3,000), 210 % of that." in lines[0]
    # What the Pi's small matrices exclude is no range.
    assert len(lines) == 3


def test_a_line_of_few_samples_that_costs_less_than_nothing(tmp_path: Path) -> None:
    study = logging(**{"parameters.size.values": [512]})
    lines = told(study, made(study, lambda size, line, _: 7 - 2 * line, 5), tmp_path)
    assert "storing the log line shows no cost: -2 µs (no interval below 6 samples: " in lines[0]
    assert "So the log line was 0 % (" in lines[3]


def test_one_of_the_sizes_is_enough(tmp_path: Path) -> None:
    study = logging(**{"parameters.size.values": [64, 256]})
    lines = told(study, made(study, lambda size, line, _: 7 + 43 * line), tmp_path)
    assert [line.split(" demand")[0] for line in lines[:1]] == ["At size 256"]
    assert len(lines) == 4


def test_a_line_of_few_samples_has_no_interval(tmp_path: Path) -> None:
    study = logging(**{"parameters.size.values": [512]})
    lines = told(study, made(study, lambda size, line, _: 7 + 43 * line, 5), tmp_path)
    assert (
        "takes 43 µs (no interval below 6 samples: demand paging has 5, pre-paging has 5), 3 % of"
    ) in lines[0]


@pytest.mark.parametrize(
    "overrides",
    [
        {"parameters.size.values": [64, 128]},
        {"parameters.log_faults.values": [1]},
        {"parameters.log_faults.values": [0]},
        {"parameters.demand_paging.values": [1]},
        {"analysis.cost.by": "size"},
        {"analysis.cost.metric": "mmap_us"},
    ],
    ids=str,
)
def test_what_says_nothing_of_the_line(tmp_path: Path, overrides: dict[str, Any]) -> None:
    study = logging(**overrides)
    assert told(study, made(study, lambda size, line, _: 7 + 43 * line), tmp_path) == []


def test_a_run_without_the_line(tmp_path: Path) -> None:
    study = load_experiment("paging", {"rounds": 8})
    assert told(study, made(study, lambda size, line, _: 7), tmp_path) == []


# In brief


def test_in_brief(tmp_path: Path) -> None:
    study = logging()
    samples = made(study, lambda size, line, _: 7 + 43 * line)
    run = read(archived(tmp_path / "20260203T040506Z-x", study, samples))
    lines = STUDIES["pi"].reported(run).lines
    judged = findings.findings(reference.require_study(run), PUBLISHED)
    assert [line.partition(": ")[0].lower() for line in lines[:3]] == [
        each.verdict for each in judged
    ]
    assert lines[2] == (
        "Undecided: In total pre-paging wins where all of the memory is used; where little of it "
        "is touched, demand paging should win."
    )
    assert lines[3].startswith("Means: ")
    assert lines[4].startswith("Standard deviation of the multiplication at size 256 with demand ")
    assert list(lines[5:-2]) == penalty.explained(reference.require_study(run), PUBLISHED)
    assert "is not refuted" in lines[-2]
    assert lines[-1].endswith("./inv compare 20260203T040506Z-x pi")


def test_nothing_in_brief_of_another_study_or_an_empty_run(tmp_path: Path) -> None:
    for name, study in (("x", experiment()), ("y", logging())):
        folder = archived(tmp_path / f"20260203T040506Z-{name}", study, [])
        assert STUDIES["pi"].reported(read(folder)).lines == ()


def test_where_the_pi_s_numbers_are_not_there_and_whole_it_is_said(
    tmp_path: Path, monkeypatch: Any
) -> None:
    study = logging(**{"parameters.size.values": [64]})
    samples = made(study, lambda size, line, _: 7)
    run = read(archived(tmp_path / "20260203T040506Z-x", study, samples))
    folder = tmp_path / "results" / "reference"
    monkeypatch.setattr(places, "checkout", lambda: tmp_path)
    (line,) = STUDIES["pi"].reported(run).lines
    assert line.startswith("Not compared with a real Pi: ")
    assert "pi-prepaging-runs.csv" in line
    assert line.endswith("restore results/reference/ from the repository")
    with pytest.raises(HostError, match="pi-prepaging-runs"):
        reference.read(folder)
    folder.mkdir(parents=True)
    for path in (ROOT / "results" / "reference").glob("*.csv"):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith("pre-paging,512,multiply,")]
        (folder / path.name).write_text("".join(kept), encoding="utf-8")
    (line,) = STUDIES["pi"].reported(run).lines
    assert "lacks multiply_us with demand_paging=0 at size 512" in line
