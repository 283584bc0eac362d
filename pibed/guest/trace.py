"""A kernel's trace made readable: addresses become files and lines.

The kernel's own scripts/decode_stacktrace.sh does it, for a kernel with debugging information.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from pibed.base.process import clean_environment
from pibed.build.images import Images
from pibed.build.kconfig import read_config

# It runs a handful of programs a line.
_TIMEOUT_S = 120


def decode(lines: Sequence[str], images: Images) -> list[str]:
    """The lines of a kernel log with source positions added.

    They are returned as they are if the kernel has no debugging information, or if it fails.
    """
    if read_config(images.kernel_build / ".config").get("CONFIG_DEBUG_INFO", "n") != "y":
        return list(lines)
    script = images.kernel_source / "scripts" / "decode_stacktrace.sh"
    try:
        result = subprocess.run(
            [
                *("bash", str(script), str(images.kernel_build / "vmlinux")),
                *(str(images.kernel_source), str(images.module.parent)),
            ],
            input="\n".join(lines) + "\n",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            env=clean_environment({"CROSS_COMPILE": images.variables["CROSS_COMPILE"]}),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return list(lines)
    # The module's sources are named relative to where the kernel was built, which says nothing.
    stated = result.stdout
    for folder in (images.kernel_build, images.kernel_source):
        stated = stated.replace(f"{folder}/", "")
    decoded = stated.splitlines()
    # Fewer lines mean that it did not get through.
    return decoded if result.returncode == 0 and len(decoded) >= len(lines) else list(lines)
