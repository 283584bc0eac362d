"""The table of all runs: each is shown as what it is, whatever lies in the folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pibed.base.errors import UsageError
from pibed.commands import results as results_command
from pibed.commands.options import ListingOptions
from pibed.model.plan import Cell
from pibed.model.samples import Sample, Status
from pibed.report import listing
from pibed.report.listing import Entry, State
from pibed.stats.comparison import Verdict
from tests.unit.helpers import archived, experiment, measured

STUDY = experiment(rounds=6)
SLOW, FAST = [20, 21, 22, 23, 24, 25], [10, 11, 12, 13, 14, 15]


def samples(**cells: list[int]) -> list[Sample]:
    """Values of work_us by cell, such as lazy64; FAST where none are given."""
    names = {"lazy64": (0, 64), "lazy128": (0, 128), "eager64": (1, 64), "eager128": (1, 128)}
    return measured(
        STUDY,
        {
            cell: {"work_us": cells.get(name, FAST), "pages": [8] * 6}
            for name, cell in names.items()
        },
    )


def test_a_finished_run(tmp_path: Path) -> None:
    folder = archived(tmp_path / "20260203T040506Z-name", STUDY, samples(lazy64=SLOW, lazy128=SLOW))
    assert listing.entry(folder) == Entry(
        "20260203T040506Z-name",
        "2026-02-03 04:05",
        "small",
        "virtual",
        "4 × 6",
        State.FINISHED,
        "finished",
        "eager",
        "as locked",
    )


def test_an_unfinished_run_with_samples_that_are_not_ok_and_another_lock(tmp_path: Path) -> None:
    bad = [Sample("small", 1, 1, Status.PANIC, Cell.of({"eager": 0, "size": 64}), {})]
    folder = archived(
        tmp_path / "20260203T040506Z-x",
        STUDY,
        bad,
        clock="host",
        finished=False,
        differs=("gcc", "qemu"),
    )
    found = listing.entry(folder)
    assert (found.told, found.verdict) == ("unfinished (1 of 24); not ok: 1 panic", "-")
    assert (found.clock, found.lock) == ("host", "differs (2)")


def test_a_run_without_samples_csv_has_those_of_its_rounds(tmp_path: Path) -> None:
    folder = archived(tmp_path / "20260203T040506Z-x", STUDY, [], finished=False)
    (folder / "samples.csv").unlink()
    assert listing.entry(folder).told == "unfinished (0 of 24)"


@pytest.mark.parametrize(
    ("name", "content", "state"),
    [
        ("samples.csv", "rubbish", "damaged; samples.csv is damaged (line 1: other columns"),
        ("samples.csv", None, "damaged; There are 0 of 24 samples"),
        ("manifest.json", "{", "damaged: not JSON"),
        ("manifest.json", '{"schema_version": 3}', "damaged: pibed: "),
        ("manifest.json", '{"schema_version": 9}', "damaged: schema_version: expected 3, not 9"),
        ("manifest.json", "[]", "damaged: schema_version: expected 3, not None"),
        ("manifest.json", None, "no manifest"),
    ],
)
def test_a_damaged_run(tmp_path: Path, name: str, content: str | None, state: str) -> None:
    folder = archived(tmp_path / "20260203T040506Z-x", STUDY, samples())
    (folder / name).unlink() if content is None else (folder / name).write_text(content)
    assert listing.entry(folder).told.startswith(state)


def test_a_csv_that_was_changed_is_told(tmp_path: Path) -> None:
    folder = archived(tmp_path / "20260203T040506Z-x", STUDY, samples())
    path = folder / "samples.csv"
    path.write_text(path.read_text().replace(",10,8", ",11,8"))
    assert "samples.csv is not the file that the manifest describes" in listing.entry(folder).told


@pytest.mark.parametrize("version", [1, 2])
def test_a_run_of_an_older_version(tmp_path: Path, version: int) -> None:
    folder = archived(tmp_path / "20260203T040506Z-x", STUDY, samples())
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": version}))
    found = listing.entry(folder)
    assert found.told == f"finished; of an older pibed (schema {version})"
    assert (found.experiment, found.clock, found.extent) == ("small", "virtual", "4 × 6")


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({}, ("small", "virtual", "4 × 6")),
        ({"clock": 3}, ("small", "-", "4 × 6")),
        ({"experiment": []}, ("x", "virtual", "-")),
        ({"experiment": {"name": 3, "rounds": 2}}, ("x", "virtual", "-")),
        (
            {"experiment": {"name": "y", "parameters": {"a": {"values": [1]}}}},
            ("y", "virtual", "-"),
        ),
        ({"experiment": {"parameters": {"a": 1}, "rounds": 2}}, ("x", "virtual", "-")),
    ],
)
def test_what_a_damaged_manifest_tells_all_the_same(
    tmp_path: Path, change: dict[str, object], left: tuple[str, str, str]
) -> None:
    folder = archived(tmp_path / "20260203T040506Z-x", STUDY, samples())
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"finished": "perhaps"} | change))
    found = listing.entry(folder)
    assert found.told.startswith("damaged: ")
    assert (found.experiment, found.clock, found.extent) == left


@pytest.mark.parametrize(
    ("cells", "word"),
    [
        ({"lazy64": SLOW, "lazy128": SLOW}, "eager"),
        ({"lazy64": SLOW, "eager128": SLOW}, "it depends"),
        ({"lazy64": SLOW}, "eager (in 1 of 2)"),
        ({"lazy64": FAST[::-1], "lazy128": FAST[::-1]}, Verdict.UNDECIDED.value),
        ({f"{mode}{size}": [7] * 6 for mode in ("lazy", "eager") for size in (64, 128)},
         Verdict.NO_DIFFERENCE.value),
    ],
)  # fmt: skip
def test_the_verdict_in_a_word(tmp_path: Path, cells: dict[str, list[int]], word: str) -> None:
    folder = archived(tmp_path / "20260203T040506Z-x", STUDY, samples(**cells))
    assert listing.entry(folder).verdict == word


def test_newest_first_and_nothing_else(tmp_path: Path) -> None:
    names = ["20260203T040506Z-b", "20260203T040506Z-b-2", "20260203T040506Z-b-10"]
    for name in [*names, "20250101T000000Z-z", "own", "reference", "ktest"]:
        (tmp_path / name).mkdir()
    (tmp_path / "own" / "manifest.json").write_text("{}")
    (tmp_path / "latest").symlink_to(names[0])
    (tmp_path / "note.txt").touch()
    assert [path.name for path in listing.runs(tmp_path)] == [
        *reversed(names),
        "20250101T000000Z-z",
        "own",
    ]


def test_the_table_has_a_row_for_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archived(tmp_path / "20260203T040506Z-good", STUDY, samples())
    (tmp_path / "20260203T040507Z-[red]").mkdir()
    results_command.show(ListingOptions(results=str(tmp_path)))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "Z-good" in line and "finished" in line]
    assert [line for line in lines if "Z-[red]" in line and "no manifest" in line]


def test_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results_command.show(ListingOptions(results=str(tmp_path)))
    assert "no runs yet" in capsys.readouterr().out
    with pytest.raises(UsageError, match="there is no such folder"):
        results_command.show(ListingOptions(results=str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: [*rows, rows[-1]], "the cell is there twice"),
        (lambda rows: [rows[0], rows[1].replace(",64,", ",96,")], "no cell of the experiment"),
        (lambda rows: [rows[0], rows[1].replace(",ok,", ",panic,")], "other metrics than"),
        (lambda rows: [rows[0], rows[1].rpartition(",")[0] + ","], "other metrics than"),
    ],
)
def test_samples_that_pibed_does_not_write_are_damage(
    tmp_path: Path, change: Callable[[list[str]], list[str]], words: str
) -> None:
    folder = archived(tmp_path / "20260203T040506Z-x", STUDY, samples())
    path = folder / "samples.csv"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    assert words in listing.entry(folder).told
