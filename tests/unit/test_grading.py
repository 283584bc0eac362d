"""Marks follow from a rubric and records alone, and nothing else gets into what is written."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import io
import json
import random
import re
import tarfile
import xml.etree.ElementTree as ET
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from pibed.base.errors import UsageError
from pibed.commands import arguments
from pibed.commands.grade import _resume_command
from pibed.commands.options import GradeOptions
from pibed.grade import feedback, gradescope, marks, overview, publish, records, submissions, table
from pibed.grade.cases import of_program
from pibed.grade.course import Course, guest_seconds
from pibed.grade.marks import Found, Graded, Run
from pibed.grade.nonce import nonce
from pibed.grade.records import UNLOAD, CaseResult, ChainResult, Measured, Review, Status, Why
from pibed.grade.submissions import Refused
from pibed.model.rubric import Hidden, Rubric, Scheme, load_scheme
from pibed.report.page import fenced
from tests.unit.helpers import ROOT

CRITERION = {"title": "Contents", "points": 10, "suite": "paging-lab", "cases": ["pages.zeroed"]}
MEASUREMENT = {
    "title": "Quick",
    "points": 5,
    "experiment": "paging",
    "metric": "mmap_us",
    "cell": {"demand_paging": 1, "size": 64},
    "limit": {"at_most_of_reference": 2},
}


def scheme(hidden: dict[str, Any] | None = None, **changes: Any) -> Scheme:
    data: dict[str, Any] = {
        "schema_version": 1,
        "name": "small",
        "title": "A small lab",
        "build": {"points": 5, "warnings": {"each": 0.1, "most": 2}},
        "criteria": {"contents": CRITERION},
        "measurements": {"quick": MEASUREMENT},
        "penalties": {"crash": {"each": 1.5, "most": 2}},
    }
    rubric = Rubric.model_validate(data | changes)
    if hidden is None:
        return Scheme(rubric)
    return Scheme(rubric, Hidden.model_validate({"schema_version": 1, **hidden}))


def run(case: str, status: Status, why: Why | None = None, **changes: Any) -> Run:
    result = CaseResult(case, status, why, "" if status == Status.PASSED else "it is 7")
    return dataclasses.replace(Run("one", 1, False, result), **changes)


def found(*runs: Run, review: Review | None = None, values: Any = None) -> Found:
    measured = Measured("", {"quick": values}) if values else None
    return Found(review or Review("", None), {"contents": runs}, (), measured)


def grade(its: Found, of: Scheme | None = None, **changes: Any) -> Graded:
    words = {"pages.zeroed": "Pages are zero."}
    reference = changes.pop("reference", {"quick": 10.0})
    return marks.grade(of or scheme(), "meier", "meier", "d" * 64, its, words, reference, **changes)


PASSED, FAILED, SKIPPED = Status.PASSED, Status.FAILED, Status.SKIPPED


def points(row: Graded) -> dict[str, str]:
    return {mark.name: str(mark.points) for mark in (*row.marks, *row.penalties)}


def test_everything_right_has_all_points() -> None:
    row = grade(found(run("pages.zeroed", PASSED), values=[12.0, 30.0, 20.0]))
    assert row.total == row.most == Decimal(20)
    assert row.cases == (4, 4)


def test_a_case_passes_only_where_it_did_in_all_variants_and_seeds() -> None:
    runs = [run("a.b", PASSED), run("a.b", FAILED, Why.CLAIM, variant="two", seed=7)]
    row = grade(found(*runs))
    assert points(row)["contents"] == "0.00"
    (item,) = row.marks[1].items
    assert item.seen == "it is 7 (variant two, seed 7)"
    assert item.again == "--case a.b --variant two --seed 7"


def test_other_ways_in_which_a_case_failed_are_told_as_such() -> None:
    claim, died = run("a.b", FAILED, Why.CLAIM), run("a.b", FAILED, Why.CRASH, variant="two")
    died = dataclasses.replace(died, result=dataclasses.replace(died.result, message="it died"))
    again = dataclasses.replace(claim, seed=2)
    left = CaseResult("a.b", FAILED, Why.NOT_RUN, "not run")
    not_run = run("a.b", FAILED, Why.NOT_RUN, variant="three", result=left)
    (item,) = grade(found(not_run, claim, again, died)).marks[1].items
    assert item.seen == (
        "it is 7 (variant one, seed 1, and 1 more of 4 runs); it died (variant two, seed 1)"
    )
    assert not item.not_run


def test_what_was_not_run_is_told_last_in_one_and_without_a_command() -> None:
    def of(case: str, why: Why, words: str) -> Run:
        return Run("one", 1, False, CaseResult(case, FAILED, why, words))

    row = grade(
        found(
            of("a.b", Why.NOT_RUN, "not run: lost before"),
            of("a.c", Why.CLAIM, "it is 7"),
            of("a.d", Why.NOT_RUN, "not run: lost before"),
        )
    )
    told = feedback.of(scheme(), row)
    (contents,) = (each for each in told.criteria if each.title == "Contents")
    first, last = contents.items
    assert first.name == "a.c"
    assert first.again.endswith("--case a.c --variant one --seed 1")
    assert last.name == "a.b, a.d"
    assert last.seen == "not run: lost before (variant one, seed 1)"
    assert last.again == ""
    # The points are those of three cases.
    assert contents.points == "0"


def test_penalties_say_in_which_run(tmp_path: Path) -> None:
    row = grade(found(run("a.b", FAILED, Why.CRASH, variant="two", seed=3)))
    ((item,),) = (mark.items for mark in row.penalties)
    assert item.seen == "it is 7 (variant two, seed 3)"
    assert item.again == "--case a.b --variant two --seed 3"
    its = dataclasses.replace(found(), unloads=(run(UNLOAD, FAILED, Why.CRASH),))
    ((item,),) = (mark.items for mark in grade(its).penalties)
    assert item.again == ""


def test_command_that_goes_on_has_all_that_the_grading_was_begun_with(tmp_path: Path) -> None:
    options = GradeOptions(
        submissions="my lab",
        results="/tmp/other results",
        rubric="r.yaml",
        only=("a b",),
        trust=True,
        cluster="local:2",
    )
    assert _resume_command(options, tmp_path / "run") == (
        "./inv grade 'my lab' --rubric r.yaml --results '/tmp/other results' --only 'a b' --trust "
        "--resume run"
    )
    assert _resume_command(GradeOptions(submissions="x"), tmp_path / "run") == (
        "./inv grade x --resume run"
    )


def test_a_skipped_case_counts_where_it_ran() -> None:
    assert points(grade(found(run("a.b", PASSED), run("a.b", SKIPPED))))["contents"] == "10.00"
    assert points(grade(found(run("a.b", SKIPPED), run("a.b", SKIPPED))))["contents"] == "0.00"


def test_shares_are_exact_to_the_cent() -> None:
    runs = [run("a.b", PASSED), run("a.c", FAILED, Why.CLAIM), run("a.d", FAILED, Why.CLAIM)]
    assert points(grade(found(*runs)))["contents"] == "3.33"


def test_award_all_gives_nothing_for_a_part() -> None:
    every = scheme(criteria={"contents": CRITERION | {"award": "all"}})
    runs = [run("a.b", PASSED), run("a.c", FAILED, Why.CLAIM)]
    assert points(grade(found(*runs), every))["contents"] == "0"
    assert points(grade(found(runs[0]), every))["contents"] == "10.0"


def test_warnings_cost_up_to_their_most() -> None:
    few = Review("", None, warnings=("a", "b", "c"))
    assert points(grade(found(review=few)))["build"] == "4.7"
    many = Review("", None, warnings=tuple(map(str, range(100))))
    assert points(grade(found(review=many)))["build"] == "3.0"


def test_what_does_not_build_has_no_points() -> None:
    row = grade(found(review=Review("", "paging.c:1: error: no", ("paging.c:1: error: no",))))
    assert row.total == 0
    assert row.problem == "paging.c:1: error: no"
    assert table.status(row) == "does not build"


def test_a_slow_host_gives_no_mark() -> None:
    slow = dataclasses.replace(found(run("a.b", PASSED)), not_graded="host too slow")
    for its in (slow, found(review=Review("", None, not_graded="the build took too long"))):
        row = grade(its)
        assert row.total is None
        assert row.problem.startswith("not graded: ")
        assert table.status(row) == "not graded"
        written = json.loads(gradescope.results(scheme(), row, feedback.of(scheme(), row)))
        assert "score" not in written
        assert written["tests"] == []


@pytest.mark.parametrize(
    ("limit", "value", "expected"),
    [
        ({"at_most": 10}, 10.0, True),
        ({"at_most": 10}, 10.5, False),
        ({"at_least": 10}, 9.0, False),
        ({"at_most_of_reference": 2}, 20.0, True),
        ({"at_most_of_reference": 2}, 20.1, False),
        ({"at_least_of_reference": 0.5}, 5.0, True),
        ({"at_least_of_reference": 0.5}, 4.0, False),
    ],
)
def test_limits(limit: dict[str, float], value: float, expected: bool) -> None:
    of = scheme(measurements={"quick": MEASUREMENT | {"limit": limit}})
    row = grade(found(values=[value]), of)
    assert (points(row)["quick"] == "5.0") is expected


def test_no_number_is_within_a_limit_by_a_reference_without_one() -> None:
    assert points(grade(found(values=[1.0]), reference=None))["quick"] == "0"


def test_penalties_count_a_case_once_and_end_at_their_most() -> None:
    crash = run("a.b", FAILED, Why.CRASH)
    row = grade(found(crash, run("a.b", FAILED, Why.CRASH, variant="two")))
    assert points(row)["crash"] == "-1.5"
    row = grade(found(crash, run("a.c", FAILED, Why.CRASH), run("a.d", FAILED, Why.HANG)))
    assert points(row)["crash"] == "-2.0"
    assert "hang" not in points(row)


def test_no_total_is_below_zero() -> None:
    of = scheme(penalties={"crash": {"each": 100, "most": 100}})
    assert grade(found(run("a.b", FAILED, Why.CRASH)), of).total == 0


def test_order_of_runs_changes_no_byte() -> None:
    """As in a thousand gradings by any number of jobs."""
    runs = [
        run(f"pages.{name}", FAILED if name == "c" else PASSED, variant=variant)
        for name in "abcd"
        for variant in ("one", "two")
    ]
    names = [f"s{number}" for number in range(5)]
    generator = random.Random(1)
    texts = set()
    for _ in range(1000):
        generator.shuffle(names)
        rows = {name: dataclasses.replace(grade(found(*runs)), name=name) for name in names}
        texts.add(table.to_csv(scheme(), [rows[name] for name in sorted(rows)]))
    assert len(texts) == 1


def test_csv_is_no_formula() -> None:
    row = dataclasses.replace(grade(found()), name="=1+1", problem="@x")
    (line,) = csv.DictReader(io.StringIO(table.to_csv(scheme(), [row])))
    assert line["submission"] == "'=1+1"
    assert line["problem"] == "'@x"


@pytest.mark.parametrize("show", ["verdict", "nothing"])
def test_students_are_told_no_more_than_the_rubric_says(show: str, tmp_path: Path) -> None:
    hidden = {"secret": "s" * 16, "criteria": {"other": CRITERION | {"show": show}}}
    of = scheme(hidden)
    result = CaseResult("pages.secret_case", FAILED, Why.CLAIM, "the secret message", ("detail",))
    its = Found(Review("", None), {"other": [Run("one", 1, False, result)]}, (), None)
    row = grade(its, of)
    publish.write_feedback(tmp_path, of, row, feedback.of(of, row))
    for name in (*feedback.NAMES, "results.json"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "the secret message" not in text
        assert "detail" not in text
        assert "--case" not in text
        told = text.replace("\\_", "_")
        assert ("pages.secret_case" in told) is (show == "verdict")


def test_nothing_that_was_handed_in_acts_on_a_page(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    review = Review("", evil, (evil,))
    row = dataclasses.replace(grade(found(review=review)), name=evil)
    publish.write(tmp_path, scheme(), [row], {"quick": "µs"})
    for name in ("grades.html", "submissions/meier/feedback.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert evil not in text
        assert "&lt;script&gt;alert(1)" in text
        assert "default-src 'none'" in text
    assert "http" not in re.sub(r"http-equiv", "", (tmp_path / "grades.html").read_text("utf-8"))


def test_nothing_that_was_handed_in_is_markdown(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> [x](//evil)"
    review = Review("", evil, (evil, "  # more"))
    row = dataclasses.replace(grade(found(review=review)), name=evil)
    publish.write(tmp_path, scheme(), [row], {"quick": "µs"})
    text = (tmp_path / "submissions" / "meier" / "feedback.md").read_text(encoding="utf-8")
    html = MarkdownIt().render(text)
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt; [x](//evil)") >= 3
    assert "<script" not in html
    assert "<a " not in html
    assert re.search(r"<pre><code[^>]*> *&lt;script", html)


def test_the_only_script_of_the_table_is_its_own(tmp_path: Path) -> None:
    publish.write(tmp_path, scheme(), [grade(found())], {"quick": "µs"})
    text = (tmp_path / "grades.html").read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


def test_no_submission_is_in_the_place_of_the_reference(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    assert [each.slug for each in submissions.find(tmp_path)] == ["reference-2"]


def test_gradescope_gets_a_test_a_criterion(tmp_path: Path) -> None:
    row = grade(found(run("pages.zeroed", FAILED, Why.CRASH), values=[15.0]))
    publish.write(tmp_path, scheme(), [row], {"quick": "µs"})
    data = json.loads((tmp_path / "submissions" / "meier" / "results.json").read_text("utf-8"))
    assert data["score"] == 8.5
    assert sum(each["score"] for each in data["tests"]) == 8.5
    assert {"name", "score", "max_score", "output", "visibility", "status"} == set(data["tests"][0])
    root = ET.parse(tmp_path / "junit.xml").getroot()
    assert root.get("failures") == "1"


def test_overview_counts_all_but_the_reference() -> None:
    good = grade(found(run("a.b", PASSED), values=[10.0]))
    reference = dataclasses.replace(good, name="reference", is_reference=True)
    bad = grade(found(review=Review("", "no")))
    page = overview.of(scheme(), [reference, good, bad], {"quick": "µs"})
    assert [bar.count for bar in page.bars] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert page.summary == (
        "2 submissions; of 20 points the median is 10, the mean 10; 1 does not build"
    )
    assert [dot.is_reference for dot in page.strips[0].dots].count(True) == 1
    assert len({len(row.cells) for row in page.rows}) == 1
    assert len(page.columns) == len(page.rows[0].cells) + 2


def test_records_come_back_as_they_were_unless_something_else_is_asked(tmp_path: Path) -> None:
    cases = (CaseResult("a.b", FAILED, Why.LATE, "late", ("x", "y"), "boots/1"),)
    all_: list[Any] = [
        Review("k", None, ("a",), ("w",)),
        ChainResult("k", cases),
        Measured("k", {"quick": [1.0, 2.0]}, {"slow": "no"}),
    ]
    for number, record in enumerate(all_):
        path = tmp_path / f"{number}.json"
        records.write(path, record)
        assert records.read(type(record), path, "k") == record
        assert records.read(type(record), path, "other") is None
        late = dataclasses.replace(record, not_graded="host too slow")
        records.write(path, late)
        assert records.read(type(record), path, "k") is None
        path.write_text(path.read_text()[:20])
        assert records.read(type(record), path, "k") is None


def test_nonces_are_the_same_again_and_nobody_elses() -> None:
    known = nonce(b"secret", "digest", "suite", "variant", 1, 1, "pages.zeroed")
    assert known == nonce(b"secret", "digest", "suite", "variant", 1, 1, "pages.zeroed")
    assert re.fullmatch("[0-9a-f]{16}", known)
    others = {nonce(b"secret", "digest", "suite", "variant", 1, n, "pages.zeroed") for n in (2, 3)}
    others |= {nonce(b"another", "digest", "suite", "variant", 1, 1, "pages.zeroed")}
    others |= {nonce(b"secret", "digest", "suite", "variant", 1, 1, "unload")}
    assert known not in others
    assert len(others) == 4


def test_deadlines_are_instructions() -> None:
    machine = arguments.machine("pi2", None)
    assert guest_seconds(machine, 5_000_000_000) == 10.0


def test_submissions_have_names_for_any_file_system(tmp_path: Path) -> None:
    for name in ("Meier", "meier", "two\nlines", "=1+1", "ü ö", "-x"):
        (tmp_path / name).mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "lab.tar.gz").touch()
    found_ = submissions.find(tmp_path)
    slugs = [each.slug for each in found_]
    assert len(found_) == 7
    assert len({slug.lower() for slug in slugs}) == 7
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", slug) for slug in slugs)
    assert all(each.name.isprintable() for each in found_)
    assert "lab" in slugs


def test_a_folder_without_submissions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither folders nor archives"):
        submissions.find(tmp_path)
    with pytest.raises(UsageError, match="there is no such folder"):
        submissions.find(tmp_path / "none")
    (tmp_path / "src").mkdir()
    (tmp_path / "Kbuild").touch()
    with pytest.raises(UsageError, match="looks like a single submission"):
        submissions.find(tmp_path)


def test_the_same_files_are_the_same_submission(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "lab").mkdir(parents=True)
        (tmp_path / name / "lab" / "Kbuild").write_text("obj-m := x.o\n")
        (tmp_path / name / ".git").mkdir()
        (tmp_path / name / ".git" / "config").write_text(name)
    first, second = (submissions.take_in(tmp_path / name, tmp_path / "store") for name in "ab")
    assert first == second
    assert first.module == first.folder / "lab"


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    import os

    (tmp_path / "a").mkdir()
    if kind == "link":
        (tmp_path / "a" / "x.c").symlink_to("/etc/passwd")
    else:
        os.mkfifo(tmp_path / "a" / "x.c")
    with pytest.raises(Refused, match=r"x\.c: it is "):
        submissions.take_in(tmp_path / "a", tmp_path / "store")


def test_a_submission_without_a_makefile_says_so(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(Refused, match="the submission is empty"):
        _ = submissions.take_in(tmp_path / "a", tmp_path / "store").module


def test_links_are_part_of_a_submission_and_lead_to_no_other_folder(tmp_path: Path) -> None:
    """Two links to where they are would be two to the power of forty folders."""
    taken = []
    for name, target in (("a", "."), ("b", "source")):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            (tmp_path / "x.c").touch()
            archive.add(tmp_path / "x.c", "source/x.c")
            archive.add(tmp_path / "x.c", "x.c")
            for number in range(2):
                link = tarfile.TarInfo(f"link{number}")
                link.type, link.linkname = tarfile.SYMTYPE, target
                archive.addfile(link)
        taken.append(submissions.take_in(tmp_path / f"{name}.tar", tmp_path / "store"))
    assert taken[0].digest != taken[1].digest
    with pytest.raises(Refused, match="no file Kbuild or Makefile: none of its 2 files is one"):
        _ = taken[0].module


def test_the_rubric_of_the_paging_lab_is_whole() -> None:
    known = load_scheme("paging-lab", with_hidden=True)
    assert known.points == 100
    course = Course.of(known, arguments.machine(None, None))
    chains = list(course.chains())
    assert {str(chain) for chain, _, _ in chains} == {
        "paging-lab, demand-paging, seed 1",
        "paging-lab, pre-paging, seed 1",
    }
    words: dict[str, str] = {}
    for program in course.payloads["paging-lab"].compiled:
        words |= of_program(program.sources[0])
    for _, _, tasks in chains:
        assert tasks.keys() <= words.keys()
    assert UNLOAD not in words


RUBRIC = """schema_version: 1
name: mine
title: Mine
build: {points: 1}
criteria:
  contents: {title: C, points: 1, suite: paging-lab, cases: [CASES]}
hidden: hidden.yaml
"""


def test_a_rubric_is_a_file_anywhere_and_what_it_hides_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "rubric.yaml"
    path.write_text(RUBRIC.replace("CASES", "pages.zeroed"), encoding="utf-8")
    assert load_scheme(str(path), with_hidden=False).points == 2
    with pytest.raises(UsageError, match=r"hidden: there is no file .*hidden\.yaml"):
        load_scheme(str(path), with_hidden=True)
    more = "schema_version: 1\nsecret: 0123456789abcdef\ncriteria:\n  NAME: "
    more += "{title: H, points: 3, suite: paging-lab, cases: [pages.offset]}\n"
    (tmp_path / "hidden.yaml").write_text(more.replace("NAME", "contents"), encoding="utf-8")
    with pytest.raises(UsageError, match="contents is there twice"):
        load_scheme(str(path), with_hidden=True)
    (tmp_path / "hidden.yaml").write_text(more.replace("NAME", "more"), encoding="utf-8")
    known = load_scheme(str(path), with_hidden=True)
    assert known.points == 5
    course = Course.of(known, arguments.machine(None, None))
    assert [chain.hidden for chain, _, _ in course.chains()] == [False, False, True, True]
    assert known.secret == b"0123456789abcdef"


def test_a_rubric_with_a_case_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rubric.yaml"
    path.write_text(RUBRIC.replace("CASES", "pages.zeroes"), encoding="utf-8")
    with pytest.raises(UsageError, match=r"mine: contents: cases: .*pages\.zeroes"):
        Course.of(load_scheme(str(path), with_hidden=False), arguments.machine(None, None))


def test_templates_are_in_the_package() -> None:
    names = {path.name for path in (ROOT / "pibed" / "grade" / "templates").iterdir()}
    assert {"grades.html.j2", "feedback.html.j2", "feedback.md.j2", "sort.js"} <= names


def test_details_cannot_end_their_block_of_code() -> None:
    assert fenced(["one", "  two"]) == "```\none\n  two\n```"
    assert fenced(["```", "# my own heading"]) == "````\n```\n# my own heading\n````"
    assert fenced(["a ````` b"]).startswith("``````\n")
