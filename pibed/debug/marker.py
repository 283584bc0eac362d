"""Where the agent begins a command: an instruction that does nothing, which it executes once each.

It is BEGIN of `buildroot/package/pibed-agent/agent.c`.
"""

from __future__ import annotations

from pibed.base.errors import BuildError
from pibed.build.images import Images
from pibed.debug.session import Start
from pibed.debug.symbols import program
from pibed.model.counts import BEGIN

# The hint in Thumb and in ARM code, as words in memory.
_CODES = (
    (0xF3AF).to_bytes(2, "little") + (0x8000 | BEGIN).to_bytes(2, "little"),
    (0xE320F000 | BEGIN).to_bytes(4, "little"),
)


def start(images: Images, count: int, what: str) -> Start:
    """Where the `count`-th command of a plan begins; raises BuildError for an agent without it."""
    (path,) = (each for each in images.programs if each.name == "agent")
    agent = program(images, path, path)
    data = path.read_bytes()
    for address, length, position in agent.segments:
        for code in _CODES:
            found = data.find(code, position, position + length)
            if found >= 0:
                return Start(address + found - position, code.hex(), count, what)
    raise BuildError(f"{path}: the agent does not mark where a command begins")
