"""What is said of a run beside its numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pibed.base.errors import GuestError, UsageError
from pibed.commands import conclusion, sweep
from pibed.commands.options import SweepOptions
from pibed.guest.guest import (
    GuestTimeout,
    KernelHang,
    KernelOops,
    KernelPanic,
    KernelWarning,
    QemuLost,
)
from pibed.guest.line import LineClosed, ProtocolError, Stuck
from pibed.measure.rounds import status_of
from pibed.measure.run import Measurement
from pibed.model.machine import Clock, load_machine
from pibed.model.plan import Cell
from pibed.model.samples import Sample, Status
from pibed.runs.folder import RunFolder
from tests.unit.helpers import archived, experiment, measured


def outcome(clock: Clock, *values: int) -> Measurement:
    machine = load_machine("pi2").model_copy(update={"clock": clock})
    samples = [
        Sample(
            "small",
            number,
            1,
            Status.OK,
            Cell.of({"eager": 0, "size": 64}),
            {"work_us": value, "pages": number * 1000},
        )
        for number, value in enumerate(values, start=1)
    ]
    return Measurement(
        machine, experiment(), RunFolder(Path("nowhere"), experiment()), samples, [], []
    )


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (KernelPanic, Status.PANIC),
        (KernelOops, Status.OOPS),
        (KernelWarning, Status.OOPS),
        (KernelHang, Status.TIMEOUT),
        (GuestTimeout, Status.TIMEOUT),
        (Stuck, Status.TIMEOUT),
        (QemuLost, Status.LOST),
        (LineClosed, Status.LOST),
        (ProtocolError, Status.LOST),
        (GuestError, Status.LOST),
    ],
)
def test_status_of_a_sample_over_which_the_guest_was_lost(
    kind: type[GuestError], status: Status
) -> None:
    assert status_of(kind("gone")) == status


def test_cell_that_varies_much_in_real_time_is_pointed_out() -> None:
    (warning,) = outcome("host", 100, 130).warnings
    # Mean 115, SD 21.2; what the table does not show (pages) is no measurement.
    assert warning == (
        "host clock: eager=0 size=64: work_us varies by more than 10%: SD 21.21, mean 115"
    )


def test_a_mean_of_zero_is_no_error() -> None:
    (warning,) = outcome("host", -5, 5).warnings
    assert warning.endswith("SD 7.071, mean 0")


@pytest.mark.parametrize("values", [(100, 110), (100,), (0, 0)])
def test_steady_cells_and_single_samples_get_no_warning(values: tuple[int, ...]) -> None:
    assert outcome("host", *values).warnings == []


def test_exact_numbers_get_no_warning() -> None:
    assert outcome("virtual", 100, 900).warnings == []


@pytest.mark.parametrize(
    "option", ["machine", "experiment", "kernel", "sizes", "modes", "runs", "seed", "clock", "name"]
)
def test_what_the_manifest_says_cannot_be_given_with_resume(option: str, tmp_path: Path) -> None:
    given = SweepOptions(resume="latest", results=str(tmp_path))
    if option in {field.name for field in dataclasses.fields(given)}:
        options = dataclasses.replace(given, **{option: "1"})  # type: ignore[arg-type]
    else:
        options = dataclasses.replace(given, declared={option: "1"})
    with pytest.raises(UsageError, match=f"--{option} cannot be given with --resume"):
        sweep.sweep(options)


def ended(folder: Path, clock: Clock, slow: int, finished: bool = True) -> Measurement:
    study = experiment(rounds=6, parameters=_one_size())
    samples = measured(
        study,
        {
            (eager, 64): {"work_us": [slow if eager else 100] * 6, "pages": [8] * 6}
            for eager in (0, 1)
        },
    )
    archived(folder, study, samples, clock=clock, finished=finished)
    machine = load_machine("pi2").model_copy(update={"clock": clock})
    return Measurement(machine, study, RunFolder(folder, study), samples, [], [])


def _one_size() -> dict[str, object]:
    parameters: dict[str, object] = experiment().model_dump()["parameters"]
    return parameters | {"size": {"title": "size", "values": [64], "minimum": 1, "maximum": 99}}


def test_a_sweep_ends_with_its_answer_and_where_its_files_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "20260203T040506Z-small"
    outcomes = [ended(folder, "virtual", 130, finished=False)]
    conclusion.show(outcomes)
    assert not list(folder.glob("report.*"))
    conclusion.report(outcomes)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith("A small study: 6 runs a cell, virtual clock")
    assert lines[-4:] == [
        f"results: {folder}",
        "Lazy is faster in work at size 64.",
        f"The run has not come to its end: 12 of 12 samples; ./inv sweep --resume {folder} goes "
        "on with it.",
        f"report: {folder}/report.html",
    ]
    assert "the plots are being drawn" in printed.err
    made = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    assert {"report.html", "report.md", "plots/samples-work_us.svg"} <= made


def test_a_sweep_with_both_clocks_says_which_answer_is_whose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / f"20260203T040506Z-{clock}" for clock in ("virtual", "host")]
    outcomes = [ended(folders[0], "virtual", 130), ended(folders[1], "host", 70)]
    conclusion.show(outcomes)
    conclusion.report(outcomes)
    lines = capsys.readouterr().out.splitlines()
    assert "virtual and host clock" in lines[0]
    assert lines[-6:] == [
        f"results: {folders[0]}",
        f"results: {folders[1]}",
        "virtual clock: Lazy is faster in work at size 64.",
        f"report: {folders[0]}/report.html",
        "host clock: Eager is faster in work at size 64.",
        f"report: {folders[1]}/report.html",
    ]
