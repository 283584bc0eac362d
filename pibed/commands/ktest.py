"""`ktest`: runs a module's test suite in the guest."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pibed.base import places, terminal
from pibed.base.errors import ChecksFailed
from pibed.build import builders, host
from pibed.commands import arguments, build

if TYPE_CHECKING:
    from pibed.ktest.outcome import CaseOutcome


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
    from pibed.base.durations import Durations
    from pibed.base.files import write_file
    from pibed.build import payload
    from pibed.ktest import cases, junit, runner, show
    from pibed.ktest.estimate import Estimate
    from pibed.ktest.runner import TestRun
    from pibed.ktest.show import KtestProgress
    from pibed.model.suite import load_suite
    from pibed.runs import locate

    suite = load_suite(options.suite)
    machine = arguments.machine(options.machine, options.kernel)
    kernel = machine.kernel.version
    title = f"{suite.title}, Linux {kernel}{' with the debug options' if options.debug else ''}"
    name = f"{suite.name}-{kernel}{'-debug' if options.debug else ''}"
    if options.debug:
        machine = machine.with_debug_kernel()
    variants = list(suite.variants)
    stress_s = _number("--stress", options.stress, suite.stress_s, 1, 86_400)
    seed = _number("--seed", options.seed, 1, 0, 2**32 - 1)
    cores = len(os.sched_getaffinity(0))
    jobs = min(_number("--jobs", options.jobs, cores, 1, 1024), len(variants))
    wanted = payload.of_suite(suite)
    every = cases.read_tests([program.sources[0] for program in wanted.programs])
    tests = cases.choose(every, options.tests)
    host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    root = Path(options.results or places.checkout() / "results").absolute() / "ktest"
    locate.require_writable(root)
    builder = builders.choose(options.builder, options.toolchain, options.buildroot_dir)
    images = build.make_payload_images(machine, wanted, builder=builder)

    folder = locate.make_folder(root, name, datetime.datetime.now(datetime.UTC))
    setup = TestRun(machine, images, suite, tests, seed, stress_s, folder)
    durations = Durations(places.cache() / "durations.json")
    estimate = Estimate(durations, suite.name, kernel, options.debug, tests, stress_s)
    progress = KtestProgress(terminal.stderr(), variants, len(tests), estimate)
    expected = terminal.duration(estimate.expected_s(variants, jobs))
    about = (
        f"ktest: {title}; {len(tests)} of {len(every)} tests in {len(variants)} variants, "
        f"{jobs} side by side, stress {stress_s} s each; about {expected}"
    )
    try:
        with progress.shown(about):
            runner.run_suite(setup, jobs, progress)
    finally:
        durations.save()
        outcomes = progress.outcomes
        if outcomes:
            write_file(folder / "junit.xml", junit.to_xml(title, outcomes))
    _print(title, outcomes)
    print(f"{show.counts(outcomes)}; seed {seed}\nresults: {folder}")
    if failed := show.failed(outcomes):
        raise ChecksFailed(f"failed: {', '.join(failed)}", fix="see above and the logs there")


def _print(title: str, outcomes: Sequence[CaseOutcome]) -> None:
    """Prints the table, and what a person wants to know beside it."""
    from rich.console import Console

    from pibed.ktest import show

    width = None if sys.stdout.isatty() else 110
    Console(width=width, highlight=False).print(show.table(title, outcomes))
    for line in (*show.skips(outcomes), *show.failures(outcomes)):
        print(line)


def _number(option: str, given: str | None, default: int, low: int, high: int) -> int:
    return default if given is None else arguments.number(option, given, low, high)
