"""Files of a guest, taken out of it over the agent's line.

Such as those that the kernel makes up. They become one text in the guest's memory: each file's
path, then its bytes as hexadecimal numbers. What a command prints is limited (LIMIT of agent.c), so
that the text is read page by page.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from pibed.base.errors import GuestError
from pibed.model.protocol import Command, Result

PAGE = 800
"""Lines of 65 bytes at most, but for the paths."""

_BYTES = re.compile(r"(?:[0-9a-f]{2})+")


def pack(id: str, seconds: float, folder: str, listing: str, copy: str) -> Command:
    """Packs files into the new file `copy`: those of `folder` that the command `listing` prints,
    one path a line, which begins with `./`."""
    line = (
        f"cd {folder} && {listing} | while read -r file; do "
        'echo "$file" && hexdump -v -e \'32/1 "%02x" "\\n"\' "$file" || exit; '
        f"done >{copy} && sed -n '$=' {copy} && sha256sum <{copy}"
    )
    return Command(id, seconds, line)


def page(id: str, seconds: float, copy: str, number: int) -> Command:
    """Prints a page of what was packed, numbered from 0; nothing if there are not so many."""
    first = number * PAGE + 1
    return Command(f"{id}.{number}", seconds, f"sed -n '{first},{first + PAGE - 1}p' {copy}")


def page_count(packed: Result) -> int:
    """How many pages there are; raises GuestError if the files could not be packed."""
    if packed.status != 0 or packed.timed_out or not packed.output:
        raise GuestError(f"the guest's files could not be read: {packed.words}")
    count = packed.output[0] if len(packed.output) == 2 else "0"
    return -(-int(count) // PAGE) if count.isdigit() else 0


def unpack(packed: Result, read: Sequence[Result]) -> dict[str, bytes]:
    """The files by their paths from the folder; raises GuestError if they are not whole."""
    for each in read:
        if each.status != 0 or each.timed_out or each.truncated:
            raise GuestError(f"the guest's files could not be read: {each.ending}")
    lines = [line for each in read for line in each.output]
    text = "".join(f"{line}\n" for line in lines)
    if hashlib.sha256(text.encode()).hexdigest() != packed.output[-1].split()[0]:
        raise GuestError("the guest's files came damaged")
    return dict(_files(lines))


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
