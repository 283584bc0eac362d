"""`compare`: what got better or worse from one run to another, or what a study says of a run."""

from __future__ import annotations

import sys

from pibed.base.errors import ChecksFailed, UsageError
from pibed.commands.options import CompareOptions
from pibed.report.changes import Changes, changes, conclusions, table, worth_showing
from pibed.runs import locate, reading
from pibed.runs.reading import Run


def compare(options: CompareOptions) -> None:
    """Prints how a run differs from another one, or from the Pi's published numbers (`pi`).

    Raises UsageError where nothing can be compared, ChecksFailed if something got worse and
    `--fail-on-regression` was given.
    """
    root = locate.root(options.results)
    names = [name for name in (options.first, options.second) if name != "pi"]
    if len(names) < 2:
        from pibed.studies.pi import findings

        if not names:
            raise UsageError("pi pi: expected a run and pi, or two runs")
        if options.fail_on_regression:
            raise UsageError("--fail-on-regression compares two runs, not a run with the Pi")
        findings.show(reading.read(locate.find(root, names[0])))
        return
    before, after = (reading.read(locate.find(root, name)) for name in names)
    if options.fail_on_regression and before.recorded.machine.clock != after.recorded.machine.clock:
        raise UsageError(
            "--fail-on-regression: the runs have different clocks, whose times cannot be compared",
            fix="compare runs with the same clock",
        )
    found = changes(before, after)
    _print(found, before, after)
    worse = len(found.having("worse")) + len(found.failing)
    if options.fail_on_regression and worse:
        raise ChecksFailed(f"{after.name}: {worse} got worse against {before.name}; see above")


def _print(found: Changes, before: Run, after: Run) -> None:
    from rich.console import Console

    title = f"{before.name} (before), {after.name} (after)"
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    shown = [each for each in found.changes if worth_showing(found.experiment, each)]
    console.print(table(found.experiment, shown, title))
    for line in found.notes:
        print(f"note: {line}")
    for line in conclusions(found):
        print(line)
