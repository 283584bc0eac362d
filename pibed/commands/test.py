"""`test`: the checks and tests of pibed itself."""

from __future__ import annotations

import time

from pibed.base import places, terminal
from pibed.base.errors import ChecksFailed, UsageError
from pibed.build import host
from pibed.commands import arguments, build
from pibed.commands.options import TestOptions
from pibed.commands.setup import prerequisites
from pibed.commands.transcript import Transcript
from pibed.model.defaults import load_defaults

# The kernel that `./inv test --full` builds with debug options, which takes four minutes.
DEBUG_SERIES = "6.12"

_DURATIONS = {
    "checks": "half a minute",
    "unit": "two minutes",
    "everyday": "14 minutes",
    "full": "two hours",
}


def test(options: TestOptions) -> None:
    """Runs the checks and a tier's tests; raises ChecksFailed that names those which failed."""
    from pibed.build import payload
    from pibed.commands import checks, phases
    from pibed.model.suite import load_suite

    full, live = options.full, options.live
    if (full and not live) or (options.checks and (full or not live)):
        raise UsageError(
            "--full, --no-live and --checks exclude each other",
            fix="leave all out for what is tested every day",
        )
    experiment = arguments.experiment(None)
    machine = arguments.machine(None, None)
    host.require(prerequisites(machine))
    extent = "checks" if options.checks else "full" if full else "everyday" if live else "unit"
    terminal.stderr().print(
        f"test: takes about {_DURATIONS[extent]} on two idle cores, "
        "and some minutes more if kernels are to be built first"
    )
    images = [
        build.make_images(arguments.machine(None, version), experiment)
        for version in machine.kernel.versions
    ]
    if full:
        # What the tests need is built here, where its progress is seen.
        debug = arguments.machine(None, DEBUG_SERIES).with_debug_kernel()
        build.make_payload_images(debug, payload.of_suite(load_suite(load_defaults().suite)))
    began = time.monotonic()
    failed = []
    with Transcript.begun(places.cache() / "logs", "test") as transcript:
        for check in checks.checks(images):
            transcript.say(f"test: {check.name}")
            if not check.run(transcript):
                failed.append(check.name)
        if not options.checks:
            totals = phases.run(transcript, full=full, live=live)
            omitted = phases.left_out(full=full, live=live)
            for line in phases.summary(totals, omitted, time.monotonic() - began, live=live):
                transcript.say(line)
            if totals.failed:
                failed.append(f"{len(totals.failed)} tests")
        if failed:
            raise ChecksFailed(
                f"failed: {', '.join(failed)}", fix="see above for each", log=transcript.path
            )
        transcript.say("test: everything passed")
