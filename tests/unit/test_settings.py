"""Parameters set by the command line: of an experiment, and of a module in the guest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pibed.base.errors import UsageError
from pibed.commands import boot, ktest, settings, sweep
from pibed.commands.options import BootOptions, KtestOptions, SweepOptions
from pibed.model.experiment import load_experiment
from pibed.model.modules import ModuleSource
from pibed.model.parameter import Value
from pibed.model.suite import load_suite


def swept(**given: Any) -> dict[str, list[Value]]:
    parameters = sweep._experiment(SweepOptions(**given)).parameters
    return {name: parameter.values for name, parameter in parameters.items()}


def test_parameters_of_any_experiment() -> None:
    assert swept() == {"demand_paging": [1, 0], "size": [64, 128, 256, 512]}
    assert swept(set=("size=64, 128", "demand_paging=1")) == {
        "demand_paging": [1],
        "size": [64, 128],
    }
    assert swept(declared={"sizes": "16"}, set=("demand_paging=0",)) == {
        "demand_paging": [0],
        "size": [16],
    }
    found = swept(experiment="balance", set=("percent=0,50", "access=random, 0"))
    assert found["percent"] == [0, 50]
    assert found["access"] == [2, 0]


def test_labels_stand_for_their_values() -> None:
    assert swept(declared={"modes": "pre-paging,1"})["demand_paging"] == [0, 1]
    assert swept(experiment="logging", set=("log_faults=on",))["log_faults"] == [1]
    with pytest.raises(UsageError, match="--modes 0,pre-paging: 0 is there more than once"):
        swept(declared={"modes": "0,pre-paging"})


def test_label_of_two_values_is_none() -> None:
    parameter = load_experiment("paging").parameters["demand_paging"]
    same = parameter.model_copy(update={"labels": {1: "same", 0: "same "}})
    setting = settings.Setting("--set mode", "=", "same", "mode")
    with pytest.raises(UsageError, match="--set mode=same: same is the label of 1 and of 0"):
        settings.values(setting, same)
    assert settings.values(settings.Setting("--set mode", "=", "1,0", "mode"), same) == [1, 0]
    empty = parameter.model_copy(update={"labels": {1: "", 0: "zero"}})
    with pytest.raises(UsageError, match="a number is missing"):
        settings.values(settings.Setting("--set mode", "=", "zero,", "mode"), empty)


def test_own_values_of_a_parameter_are_the_example() -> None:
    for given, example in (
        ({"set": ("percent=x",)}, "--set percent=0,20,40,60,80,100"),
        ({"declared": {"modes": "x"}}, "--modes 1,0"),
    ):
        with pytest.raises(UsageError) as caught:
            swept(experiment="balance", **given)
        assert caught.value.fix == f"separate numbers by commas: {example}"


def test_what_an_experiment_has_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        swept(experiment="balance", declared={"sizes": "64"})
    assert caught.value.fix == (
        "its parameters, for --set: demand_paging (--modes), access, pages, percent"
    )
    with pytest.raises(UsageError) as caught:
        swept(set=("pages=64",))
    assert caught.value.fix == "its parameters, for --set: demand_paging (--modes), size (--sizes)"


# boot


def loaded(experiment: str = "paging", **given: Any) -> str:
    options = BootOptions(**given)
    (command,) = boot.load_commands(load_experiment(experiment), options.param, options.declared)
    unload, _, insmod = command.rpartition(" && ")
    assert "rmmod kmod_paging" in unload
    return insmod.removeprefix("insmod /lib/modules/kmod_paging.ko ")


def test_no_parameter_loads_no_module() -> None:
    assert boot.load_commands(load_experiment("paging"), (), {}) == []


def test_parameters_that_are_not_given_are_as_in_the_first_cell() -> None:
    assert loaded(declared={"demand-paging": "0"}) == "demand_paging=0 log=none"
    assert loaded(param=("log=faults",)) == "demand_paging=1 log=faults"
    assert loaded(param=("demand_paging=pre-paging",)) == "demand_paging=0 log=none"
    both = loaded(declared={"demand-paging": "0"}, param=("log=events",))
    assert both == "demand_paging=0 log=events"
    assert loaded("logging", param=("log=on",)) == "demand_paging=1 log=1"


def test_text_reaches_the_module_as_it_is() -> None:
    assert loaded(param=("log={x} 'y' $z",)) == ("""demand_paging=1 log='{x} '"'"'y'"'"' $z'""")


def test_parameter_that_only_the_sources_have(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "main.c").write_text(
        "module_param(one, int, 0444);\n\tmodule_param_named(two, value, int, 0);\n"
        "module_param_array(three,\n int, NULL, 0);\nMODULE_PARM_DESC(four, module_param(five, x))"
    )
    module = ModuleSource(folder="own", name="own")
    six = {"own": ["six"]}
    given = settings.of_modules(tmp_path, [module], six, ("one=1", "two=a=b", "three=1,2", "six=6"))
    assert {each.name: each.setting.text for each in given} == {
        "one": "1",
        "two": "a=b",
        "three": "1,2",
        "six": "6",
    }
    with pytest.raises(UsageError, match="the module own has no parameter four") as caught:
        settings.of_modules(tmp_path, [module], six, ("four=4",))
    assert caught.value.fix == "its parameters: one, six, three, two"


# ktest


def test_parameter_in_every_variant_of_a_suite() -> None:
    suite, words = ktest._suite(KtestOptions(param=("log=faults",)))
    assert suite.variants == {
        "demand-paging": {"log": "faults", "demand_paging": 1},
        "pre-paging": {"log": "faults", "demand_paging": 0},
    }
    assert words == ", log=faults"
    assert ktest._suite(KtestOptions()) == (load_suite("paging"), "")


def test_variants_that_say_otherwise_are_left_out() -> None:
    suite, _ = ktest._suite(KtestOptions(param=("demand_paging=0",)))
    assert suite.variants == {"pre-paging": {"demand_paging": 0}}
    with pytest.raises(UsageError) as caught:
        ktest._suite(KtestOptions(param=("demand_paging=2",)))
    assert caught.value.message == (
        "--param demand_paging=2: no variant of the suite paging agrees with that"
    )
    assert caught.value.fix == "demand-paging has demand_paging=1; pre-paging has demand_paging=0"
