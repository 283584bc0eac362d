"""The command line as users meet it: names, help, and how fast it answers."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from invoke.collection import Collection
from invoke.program import Program

import tasks
from pibed.base import places
from pibed.base.errors import UsageError
from pibed.commands import build, configured, ktest, options, sweep
from pibed.commands import test as own_tests
from pibed.commands.options import BuildOptions, KtestOptions, SweepOptions
from pibed.commands.verb import verb
from pibed.model.experiment import load_experiment
from pibed.model.optionname import TAKEN, mistake
from tests.unit.helpers import ROOT

# What the experiments that are there declare for sweep.
DECLARED = set(configured.read(ROOT / "configs").options("sweep"))
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
    assert all(each.startswith(f"./inv {name}") for each in examples)
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
    assert "Example: ./inv sweep --sizes" in result.stdout


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
        ({"declared": {"sizes": "64,,128"}}, "--sizes 64,,128: a number is missing"),
        ({"declared": {"sizes": "0"}}, "--sizes 0: 0 is not from 1 to 1024"),
        ({"declared": {"sizes": "64,64"}}, "--sizes 64,64: 64 is there more than once"),
        ({"declared": {"sizes": ""}}, "--sizes : a number is missing"),
        ({"declared": {"modes": "2"}}, "--modes 2: 2 is not from 0 to 1"),
        ({"set": ("size=64,,128",)}, "--set size=64,,128: a number is missing"),
        ({"set": ("size=0",)}, "--set size=0: 0 is not from 1 to 1024"),
        ({"set": ("size=64,64",)}, "--set size=64,64: 64 is there more than once"),
        ({"set": ("size=",)}, "--set size=: a number is missing"),
        ({"set": ("size",)}, "--set size: '=' is missing"),
        ({"set": ("=64",)}, "--set =64: the name is missing"),
        ({"set": ("size=64", "size=128")}, "--set size=128: size is set twice"),
        ({"set": ("sizes=64",)}, "--set sizes=64: the experiment paging has no parameter sizes"),
        (
            {"set": ("size=64",), "declared": {"sizes": "128"}},
            "--set size=64: --sizes 128 sets it already",
        ),
        (
            {"set": ("demand_paging=eager",)},
            "--set demand_paging=eager: 'eager' is not a whole number, nor one of: demand paging, "
            "pre-paging",
        ),
        (
            {"experiment": "balance", "declared": {"sizes": "64"}},
            "--sizes: the experiment balance has no such option",
        ),
        ({"runs": "0"}, "--runs 0: expected a number from 1 to 10000"),
        ({"runs": "1,2"}, "--runs 1,2: expected one whole number"),
        ({"seed": "-1"}, "--seed -1: expected a number from 0"),
        ({"jobs": "x"}, "--jobs x: expected one whole number"),
        ({"clock": "wall"}, "--clock wall: expected one of: virtual, board, host, both"),
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


KTEST = KtestOptions()


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
        ({"param": ("log",)}, "--param log: '=' is missing"),
        ({"param": ("log=",)}, "--param log=: expected a value, in one line"),
        ({"param": ("lazy=1",)}, "--param lazy=1: the module kmod_paging has no parameter lazy"),
        (
            {"param": ("log=faults", "demand_paging=2")},
            "--param log=faults, --param demand_paging=2: no variant of the suite paging agrees",
        ),
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
@pytest.mark.parametrize(
    ("full", "live", "checks"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_extents_of_the_tests_exclude_each_other(full: bool, live: bool, checks: bool) -> None:
    with pytest.raises(UsageError, match="--full, --no-live and --checks exclude each other"):
        own_tests.test(options.TestOptions(full=full, live=live, checks=checks))


@pytest.mark.usefixtures("no_build")
def test_kernel_of_sweep_and_build_is_checked_before_anything_is_built() -> None:
    words = "--kernel 5.10: expected one of: 6.1, 6.12"
    with pytest.raises(UsageError, match=words):
        sweep.sweep(dataclasses.replace(SWEEP, kernel="5.10"))
    with pytest.raises(UsageError, match=words):
        build.build(BuildOptions(kernel="5.10"))


@pytest.mark.usefixtures("no_build")
@pytest.mark.parametrize("name", ["two words", "a/b", "ä"])
def test_name_of_the_results_folder_before_anything_is_built(name: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        sweep.sweep(dataclasses.replace(SWEEP, name=name))


def test_boot_tells_its_own_mistakes_from_the_commands_status() -> None:
    result = run(sys.executable, "-P", "-m", "invoke", "boot", "--cmd", " ")
    assert result.returncode == 125
    assert result.stderr == "pibed: --cmd: expected one line with a command\n"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--demand-paging", "2"), "--demand-paging 2: 2 is not from 0 to 1"),
        (("--demand-paging", "0,1"), "--demand-paging 0,1: expected one value"),
        (("--param", "demand_paging=2"), "--param demand_paging=2: 2 is not from 0 to 1"),
        (("--param", "log"), "--param log: '=' is missing"),
        (("--timeout", ""), "--timeout : expected one whole number"),
        (("--seed", ""), "--seed : expected one whole number"),
        (("--clock", ""), "--clock : expected one of: virtual, board, host"),
        (("--param", "x=1"), "--param x=1: the module kmod_paging has no parameter x"),
        (
            ("--demand-paging", "0", "--param", "demand_paging=0"),
            "--param demand_paging=0: --demand-paging 0 sets it already",
        ),
    ],
)
@pytest.mark.usefixtures("no_build")
def test_mistakes_in_boot_are_told_before_anything_is_built(
    given: tuple[str, ...], words: str
) -> None:
    result = run("./inv", "boot", "--cmd", "true", *given)
    assert result.returncode == 125
    assert result.stderr.startswith(f"pibed: {words}")


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


def test_alone_it_says_how_to_begin() -> None:
    for arguments in ((), ("help",), ("--help",)):
        result = run("./inv", *arguments)
        assert (result.returncode, result.stderr) == (0, "")
        assert "./inv setup" in result.stdout
        assert "./inv --list" in result.stdout
        assert len(result.stdout.splitlines()) < 10


@pytest.mark.parametrize("name", ["sweep", "report"])
def test_help_of_a_task_on_either_side_of_it(name: str) -> None:
    before = run("./inv", "--help", name)
    assert before.returncode == 0
    assert before.stdout.startswith(f"Usage: ./inv [--core-opts] {name} [--options]")
    assert run("./inv", name, "--help").stdout == before.stdout
    assert run("./inv", "help", name).stdout == before.stdout


def test_options_that_experiments_declare_are_explained() -> None:
    text = " ".join(run("./inv", "--help", "sweep").stdout.split()).replace("pre- ", "pre-")
    assert "--sizes=STRING values of size, such as 64,128,256,512 (experiments" in text
    assert "--modes=STRING values of demand_paging: 1 (demand paging), 0 (pre-paging)" in text
    text = " ".join(run("./inv", "--help", "boot").stdout.split())
    assert "--demand-paging=STRING load the module with this value of demand_paging" in text
    assert "--sizes" not in text


def test_every_task_calls_a_function_that_takes_its_options() -> None:
    for name, record, function in tasks.VERBS:
        module, _, attribute = function.partition(":")
        call = getattr(import_module(f"pibed.commands.{module}"), attribute)
        (parameter,) = inspect.signature(call).parameters.values()
        assert parameter.annotation == record.__name__, name


def test_no_option_has_a_letter() -> None:
    for task in COLLECTION.tasks.values():
        assert all(len(argument.names) == 1 for argument in task.get_arguments())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """Try.

    Example: ./inv try
    """

    run: str = options.argument("a run")
    one: str | None = options.option("one, of {machine}")
    on: bool = options.flag("off by default")
    off: bool = options.flag("on by default", default=True)
    each: tuple[str, ...] = options.repeated("several")
    declared: Mapping[str, str] = options.declared()


def given(monkeypatch: pytest.MonkeyPatch, *argv: str, option: str = "all-sizes") -> Any:
    """What the function of a task gets for a command line."""
    found: list[Any] = []
    monkeypatch.setattr(sweep, "sweep", found.append)
    declaration = configured.Declaration("try", option, "paging", "values of size")
    known = configured.Configured({"machine": "pi9"}, (declaration,), ())
    task = verb("try", Given, "pibed.commands.sweep:sweep", known)
    assert "one, of pi9" in [argument.help for argument in task.get_arguments()]
    task = verb("try", Given, "pibed.commands.sweep:sweep", known)
    Program(namespace=Collection(task), version="1").run(["inv", "try", *argv], exit=False)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("argv", "runs", "results"),
    [
        (["a"], ("a",), None),
        (["a", "b", "c"], ("a", "b", "c"), None),
        (["--results", "r", "a", "b"], ("a", "b"), "r"),
        (["a", "--results", "r", "b"], ("a", "b"), "r"),
        (["a", "--results=r", "--no-report", "b"], ("a", "b"), "r"),
        # Words, as names of tasks are.
        (["try", "b", "--name", "n"], ("try", "b"), None),
        (["--run", "a", "b"], ("a", "b"), None),
    ],
)
def test_argument_of_several_words(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], runs: tuple[str, ...], results: str | None
) -> None:
    found: list[Any] = []
    monkeypatch.setattr(sweep, "sweep", found.append)
    monkeypatch.setattr(sys, "argv", ["inv", "--search-root", "/x", "try", *argv])
    known = configured.Configured({}, (), ())
    task = verb("try", options.MergeOptions, "pibed.commands.sweep:sweep", known)
    Program(namespace=Collection(task), version="1").run(["inv", "try", *argv], exit=False)
    (record,) = found
    assert (record.run, record.results) == (runs, results)


def test_an_argument_of_several_words_needs_one() -> None:
    result = run("./inv", "merge")
    assert result.returncode == 1
    assert "did not receive required positional arguments: 'run'" in result.stderr


def test_record_of_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, "latest") == Given(run="latest")
    argv = ("latest", "--one=1", "--on", "--no-off", "--each", "a=1,2", "--each=b=3")
    assert given(monkeypatch, *argv, "--all-sizes", "4") == Given(
        run="latest",
        one="1",
        on=True,
        off=False,
        each=("a=1,2", "b=3"),
        declared={"all-sizes": "4"},
    )
    assert given(monkeypatch) is None


def test_option_that_a_verb_has_already_is_not_an_experiments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    declaration = configured.Declaration("try", "one", "paging", "values of size")
    known = configured.Configured({"machine": "pi9"}, (declaration,), ())
    task = verb("try", Given, "pibed.commands.sweep:sweep", known)
    assert len(task.get_arguments()) == 5
    assert capsys.readouterr().err == (
        "pibed: configs/experiments/paging.yaml: --one is an option of try already\n"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: b: c", ":1:5: not valid YAML: "),
        ("name: x", ": it is not as docs/configuration.md describes it"),
        ("- x", ": it is not as docs/configuration.md describes it"),
        ("parameters: {a: {values: 3, options: {sweep: as}}}", ": it is not as docs/conf"),
        ("", ": it is not as docs/configuration.md describes it"),
    ],
)
def test_file_that_cannot_be_read_does_not_hide_the_others(
    tmp_path: Path, text: str, words: str
) -> None:
    shutil.copytree(ROOT / "configs", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "experiments" / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    found = configured.read(tmp_path)
    (problem,) = found.problems
    assert problem.startswith(f"{path}{words}")
    assert problem.endswith("; the options that it declares are unknown")
    assert set(found.options("sweep")) == DECLARED >= {"sizes", "modes"}
    (tmp_path / "defaults.yaml").unlink()
    assert configured.read(tmp_path).problems[0].endswith("No such file or directory")


def test_names_that_invoke_has_are_taken() -> None:
    own = Program().core_args() + Program().task_args()
    long = {name for each in own for name in each.names if len(name) > 1}
    assert {name for name in long if mistake(name) is None} == set()
    assert long - {"no-dedupe"} == TAKEN


def paging_with(folder: Path, old: str, new: str) -> Path:
    """A copy of configs/ that has another experiment, with one text replaced."""
    shutil.copytree(ROOT / "configs", folder, dirs_exist_ok=True)
    text = (ROOT / "configs" / "experiments" / "paging.yaml").read_text(encoding="utf-8")
    assert old in text
    path = folder / "experiments" / "other.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


TITLE = "title: Demand paging against pre-paging"
NESTED = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (TITLE, "title: 2026-13-45"),
        (TITLE, f"title: {'9' * 5000}"),
        (TITLE, "title: !!int ''"),
        pytest.param(TITLE, f"title: {NESTED}", id="nested"),
        pytest.param(TITLE, f"title: {'{a: ' * 100_000}x{'}' * 100_000}", id="mappings"),
        pytest.param(TITLE, f"title:\n  {'- ' * 100_000}x", id="lists"),
        *(
            ("{sweep: sizes}", f"{{sweep: {name}}}")
            for name in (
                *("5", "null", "[a]", '""', '"ä b"', "s", '"sizes\\n"', "yes", "{a: b}"),
                *("no-report", "no-x", "help", "list"),
            )
        ),
    ],
)
def test_wrong_experiment_is_named_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    path = paging_with(tmp_path / "configs", old, new)
    found = configured.read(tmp_path / "configs")
    (problem,) = found.problems
    assert problem.startswith(f"{path}: ")
    assert set(found.options("sweep")) == DECLARED >= {"sizes", "modes"}
    monkeypatch.setattr(places, "checkout", lambda: tmp_path)
    with pytest.raises(UsageError, match=str(path)):
        load_experiment("other")


@pytest.mark.parametrize(
    "text", ["title: 2026-13-45", "examples: 5", "examples: {boot: 5}", f"a: {'9' * 5000}"]
)
def test_wrong_defaults_are_named_and_the_rest_goes_on(tmp_path: Path, text: str) -> None:
    paging_with(tmp_path, "paging", "other")
    path = tmp_path / "defaults.yaml"
    path.write_text(text, encoding="utf-8")
    found = configured.read(tmp_path)
    assert [each.partition(": ")[0] for each in found.problems] == [str(path)]
    assert found.defaults["machine"] == "see configs/defaults.yaml"
    assert set(found.options("sweep")) == DECLARED >= {"sizes", "modes"}


@pytest.mark.parametrize("name", ["class", "in", "from", "with", "context", "self", "run-it"])
def test_option_can_be_called_as_python_calls_things(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert given(monkeypatch, "latest", f"--{name}=1", option=name).declared == {name: "1"}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("sweep", "--runs", "1", "--set"), 2),
        (("sweep", "--set", "--runs", "1"), 2),
        (("sweep", "--set", "size=64", "--set"), 2),
        (("sweep", "--set="), 2),
        (("boot", "--cmd", "true", "--param"), 125),
        (("boot", "--param", "--cmd", "true"), 125),
        (("ktest", "--param", "--seed=2"), 2),
    ],
)
@pytest.mark.usefixtures("no_build")
def test_option_that_can_be_repeated_needs_a_value(arguments: tuple[str, ...], status: int) -> None:
    result = run("./inv", *arguments)
    option = "--set" if arguments[0] == "sweep" else "--param"
    assert result.stderr.startswith(f"pibed: {option}: a value is missing")
    assert result.returncode == status


def test_help_of_several_verbs_runs_none() -> None:
    assert run("./inv", "help", "sweep", "build").stdout == run("./inv", "help", "sweep").stdout
    assert run("./inv", "help", "nonsense").returncode == 1


def test_examples_are_those_of_the_configuration() -> None:
    declared = configured.Configured({"machine": "pi9"}, (), (), {"try": ["latest --one 2"]})

    class Shown(Given):
        """Try.

        {examples}
        Example: ./inv try
        """

    task = verb("try", Shown, "pibed.commands.sweep:sweep", declared)
    assert task.__doc__ == "Try.\n\nExample: ./inv try latest --one 2\nExample: ./inv try"
    task = verb(
        "try", Shown, "pibed.commands.sweep:sweep", dataclasses.replace(declared, examples={})
    )
    assert task.__doc__ == "Try.\n\nExample: ./inv try"


def test_same_option_of_different_parameters() -> None:
    each = [
        configured.Declaration("sweep", "n", name, f"values of {parameter}")
        for name, parameter in (("a", "x"), ("b", "y"), ("c", "x"))
    ]
    found = configured.Configured({}, tuple(each), ())
    assert found.options("sweep") == {
        "n": "values of x (experiments a, c); values of y (experiment b)"
    }
    assert found.options("boot") == {}


def test_what_people_read_says_how_it_is_typed() -> None:
    places = ("README.md", "tasks.py", "docs", "configs", "pibed")
    files = [each for place in places for each in (ROOT / place, *(ROOT / place).rglob("*"))]
    verbs = "|".join(NAMES)
    found = [
        path
        for path in files
        if path.suffix in (".py", ".md", ".yaml", ".json")
        and re.search(rf"\binvoke\s({verbs})\b", path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_reader_of_a_list_that_leaves_is_no_traceback() -> None:
    argv = ["bash", "-c", "set -o pipefail; ./inv --list | true"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 141)  # where it has written all before the reader left
