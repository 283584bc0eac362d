"""What makes images, and from what: how Buildroot is set up, what a manifest says of builds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from pibed.base import places
from pibed.model.loading import Record, load_file

# Names of files and versions become parts of paths and of apt's command line.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+~_%-]*$")]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Source(Record):
    """A package of the distribution that something is built from."""

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+~:-]*$")]
    """The package's version."""
    files: Annotated[dict[FileName, Sha256], Field(min_length=1)]
    """Its files and their SHA-256."""


@dataclass(frozen=True)
class Standing:
    """How a build stands to the lock: the SHA-256 of the lock file (None without one), and what
    differs from it, one line each.
    """

    digest: str | None
    differs: tuple[str, ...]


SandboxKind = Literal["bubblewrap", "none"]
"""What held the build of a user's files; `none`: they had the rights of whoever ran pibed."""

ToolchainName = Literal["bootlin", "internal", "path", "distro"]


class Settings(Record):
    """How the builder `buildroot` builds; `configs/buildroot.yaml`."""

    schema_version: Literal[1]
    repository: Annotated[str, Field(min_length=1)]
    """URL or folder of a git repository of Buildroot; PIBED_BUILDROOT replaces it."""
    toolchain: ToolchainName
    """What compiles for the guest; see docs/builders.md."""
    path: Annotated[str, Field(pattern=r"^/[^\s:]+$")] | None
    """Folder of the toolchain `path`, with its programs in `bin/`."""
    prefix: Annotated[str, Field(pattern=r"^[\w.-]*[\w.]$")] | None
    """What its programs' names begin with, such as `arm-linux-gnueabihf`."""
    ccache: bool
    """Whether compiled files are kept for the next build folder."""
    silence_s: Annotated[float, Field(gt=0)]
    """Host seconds after which a build that prints nothing is stopped."""

    @model_validator(mode="after")
    def _path_is_given(self) -> Settings:
        if self.toolchain == "path" and (self.path is None or self.prefix is None):
            raise ValueError("toolchain: 'path' needs path and prefix")
        return self


class RecordedSettings(Settings):
    """Settings as a manifest has them."""

    repository: Annotated[str, Field(exclude=True)] = ""
    """Not recorded: it is this host's affair, and may name a person."""


class Made(Record):
    """What made a run's images, as its manifest has it; only Buildroot has more than a name."""

    name: Literal["debian", "buildroot"]
    version: str | None = None
    source: str | None = None
    """The commit of Buildroot, or a digest of its files."""
    folder: str | None = None
    """Where it was, if it was not fetched."""
    settings: RecordedSettings | None = None
    packages: dict[str, str] = {}
    overrides: dict[str, str] = {}

    @model_validator(mode="after")
    def _buildroot_is_described(self) -> Made:
        if self.name == "buildroot":
            for key in ("version", "source", "settings"):
                if getattr(self, key) is None:
                    raise ValueError(f"{key} is missing")
        return self

    @model_serializer(mode="wrap")
    def _with_what_it_has(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        described: dict[str, Any] = dump(self)
        return described if self.settings is not None else {"name": self.name}

    @property
    def words(self) -> str:
        """For people: `buildroot 2025.02.16, toolchain distro; overridden: busybox, host-tar`."""
        if self.settings is None:
            return self.name
        overridden = f"; overridden: {', '.join(sorted(self.overrides))}" if self.overrides else ""
        return f"{self.name} {self.version}, toolchain {self.settings.toolchain}{overridden}"


def load_settings(overrides: Mapping[str, str]) -> Settings:
    """Reads `configs/buildroot.yaml`; raises UsageError with file, key and expectation."""
    path = places.checkout() / "configs" / "buildroot.yaml"
    if repository := os.environ.get("PIBED_BUILDROOT"):
        overrides = {"repository": repository, **overrides}
    settings = load_file(Settings, path, overrides)
    # git works elsewhere, and knows no home folders.
    local = Path(settings.repository).expanduser()
    if local.is_dir():
        return settings.model_copy(update={"repository": str(local.absolute())})
    return settings
