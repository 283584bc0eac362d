"""The answer in a few sentences: what an experiment asks, over all of its cells."""

from __future__ import annotations

from collections.abc import Sequence

from pibed.model.experiment import Experiment
from pibed.model.plan import Cell
from pibed.model.words import (
    are_two,
    compared,
    enumeration,
    half_width,
    indefinite,
    label,
    place,
    plural,
    sentence,
    supported,
    title,
    unit,
    with_unit,
)
from pibed.report import follows
from pibed.report.wording import adjective, between_two, level, sides, switch
from pibed.stats.analysis import Analysis
from pibed.stats.balance import Balance
from pibed.stats.comparison import Comparison, Verdict
from pibed.stats.effects import Effect, Share
from pibed.stats.observations import LEAST, Pair

# Cells up to which each is named; beyond, they are counted.
_FEW = 6


def headline(analysis: Analysis) -> list[str]:
    """What is asked of a balance, of a switch's cost and of variance; then which is faster."""
    observations = analysis.observations
    if observations.reason:
        return [sentence(f"nothing is compared: {observations.reason}")]
    one = compared(analysis.experiment)
    lines: list[str] = []
    for pair in observations.pairs:
        of_pair = [each for each in analysis.balances if each.alternatives == pair]
        lines += _balanced(analysis.experiment, of_pair)
    lines += [*_changed(analysis), *_followed(analysis.experiment, analysis.effects)]
    if observations.deciding is None:
        return [*lines, f"Nothing decides which {one} is faster: the experiment has no total."]
    decided = verdicts(analysis, observations.deciding)
    if not decided:
        both = f"both {plural(one)}"
        if not are_two(analysis.experiment):
            both = f"{observations.pairs[0][1].label} and another {one}"
        return [f"Nothing is compared: no cell has samples of {both} that are ok."]
    lines += decided
    pairs = len(observations.blocks()) * len(observations.pairs)
    if (missing := pairs - len(analysis.deciding)) > 0:
        why = f"{indefinite(one)} has no sample that is ok there"
        lines.append(f"{missing} more cannot be compared: {why}.")
    return lines


def verdicts(analysis: Analysis, metric: str) -> list[str]:
    """Each verdict on a metric that there is, and where it is given."""
    experiment, all_of = analysis.experiment, len(analysis.observations.blocks())
    if not are_two(experiment):
        return _against_baseline(analysis, metric)
    groups: dict[Verdict, list[Comparison]] = {}
    for each in analysis.comparisons:
        if each.metric == metric:
            groups.setdefault(each.verdict, []).append(each)
    what, one = title(experiment, metric), compared(experiment)
    how = adjective(unit(experiment, metric), experiment.better(metric))
    relevant = f"{experiment.analysed.relevant_percent:g} %"
    lines = []
    for verdict, members in groups.items():
        where = _where(experiment, [each.others for each in members], all_of)
        faster = members[0].faster
        if faster is not None:
            lines.append(f"{faster.label} is {how} in {what}{where}")
        elif verdict is Verdict.NO_DIFFERENCE:
            lines.append(f"the {plural(one)} differ by no more than {relevant} in {what}{where}")
        else:
            lines.append(f"these samples do not decide which {one} is {how} in {what}{where}")
    return [sentence(line) for line in (*lines, *_lacking(analysis, metric))]


def _lacking(analysis: Analysis, metric: str) -> list[str]:
    """What is said if nothing could be decided since there are too few samples."""
    open_ = [
        each
        for each in analysis.comparisons
        if each.metric == metric and each.verdict is Verdict.UNDECIDED
    ]
    if not open_ or any(min(each.n) >= LEAST for each in open_):
        return []
    return [f"it takes at least {LEAST} samples of each {compared(analysis.experiment)}"]


def _against_baseline(analysis: Analysis, metric: str) -> list[str]:
    """The same of several alternatives: those with one verdict in the same places together."""
    experiment, all_of = analysis.experiment, len(analysis.observations.blocks())
    places: dict[tuple[Verdict, Pair], list[Cell]] = {}
    for each in analysis.comparisons:
        if each.metric == metric:
            places.setdefault((each.verdict, each.alternatives), []).append(each.others)
    together: dict[tuple[Verdict, tuple[Cell, ...]], list[str]] = {}
    for (verdict, (first, _)), cells in places.items():
        together.setdefault((verdict, tuple(cells)), []).append(first.label)
    how = f"{adjective(unit(experiment, metric), experiment.better(metric))} than"
    relevant = f"{experiment.analysed.relevant_percent:g} %"
    lines = []
    for (verdict, at), labels in together.items():
        others, base = enumeration(labels), analysis.observations.pairs[0][1].label
        one = len(labels) == 1
        words = {
            Verdict.FIRST: f"{others} {'is' if one else 'are'} {how} {base}",
            Verdict.SECOND: f"{base} is {how} {others}",
            Verdict.NO_DIFFERENCE: (
                f"{others} {'differs' if one else 'differ'} from {base} by no more than {relevant}"
            ),
            Verdict.UNDECIDED: f"these samples do not tell {others} from {base}",
        }[verdict]
        lines.append(f"{words} in {title(experiment, metric)}{_where(experiment, at, all_of)}")
    return [sentence(line) for line in (*lines, *_lacking(analysis, metric))]


def _balanced(experiment: Experiment, found: Sequence[Balance]) -> list[str]:
    """In which range the balances of two lie, and which is faster on either side of it."""
    known = [each for each in found if each.at is not None]
    lines = []
    if known:
        where = _where(experiment, [each.others for each in known], len(found))
        at = [each.at for each in known if each.at is not None]
        spreads = [half_width(each.low, each.high) for each in known]
        reached = _range(list(zip(at, spreads, strict=True)))
        values = with_unit(experiment, known[0].parameter, reached)
        text = f"{level(experiment, known[0])} at {values}{where}"
        bounds = [
            (each, spread)
            for one, spread in zip(known, spreads, strict=True)
            for each in (one.low, one.high)
            if each is not None
        ]
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
        pair = between_two(experiment, rest[0].alternatives)
        lines.append(sentence(f"no balance in {what}{pair}{where}{because}"))
    return lines


def _changed(analysis: Analysis) -> list[str]:
    """What a parameter changes in the cost of an event, and where that can be told."""
    experiment, found = analysis.experiment, analysis.changes
    lines = []
    for values, pair in dict.fromkeys((each.values, each.alternatives) for each in found):
        group = [each for each in found if (each.values, each.alternatives) == (values, pair)]
        first = group[0]
        blocks = analysis.observations.blocks(first.parameter)
        change = switch(experiment, first.parameter, values)
        events = f"of the {title(experiment, first.events)}{between_two(experiment, pair)}"
        metric, kind = title(experiment, first.metric), unit(experiment, first.metric)
        rest = dict.fromkeys(blocks)
        for verb, to, sign in (("adds", "to", 1), ("takes", "from", -1)):
            # An interval that lies on one side of 0.
            told = {
                each.others: (abs(each.change), half_width(each.low, each.high))
                for each in group
                if each.change is not None
                and each.low is not None
                and each.high is not None
                and min(sign * each.low, sign * each.high) > 0
            }
            if told:
                where = _where(experiment, list(told), len(blocks))
                how = f"{verb} {_amounts(list(told.values()))} {kind} {to} {metric}"
                lines.append(f"{change} {how} for each {events}{where}")
            rest = {each: None for each in rest if each not in told}
        if rest:
            where = _where(experiment, list(rest), len(blocks))
            lines.append(f"what {change} changes in the cost of one {events} cannot be told{where}")
    return [sentence(line) for line in lines]


def _followed(experiment: Experiment, found: Sequence[Effect]) -> list[str]:
    """What the variance follows: in each block where they are few, otherwise in which range."""
    if len(found) <= _FEW:
        return [follows.in_short(experiment, each) for each in found]
    known = [(each, each.shares) for each in found if each.shares is not None]
    lines = []
    if known:
        where = _where(experiment, [each.others for each, _ in known], len(found))
        first = known[0][0]
        parts = [
            f"{_share_range([shares.compared for _, shares in known])} the "
            f"{title(experiment, first.compared)}",
            f"{_share_range([shares.other for _, shares in known])} the "
            f"{title(experiment, first.other)}",
        ]
        metric = title(experiment, first.metric)
        lines.append(f"of the variance of {metric} follow {enumeration(parts)}{where}")
    if rest := [each.others for each in found if each.shares is None]:
        what = f"what the variance of {title(experiment, found[0].metric)} follows"
        lines.append(f"{what} is not known{_where(experiment, rest, len(found))}")
    return [sentence(line) for line in lines]


def _share_range(shares: Sequence[Share]) -> str:
    percents = [
        (
            100 * each.value,
            None if (half := half_width(each.low, each.high)) is None else 100 * half,
        )
        for each in shares
    ]
    return f"{_range(percents)} %"


def _amounts(values: Sequence[tuple[float, float | None]]) -> str:
    """Each in its order where they are few, otherwise from which to which."""
    words = [supported(*each) for each in values]
    if len(set(words)) == 1:
        return words[0]
    return enumeration(words) if len(words) <= _FEW else _range(values)


def _range(values: Sequence[tuple[float, float | None]]) -> str:
    return " to ".join(dict.fromkeys(_ends(values)))


def _ends(values: Sequence[tuple[float, float | None]]) -> list[str]:
    """The smallest and the largest, with the digits that their spreads support, four at most."""
    ordered = sorted(values, key=lambda each: each[0])
    return [supported(float(f"{value:.4g}"), spread) for value, spread in (ordered[0], ordered[-1])]


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
