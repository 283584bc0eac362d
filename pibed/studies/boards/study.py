"""The boards' memory beside a run: in its report, and compared with it."""

from __future__ import annotations

from collections.abc import Iterable

from pibed.base import places
from pibed.base.errors import HostError, UsageError
from pibed.plots.canvas import Plot
from pibed.report.page import Part
from pibed.report.wording import CLOCKS
from pibed.runs.reading import Run
from pibed.studies.boards import plot, reference
from pibed.studies.study import Shown


class Boards:
    """What benchmarks measured of the memory of Raspberry Pis; see docs/compare.md."""

    def reported(self, run: Run) -> Part:
        """How near the run comes to the board; no lines for a run that has nothing beside it.

        Without the boards' numbers, as where somebody has removed all of `results/`, it is that.
        """
        return Part("Beside a board", tuple(_said(run)))

    def drawn(self, run: Run) -> tuple[Plot, ...]:
        """Latency by the size of the buffer."""
        try:
            return tuple(plot.latency(run, reference.rows(run, _published())))
        except (HostError, UsageError):
            return ()

    def compared(self, run: Run) -> Shown:
        """The numbers side by side, and how near they are.

        Raises UsageError for a run of another experiment or clock, or one without samples.
        """
        found = reference.rows(run, _published())
        title = f"{run.name} beside a board ({run.recorded.machine.timing})"
        lines = [
            *(f"note: {note}" for note in run.notes),
            *reference.lines(run, found),
            f"clock: {CLOCKS[run.recorded.machine.clock]}",
        ]
        return Shown((reference.table(run, found, title),), tuple(lines))


def _said(run: Run) -> Iterable[str]:
    if not reference.is_memory(run):
        return
    try:
        found = reference.rows(run, _published())
    except UsageError:
        return
    except HostError as error:
        yield f"Not compared with a board: {error.message}; {error.fix}"
        return
    for line in reference.lines(run, found):
        yield f"{line[:1].upper()}{line[1:]}."
    yield f"The numbers side by side: ./inv compare {run.name} boards"


def _published() -> list[reference.Published]:
    return reference.read(places.checkout() / "results" / "reference" / "boards.csv")
