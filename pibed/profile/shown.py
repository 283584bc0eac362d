"""What a person sees of profiles: tables, and the colours and words of their flame graphs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from pibed.profile.exports import Lines
from pibed.profile.flame import Painter
from pibed.profile.tree import Node, Profile, Row
from pibed.report.table import Column, Table

# What is of the user is blue, what is of the kernel orange, what is neither grey.
_PROGRAM, _MODULE, _KERNEL, _NEITHER = "#7fb6e6", "#4fc3a1", "#f5b971", "#d0d0d0"
_MORE, _LESS = (215, 48, 39), (49, 104, 189)


# Headings of columns that stand side by side.
_SHORT = {
    "l1i_misses": "L1I",
    "l1d_misses": "L1D",
    "l2_misses": "L2",
    "utlb_misses": "µTLB",
    "tlb_walks": "TLB",
    "branch_misses": "branches",
}


def number(value: int) -> str:
    """With separated thousands."""
    return f"{value:,}"


def share_of(part: int, whole: int) -> str:
    """A share with one decimal."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def table(profile: Profile, event: str, lines: Lines, top: int) -> Table:
    """The functions that took most of an event, and what is left in one row: a sum of all."""
    at = profile.events.index(event)
    rows = sorted(profile.rows(), key=lambda each: (-each.own[at], each.function))
    whole = profile.total[at]
    others = [name for name in profile.events if name != event]
    shown = [_row(each, profile.events, event, whole, lines) for each in rows[:top]]
    if rest := rows[top:]:
        sums = [sum(each.own[i] for each in rest) for i in range(len(profile.events))]
        shown.append(
            (
                number(sums[at]),
                share_of(sums[at], whole),
                "",
                *(number(sums[profile.events.index(name)]) for name in others),
                f"{len(rest)} other functions",
                "",
            )
        )
    totals = profile.total
    shown.append(
        (
            number(whole),
            share_of(whole, whole),
            "",
            *(number(totals[profile.events.index(name)]) for name in others),
            "all",
            "",
        )
    )
    columns = (
        Column(event, True),
        Column("share", True),
        Column("with callees", True),
        *(Column(_SHORT.get(name, name), True) for name in others),
        Column("function"),
        Column("of"),
    )
    note = "of L1I to branches: misses" if len(others) > 1 else ""
    return Table(profile.title, columns, tuple(shown), note)


def _row(row: Row, events: Sequence[str], event: str, whole: int, lines: Lines) -> tuple[str, ...]:
    at = events.index(event)
    return (
        number(row.own[at]),
        share_of(row.own[at], whole),
        number(row.total[at]),
        *(number(row.own[i]) for i, name in enumerate(events) if name != event),
        str(row.function),
        lines.get(row.function, row.function.binary),
    )


def difference_table(
    both: Profile, event: str, names: tuple[str, str], lines: Lines, top: int
) -> Table:
    """The functions that differ most between the two profiles of `beside`, in an event."""
    at = both.events.index(event)
    other = at + len(both.events) // 2

    def change(row: Row) -> int:
        return row.own[at] - row.own[other]

    rows = sorted(both.rows(), key=lambda each: (-abs(change(each)), each.function))
    different = [each for each in rows if change(each)]
    shown = [
        (
            f"{change(each):+,}",
            number(each.own[at]),
            number(each.own[other]),
            str(each.function),
            lines.get(each.function, each.function.binary),
        )
        for each in different[:top]
    ]
    if rest := different[top:]:
        own, others = sum(each.own[at] for each in rest), sum(each.own[other] for each in rest)
        shown.append(
            (f"{own - others:+,}", number(own), number(others), f"{len(rest)} other functions", "")
        )
    same = [each for each in rows if not change(each)]
    if same:
        sum_ = sum(each.own[at] for each in same)
        shown.append(("0", number(sum_), number(sum_), f"{len(same)} functions alike in both", ""))
    total = both.total
    shown.append(
        (f"{total[at] - total[other]:+,}", number(total[at]), number(total[other]), "all", "")
    )
    columns = (
        Column("difference", True),
        *(Column(f"{event}, {name}", True) for name in names),
        Column("function"),
        Column("of"),
    )
    return Table(both.title, columns, tuple(shown))


def to_csv(profile: Profile, lines: Lines, columns: Sequence[str]) -> str:
    """All functions: what is their own of each event, and with what they called.

    `columns` are names for the profile's events, all of them different.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["binary", "function", "line", *columns, *(f"total_{each}" for each in columns)]
    )
    for row in sorted(profile.rows(), key=lambda each: each.function):
        line = lines.get(row.function, "")
        writer.writerow([row.function.binary, row.function.name, line, *row.own, *row.total])
    return text.getvalue()


def painter(profile: Profile, event: str, modules: Sequence[str]) -> Painter:
    """For the flame graph of one profile: whose a function is, and how much of all it took."""
    at = profile.events.index(event)
    whole = profile.total[at]

    def colour(node: Node, total: tuple[int, ...]) -> str:
        function = node.function
        if function.name.startswith("[") or not function.end:
            return _NEITHER
        if function.binary == "kernel":
            return _KERNEL
        return _MODULE if function.binary in modules else _PROGRAM

    def words(node: Node, total: tuple[int, ...]) -> str:
        own = number(node.own[at])
        return (
            f"{number(total[at])} {event} ({share_of(total[at], whole)}), {own} of its own, "
            f"in {node.function.binary}"
        )

    legend = {"program": _PROGRAM, "module": _MODULE, "kernel": _KERNEL, "other": _NEITHER}
    return Painter(lambda total: total[at], colour, words, legend)


def difference_painter(both: Profile, event: str, names: tuple[str, str]) -> Painter:
    """For the flame graph of two: as wide as both together, redder the more the first one has."""
    at = both.events.index(event)
    other = at + len(both.events) // 2

    def colour(node: Node, total: tuple[int, ...]) -> str:
        first, second = total[at], total[other]
        share = (first - second) / (first + second) if first + second else 0.0
        return _mixed(share)

    def words(node: Node, total: tuple[int, ...]) -> str:
        return (
            f"{total[at] - total[other]:+,} {event}: {number(total[at])} with {names[0]}, "
            f"{number(total[other])} with {names[1]}"
        )

    legend = {
        f"more with {names[0]}": _mixed(1),
        f"more with {names[1]}": _mixed(-1),
        "as many": _mixed(0),
    }
    return Painter(lambda total: total[at] + total[other], colour, words, legend)


def _mixed(share: float) -> str:
    """White for 0, the colour of more for 1, that of less for -1."""
    end = _MORE if share > 0 else _LESS
    part = abs(share) * 0.75
    mixed = [round(240 + (each - 240) * part) for each in end]
    return f"#{mixed[0]:02x}{mixed[1]:02x}{mixed[2]:02x}"
