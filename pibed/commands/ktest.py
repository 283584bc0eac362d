"""`ktest`: runs a module's test suite in the guest."""

from __future__ import annotations

import datetime
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from pibed.base import places, terminal
from pibed.base.errors import ChecksFailed, UsageError
from pibed.build import builders, host
from pibed.commands import arguments, build


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

    from pibed.base.files import write_file
    from pibed.build import payload
    from pibed.ktest import junit, runner, show
    from pibed.ktest.runner import CaseOutcome, TestRun
    from pibed.ktest.show import KtestProgress
    from pibed.model.suite import load_suite
    from pibed.runs import locate

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
    root = Path(options.results or places.checkout() / "results").absolute() / "ktest"
    locate.require_writable(root)
    builder = builders.choose(options.builder, options.toolchain, options.buildroot_dir)
    images = build.make_payload_images(machine, payload.of_suite(suite), builder=builder)

    folder = locate.make_folder(root, name, datetime.datetime.now(datetime.UTC))
    setup = TestRun(machine, images, suite, patterns, seed, stress_s, folder)
    progress = KtestProgress(terminal.stderr())
    # What all other tests take in a mode, measured on two cores with two modes side by side.
    rest_s = 420 if options.debug else 200
    expected_s = (stress_s * 1.25 + rest_s) * len(suite.modes) / jobs
    about = (
        f"ktest: {title}; {len(suite.modes)} modes, {jobs} side by side, stress {stress_s} s each; "
        f"all tests take about {terminal.duration(expected_s)}"
    )
    outcomes: list[CaseOutcome] = []
    try:
        with progress.shown(about):
            runner.run_suite(setup, jobs, progress, outcomes)
    finally:
        if outcomes:
            write_file(folder / "junit.xml", junit.to_xml(title, outcomes))
    width = None if sys.stdout.isatty() else 110
    Console(width=width, highlight=False).print(show.table(title, outcomes))
    for line in (*show.skips(outcomes), *show.failures(outcomes)):
        print(line)
    print(f"{show.counts(outcomes)}; seed {seed}")
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
