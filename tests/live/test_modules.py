"""Experiments with no module and with several, from a folder anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import Machine
from pibed.model.samples import Number, Status
from tests.live.helpers import measure

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
