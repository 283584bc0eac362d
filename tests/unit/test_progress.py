"""What a person is told while pibed works, as plain lines in a log."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from pibed.base.durations import Durations
from pibed.base.errors import GuestError
from pibed.base.terminal import duration
from pibed.build.progress import BuildProgress
from pibed.build.store import Output, Step
from pibed.measure.progress import SweepProgress, duration_key
from pibed.model.plan import Visit, cells
from pibed.model.samples import Sample, Status
from tests.unit.helpers import experiment


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.34, "0.3 s"),
        (9.9, "9.9 s"),
        (12.4, "12 s"),
        (99, "99 s"),
        (119.6, "2 min 00 s"),
        (125, "2 min 05 s"),
        (3725, "62 min 05 s"),
        (5999.7, "1 h 40 min"),
        (7265, "2 h 01 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Sweep:
    """A sweep of the small experiment on a console that is no terminal."""

    def __init__(self, path: Path, rounds: int = 2, jobs: int = 1) -> None:
        self.experiment = experiment(rounds=rounds)
        self.text = io.StringIO()
        self.durations = Durations(path)
        self.progress = SweepProgress(
            Console(file=self.text, width=200), self.experiment, "virtual", jobs, self.durations
        )

    def take(self, round_: int, index: int, status: Status = Status.OK) -> None:
        cell = cells(self.experiment)[index]
        self.progress.began(round_, Visit(index + 1, cell, 0))
        self.progress.took(Sample("small", round_, index + 1, status, cell, {}, "why [so]"))

    @property
    def lines(self) -> list[str]:
        return self.text.getvalue().splitlines()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "durations.json"


def test_sweep_in_plain_lines(path: Path) -> None:
    sweep = Sweep(path)
    with sweep.progress.shown():
        for round_ in (2, 1):
            for index in range(4):
                sweep.take(round_, index)
    first, second, third = sweep.lines
    assert first == (
        "sweep: 2 rounds of 4 cells, virtual clock, 1 side by side; "
        "time left known after the first round"
    )
    assert second.startswith("round 2 done; 1 of 2 rounds, 4 of 8 samples, about ")
    assert second.endswith(" left")
    assert third.startswith("round 1 done; 2 of 2 rounds, 8 of 8 samples, about 0.0 s left")


def test_rounds_side_by_side(path: Path) -> None:
    sweep = Sweep(path, jobs=2)
    for index in range(4):
        sweep.take(1, index)
        sweep.take(2, index)
    assert [line.partition(",")[0] for line in sweep.lines] == [
        "round 1 done; 1 of 2 rounds",
        "round 2 done; 2 of 2 rounds",
    ]


def test_bad_sample_is_told_at_once(path: Path) -> None:
    sweep = Sweep(path)
    sweep.take(1, 0, Status.PANIC)
    assert sweep.lines == ["round 1: eager=0 size=64: panic: why [so]"]


def test_where_a_kernel_died_is_told_by_its_innermost_functions(path: Path) -> None:
    sweep = Sweep(path)
    trace = [
        "Oops [x]",
        *(f"  function{number}+0x0/0x4 (lab/a.c:{number})" for number in range(20)),
    ]
    sweep.progress.died(3, GuestError("the kernel died", context=trace))
    lines = sweep.lines
    assert lines[:2] == ["round 3: | Oops [x]", "round 3: |   function0+0x0/0x4 (lab/a.c:0)"]
    assert len(lines) == 10


def test_lost_guest_is_told_with_its_log(path: Path) -> None:
    sweep = Sweep(path)
    sweep.progress.rebooted(1, GuestError("the kernel died: [x]", log=Path("/log")))
    assert sweep.lines == [
        "round 1: the kernel died: [x]; going on in a new boot (log: /log)",
    ]


def test_lost_guest_without_a_log(path: Path) -> None:
    sweep = Sweep(path)
    sweep.progress.rebooted(1, GuestError("`insmod x` was killed"))
    assert sweep.lines == ["round 1: `insmod x` was killed; going on in a new boot"]


def test_expected_time_from_earlier_sweeps(path: Path) -> None:
    sweep = Sweep(path, rounds=5, jobs=2)
    assert sweep.progress.expected_s() is None
    for cell in cells(sweep.experiment):
        sweep.durations.learn(duration_key(sweep.experiment, "virtual", cell), 10)
    sweep.durations.save()
    expected = Sweep(path, rounds=5, jobs=2).progress.expected_s()
    # Three rounds one after the other, of four cells each, and what the boots take.
    assert expected is not None
    assert 120 <= expected < 140
    again = Sweep(path, rounds=5, jobs=2)
    with again.progress.shown():
        pass
    assert again.lines[0].endswith("side by side; about 2 min 04 s")


def test_durations_of_the_other_clock_do_not_count(path: Path) -> None:
    durations = Durations(path)
    cell = cells(experiment())[0]
    durations.learn(duration_key(experiment(), "virtual", cell), 10)
    assert durations.get(duration_key(experiment(), "virtual", cell)) == 10
    assert durations.get(duration_key(experiment(), "host", cell)) is None
    assert durations.get(duration_key(experiment(name="other"), "virtual", cell)) is None


def test_failed_sample_teaches_no_duration(path: Path) -> None:
    sweep = Sweep(path)
    sweep.take(1, 0, Status.TIMEOUT)
    assert (
        sweep.durations.get(duration_key(sweep.experiment, "virtual", cells(sweep.experiment)[0]))
        is None
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "5"),
        pytest.param('{"small virtual eager=0 size=64": "x"}'),
        pytest.param('{"small virtual eager=0 size=64": 1' + "0" * 400 + "}"),
        *('{"small virtual eager=0 size=64": NaN}', '{"small virtual eager=0 size=64": Infinity}'),
    ],
)
def test_broken_file_of_durations_is_an_empty_one(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    durations = Durations(path)
    assert durations.get(duration_key(experiment(), "virtual", cells(experiment())[0])) is None
    durations.learn(duration_key(experiment(), "virtual", cells(experiment())[0]), 1)
    durations.save()
    assert 1 in json.loads(path.read_text(encoding="utf-8")).values()


def test_what_another_process_has_learned_is_kept(path: Path) -> None:
    ours, theirs = Durations(path), Durations(path)
    ours.learn("a", 1)
    theirs.learn("b", 2)
    ours.save()
    theirs.save()
    assert (Durations(path).get("a"), Durations(path).get("b")) == (1, 2)


def test_durations_that_cannot_be_saved_are_no_error(tmp_path: Path) -> None:
    Durations(tmp_path / "none" / "durations.json").save()


def test_build_in_plain_lines(tmp_path: Path) -> None:
    text = io.StringIO()
    progress = BuildProgress(Console(file=text, width=200), show_cached=False)
    with progress.step("kernel", 140, tmp_path / "log") as on_line:
        for _ in range(100):
            on_line("  CC  x.o\n")
    step = Step("kernel", {}, 140)
    progress.done(Output(step, tmp_path, cached=False, seconds=131))
    progress.done(Output(step, tmp_path, cached=True, seconds=0))
    assert text.getvalue().splitlines() == [
        f"kernel: started, about 2 min 20 s on two cores; log: {tmp_path}/log",
        "kernel          built in 2 min 11 s",
    ]


def test_cached_steps_are_shown_when_asked(tmp_path: Path) -> None:
    text = io.StringIO()
    progress = BuildProgress(Console(file=text, width=200), show_cached=True)
    progress.done(Output(Step("kernel", {}, 1), tmp_path, cached=True, seconds=0))
    progress.waiting("module")
    assert text.getvalue().splitlines() == [
        "kernel          cached",
        "module: another build is making it; waiting",
    ]
