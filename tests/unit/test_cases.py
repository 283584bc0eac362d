"""Tests are read from the C sources of their programs, and chosen before anything is built."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pibed.base.errors import UsageError
from pibed.build import payload
from pibed.build.program import Program
from pibed.ktest.cases import TableEntry, choose, read_tests
from pibed.model.suite import load_suite
from tests.unit.helpers import ROOT

PROGRAMS = payload.of_suite(load_suite("paging")).compiled
TESTS = read_tests([program.sources[0] for program in PROGRAMS])

TABLE = """\
// { .name = "line comment" }
static const struct ktap_case cases[] = {
\t{ .name = "one", .run = one },
\t/* { .name = "gone", .run = gone }, */
\t{ .run = two, .timeout_s = 2 * LONG_S, .name = "two" },
\t{
\t\t.name = "three",
\t\t.run = three,
\t\t.timed = true,
\t},
};
struct other cases[] = { { .name = "no case" } };
"""


def test_a_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "prog.c").write_text(TABLE)
    assert read_tests([tmp_path / "prog.c"]) == [
        TableEntry("prog", "one", timed=False, slow=False),
        TableEntry("prog", "two", timed=False, slow=True),
        TableEntry("prog", "three", timed=True, slow=False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "int main(void) { return 0; }",
        "static const struct ktap_case cases[] = { };",
        'static const struct ktap_case cases[] = { { "a", a } };',
    ],
)
def test_a_program_without_a_table_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "prog.c").write_text(text)
    with pytest.raises(UsageError, match=r"prog\.c: it has no table of its cases"):
        read_tests([tmp_path / "prog.c"])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.c"):
        read_tests([tmp_path / "none.c"])


@pytest.mark.parametrize("program", PROGRAMS, ids=[each.name for each in PROGRAMS])
def test_what_is_read_is_what_the_program_lists(program: Program, tmp_path: Path) -> None:
    binary = tmp_path / program.name
    subprocess.run(
        # The call is 32-bit ARM's.
        ["gcc", "-std=gnu2x", "-pthread", "-DSYS_mmap2=0", "-o", binary, *program.sources],
        check=True,
    )

    def listed(seconds: int) -> dict[str, int]:
        options = ["--seconds", str(seconds), "--list"]
        done = subprocess.run([binary, *options], check=True, capture_output=True, text=True)
        return {name: int(limit) for name, limit in map(str.split, done.stdout.splitlines())}

    short, long = listed(10), listed(20)
    tests = [test for test in TESTS if test.program == program.name]
    assert [test.name for test in tests] == list(short)
    assert {test.name for test in tests if test.timed} == {
        name for name in short if long[name] == short[name] + 10
    }


def test_all_are_chosen_unless_some_are_named() -> None:
    assert choose(TESTS, None) == TESTS
    assert choose(TESTS, "*") == TESTS
    assert {test.program for test in choose(TESTS, "fork, mmap")} == {"fork", "mmap"}
    assert list(map(str, choose(TESTS, "*.zeroed,stress.random"))) == [
        "mmap.zeroed",
        "placement.zeroed",
        "stress.random",
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("frok", "--tests frok: no test is called frok; near are: fork"),
        ("fork,mmap.zeroes", "no test is called mmap.zeroes; near are: mmap.zeroed"),
        ("zeroe", "no test is called zeroe; near are: zeroed"),
        ("~~~", "no test is called ~~~"),
        ("fork,,mmap", "--tests fork,,mmap: a name is missing"),
        ("", "--tests : a name is missing"),
    ],
)
def test_what_matches_no_test_is_explained(given: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose(TESTS, given)
    assert words in caught.value.message
    assert caught.value.fix is not None


def test_programs_of_the_suite_are_the_example() -> None:
    with pytest.raises(UsageError) as caught:
        choose([TableEntry(name, "x", False, False) for name in ("one", "two", "three")], "")
    assert caught.value.fix == "separate names by commas: --tests one,two"


LIST_TESTS = ROOT / "buildroot/board/pibed/pi2/overlay/usr/lib/pibed/list-tests"


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_all_programs_of_a_folder_list_their_cases(tmp_path: Path) -> None:
    program(tmp_path / "fork", '[ "$*" = "--seed 1 --list" ] && printf "one 60\\ntwo 5\\n"')
    program(tmp_path / "mmap", "echo one 7")
    command = [str(LIST_TESTS), str(tmp_path), "--seed", "1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["fork one 60", "fork two 5", "mmap one 7"]


@pytest.mark.parametrize("text", ["exit 0", "echo one 60; exit 3"])
def test_a_program_that_lists_nothing_is_named(tmp_path: Path, text: str) -> None:
    program(tmp_path / "mmap", text)
    program(tmp_path / "fork", "echo one 60")
    done = subprocess.run([LIST_TESTS, tmp_path], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "mmap lists nothing")
