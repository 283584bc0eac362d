"""Experiments with no module and with several, from a folder anywhere."""

from __future__ import annotations

import re
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest

from pibed.base.errors import BuildError, PibedError, UsageError
from pibed.commands import build
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import Machine
from pibed.model.samples import Number, Sample, Status
from tests.live.conftest import Run
from tests.live.helpers import measure, only_run

BASE = """\
#include <linux/module.h>
#include "base.h"

static int start;
module_param(start, int, 0444);

int base_count(void)
{
	return start++;
}
EXPORT_SYMBOL_GPL(base_count);

static int __init base_init(void)
{
	return 0;
}
module_init(base_init);

static void __exit base_exit(void)
{
}
module_exit(base_exit);

MODULE_LICENSE("GPL");
"""

USER = """\
#include <linux/module.h>
#include "../inc/base.h"
#include "deep/part.h"

static int got;
module_param(got, int, 0444);

static int __init user_init(void)
{
	got = base_count() + part();
	return 0;
}
module_init(user_init);

static void __exit user_exit(void)
{
}
module_exit(user_exit);

MODULE_LICENSE("GPL");
"""

# As most have it that are built by hand.
MAKEFILE = """\
KDIR ?= /lib/modules/$(shell uname -r)/build
PWD := $(shell pwd)

obj-m := base.o
ccflags-y := -I$(src)/../inc

all:
	$(MAKE) -C $(KDIR) M=$(PWD) modules

clean:
	$(MAKE) -C $(KDIR) M=$(PWD) clean
"""

SHOW = """\
#include <stdio.h>

int main(void)
{
	FILE *file = fopen("/sys/module/user/parameters/got", "r");
	int got = -1;

	if (file && fscanf(file, "%d", &got) != 1)
		return 1;
	printf("got %d\\n", got);
	return 0;
}
"""

EXPERIMENT = """\
schema_version: 1
name: own
title: My own modules
{modules}
workload: {{source: show.c, command: "show # {{start}}", timeout_s: 20}}
parameters:
  start: {{title: start, values: [1, 7], minimum: 0, maximum: 10}}
metrics:
  got: {{title: got, pattern: 'got (-?\\d+)', unit: "1"}}
rounds: 1
seed: 1
"""

TWO = """\
modules:
  - {folder: base, name: base, parameters: {start: "{start}"}}
  - {folder: user, name: user}
"""

FILES = {
    "inc/base.h": "int base_count(void);\n",
    "base/base.c": BASE,
    "base/Makefile": MAKEFILE,
    "user/main.c": USER,
    "user/deep/part.h": "int part(void);\n",
    "user/deep/part.c": '#include "part.h"\n\nint part(void)\n{\n\treturn 100;\n}\n',
    "user/Kbuild": "obj-m := user.o\nuser-y := main.o deep/part.o\n",
    "show.c": SHOW,
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "my pröject"
    folder.mkdir()
    change(folder, FILES)
    return folder


def change(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def asked(own: Path, modules: str) -> Experiment:
    path = own / "experiment.yaml"
    path.write_text(EXPERIMENT.format(modules=modules), encoding="utf-8")
    return load_experiment(str(path))


def got(machine: Machine, own: Path, modules: str) -> dict[str, Number]:
    """What the samples say, by the parameter's value."""
    samples, problems = measure(machine, asked(own, modules), own / "results")
    assert problems == []
    assert {sample.status for sample in samples} == {Status.OK}, samples
    return {str(sample.cell): sample.metrics["got"] for sample in samples}


def test_experiment_without_a_module(machine: Machine, own: Path) -> None:
    assert got(machine, own, "") == {"start=1": -1, "start=7": -1}


def test_two_modules_of_which_one_needs_the_other(machine: Machine, own: Path) -> None:
    # Both are loaded anew where the parameter of the first changes.
    assert got(machine, own, TWO) == {"start=1": 101, "start=7": 107}


HEAD = '#include <linux/module.h>\nMODULE_LICENSE("GPL");\n'
INIT = "static int __init own_init(void)\n{\n\t{body}\n}\nmodule_init(own_init);\n"
EXIT = "static void __exit own_exit(void)\n{\n}\nmodule_exit(own_exit);\n"
OWN = "module: {folder: own, name: own}\n"
CELLS = 'module: {folder: own, name: own, parameters: {value: "{start}"}}\n'
VALUE = "static int value;\nmodule_param(value, int, 0444);\n"


def own_module(text: str) -> dict[str, str]:
    return {"own/Kbuild": "obj-m := own.o\n", "own/own.c": HEAD + text}


def failures(machine: Machine, own: Path, modules: str) -> tuple[list[Sample], list[str]]:
    return measure(machine, asked(own, modules), own / "results")


@pytest.mark.full
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return -ENODEV;", "ENODEV (No such device), which its init function returned"),
        ("return -EPERM;", "EPERM (Operation not permitted), which its init function returned"),
        (
            'pr_err("own: no light\\n");\n\treturn -EIO;',
            "EIO (Input/output error); the kernel's log: own: no light",
        ),
    ],
)
def test_init_that_fails(machine: Machine, own: Path, body: str, words: str) -> None:
    change(own, own_module(INIT.replace("{body}", body) + EXIT))
    samples, problems = failures(machine, own, OWN)
    assert [sample.status for sample in samples] == [Status.FAILED] * 2
    assert {sample.message for sample in samples} == {
        f"the module own could not be loaded: {words}"
    }
    assert problems == []


@pytest.mark.full
def test_value_that_a_parameter_does_not_take(machine: Machine, own: Path) -> None:
    change(own, own_module(VALUE + INIT.replace("{body}", "return 0;") + EXIT))
    samples, _ = failures(machine, own, CELLS.replace('"{start}"', "much"))
    assert samples[0].message == (
        "the module own could not be loaded: EINVAL (Invalid argument); the kernel's log: "
        "own: `much' invalid for parameter `value'"
    )


@pytest.mark.full
def test_module_without_an_exit_function(machine: Machine, own: Path) -> None:
    words = (
        "the module own could not be unloaded: it has no exit function; give it one by module_exit"
    )
    change(own, own_module(VALUE + INIT.replace("{body}", "return 0;")))
    samples, problems = failures(machine, own, CELLS)
    # The second cell has its parameter, and what comes next a boot of its own.
    assert [(sample.status, sample.message) for sample in samples] == [
        *((Status.OK, ""), (Status.FAILED, words)),
    ]
    _, problems = failures(machine, own, OWN)
    assert problems == [f"round 1: {words}"]


@pytest.mark.full
def test_init_that_dies_is_told_with_its_line(machine: Machine, own: Path) -> None:
    """In the second of two modules, called from there into the first."""
    change(own, FILES)
    base = BASE.replace("return start++;", "*(int *)NULL = start;\n\treturn 0;")
    line = next(n for n, text in enumerate(base.splitlines(), 1) if "NULL" in text)
    caller = next(n for n, text in enumerate(USER.splitlines(), 1) if "base_count()" in text)
    change(own, {"base/base.c": base})
    samples, _ = failures(machine, own, TWO)
    assert [sample.status for sample in samples] == [Status.OOPS] * 2
    (trace, _) = sorted((only_run(own / "results") / "boots").glob("*/trace.txt"))
    text = trace.read_text(encoding="utf-8")
    assert f"[base] (base/base.c:{line})" in text
    assert f"(user/main.c:{caller})" in text


@pytest.mark.parametrize(
    ("files", "modules", "words", "fix"),
    [
        (
            {"own/Kbuild": "obj-m := bar.o\n", "own/bar.c": HEAD},
            OWN,
            r"own/Kbuild: it makes bar\.ko, and no own\.ko",
            r"give .*: module\.name one of: bar",
        ),
        (
            {"own/Makefile": "all:\n\techo nothing\n"},
            OWN,
            r"own/Makefile: it makes no own\.ko",
            r"obj-m := own\.o",
        ),
        (
            own_module("int nowhere(void);\n" + INIT.replace("{body}", "return nowhere();") + EXIT),
            OWN,
            r'"nowhere" \[.*/own/own\.ko\] undefined!, which is used in .*/own/own\.c:6$',
            None,
        ),
        (
            {},
            "modules:\n  - {folder: user, name: user}\n  - {folder: base, name: base}\n",
            r'"base_count" \[.*/user/user\.ko\] undefined!, which is used in .*/user/main\.c:10$',
            r"base exports it: put it before",
        ),
        (
            {
                "user/main.c": USER + "\nint more(void)\n{\n\treturn 1;\n}\nEXPORT_SYMBOL(more);\n",
                "base/base.c": BASE.replace("start++", "start + more()").replace(
                    "static int start", "int more(void);\nstatic int start"
                ),
            },
            TWO,
            r'"more" \[.*/base/base\.ko\] undefined!',
            r"user exports it, and uses base_count of this one: modules that need each other",
        ),
    ],
)
@pytest.mark.full
def test_what_cannot_be_built(
    machine: Machine, own: Path, files: dict[str, str], modules: str, words: str, fix: str | None
) -> None:
    change(own, files)
    with pytest.raises(BuildError, match=words) as caught:
        build.make_images(machine, asked(own, modules))
    assert re.search(fix or "None", str(caught.value.fix))


SAME = {
    "own/Makefile": "obj-m := a.o b.o\n",
    "own/a.c": HEAD + "int a(void);\nint a(void)\n{\n\treturn 1;\n}\nEXPORT_SYMBOL(a);\n",
    "own/b.c": HEAD + "int a(void);\nint b(void);\nint b(void)\n{\n\treturn a();\n}\n",
}


@pytest.mark.full
def test_order_of_modules_of_one_folder(machine: Machine, own: Path) -> None:
    change(own, SAME)
    right = "modules:\n  - {folder: own, name: a}\n  - {folder: own, name: b}\n"
    images = build.make_images(machine, asked(own, right))
    assert [path.name for path in images.modules] == ["a.ko", "b.ko"]
    wrong = "modules:\n  - {folder: own, name: b}\n  - {folder: own, name: a}\n"
    with pytest.raises(UsageError, match=r"modules\.0: b needs a, which comes after it"):
        build.make_images(machine, asked(own, wrong))


@pytest.mark.full
def test_module_is_made_anew_when_what_it_uses_changes(machine: Machine, own: Path) -> None:
    def steps() -> list[bool]:
        images = build.make_images(machine, asked(own, TWO))
        assert {"base/base.c", "inc/base.h", "user/deep/part.c"} <= images.read["module"].keys()
        return [each.cached for each in images.steps if each.step.name == "module"]

    new = f"/* {uuid.uuid4()} */\n"
    change(own, {"base/base.c": BASE + new, "user/main.c": USER + new})
    assert steps() == [False, False]
    assert steps() == [True, True]
    change(own, {"user/deep/part.h": "int part(void);\n" + new})
    assert steps() == [True, False]
    # What it exports is the same.
    change(own, {"base/base.c": BASE + new + new})
    assert steps() == [False, True]
    change(
        own,
        {
            "base/base.c": BASE
            + new
            + "int more(void);\nint more(void)\n{\n\treturn 1;\n}\nEXPORT_SYMBOL(more);\n"
        },
    )
    assert steps() == [False, False]


FRAGMENT = """\
# Disks that are none, as modules.
CONFIG_BLOCK=y
CONFIG_BLK_DEV=y
CONFIG_BLK_DEV_NULL_BLK=m
CONFIG_CRYPTO=y
CONFIG_CRYPTO_LZO=y
CONFIG_ZRAM=m
"""

TREE = """\
modules:
  - {name: null_blk, parameters: {nr_devices: "{start}"}}
  - {name: zram, parameters: {num_devices: 2}}
kernel: {fragments: [own.config]}
"""


@pytest.mark.full
def test_modules_of_the_kernels_tree(machine: Machine, own: Path) -> None:
    (own / "own.config").write_text(FRAGMENT)
    counting = 'echo "got $(ls /sys/block | grep -c nullb)$(ls /sys/block | grep -c zram)" #'
    experiment = asked(own, TREE)
    work = experiment.workload.model_copy(update={"command": counting})
    samples, problems = measure(
        machine, experiment.model_copy(update={"workload": work}), own / "results"
    )
    # Zsmalloc was loaded before zram, which needs it.
    assert {str(sample.cell): sample.metrics["got"] for sample in samples} == {
        "start=1": 12,
        "start=7": 72,
    }
    assert problems == []


@pytest.mark.full
@pytest.mark.parametrize(
    ("old", "new", "kind", "words", "fix"),
    [
        (
            *("CONFIG_ZRAM=m", "", UsageError),
            r"modules\.1\.name: the kernel's configuration builds no module zram",
            r"set CONFIG_ZRAM=m in a file of kernel\.fragments",
        ),
        (
            *("NULL_BLK=m", "NULL_BLK=y", UsageError),
            r"modules\.0\.name: CONFIG_BLK_DEV_NULL_BLK=y makes null_blk a part of the kernel",
            r"set CONFIG_BLK_DEV_NULL_BLK=m",
        ),
        (
            *("CONFIG_CRYPTO_LZO=y\n", "", BuildError),
            r"own\.config:6: CONFIG_ZRAM=m became unset",
            r"add what the option depends on",
        ),
        (
            *("CONFIG_CRYPTO=y", "CONFIG_CRYPTO=y\nCONFIG_NONE=y", BuildError),
            r"own\.config:6: CONFIG_NONE=y became unset",
            "",
        ),
    ],
)
def test_kernel_that_does_not_have_what_is_asked(
    machine: Machine, own: Path, old: str, new: str, kind: type[PibedError], words: str, fix: str
) -> None:
    """Before it is built."""
    assert old in FRAGMENT
    (own / "own.config").write_text(FRAGMENT.replace(old, new))
    began = time.monotonic()
    with pytest.raises(kind, match=words) as caught:
        build.make_images(machine, asked(own, TREE))
    assert re.search(fix, str(caught.value.fix))
    assert time.monotonic() < began + 60


SUITE = """\
schema_version: 1
name: own
title: My own modules
{modules}
variants:
{variants}
programs: tests
cflags: []
stress_s: 1
"""

CASES = """\
#include <ktap.h>
#include <system.h>

static void first(void)
{
	ASSERT_EQ(read_number("/sys/module/user/parameters/got"), 105);
}

static const struct ktap_case cases[] = {
	{ .name = "first", .run = first },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}
"""


@pytest.mark.full
@pytest.mark.alone
def test_suites_of_two_modules_and_of_none(invoke: Run, own: Path) -> None:
    def ktest(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        results = own / f"results-{name}"
        return invoke(
            *("ktest", "--suite", str(own / "suite.yaml"), "--results", str(results)), *arguments
        )

    two = "modules: [{folder: base, name: base}, {folder: user, name: user}]"
    change(own, {"tests/cases.c": CASES})
    change(own, {"suite.yaml": SUITE.format(modules=two, variants="  five: {base.start: 5}")})
    done = ktest("two")
    assert done.returncode == 0, done.stdout + done.stderr
    # The last one is in nobody's use, and the one before it must be.
    assert "first" in done.stdout
    done = ktest("other", "--param", "start=6")
    assert done.returncode == 2
    assert "no variant of the suite own agrees with that" in done.stderr
    change(own, {"suite.yaml": SUITE.format(modules="", variants="  plain: {}")})
    done = ktest("none")
    assert done.returncode == 1
    assert "/sys/module/user/parameters/got" in done.stdout
