"""What is made of a case's output; how cases run is seen in the live tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed.base.errors import UsageError
from pibed.commands import build
from pibed.commands.ktest import ktest
from pibed.commands.options import KtestOptions
from pibed.ktest import judge
from pibed.ktest.judge import Verdict
from pibed.ktest.runner import Case
from pibed.model.protocol import Result


def judged(*lines: str, status: int = 0, names: str = "shared") -> list[Verdict]:
    result = Result("fork", status, timed_out=False, truncated=False, output=lines)
    return judge.judge(result, names.split())


def test_passed_with_its_notes_and_time() -> None:
    lines = ("KTAP version 1", "1..1", "# seed 1", "# time 0.250 s", "ok 1 shared")
    assert judged(*lines) == [("passed", 0.25, "", ("seed 1",))]


def test_failed_says_why_in_one_line() -> None:
    lines = ("KTAP version 1", "1..1", "# fork.c:3: no", "# more", "not ok 1 shared")
    notes = ("fork.c:3: no", "more")
    assert judged(*lines, status=1) == [("failed", 0.0, "fork.c:3: no", notes)]


def test_failed_without_a_word() -> None:
    lines = ("KTAP version 1", "1..1", "# time 1.000 s", "not ok 1 shared")
    assert judged(*lines, status=1) == [("failed", 1.0, "no reason given", ())]


def test_skipped_with_its_reason() -> None:
    lines = ("KTAP version 1", "1..1", "ok 1 shared # SKIP no fault injection")
    assert judged(*lines) == [("skipped", 0.0, "no fault injection", ())]


def test_stopped_at_the_first_failure() -> None:
    lines = ("KTAP version 1", "1..3", "ok 1 a", "# why", "not ok 2 b", "Bail out! stopped")
    assert [each[0] for each in judged(*lines, status=1, names="a b c")] == ["passed", "failed"]


def test_ended_in_the_middle_fails_the_case_that_ran() -> None:
    lines = ("KTAP version 1", "1..3", "ok 1 a", "Bail out! a process cannot be killed")
    verdicts = judged(*lines, status=1, names="a b c")
    assert [each[0] for each in verdicts] == ["passed", "failed"]
    assert verdicts[1][2] == "not KTAP: Bail out! a process cannot be killed"


@pytest.mark.parametrize(
    ("timed_out", "words"),
    [(True, "killed at the deadline"), (False, "more than 64 KiB were printed")],
)
def test_what_was_cut_off_has_failed_whatever_it_printed(timed_out: bool, words: str) -> None:
    for lines in ((), ("KTAP version 1", "1..1", "ok 1 shared")):
        result = Result("fork", 137, timed_out, not timed_out, lines)
        assert judge.judge(result, ["shared"]) == [("failed", 0.0, words, lines)]


@pytest.mark.parametrize(
    ("lines", "status", "words"),
    [
        ((), 0, "not KTAP: there is no line 'KTAP version 1'"),
        (("Segmentation fault",), 139, "not KTAP"),
        (("KTAP version 1", "1..1"), 0, "not KTAP: 0 of 1 results"),
        (
            ("KTAP version 1", "1..1", "# time 1.000 s", "# a.c:3: no", "# more"),
            1,
            "a.c:3: no (not KTAP: 0 of 1 results are there)",
        ),
        (("KTAP version 1", "1..2", "ok 1 shared", "ok 2 b"), 0, "2 results instead of 1"),
        (
            ("KTAP version 1", "1..1", "ok 1 other"),
            0,
            "expected a result of shared, not of 'other'",
        ),
        (("KTAP version 1", "1..1", "ok 1 shared"), 1, "everything passed, and yet status 1"),
    ],
)
def test_what_cannot_be_believed_has_failed(
    lines: tuple[str, ...], status: int, words: str
) -> None:
    (verdict,) = judged(*lines, status=status)
    assert verdict[0] == "failed"
    assert words in verdict[2]


def test_kernel_names_a_case_by_program_and_number() -> None:
    assert Case("introspect", "core_dump", 12, 60).comm == "introspect.12"
    assert Case("introspection", "core_dump", 12, 60).comm == "introspect.12"
    # The kernel keeps 15 characters (TASK_COMM_LEN).
    assert len(Case("x" * 30, "y", 9999, 60).comm) <= 15


LEAKS = """\
unreferenced object 0xc2a3b000 (size 64):
  comm "fork.3", pid 101, jiffies 1234 (age 10.000s)
  hex dump (first 32 bytes):
    01 00 00 00 00 00 00 00  ........
  backtrace:
    [<(ptrval)>] paging_mmap+0x10/0x20 [kmod_paging]
unreferenced object 0xc2a3c000 (size 64):
  comm "split.1", pid 102, jiffies 1240 (age 9.000s)
  backtrace:
unreferenced object 0xc2a3d000 (size 64):
  comm "fork.3", pid 101, jiffies 1250 (age 9.000s)
  backtrace:
"""


def test_leaks_by_the_process_that_allocated_them() -> None:
    reports = judge.leaks_by_owner(LEAKS.splitlines())
    assert list(reports) == ["fork.3", "split.1"]
    assert [line for line in reports["fork.3"] if line.startswith("unreferenced")] == [
        "unreferenced object 0xc2a3b000 (size 64):",
        "unreferenced object 0xc2a3d000 (size 64):",
    ]
    assert "    [<(ptrval)>] paging_mmap+0x10/0x20 [kmod_paging]" in reports["fork.3"]
    assert judge.leaks_by_owner([]) == {}


def test_a_name_that_no_test_has_is_an_error_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_nothing(*arguments: object, **options: object) -> None:
        raise AssertionError("something is built")

    monkeypatch.setattr(build, "make_payload_images", build_nothing)
    options = KtestOptions(
        machine="pi2",
        suite="paging",
        kernel=None,
        debug=False,
        tests="frok",
        stress=None,
        seed=None,
        jobs=None,
        results=str(tmp_path / "results"),
    )
    with pytest.raises(UsageError, match="--tests frok: no test is called frok; near are: fork"):
        ktest(options)
    assert not (tmp_path / "results").exists()
