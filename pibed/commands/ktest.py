"""`ktest`: runs a module's test suite in the guest."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pibed.base import places, terminal
from pibed.base.errors import ChecksFailed, UsageError
from pibed.build import host
from pibed.build.making import cores
from pibed.commands import arguments, build, covered, parameters, settings
from pibed.commands.options import KtestOptions
from pibed.model.defaults import load_defaults
from pibed.model.machine import Clock, Machine
from pibed.model.suite import Suite, load_suite
from pibed.model.words import counted

if TYPE_CHECKING:
    from pibed.build.images import Images
    from pibed.build.payload import Payload
    from pibed.commands.covered import Reached
    from pibed.ktest.estimate import Estimate
    from pibed.ktest.outcome import CaseOutcome
    from pibed.ktest.recorded import Recorded
    from pibed.ktest.runner import TestRun


def ktest(options: KtestOptions) -> None:
    """Runs a suite in the guest, prints its table, and says where logs and the JUnit file are.

    Raises ChecksFailed if a test failed, or if less was reached than `--fail-under` asks for.
    """
    from pibed.base.durations import Durations
    from pibed.build import payload
    from pibed.ktest import cases, show
    from pibed.ktest.estimate import Estimate
    from pibed.ktest.runner import TestRun
    from pibed.runs import locate

    suite, added = _suite(options)
    machine = arguments.machine(options.machine, options.kernel)
    kernel = machine.kernel.version
    title = f"{suite.title}, Linux {kernel}{' with the debug options' if options.debug else ''}"
    name = f"{suite.name}-{kernel}{'-debug' if options.debug else ''}"
    if options.debug:
        machine = machine.with_debug_kernel()
    title += added
    variants = list(suite.variants)
    stress_s = _number("--stress", options.stress, suite.stress_s, 1, 86_400)
    seed = _number("--seed", options.seed, 1, 0, 2**32 - 1)
    clock = _clock(options.clock)
    jobs = min(_number("--jobs", options.jobs, cores(), 1, 1024), len(variants))
    machine, wanted = covered.prepare(options, machine, payload.of_suite(suite))
    every = cases.read_tests([program.sources[0] for program in wanted.compiled])
    tests = cases.choose(every, options.tests)
    host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    root = locate.root(options.results) / "ktest"
    locate.require_writable(root)
    images = _images(options, machine, suite, wanted)
    covering = covered.cover(options, images, machine, wanted)
    if covering is not None:
        kernel, name = f"{kernel} coverage", f"{name}-coverage"

    folder = locate.make_folder(root, name, datetime.datetime.now(datetime.UTC))
    hook = None if covering is None else covering.collect
    setup = TestRun(machine, images, suite, tests, seed, stress_s, folder, clock, hook)
    durations = Durations(places.cache() / "durations.json")
    estimate = Estimate(durations, suite.name, kernel, options.debug, tests, stress_s)
    expected = terminal.duration(estimate.expected_s(variants, jobs))
    about = (
        f"ktest: {title}; {len(tests)} of {len(every)} tests in "
        f"{counted(len(variants), 'variant')}, {jobs} side by side, stress {stress_s} s each; "
        f"about {expected}"
    )
    try:
        outcomes = _run(options, setup, jobs, estimate, title, about)
    finally:
        durations.save()
    reached = None if covering is None else covering.report(title, folder)
    _print(title, outcomes, reached)
    print(f"{show.counts(outcomes)}; seed {seed}\nresults: {folder}")
    failed = show.failed(outcomes)
    problems = [f"failed: {', '.join(failed)}"] if failed else []
    problems += [] if reached is None else reached.lacking
    if problems:
        raise ChecksFailed("; ".join(problems), fix="see above and the logs there")


def _run(
    options: KtestOptions, setup: TestRun, jobs: int, estimate: Estimate, title: str, about: str
) -> list[CaseOutcome]:
    """What came of the cases; the JUnit file and the record are there whatever ends the run."""
    from pibed.base.files import write_file
    from pibed.ktest import junit, recorded, runner
    from pibed.ktest.show import KtestProgress

    variants = list(setup.suite.variants)
    progress = KtestProgress(terminal.stderr(), variants, len(setup.tests), estimate)
    try:
        with progress.shown(about):
            runner.run_suite(setup, jobs, progress)
    finally:
        outcomes = progress.outcomes
        if outcomes:
            write_file(setup.folder / "junit.xml", junit.to_xml(title, outcomes))
            recorded.write(setup.folder, _record(options, setup, outcomes))
    return outcomes


def _record(options: KtestOptions, setup: TestRun, outcomes: Sequence[CaseOutcome]) -> Recorded:
    from pibed.ktest.recorded import Recorded, failures
    from pibed.runs import madeof

    own = _named(options)
    return Recorded(
        machine=setup.machine,
        suite=setup.suite.model_copy(update={"module": own.module, "modules": own.modules}),
        module=None if options.module is None else str(Path(options.module).absolute()),
        clock=setup.clock,
        seed=setup.seed,
        builder=setup.images.builder,
        images=setup.images.digests(),
        made_of=madeof.of(setup.images.read),
        failed=failures(outcomes),
    )


def _named(options: KtestOptions) -> Suite:
    return load_suite(load_defaults().suite if options.suite is None else options.suite)


def _images(options: KtestOptions, machine: Machine, suite: Suite, wanted: Payload) -> Images:
    builder = arguments.builder(options)
    images = build.make_payload_images(machine, wanted, builder=builder, trust=options.trust)
    # Another module may well have fewer parameters than the one that the suite is for.
    if options.module is None:
        parameters.require(suite, images)
    return images


def _print(title: str, outcomes: Sequence[CaseOutcome], reached: Reached | None) -> None:
    """Prints the table, and what a person wants to know beside it."""
    from rich.console import Console

    from pibed.ktest import show

    table = show.table(title, outcomes, None if reached is None else reached.summary)
    width = None if sys.stdout.isatty() else 110
    Console(width=width, highlight=False).print(table)
    told = () if reached is None else reached.told
    for line in (*show.skips(outcomes), *show.failures(outcomes), *told):
        print(line)


def _suite(options: KtestOptions) -> tuple[Suite, str]:
    """The suite as the options ask for it, and words for what they change.

    `--module` puts another module in the place of the suite's own. What `--param` gives holds in
    every variant; variants that say otherwise are left out. Raises UsageError if all do.
    """
    from pibed.build import payload, substitute

    suite = _named(options)
    words = ""
    if options.module is not None:
        suite = substitute.with_module(suite, Path(options.module))
        words = f", {suite.module_list[-1].name} of {suite.module_list[-1].folder}"
    modules = suite.module_list
    variants = {
        variant: {each.name: suite.parameters(variant, each) for each in modules}
        for variant in suite.variants
    }
    configured = {
        each.name: [name for its in variants.values() for name in its[each.name]]
        for each in modules
    }
    given = settings.of_modules(payload.root_of(suite), modules, configured, options.param)
    added: dict[str, str | int] = {}
    for each in given:
        of = "" if each.module == suite.under_test else f"{each.module.name}."
        added[f"{of}{each.name}"] = each.setting.text
    kept = {
        variant: added | suite.variants[variant]
        for variant, its in variants.items()
        if all(
            its[each.module.name].get(each.name, each.setting.text) == each.setting.text
            for each in given
        )
    }
    if not kept:
        raise UsageError(
            f"{', '.join(map(str, given))}: no variant of the suite {suite.name} agrees with that",
            fix="; ".join(
                f"{name} has {' '.join(f'{key}={value}' for key, value in parameters.items())}"
                for name, parameters in suite.variants.items()
            ),
        )
    words += "".join(f", {each.setting.name}={each.setting.text}" for each in given)
    return suite.model_copy(update={"variants": kept}), words


def _clock(given: str | None) -> Clock:
    match given:
        case None | "host":
            return "host"
        case "virtual":
            return "virtual"
    raise UsageError(f"--clock {given}: expected host or virtual")


def _number(option: str, given: str | None, default: int, low: int, high: int) -> int:
    return default if given is None else arguments.number(option, given, low, high)
