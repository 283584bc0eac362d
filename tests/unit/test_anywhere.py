"""Experiments and suites of folders outside the checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from pibed.base import places
from pibed.base.errors import UsageError
from pibed.build import builders, payload, timing
from pibed.build.making import Order
from pibed.build.progress import BuildProgress
from pibed.commands import settings, sweep
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import load_machine
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
    assert made.compiled[0].folder.is_relative_to(own)
    assert payload.of_suite(load_suite(str(own / "suite.yaml"))).root == own


def test_a_recorded_experiment_knows_its_file(own: Path) -> None:
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
    (name,) = experiment.workload.compiled
    source = own / name
    source.unlink()
    source.symlink_to(places.checkout() / name)
    with pytest.raises(UsageError, match="leads out of"):
        payload.of_experiment(experiment)


def test_a_path_that_is_no_file(own: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        load_experiment(f"{own}/")
    with pytest.raises(UsageError, match="there is no such file"):
        load_experiment(str(own / "none.yaml"))


def test_a_file_of_another_kind(own: Path) -> None:
    for name, key, kind in (("suite", "programs", "suite"), ("rubric", "criteria", "rubric")):
        path = own / f"{name}.yaml"
        path.write_text(f"schema_version: 1\nname: {name}\n{key}: module\n", encoding="utf-8")
        with pytest.raises(
            UsageError, match=f"of the kind {kind} .*{key}.*, not experiment"
        ) as told:
            load_experiment(str(path))
        assert told.value.fix == f"name it with --{kind}"


def test_where_it_is_is_no_key_of_the_file(own: Path) -> None:
    path = own / "experiment.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "file: /tmp/x.yaml\n", encoding="utf-8")
    with pytest.raises(UsageError, match="file: unknown key"):
        load_experiment(str(path))


def test_messages_name_the_file_itself(own: Path) -> None:
    for noun, load, make in (
        ("experiment", load_experiment, payload.of_experiment),
        ("suite", load_suite, payload.of_suite),
    ):
        path = own / f"{noun}.yaml"
        config = load(str(path))
        assert config.where == str(path)
        (module,) = config.module_list
        lost = module.model_copy(update={"folder": "lost"})
        with pytest.raises(UsageError, match=f"^{path}: module.folder: there is no folder "):
            make(config.model_copy(update={"module": lost}))  # type: ignore[arg-type]


def test_events_in_real_time_are_refused_by_the_files_name(own: Path) -> None:
    path = own / "experiment.yaml"
    text = path.read_text(encoding="utf-8")
    counter = "counter: /sys/class/misc/paging/faults"
    assert counter in text
    path.write_text(text.replace(counter, "event: instructions"), encoding="utf-8")
    machine = load_machine("pi2").model_copy(update={"clock": "host"})
    with pytest.raises(UsageError, match=f"^{path}: metrics.faults.event: with --clock host"):
        timing.wanted(machine, load_experiment(str(path)))


def test_buildroot_refuses_sources_of_elsewhere(own: Path, tmp_path: Path) -> None:
    path = own / "experiment.yaml"
    wanted = payload.of_experiment(load_experiment(str(path)))
    progress = BuildProgress(Console(quiet=True), show_cached=False)
    order = Order(load_machine("pi2"), wanted, tmp_path / "cache", progress)
    with pytest.raises(UsageError, match=f"^{path}: .* from the checkout only") as caught:
        builders.choose("buildroot", None, None).build(order)
    assert caught.value.fix == "take --builder debian"


def test_sources_of_a_run_may_have_moved(own: Path, tmp_path: Path) -> None:
    loaded = load_experiment(str(own / "experiment.yaml"))
    assert sweep._elsewhere(loaded, None) == loaded
    own = own.rename(tmp_path / "moved")
    with pytest.raises(UsageError, match="not there any more") as caught:
        payload.of_experiment(loaded)
    assert "--sources" in str(caught.value.fix)
    assert payload.of_experiment(sweep._elsewhere(loaded, str(own))).root == own
    with pytest.raises(UsageError, match=r"--sources /none: there is no such folder"):
        sweep._elsewhere(loaded, "/none")
    with pytest.raises(UsageError, match="the sources of paging are in the checkout"):
        sweep._elsewhere(load_experiment("paging"), str(own))


def test_the_suites_library_is_pibeds_unless_it_has_its_own(own: Path) -> None:
    """Compiled so that no path of the checkout gets into the program."""
    path = own / "suite.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    (library,) = [number for number, line in enumerate(lines) if line.startswith("library:")]
    known = payload.of_suite(load_suite(str(path)))
    assert all(source.is_relative_to(own) for each in known.compiled for source in each.sources)
    lines[library] = "library: [module/tests/paging]"
    path.write_text("\n".join(lines), encoding="utf-8")
    made = payload.of_suite(load_suite(str(path)))
    lib = places.checkout() / "module" / "tests" / "lib"
    program = made.compiled[0]
    assert program.sources[-2:] == (lib / "ktap.c", lib / "system.c")
    assert program.arguments(made.root)[0] == program.sources[0].name
    assert program.arguments(made.root)[-1] == str(lib / "system.c")
    assert made.cflags[-2:] == (f"-I{lib}", f"-ffile-prefix-map={lib}/=")
