"""Whether a module was built for a kernel, found out before anything is booted.

The kernel refuses a module whose vermagic (release and the options that change its data
structures) is not its own, see `same_magic` in kernel/module/version.c of Linux.
"""

from __future__ import annotations

import re
from pathlib import Path

from pibed.base.errors import BuildError


def of_module(module: Path) -> str:
    """The vermagic that a `.ko` file states; raises BuildError if it states none."""
    match = re.search(rb"\0vermagic=([^\0]+)\0", b"\0" + module.read_bytes())
    if match is None:
        raise BuildError(f"{module}: it states no vermagic, so it is no kernel module")
    return match[1].decode(errors="replace")


def of_kernel(image: Path, release: str) -> str:
    """The vermagic inside an uncompressed kernel image of that release.

    Raises BuildError if there is none.
    """
    # A string that begins with the release; the banner has other words before it.
    pattern = rb"(?<![ -~])(" + re.escape(release.encode()) + rb" [ -~]+)\0"
    match = re.search(pattern, image.read_bytes())
    if match is None:
        raise BuildError(f"{image}: no vermagic of release {release} is in it")
    return match[1].decode(errors="replace")


def release(build: Path) -> str:
    """The release of the kernel that was built in a folder."""
    return (build / "include" / "config" / "kernel.release").read_text(encoding="ascii").strip()


def check(module: Path, image: Path, release: str) -> None:
    """Raises BuildError if the kernel would refuse the module."""
    built_for = of_module(module)
    kernel = of_kernel(image, release)
    if built_for != kernel:
        raise BuildError(
            f"{module}: it was built for the kernel '{built_for.strip()}', "
            f"and this one is '{kernel.strip()}'",
            fix="build the module against this kernel: ./inv build",
        )
