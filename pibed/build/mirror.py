"""The folder of a module, copied to where the kernel can build it, among links to its neighbours.

The kernel's build writes beside the sources and cannot work in a path with a space. Neither is to
be a matter of whoever wrote the module; and what he includes from beside his folder is found.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pibed.build import reads

KBUILD = ("Kbuild", "Makefile")
"""What the kernel's build looks for in a folder, and takes the first of."""

MAKEFILES = (*KBUILD, "makefile", "GNUmakefile")
"""What the kernel's build and make read in a folder; the copies have a line that tells what."""

# What an earlier build by hand has left beside the sources.
_MADE = re.compile(r".*\.(o|ko|mod|a|order|symvers|mod\.c)|\..*")

OBJECTS = re.compile(r".*\.[od]|\..*")
"""The same of a program, for which a library may be somebody else's."""

# A change of which of these there are can change what is compiled: by $(wildcard …), and since a
# header may be found in another place.
_SOURCES = (".c", ".h", ".S", ".inc", ".mk")

READ_BY_MAKE = "PIBED_READ"
"""Of make's variables, the one that names the file that is told what make has read."""


@dataclass(frozen=True)
class Mirror:
    """A module's folder `origin`, copied to `folder` below `top`, which stands for `root`."""

    origin: Path
    root: Path
    top: Path
    folder: Path
    files: frozenset[str]
    """What was copied, by the paths from `folder`."""

    @property
    def named(self) -> str:
        """See `named`."""
        return named(self.origin, self.root)

    @property
    def makefiles(self) -> Path:
        """The file that is told what make has read."""
        return self.folder / ".read-by-make"

    def original(self, path: str) -> Path | None:
        """The file that the build knows by this path; None for what it has made itself."""
        found = reads.actual(path, self.folder)
        if found.is_relative_to(self.folder):
            name = found.relative_to(self.folder).as_posix()
            return self.origin / name if name in self.files else None
        for copy, origin in self.levels():
            if found.is_relative_to(copy):
                return origin / found.relative_to(copy)
        return found

    def in_words(self, text: str) -> str:
        """What a program says, with the paths that the user knows."""
        for copy, origin in [(self.folder, self.origin), *self.levels()]:
            text = re.sub(rf"{re.escape(str(copy))}(?=$|[/\s:'\"\]])", str(origin), text)
        return text

    def levels(self) -> Iterator[tuple[Path, Path]]:
        """The folders above, the nearest first, and what they stand for."""
        copy, origin = self.folder, self.origin
        while copy != self.top:
            copy, origin = copy.parent, origin.parent
            yield copy, origin


@contextmanager
def mirrored(
    origin: Path, root: Path, top: Path, left_out: re.Pattern[str] = _MADE
) -> Iterator[Mirror]:
    """Makes a mirror at `top`, which is there as long as the context lasts.

    What is called like `left_out` is not copied. Above the folder the mirror has all that is in
    `root` as links, or only what is beside the folder if it does not lie in `root`. Raises OSError
    for what cannot be read.
    """
    root = root if origin.is_relative_to(root) else origin.parent
    files = frozenset(files_of(origin, left_out))
    # The names of folders on the way are of no concern to a compiler that goes up and down again.
    parts = map(_plain, origin.relative_to(root).parts)
    mirror = Mirror(origin, root, top, top.joinpath(*parts), files)
    try:
        _copy(mirror)
        for copy, above in mirror.levels():
            for path in above.iterdir():
                if not os.path.lexists(copy / path.name):
                    (copy / path.name).symlink_to(path)
        yield mirror
    finally:
        shutil.rmtree(top, ignore_errors=True)


def named(origin: Path, root: Path) -> str:
    """What a module's folder is called in the binary: its path from `root` and a slash, if any."""
    parts = origin.relative_to(root if origin.is_relative_to(root) else origin.parent).parts
    return "".join(f"{part}/" for part in parts)


def makefile(folder: Path) -> Path | None:
    """What the kernel's build reads in a folder; None if there is nothing."""
    return next((path for name in KBUILD if (path := folder / name).is_file()), None)


def sources(origin: Path) -> list[str]:
    """The names of all sources and makefiles below a module's folder."""
    return [
        path
        for path in files_of(origin)
        if path.endswith(_SOURCES) or path.rpartition("/")[2] in MAKEFILES
    ]


def read_by_kbuild(mirror: Mirror, known: Sequence[Path]) -> set[Path]:
    """The user's files from which the kernel's build has made the module.

    What lies in folders that are `known` is left out.
    """
    paths: set[str] = set()
    for file in mirror.folder.rglob(".*.cmd"):
        commands, others = reads.of_kbuild(file.read_text(encoding="utf-8", errors="replace"))
        paths.update(path for path in commands if path.startswith(f"{mirror.folder}/"))
        paths.update(others)
    if mirror.makefiles.is_file():
        paths.update(mirror.makefiles.read_text(encoding="utf-8", errors="replace").split())
    # Paths that are not absolute are those of the kernel.
    found = {mirror.original(path) for path in paths if path.startswith("/")}
    return {
        path
        for path in found
        if path is not None and path.is_file() and not any(map(path.is_relative_to, known))
    }


def _copy(mirror: Mirror) -> None:
    mirror.folder.mkdir(parents=True)
    # Behind all else, so that the lines keep their numbers.
    tell = f"\n$(file >>$({READ_BY_MAKE}),$(MAKEFILE_LIST))\n"
    for name in mirror.files:
        path = mirror.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(mirror.origin / name, path)
        if path.name in MAKEFILES:
            with path.open("a", encoding="ascii") as file:
                file.write(tell)


def files_of(
    origin: Path,
    left_out: re.Pattern[str] = _MADE,
    check: Callable[[Path], None] | None = None,
) -> list[str]:
    """All files below a folder, but hidden ones and what the kernel's build makes.

    `check` is called for each path, and for a folder's before anything in it is looked at.
    """
    found = []
    for place, folders, names in os.walk(origin, followlinks=True):
        folder = Path(place)
        paths = [folder / name for name in names if not left_out.fullmatch(name)]
        folders[:] = sorted(name for name in folders if not left_out.fullmatch(name))
        if check is not None:
            for path in (*paths, *(folder / name for name in folders)):
                check(path)
        # A link to a folder in which it lies has no end.
        above = {folder.resolve(), *folder.resolve().parents}
        folders[:] = [name for name in folders if (folder / name).resolve() not in above]
        found += [path.relative_to(origin).as_posix() for path in paths if path.is_file()]
    return sorted(found)


def _plain(name: str) -> str:
    """A name that neither make nor a shell takes for something else."""
    return re.sub(r"[^\w.+-]", "_", name, flags=re.ASCII)
