"""./inv as a user runs it, for unit tests and live ones."""

from __future__ import annotations

import subprocess

from pibed.base import places

INV = places.checkout() / "inv"


def run_inv(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs it to its end, without input; raises TimeoutExpired after so many seconds."""
    return subprocess.run(
        [INV, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
