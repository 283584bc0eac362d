"""A file that goes into a binary makes it anew when it changes, wherever it lies; others do not."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pibed.base import process
from pibed.base.errors import BuildError
from pibed.base.process import capture
from pibed.build.images import Images
from pibed.build.payload import Module, Payload
from pibed.build.program import Program
from pibed.build.symbols import Address, positions
from pibed.commands import build
from pibed.model.machine import Machine

KBUILD = """\
obj-m := small.o
small-y := main.o deep/part.o $(patsubst $(src)/%.c,%.o,$(wildcard $(src)/more_*.c))
ccflags-y := -I$(src)/first -I$(src)/../shared
include $(src)/../shared/flags.mk
"""

MAIN = """\
#include <linux/module.h>
#include "size.h"
#include "own.h"

static const char mark[] __attribute__((used)) = "shared " SIZE ", own " OWN ", flag " FLAG;

extern const char deep_mark[];

static int __init small_init(void)
{
	pr_info("%s\\n", deep_mark);
	return 0;
}
module_init(small_init);

static void __exit small_exit(void)
{
}
module_exit(small_exit);

MODULE_LICENSE("GPL");
"""

WORK = """\
#include <stdio.h>
#include "size.h"

extern const char *extra, *archived;

int main(void)
{
	return printf("shared " SIZE "\\n%s\\n%s\\n", extra, archived) < 0;
}
"""

FILES = {
    "module/Kbuild": KBUILD,
    "module/main.c": MAIN,
    "module/own.h": '#define OWN "1"\n',
    "module/deep/part.c": '#include "../own.h"\nconst char deep_mark[] = "deep " OWN;\n',
    "module/README": "read by nobody\n",
    "module/first/none.h": "",
    "shared/size.h": '#define SIZE "1"\n',
    "shared/flags.mk": 'ccflags-y += -DFLAG=\\"1\\"\n',
    "work/work.c": WORK,
    "work/early/none.h": "",
    "work/notes.h": "",
    "other/extra.c": 'const char *extra = "extra 1";\n',
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's folder, outside of the checkout, of which nothing has been built before."""
    folder = tmp_path / "my pröject"
    new = f"/* {uuid.uuid4()} */\n"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        is_new = name in ("module/main.c", "work/work.c")
        (folder / name).write_text(new + text if is_new else text, encoding="utf-8")
    archive(folder, "1")
    return folder


def archive(folder: Path, mark: str) -> None:
    """A library that is named by -l and found by -L."""
    source, library = folder / "archived.c", folder / "lib" / "libarchived.a"
    source.write_text(f'const char *archived = "archived {mark}";\n')
    library.parent.mkdir(exist_ok=True)
    library.unlink(missing_ok=True)
    capture(["arm-linux-gnueabihf-gcc", "-c", "-o", "archived.o", "archived.c"], cwd=folder)
    capture(["arm-linux-gnueabihf-ar", "rcD", str(library), "archived.o"], cwd=folder)


@pytest.fixture
def make(project: Path, machine: Machine) -> Callable[[], Images]:
    """Makes the images of what lies in the folder."""
    payload = Payload(
        modules=(Module("small", project / "module"),),
        programs=(Program("work", (project / "work" / "work.c",)),),
        cflags=(
            *("-Iearly", "-I../shared", "../other/extra.c"),
            # Asked for, since it stands before what needs it.
            *("-L../lib", "-Wl,-u,archived", "-larchived"),
        ),
        place="usr/bin",
        config_file="experiment.yaml",
        package="work",
        root=project,
    )
    return lambda: build.make_payload_images(machine, payload)


def made(images: Images) -> set[str]:
    """The steps that had to run."""
    return {each.step.name for each in images.steps if not each.cached}


def marks(images: Images) -> str:
    """What the binaries say that they were made of."""
    texts = [images.modules[0].read_bytes()]
    texts += [path.read_bytes() for path in images.programs if path.name == "work"]
    found = re.findall(rb"(?:shared|own|flag|deep|extra|archived|more|early) \w+", b"".join(texts))
    return " ".join(sorted({word.decode() for word in found}))


def change(project: Path, name: str, text: str) -> None:
    if name.endswith(".a"):
        archive(project, "2")
    else:
        (project / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "text", "steps", "shown"),
    [
        ("module/own.h", '#define OWN "2"\n', {"module"}, "own 2"),
        pytest.param(
            *("module/deep/part.c", 'const char deep_mark[] = "deep 3";\n', {"module"}, "deep 3"),
            marks=pytest.mark.full,
        ),
        # Beside the folder, in front of what was found before, and by a pattern of make's.
        ("shared/flags.mk", 'ccflags-y += -DFLAG=\\"2\\"\n', {"module"}, "flag 2"),
        ("module/first/size.h", '#define SIZE "first"\n', {"module"}, "shared first"),
        pytest.param(
            *("module/more_a.c", 'const char more[] = "more 1";\n', {"module"}, "more 1"),
            marks=pytest.mark.full,
        ),
        ("shared/size.h", '#define SIZE "2"\n', {"module", "programs"}, "shared 2"),
        pytest.param(
            *("work/early/size.h", '#define SIZE "early"\n', {"programs"}, "shared early"),
            marks=pytest.mark.full,
        ),
        ("other/extra.c", 'const char *extra = "extra 2";\n', {"programs"}, "extra 2"),
        ("lib/libarchived.a", "", {"programs"}, "archived 2"),
    ],
)
def test_change_makes_what_it_goes_into(
    make: Callable[[], Images], project: Path, name: str, text: str, steps: set[str], shown: str
) -> None:
    make()
    again = make()
    assert made(again) == set()
    assert shown not in marks(again)
    before = again.initramfs.read_bytes()
    change(project, name, text)
    changed = make()
    assert made(changed) == {*steps, "initramfs"}
    assert shown in marks(changed)
    assert changed.initramfs.read_bytes() != before
    assert made(make()) == set()


@pytest.mark.parametrize("name", ["module/README", "work/notes.h", "shared/none.h"])
def test_change_of_anything_else_makes_nothing(
    make: Callable[[], Images], project: Path, name: str
) -> None:
    make()
    change(project, name, "changed\n")
    assert made(make()) == set()


def test_back_again_is_there_still(make: Callable[[], Images], project: Path) -> None:
    first = make()
    change(project, "shared/size.h", '#define SIZE "2"\n')
    make()
    change(project, "shared/size.h", FILES["shared/size.h"])
    again = make()
    assert made(again) == set()
    assert again.initramfs == first.initramfs


def test_files_go_by_their_paths_from_the_users_folder(
    make: Callable[[], Images], project: Path
) -> None:
    images = make()
    assert {kind: sorted(files) for kind, files in images.read.items()} == {
        "module": [
            *("module/Kbuild", "module/deep/part.c", "module/main.c", "module/own.h"),
            *("shared/flags.mk", "shared/size.h"),
        ],
        "programs": ["lib/libarchived.a", "other/extra.c", "shared/size.h", "work/work.c"],
    }
    # And nothing was written beside them.
    assert {path.name for path in (project / "module").rglob("*") if path.is_file()} == {
        *("Kbuild", "main.c", "own.h", "part.c", "README", "none.h")
    }


def test_module_below_a_folder_with_a_space(project: Path, machine: Machine) -> None:
    """Neither make nor a shell comes to grief over it, and traces name it as it is called."""
    programs = (Program("work", (project / "other" / "extra.c",)),)
    (project / "other" / "extra.c").write_text("int main(void)\n{\n\treturn 0;\n}\n")
    payload = Payload(
        (Module("small", project / "module"),),
        programs,
        (),
        "usr/bin",
        "x.yaml",
        "work",
        project.parent,
    )
    images = build.make_payload_images(machine, payload)
    assert "my pröject/module/main.c" in images.read["module"]
    found = positions(images.modules[0], "arm-linux-gnueabihf-", [Address("init_module", 0, 0)])
    (position,) = found[Address("init_module", 0, 0)]
    assert position.line.removeprefix("./").startswith("my pröject/module/main.c:")
    assert str(project).encode() not in images.modules[0].read_bytes()


def test_file_that_changes_while_it_is_compiled(
    make: Callable[[], Images], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of its contents was compiled, nobody can tell."""
    real = process.run_logged

    def run(*args: Any, **options: Any) -> None:
        real(*args, **options)
        if args[0][0].endswith("gcc"):
            change(project, "shared/size.h", '#define SIZE "3"\n')

    monkeypatch.setattr(process, "run_logged", run)
    with pytest.raises(BuildError, match=r"shared/size\.h: it was changed while it was compiled"):
        make()
    monkeypatch.setattr(process, "run_logged", real)
    assert "shared 3" in marks(make())
