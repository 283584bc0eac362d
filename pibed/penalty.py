"""What a fault cost on the Pi, and how much of that its line in the kernel's log may have been."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pibed.growth import CostChange, EventCost, changes, costs
from pibed.observations import Observations
from pibed.reference import DIFFERENT, LOG, SIZE, Published, excess, pages
from pibed.sentences import number

_METRIC = "multiply_us"

# `[   12.345678] paging_vma_fault() invoked: took a page fault at VA 0x76d81000` and its line end:
# the study's log format behind the time stamp of the kernel.
_CHARACTERS = 79
# A character is ten bits on the line: a start bit, eight of data, a stop bit.
_BAUD, _BITS = 115_200, 10


def explained(observations: Observations, published: Sequence[Published]) -> list[str]:
    """How much of the Pi's cost of a fault the log line may be: sentences, or none.

    There are some for a run that has measured the line on and off at a size at which the Pi's
    multiplication was slower with demand paging.
    """
    cost = observations.analysis.cost
    if cost is None or cost.by != LOG or cost.metric != _METRIC:
        return []
    found = [
        (size, change, without)
        for size in DIFFERENT
        for change in changes(observations)
        for without in costs(observations)
        if change.others.as_dict() == {SIZE: size}
        and change.values == (0, 1)
        and without.others.as_dict() == {SIZE: size, LOG: 0}
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
    line, rest = change.change or 0.0, without.cost or 0.0
    bounds = ""
    if change.low is not None and change.high is not None:
        bounds = f" (95 % interval {number(change.low)} to {number(change.high)})"
    return (
        f"At size {size} demand paging took {penalty:,.0f} ± {width:,.0f} µs longer for each fault "
        f"on the Pi; here storing the log line takes {number(line)} µs{bounds}, "
        f"{100 * line / penalty:.2g} % of that, and the rest of a fault {number(rest)} µs, "
        f"{100 * rest / penalty:.2g} %."
    )


def _range(
    found: Sequence[tuple[int, CostChange, EventCost]], published: Sequence[Published]
) -> Iterable[str]:
    printing = _CHARACTERS * _BITS / _BAUD * 1e6
    yield (
        "Printing the line is not in this: here the console is written to between the runs, and an "
        f"emulated serial line is never busy. On a board, a serial console of {_BAUD:,} baud is "
        f"busy for {printing:,.0f} µs with the {_CHARACTERS} characters of a line, and the fault "
        "waits for it."
    )
    penalties = [on_the_pi(published, size)[0] for size, _, _ in found]
    shares = [
        (change.change or 0.0) / penalty
        for (_, change, _), penalty in zip(found, penalties, strict=True)
    ]
    most = "all of it" if printing >= max(penalties) else f"{printing / max(penalties):.0%} of it"
    yield (
        "So, as far as an emulator's clock can tell, the log line may have been from "
        f"{100 * min(shares):.2g} % of the Pi's penalty, if it was only stored, to {most}, "
        "if it was printed; the study does not say which."
    )
