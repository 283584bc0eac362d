"""What `./inv new` makes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from pibed.base.errors import UsageError
from pibed.build import payload
from pibed.commands.new import new
from pibed.commands.options import NewOptions
from pibed.model.experiment import load_experiment
from pibed.model.suite import load_suite
from tests.unit.helpers import ROOT

# Beside them are scripts for clusters.
EXAMPLES = sorted({path.name for path in (ROOT / "examples").iterdir()} - {"clusters"})


@pytest.mark.parametrize("name", ["mine", "my größe", "1st", "-x", "a/b/c"])
def test_the_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    new(NewOptions(dir=str(folder)))
    experiment = load_experiment(str(folder / "experiment.yaml"))
    assert payload.of_experiment(experiment).root == folder
    assert payload.of_suite(load_suite(str(folder / "suite.yaml"))).root == folder
    assert [path.name for path in tmp_path.iterdir()] == [name.partition("/")[0]]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_can_be_copied_and_is_whole(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "own"
    new(NewOptions(dir=str(folder), from_=name))
    files = [
        sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
        for root in (folder, ROOT / "examples" / name)
    ]
    assert files[0] == files[1]
    assert (folder / "README.md").is_file()
    assert load_experiment(str(folder / "experiment.yaml")).name == name
    for path in (*folder.glob("experiment.yaml"), *folder.glob("suite.yaml")):
        text = path.read_text(encoding="utf-8")
        named = re.match(r"# yaml-language-server: \$schema=(file://\S+)\n", text)
        assert named
        assert "title" in json.loads(Path(unquote(urlsplit(named[1]).path)).read_text())


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    new(NewOptions(dir=str(tmp_path)))
    assert (tmp_path / "experiment.yaml").is_file()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    mine = tmp_path / "experiment.yaml"
    mine.write_text("mine")
    for target in (tmp_path, mine):
        with pytest.raises(UsageError, match="there already, and not an empty folder"):
            new(NewOptions(dir=str(target)))
    assert [mine] == list(tmp_path.iterdir())
    assert mine.read_text() == "mine"


def test_examples_are_named_where_there_is_no_such_one(tmp_path: Path) -> None:
    for name in ("other", "", "../configs"):
        with pytest.raises(UsageError, match=f"^--from {name}: expected one of: .*hello"):
            new(NewOptions(dir=str(tmp_path / "x"), from_=name))
    assert not list(tmp_path.iterdir())
