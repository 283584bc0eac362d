"""Samples: metrics from what the guest printed, and the rows of samples.csv."""

from __future__ import annotations

import pytest

from pibed.model import samples as samples_module
from pibed.model.plan import Cell
from pibed.model.protocol import Result
from pibed.model.samples import Sample, Status, from_csv, take_metrics, to_csv
from tests.unit.helpers import experiment


def result(*lines: str, status: int = 0) -> Result:
    return Result("x", status, False, False, lines)


def counters(before: str, after: str) -> tuple[Result, Result]:
    return result(before), result(after)


def test_metrics() -> None:
    metrics = take_metrics(experiment(), result("start", "took 120 us"), counters("100", "124"))
    assert metrics == {"work_us": 120, "pages": 24}
    assert list(metrics) == ["work_us", "pages"]
    assert all(type(value) is int for value in metrics.values())


def test_number_with_a_fraction() -> None:
    metrics = take_metrics(experiment(), result("took 1.5 us"), counters("0", "0"))
    assert metrics == {"work_us": 1.5, "pages": 0}


def test_counter_that_falls() -> None:
    assert take_metrics(experiment(), result("took 1 us"), counters("5", "3"))["pages"] == -2


def test_large_counters_keep_every_digit() -> None:
    taken = take_metrics(
        experiment(), result("took 1 us"), counters("9007199254740993", "9007199254740996")
    )
    assert taken["pages"] == 3


@pytest.mark.parametrize(
    ("lines", "times"), [((), 0), (("took long",), 0), (("took 1 us", "took 2 us"), 2)]
)
def test_pattern_must_match_once(lines: tuple[str, ...], times: int) -> None:
    with pytest.raises(ValueError, match=f"work_us: .* {times} times instead of once"):
        take_metrics(experiment(), result(*lines), counters("0", "0"))


def refusal(*lines: str, truncated: bool = False) -> str:
    """Why these lines of output give no metrics."""
    with pytest.raises(ValueError, match="work_us: ") as caught:
        run = Result("x", 0, False, truncated, lines)
        take_metrics(experiment(), run, counters("0", "0"))
    return str(caught.value)


def test_failed_pattern_shows_what_it_was_tried_on() -> None:
    assert refusal("start", "", "  took 12 ms").endswith("; the output: start; took 12 ms")
    assert refusal().endswith("instead of once; there was no output")
    assert refusal(" ").endswith("there was no output")
    assert refusal("took 1 us", "took 2 us").endswith("2 times instead of once: 1, 2")
    assert refusal(*["took 1 us"] * 99).endswith("99 times instead of once: 1, 1, 1, 1, 1, …")
    assert refusal("took 1,5 us").endswith("'1,5' is not a number; the output: took 1,5 us")
    # The last line may be half of what it was.
    assert refusal("noise", "took 1", truncated=True).endswith("; the output: noise")


def test_output_in_a_message_is_short_and_printable() -> None:
    words = refusal("begin\x1b[31m", *["x" * 80] * 800, "\udcff end")
    assert "; the output: begin?[31m; xxx" in words
    assert words.endswith("xxx; ? end")
    assert len(words) < 400
    words.encode()
    assert len(refusal(*[f"took {'9' * 500} us"] * 5)) < 5 * 320


def test_output_that_was_cut_off() -> None:
    cut = Result("x", 0, False, True, ("took 12 us", "noise"))
    assert take_metrics(experiment(), cut, counters("0", "0"))["work_us"] == 12
    for lines in (("noise",), ("noise", "took 12 us")):  # of 120 us, perhaps
        with pytest.raises(ValueError, match=r"output, which was cut off at 64 KiB, 0 times"):
            take_metrics(experiment(), Result("x", 0, False, True, lines), counters("0", "0"))


def test_pattern_that_catches_no_number_names_the_metric() -> None:
    with pytest.raises(ValueError, match="work_us"):
        take_metrics(experiment(), result("took very us"), counters("0", "0"))


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "1e51", "-1" + "0" * 51, "1e-51"])
def test_number_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="work_us"):
        take_metrics(experiment(), result(f"took {word} us"), counters("0", "0"))


@pytest.mark.parametrize("reading", [(), ("1", "2")])
def test_counters_of_the_wrong_number(reading: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="counters are not one number each"):
        take_metrics(experiment(), result("took 1 us"), (result("1"), result(*reading)))


def test_counter_that_is_no_number_is_named() -> None:
    words = "cat: can't open '/sys/pages': No such file or directory"
    with pytest.raises(ValueError, match="counter"):
        take_metrics(experiment(), result("took 1 us"), (result("1"), result(words, status=1)))


def test_counters_do_not_mix_up() -> None:
    metrics = {name: {"title": name, "counter": f"/sys/{name}", "unit": "1"} for name in ("z", "a")}
    taken = take_metrics(
        experiment(metrics=metrics), result(), (result("1", "10"), result("3", "40"))
    )
    assert taken == {"z": 2, "a": 30}


def sample(round_: int, order: int, status: Status = Status.OK, **more: object) -> Sample:
    return Sample(
        experiment="small",
        round=round_,
        order=order,
        status=status,
        cell=Cell.of({"eager": order % 2, "size": 64}),
        metrics={"work_us": 1.5, "pages": 24} if status == Status.OK else {},
        message="" if status == Status.OK else 'why, "so"',
    )


def test_csv_is_literally_this() -> None:
    text = samples_module.to_csv(
        experiment(), [sample(2, 1), sample(1, 2, Status.PANIC), sample(10, 1), sample(1, 1)]
    )
    assert text == (
        "experiment,round,order,status,eager,size,work_us,pages\n"
        "small,1,1,ok,1,64,1.5,24\n"
        "small,1,2,panic,0,64,,\n"
        "small,2,1,ok,1,64,1.5,24\n"
        "small,10,1,ok,1,64,1.5,24\n"
    )


def test_csv_of_nothing_has_its_header() -> None:
    assert samples_module.to_csv(experiment(), []) == (
        "experiment,round,order,status,eager,size,work_us,pages\n"
    )


@pytest.mark.parametrize("status", [Status.OK, Status.TIMEOUT])
def test_json_and_back(status: Status) -> None:
    before = sample(1, 2, status)
    line = before.to_json()
    assert "\n" not in line
    after = Sample.from_json(line)
    assert after == before
    assert {name: type(value) for name, value in after.metrics.items()} == {
        name: type(value) for name, value in before.metrics.items()
    }


def test_json_of_a_message_with_anything() -> None:
    before = Sample("small", 1, 1, Status.FAILED, Cell.of({}), {}, 'µ\n\x00\ufffd"')
    assert "\n" not in before.to_json()
    assert Sample.from_json(before.to_json()) == before


@pytest.mark.parametrize("line", ["", "{", "[]", "5", '"text"', "null", "{}", '{"round": 1}'])
def test_json_of_anything_else(line: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        Sample.from_json(line)


def test_a_csv_is_read_again() -> None:
    study = experiment()
    found = [
        Sample(
            "small",
            1,
            1,
            Status.OK,
            Cell.of({"eager": 0, "size": 64}),
            {"work_us": 1.5, "pages": 8},
        ),
        Sample("small", 1, 2, Status.PANIC, Cell.of({"eager": 1, "size": 64}), {}),
    ]
    assert from_csv(study, to_csv(study, found)) == found
    assert from_csv(study, to_csv(study, [])) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1"),
        ("experiment,round\n", "line 1: other columns"),
        ("small,1,1,well,0,64,1,8\n", "line 2: 'small,1,1,well,0,64,1,8' is no sample"),
        ("small,1,1,ok,0,64,1\n", "line 2"),
        ("small,1,1,ok,0,x,1,8\n", "line 2: invalid literal"),
        ("small,1,1,ok,0,64,nan,8\n", "line 2: 'nan' is not a finite number"),
        ("small,1\n", "line 2"),
        ('small,"1\n', "line 2: unexpected end of data"),
    ],
)
def test_what_is_no_csv_of_samples_is_explained(text: str, words: str) -> None:
    header = to_csv(experiment(), []) if text.startswith("small") else ""
    with pytest.raises(ValueError, match=words):
        from_csv(experiment(), header + text)
