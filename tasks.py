"""pibed's command line: the verbs, each with its options and what it calls. `./inv --list`."""

from __future__ import annotations

import sys
from typing import Any

from invoke.collection import Collection

from pibed.base import places
from pibed.commands import configured, options
from pibed.commands.verb import verb

# Name, options, and what is called with them.
VERBS: tuple[tuple[str, type[Any], str], ...] = (
    ("help", options.HelpOptions, "help:show"),
    ("setup", options.SetupOptions, "setup:setup"),
    ("doctor", options.DoctorOptions, "setup:doctor"),
    ("build", options.BuildOptions, "build:build"),
    ("lock", options.LockOptions, "lock:write"),
    ("new", options.NewOptions, "new:new"),
    ("sweep", options.SweepOptions, "sweep:sweep"),
    ("rerun", options.RerunOptions, "sweep:rerun"),
    ("merge", options.MergeOptions, "merge:merge"),
    ("scheduler", options.SchedulerOptions, "scheduler:scheduler"),
    ("worker", options.WorkerOptions, "worker:worker"),
    ("results", options.ListingOptions, "results:show"),
    ("report", options.ReportOptions, "report:report"),
    ("compare", options.CompareOptions, "compare:compare"),
    ("pack", options.PackOptions, "pack:pack"),
    ("verify", options.VerifyOptions, "verify:verify"),
    ("boot", options.BootOptions, "boot:boot"),
    ("timeline", options.TimelineOptions, "timeline:timeline"),
    ("gdb", options.GdbOptions, "gdb:gdb"),
    ("profile", options.ProfileOptions, "profile:profile"),
    ("ktest", options.KtestOptions, "ktest:ktest"),
    ("grade", options.GradeOptions, "grade:grade"),
    ("try", options.TryOptions, "attempt:attempt"),
    ("legal", options.LegalOptions, "legal:legal"),
    ("clean", options.CleanOptions, "clean:clean"),
    ("test", options.TestOptions, "test:test"),
)

_configured = configured.read(places.checkout() / "configs")
for _problem in _configured.problems:
    print(f"pibed: {_problem}", file=sys.stderr)

namespace = Collection()
for _name, _record, _function in VERBS:
    _task = verb(_name, _record, f"pibed.commands.{_function}", _configured)
    namespace.add_task(_task, default=_name == "help")  # what `./inv` alone does
