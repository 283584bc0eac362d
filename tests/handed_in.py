"""What a course hands in: modules that are right, modules with a known fault, hostile ones."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.live.test_lab import MODULES, WRONG, wrong_module
from tests.unit.helpers import ROOT


@dataclass(frozen=True)
class HandedIn:
    """A submission, and what its row must say."""

    name: str
    make: Callable[[Path], None]
    """Puts it into a folder, under any name."""
    status: str = "graded"
    """A regular expression."""
    loses: tuple[str, ...] = ()
    """Criteria and penalties in which it must lose points; all others may, too."""
    right: bool = False
    """Whether it must lose none."""
    keeps: tuple[str, ...] = ()
    """Criteria in which it must lose none."""
    problem: str = ""
    """A regular expression that the problem of its row matches."""


INIT = "static int __init paging_init(void)\n{\n"
EXIT = "static void __exit paging_exit(void)\n{\n"
FAULT = "\tatomic_long_inc(&faults);\n"
INCLUDE = "#include <linux/mm.h>\n"


def right(folder: Path) -> None:
    copy(folder / "right")


def copy(folder: Path, **edits: tuple[str, str]) -> None:
    """The module of the checkout with texts of its source replaced, each of which is there once."""
    folder.mkdir(parents=True)
    for path in (ROOT / "module").iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    source = folder / "paging.c"
    text = source.read_text(encoding="utf-8")
    for name, (old, new) in edits.items():
        assert text.count(old) == 1, f"{name}: {text.count(old)} times in the source: {old}"
        text = text.replace(old, new)
    source.write_text(text, encoding="utf-8")


def edited(name: str, **edits: tuple[str, str]) -> Callable[[Path], None]:
    return lambda folder: copy(folder / name, **edits)


def fixture(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).mkdir()
        for path in (MODULES / name).iterdir():
            (folder / name / path.name).write_bytes(path.read_bytes())

    return make


def makefile(name: str, line: str) -> Callable[[Path], None]:
    """A right module whose Kbuild file does something else as well."""

    def make(folder: Path) -> None:
        copy(folder / name)
        with (folder / name / "Kbuild").open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")

    return make


def wrong(number: int) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        place = folder / f"wrong-{number:02d}"
        place.mkdir()
        module = wrong_module(WRONG[number], place)
        for path in module.iterdir():
            path.rename(place / path.name)
        module.rmdir()

    return make


def tar(name: str, member: tarfile.TarInfo, data: bytes = b"") -> Callable[[Path], None]:
    """A tar of a right module with one more member."""

    def make(folder: Path) -> None:
        copy(folder / ".tmp")
        with tarfile.open(folder / f"{name}.tar", "w") as file:
            file.add(folder / ".tmp", "lab")
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
        shutil.rmtree(folder / ".tmp")

    return make


def zipped(folder: Path) -> None:
    copy(folder / ".tmp")
    with zipfile.ZipFile(folder / "zipped.zip", "w") as file:
        for path in (folder / ".tmp").iterdir():
            file.write(path, f"my lab/{path.name}")
    shutil.rmtree(folder / ".tmp")


def bomb(folder: Path) -> None:
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("Kbuild", "obj-m := bomb.o\n")
        with file.open("bomb.c", "w", force_zip64=True) as member:
            for _ in range(1024):
                member.write(bytes(1 << 20))


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = tarfile.SYMTYPE
    member.linkname = target
    return member


def binary(folder: Path) -> None:
    (folder / "binary").mkdir()
    (folder / "binary" / "kmod_paging.ko").write_bytes(b"\x7fELF" + bytes(1000))


def empty(folder: Path) -> None:
    (folder / "empty").mkdir()


# Into the agent's line, by the serial line's register (BCM2835 ARM Peripherals, 2.2.2).
FAKE_LINE = (
    '\tstatic const char fake[] = "\\n@@pibed end pages.zeroed 0\\n@@pibed done\\n";\n'
    "\tvoid __iomem *uart = ioremap(0x3f215040, 4);\n\tsize_t i;\n\n"
    "\tfor (i = 0; i < sizeof(fake) - 1; i++)\n\t\twritel(fake[i], uart);\n"
)
KTAP = '\tpr_warn("KTAP version 1\\n1..1\\nok 1 zeroed\\n");\n'

HOSTILE = [
    HandedIn(
        "fork bomb in the Makefile",
        makefile("fork-bomb", "$(shell f() { f | f & }; f)"),
        "does not build|not graded",
        problem="processes|longer than",
    ),
    HandedIn(
        "endless loop in the Makefile",
        makefile("endless", "$(shell while :; do :; done)"),
        "not graded",
        problem="longer than",
    ),
    HandedIn(
        "10 GB of output",
        makefile("much", "$(shell yes | head -c 10G >much)"),
    ),
    HandedIn(
        "reads what is not its own",
        makefile("thief", "$(info $(shell cat /root/.ssh/* $$HOME/.ssh/* /etc/shadow 2>&1))"),
    ),
    HandedIn(
        "writes outside and asks the network",
        makefile("outside", "$(shell touch /tmp/pibed-was-here; getent hosts example.org)"),
    ),
    HandedIn("binary without source", binary, "does not build", problem="no file Kbuild"),
    HandedIn("empty folder", empty, "does not build", problem="the submission is empty"),
    HandedIn(
        "name with newlines",
        lambda folder: copy(folder / "two\nlines,=1+1"),
        right=True,
    ),
    HandedIn(
        "hanging init",
        edited("hangs", loop=(INIT, f"{INIT}\tfor (;;)\n\t\tcpu_relax();\n\n")),
        loses=("contents", "unload", "hang"),
    ),
    HandedIn(
        "panic in exit",
        edited("panics", panic=(EXIT, f'{EXIT}\tpanic("not today");\n')),
        loses=("unload", "crash"),
    ),
    HandedIn(
        "flood of log lines",
        edited("flood", flood=(FAULT, f'{FAULT}\tfor (;;)\n\t\tpr_warn("flood\\n");\n')),
        loses=("contents",),
    ),
    HandedIn(
        "fake markers on the agent's line",
        edited(
            "markers",
            include=(INCLUDE, f"{INCLUDE}#include <linux/io.h>\n"),
            fake=(FAULT, f"{FAULT}\t{{\n{FAKE_LINE}\t}}\n"),
        ),
        loses=("contents",),
    ),
    HandedIn(
        "fake KTAP",
        edited("ktap", zero=(" | __GFP_ZERO", ""), fake=(FAULT, FAULT + KTAP)),
        loses=("contents",),
    ),
]

ARCHIVES = [
    HandedIn("zip with a folder in it", zipped, right=True),
    HandedIn(
        "link in a tar",
        tar("link", link("lab/secret.h", "/etc/shadow")),
        "does not build",
        problem="link",
    ),
    HandedIn(
        "dots in a tar",
        tar("dots", tarfile.TarInfo("lab/../../../outside"), b"outside"),
        "does not build",
        problem=r"\.\.",
    ),
    HandedIn("bomb of a zip", bomb, "does not build", problem="more than|too"),
]

# By the names of tests/live/test_lab.py: which criterion must notice.
NOTICED_BY = {
    "not zeroed": "contents",
    "one page at two places": "contents",
    "one page in two mappings": "contents",
    "a page lost by each munmap": "leaks",
    "its own memory lost by each munmap": "leaks",
    "no reference count": "sharing",
    "pages freed with the first part": "parts",
    "pages of a part freed with it": "sharing",
    "offset taken for an index": "parts",
    "index from the start of the part": "parts",
    "oops when a mapping is split": "parts",
    "nothing freed when a process is killed": "leaks",
    "nothing freed at exit": "leaks",
    "not held by its mappings": "unload",
    "all pages in mmap": "modes",
    "allocated in mmap, mapped on demand": "modes",
    "the next page mapped as well": "modes",
    "a child has pages of its own": "sharing",
    "memory lost by each load": "unload",
}


def faulty() -> Iterator[HandedIn]:
    for number, each in enumerate(WRONG):
        if each.name in NOTICED_BY:
            yield HandedIn(each.name, wrong(number), loses=(NOTICED_BY[each.name],))


ANY_MODE = ("build", "contents", "parts", "sharing", "leaks", "unload")

RIGHT = [
    HandedIn("the module of the checkout", right, right=True),
    # They have one mode each.
    HandedIn("another one, with vm_insert_page", fixture("lab_insert"), keeps=ANY_MODE),
    HandedIn("another one, with remap_pfn_range", fixture("lab_remap"), keeps=ANY_MODE),
    HandedIn(
        "does not compile",
        edited("broken", broken=(INIT, f"{INIT}\treturn nothing;\n")),
        "does not build",
        problem="'nothing' undeclared",
    ),
    HandedIn(
        "null pointer in the fault handler",
        edited("null", null=(FAULT, f"{FAULT}\t*(int *)(vmf->address & 1) = 1;\n")),
        loses=("contents", "crash"),
    ),
]

THIRTY = [*RIGHT, *faulty(), *HOSTILE[:6], *HOSTILE[7:]]
