"""Configuration files and overrides: what loads, what is refused, and in which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pibed.base import places
from pibed.base.errors import HostError, UsageError
from pibed.build.sources.lock import Lock
from pibed.commands import arguments
from pibed.model.board import Board
from pibed.model.builder import Settings
from pibed.model.defaults import Defaults, load_defaults
from pibed.model.experiment import AnalysisPlan, Experiment, load_experiment
from pibed.model.loading import Record, json_schema
from pibed.model.machine import Machine, load_machine
from pibed.model.rubric import Hidden, Rubric
from pibed.model.suite import Suite, load_suite
from tests.unit.helpers import ROOT, experiment

Edit = Callable[[str, str], Path]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """A checkout with the shipped files, in which one text of the experiment is replaced."""
    for kind in ("machines", "experiments"):
        folder = tmp_path / "configs" / kind
        folder.mkdir(parents=True)
        for path in (ROOT / "configs" / kind).glob("*.yaml"):
            (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(places, "checkout", lambda: tmp_path)

    def replace(old: str, new: str) -> Path:
        path = tmp_path / "configs" / "experiments" / "paging.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text, "the test no longer fits the shipped file"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return path

    return replace


def refusal(name: str = "paging") -> str:
    with pytest.raises(UsageError) as caught:
        load_experiment(name)
    return caught.value.message


def test_every_shipped_machine_loads_under_its_name() -> None:
    names = [path.stem for path in (ROOT / "configs" / "machines").glob("*.yaml")]
    assert "pi2" in names
    for name in names:
        assert load_machine(name).name == name


def test_every_shipped_experiment_loads_under_its_name() -> None:
    names = [path.stem for path in (ROOT / "configs" / "experiments").glob("*.yaml")]
    assert "paging" in names
    for name in names:
        assert load_experiment(name).name == name


def test_paging_is_the_study() -> None:
    paging = load_experiment("paging")
    assert list(paging.parameters) == ["demand_paging", "size"]
    assert paging.parameters["size"].values == [64, 128, 256, 512]
    assert list(paging.metrics) == [
        "mmap_us",
        "multiply_us",
        "pages_allocated",
        "pages_freed",
        "faults",
    ]
    assert paging.rounds == 10


def test_configuration_cannot_be_changed_once_loaded() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_experiment("paging").rounds = 3  # type: ignore[misc]


def test_unknown_key(edit: Edit) -> None:
    path = edit("idle_us_max:", "idle_ms_max:")
    assert refusal() == f"{path}: workload.idle_ms_max: unknown key"


def test_wrong_type_says_what_was_expected_and_found(edit: Edit) -> None:
    path = edit("rounds: 10", 'rounds: "10"')
    message = refusal()
    assert message.startswith(f"{path}: rounds: ")
    assert "integer" in message
    assert "'10'" in message


def test_a_bool_is_no_number(edit: Edit) -> None:
    path = edit("seed: 1", "seed: yes")
    assert refusal().startswith(f"{path}: seed: ")


def test_every_problem_gets_its_line(edit: Edit) -> None:
    edit("rounds: 10", "rounds: 0")
    edit("seed: 1", "seed: -1")
    lines = refusal().splitlines()
    assert len(lines) == 2
    assert "rounds: " in lines[0]
    assert "greater than or equal to 1" in lines[0]
    assert "seed: " in lines[1]


def test_tab_names_place_and_cure(edit: Edit) -> None:
    path = edit("  folder: module", "\tfolder: module")
    number = path.read_text(encoding="utf-8").splitlines().index("\tfolder: module") + 1
    message = refusal()
    assert message.startswith(f"{path}:{number}:1: not valid YAML")
    assert "indent with spaces" in message


def test_key_given_twice(edit: Edit) -> None:
    path = edit("seed: 1", "seed: 1\nseed: 2")
    message = refusal()
    assert message.startswith(f"{path}:")
    assert "the key 'seed' is there twice" in message


def test_key_given_twice_further_down(edit: Edit) -> None:
    edit("    log: none", "    log: none\n    log: faults")
    assert "the key 'log' is there twice" in refusal()


def test_key_that_is_a_mapping(edit: Edit) -> None:
    path = edit("    log: none", "    {log}: none")
    assert str(path) in refusal()


def test_no_utf8(edit: Edit) -> None:
    path = edit("seed: 1", "seed: 1")
    path.write_bytes(b"name: \xff\n")
    assert refusal().startswith(f"{path}: not valid YAML")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words\n"])
def test_no_mapping(edit: Edit, text: str) -> None:
    path = edit("seed: 1", "seed: 1")
    path.write_text(text, encoding="utf-8")
    assert refusal() == f"{path}: expected a mapping of keys to values"


def test_missing_key(edit: Edit) -> None:
    path = edit("rounds: 10\n", "")
    assert refusal() == f"{path}: rounds: Field required"


def test_missing_file_names_those_that_are_there() -> None:
    with pytest.raises(UsageError) as caught:
        load_experiment("pagng")
    assert caught.value.message == "there is no experiment 'pagng'"
    assert caught.value.fix is not None
    assert "paging" in caught.value.fix


def test_name_is_no_path() -> None:
    with pytest.raises(UsageError):
        load_experiment("../experiments/paging")


def test_unreadable_file_is_the_hosts(edit: Edit) -> None:
    path = edit("seed: 1", "seed: 1")
    path.unlink()
    path.mkdir()
    with pytest.raises(HostError, match=str(path)):
        load_experiment("paging")


def test_file_and_name_agree(edit: Edit) -> None:
    path = edit("name: paging", "name: other")
    assert refusal() == f"{path}: name: expected paging, as the file is called, not other"


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        (r"computing \(microseconds\):(\d+)", "computing", "metrics.multiply_us", "one group"),
        (r"computing \(microseconds\):(\d+)", "(a)(b)", "metrics.multiply_us", "one group"),
        (r"computing \(microseconds\):(\d+)", "((a)", "metrics.multiply_us", "pattern"),
        (
            "    counter: /sys/class/misc/paging/faults\n",
            "",
            "metrics.faults",
            "either pattern or counter",
        ),
        ("counter: /sys/class/misc/paging/faults", "counter: sys/x", "metrics.faults.counter", ""),
        ("dense_mm {size}", "dense_mm {sizes}", "", "{sizes} is not a parameter"),
        ('"{demand_paging}"', '"{mode}"', "", "module.parameters.demand_paging: {mode}"),
        pytest.param(
            *("dense_mm {size}", "dense_mm {size} {", "workload.command", ""),
        ),
        pytest.param(
            *("dense_mm {size}", "dense_mm {size} }", "workload.command", ""),
        ),
        pytest.param(
            *("dense_mm {size}", '"dense_mm {size}\\npoweroff -f"', "workload.command", ""),
        ),
        ("values: [1, 0]", "values: [1, 2]", "parameters.demand_paging", "2 is not from 0 to 1"),
        ("values: [1, 0]", "values: [1, 1]", "parameters.demand_paging", "1 is there more than"),
        (
            "0: pre-paging",
            "0: '1'",
            "parameters.demand_paging",
            "'1' is a number, but the label of 0",
        ),
        ("0: pre-paging", "0: '00'", "parameters.demand_paging", "'00' is a number, but"),
        ("values: [1, 0]", "values: []", "parameters.demand_paging.values", "at least 1"),
        ("values: [1, 0]", "values: [1.5]", "parameters.demand_paging.values.0", "1.5"),
        ("  size:\n", "  Size:\n", "parameters.Size", "match pattern"),
        ("  size:\n", "  round:\n", "", "'round' is the name of a fixed column"),
        ("  faults:\n", "  size:\n", "", "'size' is both a parameter and a metric"),
        (
            "  name: kmod_paging",
            "  name: kmod-paging",
            "module.name",
            "the kernel's name, kmod_paging",
        ),
        ("name: paging\n", "name: Paging\n", "name", "match pattern"),
        ("folder: module\n", "folder: /module\n", "module.folder", "inside the folder"),
        ("folder: module\n", "folder: a/../..\n", "module.folder", "inside the folder"),
        ("timeout_s: 300", "timeout_s: 0", "workload.timeout_s", "greater than 0"),
        pytest.param(
            *("timeout_s: 300", "timeout_s: .inf", "workload.timeout_s", ""),
        ),
        ("idle_us_max: 20000", "idle_us_max: -1", "workload.idle_us_max", "greater than or"),
        ("schema_version: 1", "schema_version: 2", "schema_version", "1"),
    ],
)
def test_refused(edit: Edit, old: str, new: str, key: str, words: str) -> None:
    path = edit(old, new)
    message = refusal()
    assert message.startswith(f"{path}: {key}"), message
    assert words in message


def test_a_parameter_is_not_named_by_its_type(edit: Edit) -> None:
    path = edit("log: none", "log: 0.5")
    message = refusal()
    assert message.startswith(f"{path}: module.parameters.log: ")


def test_clock_must_be_described() -> None:
    with pytest.raises(UsageError, match="clock: host is not described in clocks"):
        load_machine("pi2", {"clock": "host", "clocks": {}})


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("compare: demand", "compare: x", "analysis.compare: 'x_paging' is not a parameter"),
        ("[mmap_us, multiply_us]", "[mmap_ms]", "analysis.total: 'mmap_ms' is not a metric"),
        ("[mmap_us, multiply_us]", "[mmap_us, faults]", "analysis.total: no sum of faults and µs"),
        ("[mmap_us, multiply_us]", "[mmap_us, mmap_us]", "analysis.total: a metric is there twice"),
        ("relevant_percent: 1 ", "relevant_percent: -1 ", "analysis.relevant_percent: "),
        ("{metric: mmap_us, a", "{metric: size, a", "analysis.growth: 'size' is not a metric"),
        ("against: size", "against: N", "analysis.growth.1.against: "),
        ("against: size", "against: n", "analysis.growth: 'n' is not a parameter or metric"),
        ("law: power", "law: cubic", "analysis.growth.1.law: "),
        ("events: faults", "events: fault", "analysis.cost: 'fault' is not a metric"),
        ("events: faults", "events: faults, by: sizes", "analysis.cost: 'sizes' is not a param"),
        ("events: faults", "events: faults, by: faults", "analysis.cost: 'faults' is not a param"),
        (
            "events: faults",
            "events: faults, by: demand_paging",
            "analysis.cost: by: expected a parameter beside the compared one",
        ),
        ("  cost:", "  balance: sizes\n  cost:", "analysis.balance: 'sizes' is not a parameter"),
        ("  cost:", "  balance: demand_paging\n  cost:", "a parameter beside the compared one"),
        ("  total: [mmap_us, multiply_us]\n", "  balance: size\n", "and a total"),
        ("  compare: demand_paging\n", "", "analysis.compare: cost and balance compare"),
        (
            "  compare: demand_paging\n",
            "  compare: size\n  baseline: 1\n",
            "analysis.baseline: 1 is not a value of size: 64, 128, 256, 512",
        ),
        *(
            ("  cost:", f"  effects: {{metric: {metric}, factors: [{factors}]}}\n  cost:", words)
            for metric, factors, words in (
                ("size", "demand_paging, size", "analysis.effects: 'size' is not a metric"),
                ("mmap_us", "demand_paging, n", "analysis.effects: 'n' is not a parameter"),
                ("mmap_us", "demand_paging, faults", "effects: 'faults' is not a parameter"),
                ("mmap_us", "demand_paging", "analysis.effects.factors: "),
                ("mmap_us", "demand_paging, size, size", "analysis.effects.factors: "),
                ("mmap_us", "demand_paging, demand_paging", "effects: factors: expected the comp"),
                ("mmap_us", "size, size", "analysis.effects: factors: expected the compared"),
            )
        ),
        ("analysis:\n", "analysis:\n  mode: 2\n", "analysis.mode: unknown key"),
        ("  faults:\n", "  total:\n", "'total' is the name of the sum"),
        ("  size:\n", "  mad:\n", "'mad' is the name of a fixed column of summary.csv"),
    ],
)
def test_refused_analysis(edit: Edit, old: str, new: str, words: str) -> None:
    path = edit(old, new)
    message = refusal()
    assert message.startswith(f"{path}: ")
    assert words in message, message


def test_analysis_of_the_study() -> None:
    paging = load_experiment("paging")
    analysis = paging.analysis
    assert analysis is not None
    assert paging.analysed is analysis
    assert (analysis.compare, analysis.total) == ("demand_paging", ["mmap_us", "multiply_us"])
    assert analysis.relevant_percent == 1
    assert [each.law for each in analysis.growth] == ["linear", "power"]


def test_what_is_asked_of_the_log_line() -> None:
    cost = load_experiment("logging").analysed.cost
    assert cost is not None
    assert (cost.metric, cost.events, cost.by) == ("multiply_us", "faults", "log_faults")
    paging = load_experiment("paging").analysed.cost
    assert paging is not None
    assert paging.by is None


def test_experiment_of_a_manifest_that_was_written_before_there_was_an_analysis() -> None:
    paging = load_experiment("paging")
    text = paging.model_dump_json(exclude={"analysis"})
    assert "analysis" not in text
    old = Experiment.model_validate_json(text)
    assert old.analysis is None
    assert old.analysed == AnalysisPlan(
        compare="demand_paging", total=["mmap_us", "multiply_us"], relevant_percent=1
    )


def test_total_without_an_analysis_is_of_one_unit() -> None:
    def metric(unit: str, table: bool) -> dict[str, object]:
        return {"title": "a metric", "pattern": "(a)", "unit": unit, "table": table}

    metrics = {
        "hidden": metric("µs", False),
        "first": metric("µs", True),
        "other": metric("pages", True),
        "second": metric("µs", True),
    }
    assert experiment(metrics=metrics).analysed.total == ["first", "second"]
    hidden = {"hidden": metric("µs", False)}
    assert experiment(metrics=hidden).analysed == AnalysisPlan(compare="eager")


def test_one_mode_alone_can_be_measured() -> None:
    paging = load_experiment("paging", {"parameters.demand_paging.values": [1]})
    assert paging.analysed.compare == "demand_paging"


def test_override_replaces_one_key() -> None:
    paging = load_experiment("paging", {"rounds": 2, "parameters.size.values": [32]})
    assert paging.rounds == 2
    assert paging.parameters["size"].values == [32]
    assert paging.parameters["size"].maximum == 1024
    assert paging.seed == 1


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("rounds", 0, "greater than or equal to 1"),
        ("rounds", "many", "'many'"),
        ("parameters.size.values", [4096], "4096 is not from 1 to 1024"),
        ("no_such", 1, "unknown key"),
    ],
)
def test_refused_override_is_the_command_lines(key: str, value: object, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_experiment("paging", {key: value})
    assert caught.value.message.startswith("command line: ")
    assert words in caught.value.message
    assert ".yaml" not in caught.value.message


def test_file_is_blamed_for_its_own_mistake_beside_an_override(edit: Edit) -> None:
    path = edit("seed: 1", "seed: -1")
    with pytest.raises(UsageError) as caught:
        load_experiment("paging", {"rounds": 2})
    assert caught.value.message.startswith(f"{path}: seed: ")


def test_override_below_a_plain_value() -> None:
    with pytest.raises(UsageError, match=r"rounds\.x: rounds is not a mapping"):
        load_experiment("paging", {"rounds.x": 1})


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("64", [64]),
        ("64,128", [64, 128]),
        (" 64 ", [64]),
        ("64, 128 ", [64, 128]),
        ("-1", [-1]),
        ("007", [7]),
        ("128,64,128", [128, 64, 128]),
    ],
)
def test_parse_numbers(text: str, numbers: list[int]) -> None:
    assert arguments.parse_numbers("--sizes", text) == numbers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("64,,128", "a number is missing"),
        ("64,", "a number is missing"),
        ("", "a number is missing"),
        ("abc", "'abc' is not a whole number"),
        ("64,12x", "'12x' is not a whole number"),
        ("1.5", "'1.5' is not a whole number"),
        ("64 128", "'64 128' is not a whole number"),
        ("1_000", "'1_000' is not a whole number"),
        ("٣", "is not a whole number"),
        ("9" * 30, "is not a whole number"),
        ("--1", "is not a whole number"),
    ],
)
def test_parse_numbers_refuses(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        arguments.parse_numbers("--sizes", text)
    assert caught.value.message.startswith(f"--sizes {text}: ")
    assert words in caught.value.message
    assert caught.value.fix is not None
    assert "--sizes 1,2,3" in caught.value.fix


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        (Machine, "machine"),
        (Board, "board"),
        (Experiment, "experiment"),
        (Suite, "suite"),
        (Lock, "lock"),
        (Settings, "buildroot"),
        (Defaults, "defaults"),
        (Rubric, "rubric"),
        (Hidden, "rubric-hidden"),
    ],
)
def test_published_schema_is_the_models(kind: type[Record], file: str) -> None:
    path = ROOT / "configs" / f"{file}.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == json_schema(kind)


def test_schema_refuses_unknown_keys_and_explains_known_ones() -> None:
    schema = json_schema(Experiment)
    assert schema["additionalProperties"] is False
    assert "boot" in schema["properties"]["rounds"]["description"]


def test_every_series_of_the_kernel_can_be_chosen() -> None:
    machine = load_machine("pi2")
    assert machine.kernel.versions == ["6.1", "6.12"]
    for version in machine.kernel.versions:
        assert load_machine("pi2", {"kernel.version": version}).kernel.version == version
    with pytest.raises(UsageError, match=r"kernel: version: expected one of 6\.1, 6\.12"):
        load_machine("pi2", {"kernel.version": "6.6"})


def test_debug_kernel_comes_on_top_and_leaves_the_machine_as_it_is() -> None:
    machine = load_machine("pi2")
    debug = machine.with_debug_kernel()
    assert debug.kernel.fragments == [*machine.kernel.fragments, "debug"]
    assert debug.kernel_args == [*machine.kernel_args, *machine.kernel.debug.kernel_args]
    assert "page_poison=1" in debug.kernel_args
    assert "debug" not in machine.kernel.fragments


def test_suite_of_the_module() -> None:
    suite = load_suite("paging")
    assert suite.variants == {
        "demand-paging": {"demand_paging": 1},
        "pre-paging": {"demand_paging": 0},
    }
    assert suite.stress_s == 60
    assert [counter.rpartition("/")[2] for counter in suite.counters] == [
        "pages_live",
        "pages_spare",
        "mappings",
    ]
    with pytest.raises(UsageError, match="there is no suite 'pagng'"):
        load_suite("pagng")


def test_defaults_are_files_that_are_there(edit: Edit) -> None:
    path = places.checkout() / "configs" / "defaults.yaml"
    path.write_bytes((ROOT / "configs" / "defaults.yaml").read_bytes())
    found = load_defaults()
    load_machine(found.machine)
    load_experiment(found.experiment)
    path.write_text("schema_version: 1\nmachine: pi2\nexperiment: A\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_defaults()
    assert f"{path}: experiment: " in caught.value.message
    assert f"{path}: suite: Field required" in caught.value.message
    path.unlink()
    with pytest.raises(HostError, match="No such file"):
        load_defaults()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "{sweep: sizes}",
            "{sweep: modes}",
            "parameters.size.options.sweep: --modes is the option of demand_paging already",
        ),
        (
            "{sweep: sizes}",
            "{boot: sizes}",
            "parameters.size.options.boot: no parameter of the module is {size}",
        ),
        ("{sweep: sizes}", "{swep: sizes}", "parameters.size.options.swep: "),
        ("{sweep: sizes}", "{sweep: Sizes}", "parameters.size.options.sweep: "),
        ("{sweep: sizes}", "{sweep: s}", "parameters.size.options.sweep: "),
        ("{sweep: sizes}", "{sweep: --sizes}", "parameters.size.options.sweep: "),
    ],
)
def test_options_that_cannot_be(edit: Edit, old: str, new: str, words: str) -> None:
    path = edit(old, new)
    message = refusal()
    assert message.startswith(str(path))
    assert words in message


BOARD_CLOCK = {"qemu_args": ["-icount", "shift=0,sleep=off"], "jobs": "cores"}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"timing": None}, "clocks.board: needs timing"),
        (
            {"clocks.board.qemu_args": ["-icount", "shift=1"]},
            "qemu_args: expected -icount",
        ),
        ({"clocks.board.kernel_args": []}, "one CPU can be started, and no more"),
        ({"clocks.board.qemu_args": BOARD_CLOCK["qemu_args"]}, "one CPU can be started"),
        ({"qemu.args": ["-s"]}, "clocks.board: -s: no debugger"),
    ],
)
def test_a_board_clock_that_cannot_be_driven_is_refused(
    overrides: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load_machine("pi2", overrides)
    assert words in caught.value.message


def test_a_board_of_one_cpu_needs_nothing_that_leaves_others_out() -> None:
    mode = BOARD_CLOCK | {"kernel_args": []}
    assert load_machine("pi2", {"cpus": 1, "clocks.board": mode}).cpus == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"workload": {"command": "work", "timeout": 3}},
            "workload.timeout: unknown key; is timeout_s meant?",
        ),
        ({"workload": {"command": "work", "cflag": []}}, "workload.cflag: unknown key"),
        (
            {"module": {"folder": "module", "name": "a", "parameters": {"bulk": {"copy": None}}}},
            'not a mapping: write it with quotes, as "{copy}"',
        ),
        (
            {"module": {"folder": "module", "name": "hello-5"}},
            "expected the kernel's name, hello_5",
        ),
    ],
)
def test_mistakes_of_which_is_said_what_was_meant(
    tmp_path: Path, given: dict[str, object], message: str
) -> None:
    path = tmp_path / "experiment.yaml"
    text = (places.checkout() / "examples" / "hello" / "experiment.yaml").read_text()
    path.write_text(yaml.safe_dump(yaml.safe_load(text) | given))
    with pytest.raises(UsageError) as caught:
        load_experiment(str(path))
    assert any(
        line.endswith(message) or message in line for line in caught.value.message.splitlines()
    )


def test_pattern_in_double_quotes(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text('pattern: "read: ([\\\\d.]+)"\n'.replace("\\\\", "\\"))
    with pytest.raises(UsageError, match="belongs in single quotes"):
        load_experiment(str(path))
