"""Files that a build has read and that nobody declared: the compiler and make tell which.

A file below the folder that a payload's paths are relative to goes by its path there, so that it
has the same name on every host; any other one by its absolute path.

What is known so: each source, header, and file of the linker that compiling named, wherever it
lies. What is not: what a makefile learns by $(shell …), and what the assembler's .incbin reads.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from pibed.base.errors import BuildError
from pibed.base.files import digest_file, digest_text

Read: TypeAlias = Mapping[str, str]
"""Names of files, and their SHA-256."""

# A word of make's, in which a space and a number sign have a backslash.
_WORD = re.compile(r"(?:\\[ #]|\S)+")


def name_of(path: Path, root: Path) -> str:
    """The name of a file, see above."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def digests(paths: Iterable[Path], root: Path) -> dict[str, str]:
    """Files by their names, in the order of these; raises OSError for one that is not there."""
    return dict(sorted((name_of(path, root), digest_file(path)) for path in paths))


def digest(read: Read) -> str:
    """One digest of all."""
    return digest_text("".join(f"{name}\n{value}\n" for name, value in sorted(read.items())))


def copy(read: Read, root: Path, target: Path) -> None:
    """Copies the files below `root` into a folder, where they have the same names."""
    for name in read:
        if not Path(name).is_absolute():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, target / name)


def copy_tree(folder: str | None, root: Path, target: Path) -> None:
    """Copies a folder in `root`, if there is one, with its links as they are."""
    if folder is not None and (root / folder).is_dir():
        shutil.copytree(root / folder, target / folder, symlinks=True, dirs_exist_ok=True)


def unchanged(read: Read, root: Path) -> bool:
    """Whether all are what they were."""
    try:
        return all(digest_file(root / name) == value for name, value in read.items())
    except OSError:
        return False


def require_older(read: Read, root: Path, began_ns: int) -> None:
    """Raises BuildError for a file that was written since a build began: which of its contents was
    compiled is not known then. `began_ns` is a time of `time.time_ns`.
    """
    for name in read:
        if (root / name).stat().st_mtime_ns >= began_ns:
            raise BuildError(
                f"{root / name}: it was changed while it was compiled", fix="run the command again"
            )


def actual(path: str, folder: Path) -> Path:
    """A file that a program in `folder` opened under this path, without the dots in it."""
    given = folder / path
    plain = Path(os.path.normpath(given))
    # Behind a link to a folder, `..` is another folder than the text says.
    return plain if plain.exists() and plain.samefile(given) else given.resolve()


def prerequisites(rules: str) -> list[str]:
    """The files that makefile rules depend on, as compilers write these (option -M)."""
    found = []
    for rule in rules.replace("\\\n", " ").splitlines():
        _, colon, files = rule.partition(": ")
        if colon:
            found += [_unescaped(word) for word in _WORD.findall(files)]
    return found


def _unescaped(word: str) -> str:
    return re.sub(r"\\([ #])", r"\1", word).replace("$$", "$")


def of_kbuild(text: str) -> tuple[list[str], list[str]]:
    """The paths in a file of the kernel's build, `.NAME.cmd`: those in commands, and all others.

    See scripts/basic/fixdep.c of Linux. In a command, any file of the host's can occur as well.
    """
    commands: list[str] = []
    others: list[str] = []
    for line in text.replace("\\\n", " ").splitlines():
        words = [word.strip("\"'") for word in line.split()]
        paths = [word for word in words if "/" in word]
        (commands if line.startswith(("cmd_", "savedcmd_")) else others).extend(paths)
    return commands, others


def linked(cflags: Sequence[str], folder: Path) -> set[Path]:
    """The files that options name for the linker: objects, archives, scripts, libraries (-l).

    What the compiler's own folders have is not among them.
    """
    found = set()
    folders = [folder / flag[2:] for flag in cflags if flag.startswith("-L")]
    folders += [folder / b for a, b in itertools.pairwise(cflags) if a == "-L"]
    for flag in cflags:
        for part in re.split(r"[,=]", flag):
            found |= {folder / part, folder / part.removeprefix("-T").removeprefix("@")}
        if flag.startswith("-l"):
            name = flag[3:] if flag.startswith("-l:") else f"lib{flag[2:]}.a"
            found |= {each / name for each in folders}
    return {actual(str(path), folder) for path in found if path.is_file()}
