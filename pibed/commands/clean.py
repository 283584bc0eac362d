"""`clean`: removes what the build made."""

from __future__ import annotations

from pibed.base import places
from pibed.build import store
from pibed.commands.options import CleanOptions


def clean(options: CleanOptions) -> None:
    """Removes what the build made, and with `everything` the downloads and logs as well."""
    root = places.cache()
    freed = store.clean(root, options.everything)
    print(f"{freed / 1e6:.0f} MB freed in {root}")
