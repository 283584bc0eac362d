"""A kernel's trace made readable: addresses become files and lines.

The kernel's own scripts/decode_stacktrace.sh does it; it needs the kernel's and the module's
debugging information, and leaves a line as it is where there is none.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from pibed.build import Images
from pibed.process import clean_environment

# It runs a handful of programs a line.
_TIMEOUT_S = 120


def decode(lines: Sequence[str], images: Images) -> list[str]:
    """The lines of a kernel log with source positions added; as they are if that fails."""
    variables = dict(each.split("=", 1) for each in images.variables)
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
            env=clean_environment({"CROSS_COMPILE": variables["CROSS_COMPILE"]}),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return list(lines)
    # The module's sources are named relative to the kernel's build folder, which says nothing.
    decoded = result.stdout.replace(f"{images.kernel_build}/", "").splitlines()
    # One line for each: anything else means that it did not get through.
    return decoded if result.returncode == 0 and len(decoded) >= len(lines) else list(lines)
