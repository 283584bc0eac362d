"""Where things are: the checkout, and the folder of what is slow to make."""

from __future__ import annotations

import os
from pathlib import Path

from pibed.base.errors import HostError


def checkout() -> Path:
    """The folder of the checkout, in which tasks.py lies.

    Raises HostError where the package was installed without one: the configurations, the module and
    the guest's files are the checkout's.
    """
    folder = Path(__file__).resolve().parent.parent.parent
    if not (folder / "tasks.py").is_file():
        raise HostError(
            f"{folder}: pibed is not in a checkout, where its configurations are",
            fix="call ./inv in a checkout, or install that with pip install --editable",
        )
    return folder


def cache() -> Path:
    """Where pibed keeps what is slow to make: $PIBED_CACHE, or `pibed` in the user's cache folder.

    Raises HostError for a path that the kernel's build cannot work in (it splits at spaces and
    colons).
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    except RuntimeError:
        base = ""
    chosen = os.environ.get("PIBED_CACHE") or (base and str(Path(base) / "pibed"))
    if not chosen:
        raise HostError("this user has no home folder", fix="set HOME or PIBED_CACHE")
    folder = Path(chosen).absolute()
    if set(str(folder)) & set(" :\t\n"):
        raise HostError(
            f"the cache folder {str(folder)!r} has a space or a colon in its path, "
            "where the kernel cannot be built",
            fix="set PIBED_CACHE to another folder",
        )
    return folder
