"""Sources from the distribution's packages, fetched with apt.

apt runs with a configuration folder of its own: the system's package sources for the running
release, with source packages added. No root is needed and nothing of the system changes.
"""

from __future__ import annotations

import errno
import fcntl
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pibed.errors import BuildError, HostError
from pibed.process import capture, run_logged
from pibed.store import digest_file, digest_text, explain, no_space

Kind = Literal["binary", "source"]

_SYSTEM = Path("/etc/apt")
_OS_RELEASE = Path("/etc/os-release")


@dataclass(frozen=True)
class Archive:
    """A downloaded package: its files lie in `folder`; `files` maps their names to SHA-256."""

    package: str
    version: str
    folder: Path
    files: dict[str, str]

    @property
    def digest(self) -> str:
        """One digest of all files."""
        return digest_text(json.dumps(self.files, sort_keys=True))

    def path(self, suffix: str) -> Path:
        """The file whose name ends so; raises BuildError if there is none."""
        for name in sorted(self.files):
            if name.endswith(suffix):
                return self.folder / name
        raise BuildError(f"{self.folder}: no file *{suffix} in the package {self.package}")


class Downloads:
    """Packages kept in `<root>/downloads/<package>/`, apt's own state in `<root>/apt/`.

    A package that is there is used as it is, so that builds do not change under their user;
    `refresh` asks for the newest once more.
    """

    def __init__(self, root: Path, refresh: bool = False) -> None:
        self.root = root
        self._refresh = refresh

    def fetch(self, package: str, kind: Kind) -> Archive:
        """A package's archive, downloaded if it is not there yet; apt checks its signature.

        Raises HostError where apt is not set up for it, BuildError when the download fails.
        """
        try:
            return self._fetch(package, kind)
        except OSError as error:
            raise explain(error, self.root) from error

    def _fetch(self, package: str, kind: Kind) -> Archive:
        folder = self.root / "downloads" / package
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            archive = None if self._refresh else _read(package, folder)
            if archive is None:
                self._download(package, kind, folder)
                archive = _read(package, folder)
            if archive is None:
                raise BuildError(f"{folder}: the download of {package} is not whole")
            return archive

    def _download(self, package: str, kind: Kind, folder: Path) -> None:
        options = self._configure()
        log = self.root / "logs" / f"download-{package}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        command = (
            ["source", "--download-only", "--only-source"] if kind == "source" else ["download"]
        )
        try:
            run_logged(["apt-get", *options, "update"], log)
            run_logged(["apt-get", *options, *command, package], log, cwd=folder)
        except BuildError as error:
            if no_space(error, self.root):
                raise explain(OSError(errno.ENOSPC, ""), self.root) from None
            raise BuildError(
                f"the package {package} could not be downloaded",
                fix="check the network and the package sources in /etc/apt",
                log=log,
                context=error.context,
            ) from None
        suffix = ".dsc" if kind == "source" else ".deb"
        # The newest by time: older versions stay until `invoke clean --everything`.
        newest = max(folder.glob(f"*{suffix}"), key=lambda path: path.stat().st_mtime_ns)
        if kind == "source":
            from debian.deb822 import Dsc

            with newest.open(encoding="utf-8") as file:
                dsc = Dsc(file)
            version = dsc["Version"]
            names = [newest.name, *(entry["name"] for entry in dsc["Checksums-Sha256"])]
        else:
            version = capture(["dpkg-deb", "--field", str(newest), "Version"]).strip()
            names = [newest.name]
        record = {
            "version": version,
            "files": {name: digest_file(folder / name) for name in sorted(names)},
        }
        unfinished = folder / "package.json.unfinished"
        unfinished.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        unfinished.rename(folder / "package.json")

    def _configure(self) -> list[str]:
        """Writes the private configuration; returns apt-get's options to use it."""
        own = self.root / "apt"
        for folder in ("lists/partial", "cache/archives/partial", "sources.list.d"):
            (own / folder).mkdir(parents=True, exist_ok=True)
        sources = own / "sources.list.d" / "pibed.sources"
        sources.write_text(_system_sources(_release()), encoding="utf-8")
        settings = {
            "Dir::Etc::SourceList": "/dev/null",
            "Dir::Etc::SourceParts": own / "sources.list.d",
            "Dir::State::Lists": own / "lists",
            "Dir::Cache": own / "cache",
            "APT::Sandbox::User": "root",  # no switch of users: the folders are the caller's
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        return ["--quiet", *(f"--option={key}={value}" for key, value in settings.items())]


def _read(package: str, folder: Path) -> Archive | None:
    """The archive that was downloaded, or None if there is none that is whole."""
    try:
        record = json.loads((folder / "package.json").read_text(encoding="utf-8"))
        archive = Archive(package, record["version"], folder, dict(record["files"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    whole = all((folder / name).is_file() for name in archive.files)
    return archive if whole else None


def _release() -> str:
    for line in _OS_RELEASE.read_text(encoding="utf-8").splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip().strip('"')
    raise HostError(f"{_OS_RELEASE}: no VERSION_CODENAME; the builder 'debian' needs Debian")


def _system_sources(codename: str) -> str:
    """The system's package sources for the release, as deb822 text, with source packages added.

    Sources of other releases are left out. See sources.list(5).
    """
    from debian.deb822 import Deb822

    wanted = {codename, f"{codename}-updates", f"{codename}-security"}
    stanzas = []
    for path in sorted((_SYSTEM / "sources.list.d").glob("*.sources")):
        with path.open(encoding="utf-8") as file:
            for paragraph in Deb822.iter_paragraphs(file, use_apt_pkg=False):
                suites = [suite for suite in paragraph.get("Suites", "").split() if suite in wanted]
                if suites and paragraph.get("Enabled", "yes").lower() not in ("no", "false", "0"):
                    paragraph["Types"] = "deb deb-src"
                    paragraph["Suites"] = " ".join(suites)
                    stanzas.append(paragraph.dump())
    for path in [_SYSTEM / "sources.list", *sorted((_SYSTEM / "sources.list.d").glob("*.list"))]:
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                if stanza := _from_one_line(line, wanted):
                    stanzas.append(stanza)
    if not stanzas:
        raise HostError(
            f"apt has no package sources for {codename} in {_SYSTEM}",
            fix="add the distribution's own package sources",
        )
    return "\n".join(stanzas)


def _from_one_line(line: str, wanted: set[str]) -> str | None:
    """A one-line entry ("deb [options] uri suite component…") as deb822, if its suite is wanted."""
    words = line.partition("#")[0].split()
    if not words or words[0] != "deb":
        return None
    text = " ".join(words[1:])
    options = ""
    if text.startswith("["):
        options, _, text = text[1:].partition("]")
    parts = text.split()
    if len(parts) < 2:
        return None
    uri, suite, *components = parts
    if suite not in wanted:
        return None
    names = {"signed-by": "Signed-By", "trusted": "Trusted"}
    stanza = (
        f"Types: deb deb-src\nURIs: {uri}\nSuites: {suite}\nComponents: {' '.join(components)}\n"
    )
    for option in options.split():
        key, _, value = option.partition("=")
        if key in names:
            stanza += f"{names[key]}: {value}\n"
    return stanza
