"""None, one or several modules: what a file may say, what is loaded, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pibed.base.errors import UsageError
from pibed.build import payload
from pibed.commands import settings
from pibed.model import plan
from pibed.model.experiment import Experiment
from pibed.model.modules import ModuleSource
from pibed.model.suite import Suite
from tests.unit.helpers import experiment

BASE = {"folder": "base", "name": "base", "parameters": {"eager": "{eager}"}, "timeout_s": 3}
ON_TOP = {"folder": "on_top", "name": "on_top", "timeout_s": 4}
ZRAM = {"name": "zram", "parameters": {"num_devices": 2}}

IF_LOADED = "{{ ! grep -q '^{0} ' /proc/modules || rmmod {0}; }}"


def having(*modules: Any, **more: Any) -> Experiment:
    return experiment(module=None, modules=list(modules), **more)


def suite(**changes: Any) -> Suite:
    data: dict[str, Any] = {
        "schema_version": 1,
        "name": "small",
        "title": "A small suite",
        "variants": {"plain": {}},
        "programs": "programs",
        "library": ["library"],
        "cflags": [],
        "stress_s": 1,
    }
    return Suite.model_validate(data | changes)


def test_module_is_short_for_a_list_of_one() -> None:
    short, long = experiment(), having(experiment().model_dump()["module"])
    assert short.module_list == long.module_list
    assert plan.digest(short) == plan.digest(long)


def test_none_is_loaded_and_none_unloaded() -> None:
    without = having()
    commands = plan.commands(without, plan.steps(without, plan.rounds(without)[0].visits))
    assert plan.last_command(without) is None
    assert {each.id.partition(".")[2] for each in commands} == {
        *("run", "counters-before", "counters-after"),
    }


def test_several_are_loaded_in_order_and_unloaded_in_reverse() -> None:
    several = having(BASE, ON_TOP)
    first, *_ = plan.commands(several, plan.steps(several, plan.rounds(several)[0].visits))
    assert first.seconds == 7
    words = first.line.split(" && ")
    assert words[:2] == [IF_LOADED.format("on_top"), IF_LOADED.format("base")]
    assert words[2].startswith("insmod /lib/modules/base.ko eager=")
    assert words[3] == "insmod /lib/modules/on_top.ko"
    last = plan.last_command(several)
    assert last is not None
    assert (last.line, last.seconds) == ("rmmod on_top && rmmod base", 7)


def test_module_of_the_kernels_tree_has_before_it_what_it_needs() -> None:
    (line,) = {plan.load_line(having(ZRAM), {"eager": 0, "size": 64})}
    assert line.endswith(
        '( while read -r m; do grep -q "^$m " /proc/modules || insmod /lib/modules/$m.ko || exit; '
        "done </lib/modules/zram.needs ) && insmod /lib/modules/zram.ko num_devices=2"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modules": [BASE]}, "modules: give either module or modules"),
        ({"module": None, "modules": [BASE, BASE]}, "modules.1.name: base is loaded by modules.0"),
        (
            {"module": None, "modules": [ON_TOP, {**BASE, "parameters": {"a": "{no}"}}]},
            "modules.1.parameters.a: {no} is not a parameter",
        ),
        ({"kernel": {"fragments": []}}, "at least 1"),
        ({"kernel": {"fragments": ["../x"]}}, "inside the folder"),
    ],
)
def test_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        experiment(**changes)
    assert words in str(caught.value)


def test_variants_set_parameters_of_the_module_under_test_or_of_one_that_they_name() -> None:
    modules = [{"folder": "a", "name": "a", "parameters": {"p": 1, "q": 2}}, {"name": "b"}]
    several = suite(modules=modules, variants={"one": {"x": 3, "a.p": 4}})
    a, b = several.module_list
    assert several.under_test == b
    assert several.parameters("one", a) == {"p": "4", "q": "2"}
    assert several.parameters("one", b) == {"x": "3"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variants": {"one": {"x": 3}}}, "variants.one.x: it is a parameter of no module"),
        (
            {"modules": [{"name": "a"}], "variants": {"one": {"b.x": 3}}},
            r"variants.one.b.x: it is a parameter of no module of the suite \(a\)",
        ),
    ],
)
def test_parameter_of_no_module_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        suite(**changes)
    assert suite().module_list == ()


def test_parameters_on_the_command_line_find_their_module(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        text = f"module_param(same, int, 0);\nmodule_param(only_{name}, int, 0);\n"
        (tmp_path / name / "x.c").write_text(text)
    modules = [ModuleSource(folder=name, name=name) for name in ("a", "b")]
    modules.append(ModuleSource(name="zram"))

    def given(*texts: str) -> list[tuple[str, str]]:
        found = settings.of_modules(tmp_path, modules, {}, texts)
        return [(each.module.name, each.name) for each in found]

    assert given("only_b=1", "a.same=2", "b.same=3", "zram.num_devices=4") == [
        *(("b", "only_b"), ("a", "same"), ("b", "same"), ("zram", "num_devices")),
    ]
    for text, words in (
        ("same=1", "a and b have such a parameter"),
        ("c.x=1", "there is no module c"),
        ("x=1", "none of the modules a, b, zram has a parameter x"),
        ("a.x=1", "the module a has no parameter x"),
    ):
        with pytest.raises(UsageError, match=words):
            given(text)
    with pytest.raises(UsageError, match="only_a of a is set twice"):
        given("only_a=1", "a.only_a=2")
    with pytest.raises(UsageError, match="there is no module whose parameter it could be"):
        settings.of_modules(tmp_path, [], {}, ["x=1"])


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "my größe"
    for name in ("base", "on_top"):
        (folder / name).mkdir(parents=True)
    (folder / "base" / "Kbuild").write_text("obj-m := base.o\n")
    (folder / "on_top" / "Makefile").write_text("obj-m := on_top.o\n")
    (folder / "work.c").write_text("int main(void) { return 0; }\n")
    return folder


def asked(own: Path, **changes: Any) -> payload.Payload:
    work = {"source": "work.c", "command": "work {size}", "timeout_s": 1}
    given = {"workload": work, "modules": [BASE, ON_TOP, ZRAM]} | changes
    return payload.of_experiment(
        experiment(module=None, **given).model_copy(update={"file": str(own / "experiment.yaml")})
    )


def test_payload_has_the_modules_in_their_order(own: Path) -> None:
    found = asked(own)
    assert [each.name for each in found.modules] == ["base", "on_top", "zram"]
    assert [each.key for each in found.modules] == ["modules.0", "modules.1", "modules.2"]
    assert [each.name for each in found.tree_modules] == ["zram"]
    assert list(found.folders) == [own / "base", own / "on_top"]


def test_folder_with_neither_kbuild_nor_makefile(own: Path) -> None:
    (own / "on_top" / "Makefile").rename(own / "on_top" / "makefile")
    with pytest.raises(
        UsageError, match=r"modules\.1\.folder: there is no file .*/Kbuild, nor Makefile"
    ):
        asked(own)
    with pytest.raises(UsageError, match=r"modules\.0\.folder: there is no folder .*/none$"):
        asked(own, modules=[{"folder": "none", "name": "none"}])


def test_link_out_of_the_folder_is_refused_before_anything_behind_it_is_read(own: Path) -> None:
    inside = own / "on_top" / "inside"
    inside.symlink_to(own / "base")
    assert asked(own)
    link = own / "on_top" / "everything"
    link.symlink_to("/")
    with pytest.raises(UsageError, match=r"modules\.1\.folder: .*/everything leads out of"):
        asked(own)
    link.unlink()
    (own / "on_top" / "a.h").symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match=r"modules\.1\.folder: .*/a\.h leads out of"):
        asked(own)


def test_fragments_are_files_of_the_folder(own: Path) -> None:
    kernel = {"fragments": ["my.config"]}
    with pytest.raises(UsageError, match=r"kernel\.fragments: there is no file .*/my\.config"):
        asked(own, kernel=kernel)
    (own / "my.config").write_text("CONFIG_ZRAM=m\n")
    assert asked(own, kernel=kernel).fragments == (own / "my.config",)
    (own / "my.config").unlink()
    (own / "my.config").symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match=r"kernel\.fragments: .* leads out of"):
        asked(own, kernel=kernel)
