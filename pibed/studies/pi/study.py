"""The study on a real Pi beside a run: in its report, and compared with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pibed.base import places
from pibed.base.errors import HostError, UsageError
from pibed.model.experiment import Experiment
from pibed.model.machine import Clock
from pibed.model.words import sentence
from pibed.plots.canvas import Plot
from pibed.report.page import Part
from pibed.report.wording import CLOCKS
from pibed.runs.reading import Run
from pibed.studies.pi import penalty, placement, plot, reference
from pibed.studies.pi.findings import findings
from pibed.studies.pi.reference import DIFFERENT, LOG, Beside, Published
from pibed.studies.study import Shown

_MEANING: dict[Clock, str] = {
    "virtual": (
        "What is not reproduced with this clock is not refuted: a finding that rests on what "
        "exceptions, TLBs and caches cost cannot show where they cost nothing."
    ),
    "board": (
        "What is or is not reproduced with this clock speaks of the model of the board: it counts "
        "what caches, TLBs, memory and exceptions cost, and no devices and other cores."
    ),
    "host": (
        "What is or is not reproduced with this clock speaks of QEMU on this host, where a first "
        "touch costs what the emulation of a fault costs."
    ),
}

# What the module's parameter `log` is where each fault has a line: the word, or its number.
_EACH_FAULT = ("faults", "1")

_NO_PLACEMENT = (
    "placement: nothing to tell; the Pi's multiplication differs at sizes 256 and 512, of which "
    "this run has no samples"
)


class Pi:
    """Two ways to back a device with memory, on a Raspberry Pi; see docs/compare.md."""

    def reported(self, run: Run) -> Part:
        """The verdict on each finding, and what the log line may be of it.

        Without the Pi's numbers, as where somebody has removed all of `results/`, it is that.
        """
        return Part("Beside a real Pi", tuple(_said(run)))

    def drawn(self, run: Run) -> tuple[Plot, ...]:
        """The cells on the Pi and in the run, beside each other."""
        try:
            observations = reference.require_study(run).observations
            return tuple(plot.beside(run, list(reference.beside(observations, _published()))))
        except (HostError, UsageError):
            return ()

    def compared(self, run: Run) -> Shown:
        """The numbers side by side, and what becomes of each finding.

        Of a run that crosses mode and placement it is how much of a finding follows which. Raises
        UsageError for a run of another study, or one without samples.
        """
        published = _published()
        analysis = reference.require_study(run)
        lines = [f"note: {note}" for note in run.notes]
        clock = run.recorded.machine.clock
        meaning = f"clock: {CLOCKS[clock]} {_MEANING[clock]}"
        if placement.crosses(run.experiment):
            lines += placement.explained(analysis, published) or [_NO_PLACEMENT]
            return Shown((), (*lines, meaning))
        rows = list(reference.beside(analysis.observations, published))
        tables = [reference.table(run.experiment, rows, f"{run.name} beside a Pi")] if rows else []
        lines += _near(run.experiment, rows)
        for number, finding in enumerate(findings(analysis, published), start=1):
            lines.append(f"{number}. {finding.text}: {finding.verdict}")
            lines += [f"   - {each.verdict}: {each.words}" for each in finding.statements]
        lines += [meaning, f"log line: {_log_line(run.experiment)}"]
        lines += [f"   - {line}" for line in penalty.explained(analysis, published)]
        return Shown(tuple(tables), tuple(lines))


def _said(run: Run) -> Iterable[str]:
    try:
        analysis = reference.require_study(run)
    except UsageError:
        return
    try:
        published = _published()
    except HostError as error:
        yield f"Not compared with a real Pi: {error.message}; {error.fix}"
        return
    if placement.crosses(run.experiment):
        yield from placement.explained(analysis, published)
    else:
        for each in findings(analysis, published):
            yield sentence(f"{each.verdict}: {each.text}")
        rows = list(reference.beside(analysis.observations, published))
        yield from map(sentence, _near(run.experiment, rows))
        yield from penalty.explained(analysis, published)
    yield _MEANING[run.recorded.machine.clock]
    yield f"The numbers, and what the clock means for them: ./inv compare {run.name} pi"


def _published() -> list[Published]:
    return reference.read(places.checkout() / "results" / "reference")


def _near(experiment: Experiment, rows: Sequence[Beside]) -> Iterable[str]:
    """How near the means come to the Pi's, and how the samples spread where the Pi's do."""
    if (near := reference.nearness(experiment, rows)) is not None:
        yield f"means: {near.words}"
    if (spread := reference.spread(rows, min(DIFFERENT))) is not None:
        yield spread


def _log_line(experiment: Experiment) -> str:
    """Whether the module printed a line a fault, as the board's did."""
    if LOG in experiment.parameters:
        shown = "with" if 1 in experiment.parameters[LOG].values else "without"
        return f"the cells above are those {shown} the log line of each fault, which the board had"
    parameters = {k: v for each in experiment.module_list for k, v in each.parameters.items()}
    # Runs of the time when the module had a switch for it have that.
    if str(parameters.get("log", "none")) in _EACH_FAULT or str(parameters.get(LOG, 0)) == "1":
        return "the module printed a line for each fault, as the board's did"
    return (
        "the board's module printed a line in the kernel's log for each fault, this run's "
        "did not; ./inv sweep --experiment logging measures what the line costs"
    )
