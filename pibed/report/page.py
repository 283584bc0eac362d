"""What `./inv report` writes: report.html and report.md, from a run's files alone.

The same files give the same bytes: nothing of this host, and no time of day, is in a report.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed import plots
from pibed.base.errors import printable
from pibed.base.files import write_file
from pibed.model.experiment import Experiment
from pibed.model.machine import Clock
from pibed.model.plan import Cell, cells
from pibed.model.samples import Number, Status
from pibed.report import wording
from pibed.report.answer import headline, verdicts
from pibed.report.wording import CLOCKS, number
from pibed.runs import reading
from pibed.runs.reading import Run
from pibed.stats import summary
from pibed.stats.balance import balances
from pibed.stats.growth import changes, costs, fits
from pibed.stats.modes import Comparison, compare
from pibed.stats.observations import TOTAL, Observations, observe
from pibed.stats.summary import Summary

NAMES = ("report.html", "report.md")

# Rows of a table beyond which it is shown on demand only.
_LONG = 40

# Flagged samples and samples that are not ok that are listed one by one.
_MOST = 100


@dataclass(frozen=True)
class Figure:
    """A plot on a page: `name` is that of its file, `alt` says what is to be seen."""

    name: str
    title: str
    alt: str
    svg: str


@dataclass(frozen=True)
class Table:
    """Rows of text; the first `words` columns are words, the others numbers."""

    title: str
    note: str
    headings: tuple[str, ...]
    words: int
    rows: tuple[tuple[str, ...], ...]
    folded: bool = False
    """Whether it is shown on demand only."""


@dataclass(frozen=True)
class Report:
    """All that a report says, in the order in which it says it."""

    title: str
    name: str
    clock: Clock
    headline: tuple[str, ...]
    notes: tuple[str, ...]
    """What makes this run less than a whole one; empty for a finished run."""
    findings: tuple[tuple[str, tuple[str, ...]], ...]
    """Sentences, by what they speak of."""
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    measured: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    outliers: tuple[str, ...]


Study = Callable[[Run], tuple[str, Sequence[str]]]

"""What a study has to say of a run: a title and sentences, none where the run is not of it."""


def publish(folder: Path, studies: Sequence[Study]) -> Report:
    """Draws the plots of a run and writes both reports, from its files and what studies say of it.

    Raises UsageError for what is no run, HostError where its folder cannot be written.
    """
    run = reading.read(folder)
    drawn = plots.draw(observe(run.experiment, run.samples))
    plots.write(drawn, folder)
    figures = [
        Figure(each.name, each.title, each.alt, plots.path(folder, each, "svg").read_text("utf-8"))
        for each in drawn
    ]
    made = make(run, figures, [study(run) for study in studies])
    write(folder, made)
    return made


def write(folder: Path, made: Report) -> None:
    """Writes report.html and report.md; raises HostError when they cannot be written."""
    for name in NAMES:
        write_file(folder / name, render(made, name))


def render(made: Report, name: str) -> str:
    """The text of a report: `name` is `report.html` or `report.md`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # A plot is pibed's own drawing, not anyone's words.
    environment.filters["inline"] = lambda figure: Markup(_inline(figure))
    environment.filters["md"] = markdown
    return environment.get_template(f"{name}.j2").render(report=made)


def make(
    run: Run,
    figures: Sequence[Figure],
    studies: Sequence[tuple[str, Sequence[str]]] = (),
) -> Report:
    """What there is to say of a run, however much of it there is.

    `studies` are titles and sentences beside those about the run alone.
    """
    experiment = run.experiment
    observations = observe(experiment, run.samples)
    comparisons = compare(observations)
    answer = headline(observations, comparisons)
    if not run.samples:
        answer = ["Nothing has been measured yet."]
    warnings, outliers = list(_warnings(run, observations)), list(_outliers(run))
    return Report(
        experiment.title,
        run.name,
        run.recorded.machine.clock,
        tuple(answer),
        tuple(wording.sentence(note) for note in run.notes),
        tuple(_findings(observations, comparisons, studies)),
        tuple(_tables(run, comparisons)),
        tuple(figures),
        tuple(_measured(run)),
        tuple(warnings),
        tuple(outliers),
    )


def markdown(text: str) -> str:
    """Text as it is in Markdown, in a table or outside of one."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))


def _findings(
    observations: Observations,
    comparisons: Sequence[Comparison],
    studies: Sequence[tuple[str, Sequence[str]]],
) -> Iterable[tuple[str, tuple[str, ...]]]:
    experiment = observations.experiment
    deciding = [each for each in comparisons if each.metric == observations.deciding]
    parts = experiment.analysed.total if len(experiment.analysed.total) > 1 else []
    if not deciding:
        parts = []
    for title, lines in (
        (
            "Where the balance lies",
            [wording.balanced(experiment, each) for each in balances(observations)],
        ),
        ("Which mode is faster", [wording.compared(experiment, each) for each in deciding]),
        (
            "Its parts",
            [line for part in parts for line in verdicts(observations, comparisons, part)],
        ),
        ("How it grows", [wording.fitted(experiment, each) for each in fits(observations)]),
        (
            "What one event costs",
            [
                *(wording.changed(experiment, each) for each in changes(observations)),
                *(wording.costed(experiment, each) for each in costs(observations)),
            ],
        ),
        *studies,
    ):
        if lines:
            yield title, tuple(lines)


def _tables(run: Run, comparisons: Sequence[Comparison]) -> Iterable[Table]:
    experiment = run.experiment
    main = [each for each in comparisons if _is_main(experiment, each.metric)]
    rest = [each for each in comparisons if not _is_main(experiment, each.metric)]
    if main:
        yield _verdicts("The modes side by side", experiment, main, False)
    summaries = summary.summarise(experiment, run.samples)
    shown = [each for each in summaries if experiment.metrics[each.metric].table]
    others = [each for each in summaries if not experiment.metrics[each.metric].table]
    note = (
        "The interval is that of the median, with at least 95 % confidence. Outliers are "
        "flagged, never dropped."
    )
    if shown:
        yield _summary("What was measured", note, experiment, shown, False)
    if rest:
        yield _verdicts("Other metrics: the modes side by side", experiment, rest, True)
    if others:
        yield _summary("Other metrics: what was measured", "", experiment, others, True)


def _is_main(experiment: Experiment, metric: str) -> bool:
    return metric == TOTAL or experiment.metrics[metric].table


def _verdicts(
    title: str, experiment: Experiment, comparisons: Sequence[Comparison], folded: bool
) -> Table:
    first, second = comparisons[0].modes
    others = [name for name, _ in comparisons[0].others.values]
    rows = []
    for each in comparisons:
        kind = wording.unit(experiment, each.metric)
        p = "nothing varies" if each.p_holm is None else f"{each.p_holm:.2g}"
        ratio = "-" if each.ratio is None else f"{each.ratio:.5g}"
        bounds = _interval(each.ratio_low, each.ratio_high, ".5g")
        rows.append(
            (
                *_labels(experiment, each.others),
                f"{wording.title(experiment, each.metric)} [{kind}]",
                each.verdict,
                number(each.medians[0]),
                number(each.medians[1]),
                ratio,
                bounds,
                f"{each.delta:.2f}",
                p,
            )
        )
    relevant = experiment.analysed.relevant_percent
    return Table(
        title,
        "The mode with the smaller values has the verdict if the ratio's whole interval lies more "
        f"than {relevant:g} % from 1 and p, corrected for the number of all comparisons (Holm), "
        "is below 0.05.",
        (
            *(experiment.parameters[name].title for name in others),
            "metric",
            "verdict",
            f"median, {first.label}",
            f"median, {second.label}",
            "ratio",
            "95 % interval",
            "Cliff's delta",
            "p",
        ),
        len(others) + 2,
        tuple(rows),
        folded or len(rows) > _LONG,
    )


def _summary(
    title: str,
    note: str,
    experiment: Experiment,
    summaries: Sequence[Summary],
    folded: bool,
) -> Table:
    headings = tuple(parameter.title for parameter in experiment.parameters.values())
    return Table(
        title,
        note,
        (*headings, "metric", "n", "min", "median", "interval", "mean", "max", "SD", "outliers"),
        len(headings) + 1,
        tuple(
            (
                *_labels(experiment, each.cell),
                f"{experiment.metrics[each.metric].title} [{experiment.metrics[each.metric].unit}]",
                str(each.n),
                number(each.min),
                number(each.median),
                _interval(each.ci_low, each.ci_high),
                number(each.mean),
                number(each.max),
                "-" if each.sd is None else f"{each.sd:.3g}",
                str(each.outliers),
            )
            for each in summaries
        ),
        folded or len(summaries) > _LONG,
    )


def _measured(run: Run) -> Iterable[tuple[str, str]]:
    """From the manifest; what it does not have is left out."""
    recorded, experiment = run.recorded, run.experiment
    machine = recorded.machine
    yield "run", run.name
    yield (
        "experiment",
        f"{experiment.name}: {len(cells(experiment))} cells × {experiment.rounds} rounds, each "
        f"round a boot of its own, seed {experiment.seed}",
    )
    yield "clock", CLOCKS[machine.clock]
    yield "machine", f"{machine.board}, {machine.memory_mib} MiB; Linux {machine.kernel.version}"
    flags = " ".join(experiment.workload.cflags)
    yield "workload", experiment.workload.command + (f" ({flags})" if flags else "")
    parameters = experiment.module.parameters.items()
    yield "module", " ".join([experiment.module.name, *(f"{k}={v}" for k, v in parameters)])
    yield "QEMU", recorded.qemu.version
    yield "builder", recorded.builder.words
    if recorded.sources:
        versions = (f"{name} {each.version}" for name, each in recorded.sources.items())
        yield "sources", "; ".join(versions)
    if recorded.tools:
        yield "tools", "; ".join(f"{name} {line}" for name, line in recorded.tools.items())
    differs = recorded.lock.differs
    yield "lock", f"differs: {'; '.join(differs)}" if differs else "all as locked"
    if (git := recorded.git) is not None:
        changed = ", tracked files modified" if git.modified else ""
        yield "pibed", f"{recorded.pibed}, commit {git.commit}{changed}"
    else:
        yield "pibed", recorded.pibed
    host = recorded.host
    yield "host", ", ".join(filter(None, (host.processor, host.system)))
    if machine.clock == "host":
        load = f"{host.load_average.begin:.2f} at the begin"
        if host.load_average.end is not None:
            load += f", {host.load_average.end:.2f} at the end"
        yield "load", f"{load}; frequency governor: {host.governor or 'not stated'}"
    if recorded.resumed:
        yield "resumed", f"{recorded.resumed} times after an interruption"
    yield (
        "samples.csv",
        f"SHA-256 {recorded.samples_digest or '(not written yet)'}, as the manifest has it",
    )
    yield "to repeat it", f"./inv rerun results/{run.name}/manifest.json"


def _warnings(run: Run, observations: Observations) -> Iterable[str]:
    experiment = run.experiment
    for line in run.recorded.lock.differs:
        yield f"Differs from the lock: {line}"
    yield from (*run.recorded.problems, *run.recorded.warnings)
    bad = [each for each in run.samples if each.status != Status.OK]
    if bad:
        counts = reading.not_ok(run.samples)
        yield f"{len(bad)} of {len(run.samples)} samples are not ok, and have no numbers: {counts}"
    why = reading.messages(run)
    for each in bad[:_MOST]:
        message = printable(why.get((each.round, each.order), ""))
        where = wording.place(experiment, each.cell)
        yield f"Round {each.round}, {where}: {each.status}" + (f": {message}" if message else "")
    if len(bad) > _MOST:
        yield f"{len(bad) - _MOST} more are in samples.csv"
    if run.samples:
        yield from observations.left_out


def _outliers(run: Run) -> Iterable[str]:
    """The samples that are flagged, one line each."""
    experiment = run.experiment
    by_cell: dict[Cell, list[tuple[int, Mapping[str, Number]]]] = {
        cell: [] for cell in cells(experiment)
    }
    for each in run.samples:
        if each.status == Status.OK:
            by_cell[each.cell].append((each.round, each.metrics))
    lines = []
    for cell, found in by_cell.items():
        for name, metric in experiment.metrics.items():
            values = [metrics[name] for _, metrics in found]
            if not values:
                continue
            median = statistics.median(values)
            flags = summary.outlying(values)
            for (round_, _), value, flagged in zip(found, values, flags, strict=True):
                if flagged:
                    lines.append(
                        f"{wording.place(experiment, cell)}, {metric.title}: {number(value)} "
                        f"{metric.unit} in round {round_}; the median is {number(median)}"
                    )
    yield from lines[:_MOST]
    if len(lines) > _MOST:
        yield f"{len(lines) - _MOST} more; summary.csv counts them"


def _labels(experiment: Experiment, cell: Cell) -> Iterable[str]:
    return [wording.label(experiment, name, value) for name, value in cell.values]


def _interval(low: float | None, high: float | None, form: str = "") -> str:
    if low is None or high is None:
        return "-"
    shown = [format(each, form) if form else number(each) for each in (low, high)]
    return " to ".join(shown)


def _inline(figure: Figure) -> str:
    """A plot's SVG as a part of a page: no prolog, and no identifier of another plot's."""
    text = re.sub(r"^\s*(<\?xml.*?\?>|<!DOCTYPE[^>]*>|<!--.*?-->|\s)*", "", figure.svg, flags=re.S)
    prefix = re.sub(r"[^\w-]", "-", figure.name)
    text = re.sub(r'(\bid=")', rf"\g<1>{prefix}-", text)
    text = re.sub(r'(href="#)', rf"\g<1>{prefix}-", text)
    return re.sub(r"(url\(#)", rf"\g<1>{prefix}-", text)
