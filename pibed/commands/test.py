"""`test`: every check and test of pibed itself."""

from __future__ import annotations

import os

from pibed.base import terminal
from pibed.base.errors import ChecksFailed
from pibed.build import host
from pibed.commands import arguments, build
from pibed.commands.options import TestOptions
from pibed.commands.setup import prerequisites
from pibed.model.defaults import load_defaults

# The kernel that `./inv test` builds with debug options; each takes four minutes from nothing.
DEBUG_SERIES = "6.12"


def test(options: TestOptions) -> None:
    """Runs all checks and tests; raises ChecksFailed that names those which failed."""
    from pibed.build import payload
    from pibed.commands import checks
    from pibed.model.suite import load_suite

    live = options.live
    experiment = arguments.experiment(None)
    machine = arguments.machine(None, None)
    host.require(prerequisites(machine))
    images = [
        build.make_images(arguments.machine(None, version), experiment)
        for version in machine.kernel.versions
    ]
    if live:
        # What the live tests need is built here, where its progress is seen.
        debug = arguments.machine(None, DEBUG_SERIES).with_debug_kernel()
        build.make_payload_images(debug, payload.of_suite(load_suite(load_defaults().suite)))
    console = terminal.stderr()
    failed = []
    for check in checks.checks(images, live=live):
        console.print(f"test: {check.name}", style="bold")
        if not check.run():
            failed.append(check.name)
    if live and not os.environ.get("PIBED_BUILDROOT"):
        console.print(
            "test: the live tests of the builder buildroot were not run: PIBED_BUILDROOT names "
            "no clone of Buildroot"
        )
    if failed:
        raise ChecksFailed(f"failed: {', '.join(failed)}", fix="see above for each")
    console.print("test: everything passed")
