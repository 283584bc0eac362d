"""The answer in a few sentences: what an experiment asks, over all of its cells."""

from __future__ import annotations

from collections.abc import Sequence

from pibed.model.experiment import Experiment
from pibed.model.plan import Cell
from pibed.report.wording import (
    TIMES,
    enumeration,
    label,
    number,
    place,
    sentence,
    sides,
    switch,
    title,
    unit,
    with_unit,
)
from pibed.stats.balance import Balance, balances
from pibed.stats.growth import changes
from pibed.stats.modes import NO_DIFFERENCE, UNDECIDED, Comparison
from pibed.stats.observations import Observations

# Cells up to which each is named; beyond, they are counted.
_FEW = 6


def headline(observations: Observations, comparisons: Sequence[Comparison]) -> list[str]:
    """Where the balance lies and what a switch costs, if that is asked; then the faster mode."""
    deciding = observations.deciding
    if observations.reason:
        return [sentence(f"nothing is compared: {observations.reason}")]
    experiment = observations.experiment
    lines = _balanced(experiment, balances(observations))
    lines += _changed(observations)
    if deciding is None:
        return [*lines, "Nothing decides which mode is faster: the experiment has no total."]
    decided = verdicts(observations, comparisons, deciding)
    if not decided:
        return ["Nothing is compared: no cell has samples of both modes that are ok."]
    lines += decided
    found = [each for each in comparisons if each.metric == deciding]
    if (missing := len(observations.blocks()) - len(found)) > 0:
        lines.append(f"{missing} more cannot be compared: a mode has no sample that is ok there.")
    return lines


def verdicts(
    observations: Observations, comparisons: Sequence[Comparison], metric: str
) -> list[str]:
    """Each verdict on a metric that there is, and where it is given."""
    experiment, all_of = observations.experiment, len(observations.blocks())
    found = [each for each in comparisons if each.metric == metric]
    groups: dict[str, list[Comparison]] = {}
    for each in found:
        groups.setdefault(each.verdict, []).append(each)
    what = title(experiment, metric)
    adjective = "faster" if unit(experiment, metric) in TIMES else "lower"
    percent = f"{experiment.analysed.relevant_percent:g} %"
    lines = []
    for verdict, members in groups.items():
        where = _where(experiment, [each.others for each in members], all_of)
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
        where = _where(experiment, [each.others for each in known], len(found))
        at = [each.at for each in known if each.at is not None]
        values = with_unit(experiment, known[0].parameter, _range(at))
        text = f"both modes take the same {title(experiment, known[0].metric)} at {values}{where}"
        bounds = [each for one in known for each in (one.low, one.high) if each is not None]
        if len(bounds) == 2 * len(known):
            name = "intervals within" if len(known) > 1 else "interval"
            text += f" (95 % {name} {' to '.join(_ends(bounds))})"
        apart = {sides(each, value) for each, value in zip(known, at, strict=True)}
        if len(apart) == 1:
            text += f"; {apart.pop()}"
        lines.append(sentence(text))
    if rest := [each for each in found if each.at is None]:
        where = _where(experiment, [each.others for each in rest], len(found))
        what = title(experiment, rest[0].parameter)
        reasons = {each.reason for each in rest}
        because = f"; {reasons.pop()}" if len(reasons) == 1 else ""
        lines.append(sentence(f"no balance in {what}{where}{because}"))
    return lines


def _changed(observations: Observations) -> list[str]:
    """What a parameter changes in the cost of an event, and where that can be told."""
    experiment, found = observations.experiment, changes(observations)
    lines = []
    for values in dict.fromkeys(each.values for each in found):
        group = [each for each in found if each.values == values]
        first = group[0]
        blocks = observations.blocks(first.parameter)
        change = switch(experiment, first.parameter, values)
        events = f"of the {title(experiment, first.events)}"
        metric, kind = title(experiment, first.metric), unit(experiment, first.metric)
        rest = dict.fromkeys(blocks)
        for verb, to, sign in (("adds", "to", 1), ("takes", "from", -1)):
            # An interval that lies on one side of 0.
            told = {
                each.others: abs(each.change)
                for each in group
                if each.change is not None
                and each.low is not None
                and each.high is not None
                and min(sign * each.low, sign * each.high) > 0
            }
            if told:
                where = _where(experiment, list(told), len(blocks))
                how = f"{verb} {_sizes(list(told.values()))} {kind} {to} {metric}"
                lines.append(f"{change} {how} for each {events}{where}")
            rest = {each: None for each in rest if each not in told}
        if rest:
            where = _where(experiment, list(rest), len(blocks))
            lines.append(f"what {change} changes in the cost of one {events} cannot be told{where}")
    return [sentence(line) for line in lines]


def _sizes(values: Sequence[float]) -> str:
    """Each in its order where they are few, otherwise from which to which."""
    words = [number(value) for value in values]
    if len(set(words)) == 1:
        return words[0]
    return enumeration(words) if len(words) <= _FEW else _range(values)


def _range(values: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys(_ends(values)))


def _ends(values: Sequence[float]) -> list[str]:
    """The smallest and the largest, with four digits."""
    ordered = sorted(values)
    return [number(float(f"{each:.4g}")) for each in (ordered[0], ordered[-1])]


def _where(experiment: Experiment, members: Sequence[Cell], all_of: int) -> str:
    """At which values of the other parameters: named where they are few, counted otherwise."""
    names = [name for name, _ in members[0].values]
    if not names:
        return ""
    if len(members) == 1:
        return f" at {place(experiment, members[0])}"
    if len(names) == 1 and all_of <= _FEW:
        values = [label(experiment, *each.values[0]) for each in members]
        return f" at {with_unit(experiment, names[0], enumeration(values))}"
    share = f"all {all_of}" if len(members) == all_of else f"{len(members)} of {all_of}"
    if len(names) == 1:
        return f" at {share} values of {title(experiment, names[0])}"
    return f" in {share} combinations of {enumeration(title(experiment, name) for name in names)}"
