"""Modules of the kernel's own tree: found, with what they need, or what is to be set for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed.base.errors import UsageError
from pibed.build.debian import loading, treemodules
from pibed.build.debian.modules import Built
from pibed.build.payload import Module, Payload
from pibed.build.store import Output, Step

MAKEFILES = {
    "drivers/block/zram/Makefile": "obj-$(CONFIG_ZRAM)\t+=\tzram.o\n",
    "mm/Makefile": "obj-$(CONFIG_SWAP) += swap.o\nobj-$(CONFIG_ZSMALLOC) += zsmalloc.o\n",
    "sound/Kbuild": (
        "obj-$(CONFIG_SND_A) += a.o \\\n\tsnd-pcm.o\nobj-$(CONFIG_SND_B) += snd-pcm.o\n"
    ),
    "lib/Makefile": "obj-y += always.o\n",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, text in MAKEFILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def module(folder: Path, name: str, *depends: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.ko"
    path.write_bytes(b"ELF\0depends=" + ",".join(depends).encode() + b"\0")
    return path


def payload(*modules: Module) -> Payload:
    return Payload(modules, (), (), "usr/bin", "x.yaml", "")


def tree(*names: str) -> Payload:
    return payload(*(Module(name, None, f"modules.{n}") for n, name in enumerate(names)))


@pytest.mark.parametrize(
    ("name", "config", "words", "fix"),
    [
        ("zram", {}, "the kernel's configuration builds no module zram", "set CONFIG_ZRAM=m in"),
        (
            *("zram", {"CONFIG_ZRAM": "y"}),
            *("CONFIG_ZRAM=y makes zram a part of the kernel", "set CONFIG_ZRAM=m in"),
        ),
        ("snd_pcm", {}, "builds no module snd_pcm", "set CONFIG_SND_A=m or CONFIG_SND_B=m in"),
        ("nosuch", {}, "Linux has no module nosuch", "correct the name"),
    ],
)
def test_module_that_will_not_be_there(
    source: Path, name: str, config: dict[str, str], words: str, fix: str
) -> None:
    with pytest.raises(UsageError) as caught:
        treemodules.require_configured(
            tree("zsmalloc", name),
            source,
            config
            | {
                "CONFIG_ZSMALLOC": "m",
            },
        )
    assert caught.value.message.startswith("x.yaml: modules.1.name: ")
    assert words in caught.value.message
    assert str(caught.value.fix).startswith(fix)


def test_module_that_will_be_there(source: Path) -> None:
    config = {"CONFIG_ZRAM": "m", "CONFIG_SND_B": "m"}
    treemodules.require_configured(tree("zram", "snd_pcm"), source, config)
    # Whatever decides on it, it is looked for when the kernel is there.
    treemodules.require_configured(tree("always"), source, config)
    with pytest.raises(UsageError, match=r"modules\.0\.name: .* builds no module always"):
        treemodules.require_built(tree("always"), {}, source, config)


def test_needs_are_in_an_order_in_which_they_can_be_loaded(tmp_path: Path) -> None:
    for name, needed in (("a", ["b", "c-d"]), ("b", ["c-d"]), ("c-d", ["e"]), ("e", [])):
        module(tmp_path / name, name, *needed)
    files = treemodules.built(tmp_path)
    assert treemodules.needs("a", files) == ["e", "c_d", "b"]
    assert treemodules.needs("e", files) == []


@pytest.fixture
def loadable(source: Path) -> loading.Loadable:
    kernel = source / "kernel"
    module(kernel / "x", "zram", "zsmalloc")
    module(kernel / "y", "zsmalloc")
    (kernel / ".config").write_text("CONFIG_ZRAM=m\n")
    own = Built((), {"own": module(source / "own", "own", "zram")})
    wanted = payload(Module("zram", None, "modules.0"), Module("own", source, "modules.1"))
    output = Output(Step("kernel", {}, expected_s=1), kernel, cached=True, seconds=0.0)
    return loading.loadable(wanted, own, output, output)


def test_guest_gets_what_a_module_of_the_tree_needs(loadable: loading.Loadable) -> None:
    assert [path.name for path in loadable.listed] == ["zram.ko", "own.ko"]
    assert sorted(loadable.files) == ["own", "zram", "zsmalloc"]
    assert loadable.needs == {"zram": ["zsmalloc"]}


@pytest.mark.parametrize(
    ("depends", "words", "fix"),
    [
        ({"a": ["b"], "b": []}, "modules.0: a needs b, which comes after it", "put b before a"),
        (
            {"a": ["b"], "b": ["a"]},
            "a needs b, and b needs a: they can be loaded in no order",
            "move what both need",
        ),
        (
            {"a": [], "b": ["zsmalloc"]},
            "modules.1: b needs zsmalloc, a module of the kernel's tree that is not in the list",
            "put {name: zsmalloc} before it",
        ),
    ],
)
def test_order_that_cannot_be(
    tmp_path: Path, depends: dict[str, list[str]], words: str, fix: str
) -> None:
    files = {name: module(tmp_path, name, *needed) for name, needed in depends.items()}
    wanted = payload(*(Module(name, tmp_path, f"modules.{n}") for n, name in enumerate(files)))
    output = Output(Step("kernel", {}, expected_s=1), tmp_path, cached=True, seconds=0.0)
    with pytest.raises(UsageError) as caught:
        loading.loadable(wanted, Built((), files), output, output)
    assert words in caught.value.message
    assert str(caught.value.fix).startswith(fix)
