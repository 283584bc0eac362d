"""Counts of events: read from the plugin's file as it grows, and taken as metrics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pibed.guest.counts import CountsError, CountsFile
from pibed.model import plan
from pibed.model.counts import Counts, Mark
from pibed.model.experiment import Metric
from pibed.model.protocol import Result
from pibed.model.samples import take_metrics
from tests.unit.helpers import experiment

HEAD = (
    "events instructions cycles l1i_misses l1d_misses l2_misses utlb_misses tlb_walks "
    "branch_misses\n"
)


def line(code: int, instructions: int, cycles: int = 0) -> str:
    return f"{code:02x} {instructions} {cycles} 0 0 0 0 0 0\n"


def counts(*marks: tuple[int, int]) -> Counts:
    return Counts(tuple(Mark(code, {"instructions": value}) for code, value in marks))


def test_a_file_is_read_command_by_command(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    path.write_text(HEAD)
    file = CountsFile(path)
    assert file.take() == Counts(())
    with path.open("a") as written:
        written.write(line(0x80, 100, 7) + line(0x81, 150, 9))
        written.flush()
        assert file.take().of("cycles") == 2
        # A line that is not whole yet, behind a mark of something that has outlived its command.
        written.write(line(0x83, 160) + line(0x80, 200) + line(0x82, 210) + "83 2")
        written.flush()
        assert [mark.code for mark in file.take().marks] == [0x80, 0x82]


def test_a_guest_that_has_gone_on_mixes_nothing_up(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    # The second command was killed before its begin, the third could not be started.
    later = line(0x81, 40) + line(0x81, 50) + line(0x80, 60) + line(0x81, 67)
    path.write_text(HEAD + line(0x80, 10) + line(0x81, 15) + later + line(0x80, 70))
    file = CountsFile(path)
    assert file.take().of("instructions") == 5
    assert file.take() == file.take() == Counts(())
    assert file.take().of("instructions") == 7


def test_events_are_known_by_their_names_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    names = " ".join(reversed(HEAD.split()[1:]))
    path.write_text(f"events {names} more\n80 1 2 3 4 5 6 7 8 9\n81 11 22 33 44 55 66 77 88 99\n")
    taken = CountsFile(path).take()
    assert taken.of("instructions") == 80
    assert taken.of("branch_misses") == 10


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("80 1 2\n", "expected the names of all events, not '80 1 2'"),
        ("events instructions\n", "missing: branch_misses, cycles"),
        (HEAD + "80 1 2\n", "this is no mark: '80 1 2'"),
        (HEAD + "xx 1 2 3 4 5 6 7 8\n", "this is no mark"),
        (HEAD + "80 1 2 3 4 5 6 7 many\n", "this is no mark"),
        ("\n", "expected the names"),
    ],
)
def test_what_the_plugin_does_not_write_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "counts"
    path.write_text(text)
    with pytest.raises(CountsError) as caught:
        CountsFile(path).take()
    assert str(path) in caught.value.message
    assert words in caught.value.message


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CountsError, match="No such file or directory: nothing was counted"):
        CountsFile(tmp_path / "counts").take()


def test_a_phase_that_is_run_through_twice_is_summed_up() -> None:
    taken = counts((0x80, 0), (0x82, 5), (0x83, 15), (0x84, 16), (0x82, 20), (0x83, 21), (0x85, 50))
    assert taken.of("instructions", 0) == 11
    assert taken.of("instructions", 1) == 34


@pytest.mark.parametrize(
    ("marks", "phase", "words"),
    [
        ((), None, "the command was not marked: no count of instructions"),
        (((0x80, 1),), None, "the command began, but its end was not marked"),
        (((0x80, 1), (0x81, 2)), 3, "phase 3 was not marked"),
        (((0x80, 1), (0x88, 1), (0x81, 2)), 3, "phase 3 began, but its end was not marked"),
        (((0x80, 1), (0x89, 1), (0x81, 2)), 3, "phase 3 ended without having begun"),
        (((0x88, 1), (0x88, 1), (0x89, 2)), 3, "phase 3 began again before it had ended"),
    ],
)
def test_what_is_missing_is_told(
    marks: tuple[tuple[int, int], ...], phase: int | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        counts(*marks).of("instructions", phase)


def counted(**metric: Any) -> Any:
    entry = {"title": "executed", "unit": "instructions", "event": "instructions"} | metric
    return experiment(metrics={"executed": entry})


def test_an_event_is_a_metric() -> None:
    run = Result("1.run", 0, False, False, ())
    study = counted()
    assert plan.counts_events(study)
    assert not plan.counts_events(experiment())
    assert plan.counter_files(study) == []
    marked = replace(run, counts=counts((0x80, 10), (0x82, 11), (0x83, 14), (0x81, 30)))
    assert take_metrics(study, marked, None) == {"executed": 20}
    assert take_metrics(counted(phase=0), marked, None) == {"executed": 3}
    with pytest.raises(ValueError, match="executed: phase 1 was not marked"):
        take_metrics(counted(phase=1), marked, None)
    with pytest.raises(ValueError, match="executed: events were not counted"):
        take_metrics(study, run, None)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "give either pattern or counter or event"),
        ({"pattern": "(.)", "event": "cycles"}, "give either pattern or counter or event"),
        ({"counter": "/a", "event": "cycles"}, "give either pattern or counter or event"),
        ({"pattern": "(.)", "phase": 1}, "phase: only an event is counted by phases"),
        ({"event": "stalls"}, "Input should be 'instructions', 'cycles'"),
        ({"event": "cycles", "phase": 31}, "less than 31"),
        ({"event": "cycles", "phase": -1}, "greater than or equal to 0"),
    ],
)
def test_a_metric_has_one_origin(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Metric.model_validate({"title": "t", "unit": "u"} | keys)
    assert words in str(caught.value)
