"""A scheduler: sweeps of other processes find the workers that have joined it.

It is the engine's own, with what pibed's tasks need to be understood, and without what the engine
serves beside.
"""

from __future__ import annotations

import asyncio
import logging

from pibed.base.errors import HostError, Interrupted
from pibed.cluster.choice import Existing
from pibed.cluster.ending import signalled
from pibed.cluster.engine import CONFIG, words

# In which the port is opened, and in which the workers are told of the end.
_READY_S = 30.0
_END_S = 15.0


def serve(listen: str, port: int) -> None:
    """Serves until a signal comes; raises Interrupted then, and HostError if it cannot listen.

    It is encrypted where the engine's own configuration names keys.
    """
    asyncio.run(_serve(listen, port))


async def _serve(listen: str, port: int) -> None:
    import dask
    from distributed import Scheduler

    logging.disable(logging.CRITICAL)
    ended = signalled()
    with dask.config.set(dict(CONFIG)):
        protocol = "tls" if dask.config.get("distributed.comm.tls.ca-file", None) else "tcp"
        scheduler = Scheduler(
            host=listen,
            port=port,
            protocol=protocol,
            dashboard=False,
            # What is served there is nothing, but the port is opened all the same.
            dashboard_address="127.0.0.1:0",
        )
        try:
            await asyncio.wait_for(scheduler, _READY_S)
        except Exception as error:  # of whatever kind the engine raises
            raise HostError(
                f"{protocol}://{listen}:{port}: the scheduler cannot listen there: {words(error)}",
                fix="choose another --port, a --listen that is an address of this machine, or "
                "mend the keys that are named for it (docs/cluster.md)",
            ) from None
        address = f"{protocol}://{listen}:{port}"
        if (said := Existing(address).open_to) is not None:
            print(f"scheduler: {said}; see docs/cluster.md for TLS", flush=True)
        print(f"scheduler: it listens; --cluster {address}", flush=True)
        signum = await ended
        await asyncio.wait_for(scheduler.close(), _END_S)
    raise Interrupted("interrupted", signum)
