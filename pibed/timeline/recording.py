"""One command with the kernel's tracing on: what the agent is told, and what comes back."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pibed.base.errors import GuestError
from pibed.guest import files
from pibed.model.protocol import Command, Result

_TRACEFS = "/sys/kernel/tracing"

_FOLDER, _COPY = "/tmp/timeline", "/tmp/timeline.packed"

_SECONDS = 120.0

# What there is room for on each CPU; a record takes some 30 to 60 bytes.
_BUFFER_KIB = 8192

# Of 25 KiB each. A guest that has its commands from the beginning cannot be asked for as many as
# there turn out to be.
_PAGES = 200

# A read of an empty buffer waits for ever.
_READ_S = 5

# The board has four of them; what a module has put there may have any number.
_CPU = re.compile(r"cpu(\d{1,2})")


@dataclass(frozen=True)
class Recorded:
    """What the kernel's files said when the command had ended, by their paths below tracefs."""

    files: Mapping[str, bytes]

    @property
    def cpus(self) -> dict[int, bytes]:
        """The pages of each CPU's buffer."""
        found = {
            int(match[1]): data
            for path, data in self.files.items()
            if (match := _CPU.fullmatch(path)) is not None
        }
        return dict(sorted(found.items()))

    @property
    def formats(self) -> Iterator[tuple[str, str, str]]:
        """System, name and description of each event."""
        for path, data in sorted(self.files.items()):
            match path.split("/"):
                case ["events", system, name, "format"]:
                    yield system, name, data.decode(errors="replace")

    def text(self, path: str) -> str:
        """A file; empty if there is none."""
        return self.files.get(path, b"").decode(errors="replace")


def begin(id: str, events: Sequence[str]) -> Command:
    """Switches tracing on: of `events`, systems or `SYSTEM/NAME`. It fails where one is missing."""
    words = " ".join(shlex.quote(each) for each in events)
    line = (
        f"mount -t tracefs none {_TRACEFS} 2>/dev/null; cd {_TRACEFS} && echo 0 >tracing_on && "
        f"echo {_BUFFER_KIB} >buffer_size_kb && for event in {words}; do "
        "echo 1 >events/$event/enable || exit; done && echo >trace && echo 1 >tracing_on"
    )
    return Command(f"{id}.trace-begins", _SECONDS, line)


def end(id: str) -> Command:
    """Switches tracing off."""
    return Command(f"{id}.trace-ends", _SECONDS, f"echo 0 >{_TRACEFS}/tracing_on")


def save(id: str, events: Sequence[str]) -> list[Command]:
    """Prints all that is needed to read what was recorded; most of the last ones print nothing."""
    folders = " ".join(shlex.quote(f"./events/{each}") for each in ("ftrace", *events))
    line = (
        f"mkdir -p {_FOLDER}/events && cd {_TRACEFS} && "
        f"for cpu in per_cpu/cpu*; do timeout {_READ_S} cat $cpu/trace_pipe_raw "
        f">{_FOLDER}/${{cpu##*/}} 2>/dev/null; done; "
        f"for file in ./events/header_page ./events/header_event ./printk_formats ./saved_cmdlines "
        f"./trace_clock $(find {folders} -name format); do mkdir -p {_FOLDER}/${{file%/*}} && "
        f"cat $file >{_FOLDER}/$file || exit; done"
    )
    # BusyBox's find knows no types here.
    listing = 'find . | sort | while read -r file; do [ -d "$file" ] || echo "$file"; done'
    return [
        Command(f"{id}.trace-saved", _SECONDS, line),
        files.pack(f"{id}.trace-packed", _SECONDS, _FOLDER, listing, _COPY),
        *(files.page(f"{id}.trace", _SECONDS, _COPY, number) for number in range(_PAGES)),
    ]


def read(commands: Sequence[Command], run: Callable[[Command], Result]) -> Recorded:
    """What was recorded: runs the commands of `save` as far as they are needed.

    Raises GuestError if it is not whole.
    """
    saved = run(commands[0])
    if saved.status != 0 or saved.timed_out:
        raise GuestError(f"what was recorded could not be read: {saved.words}")
    packed, rest = run(commands[1]), commands[2:]
    count = files.page_count(packed)
    if count > len(rest):
        raise GuestError(
            f"more was recorded than the {len(rest) * files.PAGE * 32 >> 10} KiB that are read",
            fix="record fewer events, or a shorter sample",
        )
    return Recorded(files.unpack(packed, [run(each) for each in rest[:count]]))
