"""What the variance of a metric follows, in words and as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pibed.model import words as naming
from pibed.model.experiment import Experiment
from pibed.model.parameter import Value
from pibed.model.words import (
    enumeration,
    half_width,
    interval,
    labels,
    place,
    plural,
    rounded,
    sentence,
    supported,
    title,
    unit,
)
from pibed.report import wording
from pibed.report.table import Column, Table
from pibed.stats.comparison import Comparison, Verdict
from pibed.stats.effects import Effect, Share


def in_short(experiment: Experiment, effect: Effect) -> str:
    """The factors' shares, how far the alternatives are apart at one level, and exchanged."""
    where = _at(experiment, effect)
    shares = effect.shares
    compared, other = (title(experiment, each) for each in (effect.compared, effect.other))
    metric = title(experiment, effect.metric)
    if shares is None:
        question = f"how much of the variance of {metric} follows {compared} and {other}"
        words = f"{where}{question} is not known: {effect.reason}"
    else:
        ranked = sorted(
            ((shares.compared, compared), (shares.other, other)),
            key=lambda each: -each[0].value,
        )
        (more, first), (less, second) = ranked
        words = (
            f"{where}{_tenths(more, '95 % interval ')} of the variance of {metric} follows the "
            f"{first}, {_tenths(less)} the {second}"
        )
    return sentence("; ".join((words, *_same(experiment, effect), *_exchanged(experiment, effect))))


def in_full(experiment: Experiment, effect: Effect) -> list[str]:
    """All shares, and each of the exchanged pairs; what is at one level is compared elsewhere."""
    lines = []
    if (shares := effect.shares) is not None:
        compared, other = (title(experiment, each) for each in (effect.compared, effect.other))
        parts = enumeration(
            (
                f"{_exactly(shares.compared)} the {compared}",
                f"{_exactly(shares.other)} the {other}",
                f"{_exactly(shares.interaction)} how both go together",
                f"{_exactly(shares.residual)} neither",
            )
        )
        metric = title(experiment, effect.metric)
        reason = f" ({effect.reason})" if effect.reason else ""
        lines.append(
            sentence(f"{_at(experiment, effect)}of the variance of {metric} follow {parts}{reason}")
        )
    else:
        lines.append(in_short(experiment, effect))
    lines += [wording.compared(experiment, each) for each in effect.exchanged]
    return lines


def table(experiment: Experiment, effects: Sequence[Effect]) -> Table | None:
    """A row for each combination of the other parameters; None where no share is known."""
    known = [(each, each.shares) for each in effects if each.shares is not None]
    if not known:
        return None
    first = known[0][0]
    followed = (
        title(experiment, first.compared),
        title(experiment, first.other),
        "both",
        "neither",
    )
    metric = title(experiment, first.metric)
    rows = tuple(
        (
            *labels(experiment, each.others),
            *(
                text
                for share in (shares.compared, shares.other, shares.interaction, shares.residual)
                for text in _shown(share)
            ),
        )
        for each, shares in known
    )
    columns = (
        *(Column(experiment.parameters[name].title) for name, _ in first.others.values),
        *(
            column
            for each in followed
            for column in (Column(f"{each} [%]", True), Column("95 % interval", True))
        ),
    )
    note = (
        "Each cell has the same weight. Both: what the two do together beyond what each does "
        "alone. Neither: what samples of one cell differ by."
    )
    return Table(f"What the variance of {metric} follows", columns, rows, note)


def _same(experiment: Experiment, effect: Effect) -> list[str]:
    """How far apart the alternatives are at most where the other factor is the same."""
    if not effect.within:
        return []
    both = plural(naming.compared(experiment))
    what = f"with the same {title(experiment, effect.other)} the"
    bounds = [_apart(each.ratio_low, each.ratio_high) for each in effect.within]
    known = [each for each in bounds if each is not None]
    if len(known) == len(bounds):
        return [f"{what} {both} differ by no more than {_up(max(known))} %"]
    medians = [_apart(each.ratio, each.ratio) for each in effect.within]
    known = [each for each in medians if each is not None]
    if len(known) == len(medians):
        return [f"{what} medians of the {both} differ by {_up(max(known))} % at most"]
    return []


def _exchanged(experiment: Experiment, effect: Effect) -> list[str]:
    """Whether the level decides, whichever alternative is there."""
    if len(effect.exchanged) < 2 or effect.levels is None:
        return []
    kind = unit(experiment, effect.metric)
    best, worst = (_level(experiment, effect.other, each) for each in effect.levels)
    one = naming.compared(experiment)
    verdicts = [each.verdict for each in effect.exchanged]
    if verdicts == [Verdict.FIRST] * 2:
        better = experiment.better(effect.metric)
        larger = 1 if better == "lower" else 0
        much = enumeration(
            f"{each.alternatives[larger].label} {_more(each, kind)}" for each in effect.exchanged
        )
        less = wording.adjective(kind, better)
        return [f"whichever {one} is at {best} is {less} than the other at {worst}: {much}"]
    return [_decided(experiment, each, kind) for each in effect.exchanged]


def _decided(experiment: Experiment, found: Comparison, kind: str) -> str:
    first, second = (each.label for each in found.alternatives)
    if found.verdict is Verdict.UNDECIDED:
        return f"{first} and {second}: undecided"
    if found.faster is None:
        relevant = f"{experiment.analysed.relevant_percent:g} %"
        return f"{first} and {second} differ by no more than {relevant}"
    how, more = wording.adjective(kind, found.better), _more(found, kind)
    if found.better == "higher":
        return f"{found.faster.label} is {how} and {more}"
    slower = second if found.faster is found.alternatives[0] else first
    return f"{found.faster.label} is {how}, {slower} {more}"


def _more(found: Comparison, kind: str) -> str:
    """By how much the larger of two is above the smaller, in three digits."""
    ratios = [found.ratio, found.ratio_low, found.ratio_high]
    if (found.verdict is Verdict.FIRST) == (found.better == "lower"):
        ratios = [1 / each if each else None for each in (ratios[0], ratios[2], ratios[1])]
    middle, low, high = (None if each is None else f"{100 * (each - 1):.3g}" for each in ratios)
    time = found.better == "lower" and kind in wording.TIMES
    verb, more = ("takes", "longer") if time else ("has", "more")
    if middle is None:
        return f"{verb} {more}"
    bounds = "" if low is None or high is None else f" ({low} to {high})"
    return f"{verb} {middle} % {more}{bounds}"


def _apart(low: float | None, high: float | None) -> float | None:
    """How many percent the larger of two is above the smaller at most, from their ratio's ends."""
    if low is None or high is None or low <= 0:
        return None
    return 100 * (max(high, 1 / low) - 1)


def _up(bound: float) -> str:
    """A bound with two digits that is not below it."""
    if bound <= 0:
        return "0"
    step = 10.0 ** (math.floor(math.log10(bound)) - 1)
    # What is a bound already stays so: 1.1 / 0.1 is a little above 11.
    return rounded(math.ceil(round(bound / step, 9)) * step, 3)


def _tenths(share: Share, what: str = "") -> str:
    """A share in tenths of a percent; `what` its interval is called."""
    bounds = ""
    if share.low is not None and share.high is not None:
        bounds = f" ({what}{100 * share.low:.1f} to {100 * share.high:.1f})"
    return f"{100 * share.value:.1f} %{bounds}"


def _exactly(share: Share) -> str:
    value, bounds = _shown(share)
    return f"{value} %" if bounds == "-" else f"{value} % (95 % interval {bounds})"


def _shown(share: Share) -> tuple[str, str]:
    """A share in percent and its interval, with the digits that this supports."""
    if share.low is None or share.high is None:
        return rounded(100 * share.value, 3), "-"
    low, high = 100 * share.low, 100 * share.high
    return supported(100 * share.value, half_width(low, high)), interval(low, high)


def _at(experiment: Experiment, effect: Effect) -> str:
    where = place(experiment, effect.others)
    return f"at {where}, " if where else ""


def _level(experiment: Experiment, name: str, value: Value) -> str:
    return naming.with_unit(experiment, name, naming.label(experiment, name, value))
