"""What Buildroot prints and leaves behind while it builds: which packages are done, what failed."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pibed.base.errors import BuildError

_FAILED = re.compile(r"^make(?:\[\d+\])?: \*\*\* \[")

_PACKAGE = re.compile(r"^make(?:\[1\])?: \*\*\* \[[^]]*?/build/([^/\]]+)/\.stamp_(\w+)\]")

_MESSAGE = re.compile(r">>> (\S+) +(\S*) *((?:Download|Extract|Patch|Configur|Build|Install)\w+)")

_HASH = re.compile(r"ERROR: (?:while checking hashes|No hash found)")


class Phase(StrEnum):
    """What is done with a package, in the order of it."""

    DOWNLOADED = "downloaded"
    EXTRACTED = "extracted"
    COPIED = "copied"
    PATCHED = "patched"
    CONFIGURED = "configured"
    BUILT = "built"
    INSTALLED = "installed"


# The phases by the stamp files that appear when they are done.
_STAMPS = {
    "downloaded": Phase.DOWNLOADED,
    "actual_downloaded": Phase.DOWNLOADED,
    "extracted": Phase.EXTRACTED,
    "rsynced": Phase.COPIED,
    "patched": Phase.PATCHED,
    "dotconfig": Phase.CONFIGURED,
    "kconfig_fixup_done": Phase.CONFIGURED,
    "configured": Phase.CONFIGURED,
    "built": Phase.BUILT,
    "staging_installed": Phase.INSTALLED,
    "target_installed": Phase.INSTALLED,
    "images_installed": Phase.INSTALLED,
    "host_installed": Phase.INSTALLED,
    "installed": Phase.INSTALLED,
}

# Of a package that failed: its last words.
_LINES = 15


@dataclass
class PackageLog:
    """Follows a build in the output folder `folder`, line by line.

    `packages` has the name of each package by that of its folder, `say` gets a line for each that
    is done.
    """

    folder: Path
    packages: Mapping[str, str]
    say: Callable[[str], None]
    _start: float = field(default_factory=time.monotonic)
    _done: set[str] = field(default_factory=set)
    _last: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))
    _words: list[str] = field(default_factory=list)
    _failed: tuple[str, Phase | str] | None = None
    """The first package that failed, and at what: the stamp file's name if it is not known."""
    _full: str | None = None

    def __post_init__(self) -> None:
        self._done |= self._installed()

    def on_line(self, line: str) -> None:
        """Takes in a line of Buildroot's output."""
        line = line.rstrip("\n")
        self._last.append(line)
        if self._full is None and "No space left on device" in line:
            self._full = line
        if _FAILED.match(line):
            # The first is the one that the others follow from.
            self._words = self._words or list(self._last)
            if self._failed is None and (match := _PACKAGE.match(line)):
                name = self.packages.get(match[1], match[1])
                self._failed = name, _STAMPS.get(match[2], match[2])
        elif _MESSAGE.search(line):
            self._tell()

    def failure(self, error: BuildError, log: Path) -> BuildError:
        """An error of make as one that names the package, the step, and the last lines of it."""
        self._tell()
        message, fix = self._explained(error)
        return BuildError(
            f"Buildroot: {message}",
            fix=fix,
            log=log,
            context=[*([self._full] if self._full else []), *(self._words or error.context)],
        )

    def _explained(self, error: BuildError) -> tuple[str, str]:
        """What failed, and what to do."""
        go_on = "see the log; what was built so far is kept, and the same command goes on with it"
        match self._failed:
            case None:
                return error.message, go_on
            case (name, Phase.DOWNLOADED) if any(map(_HASH.search, self._words)):
                return (
                    f"the package {name} has other bytes than expected where it was downloaded",
                    "take another mirror; the digests that are known are Buildroot's and the "
                    "lock's",
                )
            case (name, Phase.DOWNLOADED):
                return (
                    f"the package {name} could not be downloaded",
                    "check the network; where only a mirror of the distribution is reached, take "
                    "--toolchain distro, see docs/builders.md",
                )
            case (name, phase):
                return f"the package {name} could not be {phase}", go_on

    def finished(self) -> None:
        """Tells of what is done at the end."""
        self._tell()

    def _tell(self) -> None:
        for name in sorted(self._installed() - self._done):
            self._done.add(name)
            seconds = time.monotonic() - self._start
            self.say(f"{name}: done, {len(self._done)} of {len(self.packages)}, {seconds:.0f} s")

    def _installed(self) -> set[str]:
        """Of the packages that are counted; virtual ones have stamps as well."""
        stamps = self.folder.glob("build/*/.stamp_installed")
        folders = {path.parent.name for path in stamps}
        return {name for folder, name in self.packages.items() if folder in folders}
