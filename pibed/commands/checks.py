"""Checks of pibed itself (`./inv test`): style, types, imports, kernel coding style."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pibed.base import places
from pibed.build import vermagic
from pibed.build.debian.modules import module_make
from pibed.build.images import Images
from pibed.commands.transcript import Transcript


@dataclass(frozen=True)
class Check:
    """A check by its name; `run` prints what it finds and returns whether it passed."""

    name: str
    run: Callable[[Transcript], bool]


def checks(images: Sequence[Images]) -> list[Check]:
    """All checks in the order of their speed; `images` has one element a kernel."""
    python = sys.executable
    root = places.checkout()
    module = root / "module"
    agent = root / "buildroot" / "package" / "pibed-agent" / "agent.c"
    examples = root / "examples"
    sources = [*_sources(module), *_sources(examples)]
    modules = [module, *sorted(path.parent for path in examples.glob("*/module/Kbuild"))]
    per_kernel = []
    for each in images:
        name = vermagic.of_module(each.modules[0]).split()[0]
        per_kernel += [
            Check(
                f"checkpatch --strict of Linux {name}",
                partial(_checkpatch, each, [*sources, agent]),
            ),
            Check(f"sparse and W=1 on Linux {name}", partial(_sparse, each, modules)),
        ]
    gcc = f"{images[0].variables['CROSS_COMPILE']}gcc"
    compiler = [gcc, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{module}/tests/lib"]
    programs = [path for path in sources if path.suffix == ".c" and path.parent not in modules]
    return [
        Check("ruff format", _command([python, "-m", "ruff", "format", "--check", "."])),
        Check("ruff check", _command([python, "-m", "ruff", "check", "."])),
        Check("mypy --strict", _command([python, "-m", "mypy"])),
        # Beside the interpreter, since the environment need not be active.
        Check(
            "import-linter",
            _command([Path(python).with_name("lint-imports"), "--no-cache", "--no-logo"]),
        ),
        Check("shellcheck", _command(["shellcheck", *_shell_scripts(root)])),
        Check("warnings in programs", _command([*compiler, *map(str, [*programs, agent])])),
        *per_kernel,
    ]


def _command(argv: Sequence[str | Path]) -> Callable[[Transcript], bool]:
    def run(transcript: Transcript) -> bool:
        return transcript.run(argv, places.checkout()).status == 0

    return run


def _shell_scripts(root: Path) -> list[str]:
    """All files of the project that begin with a shell's name, found through git or the tree."""
    found = []
    for folder, names, files in os.walk(root):
        names[:] = [
            name for name in names if name not in (".git", ".venv", "results", "__pycache__")
        ]
        for name in files:
            path = Path(folder) / name
            with path.open("rb") as file:
                if file.readline(64).startswith(
                    (b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash")
                ):
                    found.append(str(path.relative_to(root)))
    return sorted(found)


def _checkpatch(images: Images, sources: Sequence[Path], transcript: Transcript) -> bool:
    """Runs the kernel's own checkpatch.pl: any finding fails."""
    script = images.kernel_source / "scripts" / "checkpatch.pl"
    options = ["--strict", "--no-tree", f"--root={images.kernel_source}", "--terse", "--no-summary"]
    # It may leave a file of its own where it runs, and takes a path with a space for two.
    with tempfile.TemporaryDirectory(prefix="pibed-") as name:
        folder = Path(name)
        files = [path.relative_to(places.checkout()) for path in sources]
        for path, place in zip(sources, files, strict=True):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / place)
        ended = transcript.run(["perl", script, *options, "--file", *files], folder)
    return ended.status == 0 and not ended.printed


def _sparse(images: Images, modules: Sequence[Path], transcript: Transcript) -> bool:
    """Builds modules with sparse and with the compiler's extra warnings: any output fails."""
    passed = [_sparse_one(images, module, transcript) for module in modules]
    return all(passed)


def _sparse_one(images: Images, module: Path, transcript: Transcript) -> bool:
    with tempfile.TemporaryDirectory(prefix="pibed-") as name:
        folder = Path(name)
        for path in module.glob("*"):
            if path.is_file():
                shutil.copy(path, folder)
        trees = (images.kernel_source, images.kernel_build)
        make = module_make(*trees, images.variables, folder, "module/")
        argv = [*make, "C=2", "CHECK=sparse", "W=1", "KBUILD_VERBOSE=0", "-s"]
        ended = transcript.run(argv, images.kernel_source)
    return ended.status == 0 and not ended.printed


def _sources(folder: Path) -> list[Path]:
    """The C files and headers below a folder, but for those that are links to others."""
    found = (path for suffix in ("c", "h") for path in sorted(folder.rglob(f"*.{suffix}")))
    return [path for path in found if not path.is_symlink()]
