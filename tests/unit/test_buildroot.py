"""What the builder `buildroot` takes for the same, and what it refuses."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pibed.base import terminal
from pibed.base.errors import BuildError, HostError
from pibed.build import kconfig, payload
from pibed.build.buildroot import contents, recipe, snapshot
from pibed.build.buildroot import images as buildroot
from pibed.build.making import Order
from pibed.build.payload import AGENT_PLACE
from pibed.build.progress import BuildProgress
from pibed.build.store import Output, Step
from pibed.model.builder import Settings, load_settings
from pibed.model.experiment import load_experiment
from pibed.model.machine import load_machine
from tests.unit.helpers import ROOT, images_of, packed


@pytest.fixture
def order(tmp_path: Path) -> Order:
    known = payload.of_experiment(load_experiment("paging"))
    progress = BuildProgress(terminal.stderr(), False)
    return Order(load_machine("pi2"), known, tmp_path / "cache", progress)


@pytest.fixture
def toolchain(tmp_path: Path) -> Path:
    """A folder with what answers as a compiler does."""
    folder = tmp_path / "toolchain"
    (folder / "bin").mkdir(parents=True)
    script = folder / "bin" / "arm-x-gcc"
    answers = "version=397568\nglibc=1"
    script.write_text(
        f"#!/bin/sh\ncase $* in\n*-E*) echo '{answers}' ;;\n-dumpversion) echo 12 ;;\nesac\n"
    )
    script.chmod(0o755)
    (folder / "lib").mkdir()
    (folder / "lib" / "libc.a").write_text("1")
    return folder


def settings_of(toolchain: Path) -> Settings:
    return load_settings({"toolchain": "path", "path": str(toolchain), "prefix": "arm-x"})


def test_cache_folder_that_buildroot_cannot_work_in(order: Order, tmp_path: Path) -> None:
    elsewhere = replace(order, root=tmp_path / "a@b")
    with pytest.raises(HostError, match="has a @ in its path"):
        buildroot.build(elsewhere, load_settings({}), None)
    assert not elsewhere.root.exists()


def test_any_other_file_makes_another_toolchain(
    order: Order, toolchain: Path, tmp_path: Path
) -> None:
    def key() -> str:
        with snapshot.taken(tmp_path / "snapshots") as copy:
            made = buildroot._compiler(order.bench, settings_of(toolchain), order.machine, (), copy)
        return made.key

    before = key()
    assert key() == before
    (toolchain / "lib" / "libc.a").write_text("22")
    assert key() != before


def test_kernel_of_another_series_is_refused(order: Order, tmp_path: Path) -> None:
    output = tmp_path / "output"
    images, kernel = output / "images", output / "build" / "linux-custom"
    (images / "x").mkdir(parents=True)
    magic = order.machine.kernel.image_magic
    (images / "zImage").write_bytes(bytes(magic.offset) + bytes.fromhex(magic.value))
    (images / "board.dtb").write_bytes(bytes.fromhex(contents._DEVICE_TREE.value))
    (kernel / "include" / "config").mkdir(parents=True)
    names = order.machine.kernel.fragments
    fragments = [ROOT / "kernel" / "fragments" / f"{name}.config" for name in names]
    known = kconfig.read_fragments(fragments)
    (kernel / ".config").write_text(recipe.text({key: each.value for key, each in known.items()}))
    (output / "build" / "kmod-paging-1").mkdir()
    (output / "build" / "kmod-paging-1" / "kmod_paging.ko").touch()
    work = SimpleNamespace(
        output=output,
        payload=order.payload,
        kernel=kernel,
        fragments=fragments,
        machine=order.machine,
    )
    members = ["init", "bin/busybox", AGENT_PLACE, "lib/modules/kmod_paging.ko", "usr/bin/dense_mm"]
    for name in members:
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text("x")
    packed(tmp_path / "root", images / "rootfs.cpio")
    (kernel / "include" / "config" / "kernel.release").write_text("6.12.1\n")
    with pytest.raises(BuildError, match=r"zImage: it is Linux 6\.12\.1$"):
        buildroot._copy(work, tmp_path)  # type: ignore[arg-type]
    (kernel / "include" / "config" / "kernel.release").write_text("6.1.192\n")
    # The module's turn: an empty file is none.
    with pytest.raises(BuildError, match="kmod_paging"):
        buildroot._copy(work, tmp_path)  # type: ignore[arg-type]


def test_licences_of_images_that_are_made_of_something_else(
    order: Order, toolchain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Step("buildroot", {"folder": "another"}, expected_s=1)
    images = images_of(toolchain / "lib" / "libc.a")
    images = replace(images, steps=(Output(step, tmp_path, cached=True, seconds=0),))
    # As far as it gets without a Buildroot.
    prepared = SimpleNamespace(work=SimpleNamespace(held=nullcontext))
    monkeypatch.setattr(buildroot, "_prepared", lambda *_: nullcontext(prepared))
    monkeypatch.setattr(buildroot, "_step", lambda _: replace(step, inputs={"folder": "this"}))
    with pytest.raises(BuildError, match="has changed since the images were made"):
        buildroot.legal_info(order, load_settings({}), None, images, tmp_path / "legal")
