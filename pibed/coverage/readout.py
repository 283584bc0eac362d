"""What a guest's modules have counted, taken out of it over the agent's line.

The kernel offers the counts of each object file in debugfs, in the form of GCC's `.gcda` files, and
keeps those of modules that were unloaded (Documentation/dev-tools/gcov.rst of Linux).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pibed.base.errors import GuestError
from pibed.guest.guest import Guest
from pibed.model.protocol import Command

_SECONDS = 120.0

_FOLDER = "/sys/kernel/debug/gcov"

_COPY = "/tmp/coverage"

# One text in the guest's memory: each file's path, then its bytes as hexadecimal numbers. What a
# command prints is limited (LIMIT of agent.c), so that the text is read page by page.
_GATHER = (
    "mount -t debugfs none /sys/kernel/debug 2>/dev/null; "
    f"cd {_FOLDER} && find . -name '*.gcda' | sort | while read -r file; do "
    'echo "$file" && hexdump -v -e \'32/1 "%02x" "\\n"\' "$file" || exit; '
    f"done >{_COPY} && sed -n '$=' {_COPY} && sha256sum <{_COPY}"
)

_PAGE = 800  # lines

# Of 32 bytes: a hundred thousand branches, and more.
_MOST_LINES = 100_000

_BYTES = re.compile(r"(?:[0-9a-f]{2})+")


def read(guest: Guest) -> dict[str, bytes]:
    """The `.gcda` files of a guest by their paths there; none if no module has counted anything.

    They change no more once the modules are unloaded. Raises GuestError if they cannot be read.
    """
    result = guest.run(Command("coverage", _SECONDS, _GATHER))
    if result.status != 0 or result.timed_out:
        raise GuestError(f"the guest has no counts of lines: {result.text}", log=guest.console_log)
    *count, sum_ = result.output
    size = int(count[0]) if count and count[0].isdigit() else 0
    if size > _MOST_LINES:
        raise GuestError(
            f"the modules count more than {_MOST_LINES * 32 >> 20} MiB of lines and branches",
            log=guest.console_log,
        )
    lines = list(_pages(guest, size))
    text = "".join(f"{line}\n" for line in lines)
    if hashlib.sha256(text.encode()).hexdigest() != sum_.split()[0]:
        raise GuestError("the counts of lines came damaged", log=guest.console_log)
    return dict(_files(lines))


def _pages(guest: Guest, size: int) -> Iterator[str]:
    for first in range(1, size + 1, _PAGE):
        last = min(first + _PAGE - 1, size)
        line = f"sed -n '{first},{last}p' {_COPY}"
        result = guest.run(Command(f"coverage.{first}", _SECONDS, line))
        if result.status != 0 or result.timed_out or result.truncated:
            raise GuestError(f"`{line}` failed: {result.text}", log=guest.console_log)
        yield from result.output


def _files(lines: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    path, content = "", bytearray()
    for line in lines:
        if line.startswith("./"):
            if path:
                yield path, bytes(content)
            path, content = line[2:], bytearray()
        elif _BYTES.fullmatch(line.strip()):
            content += bytes.fromhex(line.strip())
    if path:
        yield path, bytes(content)


def keep(files: dict[str, bytes], notes: Sequence[str], folder: Path) -> None:
    """Writes the files that belong to `notes` into a folder, by the names of these.

    `notes` are the compiler's `.gcno` files, by their paths in what was built. Where a guest's file
    goes is never decided by what the guest calls it.
    """
    for note in notes:
        name = f"{note.removesuffix('.gcno')}.gcda"
        # The kernel knows them by the absolute paths that they had when they were built.
        found = [
            content for path, content in sorted(files.items()) if f"/{path}".endswith(f"/{name}")
        ]
        if found:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(found[0])
