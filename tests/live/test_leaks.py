"""Memory that a module does not give back is told with its size; one that gives it back is not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pibed.commands import build
from pibed.measure import rounds
from pibed.measure.run import Measurement, measure
from pibed.model.experiment import Experiment
from pibed.model.loading import load
from pibed.model.machine import Machine
from pibed.model.samples import Status
from tests.unit.helpers import ROOT

# Three matrices of 64 by 64 numbers of 8 bytes.
LOST_KIB = 3 * 64 * 64 * 8 / 1024

FREE = "\t__free_page(page);\n"


def study(folder: Path, module: dict[str, str], **changes: Any) -> Experiment:
    """The paging experiment in a folder, with its smallest cells and a changed module."""
    shutil.copytree(ROOT / "module", folder / "module")
    source = folder / "module" / "paging.c"
    text = source.read_text(encoding="utf-8")
    for old, new in module.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    source.write_text(text, encoding="utf-8")
    path = ROOT / "configs" / "experiments" / "paging.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8")) | changes
    data["parameters"]["size"]["values"] = [64, 65]
    data["analysis"] = None
    (folder / "experiment.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return load(Experiment, "experiment", str(folder / "experiment.yaml"), {})


def run(machine: Machine, experiment: Experiment, results: Path) -> Measurement:
    images = build.make_images(machine, experiment)
    return measure(results, rounds.Testbed(machine, images, experiment, "QEMU"), 2, "leaks")


def sizes(lines: list[str]) -> list[float]:
    """KiB of each leak that was told."""
    found = [re.search(r"memory leak: .* about ([\d.]+) KiB \(pages", line) for line in lines]
    assert all(found), lines
    return [float(match[1]) for match in found if match]


@pytest.mark.alone
def test_module_that_frees_nothing_is_told_with_a_size(machine: Machine, tmp_path: Path) -> None:
    experiment = study(tmp_path, {FREE: "\t(void)page;\n"}, rounds=1)
    outcome = run(machine, experiment, tmp_path / "results")
    assert {sample.status for sample in outcome.samples} == {Status.OK}
    # One for each way to load the module.
    assert sizes(outcome.warnings) == [pytest.approx(LOST_KIB, rel=0.1)] * 2


@pytest.mark.full
@pytest.mark.alone
@pytest.mark.parametrize(
    ("kind", "lose"),
    [
        ("slabs", "\tkmalloc(65536, GFP_KERNEL);\n"),
        ("vmalloc", "\tvmalloc(15 * PAGE_SIZE);\n"),
        ("pages", "\t__get_free_pages(GFP_KERNEL, 4);\n"),
    ],
)
def test_each_kind_of_memory_is_told(
    machine: Machine, tmp_path: Path, kind: str, lose: str
) -> None:
    init = "\tint err = placement_init();\n"
    include = "#include <linux/vmalloc.h>\n"
    changed = {
        init: f"{init}\tvoid *volatile lost = (void *){lose.strip()[:-1]};\n\n\t(void)lost;\n",
        "#include <linux/slab.h>\n": f"#include <linux/slab.h>\n{include}",
    }
    outcome = run(machine, study(tmp_path, changed, rounds=1), tmp_path / "results")
    for line in outcome.warnings:
        match = re.search(rf"about ([\d.]+) KiB \({kind} ", line)
        assert match and float(match[1]) == pytest.approx(64, rel=0.1), line
    assert len(outcome.warnings) == 2


@pytest.mark.full
@pytest.mark.alone
def test_samples_of_a_module_that_loses_memory_fail(machine: Machine, tmp_path: Path) -> None:
    experiment = study(tmp_path, {FREE: "\t(void)page;\n"}, rounds=2, leaks="fail")
    outcome = run(machine, experiment, tmp_path / "results")
    assert {sample.status for sample in outcome.samples} == {Status.FAILED}
    small = [each.message for each in outcome.samples if each.cell.as_dict()["size"] == 64]
    assert len(small) == 4
    assert sizes(small) == [pytest.approx(LOST_KIB, rel=0.1)] * 4


@pytest.mark.full
@pytest.mark.alone
def test_module_that_frees_all_is_not_told_in_twenty_rounds(
    machine: Machine, tmp_path: Path
) -> None:
    outcome = run(machine, study(tmp_path, {}, rounds=20, leaks="fail"), tmp_path / "results")
    assert {sample.status for sample in outcome.samples} == {Status.OK}
    assert outcome.warnings == []
