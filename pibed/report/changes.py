"""What `./inv compare` says of two runs: what got better, what got worse, what nobody can tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pibed.base.errors import UsageError
from pibed.model.board import differences
from pibed.model.experiment import TOTAL, Experiment
from pibed.model.plan import Cell, cells
from pibed.model.samples import Sample, Status
from pibed.model.words import amount, heading, in_unit, labels, number, place, title, unit
from pibed.report.table import Column, Table
from pibed.report.tables import between
from pibed.runs import madeof
from pibed.runs.reading import Run
from pibed.stats.comparison import Comparison, Verdict, judge_all, measure
from pibed.stats.observations import Alternative, draw_apart


class Trend(StrEnum):
    """What became of a metric from one run to another."""

    WORSE = "worse"
    BETTER = "better"
    UNDECIDED = "undecided"
    SAME = "no relevant change"
    IDENTICAL = "identical"


@dataclass(frozen=True)
class Change:
    """One metric in one cell, in the second run and the first.

    `found.ratio` is the second run's median by the first's: above 1 it grew, which is worse unless
    higher values of the metric are better.
    """

    cell: Cell
    found: Comparison
    trend: Trend

    @property
    def metric(self) -> str:
        """A metric that both experiments have, or `total`."""
        return self.found.metric


@dataclass(frozen=True)
class Failing:
    """A cell of which a larger share of samples is missing or not `ok` in the second run."""

    cell: Cell
    before: tuple[int, int]
    """Samples that are missing or not `ok`, and all that were planned."""
    after: tuple[int, int]


@dataclass(frozen=True)
class Changes:
    """Everything that differs between two runs, as far as it can be told."""

    experiment: Experiment
    """The first run's."""
    changes: tuple[Change, ...]
    failing: tuple[Failing, ...]
    notes: tuple[str, ...]
    """What a reader should know: cells that are not compared, how the runs were made."""

    def having(self, trend: Trend) -> list[Change]:
        """Those that went this way."""
        return [each for each in self.changes if each.trend is trend]


def changes(before: Run, after: Run) -> Changes:
    """Compares two runs, cell by cell; raises UsageError if they have nothing in common."""
    metrics = _common_metrics(before, after)
    old, new = (run.analysis.observations for run in (before, after))
    counts = draw_apart(len(new.rounds), len(old.rounds))
    relevant = before.experiment.analysed.relevant_percent
    theirs = set(cells(after.experiment))
    common = [cell for cell in cells(before.experiment) if cell in theirs]
    runs = (Alternative(1, after.name), Alternative(0, before.name))
    compared: list[Comparison] = []
    same: list[bool] = []
    samples = [_by_cell(run) for run in (before, after)]
    for cell in common:
        for metric in metrics:
            a, b = old.series(cell, metric), new.series(cell, metric)
            if a is None or b is None:
                continue
            shifted = replace(a, rounds=a.rounds + len(new.rounds))
            # What was said of the metric last counts.
            better = after.experiment.better(metric)
            compared.append(measure(cell, metric, runs, (b, shifted), counts, better))
            names = before.experiment.analysed.total if metric == TOTAL else [metric]
            first, second = (_numbers(each[cell], names) for each in samples)
            same.append(first == second)
    failing = tuple(_failing(before, after))
    if not compared and not (failing and after.samples):
        why = "".join(f"; {run.name}: {note}" for run in (before, after) for note in run.notes)
        raise UsageError(
            f"{before.name} and {after.name}: there is no cell that both have samples of{why}",
            fix="compare runs that have a choice of parameters in common",
        )
    judged = judge_all(compared, relevant / 100)
    notes = [*_missing(before, after), *_settings(before, after)]
    for run in (before, after):
        notes += [f"{run.name}: {note}" for note in run.notes]
    return Changes(
        before.experiment,
        tuple(
            Change(each.others, each, _trend(each, identical))
            for each, identical in zip(judged, same, strict=True)
        ),
        failing,
        tuple(notes),
    )


def _trend(found: Comparison, identical: bool) -> Trend:
    if identical:
        return Trend.IDENTICAL
    return {
        Verdict.FIRST: Trend.BETTER,
        Verdict.SECOND: Trend.WORSE,
        Verdict.NO_DIFFERENCE: Trend.SAME,
        Verdict.UNDECIDED: Trend.UNDECIDED,
    }[found.verdict]


def _common_metrics(before: Run, after: Run) -> list[str]:
    """The metrics that both runs have, and the total if it is the same sum.

    Raises UsageError if the parameters are others, or no metric is common.
    """
    a, b = before.experiment, after.experiment
    if a.parameters.keys() != b.parameters.keys():
        raise UsageError(
            f"{before.name} and {after.name}: their cells have other parameters: "
            f"{', '.join(a.parameters)} and {', '.join(b.parameters)}",
            fix="compare runs of the same experiment",
        )
    common = [
        name
        for name, metric in a.metrics.items()
        if name in b.metrics and metric.unit == b.metrics[name].unit
    ]
    if not common:
        raise UsageError(
            f"{before.name} and {after.name}: they have no metric in common: "
            f"{', '.join(a.metrics)} and {', '.join(b.metrics)}",
            fix="compare runs of the same experiment",
        )
    sums = [each.analysed.total for each in (a, b)]
    if len(sums[0]) > 1 and sums[0] == sums[1] and set(sums[0]) <= set(common):
        common.append(TOTAL)
    return common


def _by_cell(run: Run) -> dict[Cell, list[Sample]]:
    found: dict[Cell, list[Sample]] = {}
    for each in run.samples:
        found.setdefault(each.cell, []).append(each)
    return found


def _numbers(samples: Iterable[Sample], names: Collection[str]) -> dict[int, float]:
    """What was measured in each round, of several metrics their sum."""
    return {
        each.round: sum(each.metrics[name] for name in names)
        for each in samples
        if each.metrics.keys() >= set(names)
    }


def _failing(before: Run, after: Run) -> Iterable[Failing]:
    """The cells of both runs of whose planned samples a larger share is missing or not `ok`."""
    good = [
        Counter(each.cell for each in run.samples if each.status == Status.OK)
        for run in (before, after)
    ]
    planned = before.rounds, after.rounds
    common = set(cells(after.experiment))
    for cell in cells(before.experiment):
        bad = planned[0] - good[0][cell], planned[1] - good[1][cell]
        if cell in common and bad[1] * planned[0] > bad[0] * planned[1]:
            yield Failing(cell, (bad[0], planned[0]), (bad[1], planned[1]))


def _missing(before: Run, after: Run) -> Iterable[str]:
    """Which cells are not compared, and why."""
    for run, other in ((before, after), (after, before)):
        theirs = set(cells(other.experiment))
        own = [cell for cell in cells(run.experiment) if cell not in theirs]
        if only := [place(run.experiment, cell) for cell in own]:
            yield f"only {run.name} has: {'; '.join(only)}"
    for run in (before, after):
        for line in run.analysis.observations.left_out:
            yield f"{run.name}: {line}"


def _settings(before: Run, after: Run) -> Iterable[str]:
    """What differs in how two runs were made, one line each."""
    if before.samples == after.samples:
        yield "all samples of both runs are the same"
    if before.recorded.images != after.recorded.images:
        yield from madeof.changes(before.recorded.made_of, after.recorded.made_of)
    described = [_described(run) for run in (before, after)]
    for name, value in described[0].items():
        if value != described[1][name]:
            yield f"{name}: {value}, then {described[1][name]}"
    boards = [run.recorded.board for run in (before, after)]
    if boards[0] is not None and boards[1] is not None:
        yield from differences(boards[1], boards[0])
    if before.recorded.machine.clock != after.recorded.machine.clock:
        yield (
            "the clocks differ: a ratio of the times of two clocks says nothing of what got "
            "better or worse"
        )


def _described(run: Run) -> dict[str, str]:
    recorded, experiment, machine = run.recorded, run.experiment, run.recorded.machine
    git = recorded.git
    commit = f"{git.commit}{' (modified)' if git.modified else ''}" if git else "none"
    parameters = "; ".join(
        " ".join(f"{name}={value}" for name, value in each.parameters.items())
        for each in experiment.module_list
    )
    higher = [name for name, metric in experiment.metrics.items() if metric.better == "higher"]
    return {
        "experiment": experiment.name,
        "clock": machine.clock,
        "machine": machine.name,
        "kernel": " ".join(
            [machine.kernel.version, *(experiment.kernel.fragments if experiment.kernel else [])]
        ),
        "workload": experiment.workload.words,
        "modules": " ".join(each.name for each in experiment.module_list) or "none",
        "module parameters": parameters or "none",
        "QEMU": recorded.qemu.version,
        "commit": commit,
        "builder": recorded.builder.words,
        **_made_with(run),
        "images": " ".join(digest[:12] for digest in recorded.images.values()),
        "higher is better": ", ".join(higher) or "of no metric",
        "rounds": str(run.rounds),
        "seed": str(experiment.seed),
        "minimum relevant difference [%]": f"{experiment.analysed.relevant_percent:g}",
        "host": recorded.host.processor if machine.clock == "host" else "any",
    }


def _made_with(run: Run) -> dict[str, str]:
    """What else of a builder shows in the guest, whatever the builder calls it."""
    tools = run.recorded.tools
    source, packages = run.recorded.sources.get("busybox"), run.recorded.builder.packages
    busybox = source.version if source is not None else packages.get("busybox")
    found = {
        "compiler": [line for name, line in tools.items() if name.endswith("-gcc")],
        "linker": [line for name, line in tools.items() if name.endswith("-ld")],
        "C library": [line for name, line in tools.items() if name == "libc.a"],
        "BusyBox": [busybox] if busybox else [],
    }
    words = {name: ", ".join(lines) or "not known" for name, lines in found.items()}
    guest = [f"{n} {e.version}" for n, e in run.recorded.sources.items() if ":" in n]
    return words | {"guest's packages": ", ".join(guest) or "none"}


def worth_showing(experiment: Experiment, change: Change) -> bool:
    """Counters that stay what they were are left out."""
    return experiment.is_main(change.metric) or change.trend not in (Trend.IDENTICAL, Trend.SAME)


def table(experiment: Experiment, shown: Sequence[Change], title: str) -> Table:
    """A row a cell and metric."""
    rows = []
    for each in shown:
        found = each.found
        kind = unit(experiment, each.metric)
        name = in_unit(TOTAL, kind) if each.metric == TOTAL else heading(experiment, each.metric)
        rows.append(
            (
                *labels(experiment, each.cell),
                name,
                f"{found.n[1]}, {found.n[0]}",
                number(found.medians[1]),
                number(found.medians[0]),
                "-" if found.ratio is None else f"{found.ratio:.5g}",
                between(found.ratio_low, found.ratio_high, ".5g"),
                "-" if found.p_holm is None else f"{found.p_holm:.2g}",
                each.trend,
            )
        )
    columns = (
        *(
            Column(each.title, not (each.labels or each.is_text))
            for each in experiment.parameters.values()
        ),
        Column("metric"),
        *(Column(e, True) for e in ("n", "before", "after", "ratio", "95 % interval", "p")),
        Column("verdict"),
    )
    return Table(title, columns, tuple(rows))


def conclusions(found: Changes) -> Iterable[str]:
    """What got worse and better, in words, and how much could not be told."""
    experiment = found.experiment
    for each in (*found.having(Trend.WORSE), *found.having(Trend.BETTER)):
        before, after = each.found.medians[1], each.found.medians[0]
        kind = unit(experiment, each.metric)
        change = ""
        if each.found.ratio is not None:
            change = f", {100 * (each.found.ratio - 1):+.3g} %"
        yield (
            f"{each.trend}: {place(experiment, each.cell)}: "
            f"the median of {title(experiment, each.metric)} is "
            f"{amount(after, kind)} after {amount(before, kind)}{change}"
        )
    for failing in found.failing:
        yield (
            f"{Trend.WORSE}: {place(experiment, failing.cell)}: {failing.after[0]} of "
            f"{failing.after[1]} samples are missing or not ok, after {failing.before[0]} of "
            f"{failing.before[1]}"
        )
    counts = {trend: len(found.having(trend)) for trend in Trend}
    shown = ", ".join(f"{count} {trend}" for trend, count in counts.items() if count)
    yield f"compared: {shown}"
    reasons = Counter(each.found.reason for each in found.having(Trend.UNDECIDED))
    if reasons:
        reason, _ = reasons.most_common(1)[0]
        yield f"undecided, such as: {reason}"
