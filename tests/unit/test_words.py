"""The engine knows no experiment: what the shipped ones are about is named by their files alone."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.unit.helpers import ROOT

PACKAGES = sorted(
    path.parent.name
    for path in (ROOT / "pibed").glob("*/__init__.py")
    if path.parent.name != "studies"  # each is of one experiment
)

# Where docstrings are text as well: they are the help.
SHOWN = "commands/options.py"

# Words that are also something else, where they are that.
ALLOWED = {
    "base/archives.py": {"mode", "size"},  # of a file
    "base/bubblewrap.py": {"size"},  # an option of bwrap
    "build/buildroot/contents.py": {"mode", "size"},  # of a file
    "build/initramfs.py": {"mode"},  # of a file
    "build/sources/aptroot.py": {"mode"},  # an option of apt
    "build/sandbox.py": {"size"},  # what a program says of a file
    "commands/pack.py": {"mode"},  # of a file
    "coverage/report.py": {"size"},  # an option of gcovr
    "commands/rebuild.py": {"size"},  # an option of diffoscope
    "guest/guest.py": {"size"},  # of what is read at once
    "guest/line.py": {"size"},  # of a buffer
    "guest/qemu.py": {"mode"},  # how QEMU's clock goes; an option of QEMU
    "model/machine.py": {"mode"},  # how QEMU's clock goes
    "model/memory.py": {"pages"},  # of the kernel's memory
    "model/samples.py": {"size"},  # of a number
    "plots/canvas.py": {"size"},  # of a font
    "timeline/events.py": {"size"},  # a word of the kernel's files
    "timeline/ringbuffer.py": {"size", "pages"},  # the same; of a buffer
}


# Also as a part of a name.
GENERAL = {"size", "sizes", "mode", "modes", "paging"}


# An experiment that somebody adds may use any word.
SHIPPED = ("balance", "logging", "paging")


@functools.cache
def named_by_experiments() -> set[str]:
    words = set()
    for name in SHIPPED:
        path = ROOT / "configs" / "experiments" / f"{name}.yaml"
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        words |= {data["name"], data["module"]["name"], *data["parameters"], *data["metrics"]}
        words |= {*data["module"]["parameters"], Path(data["workload"]["source"]).stem}
    # The first is also what the statistics call the place where two alternatives meet; the second
    # is a file that programs write.
    return words - {"balance", "log"}


def names(tree: ast.AST) -> Iterator[str]:
    """What is defined: functions, classes, parameters, variables, attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def strings(tree: ast.AST, docstrings: bool = False) -> Iterator[str]:
    """All text, but docstrings only if they are asked for."""
    texts = {id(node): node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and not docstrings:
            texts.pop(id(node.value), None)
    yield from (text for text in texts.values() if isinstance(text, str))


def found_in(source: str, docstrings: bool = False) -> set[str]:
    """The experiments' words that a module's code has."""
    tree = ast.parse(source)
    specific = named_by_experiments()
    found = set()
    for text in strings(tree, docstrings):
        found |= set(re.findall(r"[a-z_]+", text.lower())) & (GENERAL | specific)
    for name in names(tree):
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        found |= {snake} & specific
        found |= set(snake.split("_")) & GENERAL
    return found


def test_words_are_found_where_they_are() -> None:
    assert found_in("def f(size, xMode): ...") == {"size", "mode"}
    assert found_in("class PagingRun:\n    kmod_paging = 1") == {"paging", "kmod_paging"}
    assert found_in("x.sizes = f'no {y} mmap_us'") == {"sizes", "mmap_us"}
    assert found_in("def f():\n    'size'\n    g(mode=1, n=x.size)") == set()
    assert found_in("'resize' + 'fault'") == set()
    assert found_in("def f():\n    'dense_mm --sizes'", docstrings=True) == {"dense_mm", "sizes"}


def found_at(place: str) -> set[str]:
    text = (ROOT / "pibed" / place).read_text(encoding="utf-8")
    return found_in(text, docstrings=place == SHOWN)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_engine_knows_no_experiment(package: str) -> None:
    root = ROOT / "pibed"
    known = {}
    for path in sorted((root / package).rglob("*.py")):
        place = path.relative_to(root).as_posix()
        words = found_at(place) - ALLOWED.get(place, set())
        if words:
            known[place] = words
    assert known == {}


@pytest.mark.parametrize("place", ALLOWED)
def test_every_exception_is_needed(place: str) -> None:
    assert ALLOWED[place] <= found_at(place)


def test_help_names_no_program_of_a_suite() -> None:
    programs = {path.stem for path in (ROOT / "module" / "tests").glob("*.c")}
    text = (ROOT / "pibed" / SHOWN).read_text(encoding="utf-8")
    # Words that are also something else there.
    general = {"load", "memory", "misuse", "stress", "fault"}
    assert programs & set(re.findall(r"\w+", text)) - general == set()
