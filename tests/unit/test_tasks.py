"""The command line as users meet it: names, help, and how fast it answers."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from invoke.collection import Collection

import tasks
from pibed.base.errors import UsageError
from pibed.commands import build, ktest, sweep
from pibed.commands.ktest import KtestOptions
from pibed.commands.sweep import SweepOptions
from tests.unit.helpers import ROOT

COLLECTION = Collection.from_module(tasks)
NAMES = sorted(COLLECTION.tasks)


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_list_names_every_task() -> None:
    result = run("./inv", "--list")
    assert result.returncode == 0
    listed = set(re.findall(r"^  (\S+)", result.stdout, re.MULTILINE))
    assert listed == set(NAMES)
    assert {"setup", "doctor", "build", "boot", "sweep", "test", "clean"} <= listed


@pytest.mark.parametrize("name", NAMES)
def test_task_is_explained(name: str) -> None:
    task: Any = COLLECTION.tasks[name]
    text = (task.__doc__ or "").strip()
    assert text.splitlines()[0].endswith(".")
    examples = re.findall(r"^ *Example: (.*)", text, re.MULTILINE)
    assert examples
    assert all(each.startswith((f"invoke {name}", f"./inv {name}")) for each in examples)
    undocumented = [
        argument.names for argument in task.get_arguments() if not (argument.help or "").strip()
    ]
    assert not undocumented


@pytest.mark.parametrize("name", NAMES)
def test_example_uses_options_that_exist(name: str) -> None:
    task: Any = COLLECTION.tasks[name]
    known = {
        f"--{option.replace('_', '-')}"
        for argument in task.get_arguments()
        for option in argument.names
    } | {f"--no-{a.name.replace('_', '-')}" for a in task.get_arguments() if a.kind is bool}
    examples = (task.__doc__ or "").partition("Example: ")[2]
    used = {word for word in examples.split() if word.startswith("--")}
    assert used <= known


@pytest.mark.parametrize("name", NAMES)
def test_tasks_with_builders_have_an_example_with_one(name: str) -> None:
    task: Any = COLLECTION.tasks[name]
    has = any("builder" in argument.names for argument in task.get_arguments())
    assert has == ("--builder buildroot" in (task.__doc__ or ""))


def test_options_of_several_words_are_named_as_they_are_given() -> None:
    with pytest.raises(UsageError, match=r"^--buildroot-dir cannot be given with --resume"):
        sweep.sweep(dataclasses.replace(SWEEP, resume="latest", buildroot_dir="/x"))


def test_help_is_printed() -> None:
    result = run(sys.executable, "-P", "-m", "invoke", "--help", "sweep")
    assert result.returncode == 0
    assert "Example: invoke sweep --sizes" in result.stdout


def test_unknown_option_is_named() -> None:
    result = run("./inv", "sweep", "--no-such-option")
    assert result.returncode != 0
    assert "no-such-option" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def no_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing can be built: a mistake that is not noticed before is an error of another kind."""
    monkeypatch.setenv("PIBED_CACHE", str(tmp_path / "two words"))


SWEEP = SweepOptions()


@pytest.mark.usefixtures("no_build")
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sizes": "64,,128"}, "--sizes 64,,128: a number is missing"),
        ({"sizes": "0"}, "--sizes 0: 0 is not from 1 to 1024"),
        ({"sizes": "64,64"}, "--sizes 64,64: 64 is there more than once"),
        ({"sizes": ""}, "--sizes : a number is missing"),
        ({"modes": "2"}, "--modes 2: 2 is not from 0 to 1"),
        ({"runs": "0"}, "--runs 0: expected a number from 1 to 10000"),
        ({"runs": "1,2"}, "--runs 1,2: expected one whole number"),
        ({"seed": "-1"}, "--seed -1: expected a number from 0"),
        ({"jobs": "x"}, "--jobs x: expected one whole number"),
        ({"clock": "wall"}, "--clock wall: expected one of: virtual, host, both"),
        ({"experiment": "none"}, "there is no experiment 'none'"),
        ({"machine": "none"}, "there is no machine 'none'"),
        ({"mirror": "/no/such"}, "--mirror /no/such: there is no such folder"),
    ],
)
def test_mistakes_of_the_user_are_told_before_anything_is_built(
    given: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        sweep.sweep(dataclasses.replace(SWEEP, **given))
    assert words in caught.value.message


KTEST = KtestOptions("pi2", "paging", None, False, *[None] * 5)


@pytest.mark.usefixtures("no_build")
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kernel": "6.6"}, "--kernel 6.6: expected one of: 6.1, 6.12"),
        ({"stress": "0"}, "--stress 0: expected a number from 1"),
        ({"seed": "x"}, "--seed x: expected one whole number"),
        ({"jobs": "0"}, "--jobs 0: expected a number from 1"),
        ({"tests": "fork,,mmap"}, "--tests fork,,mmap: a name is missing"),
        ({"tests": ""}, "--tests : a name is missing"),
        ({"suite": "none"}, "there is no suite 'none'"),
        ({"machine": "none"}, "there is no machine 'none'"),
    ],
)
def test_mistakes_in_ktest_are_told_before_anything_is_built(
    given: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        ktest.ktest(dataclasses.replace(KTEST, **given))
    assert words in caught.value.message


@pytest.mark.usefixtures("no_build")
def test_kernel_of_sweep_and_build_is_checked_before_anything_is_built() -> None:
    words = "--kernel 5.10: expected one of: 6.1, 6.12"
    with pytest.raises(UsageError, match=words):
        sweep.sweep(dataclasses.replace(SWEEP, kernel="5.10"))
    with pytest.raises(UsageError, match=words):
        build.build("pi2", "paging", "5.10", refresh=False)


@pytest.mark.usefixtures("no_build")
@pytest.mark.parametrize("name", ["two words", "a/b", "ä"])
def test_name_of_the_results_folder_before_anything_is_built(name: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        sweep.sweep(dataclasses.replace(SWEEP, name=name))


def test_boot_tells_its_own_mistakes_from_the_commands_status() -> None:
    result = run(sys.executable, "-P", "-m", "invoke", "boot", "--cmd", " ")
    assert result.returncode == 125
    assert result.stderr == "pibed: --cmd: expected one line with a command\n"


def test_boot_without_terminal() -> None:
    result = run(sys.executable, "-P", "-m", "invoke", "boot")
    assert result.returncode == 2
    assert "boot needs a terminal" in result.stderr


def test_list_imports_nothing_heavy() -> None:
    code = """
import sys, tasks
heavy = {"numpy", "scipy", "matplotlib", "pydantic", "rich", "jinja2", "pexpect"}
print(sorted(heavy & set(sys.modules)))
"""
    assert run(sys.executable, "-c", code).stdout == "[]\n"
