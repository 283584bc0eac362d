"""The numbers that were published of boards (results/reference/boards.csv), and a run's beside."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import HostError, UsageError
from pibed.model.plan import Cell
from pibed.model.samples import Status
from pibed.model.words import heading, number
from pibed.report.table import Column, Table
from pibed.runs.reading import Run
from pibed.stats.observations import Observations
from pibed.studies.nearness import Nearness, nearness

BUFFER = "buffer_kib"

LATENCIES = {
    "random_read_over_l1": "random_read_over_l1_ns",
    "random_read_dual_over_l1": "random_read_dual_over_l1_ns",
    "pointer_chase": "pointer_chase_ns",
}

"""The experiment's metrics in ns, by what the boards' measures are called."""

BANDWIDTHS = {"memset": "memset_mb_s", "memcpy": "memcpy_mb_s"}

"""The same in MB/s, each measured in one large buffer."""

RESOLVED_NS = 1.0

"""Shorter times are no measure: one of 0.1 ns, the last digit that is published, would be
10 % of them."""

# KiB. The benchmarks' buffers for bandwidth are far larger than any cache; so are these.
_LARGE = 8192

# KiB. At other sizes two boards of one kind agree; at that of their second cache two Pi 2 differ by
# more than half, as their pages happen to lie.
_COMPARABLE = (64, 8192)
_SECOND_CACHE = 512


@dataclass(frozen=True)
class Published:
    """One number of one board."""

    soc: str
    """Its chip, in small letters, as machines name their `timing`."""
    source: str
    """What measured it, and the name of the published result."""
    measure: str
    buffer_kib: int | None
    """None where no size is published."""
    value: float
    """ns or MB/s."""


@dataclass(frozen=True)
class Row:
    """One measure at one size: of the boards, and of the run."""

    measure: str
    metric: str
    buffer_kib: int | None
    """None for all that are large."""
    n: int
    run: float
    """The median, or the mean of the medians in large buffers; ns or MB/s."""
    published: tuple[Published, ...]
    """One of each board."""

    @property
    def board(self) -> float:
        """The mean of the boards."""
        return statistics.fmean(each.value for each in self.published)

    @property
    def ratio(self) -> float | None:
        """The run by the board; None where the time is too short for it."""
        if self.measure in LATENCIES and self.board < RESOLVED_NS:
            return None
        return self.run / self.board

    @property
    def size(self) -> str:
        """The buffer for people."""
        return f"from {_LARGE}" if self.buffer_kib is None else str(self.buffer_kib)


def read(path: Path) -> list[Published]:
    """The boards' numbers; raises HostError if they are not there or damaged."""
    fix = "restore results/reference/ from the repository"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            found = [
                Published(
                    row["soc"].lower(),
                    row["source"],
                    row["measure"],
                    int(row["size_bytes"]) // 1024 if row["size_bytes"] else None,
                    float(row["value"]),
                )
                for row in csv.DictReader(file)
            ]
        if not found:
            raise ValueError("it has no rows")
        return found
    except OSError as error:
        raise HostError.from_os(error, path, fix) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise HostError(f"{path}: the boards' numbers are damaged: {error}", fix=fix) from None


def is_memory(run: Run) -> bool:
    """Whether it is a run of the experiment `memory`, or of one like it."""
    metrics = {*LATENCIES.values(), *BANDWIDTHS.values()}
    return BUFFER in run.experiment.parameters and bool(metrics & run.experiment.metrics.keys())


def rows(run: Run, published: Sequence[Published]) -> list[Row]:
    """What both have: the latencies by measure and size, then the bandwidths.

    Raises UsageError if the run is not of that experiment, has another clock than a board's, is of
    a board that nothing is published of, or has no sample.
    """
    fix = "./inv sweep --experiment memory --clock board"
    if not is_memory(run):
        raise UsageError(
            f"{run.name}: {run.experiment.name} does not measure what the boards' benchmarks do: "
            f"it lacks {BUFFER} or their metrics",
            fix=f"compare a run of the experiment memory: {fix}",
        )
    machine = run.recorded.machine
    if machine.clock != "board" or machine.timing is None:
        raise UsageError(
            f"{run.name}: its clock is {machine.clock}, whose times are not those of any board",
            fix=f"compare a run with the clock board: {fix}",
        )
    own = [each for each in published if each.soc == machine.timing]
    if not own:
        known = ", ".join(sorted({each.soc for each in published}))
        raise UsageError(
            f"{run.name}: nothing is published of {machine.timing}, only of {known}",
            fix=f"compare a run of a machine with one of these: {fix} --machine NAME",
        )
    if not any(each.status is Status.OK for each in run.samples):
        raise UsageError(f"{run.name}: there is no sample that is ok")
    observations = run.analysis.observations
    found = [*_latencies(observations, own), *_bandwidths(observations, own)]
    if not found:
        raise UsageError(
            f"{run.name}: none of its buffers is of a size that the board was measured with",
            fix=fix,
        )
    return found


def table(run: Run, found: Sequence[Row], title: str) -> Table:
    """A row a measure and size; where several boards were measured, each of them as well."""
    several = any(len(row.published) > 1 for row in found)
    columns = (
        Column("measure"),
        Column("buffer [KiB]", True),
        *(Column(each, True) for each in ("n", "run", "board", "run / board")),
        *([Column("each board", True)] if several else []),
    )
    shown = tuple(
        (
            heading(run.experiment, row.metric),
            row.size,
            str(row.n),
            number(row.run),
            number(row.board),
            "-" if row.ratio is None else f"{row.ratio:.3f}",
            *([", ".join(number(each.value) for each in row.published)] if several else []),
        )
        for row in found
    )
    sources = ", ".join(dict.fromkeys(each.source for row in found for each in row.published))
    note = (
        f"Medians; bandwidth in the buffers from {_LARGE} KiB. Board: {sources}"
        f"{', the mean of these' if several else ''}. No ratio of times below {RESOLVED_NS:g} ns."
    )
    return Table(title, columns, shown, note, grouped=True)


def lines(run: Run, found: Sequence[Row]) -> Iterable[str]:
    """How near the run comes to the board: latencies, then each bandwidth."""
    least, most = _COMPARABLE
    latencies = [row for row in found if row.buffer_kib is not None]
    comparable = [
        row
        for row in latencies
        if least <= (row.buffer_kib or 0) <= most and row.buffer_kib != _SECOND_CACHE
    ]
    sizes = f"{least} KiB to {most // 1024} MiB but {_SECOND_CACHE} KiB"
    for what, some in ((sizes, comparable), ("all sizes", latencies)):
        if (near := near_to(run, some)) is not None:
            yield f"latency, {what}: {near.words}"
    for row in found:
        if row.buffer_kib is None:
            title = run.experiment.metrics[row.metric].title
            yield (
                f"{title}: {number(row.run)} MB/s, {number(row.board)} on the board: "
                f"{100 * (row.run / row.board - 1):+.1f} %"
            )


def near_to(run: Run, found: Iterable[Row]) -> Nearness | None:
    """How near these rows come to the board, as far as they have ratios."""
    return nearness(
        {
            f"{run.experiment.metrics[row.metric].title}, {row.size} KiB": row.ratio
            for row in found
            if row.ratio is not None
        }
    )


def _latencies(observations: Observations, published: Sequence[Published]) -> Iterable[Row]:
    for measure, metric in LATENCIES.items():
        of_it = [each for each in published if each.measure == measure]
        for size in sorted({each.buffer_kib for each in of_it if each.buffer_kib is not None}):
            series = observations.series(Cell.of({BUFFER: size}), metric)
            if series is not None:
                same = tuple(each for each in of_it if each.buffer_kib == size)
                yield Row(measure, metric, size, len(series.values), series.median, same)


def _bandwidths(observations: Observations, published: Sequence[Published]) -> Iterable[Row]:
    sizes = observations.experiment.parameters[BUFFER].numbers
    for measure, metric in BANDWIDTHS.items():
        of_it = tuple(each for each in published if each.measure == measure)
        large = [
            series
            for size in sizes
            if size >= _LARGE
            and (series := observations.series(Cell.of({BUFFER: size}), metric)) is not None
        ]
        if of_it and large:
            n = sum(len(series.values) for series in large)
            run = statistics.fmean(series.median for series in large)
            yield Row(measure, metric, None, n, run, of_it)
