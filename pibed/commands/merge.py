"""`merge`: one run of all shards of a sweep."""

from __future__ import annotations

import datetime

from pibed.base.errors import IncompleteError
from pibed.commands import arguments, conclusion
from pibed.commands.options import MergeOptions
from pibed.runs import locate
from pibed.runs import merge as merging
from pibed.runs.hints import resume_command


def merge(options: MergeOptions) -> None:
    """Makes the run, and ends as a sweep does.

    Raises UsageError for runs that are not all shards of one sweep, IncompleteError if a sample is
    not `ok` or something is still to be done.
    """
    root = locate.root(options.results)
    shards = merging.parts([locate.find(root, each) for each in options.run])
    name = arguments.name(options.name, shards[0].recorded.experiment)
    made = merging.merge(shards, root, name, datetime.datetime.now(datetime.UTC))
    conclusion.show([made])
    if options.report:
        conclusion.report([made])
    conclusion.require_all_well([made])
    if not made.recorded.finished:
        raise IncompleteError(
            "all samples are there, but memory that the module loses was not looked for in cells "
            f"of which shard {shards[0].shard} has no sample that is ok",
            fix=f"{resume_command(made.run.folder)} does it, in one boot",
        )
