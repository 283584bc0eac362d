"""For which reasons a test may be skipped, each with how to tell that it holds on this host.

`tests/conftest.py` fails a test that is skipped for another reason, or for one that does not hold:
a run in which half of the tests were skipped must not look like one in which they passed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from pibed.base import bubblewrap

NO_BUILDROOT = "PIBED_BUILDROOT names no clone of Buildroot, see docs/builders.md"
NO_MAGIC = "Buildroot's check-package needs python3-magic"
NO_MOUNT = "a small file system can only be mounted by root"
NO_CROSS = "no cross compiler for 32-bit ARM is installed, see docs/builders.md"
NO_CXX = "no cross compiler for C++ is installed, see docs/workloads.md"
NO_CGROUP = "this host lets us make no memory cgroup"
NO_SANDBOX = "this host has no sandbox, see docs/sandbox.md"
NO_NAMESPACES = "this host lets us be no other user in a network of its own"
NO_PARALLEL = "GNU parallel and rsync are not installed"
NO_SLURM = "Slurm and munge are not installed, or this is not root, who may start them"
NO_NETWORKS = "network namespaces can only be made by root"
SSHD = "/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", "")
NO_SSHD = "no sshd is installed (Debian: openssh-server)"
UNREADABLE = "the checkout cannot be read by others"


def may_mount() -> bool:
    """Whether this process may mount file systems; root of a container may not."""
    status = Path("/proc/self/status").read_text()
    (effective,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) & 1 << 21)  # CAP_SYS_ADMIN, see capability.h


def may_unshare() -> bool:
    """Whether this process may make namespaces of users, networks and mounts."""
    argv = ["unshare", "--user", "--net", "--mount", "--map-user=1001", "true"]
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def may_run_slurm() -> bool:
    """Whether a Slurm of one node can be started."""
    programs = ("munged", "slurmctld", "slurmd", "sbatch")
    return os.geteuid() == 0 and all(map(shutil.which, programs))


def may_make_networks() -> bool:
    """Whether this process may make network namespaces that have names."""
    return shutil.which("ip") is not None and may_mount() and os.access("/run", os.W_OK)


def _has_memory_cgroup() -> bool:
    root = Path("/sys/fs/cgroup")
    if (root / "memory").is_dir():
        return os.access(root / "memory", os.W_OK)
    control = root / "cgroup.subtree_control"
    return os.access(root, os.W_OK) and control.exists() and "memory" in control.read_text()


_HOLDS: dict[str, Callable[[], bool]] = {
    NO_BUILDROOT: lambda: not os.environ.get("PIBED_BUILDROOT"),
    NO_MAGIC: lambda: True,  # `./inv setup` does not install it
    NO_MOUNT: lambda: not may_mount(),
    NO_CROSS: lambda: shutil.which("arm-linux-gnueabihf-gcc") is None,
    NO_CXX: lambda: shutil.which("arm-linux-gnueabihf-g++") is None,
    NO_CGROUP: lambda: not _has_memory_cgroup(),
    NO_NETWORKS: lambda: not may_make_networks(),
    NO_SSHD: lambda: shutil.which("sshd", path=SSHD) is None,
    NO_SANDBOX: lambda: bubblewrap.missing() is not None,
    NO_NAMESPACES: lambda: not may_unshare(),
    NO_PARALLEL: lambda: not (shutil.which("parallel") and shutil.which("rsync")),
    NO_SLURM: lambda: not may_run_slurm(),
    UNREADABLE: lambda: True,  # by who owns the folders above it
}


def holds(reason: str) -> bool:
    """Whether a test may be skipped for this reason on this host."""
    return reason in _HOLDS and _HOLDS[reason]()
