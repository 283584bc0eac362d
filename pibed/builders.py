"""The builders: what makes a machine's images, and which one a command or a manifest asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from pibed import build, buildroot, host, recipe
from pibed.build import Images, Progress
from pibed.config import Machine
from pibed.errors import UsageError
from pibed.host import Prerequisite
from pibed.lock import Policy
from pibed.payload import Payload
from pibed.recipe import Settings


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

    def build(
        self,
        machine: Machine,
        payload: Payload,
        root: Path,
        progress: Progress,
        policy: Policy,
        jobs: int | None = None,
    ) -> Images:
        """Makes what is not there yet; see `pibed.build.build`."""

    def without_cache(self) -> Builder:
        """The same, compiling everything itself."""

    def legal_info(
        self,
        machine: Machine,
        payload: Payload,
        root: Path,
        progress: Progress,
        images: Images,
        target: Path,
    ) -> None:
        """Puts licences and sources of images that it made into the folder `target`."""


@dataclass(frozen=True)
class Debian:
    """The default: cross compiler and sources from the distribution's packages."""

    expected_s: float = 220
    downloads: tuple[str, ...] = ("downloads",)
    setup: str = "./inv setup"

    def prerequisites(self, machine: Machine) -> list[Prerequisite]:
        """See `Builder`."""
        return host.prerequisites(
            machine.qemu.binary, machine.qemu.minimum_version, machine.cross_compile
        )

    def build(
        self,
        machine: Machine,
        payload: Payload,
        root: Path,
        progress: Progress,
        policy: Policy,
        jobs: int | None = None,
    ) -> Images:
        """See `Builder`."""
        return build.build(machine, payload, root, progress, policy, jobs)

    def without_cache(self) -> Builder:
        """See `Builder`: compilers run by themselves anyway."""
        return self

    def legal_info(
        self,
        machine: Machine,
        payload: Payload,
        root: Path,
        progress: Progress,
        images: Images,
        target: Path,
    ) -> None:
        """See `Builder`."""
        build.legal_info(machine, root, images, target)


@dataclass(frozen=True)
class Buildroot:
    """Buildroot with the external tree of the checkout; `folder` in the place of the lock's."""

    settings: Settings
    folder: Path | None = None
    # With the distribution's toolchain; others are downloaded or built on top.
    expected_s: float = 350
    downloads: tuple[str, ...] = ("downloads", "steps/buildroot-source", "buildroot/dl")

    @property
    def setup(self) -> str:
        """See `Builder`."""
        return f"./inv setup --builder buildroot --toolchain {self.settings.toolchain}"

    def prerequisites(self, machine: Machine) -> list[Prerequisite]:
        """See `Builder`."""
        distro = self.settings.toolchain == "distro"
        known = Debian().prerequisites(machine)
        ours = [each for each in known if distro or each.package not in _cross(machine)]
        return [*ours, *host.for_buildroot(distro, self.settings.ccache)]

    def build(
        self,
        machine: Machine,
        payload: Payload,
        root: Path,
        progress: Progress,
        policy: Policy,
        jobs: int | None = None,
    ) -> Images:
        """See `Builder`."""
        return buildroot.build(
            self.settings, self.folder, machine, payload, root, progress, policy, jobs
        )

    def without_cache(self) -> Builder:
        """See `Builder`."""
        return replace(self, settings=self.settings.model_copy(update={"ccache": False}))

    def legal_info(
        self,
        machine: Machine,
        payload: Payload,
        root: Path,
        progress: Progress,
        images: Images,
        target: Path,
    ) -> None:
        """See `Builder`."""
        buildroot.legal_info(self.settings, self.folder, machine, payload, root, progress, target)


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
    overrides = {} if toolchain is None else {"toolchain": toolchain}
    path = None if folder is None else Path(folder).absolute()
    return Buildroot(recipe.load(overrides), path)


def recorded(content: Mapping[str, Any]) -> Builder:
    """The builder that a manifest names, with where its sources come from as it is today.

    Raises UsageError for one that is unknown.
    """
    builder = content.get("builder", {"name": "debian"})
    if builder.get("name") == "debian":
        return DEFAULT
    try:
        settings = Settings.model_validate(builder.get("settings"))
    except ValidationError as error:
        raise UsageError(f"builder: {error.errors()[0]['msg']}") from None
    here = recipe.load({})
    folder = builder.get("folder")
    return Buildroot(
        settings.model_copy(update={"repository": here.repository}),
        None if folder is None else Path(folder),
    )


def _cross(machine: Machine) -> set[str]:
    triplet = machine.cross_compile.rstrip("-")
    return {f"gcc-{triplet}", "libc6-dev-armhf-cross"}
