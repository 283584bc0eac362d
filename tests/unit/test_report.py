"""Reports: of every shape of run, self-contained, and the same bytes for the same files."""

from __future__ import annotations

import html.parser
import re
from pathlib import Path
from typing import Any

import pytest

from pibed.base.errors import UsageError
from pibed.commands import report
from pibed.commands.options import ReportOptions
from pibed.model import plan
from pibed.model.experiment import load_experiment
from pibed.model.plan import Cell
from pibed.model.samples import Sample, Status
from pibed.report import page as report_page
from pibed.report.page import Figure
from pibed.runs import reading
from pibed.runs.folder import RunFolder, SampleLog
from pibed.runs.reading import Run
from pibed.studies import STUDIES
from tests.unit.helpers import BUILDROOT, archived, experiment, measured
from tests.unit.test_penalty import made as made_logging

PI = STUDIES["pi"]
SLOW, FAST = [20, 21, 22, 23, 24, 95], [10, 11, 12, 13, 14, 15]
SVG = (
    '<?xml version="1.0"?>\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN"\n "x">\n'
    '<svg xmlns="http://www.w3.org/2000/svg"><defs><path id="a"/></defs>'
    '<use href="#a"/><g clip-path="url(#a)"/></svg>'
)


class Page(html.parser.HTMLParser):
    """The text of a page, its links, and whether its tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.folds: list[str] = []
        """What each part that is shown on demand is called."""
        self.folded: list[str] = []
        """The text that is in these parts."""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack[-1:] != ["style"]:
            self.words.append(data)
        if self.stack[-1:] == ["summary"]:
            self.folds.append(data)
        elif "details" in self.stack:
            self.folded.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def run(folder: Path, *cells: list[int], study: Any = None, **options: Any) -> Run:
    """A run of as many cells as there are values for: lazy 64, eager 64, lazy 128, eager 128."""
    study = study or experiment(rounds=6)
    places = [(0, 64), (1, 64), (0, 128), (1, 128)]
    samples = measured(
        study,
        {
            place: {"work_us": values, "pages": [8] * len(values)}
            for place, values in zip(places, cells, strict=False)
        },
    )
    samples += options.pop("bad", [])
    return reading.read(archived(folder / "20260203T040506Z-small", study, samples, **options))


def sized(folder: Path, count: int) -> Run:
    """A run with so many sizes, in each of which eager is faster."""
    parameters = experiment().model_dump()["parameters"]
    parameters["size"]["values"] = list(range(1, count + 1))
    study = experiment(rounds=6, parameters=parameters)
    samples = measured(
        study,
        {
            (eager, size): {"work_us": FAST if eager else SLOW, "pages": [8] * 6}
            for eager in (0, 1)
            for size in range(1, count + 1)
        },
    )
    return reading.read(archived(folder / "20260203T040506Z-small", study, samples))


def texts(found: Run, *figures: Figure) -> tuple[Page, str]:
    made = report_page.make(found, figures, [PI.reported(found)])
    page = Page(report_page.render(made, "report.html"))
    assert page.stack == []
    return page, report_page.render(made, "report.md")


def test_the_answer_comes_first_then_plots_numbers_and_how(tmp_path: Path) -> None:
    page, text = texts(
        run(tmp_path, SLOW, FAST, SLOW, FAST),
        Figure("one", "A plot", "What is to be seen", SVG),
    )
    order = [
        "Eager is faster in work at size 64 and 128.",
        "Plots",
        "At size 64, work: eager is faster; lazy takes",
        "The modes side by side",
        "What was measured",
        "How it was measured",
        "4 cells × 6 rounds",
        "virtual: QEMU counts the guest's instructions",
        "all as locked",
        "Warnings None.",
        "mode lazy, size 64, work: 95 µs in round 6; the median is 22",
    ]
    assert [page.text.index(words) for words in order] == sorted(map(page.text.index, order))
    # A total of one metric has no parts.
    assert "Its parts" not in page.text
    assert ("aria-label", "What is to be seen") in page.attributes
    assert "**Eager is faster in work at size 64 and 128.**" in text
    assert "| 64 | work \\[µs\\] | eager | 22 | 12.5 |" in text


@pytest.mark.parametrize(
    ("timing", "words"),
    [
        ("bcm2837", "raspi2b, 1024 MiB, with the time of a BCM2837 of the Raspberry Pi 3 Model B"),
        ("bcm2836", "raspi2b, 1024 MiB, with the time of a BCM2836 of the Raspberry Pi 2 Model B"),
    ],
)
def test_whose_time_it_is_is_told(tmp_path: Path, timing: str, words: str) -> None:
    page, text = texts(run(tmp_path / timing, SLOW, FAST, clock="board", timing=timing))
    for said in (words, "board: the guest's time is that of a model of the board"):
        assert said in page.text
        assert said in text
    assert "with the time of" not in texts(run(tmp_path / "virtual", SLOW, FAST))[1]


def test_builder_is_named(tmp_path: Path) -> None:
    for name, made, words in (
        ("one", {}, "builder debian sources"),
        (
            "two",
            {"builder": BUILDROOT},
            "builder buildroot 2025.02.16, toolchain distro; overridden: busybox, host-tar",
        ),
    ):
        page, text = texts(run(tmp_path / name, SLOW, FAST, made=made))
        assert words in page.text
        assert f"- builder: {words.removeprefix('builder ').removesuffix(' sources')}\n" in text


def test_what_is_asked_for_comes_before_which_mode_is_faster(tmp_path: Path) -> None:
    modes = experiment().model_dump()["parameters"]
    line = {"title": "line", "values": [0, 1], "minimum": 0, "maximum": 1}
    map_us = {"title": "map", "pattern": "(a)", "unit": "µs", "table": True}
    study = experiment(
        rounds=6,
        parameters=modes | {"line": line},
        metrics=experiment().model_dump()["metrics"] | {"map_us": map_us},
        analysis={
            "compare": "eager",
            "total": ["work_us", "map_us"],
            "balance": "size",
            "growth": [{"metric": "work_us", "against": "size", "law": "linear"}],
            "cost": {"metric": "work_us", "events": "pages", "by": "line"},
        },
    )
    samples = measured(
        study,
        {
            (eager, size, line): {
                "work_us": [100 if eager else size + line * 8] * 6,
                "map_us": [1] * 6,
                "pages": [0 if eager else 8] * 6,
            }
            for eager in (0, 1)
            for size in (64, 128)
            for line in (0, 1)
        },
    )
    found = reading.read(archived(tmp_path / "20260203T040506Z-small", study, samples))
    made = report_page.make(found, [], [PI.reported(found)])
    assert [part.title for part in made.findings] == [
        "Where the balance lies",
        "Which mode is faster",
        "Its parts",
        "How it grows",
        "What one event costs",
    ]
    parts = {part.title: part.lines for part in made.findings}
    costs = parts["What one event costs"]
    assert costs[:2] == (
        "At size 64, line 1 instead of 0 adds 1 µs to work for each of the pages (95 % interval 1 "
        "to 1).",
        "At size 128, line 1 instead of 0 adds 1 µs to work for each of the pages (95 % interval "
        "1 to 1).",
    )
    assert [words.partition(", each")[0] for words in costs[2:]] == [
        f"At size {size}, line {line}" for size in (64, 128) for line in (0, 1)
    ]
    assert parts["Its parts"] == (
        "Lazy is faster in work in 2 of 4 combinations of size and line.",
        "Eager is faster in work in 2 of 4 combinations of size and line.",
        "The modes differ by no more than 1 % in map in all 4 combinations of size and line.",
    )
    assert [words.split()[0] for words in made.headline] == ["Both", "Line", "Lazy", "Eager"]
    page, _ = texts(found)
    order = [*made.headline, *(words for part in made.findings for words in part.lines)]
    places = [page.text.index(words) for words in order]
    assert places == sorted(places)


@pytest.mark.parametrize(("sizes", "statements"), [(12, False), (13, True)])
def test_many_statements_are_shown_on_demand(tmp_path: Path, sizes: int, statements: bool) -> None:
    page, text = texts(sized(tmp_path, sizes))
    assert (f"{sizes} statements" in page.folds) == statements
    # A pull request takes 65,536 characters at most: there the page is named instead.
    assert (f"- {sizes} statements are in report.html.\n" in text) == statements
    lines = re.findall(r"^- At size \d+, work: eager is faster", text, re.MULTILINE)
    assert len(lines) == (0 if statements else sizes)
    last = f"At size {sizes}, work: eager is faster"
    assert (last in " ".join(page.folded)) == statements
    assert last in page.text


@pytest.mark.parametrize(("sizes", "folded"), [(20, False), (21, True)])
def test_long_tables_are_shown_on_demand(tmp_path: Path, sizes: int, folded: bool) -> None:
    # A row for each mode and size: 40, and 42.
    page, text = texts(sized(tmp_path, sizes))
    assert ("What was measured" in page.folds) == folded
    assert "The modes side by side" not in page.folds
    assert "Other metrics: what was measured" in page.folds
    for title in (
        "The modes side by side",
        "What was measured",
        "Other metrics: what was measured",
    ):
        assert f"<details>\n<summary>{title}</summary>\n\n" in text
        assert title in page.text
    assert ("42 rows are in report.html.\n" in text) == folded


def test_more_than_forty_comparisons_are_shown_on_demand(tmp_path: Path) -> None:
    assert "The modes side by side" in texts(sized(tmp_path / "a", 41))[0].folds
    assert "The modes side by side" not in texts(sized(tmp_path / "b", 40))[0].folds


def test_only_the_study_is_put_beside_a_real_pi(tmp_path: Path) -> None:
    page, _ = texts(run(tmp_path, SLOW, FAST, SLOW, FAST))
    assert "real Pi" not in page.text
    study = load_experiment("logging", {"rounds": 6, "parameters.size.values": [512]})
    samples = made_logging(study, lambda size, line, _: 7 + 43 * line, 6)
    found = reading.read(archived(tmp_path / "20260203T040506Z-logging", study, samples))
    page, text = texts(found)
    assert "### Beside a real Pi\n\n- " in text
    beside = page.text.partition("Beside a real Pi")[2]
    assert "Undecided: In total pre-paging wins where all of the memory is used" in beside
    assert "At size 512 demand paging took 1,429 ± 292 µs longer for each fault on the" in beside
    assert "./inv compare 20260203T040506Z-logging pi" in beside


def test_a_page_needs_nothing_else(tmp_path: Path) -> None:
    plots = [Figure(name, name, name, SVG) for name in ("one", "two words")]
    page, _ = texts(run(tmp_path, SLOW, FAST), *plots)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    links = [v for name, v in page.attributes if name in ("href", "src", "xlink:href")]
    assert links == ["#one-a", "#two-words-a"]
    identifiers = [value for name, value in page.attributes if name == "id"]
    assert identifiers == ["one-a", "two-words-a"]
    assert ("clip-path", "url(#two-words-a)") in page.attributes


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    folders = [run(tmp_path / each, SLOW, FAST, SLOW, FAST).folder for each in ("a", "b")]
    for folder in folders:
        report_page.publish(folder, [PI])
    first, second = (
        {
            path.relative_to(folder): path.read_bytes()
            for path in [*folder.glob("report.*"), *folder.glob("plots/*")]
        }
        for folder in folders
    )
    assert first == second
    assert {
        Path("report.html"),
        Path("report.md"),
        Path("plots/median-work_us.svg"),
    } <= first.keys()


def test_a_plot_that_there_is_no_more_is_removed(tmp_path: Path) -> None:
    folder = run(tmp_path, SLOW, FAST).folder
    (folder / "plots").mkdir()
    (folder / "plots" / "balance.svg").touch()
    (folder / "plots" / "notes.txt").touch()
    made = report_page.publish(folder, [PI])
    names = [figure.name for figure in made.figures]
    assert names
    expected = {f"{name}.{form}" for name in names for form in ("svg", "png")} | {"notes.txt"}
    assert {path.name for path in (folder / "plots").iterdir()} == expected


def test_words_of_others_are_no_markup(tmp_path: Path) -> None:
    title = "<script>alert(1)</script> | *x*"
    metrics = {
        "work_us": {"title": "a|b <b>", "pattern": "(a)", "unit": "<i>", "table": True},
        "pages": {"title": "pages", "counter": "/p", "unit": "pages"},
    }
    bad = [Sample("small", 1, 9, Status.PANIC, Cell.of({"eager": 1, "size": 128}), {})]
    study = experiment(rounds=6, title=title, metrics=metrics)
    page, text = texts(run(tmp_path, SLOW, FAST, study=study, bad=bad, problems=["<p>"]))
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert "<script>alert(1)</script> | *x*" in page.text
    assert "a\\|b \\<b\\> \\[\\<i\\>\\]" in text
    assert not re.search(r"(?<!\\)<(script|b|i|p)>", text)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ((), "Nothing has been measured yet."),
        ((SLOW,), "Nothing is compared: no cell has samples of both modes that are ok."),
        (([1], [2]), "These samples do not decide which mode is faster in work at size 64."),
        ((FAST, FAST), "The modes differ by no more than 1 % in work at size 64."),
        ((SLOW, FAST, SLOW), "1 more cannot be compared: a mode has no sample that is ok there."),
        (([0] * 6, [0] * 6), "The modes differ by no more than 1 % in work at size 64."),
    ],
)
def test_every_shape_of_run(tmp_path: Path, cells: tuple[list[int], ...], words: str) -> None:
    page, text = texts(run(tmp_path, *cells))
    assert words in page.text
    assert words in text
    assert not re.search(r"\bNone\b(?!\.)|\bnan\b|\binf\b", page.text)


def test_one_mode(tmp_path: Path) -> None:
    study = experiment(
        rounds=6,
        analysis={"compare": "eager", "total": ["work_us"]},
        parameters={
            "eager": {"title": "mode", "values": [0], "minimum": 0, "maximum": 1},
            "size": {"title": "size", "values": [64], "minimum": 1, "maximum": 1024},
        },
    )
    page, _ = texts(run(tmp_path, SLOW, study=study))
    assert "Nothing is compared: eager has one value: there is nothing to compare" in page.text
    assert "The modes side by side" not in page.text


def test_what_went_wrong_is_told(tmp_path: Path) -> None:
    bad = [
        Sample("small", round_, 4, Status.PANIC, Cell.of({"eager": 1, "size": 128}), {})
        for round_ in (1, 2)
    ]
    found = run(
        tmp_path,
        SLOW,
        FAST,
        bad=bad,
        finished=False,
        clock="host",
        differs=("gcc 13",),
        problems=("the module stays",),
    )
    page, text = texts(found)
    for words in (
        "The run has not come to its end: 14 of 24 samples",
        "Differs from the lock: gcc 13",
        "the module stays",
        "2 of 14 samples are not ok, and have no numbers: 2 panic",
        "Round 2, mode eager, size 128: panic",
        "eager=0 size=128: no sample that is ok",
        "host: the guest's time is real time",
        "1.00 at the begin",
    ):
        assert words in page.text
    assert "> The run has not come to its end" in text


def test_many_bad_samples_are_counted(tmp_path: Path) -> None:
    bad = [
        Sample("small", round_, 1, Status.LOST, Cell.of({"eager": 0, "size": 64}), {})
        for round_ in range(1, 151)
    ]
    page, _ = texts(run(tmp_path, study=experiment(rounds=200), bad=bad))
    assert "Round 100, mode lazy, size 64: lost" in page.text
    assert "Round 101" not in page.text
    assert "50 more are in samples.csv" in page.text


def test_invoke_report_says_what_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(tmp_path, SLOW, FAST, SLOW, FAST)
    report.report(ReportOptions(run=found.name, results=str(tmp_path)))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "Eager is faster in work at size 64 and 128.",
        f"report: {found.folder / 'report.html'}",
        f"report: {found.folder / 'report.md'}",
    ]
    assert Page((found.folder / "report.html").read_text(encoding="utf-8")).stack == []


def test_what_is_no_run_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no run 'x'"):
        report.report(ReportOptions(run="x", results=str(tmp_path)))


def test_why_a_sample_is_not_ok_comes_from_its_boot(tmp_path: Path) -> None:
    study = experiment(rounds=1)
    (round_,) = plan.rounds(study)
    samples = [
        Sample("small", 1, visit.order, Status.FAILED, visit.cell, {}, "said \x1b[31m no")
        for visit in round_.visits
    ]
    folder = archived(tmp_path / "20260203T040506Z-small", study, samples)
    kept = RunFolder(folder, study)
    log = SampleLog(kept.boot_folder(1, 1) / "samples.jsonl")
    for each in samples:
        log.append(each)
    log.close()
    kept.finish_round(1, 1, [])
    page, _ = texts(reading.read(folder))
    assert "failed: said ?[31m no" in page.text


def test_a_run_that_was_killed_has_the_samples_of_its_rounds(tmp_path: Path) -> None:
    study = experiment(rounds=2)
    first = plan.rounds(study)[0]
    folder = archived(tmp_path / "20260203T040506Z-small", study, [], finished=False)
    (folder / "samples.csv").unlink()
    kept = RunFolder(folder, study)
    log = SampleLog(kept.boot_folder(1, 1) / "samples.jsonl")
    for visit in first.visits:
        metrics: dict[str, int | float] = {"work_us": 7, "pages": 8}
        log.append(Sample("small", 1, visit.order, Status.OK, visit.cell, metrics))
    log.close()
    kept.finish_round(1, 1, [])
    page, _ = texts(reading.read(folder))
    assert "The run has not come to its end: 4 of 8 samples" in page.text
    assert "SHA-256" in page.text
