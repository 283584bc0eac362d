"""The packages that a machine's images are built from, and how a build stands to the lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pibed.base.errors import HostError
from pibed.build.sources import lock, standing
from pibed.build.sources.apt import Downloads, Kind, NotLockedError, SourcePackage
from pibed.build.sources.lock import Lock
from pibed.build.sources.policy import Policy
from pibed.model.builder import Standing
from pibed.model.machine import Machine


def linux(machine: Machine) -> dict[str, Kind]:
    """The package of the machine's kernel."""
    return _linux([machine.kernel.version])


def busybox() -> dict[str, Kind]:
    """The package of BusyBox."""
    return {"busybox": "source"}


def fetch(
    packages: Mapping[str, Kind], root: Path, tools: Mapping[str, str], policy: Policy
) -> tuple[list[SourcePackage], Standing]:
    """Packages in their order, downloaded into `root` if need be; `tools` are what will be used.

    Raises HostError where the policy asks for the lock and something differs, and what
    `Downloads.fetch` raises.
    """
    known = lock.load()
    if known is None and (policy.locked or policy.mirror is not None):
        raise HostError(f"there is no {lock.path()}", fix="make one with `./inv lock`")
    if known is not None and policy.locked:
        # First, since nothing needs to be downloaded to know it.
        standing.refuse(standing.differences(known, {}, tools))
    downloads = Downloads(root, known.sources if known else {}, policy)
    archives = []
    refused = []
    for package, kind in packages.items():
        try:
            archives.append(downloads.fetch(package, kind))
        except NotLockedError as error:
            if not policy.locked:
                raise
            refused.append(error.message)
    sources = {archive.package: archive.source for archive in archives}
    comparison = standing.compare(known, sources, tools)
    if policy.locked:
        standing.refuse([*refused, *comparison.differs])
    return archives, comparison


def fetch_all(
    machine: Machine, root: Path, locked: Lock | None, policy: Policy
) -> list[SourcePackage]:
    """The packages of all of the machine's kernels; see `fetch`."""
    downloads = Downloads(root, locked.sources if locked else {}, policy)
    return [
        downloads.fetch(package, kind)
        for package, kind in (_linux(machine.kernel.versions) | busybox()).items()
    ]


def _linux(series: Sequence[str]) -> dict[str, Kind]:
    return {f"linux-source-{each}": "binary" for each in series}
