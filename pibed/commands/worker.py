"""`worker`: this machine measures rounds of sweeps that others ask for."""

from __future__ import annotations

import dataclasses
import platform
import sys

from pibed.base.errors import UsageError
from pibed.build.making import cores
from pibed.cluster import worker as cluster_worker
from pibed.cluster.choice import Existing, parse
from pibed.cluster.worker import Membership
from pibed.commands import arguments
from pibed.commands.options import WorkerOptions


def worker(options: WorkerOptions) -> None:
    """Measures until the scheduler ends; raises HostError if it cannot be joined."""
    if options.scheduler == "-":
        membership = Membership.from_line(sys.stdin.readline())
        if not membership.boots:
            membership = dataclasses.replace(membership, boots=cores())
        cluster_worker.serve(membership, until_input_ends=True)
        return
    scheduler = parse(options.scheduler)
    if not isinstance(scheduler, Existing):
        raise UsageError(f"{options.scheduler}: expected tcp://HOST:PORT or tls://HOST:PORT")
    boots = cores()
    if options.boots is not None:
        boots = arguments.number("--boots", options.boots, 1, 1024)
    if (words := scheduler.open_to) is not None:
        print(f"worker: {words}; see docs/cluster.md for TLS", file=sys.stderr)
    name = options.name or platform.node()
    membership = Membership(scheduler.address, boots, name, options.listen or "127.0.0.1")
    cluster_worker.serve(membership, until_input_ends=False)
