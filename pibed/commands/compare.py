"""`compare`: what got better or worse from one run to another, or what a study says of a run."""

from __future__ import annotations

from pibed.base.errors import ChecksFailed, UsageError
from pibed.commands.options import CompareOptions
from pibed.commands.printing import print_table
from pibed.report.changes import Changes, Trend, changes, conclusions, table, worth_showing
from pibed.runs import locate, reading
from pibed.runs.reading import Run
from pibed.studies import STUDIES

# Letters of a line where there is no terminal that says.
_WIDTH = 150


def compare(options: CompareOptions) -> None:
    """Prints how a run differs from another one, or what a study says of it (`pi`, `boards`).

    Raises UsageError where nothing can be compared, ChecksFailed if something got worse and
    `--fail-on-regression` was given.
    """
    root = locate.root(options.results)
    names = options.first, options.second
    studies = [name for name in names if name in STUDIES]
    runs = [name for name in names if name not in STUDIES]
    if not runs:
        raise UsageError(f"{' '.join(names)}: expected a run and {names[0]}, or two runs")
    if studies and options.fail_on_regression:
        raise UsageError("--fail-on-regression compares two runs, not a run with a study")
    if studies:
        _print_beside(reading.read(locate.find(root, runs[0])), studies[0])
        return
    before, after = (reading.read(locate.find(root, name)) for name in runs)
    if options.fail_on_regression and before.recorded.machine.clock != after.recorded.machine.clock:
        raise UsageError(
            "--fail-on-regression: the runs have different clocks, whose times cannot be compared",
            fix="compare runs with the same clock",
        )
    found = changes(before, after)
    _print(found, before, after)
    worse = len(found.having(Trend.WORSE)) + len(found.failing)
    if options.fail_on_regression and worse:
        raise ChecksFailed(f"{after.name}: {worse} got worse against {before.name}; see above")


def _print(found: Changes, before: Run, after: Run) -> None:
    title = f"{before.name} (before), {after.name} (after)"
    shown = [each for each in found.changes if worth_showing(found.experiment, each)]
    print_table(table(found.experiment, shown, title), _WIDTH)
    for line in found.notes:
        print(f"note: {line}")
    for line in conclusions(found):
        print(line)


def _print_beside(run: Run, name: str) -> None:
    shown = STUDIES[name].compared(run)
    for each in shown.tables:
        print_table(each, _WIDTH)
    for line in shown.lines:
        print(line)
