"""What the kernel has written to its log during a run: how the guest is asked, and its answer.

A line of text in the log marks where a run begins and where it ends. Both are written and read in
the guest, between commands, so that what is told does not depend on when the host hears of it. For
the format see Documentation/ABI/testing/dev-kmsg of Linux.
"""

from __future__ import annotations

import re

from pibed.model.protocol import Result

# Characters that are not printable, and backslashes, are escaped.
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


def begin(run: int) -> str:
    """The command line before a run of this number."""
    return f"echo '{_mark(run, 'begins')}' >/dev/kmsg"


def end(run: int) -> str:
    """The command line after it, which prints all between both marks."""
    first, last = _mark(run, "begins"), _mark(run, "ends")
    # Whoever reads on waits for the next message.
    show = f"/;{first}$/ {{ on = 1 }} on {{ print }} /;{last}$/ {{ exit }}"
    return f"echo '{last}' >/dev/kmsg && awk '{show}' /dev/kmsg"


def lines(result: Result) -> list[str]:
    """The kernel's own messages of a run, from what `end` has printed.

    Raises ValueError if the log did not hold all of them.
    """
    if result.status != 0:
        raise ValueError(f"the kernel's log could not be read: it {result.ending}: {result.words}")
    if result.truncated:
        raise ValueError("the kernel wrote more than 64 KiB to its log during the run")
    if not result.output:
        raise ValueError("the kernel wrote more to its log during the run than that holds")
    found = []
    for line in result.output:
        head, is_message, text = line.partition(";")
        # Lines that begin with a space say more of the message before. What programs have written
        # has a facility other than the kernel's, which is 0, above the three bits of the level.
        if is_message and not line.startswith(" ") and int(head.partition(",")[0]) < 8:
            found.append(_unescaped(text))
    return found


def _mark(run: int, what: str) -> str:
    return f"pibed: run {run} {what}"


def _unescaped(text: str) -> str:
    data = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    return data.encode("latin-1", errors="replace").decode("utf-8", errors="replace")
