"""What the kernel's own tools say of a module's sources: compiler, sparse and checkpatch.pl."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.build.debian.bench import REPRODUCIBLE
from pibed.build.debian.modules import module_make
from pibed.build.images import Images
from pibed.build.mirror import READ_BY_MAKE, mirrored
from pibed.build.sandbox import Sandbox

# Of GCC, which names the option that asks for it; of sparse, which does not.
_COMPILER = re.compile(r"(\S[^:]*:\d+(?::\d+)?: )warning: .*\[-W[\w=+-]+\]$")
_WARNING = re.compile(r"\S[^:]*:\d+(?::\d+)?: (warning|error): ")

_STYLE = re.compile(r"(.+?:\d+: (?:ERROR|WARNING|CHECK): .*)")

_VERSION = ": WARNING: LINUX_VERSION_CODE "

_SOURCES = (".c", ".h", ".S")


@dataclass(frozen=True)
class Findings:
    """A line each, with files by their names in the module's folder."""

    warnings: tuple[str, ...]
    sparse: tuple[str, ...]
    checkpatch: tuple[str, ...]


def review(images: Images, folder: Path, sandbox: Sandbox) -> Findings:
    """What is said of the module in a folder, of which `images` were made.

    Raises BuildError if it does not, LimitError for what the sandbox does not allow.
    """
    with tempfile.TemporaryDirectory(prefix="pibed-") as name:
        work = Path(name)
        style = _style(images, folder, sandbox, work)
        built = _build(images, folder, sandbox, work)
    warnings = [line for line in built if _COMPILER.match(line)]
    sparse = [line for line in built if _WARNING.match(line) and line not in warnings]
    return Findings(tuple(warnings), tuple(sparse), style)


def _build(images: Images, folder: Path, sandbox: Sandbox, work: Path) -> list[str]:
    """The lines of a build with sparse, each once."""
    lines: list[str] = []
    trees = (images.kernel_source, images.kernel_build)
    with mirrored(folder, folder, work / "tree") as mirror:
        argv = [
            *module_make(*trees, images.variables, mirror.folder, ""),
            *("C=2", "CHECK=sparse", "KBUILD_VERBOSE=0", "-s", "-j1"),
            f"{READ_BY_MAKE}=/dev/null",  # that it builds has shown what it reads
        ]
        sandbox.run(
            argv,
            work / "build.log",
            output=mirror.folder,
            readable=[*trees, mirror.top],
            sources=mirror.root,
            cwd=images.kernel_source,
            env=REPRODUCIBLE,
            on_line=lambda line: lines.append(line.rstrip("\n")),
        )
        return list(dict.fromkeys(line.replace(f"{mirror.folder}/", "") for line in lines))


def _style(images: Images, folder: Path, sandbox: Sandbox, work: Path) -> tuple[str, ...]:
    """What checkpatch.pl says of the sources from which the module was made."""
    script = images.kernel_source / "scripts" / "checkpatch.pl"
    place, made = work / "style", work / "made"
    place.mkdir()
    made.mkdir()
    names = []
    for number, path in enumerate(_sources(images, folder)):
        # Its own name may be anything; its ending decides what is looked for.
        names.append(path.relative_to(folder).as_posix())
        (place / f"{number}{path.suffix}").write_bytes(path.read_bytes())
    if not names:
        return ()
    files = [f"{place}/{number}{Path(name).suffix}" for number, name in enumerate(names)]
    options = ["--strict", "--no-tree", f"--root={images.kernel_source}", "--terse", "--no-summary"]
    # It ends with a status when it finds something, and the shell says that all went well.
    argv = ["sh", "-c", 'perl "$@" || true', "sh", str(script), *options, "--file", *files]
    lines: list[str] = []
    sandbox.run(
        argv,
        work / "style.log",
        # It may leave a file of its own where it runs.
        output=made,
        readable=[images.kernel_source],
        sources=place,
        cwd=made,
        on_line=lambda line: lines.append(line.rstrip("\n")),
    )
    found = [line.removeprefix(f"{place}/") for line in lines]
    return tuple(_named(line, names) for line in style_findings(found))


def style_findings(lines: Sequence[str]) -> list[str]:
    """Those of checkpatch.pl's lines that are meant for a module of its own.

    One that is outside of the kernel's tree has to ask for which kernel it is built. checkpatch.pl
    wants nobody to ask, and takes the question for a comparison in the wrong order as well.
    """
    asked = {line.partition(" ")[0] for line in lines if _VERSION in line}
    return [line for line in lines if _STYLE.match(line) and line.partition(" ")[0] not in asked]


def _named(line: str, names: Sequence[str]) -> str:
    file, colon, rest = line.partition(":")
    number = file.partition(".")[0]
    return f"{names[int(number)]}{colon}{rest}" if number.isdecimal() else line


def _sources(images: Images, folder: Path) -> list[Path]:
    read = sorted(Path(name) for name in images.read["module"])
    return [path for path in read if path.suffix in _SOURCES and path.is_relative_to(folder)]
