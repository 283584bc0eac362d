"""The builders, and which one a command or a manifest asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pibed.base.errors import BuildError, UsageError
from pibed.build import host
from pibed.build.buildroot import images as buildroot
from pibed.build.buildroot import tree as upstream
from pibed.build.debian import images as debian
from pibed.build.host import Prerequisite
from pibed.build.images import Images
from pibed.build.making import Order
from pibed.build.sources import lock
from pibed.model.builder import Made, Settings, load_settings
from pibed.model.machine import Machine


class Builder(Protocol):
    """Makes images."""

    @property
    def expected_s(self) -> float:
        """How many seconds a build from nothing takes on two cores."""

    @property
    def downloads(self) -> tuple[str, ...]:
        """Folders of the cache folder with what came from elsewhere: nothing in them is built."""

    @property
    def setup(self) -> str:
        """The command that installs what is missing on the host."""

    def prerequisites(self, machine: Machine) -> list[Prerequisite]:
        """What the host must have for building and running."""

    def build(self, order: Order) -> Images:
        """Makes what is not there yet; see `pibed.build.debian.images.build`."""

    def without_cache(self) -> Builder:
        """The same, compiling everything itself."""

    def legal_info(self, order: Order, images: Images, target: Path) -> None:
        """Puts licences and sources of images that it made into the folder `target`."""


@dataclass(frozen=True)
class Debian:
    """The default: cross compiler and sources from the distribution's packages."""

    expected_s: float = 220
    downloads: tuple[str, ...] = ("downloads",)
    setup: str = "./inv setup"

    def prerequisites(self, machine: Machine) -> list[Prerequisite]:
        """See `Builder`."""
        return host.prerequisites(machine)

    def build(self, order: Order) -> Images:
        """See `Builder`."""
        return debian.build(order)

    def without_cache(self) -> Builder:
        """See `Builder`: compilers run by themselves anyway."""
        return self

    def legal_info(self, order: Order, images: Images, target: Path) -> None:
        """See `Builder`."""
        debian.legal_info(order, images, target)


@dataclass(frozen=True)
class Buildroot:
    """Buildroot with the external tree of the checkout; `folder` in the place of the lock's."""

    settings: Settings
    folder: Path | None = None
    # With the distribution's toolchain; others are downloaded or built on top.
    expected_s: float = 270
    downloads: tuple[str, ...] = ("downloads", "steps/buildroot-source", "buildroot/dl")

    @property
    def setup(self) -> str:
        """See `Builder`."""
        return f"./inv setup --builder buildroot --toolchain {self.settings.toolchain}"

    def prerequisites(self, machine: Machine) -> list[Prerequisite]:
        """See `Builder`."""
        distro = self.settings.toolchain == "distro"
        known = Debian().prerequisites(machine)
        more = host.for_buildroot(distro, self.settings.ccache)
        names = {each.name for each in more}
        ours = [each for each in known if (distro or not each.cross) and each.name not in names]
        return [*ours, *more]

    def build(self, order: Order) -> Images:
        """See `Builder`."""
        return buildroot.build(order, self.settings, self.folder)

    def without_cache(self) -> Builder:
        """See `Builder`."""
        return replace(self, settings=self.settings.model_copy(update={"ccache": False}))

    def legal_info(self, order: Order, images: Images, target: Path) -> None:
        """See `Builder`."""
        buildroot.legal_info(order, self.settings, self.folder, images, target)


DEFAULT = Debian()


def choose(name: str | None, toolchain: str | None, folder: str | None) -> Builder:
    """The builder that the command line asks for; raises UsageError for what contradicts."""
    if name in (None, "debian"):
        for option, value in (("--toolchain", toolchain), ("--buildroot-dir", folder)):
            if value is not None:
                raise UsageError(f"{option} {value}: only with --builder buildroot")
        return DEFAULT
    if name != "buildroot":
        raise UsageError(f"--builder {name}: expected one of: debian, buildroot")
    if folder == "":
        raise UsageError("--buildroot-dir: it names no folder")
    overrides = {} if toolchain is None else {"toolchain": toolchain}
    path = None if folder is None else Path(folder).absolute()
    return Buildroot(load_settings(overrides), path)


def recorded(made: Made) -> Builder:
    """The builder that made something, with where its sources come from as it is today.

    Raises UsageError if they were in a folder and are nowhere any more.
    """
    if made.settings is None:
        return DEFAULT
    here = {"repository": load_settings({}).repository}
    return Buildroot(Settings.model_validate(made.settings.model_dump() | here), _folder(made))


def _folder(made: Made) -> Path | None:
    """Where Buildroot is that was in a folder; None if it is the one that the lock pins."""
    known = lock.load()
    if made.folder is None or known is None or known.buildroot is None:
        return None if made.folder is None else Path(made.folder)
    folder, pin = Path(made.folder), known.buildroot
    try:
        found = upstream.of_folder(folder, pin).key
    except (UsageError, BuildError):
        found = None
    if found != made.source and made.source == pin.commit:
        return None
    if found is None:
        raise UsageError(
            f"{folder}: there is no Buildroot in it any more; the run's images were made with "
            f"{made.version} from there ({_content(made.source)})",
            fix="put the same there again",
        )
    return folder


def _content(source: str | None) -> str:
    if source is not None and re.fullmatch(r"[0-9a-f]{40}", source):
        return f"commit {source}"
    return "with changed files, or without git's"
