"""Programs that a payload brings, in each of their forms."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pibed.model.workload import CXX


@dataclass(frozen=True)
class Program:
    """A C or C++ program, linked statically.

    `sources` are in the order in which the compiler gets them, and `libraries` follow them.
    """

    name: str
    sources: tuple[Path, ...]
    libraries: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the compiler runs, so that it meets names that are the same on every host."""
        return self.sources[0].parent

    @property
    def is_cxx(self) -> bool:
        """Whether any of it is C++."""
        return any(source.suffix in CXX for source in self.sources)

    def arguments(self, root: Path) -> list[str]:
        """The sources as the compiler gets them, relative to `folder` if they are below `root`."""
        words = []
        for source in self.sources:
            if self.is_cxx:
                # The C++ compiler takes C for C++ unless it is told.
                words += ["-x", _LANGUAGES.get(source.suffix, "c++")]
            own = source.is_relative_to(root)
            words.append(os.path.relpath(source, self.folder) if own else str(source))
        return words

    def elsewhere(self, root: Path) -> list[Path]:
        """The folders of its sources that are not below `root`."""
        folders = (source.parent for source in self.sources if not source.is_relative_to(root))
        return list(dict.fromkeys(folders))


_LANGUAGES = {".c": "c", ".S": "assembler-with-cpp", ".s": "assembler"}


@dataclass(frozen=True)
class Ready:
    """A program that is put into the guest as it is: a script, or one built for the guest."""

    name: str
    file: Path
    script: bool


@dataclass(frozen=True)
class Target:
    """A program that the Makefile of a folder makes: its `file`, relative to the folder."""

    name: str
    folder: Path
    target: str
    file: str
    libraries: tuple[str, ...] = ()


AnyProgram: TypeAlias = Program | Ready | Target
