"""What is said of a run beside its numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pibed import config, measuring
from pibed.config import Clock
from pibed.errors import UsageError
from pibed.measuring import Outcome, SweepOptions
from pibed.results import Run
from pibed.samples import Sample
from tests.unit.helpers import experiment


def outcome(clock: Clock, *values: int) -> Outcome:
    machine = config.load_machine("pi2").model_copy(update={"clock": clock})
    samples = [
        Sample(
            "small",
            number,
            1,
            "ok",
            {"eager": 0, "size": 64},
            {"work_us": value, "pages": number * 1000},
        )
        for number, value in enumerate(values, start=1)
    ]
    return Outcome(machine, experiment(), Run(Path("nowhere"), experiment()), samples, [], [])


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
    options = dataclasses.replace(given, **{option: "1"})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"--{option} cannot be given with --resume"):
        measuring.sweep(options)
