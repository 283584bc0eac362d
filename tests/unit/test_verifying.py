"""What `./inv verify` is asked for: what is built and measured again, and with which builder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pibed.base import places
from pibed.base.errors import UsageError
from pibed.build.builders import Buildroot, Debian
from pibed.commands import rebuild, sweep, verify
from pibed.commands.options import SweepOptions, VerifyOptions
from pibed.model.machine import Clock
from tests.unit.helpers import ROOT, archived, experiment, measured

CLOCKS: tuple[Clock, ...] = ("virtual", "board", "host")
CELLS = {(0, 64): {"work_us": [1, 2], "pages": [3, 3]}}


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What would be built and measured, in a checkout without runs."""
    calls: list[Any] = []

    def sweep_first(options: SweepOptions) -> None:
        calls.append(options)
        first(tmp_path)

    def verify_results(folder: Path, trust: bool, cluster: str | None) -> None:
        calls.append(folder.name)

    monkeypatch.setattr(places, "checkout", lambda: tmp_path)
    monkeypatch.setattr(sweep, "sweep", sweep_first)
    monkeypatch.setattr(rebuild, "verify_build", lambda builder, *_: calls.append(builder))
    monkeypatch.setattr(verify, "verify_results", verify_results)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    return calls


def first(checkout: Path) -> None:
    folder = checkout / "results" / "20260101T000000Z-small"
    archived(folder, experiment(), measured(experiment(), CELLS))
    (checkout / "results" / "latest").symlink_to(folder.name)


def test_first_run_is_measured_with_the_builder_that_is_asked_for(done: list[Any]) -> None:
    verify.verify(VerifyOptions(builder="buildroot", toolchain="distro"))
    built, swept, again = done
    assert isinstance(built, Buildroot)
    assert built.settings.toolchain == "distro"
    assert swept == SweepOptions(builder="buildroot", toolchain="distro")
    assert again == "20260101T000000Z-small"


def test_run_that_is_there_is_measured_again(done: list[Any], tmp_path: Path) -> None:
    first(tmp_path)
    verify.verify(VerifyOptions())
    assert done == [Debian(), "20260101T000000Z-small"]


def test_what_is_built_is_that_of_the_run(
    done: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    monkeypatch.setattr(rebuild, "verify_build", lambda *given: built.append(given[2].name))
    first(tmp_path)
    verify.verify(VerifyOptions())
    verify.verify(VerifyOptions(build=True))
    verify.verify(VerifyOptions(build=True, experiment="balance"))
    assert built == ["small", "paging", "balance"]


def test_newest_run_of_an_experiment(done: list[Any], tmp_path: Path) -> None:
    results = tmp_path / "results"
    for name, file in (("a", "/one/experiment.yaml"), ("b", "/other/experiment.yaml"), ("c", None)):
        study = experiment(file=file)
        archived(results / f"20260101T00000{len(name)}Z-{name}", study, measured(study, CELLS))
    for name, file in (("a", "/one/experiment.yaml"), ("b", "/other/experiment.yaml"), ("c", None)):
        found = verify._newest(results, experiment(file=file))
        assert found is not None
        assert found.name.endswith(f"-{name}")
    assert verify._newest(results, experiment(file="/none/experiment.yaml")) is None


def test_experiment_of_a_run_is_in_its_manifest(done: list[Any], tmp_path: Path) -> None:
    first(tmp_path)
    with pytest.raises(UsageError, match=r"^--experiment cannot be given with --run"):
        verify.verify(VerifyOptions(run="latest", experiment="paging"))
    assert done == []


def test_first_run_is_of_the_experiment_that_is_asked_for(done: list[Any]) -> None:
    verify.verify(VerifyOptions(experiment="balance"))
    assert done[1] == SweepOptions(experiment="balance")


@pytest.mark.parametrize("run", [None, "latest"])
def test_one_of_the_two(done: list[Any], tmp_path: Path, run: str | None) -> None:
    first(tmp_path)
    verify.verify(VerifyOptions(measure=True, run=run))
    assert done == ["20260101T000000Z-small"]
    done.clear()
    verify.verify(VerifyOptions(build=True))
    assert done == [Debian()]
    done.clear()
    verify.verify(VerifyOptions(build=True, measure=True, run=run))
    assert done == [Debian(), "20260101T000000Z-small"]
    done.clear()
    verify.verify(VerifyOptions(run=run))
    assert done == [Debian(), "20260101T000000Z-small"]


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"builder": "buildroot"}, "--builder"),
        ({"builder": "debian"}, "--builder"),
        ({"toolchain": "distro"}, "--toolchain"),
        ({"buildroot_dir": "/x"}, "--buildroot-dir"),
    ],
)
@pytest.mark.parametrize("run", [None, "latest"])
def test_builder_of_a_run_is_in_its_manifest(
    done: list[Any], tmp_path: Path, given: dict[str, str], option: str, run: str | None
) -> None:
    first(tmp_path)
    with pytest.raises(UsageError, match=f"^{option} cannot be given with --measure alone"):
        verify.verify(VerifyOptions(measure=True, run=run, **given))  # type: ignore[arg-type]
    assert done == []


@pytest.mark.parametrize("name", ["boots/01", "leaks"])
def test_all_of_a_boot_but_what_qemu_says_is_compared(tmp_path: Path, name: str) -> None:
    files = ("plan", "agent.log", "console.log", "qemu.log")
    folders = [tmp_path / "first", tmp_path / "second"]
    for number, folder in enumerate(folders):
        (folder / name).mkdir(parents=True)
        for file in files:
            (folder / name / file).write_text("the same\n")
        (folder / name / "qemu.log").write_text(f"of folder {number}\n")
    assert verify.compare_runs(*folders) == ([], 3)
    for file in files[:3]:
        (folders[1] / name / file).write_text("the sane\n")
    lines, compared = verify.compare_runs(*folders)
    told = [line.partition(":")[0] for line in lines if "differs from byte 6" in line]
    assert told == [f"{name}/{file}" for file in sorted(files[:3])]
    (folders[1] / name / "agent.log").unlink()
    assert f"{name}/agent.log: only in {folders[0]}" in verify.compare_runs(*folders)[0]
    assert compared == 3


def test_a_build_alone_is_of_no_run(done: list[Any], tmp_path: Path) -> None:
    first(tmp_path)
    with pytest.raises(UsageError, match=r"^--run cannot be given with --build alone"):
        verify.verify(VerifyOptions(build=True, run="latest"))
    assert done == []


def test_runs_of_another_folder_for_results(done: list[Any], tmp_path: Path) -> None:
    first(tmp_path / "elsewhere")
    elsewhere = str(tmp_path / "elsewhere" / "results")
    for run in (None, "latest"):
        verify.verify(VerifyOptions(measure=True, run=run, results=elsewhere))
    assert done == ["20260101T000000Z-small"] * 2
    with pytest.raises(UsageError, match="there is no run 'latest'"):
        verify.verify(VerifyOptions(measure=True, run="latest"))


def test_the_newest_run_that_can_be_the_same_twice_is_taken(tmp_path: Path) -> None:
    study = experiment()
    samples = measured(study, CELLS)
    for second, clock in enumerate(CLOCKS):
        archived(tmp_path / f"20260203T04050{second}Z-{clock}", study, samples, clock=clock)
    found = verify._newest(tmp_path, None)
    assert found is not None
    assert found.name.endswith("-board")
    assert verify._find(tmp_path, found.name) == found
    with pytest.raises(UsageError, match="real time"):
        verify._find(tmp_path, "20260203T040502Z-host")
