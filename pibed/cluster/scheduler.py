"""A scheduler: where workers and those who measure meet.

It listens where it is told, and nowhere else: the engine's own program also serves pages to all
who reach the machine.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from pibed.base.errors import HostError, Interrupted
from pibed.cluster import keys
from pibed.cluster.ending import signalled
from pibed.cluster.engine import CONFIG, words

_END_S = 10.0


@dataclass(frozen=True)
class Meeting:
    """Where a scheduler listens."""

    host: str
    port: int

    @property
    def address(self) -> str:
        """What `--cluster` and `worker` are given: encrypted if there are keys for it."""
        protocol = "tls" if keys.has_keys("scheduler") else "tcp"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{protocol}://{host}:{self.port}"


def serve(meeting: Meeting) -> None:
    """Serves until a signal ends it: raises Interrupted then; HostError if it cannot begin."""
    keys.require_fit(meeting.address, "scheduler")
    asyncio.run(_serve(meeting))


async def _serve(meeting: Meeting) -> None:
    import dask
    from distributed import Scheduler, Security

    logging.disable(logging.CRITICAL)
    ended = signalled()
    address = meeting.address
    with dask.config.set(dict(CONFIG)):
        try:
            # The port of its pages is opened even if there are none: on loopback, for nobody.
            scheduler = Scheduler(
                host=meeting.host,
                port=meeting.port,
                protocol=address.partition("://")[0],
                security=Security(),
                dashboard=False,
                dashboard_address="127.0.0.1:0",
            )
            await scheduler
        except Exception as error:  # of whatever kind the engine's listeners raise
            raise HostError(
                f"{address}: the scheduler cannot listen there: {words(error)}",
                fix="name an address of this machine with --listen, and a free port with --port",
            ) from None
        print(f"scheduler: {address} waits for workers and sweeps", flush=True)
        signum = await ended
        await asyncio.wait_for(scheduler.close(), _END_S)
    raise Interrupted.by(signum)
