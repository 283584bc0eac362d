"""Buildroot itself: the commit that the lock pins, out of a repository, or a folder of the user's.

Nothing is ever built or changed in it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import BuildError, UsageError
from pibed.base.files import digest_files
from pibed.base.process import capture, run_logged
from pibed.build.making import Workbench
from pibed.build.sources.lock import Pin
from pibed.build.store import Step

_VERSION = re.compile(r"^export BR2_VERSION := (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Tree:
    """A Buildroot to build with."""

    path: Path
    version: str
    """As it states it, such as 2025.02.16."""
    key: str
    """Stands for its content: the commit, or a digest of all files."""
    differs: tuple[str, ...]
    """How it differs from the lock, one line each."""


def fetch(bench: Workbench, pin: Pin, repository: str) -> Tree:
    """The pinned commit, fetched from a repository if it is not there yet.

    Raises BuildError if it cannot be had there or the tag is another commit's.
    """

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        git = ["git", "-C", str(folder)]
        fix = (
            "check the network, name a mirror or a local clone with PIBED_BUILDROOT or in "
            "configs/buildroot.yaml, or give a folder with --buildroot-dir; see docs/builders.md"
        )
        run_logged([*git, "init", "--quiet"], log)
        try:
            run_logged(
                [*git, "fetch", "--depth", "1", repository, f"refs/tags/{pin.tag}"],
                log,
                env={"GIT_TERMINAL_PROMPT": "0"},
                on_line=on_line,
            )
        except BuildError as error:
            raise BuildError(
                f"Buildroot {pin.tag} could not be fetched from {repository}",
                fix=fix,
                log=log,
                context=error.context,
            ) from None
        found = _git(folder, "rev-parse", "FETCH_HEAD^{commit}")
        if found != pin.commit:
            raise BuildError(
                f"{repository}: the tag {pin.tag} is the commit {found}, "
                f"and configs/lock.yaml has {pin.commit}",
                fix="take another repository, or correct the lock, see docs/lock.md",
                log=log,
            )
        # To the byte what was committed, whatever the user has git do elsewhere.
        plain = ["-c", "core.autocrlf=false", "-c", "core.eol=lf", "-c", "core.attributesFile="]
        run_logged([*git, *plain, "checkout", "--quiet", pin.commit], log)
        shutil.rmtree(folder / ".git")

    step = Step("buildroot-source", {"commit": pin.commit}, expected_s=60)
    path = bench.run(step, make).path
    return Tree(path, _version(path), pin.commit, ())


def of_folder(path: Path, pin: Pin) -> Tree:
    """A folder as it is; raises UsageError if it is no Buildroot that can be built with."""
    if set(str(path)) & set(" :@\t\n"):
        raise UsageError(
            f"--buildroot-dir {path}: Buildroot cannot work in a path with a space, a colon or @",
            fix="name it by another path, such as that of a symbolic link",
        )
    version = _version(path)
    commit = _git(path, "rev-parse", "HEAD") if (path / ".git").exists() else None
    differs = []
    if commit is None:
        if version != pin.tag:
            differs.append(f"buildroot {version} instead of {pin.tag}")
        else:
            differs.append(f"buildroot {version} from a folder that states no commit")
    elif commit != pin.commit:
        differs.append(f"buildroot {version}, commit {commit} instead of {pin.commit}")
    # Buildroot takes packages and patches by wildcards, whatever the user has git ignore.
    elif _git(path, "status", "--porcelain", "--untracked-files=no") or _git(
        path, "ls-files", "--others", "--exclude-per-directory=.gitignore"
    ):
        differs.append(f"buildroot {version} with changed or added files in {path}")
    if commit is not None and not differs:
        return Tree(path, version, commit, ())
    files = [
        each
        for each in path.rglob("*")
        if each.is_file()
        and not each.is_symlink()
        and each.relative_to(path).parts[0] not in (".git", "output", "dl")
    ]
    return Tree(path, version, digest_files(path, files), tuple(differs))


def _version(path: Path) -> str:
    try:
        match = _VERSION.search((path / "Makefile").read_text(encoding="utf-8"))
    except OSError:
        match = None
    if match is None:
        raise UsageError(
            f"{path}: there is no Buildroot in it",
            fix="name a folder with Buildroot's sources, see docs/builders.md",
        )
    return match[1]


def _git(folder: Path, *arguments: str) -> str:
    # Reading another user's folder does no harm.
    safe = f"safe.directory={folder.resolve()}"
    return capture(["git", "-c", safe, "-C", str(folder), *arguments]).strip()
