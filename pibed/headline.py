"""The answer in a few sentences: what an experiment asks, over all of its cells."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pibed.balance import Balance, balances
from pibed.comparison import NO_DIFFERENCE, UNDECIDED, Comparison
from pibed.config import Experiment
from pibed.growth import CostChange, changes
from pibed.observations import Observations
from pibed.plan import Cell
from pibed.sentences import (
    TIMES,
    enumeration,
    label,
    number,
    place,
    sentence,
    title,
    unit,
    with_unit,
)

# Cells up to which each is named; beyond, they are counted.
_FEW = 6


def headline(observations: Observations, comparisons: Sequence[Comparison]) -> list[str]:
    """Where the balance lies and what a switch costs, if that is asked; then the faster mode."""
    deciding = observations.deciding
    if observations.reason:
        return [sentence(f"nothing is compared: {observations.reason}")]
    experiment = observations.experiment
    lines = _balanced(experiment, balances(observations))
    lines += _changed(experiment, changes(observations))
    if deciding is None:
        return [*lines, "Nothing decides which mode is faster: the experiment has no total."]
    decided = verdicts(experiment, comparisons, deciding)
    if not decided:
        return ["Nothing is compared: no cell has samples of both modes that are ok."]
    lines += decided
    found = [each for each in comparisons if each.metric == deciding]
    if (missing := len(observations.blocks()) - len(found)) > 0:
        lines.append(f"{missing} more cannot be compared: a mode has no sample that is ok there.")
    return lines


def verdicts(experiment: Experiment, comparisons: Sequence[Comparison], metric: str) -> list[str]:
    """Each verdict on a metric that there is, and where it is given."""
    found = [each for each in comparisons if each.metric == metric]
    groups: dict[str, list[Comparison]] = {}
    for each in found:
        groups.setdefault(each.verdict, []).append(each)
    what = title(experiment, metric)
    adjective = "faster" if unit(experiment, metric) in TIMES else "lower"
    percent = f"{experiment.analysed.relevant_percent:g} %"
    lines = []
    for verdict, members in groups.items():
        where = _where(experiment, [each.others for each in members], len(found))
        if verdict == UNDECIDED:
            lines.append(f"these samples do not decide which mode is {adjective} in {what}{where}")
        elif verdict == NO_DIFFERENCE:
            lines.append(f"the modes differ by no more than {percent} in {what}{where}")
        else:
            lines.append(f"{verdict} is {adjective} in {what}{where}")
    return [sentence(line) for line in lines]


def _balanced(experiment: Experiment, found: Sequence[Balance]) -> list[str]:
    """In which range the balances lie, and which mode is faster on either side of it."""
    known = [each for each in found if each.at is not None]
    lines = []
    if known:
        first = known[0]
        where = _where(experiment, [each.others for each in known], len(found))
        values = _range(experiment, first.parameter, [each.at for each in known])
        bounds = [(each.low, each.high) for each in known]
        text = f"both modes take the same {title(experiment, first.metric)} at {values}{where}"
        if all(low is not None and high is not None for low, high in bounds):
            ends = min(low or 0 for low, _ in bounds), max(high or 0 for _, high in bounds)
            text += f" (95 % interval{'s' if len(known) > 1 else ''} within {number(ends[0])} to "
            text += f"{number(ends[1])})"
        below = {_faster_below(each) for each in known}
        if len(below) == 1 and (index := below.pop()) is not None:
            low, high = (first.modes[each].label for each in (index, 1 - index))
            text += f"; below that {low} has the smaller median, above it {high}"
        lines.append(sentence(text))
    if rest := [each for each in found if each.at is None]:
        where = _where(experiment, [each.others for each in rest], len(found))
        what = title(experiment, rest[0].parameter)
        reasons = {each.reason for each in rest}
        because = f"; {reasons.pop()}" if len(reasons) == 1 else ""
        lines.append(sentence(f"no balance in {what}{where}{because}"))
    return lines


def _faster_below(balance: Balance) -> int | None:
    """Which mode has the smaller median at the smallest value; None if they are equal there."""
    gap = balance.points[0][1]
    return None if gap == 0 else int(gap > 0)


def _changed(experiment: Experiment, found: Sequence[CostChange]) -> list[str]:
    """What a parameter changes in the cost of an event, and where that can be told."""
    lines = []
    for values in dict.fromkeys(each.values for each in found):
        group = [each for each in found if each.values == values]
        told = [
            each
            for each in group
            if each.low is not None and each.high is not None and not each.low <= 0 <= each.high
        ]
        first = group[0]
        before, after = (label(experiment, first.parameter, value) for value in values)
        switch = f"{title(experiment, first.parameter)} {after} instead of {before}"
        events = f"of the {title(experiment, first.events)}"
        metric, kind = title(experiment, first.metric), unit(experiment, first.metric)
        for more, verb, to in ((True, "adds", "to"), (False, "takes", "from")):
            members = [each for each in told if ((each.change or 0) > 0) == more]
            if members:
                where = _where(experiment, [each.others for each in members], len(group))
                shown = enumeration(number(round(abs(each.change or 0), 3)) for each in members)
                if len(members) > _FEW:
                    sizes = [abs(each.change or 0) for each in members]
                    shown = f"{number(min(sizes))} to {number(max(sizes))}"
                how = f"{verb} {shown} {kind} {to} {metric}"
                lines.append(f"{switch} {how} for each {events}{where}")
        if rest := [each for each in group if each not in told]:
            where = _where(experiment, [each.others for each in rest], len(group))
            lines.append(f"what {switch} changes in the cost of one {events} cannot be told{where}")
    return [sentence(line) for line in lines]


def _range(experiment: Experiment, parameter: str, values: Collection[float | None]) -> str:
    known = [value for value in values if value is not None]
    ends = dict.fromkeys(number(float(f"{each:.4g}")) for each in (min(known), max(known)))
    return with_unit(experiment, parameter, " to ".join(ends))


def _where(experiment: Experiment, members: Sequence[Cell], all_of: int) -> str:
    """At which values of the other parameters: named where they are few, counted otherwise."""
    names = [name for name, _ in members[0].values]
    if not names:
        return ""
    if len(names) == 1 and all_of <= _FEW:
        values = [label(experiment, *each.values[0]) for each in members]
        return f" at {with_unit(experiment, names[0], enumeration(values))}"
    if all_of == 1:
        return f" at {place(experiment, members[0])}"
    share = f"all {all_of}" if len(members) == all_of else f"{len(members)} of {all_of}"
    return f" in {share} combinations of {enumeration(title(experiment, name) for name in names)}"
