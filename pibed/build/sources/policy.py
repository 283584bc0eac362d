"""Where sources come from and what is refused, as a command was asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Policy:
    """What the command line says about sources and the lock."""

    locked: bool = False
    """Refuse whatever differs from the lock."""
    refresh: bool = False
    """Ask the distribution for the newest sources."""
    mirror: Path | None = None
    """Folder with the locked files, taken from there instead of the network."""


DEFAULT_POLICY = Policy()
