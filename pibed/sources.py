"""The packages that a machine's images are built from, and how a build stands to the lock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pibed import lock
from pibed.apt import Archive, Downloads, Kind, NotLockedError
from pibed.config import Machine
from pibed.errors import HostError
from pibed.lock import Comparison, Lock, Policy
from pibed.toolchain import Toolchain


def fetch(
    machine: Machine, root: Path, tools: Toolchain, policy: Policy
) -> tuple[list[Archive], Comparison]:
    """The machine's kernel and BusyBox, in that order, downloaded into `root` if need be.

    Raises HostError where the policy asks for the lock and something differs, and what
    `Downloads.fetch` raises.
    """
    known = lock.load()
    if known is None and (policy.locked or policy.mirror is not None):
        raise HostError(f"there is no {lock.path()}", fix="make one with `invoke lock`")
    if known is not None and policy.locked:
        # First, since nothing needs to be downloaded to know it.
        lock.refuse(lock.differences(known, {}, tools.all))
    downloads = Downloads(root, known.sources if known else {}, policy)
    archives = []
    refused = []
    for package, kind in _packages([machine.kernel.version]).items():
        try:
            archives.append(downloads.fetch(package, kind))
        except NotLockedError as error:
            if not policy.locked:
                raise
            refused.append(error.message)
    sources = {archive.package: archive.source for archive in archives}
    comparison = lock.compare(known, sources, tools.all)
    if policy.locked:
        lock.refuse([*refused, *comparison.differs])
    return archives, comparison


def fetch_all(machine: Machine, root: Path, locked: Lock | None, policy: Policy) -> list[Archive]:
    """The packages of all of the machine's kernels; see `fetch`."""
    downloads = Downloads(root, locked.sources if locked else {}, policy)
    return [
        downloads.fetch(package, kind)
        for package, kind in _packages(machine.kernel.versions).items()
    ]


def _packages(kernels: Sequence[str]) -> dict[str, Kind]:
    linux: dict[str, Kind] = {f"linux-source-{series}": "binary" for series in kernels}
    return linux | {"busybox": "source"}
