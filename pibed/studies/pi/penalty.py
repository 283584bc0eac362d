"""What a fault cost on the Pi, and how much of that its line in the kernel's log may have been."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from pibed.model.plan import Cell
from pibed.model.words import enumeration, half_width, interval, rounded, supported
from pibed.stats.analysis import Analysis
from pibed.stats.growth import CostChange, EventCost
from pibed.studies.pi.reference import ALIKE, DIFFERENT, LOG, SIZE, Published, excess, pages

_METRIC = "multiply_us"

# `[   12.345678] paging_vma_fault() invoked: took a page fault at VA 0x76d81000` and its line end:
# the study's log format behind the time stamp of the kernel.
_CHARACTERS = 79

# A character is ten bits on the line: a start bit, eight of data, a stop bit.
_BAUD, _BITS = 115_200, 10


def explained(analysis: Analysis, published: Sequence[Published]) -> list[str]:
    """How much of the Pi's cost of a fault the log line may be: sentences, or none.

    There are some for a run that has measured the line on and off at a size at which the Pi's
    multiplication was slower with demand paging.
    """
    cost = analysis.experiment.analysed.cost
    if cost is None or cost.by != LOG or cost.metric != _METRIC:
        return []
    both = list(itertools.product(analysis.changes, analysis.costs))
    found = [
        (size, change, without)
        for size in DIFFERENT
        for change, without in both
        if change.others == Cell.of({SIZE: size})
        and change.values == (0, 1)
        and without.others == Cell.of({SIZE: size, LOG: 0})
        and change.change is not None
        and without.cost is not None
    ]
    if not found:
        return []
    lines = [_share(size, change, without, published) for size, change, without in found]
    return [*lines, *_range(found, published)]


def on_the_pi(published: Sequence[Published], size: int) -> tuple[float, float]:
    """By how much the multiplication took longer for each fault, in µs, and ± of its 95 %."""
    share, width = excess(published, size, _METRIC)
    mean = next(
        each.mean for each in published if (each.mode, each.size, each.metric) == (0, size, _METRIC)
    )
    return share * mean / pages(size), width * mean / pages(size)


def _share(
    size: int, change: CostChange, without: EventCost, published: Sequence[Published]
) -> str:
    penalty, width = on_the_pi(published, size)
    line = _here("storing the log line", change.change, change, penalty)
    more = "what else a fault costs more than a first write to a page that is there"
    rest = _here(more, without.cost, without, penalty)
    return (
        f"At size {size} demand paging took {penalty:,.0f} ± {width:,.0f} µs longer for each fault "
        f"on the Pi; here {line}, and {rest}."
    )


def _here(what: str, value: float | None, found: CostChange | EventCost, penalty: float) -> str:
    """What a part of a fault takes in this run, and how much of the Pi's penalty that is."""
    took = value or 0.0
    bounds = found.reason
    if found.low is not None and found.high is not None:
        bounds = f"95 % interval {interval(found.low, found.high)}"
    shown = f"{supported(took, half_width(found.low, found.high))} µs ({bounds})"
    if _costs(took, found):
        return f"{what} takes {shown}, {_percent(took / penalty)} of that"
    return f"{what} shows no cost: {shown}"


def _costs(value: float, found: CostChange | EventCost) -> bool:
    """Whether there is a cost that can be told from 0, as far as there is an interval."""
    return value > 0 and (found.low is None or found.low > 0)


def _range(
    found: Sequence[tuple[int, CostChange, EventCost]], published: Sequence[Published]
) -> Iterable[str]:
    penalties = {size: on_the_pi(published, size) for size in (*ALIKE, *DIFFERENT)}
    printing = _CHARACTERS * _BITS / _BAUD * 1e6
    if printing > max(penalty + width for penalty, width in penalties.values()):
        yield (
            f"Nor did the board wait for a serial console at each fault: at {_BAUD:,} baud the "
            f"{_CHARACTERS} characters of a line take {printing:,.0f} µs, more than the whole "
            "penalty. Here the console is written to between the runs."
        )
    alike = {size: penalties[size] for size in ALIKE}
    shown = enumeration(f"{value:,.1f} ± {width:,.0f}" for value, width in alike.values())
    most = min(value + width for value, width in alike.values())
    smallest = min(penalties[size][0] for size, _, _ in found)
    yield (
        f"At size {enumeration(map(str, alike))} a fault cost {shown} µs more on the Pi. If the "
        f"log line cost the same at every fault, it cost at most {most:,.0f} µs: "
        f"{_percent(most / smallest)} of the penalty."
    )
    stored = [
        (change.change or 0.0) / penalties[size][0] if _costs(change.change or 0.0, change) else 0.0
        for size, change, _ in found
    ]
    if min(stored) <= most / smallest:
        yield (
            f"So the log line was {_percent(min(stored))} (what storing it costs by an emulator's "
            f"clock) to {_percent(most / smallest)} of the Pi's penalty, unless it cost more with "
            "larger matrices."
        )


def _percent(share: float) -> str:
    return f"{rounded(100 * share, 2)} %"
