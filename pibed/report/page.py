"""What `./inv report` writes: report.html and report.md, from a run's files alone.

The same files give the same bytes: nothing of this host, and no time of day, is in a report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pibed import plots
from pibed.base.errors import printable
from pibed.base.files import write_file
from pibed.model.machine import Clock
from pibed.model.plan import cells
from pibed.model.samples import Status
from pibed.model.words import amount, compared, counted, place, sentence, supported, unit
from pibed.plots.canvas import Plot
from pibed.report import follows, tables, wording
from pibed.report.answer import headline, verdicts
from pibed.report.table import Table
from pibed.report.wording import CLOCKS
from pibed.runs import reading
from pibed.runs.reading import Run
from pibed.stats.analysis import Analysis

NAMES = ("report.html", "report.md")

# Inches of a plot up to which it is legible in half of a page's width.
_HALF = 8

# Flagged samples and samples that are not ok that are listed one by one.
_MOST = 100


@dataclass(frozen=True)
class Figure:
    """A plot on a page: `name` is that of its file, `alt` says what is to be seen."""

    name: str
    title: str
    alt: str
    svg: str
    wide: bool = False
    """Whether its text would be too small in half of a page's width."""


@dataclass(frozen=True)
class Part:
    """Sentences, and what they speak of."""

    title: str
    lines: tuple[str, ...]


class Commentary(Protocol):
    """What has something to add to a run's report."""

    def reported(self, run: Run) -> Part:
        """What is said of the run; no lines where there is nothing to say."""

    def drawn(self, run: Run) -> Sequence[Plot]:
        """What is drawn of it, if anything; no other plot has the name of one of these."""


@dataclass(frozen=True)
class Report:
    """All that a report says, in the order in which it says it."""

    title: str
    name: str
    clock: Clock
    headline: tuple[str, ...]
    notes: tuple[str, ...]
    """What makes this run less than a whole one; empty for a finished run."""
    findings: tuple[Part, ...]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    measured: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    outliers: tuple[str, ...]


def publish(folder: Path, studies: Iterable[Commentary]) -> Report:
    """Draws the plots of a run and writes both reports, from its files and what studies add.

    Raises UsageError for what is no run, HostError where its folder cannot be written.
    """
    run = reading.read(folder)
    studies = tuple(studies)
    drawn = [*(plot for study in studies for plot in study.drawn(run)), *plots.draw(run.analysis)]
    plots.write(drawn, folder)
    figures = [
        Figure(
            each.name,
            each.title,
            each.alt,
            plots.path(folder, each, "svg").read_text("utf-8"),
            wide=each.figure.get_figwidth() > _HALF,
        )
        for each in drawn
    ]
    made = make(run, figures, [study.reported(run) for study in studies])
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


def make(run: Run, figures: Sequence[Figure], said: Sequence[Part] = ()) -> Report:
    """What there is to say of a run, however much of it there is; `said` is what studies say."""
    analysis = run.analysis
    return Report(
        run.experiment.title,
        run.name,
        run.recorded.machine.clock,
        tuple(headline(analysis) if run.samples else ["Nothing has been measured yet."]),
        tuple(sentence(note) for note in run.notes),
        tuple(part for part in (*_findings(analysis), *said) if part.lines),
        tuple(tables.of_report(analysis)),
        tuple(figures),
        tuple(_measured(run)),
        tuple(_warnings(run)),
        tuple(_outliers(analysis)),
    )


def markdown(text: str) -> str:
    """Text as it is in Markdown, in a table or outside of one."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))


def fenced(lines: Sequence[str]) -> str:
    """Lines as they are, as a block of code in Markdown that none of them can end."""
    text = "\n".join(lines)
    runs = (len(run) for run in re.findall("`+", text))
    fence = "`" * max(3, 1 + max(runs, default=0))
    return f"{fence}\n{text}\n{fence}"


def _findings(analysis: Analysis) -> Iterable[Part]:
    experiment = analysis.experiment
    total = experiment.analysed.total
    parts = total if len(total) > 1 and analysis.deciding else []
    yield Part(
        "Where the balance lies",
        tuple(wording.balanced(experiment, each) for each in analysis.balances),
    )
    yield Part(
        "What the variance follows",
        tuple(line for each in analysis.effects for line in follows.in_full(experiment, each)),
    )
    how = "faster"
    if (deciding := analysis.observations.deciding) and experiment.better(deciding) == "higher":
        how = wording.adjective(unit(experiment, deciding), "higher")
    yield Part(
        f"Which {compared(experiment)} is {how}",
        tuple(wording.compared(experiment, each) for each in analysis.deciding),
    )
    yield Part("Its parts", tuple(line for part in parts for line in verdicts(analysis, part)))
    yield Part("How it grows", tuple(wording.fitted(experiment, each) for each in analysis.fits))
    yield Part(
        "What one event costs",
        (
            *(wording.changed(experiment, each) for each in analysis.changes),
            *(wording.costed(experiment, each) for each in analysis.costs),
        ),
    )


def _measured(run: Run) -> Iterable[tuple[str, str]]:
    """From the manifest; what it does not have is left out."""
    recorded, experiment = run.recorded, run.experiment
    machine = recorded.machine
    yield "run", run.name
    yield (
        "experiment",
        f"{experiment.name}: {counted(len(cells(experiment)), 'cell')} × "
        f"{counted(run.rounds, 'round')}, each "
        f"round a boot of its own, seed {experiment.seed}",
    )
    yield "clock", CLOCKS[machine.clock]
    timed = ""
    if machine.clock == "board" and recorded.board is not None:
        timed = f", with the time of a {recorded.board.title}"
    yield (
        "machine",
        f"{machine.board}, {machine.memory_mib} MiB{timed}; Linux {machine.kernel.version}"
        + (f" with {', '.join(experiment.kernel.fragments)}" if experiment.kernel else ""),
    )
    yield "workload", experiment.workload.words
    for module in experiment.module_list:
        parameters = (f"{name}={value}" for name, value in module.parameters.items())
        yield "module", " ".join([module.name, *parameters])
    yield "QEMU", recorded.qemu.version
    yield "builder", recorded.builder.words
    if recorded.sources:
        # Of the guest's packages, which have its architecture in their names, those asked for.
        guest = {n.partition(":")[0]: e.version for n, e in recorded.sources.items() if ":" in n}
        versions = (f"{n} {e.version}" for n, e in recorded.sources.items() if ":" not in n)
        yield "sources", "; ".join(versions)
        if guest:
            asked = {n: version for n, version in guest.items() if n in experiment.packages}
            more = len(guest) - len(asked)
            words = "; ".join(f"{name} {version}" for name, version in asked.items())
            yield "packages", f"{words}; {more} more that they need" if more else words
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
    hosts = (", ".join(filter(None, (each.processor, each.system))) for each in recorded.hosts)
    yield "host", "; ".join(dict.fromkeys(hosts))
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


def _warnings(run: Run) -> Iterable[str]:
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
        where = place(experiment, each.cell)
        yield f"Round {each.round}, {where}: {each.status}" + (f": {message}" if message else "")
    if len(bad) > _MOST:
        yield f"{len(bad) - _MOST} more are in samples.csv"
    if run.samples:
        yield from run.analysis.observations.left_out


def _outliers(analysis: Analysis) -> Iterable[str]:
    """The samples that are flagged, one line each."""
    experiment, found = analysis.experiment, analysis.outliers
    for each in found[:_MOST]:
        metric = experiment.metrics[each.metric]
        yield (
            f"{place(experiment, each.cell)}, {metric.title}: {amount(each.value, metric.unit)} "
            f"in round {each.round}; the median is {supported(each.median, each.spread)}"
        )
    if len(found) > _MOST:
        yield f"{len(found) - _MOST} more; summary.csv counts them"


def _inline(figure: Figure) -> str:
    """A plot's SVG as a part of a page: no prolog, and no identifier of another plot's."""
    text = re.sub(r"^\s*(<\?xml.*?\?>|<!DOCTYPE[^>]*>|<!--.*?-->|\s)*", "", figure.svg, flags=re.S)
    prefix = re.sub(r"[^\w-]", "-", figure.name)
    text = re.sub(r'(\bid=")', rf"\g<1>{prefix}-", text)
    text = re.sub(r'(href="#)', rf"\g<1>{prefix}-", text)
    return re.sub(r"(url\(#)", rf"\g<1>{prefix}-", text)
