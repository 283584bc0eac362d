"""What a build has read: from the words of compilers and of the kernel's build, to a note of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pibed.base.errors import BuildError
from pibed.base.process import capture
from pibed.build import mirror, reads
from pibed.build.mirror import mirrored


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a user, with odd names in it."""
    for name in ("a b/x.c", "a b/y#1.h", "a b/z$.h", "lib/liba.a", "lib/b.o", "lib/s.ld", "c.h"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("" if path.suffix != ".c" else '#include "y#1.h"\n#include "z$.h"\n')
    return tmp_path


def test_prerequisites_are_what_the_compiler_wrote(folder: Path) -> None:
    (folder / "two.c").write_text('#include "c.h"\n')
    rules = capture(["gcc", "-M", "-I.", "a b/x.c", "two.c"], cwd=folder)
    found = [name for name in reads.prerequisites(rules) if not name.startswith("/usr")]
    assert found == ["a b/x.c", "a b/y#1.h", "a b/z$.h", "two.c", "c.h"]


def test_paths_in_files_of_the_kernels_build() -> None:
    text = (
        "savedcmd_/b/m.o := gcc -Wp,-MMD,/b/.m.o.d -I/k/include -o /b/m.o '/b/m.c'\n\n"
        "source_/b/m.o := /b/m.c\n\n"
        "deps_/b/m.o := \\\n  /k/include/linux/kconfig.h \\\n"
        "    $(wildcard include/config/SMP) \\\n  /b/../h/size.h \\\n\n/b/m.o: $(deps_/b/m.o)\n"
    )
    commands, others = reads.of_kbuild(text)
    assert "/b/m.c" in commands
    assert {"/b/m.c", "/k/include/linux/kconfig.h", "/b/../h/size.h"} <= {*others}


@pytest.mark.parametrize(
    ("cflags", "found"),
    [
        (["-O2", "-Wall", "-DA=b.o"], []),
        (["-L../lib", "-la"], ["lib/liba.a"]),
        (["-L", "../lib", "-la"], ["lib/liba.a"]),
        (["-L../lib", "-l:b.o"], ["lib/b.o"]),
        (["-la"], []),
        (["../lib/b.o", "-Wl,-T,../lib/s.ld"], ["lib/b.o", "lib/s.ld"]),
        (["-T../lib/s.ld", "@../c.h"], ["c.h", "lib/s.ld"]),
        (["-Wl,--version-script=../lib/s.ld"], ["lib/s.ld"]),
        (["-I.."], []),
    ],
)
def test_files_for_the_linker(folder: Path, cflags: list[str], found: list[str]) -> None:
    linked = reads.linked(cflags, folder / "a b")
    assert sorted(reads.name_of(path, folder) for path in linked) == found


def test_names_are_those_of_the_users_folder(folder: Path) -> None:
    (folder / "far").symlink_to("a b")
    paths = [
        reads.actual(name, folder / "lib")
        for name in ("../c.h", "../far/../c.h", "/etc/../etc/passwd")
    ]
    assert [reads.name_of(path, folder) for path in paths] == ["c.h", "c.h", "/etc/passwd"]


def test_dots_behind_a_link_lead_where_the_link_leads(folder: Path, tmp_path: Path) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "c.h").touch()
    (folder / "link").symlink_to("deep/er")
    assert reads.actual("link/../c.h", folder) == folder / "deep" / "c.h"


def test_note_holds_as_long_as_its_files_are_what_they_were(folder: Path) -> None:
    read = reads.digests([folder / "c.h", folder / "a b" / "x.c"], folder)
    assert list(read) == ["a b/x.c", "c.h"]
    assert reads.unchanged(read, folder)
    (folder / "c.h").write_text("other")
    assert not reads.unchanged(read, folder)
    (folder / "c.h").unlink()
    assert not reads.unchanged(read, folder)


def test_digest_tells_names_and_contents_apart() -> None:
    assert len({reads.digest(each) for each in ({"a": "1"}, {"b": "1"}, {"a": "2"}, {})}) == 4
    assert reads.digest({"a": "1", "b": "2"}) == reads.digest({"b": "2", "a": "1"})


def test_file_that_is_newer_than_the_build(folder: Path) -> None:
    read = reads.digests([folder / "c.h"], folder)
    began = time.time_ns() + 1
    os.utime(folder / "c.h", ns=(0, began - 1))
    reads.require_older(read, folder, began)
    os.utime(folder / "c.h", ns=(0, began))
    with pytest.raises(BuildError, match=r"/c\.h: it was changed while it was compiled"):
        reads.require_older(read, folder, began)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "my project" / "of all" / "module"
    for name in ("Kbuild", "m.c", "sub/Makefile", "sub/s.c", "m.o", ".m.o.cmd", "m.mod.c", "m.ko"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x\n")
    (folder / "loop").symlink_to(".")
    (tmp_path / "my project" / "size.h").write_text("")
    return folder


def test_mirror_has_the_folder_without_what_was_built_there(module: Path, tmp_path: Path) -> None:
    root = tmp_path / "my project"
    with mirrored(module, root, tmp_path / "top") as copy:
        assert copy.folder == tmp_path / "top" / "of_all" / "module"
        assert copy.named == "of all/module/"
        assert copy.files == {"Kbuild", "m.c", "sub/Makefile", "sub/s.c"}
        assert (copy.folder / "m.c").read_text() == "x\n"
        assert (copy.folder / "../../size.h").samefile(root / "size.h")
        # Whatever a build writes, nothing of it reaches the user's.
        (copy.folder / "m.c").write_text("y\n")
    assert (module / "m.c").read_text() == "x\n"
    assert not (tmp_path / "top").exists()


def test_mirror_knows_what_the_user_calls_a_file(module: Path, tmp_path: Path) -> None:
    root = tmp_path / "my project"
    (tmp_path / "elsewhere.h").touch()
    with mirrored(module, root, tmp_path / "top") as copy:
        (copy.folder / "made.c").touch()
        assert copy.original(f"{copy.folder}/sub/../m.c") == module / "m.c"
        assert copy.original(f"{copy.folder}/../../size.h") == root / "size.h"
        assert copy.original(f"{copy.folder}/made.c") is None
        assert copy.original(str(tmp_path / "elsewhere.h")) == tmp_path / "elsewhere.h"
        said = f"In file included from {copy.folder}/../../size.h:1,\n{copy.folder}/m.c:2: error"
        told = copy.in_words(said)
        assert f"{module}/m.c:2: error" in told
        assert str(tmp_path / "top") not in told


def test_module_beside_the_folder_that_names_are_relative_to(tmp_path: Path, module: Path) -> None:
    with mirrored(module, tmp_path / "other", tmp_path / "top") as copy:
        assert copy.named == "module/"
        assert copy.original(f"{copy.folder}/m.c") == module / "m.c"


def test_module_that_is_the_whole_folder(tmp_path: Path, module: Path) -> None:
    with mirrored(module, module, tmp_path / "top") as copy:
        assert copy.named == ""
        assert copy.folder == copy.top
        assert copy.original(f"{copy.folder}/m.c") == module / "m.c"


def test_sources_are_named_for_the_key(module: Path) -> None:
    assert mirror.sources(module) == ["Kbuild", "m.c", "sub/Makefile", "sub/s.c"]
