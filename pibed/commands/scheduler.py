"""`scheduler`: where workers and the sweeps that ask for them meet."""

from __future__ import annotations

import sys

from pibed.cluster import scheduler as cluster_scheduler
from pibed.cluster.choice import Existing
from pibed.cluster.scheduler import Meeting
from pibed.commands import arguments
from pibed.commands.options import SchedulerOptions


def scheduler(options: SchedulerOptions) -> None:
    """Serves until it is ended; raises HostError if it cannot listen."""
    port = arguments.number("--port", options.port or "8786", 1, 65535)
    meeting = Meeting(options.listen or "127.0.0.1", port)
    if (words := Existing(meeting.address).open_to) is not None:
        print(f"scheduler: {words}; see docs/cluster.md#security for TLS", file=sys.stderr)
    cluster_scheduler.serve(meeting)
