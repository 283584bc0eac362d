"""A worker: rounds are measured in this machine's name for whoever asks the scheduler.

Its process is watched by another one of the engine's (a nanny), which starts it again should it
die; with that its guests end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Self

from pibed.base.errors import HostError, Interrupted, UsageError
from pibed.cluster import keys
from pibed.cluster.ending import signalled
from pibed.cluster.engine import CONFIG, RESOURCE, words

if TYPE_CHECKING:
    from distributed import Nanny

# In which the scheduler is reached, and the worker has ended.
_REACHED_S = 60
_END_S = 15.0


@dataclass(frozen=True)
class Membership:
    """How a worker joins a scheduler."""

    scheduler: str
    boots: int
    name: str
    listen: str = "127.0.0.1"
    port: int = 0
    """On which it listens; any that is free if 0."""
    security: dict[str, str] = field(default_factory=dict)
    """Keys and certificates; as the engine's own configuration says if there are none."""

    def to_line(self) -> str:
        """For another process."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Self:
        """What `to_line` gave; raises UsageError."""
        try:
            return cls(**json.loads(line))
        except (ValueError, TypeError):
            raise UsageError(
                "worker -: the standard input does not say what to join",
                fix="name the scheduler; - is for ./inv sweep --cluster ssh:…",
            ) from None


def serve(membership: Membership, *, until_input_ends: bool) -> None:
    """Measures until the scheduler ends, or the standard input; raises HostError, Interrupted."""
    if not membership.security:
        keys.require_fit(membership.scheduler, "worker")
    asyncio.run(_serve(membership, until_input_ends))


async def _serve(membership: Membership, until_input_ends: bool) -> None:
    import dask
    from distributed import Nanny, Security

    logging.disable(logging.CRITICAL)
    ended = signalled()
    with dask.config.set(dict(CONFIG)):
        nanny = Nanny(
            membership.scheduler,
            name=membership.name,
            nthreads=membership.boots,
            resources={RESOURCE: membership.boots},
            host=membership.listen,
            worker_port=membership.port,
            security=Security(require_encryption=True, **membership.security)
            if membership.security
            else Security(),
            memory_limit=None,
            dashboard=False,
            # Opened even if nothing is served: on loopback, for nobody.
            dashboard_address="127.0.0.1:0",
            death_timeout=_REACHED_S,
            silence_logs=logging.CRITICAL,
        )
        joining = asyncio.ensure_future(asyncio.wait_for(nanny, _REACHED_S))
        await asyncio.wait([joining, ended], return_when=asyncio.FIRST_COMPLETED)
        if not joining.done():
            joining.cancel()
            await asyncio.wait([joining, asyncio.ensure_future(_close(nanny))], timeout=_END_S)
            raise Interrupted.by(ended.result())
        try:
            joining.result()
        except Exception as error:  # of whatever kind the engine's connections raise
            silent = isinstance(error, TimeoutError) and f"no answer within {_REACHED_S} s"
            raise HostError(
                f"{membership.scheduler}: the scheduler cannot be joined: {silent or words(error)}",
                fix="see that it runs (`./inv scheduler`), and that it is encrypted as this is",
            ) from None
        print(f"worker: {membership.name} has joined {membership.scheduler}", flush=True)
        waits = [ended, asyncio.ensure_future(nanny.finished())]
        if until_input_ends:
            waits.append(asyncio.ensure_future(asyncio.to_thread(sys.stdin.read)))
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait_for(_close(nanny), _END_S)
    if ended.done():
        raise Interrupted.by(ended.result())
    print(f"worker: {membership.scheduler} has ended", flush=True)


async def _close(nanny: Nanny) -> None:
    await nanny.close(timeout=_END_S / 2, reason="the end")
