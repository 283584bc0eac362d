"""Loaded by a worker of the engine's as it begins: the terminal's Ctrl-C is not for it.

Whoever started it hears that and ends it in order.
"""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Called by the engine, in the main thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
