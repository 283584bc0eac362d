"""Sources from the distribution's packages, fetched with apt; see `aptroot`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pibed.base.errors import BuildError, HostError
from pibed.base.files import digest_file, digest_text, exclusive, write_file
from pibed.base.process import capture, run_logged
from pibed.build.sources import aptroot
from pibed.build.sources.policy import DEFAULT_POLICY, Policy
from pibed.build.store import explain, full, no_space, remedy
from pibed.model.builder import Source

Kind = Literal["binary", "source"]


@dataclass(frozen=True)
class SourcePackage:
    """A downloaded package: the files of `source` lie in `folder`."""

    package: str
    source: Source
    folder: Path

    @property
    def digest(self) -> str:
        """One digest of all files."""
        return digest_text(json.dumps(self.source.files, sort_keys=True))

    def path(self, suffix: str) -> Path:
        """The file whose name ends so; raises BuildError if there is none."""
        for name in sorted(self.source.files):
            if name.endswith(suffix):
                return self.folder / name
        raise BuildError(f"{self.folder}: no file *{suffix} in the package {self.package}")


class NotLockedError(HostError):
    """A package cannot be had in the version of the lock."""


class Downloads:
    """Packages kept in `<root>/downloads/<package>/`, apt's own state in `<root>/apt/`.

    A package that is there is used as it is, so that builds do not change under their user. One
    that is not is downloaded in the version that `locked` names for it, or in the newest if apt
    has that one no more; `policy` can be stricter.
    """

    def __init__(
        self, root: Path, locked: Mapping[str, Source], policy: Policy = DEFAULT_POLICY
    ) -> None:
        self.root = root
        self._locked = locked
        self._policy = policy

    def fetch(self, package: str, kind: Kind) -> SourcePackage:
        """A package's archive, downloaded if it is not there yet; apt checks its signature.

        Raises HostError where apt is not set up for it, NotLockedError if the policy asks for the
        lock's version and it cannot be had, BuildError when the download fails or the mirror does
        not have the locked files.
        """
        try:
            return self._fetch(package, kind)
        except OSError as error:
            raise explain(error, self.root) from error

    def _fetch(self, package: str, kind: Kind) -> SourcePackage:
        wanted = self._locked.get(package)
        strict = self._policy.locked or self._policy.mirror is not None
        if strict and wanted is None:
            raise NotLockedError(
                f"{package} is not in the lock", fix="add it with `./inv lock`, see docs/lock.md"
            )
        if wanted is not None and self._policy.mirror is not None:
            _verify(self._policy.mirror, wanted)
        folder = self.root / "downloads" / package
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder / ".lock"):
            archive = None if self._policy.refresh else _read(package, folder)
            # Whether the files are still what they were is looked at where it was asked for.
            if archive is None or (
                strict and wanted and (archive.source != wanted or not _has(folder, wanted))
            ):
                self._get(package, kind, folder, wanted)
                archive = _read(package, folder)
            if archive is None:
                raise BuildError(f"{folder}: the download of {package} is not whole")
            return archive

    def _get(self, package: str, kind: Kind, folder: Path, wanted: Source | None) -> None:
        """Puts a package into its folder: from the mirror, or with apt."""
        mirror = self._policy.mirror
        if self._policy.refresh:
            wanted = None
        incoming = folder / "incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir()
        if wanted is not None and mirror is not None:
            for name in wanted.files:
                shutil.copyfile(mirror / name, incoming / name)
            source = wanted
        elif wanted is not None and _has(folder, wanted):
            # Downloaded once, before another version was.
            source = wanted
        else:
            source = self._download(package, kind, incoming, wanted.version if wanted else None)
        # Gone while files are replaced that it may speak of. Older versions stay beside the new
        # one until `./inv clean --everything`.
        record = folder / "package.json"
        record.unlink(missing_ok=True)
        for path in incoming.iterdir():
            path.rename(folder / path.name)
        incoming.rmdir()
        write_file(record, json.dumps(source.model_dump(), indent=1) + "\n", remedy(self.root))

    def _download(self, package: str, kind: Kind, incoming: Path, version: str | None) -> Source:
        """Downloads that version of a package, or the newest, into an empty folder."""
        log = self.root / "logs" / f"download-{package}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        apt = ["apt-get", *aptroot.configure(self.root / "apt")]
        command = (
            ["source", "--download-only", "--only-source"] if kind == "source" else ["download"]
        )
        target = package if version is None else f"{package}={version}"
        try:
            run_logged([*apt, "update"], log)
            if version is not None and not _offered([*apt, *command, target], log):
                if self._policy.locked:
                    raise NotLockedError(
                        f"apt does not have {package} {version}",
                        fix="take it from a --mirror, see docs/lock.md",
                        log=log,
                    )
                target = package
            run_logged([*apt, *command, target], log, cwd=incoming)
        except BuildError as error:
            if no_space(error, self.root):
                raise full(self.root) from None
            raise BuildError(
                f"the package {package} could not be downloaded",
                fix="check the network and the package sources in /etc/apt",
                log=log,
                context=error.context,
            ) from None
        return _describe(kind, incoming)


def _offered(command: list[str], log: Path) -> bool:
    """Whether apt could download what this command asks for."""
    try:
        run_logged([*command, "--print-uris"], log)
    except BuildError:
        return False
    return True


def _describe(kind: Kind, folder: Path) -> Source:
    """The one package that was downloaded into a folder."""
    (main,) = folder.glob("*.dsc" if kind == "source" else "*.deb")
    if kind == "source":
        from debian.deb822 import Dsc

        with main.open(encoding="utf-8") as file:
            dsc = Dsc(file)
        version = dsc["Version"]
        names = [main.name, *(entry["name"] for entry in dsc["Checksums-Sha256"])]
    else:
        version = capture(["dpkg-deb", "--field", str(main), "Version"]).strip()
        names = [main.name]
    return Source(
        version=version, files={name: digest_file(folder / name) for name in sorted(names)}
    )


def _has(folder: Path, wanted: Source) -> bool:
    return all(
        (folder / name).is_file() and digest_file(folder / name) == digest
        for name, digest in wanted.files.items()
    )


def _verify(mirror: Path, wanted: Source) -> None:
    """Raises BuildError that names each locked file which the mirror lacks or has otherwise."""
    wrong = []
    for name, expected in sorted(wanted.files.items()):
        try:
            found = f"SHA-256 {digest_file(mirror / name)}"
        except OSError as error:
            found = error.strerror or str(error)
        if found != f"SHA-256 {expected}":
            wrong.append(f"{mirror / name}: expected SHA-256 {expected}, found: {found}")
    if wrong:
        raise BuildError(
            "\n".join(wrong),
            fix="put the files that configs/lock.yaml names into the mirror, see docs/lock.md",
        )


def _read(package: str, folder: Path) -> SourcePackage | None:
    """The archive that was downloaded, or None if there is none that is whole."""
    try:
        text = (folder / "package.json").read_text(encoding="utf-8")
        source = Source.model_validate_json(text)
    except (FileNotFoundError, ValueError):
        return None
    whole = all((folder / name).is_file() for name in source.files)
    return SourcePackage(package, source, folder) if whole else None
