"""Two runs beside each other: what is told of every pair, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pibed.base.errors import ChecksFailed, UsageError
from pibed.commands import compare
from pibed.commands.options import CompareOptions
from pibed.model.board import load_board
from pibed.model.plan import Cell
from pibed.model.samples import Sample, Status
from pibed.report.changes import Changes, Trend, changes, conclusions
from pibed.runs.reading import Run, read
from tests.unit.helpers import BUILDROOT, archived, experiment, measured

CALM = [100, 101, 102, 103, 104, 105, 106, 107]
OTHER = [101, 100, 103, 102, 105, 104, 107, 106]
PLACES = {"lazy64": (0, 64), "eager64": (1, 64), "lazy128": (0, 128), "eager128": (1, 128)}


def run(folder: Path, name: str, study: Any = None, **options: Any) -> Run:
    """A run with values of work_us for the cells that are named; `bad` samples come on top."""
    study = study or experiment(rounds=8)
    bad = options.pop("bad", [])
    columns = {PLACES[key]: options.pop(key) for key in list(options) if key in PLACES}
    samples = measured(
        study,
        {
            place: {"work_us": column, "pages": [8] * len(column)}
            for place, column in columns.items()
        },
    )
    path = archived(folder / f"20260203T040506Z-{name}", study, [*samples, *bad], **options)
    return read(path)


def verdicts(found: Changes, metric: str = "work_us") -> dict[str, str]:
    return {str(each.cell): each.trend for each in found.changes if each.metric == metric}


def times(factor: float, values: list[int]) -> list[int]:
    return [round(factor * each) for each in values]


def test_what_got_worse_better_or_stayed(tmp_path: Path) -> None:
    a = run(tmp_path, "a", lazy64=CALM, eager64=CALM, lazy128=times(100, CALM), eager128=CALM)
    b = run(
        tmp_path,
        "b",
        lazy64=times(1.5, CALM),
        eager64=times(0.5, CALM),
        lazy128=[each + 1 for each in times(100, CALM)],
        eager128=CALM,
    )
    found = changes(a, b)
    assert verdicts(found) == {
        "eager=0 size=64": "worse",
        "eager=1 size=64": "better",
        "eager=0 size=128": "undecided",
        "eager=1 size=128": "identical",
    }
    assert set(verdicts(found, "pages").values()) == {"identical"}
    lines = list(conclusions(found))
    assert (
        lines[0]
        == "worse: mode lazy, size 64: the median of work is 155 µs after 103.5 µs, +49.8 %"
    )
    assert (
        lines[1]
        == "better: mode eager, size 64: the median of work is 52 µs after 103.5 µs, -49.8 %"
    )
    assert "compared: 1 worse, 1 better, 1 undecided, 5 identical" in lines
    assert lines[-1].startswith("undecided, such as: the ratio's interval")


def test_the_other_way_round_worse_is_better(tmp_path: Path) -> None:
    a = run(tmp_path, "a", lazy64=CALM, eager64=times(2, CALM))
    b = run(tmp_path, "b", lazy64=times(2, CALM), eager64=CALM)
    swap = {"worse": "better", "better": "worse"}
    there, back = verdicts(changes(a, b)), verdicts(changes(b, a))
    assert there == {cell: swap[verdict] for cell, verdict in back.items()}
    assert there == {"eager=0 size=64": "worse", "eager=1 size=64": "better"}


def test_no_relevant_change_needs_an_interval_within_the_bound(tmp_path: Path) -> None:
    near = [10000, 10001, 10002, 10003, 10004, 10005, 10006, 10007]
    a = run(tmp_path, "a", lazy64=near)
    b = run(tmp_path, "b", lazy64=[each + 20 for each in near])
    assert verdicts(changes(a, b)) == {"eager=0 size=64": "no relevant change"}


def test_the_rounds_of_two_runs_are_not_paired(tmp_path: Path) -> None:
    # Every round of b is 10 % slower than that of a, but the rounds differ by a factor of 8.
    wild = [100, 200, 300, 400, 500, 600, 700, 800]
    a = run(tmp_path, "a", lazy64=wild)
    b = run(tmp_path, "b", lazy64=times(1.1, wild))
    (change,) = [each for each in changes(a, b).changes if each.metric == "work_us"]
    assert change.trend is Trend.UNDECIDED
    assert change.found.ratio == pytest.approx(1.1)
    assert change.found.ratio_low is not None
    assert change.found.ratio_low < 0.8


def test_the_same_answer_every_time(tmp_path: Path) -> None:
    a, b = run(tmp_path, "a", lazy64=CALM), run(tmp_path, "b", lazy64=OTHER)
    assert changes(a, b) == changes(a, b)


BOOTLIN = {
    "builder": BUILDROOT
    | {
        "settings": BUILDROOT["settings"] | {"toolchain": "bootlin"},
        "packages": {"busybox": "1.37.0"},
        "overrides": {},
    },
    "sources": {},
    "tools": {"gcc": "gcc 12", "arm-x-gcc": "arm-x-gcc 14.2", "libc.a": "glibc 2.41"},
}


def how(found: Changes) -> list[str]:
    return [note for note in found.notes if not note.startswith("20260203T040506Z-")]


def test_other_builder_and_what_it_changes(tmp_path: Path) -> None:
    """Builders that take the same differ by their names alone."""
    here = {"tools": {"arm-y-gcc": "arm-y-gcc 12", "arm-y-ld": "ld 2.40", "libc.a": "glibc 2.36"}}
    a = run(tmp_path, "a", lazy64=CALM, made=here)
    b = run(tmp_path, "b", lazy64=OTHER, made=BOOTLIN)
    c = run(tmp_path, "c", lazy64=OTHER, made=here | {"builder": BUILDROOT})
    assert how(changes(a, b)) == [
        "builder: debian, then buildroot 2025.02.16, toolchain bootlin",
        "compiler: arm-y-gcc 12, then arm-x-gcc 14.2",
        "linker: ld 2.40, then not known",
        "C library: glibc 2.36, then glibc 2.41",
        "BusyBox: 1.35, then 1.37.0",
    ]
    assert how(changes(a, c)) == [
        "builder: debian, then buildroot 2025.02.16, toolchain distro; "
        "overridden: busybox, host-tar",
    ]
    silent = run(tmp_path, "d", lazy64=OTHER, made={"tools": {}, "sources": {}})
    assert "compiler: arm-y-gcc 12, then not known" in how(changes(a, silent))
    assert "BusyBox: 1.35, then not known" in how(changes(a, silent))
    for made, words in (
        ({"tools": 3}, "tools: "),
        ({"sources": {"busybox": 1}}, "sources.busybox"),
    ):
        with pytest.raises(UsageError, match=words):
            run(tmp_path, words[:3], lazy64=OTHER, made=made)


def test_what_changed_of_the_users_own_is_told(tmp_path: Path) -> None:
    def made(name: str, module: str) -> Run:
        made_of = {"module": {"module/a.c": module}, "workload": {"work.c": "1"}}
        images = {"kernel": "1", "device_tree": "1", "initramfs": module}
        return run(tmp_path, name, lazy64=CALM, made={"made_of": made_of, "images": images})

    a, b, c = made("a", "1"), made("b", "2"), made("c", "1")
    assert "your module changed: module/a.c" in changes(a, b).notes
    assert not [note for note in changes(a, c).notes if "changed" in note]


def test_identical_runs(tmp_path: Path) -> None:
    a, b = run(tmp_path, "a", lazy64=CALM), run(tmp_path, "b", lazy64=CALM)
    found = changes(a, b)
    assert set(verdicts(found).values()) == {"identical"}
    assert "all samples of both runs are the same" in found.notes


@pytest.mark.parametrize("values", [[100], [100] * 5])
def test_too_few_samples_are_undecided(tmp_path: Path, values: list[int]) -> None:
    a = run(tmp_path, "a", lazy64=values)
    b = run(tmp_path, "b", lazy64=times(3, values))
    found = changes(a, b)
    assert set(verdicts(found).values()) == {"undecided"}
    assert "no interval below 6 samples" in list(conclusions(found))[-1]


def test_more_samples_that_are_not_ok_are_worse(tmp_path: Path) -> None:
    bad = [Sample("small", 8, 1, Status.PANIC, Cell.of({"eager": 0, "size": 64}), {})]
    a, b = run(tmp_path, "a", lazy64=CALM), run(tmp_path, "b", lazy64=CALM[:7], bad=bad)
    (failing,) = changes(a, b).failing
    assert (failing.before, failing.after) == ((0, 8), (1, 8))
    assert (
        "worse: mode lazy, size 64: 1 of 8 samples are missing or not ok, after 0 of 8"
        in conclusions(changes(a, b))
    )
    assert changes(b, a).failing == ()
    # What is missing counts as what is not ok.
    c = run(tmp_path, "c", lazy64=CALM[:3], bad=bad)
    assert [each.after for each in changes(b, c).failing] == [(5, 8)]
    assert changes(c, b).failing == ()


def test_cells_that_one_run_lacks_are_named(tmp_path: Path) -> None:
    sizes = {"title": "size", "values": [64, 256], "minimum": 1, "maximum": 1024}
    parameters = experiment().model_dump()["parameters"] | {"size": sizes}
    a = run(tmp_path, "a", lazy64=CALM, lazy128=CALM)
    b = run(tmp_path, "b", study=experiment(rounds=8, parameters=parameters), lazy64=CALM)
    found = changes(a, b)
    assert verdicts(found) == {"eager=0 size=64": "identical"}
    assert f"only {a.name} has: mode lazy, size 128; mode eager, size 128" in found.notes
    assert f"only {b.name} has: mode lazy, size 256; mode eager, size 256" in found.notes
    assert f"{b.name}: eager=1 size=64: no sample that is ok" in found.notes


def test_how_the_runs_were_made_is_told(tmp_path: Path) -> None:
    a = run(tmp_path, "a", lazy64=CALM, clock="host", finished=False)
    b = run(tmp_path, "b", study=experiment(rounds=8, seed=2), lazy64=CALM)
    notes = "\n".join(changes(a, b).notes)
    for words in ("clock: host, then virtual", "seed: 1, then 2", "the clocks differ"):
        assert words in notes
    assert f"{a.name}: The run has not come to its end" in notes


def test_other_numbers_of_a_board_are_told(tmp_path: Path) -> None:
    a = run(tmp_path, "a", lazy64=CALM, clock="board")
    other = load_board("bcm2836", {"numbers.dram_ps.value": 3})
    b = run(tmp_path, "b", lazy64=CALM, clock="board", board=other)
    before = load_board("bcm2836").values["dram_ps"]
    assert f"board: dram_ps is 3 instead of {before}" in changes(a, b).notes
    assert not [note for note in changes(a, a).notes if note.startswith("board")]
    virtual = run(tmp_path, "c", lazy64=CALM)
    assert not [note for note in changes(virtual, a).notes if note.startswith("board")]


# Refused


def test_cell_that_has_vanished_is_worse(tmp_path: Path) -> None:
    a = run(tmp_path, "a", lazy64=CALM, lazy128=CALM)
    for name, left in (("b", {"lazy64": CALM}), ("c", {"lazy64": CALM, "lazy128": CALM[:5]})):
        b = run(tmp_path, name, **left)
        (failing,) = changes(a, b).failing
        assert failing.cell.as_dict() == {"eager": 0, "size": 128}
        assert failing.after == (8 - len(left.get("lazy128", [])), 8)
        assert changes(b, a).failing == ()


def test_run_whose_samples_all_failed_is_worse(tmp_path: Path) -> None:
    bad = [
        Sample("small", n, 1, Status.PANIC, Cell.of({"eager": 0, "size": 64}), {})
        for n in range(1, 9)
    ]
    a, b = run(tmp_path, "a", lazy64=CALM), run(tmp_path, "b", bad=bad)
    found = changes(a, b)
    assert found.changes == ()
    assert [each.after for each in found.failing] == [(8, 8)]


def test_runs_without_common_samples(tmp_path: Path) -> None:
    empty = run(tmp_path, "a", finished=False)
    full = run(tmp_path, "b", lazy64=CALM)
    for pair in ((empty, full), (full, empty), (empty, empty)):
        with pytest.raises(UsageError, match="no cell that both have samples of"):
            changes(*pair)


def test_runs_of_other_studies(tmp_path: Path) -> None:
    a = run(tmp_path, "a", lazy64=CALM)
    data = experiment().model_dump()
    parameters = data["parameters"] | {
        "more": {"title": "more", "values": [1], "minimum": 1, "maximum": 1}
    }
    other = archived(tmp_path / "x", experiment(parameters=parameters), [])
    with pytest.raises(UsageError, match="other parameters: eager, size and eager, size, more"):
        changes(a, read(other))
    metrics = {"n": {"title": "n", "pattern": "(a)", "unit": "µs", "table": True}}
    other = archived(tmp_path / "y", experiment(metrics=metrics), [])
    with pytest.raises(UsageError, match="no metric in common: work_us, pages and n"):
        changes(a, read(other))


# The command


def asked(first: str, second: str, results: Path, fail: bool) -> CompareOptions:
    return CompareOptions(first=first, second=second, results=str(results), fail_on_regression=fail)


def test_a_regression_fails_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = run(tmp_path, "a", lazy64=CALM).name
    b = run(tmp_path, "b", lazy64=times(2, CALM)).name
    compare.compare(asked(a, b, tmp_path, fail=False))
    assert "worse: mode lazy, size 64" in capsys.readouterr().out
    with pytest.raises(ChecksFailed, match="1 got worse") as caught:
        compare.compare(asked(a, b, tmp_path, fail=True))
    assert caught.value.status == 1
    compare.compare(asked(b, a, tmp_path, fail=True))
    compare.compare(asked(a, a, tmp_path, fail=True))


@pytest.mark.parametrize(
    ("first", "second", "fail", "words"),
    [
        ("pi", "pi", False, "expected a run and pi, or two runs"),
        ("20260203T040506Z-a", "pi", True, "--fail-on-regression compares two runs"),
        ("20260203T040506Z-a", "pi", False, "is not the Pi's study"),
        ("20260203T040506Z-a", "none", False, "there is no run 'none'"),
        ("20260203T040506Z-a", "20260203T040506Z-host", True, "have different clocks"),
    ],
)
def test_what_cannot_be_meant(
    tmp_path: Path, first: str, second: str, fail: bool, words: str
) -> None:
    run(tmp_path, "a", lazy64=CALM)
    run(tmp_path, "host", lazy64=CALM, clock="host")
    with pytest.raises(UsageError, match=words):
        compare.compare(asked(first, second, tmp_path, fail))
