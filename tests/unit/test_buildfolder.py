"""What means another build folder, and what is built anew within one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pibed import buildfolder, config, payload, recipe, ui
from pibed.build import Workbench
from pibed.buildfolder import BuildFolder, Compiler
from pibed.process import clean_environment
from pibed.store import Output, Step, Store
from pibed.upstream import Tree
from tests.unit.helpers import ROOT

Make = Callable[..., BuildFolder]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that can be changed."""
    folder = tmp_path / "checkout"
    for name in ("buildroot", "kernel", "module", "configs"):
        shutil.copytree(ROOT / name, folder / name)
    monkeypatch.setattr(config, "checkout", lambda: folder)
    monkeypatch.setattr(buildfolder, "checkout", lambda: folder)
    monkeypatch.setattr(payload, "checkout", lambda: folder)
    return folder


def output(name: str, key: str, folder: Path) -> Output:
    return Output(Step(name, {"key": key}, expected_s=1), folder, cached=True, seconds=0)


@pytest.fixture
def made(checkout: Path, tmp_path: Path) -> Make:
    """Makes a build folder's record; nothing is built in it."""

    def make(
        kernel: str = "6.1",
        linux: str = "1",
        tree: str = "1",
        toolchain: str = "1",
        busybox: str = "1",
        cflags: tuple[str, ...] = ("-O0",),
        ccache: bool = True,
    ) -> BuildFolder:
        machine = config.load_machine("pi2", {"kernel.version": kernel})
        paging = replace(payload.of_experiment(config.load_experiment("paging")), cflags=cflags)
        settings = recipe.load({}).model_copy(update={"ccache": ccache})
        compiler = Compiler({}, {}, toolchain, busybox=output("busybox", busybox, tmp_path))
        return BuildFolder(
            Workbench(Store(tmp_path / "steps"), ui.BuildProgress(ui.stderr(), False), 2),
            machine,
            paging,
            settings,
            Tree(tmp_path, "2025.02", tree, ()),
            output("linux-tarball", linux, tmp_path),
            compiler,
            recipe.requests(machine, paging, {}),
            tmp_path,
            None,
        )

    return make


def changed(before: BuildFolder, after: BuildFolder) -> set[str]:
    """The packages that are built anew; they must be in the same folder."""
    assert before.place == after.place
    return {name for name in after.inputs if after.inputs[name] != before.inputs.get(name)}


def test_the_same_is_the_same(made: Make) -> None:
    assert changed(made(), made()) == set()


@pytest.mark.parametrize(
    "other",
    [{"linux": "2"}, {"tree": "2"}, {"toolchain": "2"}, {"ccache": False}],
    ids=str,
)
def test_other_release_kernel_or_toolchain_is_another_folder(
    made: Make, other: dict[str, str]
) -> None:
    assert made(**other).place != made().place


@pytest.mark.parametrize(
    "file", ["package/dense-mm/dense-mm.mk", "external.mk", "distribution.make", "Config.in"]
)
def test_other_recipe_is_another_folder(checkout: Path, made: Make, file: str) -> None:
    before = made()
    assert before.place == made().place
    with (checkout / "buildroot" / file).open("a") as stream:
        stream.write("# changed\n")
    assert made().place != before.place


@pytest.mark.parametrize(
    ("file", "packages"),
    [
        (
            "kernel/fragments/pi2.config",
            {"linux", "kmod-paging", "dense-mm", "touch-pages", "paging-tests"},
        ),
        ("kernel/fragments/debug.config", set()),
        ("kernel/dts/pibed-pi2.dtso", set()),
        ("module/kmod_paging.c", {"kmod-paging", "dense-mm", "touch-pages", "paging-tests"}),
        ("buildroot/board/pibed/pi2/busybox.config", {"busybox"}),
        ("buildroot/board/pibed/pi2/overlay/init", set()),
    ],
)
def test_changed_file_means_its_packages(
    checkout: Path, made: Make, file: str, packages: set[str]
) -> None:
    before = made()
    assert before.inputs
    with (checkout / file).open("a") as stream:
        stream.write("# changed\n")
    assert changed(before, made()) == packages


def test_other_sources_of_busybox_mean_busybox(made: Make) -> None:
    before = made()
    assert before.inputs
    assert changed(before, made(busybox="2")) == {"busybox"}


def test_other_options_of_the_workload_mean_the_workload(made: Make) -> None:
    before = made()
    assert before.inputs
    assert changed(before, made(cflags=("-O2",))) == {"dense-mm"}


def test_snapshot_has_all_that_packages_are_made_of_and_no_times(
    checkout: Path, made: Make
) -> None:
    folder = made()
    folder.place.mkdir(parents=True)
    folder._snapshot()
    tree = folder.place / "tree"
    for path in ("buildroot/external.mk", "kernel/fragments/base.config", "module/Kbuild"):
        assert (tree / path).read_bytes() == (checkout / path).read_bytes()
        assert (tree / path).stat().st_mtime == 0
    (checkout / "module" / "paging.h").unlink()
    folder._snapshot()
    assert not (tree / "module" / "paging.h").exists()


def test_what_changed_is_forgotten_before_it_is_recorded(made: Make, tmp_path: Path) -> None:
    folder = made()
    (folder.output / "target").mkdir(parents=True)
    record = folder.place / "packages.json"
    before = dict(folder.inputs) | {"linux": "other"}
    record.write_text(json.dumps(before))
    # In the place of Buildroot's.
    rule = "%-dirclean:\n\tcp $(O)/../packages.json $(O)/../$*.seen\n"
    (tmp_path / "Makefile").write_text(rule)
    folder._forget(tmp_path / "log")
    seen = folder.place / "linux.seen"
    assert json.loads(seen.read_text()) == before
    assert json.loads(record.read_text()) == folder.inputs
    assert [path.name for path in folder.place.glob("*.seen")] == ["linux.seen"]
    assert not (folder.output / "target").exists()
    seen.unlink()
    folder._forget(tmp_path / "log")
    assert not seen.exists()


def test_environment_has_nothing_that_buildroot_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:.:/a b:bin::/bin")
    monkeypatch.setenv("BR2_DL_DIR", "/elsewhere")
    given = clean_environment(buildfolder._environment())
    assert given["PATH"] == "/usr/bin:/bin"
    assert "BR2_DL_DIR" not in given
    assert given["SOURCE_DATE_EPOCH"] == "0"
