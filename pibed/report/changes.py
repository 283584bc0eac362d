"""What `./inv compare` says of two runs: what got better, what got worse, what nobody can tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from pibed.base.errors import UsageError
from pibed.model.experiment import Experiment
from pibed.model.plan import Cell, cells
from pibed.model.samples import Status
from pibed.report import wording
from pibed.runs.reading import Run
from pibed.stats.modes import NO_DIFFERENCE, Comparison, judge_all, measure
from pibed.stats.observations import TOTAL, Mode, Observations, draw_apart, observe

if TYPE_CHECKING:
    from rich.table import Table


Verdict = Literal["worse", "better", "undecided", "no relevant change", "identical"]


@dataclass(frozen=True)
class Change:
    """One metric in one cell, in the second run and the first.

    `found.ratio` is the second run's median by the first's: above 1 it grew, which is worse.
    """

    cell: Cell
    found: Comparison
    verdict: Verdict

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

    def having(self, verdict: Verdict) -> list[Change]:
        """Those with this verdict."""
        return [each for each in self.changes if each.verdict == verdict]


def changes(before: Run, after: Run) -> Changes:
    """Compares two runs, cell by cell; raises UsageError if they have nothing in common."""
    metrics = _common_metrics(before, after)
    old, new = (observe(run.experiment, run.samples, resamples=1) for run in (before, after))
    counts = draw_apart(len(new.counts), len(old.counts))
    relevant = before.experiment.analysed.relevant_percent
    theirs = set(cells(after.experiment))
    common = [cell for cell in cells(before.experiment) if cell in theirs]
    modes = (Mode(1, after.name), Mode(0, before.name))
    compared: list[Comparison] = []
    same: list[bool] = []
    for cell in common:
        for metric in metrics:
            a, b = old.series(cell, metric), new.series(cell, metric)
            if a is None or b is None:
                continue
            shifted = replace(a, rounds=a.rounds + len(new.counts))
            compared.append(measure(cell, metric, modes, (b, shifted), counts))
            same.append(_numbers(before, cell, metric) == _numbers(after, cell, metric))
    failing = tuple(_failing(before, after))
    if not compared and not (failing and after.samples):
        why = "".join(f"; {run.name}: {note}" for run in (before, after) for note in run.notes)
        raise UsageError(
            f"{before.name} and {after.name}: there is no cell that both have samples of{why}",
            fix="compare runs that have a choice of parameters in common",
        )
    judged = judge_all(compared, relevant / 100)
    notes = [*_missing(before, after, old, new), *_settings(before, after)]
    for run in (before, after):
        notes += [f"{run.name}: {note}" for note in run.notes]
    return Changes(
        before.experiment,
        tuple(
            Change(each.others, each, _verdict(each, identical))
            for each, identical in zip(judged, same, strict=True)
        ),
        failing,
        tuple(notes),
    )


def _verdict(found: Comparison, identical: bool) -> Verdict:
    if identical:
        return "identical"
    if found.faster is not None:
        return "better" if found.faster == found.modes[0] else "worse"
    return "no relevant change" if found.verdict == NO_DIFFERENCE else "undecided"


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


def _numbers(run: Run, cell: Cell, metric: str) -> dict[int, float]:
    """What was measured in each round."""
    names = run.experiment.analysed.total if metric == TOTAL else [metric]
    return {
        each.round: sum(each.metrics[name] for name in names)
        for each in run.samples
        if each.cell == cell and set(names) <= each.metrics.keys()
    }


def _failing(before: Run, after: Run) -> Iterable[Failing]:
    """The cells of both runs of whose planned samples a larger share is missing or not `ok`."""
    good = [
        Counter(each.cell for each in run.samples if each.status == Status.OK)
        for run in (before, after)
    ]
    planned = before.experiment.rounds, after.experiment.rounds
    common = set(cells(after.experiment))
    for cell in cells(before.experiment):
        bad = planned[0] - good[0][cell], planned[1] - good[1][cell]
        if cell in common and bad[1] * planned[0] > bad[0] * planned[1]:
            yield Failing(cell, (bad[0], planned[0]), (bad[1], planned[1]))


def _missing(before: Run, after: Run, old: Observations, new: Observations) -> Iterable[str]:
    """Which cells are not compared, and why."""
    for run, other in ((before, after), (after, before)):
        theirs = set(cells(other.experiment))
        own = [cell for cell in cells(run.experiment) if cell not in theirs]
        if only := [wording.place(run.experiment, cell) for cell in own]:
            yield f"only {run.name} has: {'; '.join(only)}"
    for run, observations in ((before, old), (after, new)):
        for line in observations.left_out:
            yield f"{run.name}: {line}"


def _settings(before: Run, after: Run) -> Iterable[str]:
    """What differs in how two runs were made, one line each."""
    if before.samples == after.samples:
        yield "all samples of both runs are the same"
    described = [_described(run) for run in (before, after)]
    for name, value in described[0].items():
        if value != described[1][name]:
            yield f"{name}: {value}, then {described[1][name]}"
    if before.recorded.machine.clock != after.recorded.machine.clock:
        yield (
            "the clocks differ: a ratio of counted instructions and real time says nothing of "
            "what got better or worse"
        )


def _described(run: Run) -> dict[str, str]:
    recorded, experiment, machine = run.recorded, run.experiment, run.recorded.machine
    git = recorded.git
    commit = f"{git.commit}{' (modified)' if git.modified else ''}" if git else "none"
    parameters = " ".join(f"{k}={v}" for k, v in experiment.module.parameters.items())
    return {
        "experiment": experiment.name,
        "clock": machine.clock,
        "machine": machine.name,
        "kernel": machine.kernel.version,
        "workload": " ".join([experiment.workload.command, *experiment.workload.cflags]),
        "module parameters": parameters,
        "QEMU": recorded.qemu.version,
        "commit": commit,
        "builder": recorded.builder.words,
        **_made_with(run),
        "images": " ".join(digest[:12] for digest in recorded.images.values()),
        "rounds": str(experiment.rounds),
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
    return {name: ", ".join(lines) or "not known" for name, lines in found.items()}


def worth_showing(experiment: Experiment, change: Change) -> bool:
    """Counters that stay what they were are left out."""
    timing = change.metric == TOTAL or experiment.metrics[change.metric].table
    return timing or change.verdict not in ("identical", "no relevant change")


def table(experiment: Experiment, shown: Sequence[Change], title: str) -> Table:
    """A row a cell and metric."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    result = Table(
        title=escape(title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for parameter in experiment.parameters.values():
        result.add_column(escape(parameter.title), justify="left" if parameter.labels else "right")
    result.add_column("metric")
    for heading in ("n", "before", "after", "ratio", "95 % interval", "p"):
        result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("verdict", no_wrap=True)
    for each in shown:
        found = each.found
        kind = wording.unit(experiment, each.metric)
        metric = "total" if each.metric == TOTAL else wording.title(experiment, each.metric)
        bounds = "-"
        if found.ratio_low is not None and found.ratio_high is not None:
            bounds = f"{found.ratio_low:.5g} to {found.ratio_high:.5g}"
        result.add_row(
            *(escape(wording.label(experiment, *pair)) for pair in each.cell.values),
            escape(f"{metric} [{kind}]"),
            f"{found.n[1]}, {found.n[0]}",
            wording.number(found.medians[1]),
            wording.number(found.medians[0]),
            "-" if found.ratio is None else f"{found.ratio:.5g}",
            bounds,
            "-" if found.p_holm is None else f"{found.p_holm:.2g}",
            each.verdict,
        )
    return result


def conclusions(found: Changes) -> Iterable[str]:
    """What got worse and better, in words, and how much could not be told."""
    experiment = found.experiment
    for verdict in ("worse", "better"):
        for each in found.having(verdict):
            before, after = each.found.medians[1], each.found.medians[0]
            kind = wording.unit(experiment, each.metric)
            change = ""
            if each.found.ratio is not None:
                change = f", {100 * (each.found.ratio - 1):+.3g} %"
            yield (
                f"{verdict}: {wording.place(experiment, each.cell)}: "
                f"the median of {wording.title(experiment, each.metric)} is "
                f"{wording.amount(after, kind)} after {wording.amount(before, kind)}{change}"
            )
    for failing in found.failing:
        yield (
            f"worse: {wording.place(experiment, failing.cell)}: {failing.after[0]} of "
            f"{failing.after[1]} samples are missing or not ok, after {failing.before[0]} of "
            f"{failing.before[1]}"
        )
    counts = [
        f"{len(found.having(verdict))} {verdict}"
        for verdict in get_args(Verdict)
        if found.having(verdict)
    ]
    yield f"compared: {', '.join(counts)}"
    reasons = Counter(each.found.reason for each in found.having("undecided"))
    if reasons:
        reason, _ = reasons.most_common(1)[0]
        yield f"undecided, such as: {reason}"
