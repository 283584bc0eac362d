"""The builder `buildroot`, with the distribution's toolchain and the clone of PIBED_BUILDROOT.

Without it none of these is run: Buildroot has to come from somewhere.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pibed.base import places, terminal
from pibed.base.files import digest_file
from pibed.build import kconfig, payload
from pibed.build.buildroot import recipe
from pibed.build.buildroot import tree as upstream
from pibed.build.buildroot.tree import Tree
from pibed.build.making import Workbench
from pibed.build.progress import BuildProgress
from pibed.build.sources import lock
from pibed.build.store import Store
from pibed.model.experiment import load_experiment
from pibed.model.machine import load_machine
from pibed.runs import manifest
from tests import disk, excuses

from .helpers import copy_of_checkout, only_run

pytestmark = [
    pytest.mark.full,
    pytest.mark.alone,
    pytest.mark.skipif(not os.environ.get("PIBED_BUILDROOT"), reason=excuses.NO_BUILDROOT),
]

# The first build takes five minutes on two idle cores.
BUILD_S = 3600
OPTIONS = ("--builder", "buildroot", "--toolchain", "distro")

Invoke = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout that can be changed; its builds are those of the original."""
    return copy_of_checkout(tmp_path / "checkout")


@pytest.fixture
def in_copy(copy: Path) -> Invoke:
    """Runs Invoke in the copy."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "invoke", *arguments],
            cwd=copy,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=False,
        )

    return run


def new_mark() -> str:
    """Makes sources that nothing has been built from."""
    return uuid.uuid4().hex


@pytest.fixture
def tree() -> Tree:
    """Buildroot as the lock pins it."""
    known = lock.load()
    assert known is not None
    assert known.buildroot is not None
    bench = Workbench(Store(places.cache() / "steps"), BuildProgress(terminal.stderr(), False), 1)
    return upstream.fetch(bench, known.buildroot, os.environ["PIBED_BUILDROOT"])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A cache folder with the downloads, on a file system that a build does not fit into."""
    with disk.small(tmp_path / "small", "900m") as folder:
        shutil.copytree(places.cache() / "downloads", folder / "downloads", ignore=_other_kernels)
        yield folder


def _other_kernels(folder: str, names: list[str]) -> list[str]:
    if Path(folder) != places.cache() / "downloads":
        return []
    ours = f"linux-source-{load_machine('pi2').kernel.version}"
    return [name for name in names if name.startswith("linux-source-") and name != ours]


def test_guest_of_buildroot_runs_the_workload(in_copy: Invoke) -> None:
    done = in_copy("boot", *OPTIONS, "--cmd", "cat /etc/os-release; insmod /lib/modules/*.ko")
    assert done.returncode == 0, done.stderr
    assert "NAME=Buildroot" in done.stdout


def test_sweep_and_its_repetition_by_the_manifest(in_copy: Invoke, tmp_path: Path) -> None:
    results = tmp_path / "results"
    sizes = ("--sizes", "16,32", "--runs", "2", "--results", str(results))
    done = in_copy("sweep", *OPTIONS, *sizes)
    assert done.returncode == 0, done.stderr
    run = only_run(results)
    builder = manifest.read(run / "manifest.json").builder
    assert builder.settings is not None
    assert (builder.name, builder.settings.toolchain) == ("buildroot", "distro")
    assert builder.overrides["busybox"] == "the distribution's package busybox"
    # Its URL can have a password.
    assert '"repository"' not in (run / "manifest.json").read_text(encoding="utf-8")
    again = in_copy("rerun", str(run / "manifest.json"), "--results", str(tmp_path / "again"))
    assert again.returncode == 0, again.stderr
    assert f"samples.csv: byte for byte that of {run / 'manifest.json'}" in again.stdout
    packed = in_copy("pack", str(run), "--output", str(tmp_path / "pack.tar.gz"))
    assert packed.returncode == 0, packed.stderr


def test_suite_passes(in_copy: Invoke, tmp_path: Path) -> None:
    done = in_copy("ktest", *OPTIONS, "--tests", "fork,mmap", "--results", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_failed_package_is_named_and_built_when_it_is_right_again(
    copy: Path, in_copy: Invoke
) -> None:
    source = copy / "module" / "paging.c"
    text = source.read_text()
    source.write_text(text + "#error broken on purpose\n")
    failed = in_copy("build", *OPTIONS)
    assert failed.returncode == 4
    assert "pibed: Buildroot: the package kmod-paging could not be built" in failed.stderr
    assert "#error broken on purpose" in failed.stderr
    mark = new_mark()
    source.write_text(text + f'MODULE_INFO(mark, "{mark}");\n')
    mended = in_copy("build", *OPTIONS)
    assert mended.returncode == 0, mended.stderr
    assert "kmod-paging: done" in mended.stderr
    assert "linux: done" not in mended.stderr
    told = in_copy("boot", *OPTIONS, "--cmd", f"grep -c {mark} /lib/modules/kmod_paging.ko")
    assert told.stdout == "1\n", told.stderr


def test_licences_and_sources_are_those_of_the_images(
    copy: Path, in_copy: Invoke, tmp_path: Path
) -> None:
    """Whatever else has been built in the folder since."""
    assert in_copy("build", *OPTIONS).returncode == 0
    source = copy / "module" / "paging.c"
    text = source.read_text()
    source.write_text(text + f'MODULE_INFO(mark, "{new_mark()}");\n')
    assert in_copy("build", *OPTIONS).returncode == 0
    source.write_text(text)
    folder = tmp_path / "legal"
    done = in_copy("legal", *OPTIONS, "--output", str(folder))
    assert done.returncode == 0, done.stderr
    (archive,) = folder.glob("sources/kmod-paging-*/*.tar.gz")
    with tarfile.open(archive) as archived:
        (member,) = (each for each in archived if each.name.endswith("/paging.c"))
        file = archived.extractfile(member)
        assert file is not None
        assert file.read().decode() == text
    version = json.loads((folder / "bom.json").read_text())["metadata"]["component"]["name"]
    assert "buildroot" in version
    assert len(list(folder.glob("sources/linux-custom/linux-6.1.*.tar.xz"))) == 1


def test_build_that_is_killed_and_begun_anew_is_the_same(copy: Path, in_copy: Invoke) -> None:
    before = in_copy("build", *OPTIONS)
    assert before.returncode == 0, before.stderr
    # Another kernel configuration, so that there is something to do for a while.
    fragment = copy / "kernel" / "fragments" / "pi2.config"
    text = fragment.read_text()
    fragment.write_text(text + "CONFIG_PRINTK_TIME=n\n")
    for after_s in (5, 25):
        process = subprocess.Popen(
            [sys.executable, "-m", "invoke", "build", *OPTIONS],
            cwd=copy,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        time.sleep(after_s)
        assert process.poll() is None
        process.kill()
        process.wait()
    fragment.write_text(text)
    # From the store, and then built: the folder is that of the killed builds.
    again = in_copy("build", *OPTIONS)
    assert again.stdout == before.stdout
    kernel, *_ = (Path(line.split()[-1]) for line in before.stdout.splitlines())
    digest = digest_file(kernel)
    # Under a name that is none of the step's.
    kept = kernel.parent.rename(kernel.parent.with_name(f"kept-{kernel.parent.name}"))
    try:
        anew = in_copy("build", *OPTIONS)
        assert anew.returncode == 0, anew.stderr
        assert "linux: done" in anew.stderr
        for path in sorted(kept.rglob("*")):
            if path.is_file():
                other = kernel.parent / path.relative_to(kept)
                assert digest_file(other) == digest_file(path), path
    finally:
        shutil.rmtree(kept)
    assert digest_file(kernel) == digest


def test_commit_that_is_not_the_locks(copy: Path, in_copy: Invoke, tmp_path: Path) -> None:
    lock = copy / "configs" / "lock.yaml"
    lock.write_text(lock.read_text().replace("commit: 1", "commit: 2"))
    done = in_copy("build", *OPTIONS)
    assert done.returncode == 4
    assert "is the commit 1" in done.stderr
    assert "and configs/lock.yaml has 2" in done.stderr


def test_repository_that_cannot_be_reached(in_copy: Invoke, small_disk: Path) -> None:
    done = in_copy("build", *OPTIONS, PIBED_BUILDROOT="/no/clone", PIBED_CACHE=str(small_disk))
    assert done.returncode == 4
    assert "could not be fetched from /no/clone" in done.stderr
    assert "PIBED_BUILDROOT" in done.stderr


def test_source_that_cannot_be_downloaded(in_copy: Invoke, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(places.cache() / "downloads", cache / "downloads", ignore=_other_kernels)
    nowhere = "http://localhost:1"
    done = in_copy(
        *("build", "--builder", "buildroot", "--toolchain", "bootlin"),
        PIBED_CACHE=str(cache),
        http_proxy=nowhere,
        https_proxy=nowhere,
    )
    assert done.returncode == 4, done.stderr
    assert re.search(r"pibed: Buildroot: the package \S+ could not be downloaded\n", done.stderr)
    assert "--toolchain distro" in done.stderr


def test_toolchain_that_is_missing(copy: Path, in_copy: Invoke) -> None:
    settings = copy / "configs" / "buildroot.yaml"
    text = settings.read_text().replace("path: null", "path: /no/toolchain")
    settings.write_text(text.replace("prefix: null", "prefix: arm-x"))
    done = in_copy("build", "--builder", "buildroot", "--toolchain", "path")
    assert done.returncode == 3
    assert "/no/toolchain/bin/arm-x-gcc: there is no such compiler" in done.stderr


def test_full_disk(in_copy: Invoke, small_disk: Path) -> None:
    done = in_copy("build", *OPTIONS, PIBED_CACHE=str(small_disk))
    assert done.returncode == 3, done.stderr
    assert "No space left on device" in done.stderr


@dataclass(frozen=True)
class Configured:
    """A folder that Buildroot has configured for a toolchain, as pibed asks for it."""

    make: list[str]
    wanted: Path
    output: Path

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self.make, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def packages(self) -> dict[str, dict[str, Any]]:
        known: dict[str, dict[str, Any]] = json.loads(self.run("--silent", "show-info"))
        return known


def configured(toolchain: str, tree: Tree, folder: Path) -> Configured:
    machine = load_machine("pi2")
    root = places.checkout()
    chosen = recipe.internal(root, machine) if toolchain == "internal" else {}
    paging = payload.of_experiment(load_experiment("paging"))
    place = {"BR2_LINUX_KERNEL_CUSTOM_TARBALL_LOCATION": '"file:///sources/linux.tar.xz"'}
    wanted = folder / "wanted.config"
    wanted.write_text(recipe.text(recipe.requests(root, machine, paging, chosen) | place))
    output = folder / "output"
    output.mkdir()
    made = Configured(["make", "-C", str(tree.path), f"O={output}"], wanted, output)
    made.run(f"BR2_EXTERNAL={root / 'buildroot'}", f"BR2_DEFCONFIG={wanted}", "defconfig")
    return made


@pytest.mark.parametrize("toolchain", ["bootlin", "internal"])
def test_configuration_with_a_toolchain_from_the_network(
    toolchain: str, tree: Tree, tmp_path: Path
) -> None:
    """As far as it can be checked without a download: all symbols are kept, packages are known."""
    made = configured(toolchain, tree, tmp_path)
    kconfig.check(made.output / ".config", kconfig.read_fragments([made.wanted]))
    expected = {"bootlin": "toolchain-external-bootlin", "internal": "glibc"}[toolchain]
    packages = made.packages()
    assert {expected, "linux", "busybox", "kmod-paging", "dense-mm", "rootfs-cpio"} <= set(packages)
    assert packages[expected]["downloads"]


def test_all_sources_would_be_fetched_with_bootlins_toolchain(tree: Tree, tmp_path: Path) -> None:
    made = configured("bootlin", tree, tmp_path)
    dry = made.run("--dry-run", "source")
    ours = {path.name for path in (places.checkout() / "buildroot" / "package").iterdir()}
    sources = {
        each["source"]
        for name, known in made.packages().items()
        for each in known.get("downloads", ())
        if name not in ours  # which are copied
    }
    assert any(name.startswith("armv7-eabihf--glibc--stable-") for name in sources)
    assert [name for name in sorted(sources) if f"/{name}" not in dry] == []


def test_external_tree_is_as_buildroot_wants_it(tree: Tree) -> None:
    """By Buildroot's own checker, on the system's Python, where that has what it needs."""
    python = "/usr/bin/python3"
    if subprocess.run([python, "-c", "import magic"], capture_output=True, check=False).returncode:
        pytest.skip(excuses.NO_MAGIC)
    folder = places.checkout() / "buildroot"
    files = [str(path) for path in folder.rglob("*") if path.is_file()]
    done = subprocess.run(
        [python, str(tree.path / "utils" / "check-package"), "--br2-external", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 warnings generated" in done.stdout + done.stderr
