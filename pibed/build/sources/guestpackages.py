"""Packages of the distribution for the guest: resolved for its architecture, locked, and fetched.

apt resolves them as for a system of that architecture on which nothing is installed, in a
configuration of its own (see `aptroot`): nothing of the host's packages decides, or changes.
"""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pibed.base.errors import BuildError, HostError, UsageError
from pibed.base.files import digest_file, exclusive
from pibed.base.process import capture, run_logged
from pibed.build.sources import aptroot, guestlock
from pibed.build.sources.guestlock import Resolved
from pibed.build.sources.policy import Policy
from pibed.build.store import explain, full, no_space
from pibed.model.builder import Source
from pibed.model.machine import Machine


@dataclass(frozen=True)
class Wanted:
    """Packages that a guest is to get."""

    names: tuple[str, ...]
    lock: Path
    """The file that locks them; see `guestlock`."""
    key: str
    """Where they were asked for, for messages."""


@dataclass(frozen=True)
class Fetched:
    """Packages that are there, with all that they depend on."""

    architecture: str
    packages: Resolved
    folder: Path
    """Has their files."""
    differs: tuple[str, ...] = ()
    """What is not as it is locked, one line each."""
    note: str = ""
    """What a person should know of how they came here; empty if nothing."""
    lack: str = ""
    """Why newer versions may be unknown, in words; empty if they are not."""

    @property
    def recorded(self) -> dict[str, Source]:
        """The packages by names that no package of the host's has."""
        return {f"{name}:{self.architecture}": each for name, each in self.packages.items()}

    @property
    def files(self) -> list[Path]:
        """Their files, in the order of their names."""
        return [self.folder / name for each in self.packages.values() for name in each.files]


def architecture(machine: Machine) -> str:
    """The distribution's name of a guest's architecture; raises UsageError if it is not known."""
    if machine.packages.architecture is None:
        raise UsageError(
            f"configs/machines/{machine.name}.yaml: packages.architecture: missing, but the guest "
            "is to get packages"
        )
    return machine.packages.architecture


def fetch(wanted: Wanted, architecture: str, root: Path, policy: Policy) -> Fetched:
    """The packages as they are locked; locks them as apt has them now if they are not.

    Their files are kept in `<root>/downloads/<architecture>/`.

    Raises UsageError for a package that the distribution does not have, HostError where the policy
    refuses, BuildError when one cannot be downloaded.
    """
    store = _Store(architecture, root, wanted.key)
    try:
        with exclusive(store.folder / ".lock"):
            return _fetch(store, wanted, policy)
    except OSError as error:
        raise explain(error, root) from error


def _fetch(store: _Store, wanted: Wanted, policy: Policy) -> Fetched:
    locked = guestlock.load(wanted.lock, store.architecture, wanted.names)
    what = f"{', '.join(wanted.names)} for {store.architecture}"
    if locked is None:
        if policy.locked or policy.mirror is not None:
            raise HostError(
                f"{wanted.lock}: it does not lock {what}",
                fix="build once without --locked and --mirror, which locks them",
            )
        found = store.resolve(wanted.names)
        try:
            guestlock.write(wanted.lock, store.architecture, wanted.names, found)
        except HostError as error:
            return Fetched(
                store.architecture, found, store.folder, (f"{what}: not locked: {error.message}",)
            )
        return store.fetched(found, note=f"packages: {what}: locked in {wanted.lock}")
    if policy.refresh:
        return store.newest(wanted, locked)
    if policy.mirror is not None:
        store.copy(locked, policy.mirror, wanted.lock)
    elif not store.download(locked):
        if policy.locked:
            raise HostError(
                f"apt does not have all packages of {wanted.lock} any more",
                fix="take them from a --mirror, see docs/lock.md",
                log=store.log,
            )
        return store.newest(wanted, locked)
    return store.fetched(locked)


@dataclass
class _Store:
    """The files of one architecture's packages, and the apt that gets them."""

    architecture: str
    root: Path
    key: str
    lists_lack: str = ""
    """Why apt knows less than it should, in its words; empty if it knows all."""
    _apt: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.root / "downloads" / self.architecture

    @property
    def log(self) -> Path:
        return self.root / "logs" / f"packages-{self.architecture}.log"

    def fetched(self, packages: Resolved, differs: Sequence[str] = (), note: str = "") -> Fetched:
        """Packages whose files are here."""
        lack = self.lists_lack and f"packages: apt could not get all its lists: {self.lists_lack}"
        return Fetched(self.architecture, packages, self.folder, tuple(differs), note, lack)

    def newest(self, wanted: Wanted, locked: Resolved) -> Fetched:
        """The packages as apt has them now, held against the lock."""
        found = self.resolve(wanted.names)
        return Fetched(
            self.architecture, found, self.folder, tuple(guestlock.differences(locked, found))
        )

    def resolve(self, names: Sequence[str]) -> Resolved:
        """Downloads packages with all that they depend on, in the versions that apt has."""
        incoming = self._incoming()
        command = ["install", "--download-only", "--yes", "--no-install-recommends"]
        target = f"--option=Dir::Cache::Archives={incoming}"
        apt = self._updated()
        try:
            run_logged(["apt-get", *apt, *command, target, "--", *names], self.log)
        except BuildError as error:
            self._explain(error, names)
        found = {}
        for path in sorted(incoming.glob("*.deb")):
            fields = capture(
                ["dpkg-deb", "--show", "--showformat=${Package} ${Version}", str(path)]
            )
            name, version = fields.split()
            found[name] = Source(version=version, files={path.name: digest_file(path)})
        self._take(incoming)
        return dict(sorted(found.items()))

    def download(self, locked: Resolved) -> bool:
        """Downloads what is not there yet; returns whether apt still has it.

        Raises BuildError for a file that is another one than is locked.
        """
        missing = {name: each for name, each in locked.items() if not self._has(each)}
        if not missing:
            return True
        incoming = self._incoming()
        targets = [f"{name}={each.version}" for name, each in missing.items()]
        apt = self._updated()
        try:
            run_logged(["apt-get", *apt, "download", *targets, "--print-uris"], self.log)
        except BuildError as error:
            if self.lists_lack:
                # A list that could not be had must not look like a version that is gone.
                self._explain(error, ())
            return False
        try:
            run_logged(["apt-get", *apt, "download", *targets], self.log, cwd=incoming)
        except BuildError as error:
            self._explain(error, ())
        for each in missing.values():
            for name, digest in each.files.items():
                if not (incoming / name).is_file() or digest_file(incoming / name) != digest:
                    raise BuildError(
                        f"{name}: what was downloaded is not what is locked: SHA-256 {digest}",
                        log=self.log,
                    )
        self._take(incoming)
        return True

    def copy(self, locked: Resolved, mirror: Path, lock: Path) -> None:
        """Copies the locked files from a mirror; raises BuildError for one that it lacks."""
        incoming = self._incoming()
        for each in locked.values():
            for name, digest in each.files.items():
                source = mirror / name
                if not source.is_file() or digest_file(source) != digest:
                    what = "it is another file" if source.is_file() else "it is not there"
                    raise BuildError(
                        f"{source}: expected SHA-256 {digest}, but {what}",
                        fix=f"put the files that {lock} names into the mirror, see docs/lock.md",
                    )
                shutil.copyfile(source, incoming / name)
        self._take(incoming)

    def _has(self, source: Source) -> bool:
        return all(
            (self.folder / name).is_file() and digest_file(self.folder / name) == digest
            for name, digest in source.files.items()
        )

    def _incoming(self) -> Path:
        """An empty folder for what is downloaded, as apt wants it."""
        incoming = self.folder / "incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        (incoming / "partial").mkdir(parents=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)
        return incoming

    def _take(self, incoming: Path) -> None:
        for path in incoming.glob("*.deb"):
            path.rename(self.folder / path.name)
        shutil.rmtree(incoming)

    def _updated(self) -> list[str]:
        """apt's options, with its lists as they are today."""
        if not self._apt:
            own = self.root / "apt" / self.architecture
            options = aptroot.configure_for(self.architecture, own)
            try:
                run_logged(["apt-get", *options, "update"], self.log)
            except BuildError as error:
                # Of several archives one may be in the midst of a change.
                if not any((own / "lists").glob("*_Packages*")):
                    self._explain(error, ())
                self.lists_lack = next(
                    (line for line in error.context if line.startswith(("E: ", "W: "))), str(error)
                )
            self._apt = options
        return self._apt

    def _explain(self, error: BuildError, names: Sequence[str]) -> None:
        """Raises what a failure of apt is to the user."""
        if no_space(error, self.root):
            raise full(self.root) from None
        if unknown := self._unknown(names):
            release = aptroot.release()
            raise UsageError(
                "\n".join(
                    f"{self.key}: there is no package {name} for {self.architecture} in {release}"
                    f"{near}"
                    for name, near in unknown.items()
                ),
                fix="search with `apt-cache search WORD`; see docs/workloads.md",
            ) from None
        raise BuildError(
            f"the packages for {self.architecture} could not be downloaded",
            fix="check the network and the package sources in /etc/apt",
            log=self.log,
            context=error.context,
        ) from None

    def _unknown(self, names: Sequence[str]) -> dict[str, str]:
        """Those that apt does not have, each with the names that are nearly the same, in words."""
        if not names:
            return {}
        available = capture(["apt-cache", *self._apt, "dumpavail"])
        known = {
            line.removeprefix("Package: ")
            for line in available.splitlines()
            if line.startswith("Package: ")
        }
        found = {}
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=3, cutoff=0.75)
                found[name] = f"; there is {', '.join(near)}" if near else ""
        return found
