"""Parameters of modules: what a binary states, and what a configuration gives."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pibed.base.errors import UsageError
from pibed.build import modinfo
from pibed.build.images import Images
from pibed.commands import parameters
from pibed.model.suite import load_suite
from tests.unit.helpers import experiment

MODINFO = (
    b"ELF\0license=GPL\0parmtype=size:int\0parm=size:Bytes\0parmtype=names:array of charp\0"
    b"\0__param_str_size\0__param_str_chosen\0__param_chosen\0"
)


def images(folder: Path, name: str, content: bytes = MODINFO) -> Images:
    path = folder / f"{name}.ko"
    path.write_bytes(content)
    return cast(Images, SimpleNamespace(modules=(path,)))


def loading(**given: Any) -> Any:
    return experiment(module={"folder": "module", "name": "kmod", "parameters": given})


def test_what_a_binary_states(tmp_path: Path) -> None:
    (path,) = images(tmp_path, "kmod").modules
    assert modinfo.parameters(path) == ["chosen", "names", "size"]
    (path,) = images(tmp_path, "kmod", b"ELF\0license=GPL\0").modules
    assert modinfo.parameters(path) == []


def test_parameters_that_the_module_has(tmp_path: Path) -> None:
    parameters.require(loading(size="{size}", names="a"), images(tmp_path, "kmod"))
    # Those that every module has, and a dash in the file's name.
    parameters.require(loading(dyndbg="+p", async_probe=1), images(tmp_path, "kmod"))


def test_misspelt_parameter_of_an_experiment(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"module\.parameters\.sise: the module kmod") as caught:
        parameters.require(loading(sise=1), images(tmp_path, "kmod"))
    assert caught.value.fix == "its parameters: chosen, names, size"
    with pytest.raises(UsageError) as caught:
        parameters.require(loading(sise=1), images(tmp_path, "kmod", b"ELF\0"))
    assert caught.value.fix == "kmod has none"


def test_misspelt_parameter_of_a_suite(tmp_path: Path) -> None:
    suite = load_suite("paging")
    good = images(tmp_path, "kmod_paging", b"\0parmtype=demand_paging:bool\0")
    parameters.require(suite, good)
    bad = images(tmp_path, "kmod_paging", b"\0parmtype=demand:bool\0")
    with pytest.raises(
        UsageError, match=r"variants\.demand-paging\.demand_paging: .* no parameter"
    ):
        parameters.require(suite, bad)
