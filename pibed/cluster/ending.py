"""How what serves other processes comes to its end: by a signal."""

from __future__ import annotations

import asyncio

from pibed.base.errors import heeded


def signalled() -> asyncio.Future[int]:
    """The number of the first signal that asks this process to end, once it has come."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def end(signum: int) -> None:
        if not ended.done():
            ended.set_result(signum)

    for signum in heeded():
        loop.add_signal_handler(signum, end, signum)
    return ended
