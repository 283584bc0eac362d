"""What the verbs that make runs end with: the table, the answer, and where the files are."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Protocol

from pibed.base import terminal
from pibed.base.errors import IncompleteError
from pibed.commands.printing import print_table
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine
from pibed.model.plan import numbers
from pibed.model.samples import Sample, Status
from pibed.model.words import counted
from pibed.report import page, tables
from pibed.runs.folder import RunFolder
from pibed.stats.analysis import Analysis
from pibed.studies import STUDIES


class Outcome(Protocol):
    """A run that was made."""

    @property
    def machine(self) -> Machine:
        """With its clock."""

    @property
    def experiment(self) -> Experiment:
        """What was measured."""

    @property
    def run(self) -> RunFolder:
        """Where it is."""

    @property
    def samples(self) -> Sequence[Sample]:
        """All that were taken."""

    @property
    def problems(self) -> Sequence[str]:
        """What went wrong beside them."""

    @property
    def differs(self) -> Sequence[str]:
        """From the lock."""

    @property
    def warnings(self) -> Sequence[str]:
        """What a reader of the numbers should know."""

    @property
    def analysis(self) -> Analysis:
        """Of the samples."""


def show(outcomes: Sequence[Outcome]) -> None:
    """Prints the table of one run, or of one for each clock, and where the files are."""
    experiment, shard = outcomes[0].experiment, outcomes[0].run.shard
    clocks = " and ".join(each.machine.clock for each in outcomes)
    runs = f"{counted(len(numbers(experiment, shard)), 'run')} a cell"
    if shard is not None:
        runs = f"shard {shard}, {runs} of {experiment.rounds}"
    title = f"{experiment.title}: {runs}, {clocks} clock"
    summaries = {each.machine.clock: each.analysis.summaries for each in outcomes}
    differs = dict.fromkeys(line for outcome in outcomes for line in outcome.differs)
    caption = f"differs from lock: {'; '.join(differs)}" if differs else ""
    print_table(tables.of_sweep(experiment, summaries, title, caption), width=110)
    console = terminal.stderr()
    for outcome in outcomes:
        for warning in outcome.warnings:
            console.print(warning, markup=False)
        print(f"results: {outcome.run.folder}", flush=True)


def report(outcomes: Sequence[Outcome]) -> None:
    """Writes the report of each run, and prints what it says."""
    console = terminal.stderr()
    console.print("report: the plots are being drawn, which takes some seconds", markup=False)
    for outcome in outcomes:
        made = page.publish(outcome.run.folder, STUDIES.values())
        clock = f"{outcome.machine.clock} clock: " if len(outcomes) > 1 else ""
        for line in (*made.headline, *made.notes):
            print(f"{clock}{line}")
        print(f"report: {outcome.run.folder / page.NAMES[0]}")


def require_all_well(outcomes: Sequence[Outcome]) -> None:
    """Raises IncompleteError if a sample is not `ok`, or something else went wrong."""
    for outcome in outcomes:
        folder = outcome.run.folder
        bad = [sample for sample in outcome.samples if sample.status != Status.OK]
        if bad:
            first = bad[0].message.partition("\n")[0] or bad[0].status
            fix = f"why each is not: samples.jsonl of its round in {folder}/boots/"
            if bad[0].status in (Status.OOPS, Status.PANIC):
                fix += f"; where the kernel dies: ./inv gdb {shlex.quote(str(folder))} --oops"
            raise IncompleteError(
                f"{len(bad)} of {len(outcome.samples)} samples are not ok; of the first: {first}",
                fix=fix,
            )
        if outcome.problems:
            raise IncompleteError(
                "all samples were taken, but: " + "; ".join(outcome.problems),
                fix=f"see the logs in {folder}/boots/",
            )
