"""bubblewrap: a program sees the files it is shown, no network and no other process.

Inside it is nobody without a right: for root's pibed a user of its own, which owns nothing and is
counted alone; for any other user the same in a user namespace. See bwrap(1), user_namespaces(7).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pibed.base.errors import HostError

# What programs and the toolchain consist of, where there is such a thing. Of /etc neither users
# nor passwords, keys or hosts: what the dynamic linker reads, and Debian's links to alternatives.
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
)

_NAMESPACES = (
    *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net"),
    *("--unshare-cgroup-try", "--hostname", "pibed", "--die-with-parent", "--new-session"),
)

# Above all that systemd gives out (see its UIDS-GIDS.md), and below what is negative as an int.
_FIRST_UID = 0x7000_0000

_NOBODY = 65534
_PROBE_S = 20.0
_TMP_BYTES = 64 << 20


@dataclass(frozen=True)
class View:
    """The files that a program sees under the names that they have on the host."""

    readable: Sequence[Path] = ()
    """Files and folders."""
    contents: Sequence[Path] = ()
    """Folders in which all can be read but what is hidden (such as .ssh), or what lies outside."""
    writable: Sequence[Path] = ()
    """Files and folders whose changes stay; they must belong to the program's user (`user`)."""
    scratch: Mapping[Path, int] = field(default_factory=dict)
    """Empty folders of so many bytes, which are gone with the program. There always is a /tmp."""


def user() -> int:
    """The user that a program of this thread is on the host.

    Root's programs get one that no other thread's have, so that limits count them alone, as far as
    the user namespace that pibed itself is in has as many.
    """
    if os.geteuid() != 0:
        return os.geteuid()
    last = 0
    for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines():
        inside, _, count = map(int, line.split())
        last = max(last, inside + count - 1)
    return min(_FIRST_UID + threading.get_native_id(), last - 1)


def command(argv: Sequence[str], view: View, *, cwd: Path, env: Mapping[str, str]) -> list[str]:
    """The command line that runs a program in a sandbox.

    When bubblewrap is killed, the kernel ends all that runs in it.
    """
    # bubblewrap's own environment could be read inside.
    words = ["env", "-i", *(f"{key}={value}" for key, value in env.items()), "bwrap"]
    words += [*_NAMESPACES, "--proc", "/proc", "--dev", "/dev"]
    if os.geteuid() != 0:
        words += ["--unshare-user", "--uid", str(_NOBODY), "--gid", str(_NOBODY)]
    # What bubblewrap itself has made lies in memory without a limit.
    words += [
        *_mounts(view),
        "--remount-ro",
        "/dev",
        "--remount-ro",
        "/",
        "--chdir",
        str(cwd),
        "--",
    ]
    if os.geteuid() == 0:
        number = str(user())
        words += ["setpriv", "--reuid", number, "--regid", number, "--clear-groups"]
        words += ["--inh-caps=-all", "--bounding-set=-all", "--"]
    return [*words, *argv]


def _mounts(view: View) -> list[str]:
    mounts: dict[Path, list[str]] = {Path("/tmp"): ["--size", str(_TMP_BYTES), "--tmpfs"]}
    for system in map(Path, _SYSTEM):
        if system.is_symlink():
            mounts[system] = ["--symlink", str(system.readlink())]
        elif system.exists():
            mounts[system] = ["--ro-bind", str(system)]
    for path in (each for folder in view.contents for each in _shown(folder)):
        # Not what a link leads to, which would be shown in its place.
        kind = (
            ["--symlink", str(path.readlink())] if path.is_symlink() else ["--ro-bind", str(path)]
        )
        mounts[path] = kind
    mounts |= {path: ["--ro-bind", str(path)] for path in view.readable}
    mounts |= {path: ["--bind", str(path)] for path in view.writable}
    mounts |= {path: ["--size", str(size), "--tmpfs"] for path, size in view.scratch.items()}
    words: list[str] = []
    made = {Path("/")}
    # What lies in another one comes behind it.
    for path in sorted(mounts):
        inside = next((folder for folder in path.parents if folder in mounts), None)
        for folder in reversed(path.parents):
            # bubblewrap makes folders on the way that nobody but their owner may pass.
            if folder not in made and (inside is None or _is_memory(mounts[inside])):
                words += ["--perms", "0755", "--dir", str(folder)]
            made.add(folder)
        made.add(path)
        words += [*(("--perms", "1777") if _is_memory(mounts[path]) else ()), *mounts[path]]
        words.append(str(path))
    return words


def _is_memory(mount: Sequence[str]) -> bool:
    return mount[-1] == "--tmpfs"


def _shown(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def missing() -> str | None:
    """Why this host has no sandbox, in one line; None if it has."""
    for program in ("bwrap", "setpriv", "prlimit"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    argv = command(["true"], View(), cwd=Path("/"), env={"PATH": os.defpath})
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bwrap cannot be run: {error}"
    if done.returncode == 0:
        return None
    said = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
    return f"bwrap does not work here: {said[-1]}"


def require_readable(paths: Sequence[Path]) -> None:
    """Raises HostError for a file or folder that root's programs in a sandbox cannot read."""
    if os.geteuid() != 0:
        return
    for path in paths:
        wanted = 0o5 if path.is_dir() else 0o4
        if path.stat().st_mode & wanted != wanted:
            raise HostError(
                f"{path}: it can be read by its owner alone, and the sandbox is another user",
                fix=f"chmod -R o+rX {path}",
            )
