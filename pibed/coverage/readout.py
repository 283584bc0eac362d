"""What a guest's modules have counted, taken out of it.

The kernel offers the counts of each object file in debugfs, in the form of GCC's `.gcda` files, and
keeps those of modules that were unloaded (Documentation/dev-tools/gcov.rst of Linux).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pibed.base.errors import GuestError
from pibed.guest import files
from pibed.guest.guest import Guest
from pibed.model.protocol import Command

_SECONDS = 120.0

_DEBUGFS = "/sys/kernel/debug"

_COPY = "/tmp/coverage"

# Of 26 kB each: a hundred thousand branches, and more.
_MOST_PAGES = 128


def read(guest: Guest) -> dict[str, bytes]:
    """The `.gcda` files of a guest by their paths there; none if no module has counted anything.

    They change no more once the modules are unloaded. Raises GuestError if they cannot be read.
    """
    guest.run(Command("coverage.mount", _SECONDS, f"mount -t debugfs none {_DEBUGFS}"))
    listing = "find . -name '*.gcda' | sort"
    packed = guest.run(files.pack("coverage.pack", _SECONDS, f"{_DEBUGFS}/gcov", listing, _COPY))
    count = files.page_count(packed)
    if count > _MOST_PAGES:
        raise GuestError(
            f"the modules have more counts of lines than the {_MOST_PAGES * files.PAGE * 32 >> 10}"
            " KiB that are read",
            log=guest.console_log,
        )
    ids = (files.page("coverage.page", _SECONDS, _COPY, number) for number in range(count))
    return files.unpack(packed, [guest.run(each) for each in ids])


def keep(found: dict[str, bytes], notes: Sequence[str], folder: Path) -> None:
    """Writes the files that belong to `notes` into a folder, by the names of these.

    `notes` are the compiler's `.gcno` files, by their paths in what was built. Where a guest's file
    goes is never decided by what the guest calls it.
    """
    for note in notes:
        name = f"{note.removesuffix('.gcno')}.gcda"
        # The kernel knows them by the absolute paths that they had when they were built.
        its = [data for path, data in sorted(found.items()) if f"/{path}".endswith(f"/{name}")]
        if its:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(its[0])
