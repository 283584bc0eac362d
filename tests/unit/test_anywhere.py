"""Experiments and suites of folders outside the checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pibed.base import places
from pibed.base.errors import UsageError
from pibed.build import payload
from pibed.commands import settings
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.suite import load_suite


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "my größe"
    shutil.copytree(places.checkout() / "module", folder / "module")
    for noun in ("experiment", "suite"):
        source = places.checkout() / "configs" / f"{noun}s" / "paging.yaml"
        shutil.copy(source, folder / f"{noun}.yaml")
    return folder


def test_paths_are_relative_to_the_file(own: Path) -> None:
    made = payload.of_experiment(load_experiment(str(own / "experiment.yaml")))
    assert made.root == own
    assert [*made.folders] == [own / "module"]
    assert made.programs[0].folder.is_relative_to(own)
    assert payload.of_suite(load_suite(str(own / "suite.yaml"))).root == own


def test_a_recorded_experiment_keeps_its_folder(own: Path) -> None:
    loaded = load_experiment(str(own / "experiment.yaml"))
    again = Experiment.model_validate_json(loaded.model_dump_json())
    assert payload.root_of(again) == own
    shutil.rmtree(own)
    with pytest.raises(UsageError, match="not there any more"):
        payload.of_experiment(again)


def test_parameters_are_those_of_its_own_module(own: Path) -> None:
    (own / "module" / "paging.c").write_text("module_param(mine, int, 0444);\n")
    suite = load_suite(str(own / "suite.yaml"))
    given = settings.of_modules(payload.root_of(suite), suite.module_list, {}, ["mine=1"])
    assert [each.name for each in given] == ["mine"]


def test_a_link_out_of_the_folder_is_refused(own: Path) -> None:
    experiment = load_experiment(str(own / "experiment.yaml"))
    source = own / experiment.workload.source
    source.unlink()
    source.symlink_to(places.checkout() / experiment.workload.source)
    with pytest.raises(UsageError, match="leads out of"):
        payload.of_experiment(experiment)


def test_a_path_that_is_no_file(own: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        load_experiment(f"{own}/")
    with pytest.raises(UsageError, match="there is no such file"):
        load_experiment(str(own / "none.yaml"))


def test_the_folder_is_no_key_of_the_file(own: Path) -> None:
    path = own / "experiment.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "folder: /tmp\n", encoding="utf-8")
    with pytest.raises(UsageError, match="folder: unknown key"):
        load_experiment(str(path))
