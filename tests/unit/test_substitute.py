"""A module of any folder in the place of a suite's own: how its name is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed.base.errors import UsageError
from pibed.build import payload, substitute
from pibed.model.suite import load_suite


def named(folder: Path, text: str, file: str = "Makefile") -> str:
    (folder / file).write_text(text, encoding="utf-8")
    return substitute.module_name(folder)


@pytest.mark.parametrize(
    "text",
    [
        "obj-m := buffer.o\n",
        "obj-m += buffer.o # obj-m := other.o\nbuffer-y := a.o b.o\n",
        "MODULE = buffer\nobj-m = $(MODULE).o\n",
        "NAME ?= buffer\nobj-m += ${NAME}.o\n",
        "obj-m := \\\n\tbuffer.o\n",
        "ifneq ($(KERNELRELEASE),)\n    obj-m := buffer.o\nelse\nall:\n\tmake -C x\nendif\n",
        "obj-m += buffer.o\nobj-m += buffer.o\n",
    ],
)
def test_name_is_that_of_obj_m(tmp_path: Path, text: str) -> None:
    assert named(tmp_path, text) == "buffer"


def test_kbuild_file_comes_first_as_in_the_kernels_build(tmp_path: Path) -> None:
    named(tmp_path, "obj-m := other.o\n")
    assert named(tmp_path, "obj-m := buffer.o\n", "Kbuild") == "buffer"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("all:\n\tgcc x.c\n", "names no module"),
        ("# obj-m := buffer.o\n", "names no module"),
        ("obj-m := a.o b.o\n", "several modules: a, b"),
        ("obj-m := $(shell ls).o\n", "expected a name"),
        ("obj-m := $(UNKNOWN).o\n", "expected a name"),
        ("obj-m := my-module.o\n", "'my-module'"),
        ("obj-m := ../up.o\n", "expected a name"),
    ],
)
def test_what_cannot_be_said_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        named(tmp_path, text)
    assert str(tmp_path / "Makefile") in caught.value.message
    assert caught.value.fix


def test_folder_without_a_makefile(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a Kbuild file nor a Makefile"):
        substitute.module_name(tmp_path)
    with pytest.raises(UsageError, match="there is no such folder"):
        substitute.module_name(tmp_path / "none")


def test_suite_has_the_folders_module_and_its_own_programs(tmp_path: Path) -> None:
    named(tmp_path, "obj-m := buffer.o\n")
    suite = load_suite("paging-lab")
    wanted = payload.of_suite(substitute.with_module(suite, tmp_path))
    (module,) = wanted.modules
    assert (module.name, module.folder) == ("buffer", tmp_path)
    assert wanted.programs == payload.of_suite(suite).programs
