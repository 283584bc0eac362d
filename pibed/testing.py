"""What `invoke test` and `invoke ktest` do."""

from __future__ import annotations

import datetime
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from pibed import actions, arguments, builders, config, host, ui
from pibed.errors import ChecksFailed, UsageError

# The kernel that `invoke test` builds with debug options; each takes four minutes from nothing.
DEBUG_SERIES = "6.12"


def test(live: bool) -> None:
    """Runs all checks and tests; raises ChecksFailed that names those which failed."""
    from pibed import checks, payload
    from pibed.suite import load_suite

    experiment = config.load_experiment("paging")
    machine = config.load_machine("pi2")
    host.require(actions.prerequisites(machine))
    images = [
        actions.make_images(arguments.machine("pi2", version), experiment)
        for version in machine.kernel.versions
    ]
    if live:
        # What the live tests need is built here, where its progress is seen.
        debug = arguments.machine("pi2", DEBUG_SERIES).with_debug_kernel()
        actions.make_payload_images(debug, payload.of_suite(load_suite("paging")))
    console = ui.stderr()
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


@dataclass(frozen=True)
class KtestOptions:
    """The options of `invoke ktest` as they were given; None where one was not."""

    machine: str
    suite: str
    kernel: str | None
    debug: bool
    tests: str | None
    stress: str | None
    seed: str | None
    jobs: str | None
    results: str | None
    builder: str | None = None
    toolchain: str | None = None
    buildroot_dir: str | None = None


def ktest(options: KtestOptions) -> None:
    """Runs a suite in the guest, prints its table, and says where logs and the JUnit file are.

    Raises ChecksFailed if a test failed.
    """
    from rich.console import Console

    from pibed import junit, ktest, payload, results, testreport
    from pibed.suite import load_suite

    suite = load_suite(options.suite)
    machine = arguments.machine(options.machine, options.kernel)
    title = f"{suite.title}, Linux {machine.kernel.version}"
    name = f"{suite.name}-{machine.kernel.version}"
    if options.debug:
        machine = machine.with_debug_kernel()
        title += " with the debug options"
        name += "-debug"
    stress_s = _number("--stress", options.stress, suite.stress_s, 1, 86_400)
    seed = _number("--seed", options.seed, 1, 0, 2**32 - 1)
    jobs = _number("--jobs", options.jobs, len(os.sched_getaffinity(0)), 1, 1024)
    jobs = min(jobs, len(suite.modes))
    patterns = _patterns(options.tests)
    host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    root = Path(options.results or config.checkout() / "results").absolute() / "ktest"
    results.require_writable(root)
    builder = builders.choose(options.builder, options.toolchain, options.buildroot_dir)
    images = actions.make_payload_images(machine, payload.of_suite(suite), builder=builder)

    folder = results.make_folder(root, name, datetime.datetime.now(datetime.UTC))
    setup = ktest.Setup(machine, images, suite, patterns, seed, stress_s, folder)
    progress = testreport.KtestProgress(ui.stderr())
    # What all other tests take in a mode, measured on two cores with two modes side by side.
    rest_s = 420 if options.debug else 200
    about = (
        f"ktest: {title}; {len(suite.modes)} modes, {jobs} side by side, stress {stress_s} s each; "
        f"all tests take about {ui.duration((stress_s * 1.25 + rest_s) * len(suite.modes) / jobs)}"
    )
    outcomes: list[ktest.Outcome] = []
    try:
        with progress.shown(about):
            ktest.ktest(setup, jobs, progress, outcomes)
    finally:
        if outcomes:
            results.write_file(folder / "junit.xml", junit.to_xml(title, outcomes))
    width = None if sys.stdout.isatty() else 110
    Console(width=width, highlight=False).print(testreport.table(title, outcomes))
    for line in (*testreport.skips(outcomes), *testreport.failures(outcomes)):
        print(line)
    print(f"{testreport.counts(outcomes)}; seed {seed}")
    print(f"results: {folder}")
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed:
        names = ", ".join(dict.fromkeys(outcome.case for outcome in failed))
        raise ChecksFailed(f"failed: {names}", fix="see above and the logs there")


def _number(option: str, given: str | None, default: int, low: int, high: int) -> int:
    return default if given is None else arguments.number(option, given, low, high)


def _patterns(given: str | None) -> tuple[str, ...]:
    """Which tests are to run; all unless some were named."""
    patterns = tuple(part.strip() for part in ("*" if given is None else given).split(","))
    if "" in patterns:
        raise UsageError(
            f"--tests {given}: a name is missing", fix="separate names by commas: --tests fork,mmap"
        )
    return patterns
