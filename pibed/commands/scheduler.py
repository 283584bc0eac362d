"""`scheduler`: where workers and sweeps of several machines meet."""

from __future__ import annotations

from pibed.commands import arguments
from pibed.commands.options import SchedulerOptions


def scheduler(options: SchedulerOptions) -> None:
    """Serves until it is interrupted; raises HostError if it cannot listen."""
    from pibed.cluster import scheduler as cluster_scheduler

    port = 8786 if options.port is None else arguments.number("--port", options.port, 1, 65535)
    cluster_scheduler.serve(options.listen or "127.0.0.1", port)
