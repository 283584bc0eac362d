"""What a person types to go on with a run, or to repeat it."""

from __future__ import annotations

import shlex
from pathlib import Path

MERGE_COMMAND = "./inv merge RUN…"

"""What a person types to make one run of all shards."""


def resume_command(folder: Path) -> str:
    """What a person types to go on with a run that was cut off."""
    return f"./inv sweep --resume {shlex.quote(str(folder))}"


def verify_command(folder: Path) -> str:
    """What a person types to have a run measured again and compared."""
    return f"./inv verify --measure --run {shlex.quote(str(folder))}"


def rerun_command(folder: Path) -> str:
    """What a person types to measure all of a run anew."""
    return f"./inv rerun {shlex.quote(str(folder / 'manifest.json'))}"
