"""The statistics in words: each sentence is true of the numbers that it was made from."""

from __future__ import annotations

from collections.abc import Mapping

from pibed.model import words as naming
from pibed.model.experiment import Better, Experiment
from pibed.model.machine import Clock
from pibed.model.parameter import Value
from pibed.model.plan import Cell
from pibed.model.words import (
    amount,
    half_width,
    interval,
    number,
    plural,
    rounded,
    sentence,
    supported,
    title,
    unit,
    with_unit,
)
from pibed.stats.balance import Balance
from pibed.stats.comparison import Comparison, Verdict
from pibed.stats.growth import CostChange, EventCost, Fit
from pibed.stats.observations import Pair

TIMES = {"ns", "us", "µs", "\N{GREEK SMALL LETTER MU}s", "ms", "s", "min", "h"}

"""Units of a metric that is a time: less of it is faster."""

CLOCKS: Mapping[Clock, str] = {
    "virtual": (
        "virtual: QEMU counts the guest's instructions, and each takes the same time. The numbers "
        "do not depend on the host. Caches, TLBs and pipelines are not modelled, and an exception "
        "costs the instructions of its handler and no more: they are not those of a board."
    ),
    "board": (
        "board: the guest's time is that of a model of the board's pipeline, caches, TLBs, memory "
        "and frequency, which follows each of its instructions. The numbers do not depend on the "
        "host. They are near those of the board as far as the model goes; other cores and "
        "devices are not modelled."
    ),
    "host": (
        "host: the guest's time is real time. What is measured is QEMU on this host, its "
        "translation and the host's scheduler included: the numbers are those of this host, "
        "not of a board, and not the same twice."
    ),
}

"""What the numbers of each clock mean."""


def adjective(unit: str, better: Better = "lower") -> str:
    """What the better one is in a metric of this unit."""
    if better == "higher":
        return "faster" if unit.endswith("/s") else "higher"
    return "faster" if unit in TIMES else "lower"


def verdict(found: Comparison) -> str:
    """A verdict in a word: the label of what is faster, or that nothing is."""
    return found.verdict.value if found.faster is None else found.faster.label


def compared(experiment: Experiment, found: Comparison) -> str:
    """Which alternative is faster, by how much, or why that is not decided."""
    metric, kind = title(experiment, found.metric), unit(experiment, found.metric)
    first, second = (each.label for each in found.alternatives)
    middles = map(supported, found.medians, found.spreads)
    centres = ", ".join(
        f"{middle} {kind} with {each}"
        for middle, each in zip(middles, (first, second), strict=True)
    )
    always = "In every sample" if found.exact else "Medians"
    relevant = f"{experiment.analysed.relevant_percent:g} %"
    if found.faster is not None:
        other = second if found.verdict is Verdict.FIRST else first
        words = f"{metric}: {found.faster.label} is {adjective(kind, found.better)}"
        if much := excess(found, kind):
            words += f"; {other if found.better == 'lower' else 'it'} {much}"
    elif found.verdict is Verdict.UNDECIDED:
        words = f"{metric}: undecided; {found.reason}"
    elif found.medians[0] == found.medians[1] and found.exact:
        words = f"{metric}: no difference"
    else:
        both = the_two(experiment, found.alternatives)
        words = f"{metric}: no relevant difference; {both} are no more than {relevant} apart"
        if not found.exact and found.ratio_low is not None and found.ratio_high is not None:
            words += f" (95 % interval of the ratio: {interval(found.ratio_low, found.ratio_high)})"
    return sentence(_at(experiment, found.others) + words + f". {always}: {centres}")


def fitted(experiment: Experiment, fit: Fit) -> str:
    """How a metric grows with one alternative, or why that is not known."""
    which = f"with {fit.alternative.label}, " if fit.alternative is not None else ""
    against = title(experiment, fit.against)
    subject = f"{_at(experiment, fit.others)}{which}{title(experiment, fit.metric)}"
    if fit.slope is None:
        return sentence(f"{subject}: no growth is fitted; {fit.reason}")
    low, high = fit.slope_low, fit.slope_high
    kind = unit(experiment, fit.metric)
    points = f"{len(fit.points)} points"
    if len({y for _, y in fit.points}) == 1:
        return sentence(f"{subject} is the same, {amount(fit.points[0][1], kind)}, at all {points}")
    power = fit.law == "power"
    spread = half_width(low, high)
    basis = []
    if low is not None and high is not None:
        downward = not power and fit.slope < 0 and not low <= 0 <= high
        basis.append(f"95 % interval {interval(*((-high, -low) if downward else (low, high)))}")
    if fit.r_squared is not None and low is not None:
        basis.append(f"R² {fit.r_squared:.5g}")
    basis.append(points)
    if low is not None and high is not None and low <= 0 <= high:
        slope = supported(fit.slope, spread)
        what = f"exponent {slope}" if power else f"slope {slope} {kind}"
        return sentence(
            f"{subject}: no growth with {against} can be told; {what} ({', '.join(basis)})"
        )
    verb = "grows" if fit.slope > 0 else "falls"
    if power:
        exponent = supported(fit.slope, spread) if spread else f"{fit.slope:.4g}"
        words = f"{subject} {verb} as {against} to the power of {exponent}"
    else:
        step = f"{supported(abs(fit.slope), spread)} {kind}"
        words = f"{subject} {verb} by {step} for one more of {against}"
        if fit.intercept is not None:
            words += f", from {amount(fit.intercept, kind)} at 0"
    caveat = f"; {fit.reason}" if fit.reason else ""
    return sentence(f"{words} ({', '.join(basis)}){caveat}")


def costed(experiment: Experiment, cost: EventCost) -> str:
    """What one event costs, or why that is not known."""
    where = _at(experiment, cost.others)
    metric, events = title(experiment, cost.metric), title(experiment, cost.events)
    kind = unit(experiment, cost.metric)
    if cost.cost is None:
        return sentence(f"{where}no cost of one of the {events}; {cost.reason}")
    spread = half_width(cost.low, cost.high)
    # The interval of the cost is that of the difference, by the events.
    wide = None if spread is None else spread * abs(cost.event_difference)
    medians = f"the {plural(naming.compared(experiment))}' medians"
    if not naming.are_two(experiment):
        medians = f"the medians of {the_two(experiment, cost.alternatives)}"
    apart = (
        f"{medians} differ by {supported(cost.difference, wide)} {kind} "
        f"and {amount(cost.event_difference, unit(experiment, cost.events))}"
    )
    bounds = _bounds(cost.cost, cost.low, cost.high, cost.reason)
    if _holds_zero(cost.low, cost.high):
        words = f"no cost of one of the {events} in {metric} can be told from 0: "
        much = f"{supported(cost.cost, spread)} {kind}"
        return sentence(f"{where}{words}{much}{bounds}; {apart}")
    verb, to = ("adds", "to") if cost.cost >= 0 else ("takes", "from")
    much = f"{supported(abs(cost.cost), spread)} {kind}"
    return sentence(f"{where}each of the {events} {verb} {much} {to} {metric}{bounds}; {apart}")


def changed(experiment: Experiment, found: CostChange) -> str:
    """What a parameter changes in the cost of one event, or why that is not known."""
    where = _at(experiment, found.others)
    metric, events = title(experiment, found.metric), title(experiment, found.events)
    kind = unit(experiment, found.metric)
    change = switch(experiment, found.parameter, found.values)
    pair = between_two(experiment, found.alternatives)
    question = f"what {change} changes in the cost of one of the {events}{pair}"
    if found.change is None:
        return sentence(f"{where}{question} is not known; {found.reason}")
    spread = half_width(found.low, found.high)
    bounds = _bounds(found.change, found.low, found.high, found.reason)
    if _holds_zero(found.low, found.high):
        shown = f"{supported(found.change, spread)} {kind} of {metric}{bounds}"
        return sentence(f"{where}{question} cannot be told from 0: {shown}")
    verb, to = ("adds", "to") if found.change >= 0 else ("takes", "from")
    much = f"{supported(abs(found.change), spread)} {kind}"
    each = f"each of the {events}{pair}"
    return sentence(f"{where}{change} {verb} {much} {to} {metric} for {each}{bounds}")


def switch(experiment: Experiment, parameter: str, values: tuple[Value, Value]) -> str:
    """The change of a parameter: `log line on instead of off` for the values (0, 1)."""
    before, after = (naming.label(experiment, parameter, value) for value in values)
    return with_unit(experiment, parameter, f"{after} instead of {before}")


def balanced(experiment: Experiment, balance: Balance) -> str:
    """Where both alternatives take the same time, or why no such point is known."""
    where = _at(experiment, balance.others)
    name = title(experiment, balance.parameter)
    if balance.at is None:
        pair = between_two(experiment, balance.alternatives)
        return sentence(f"{where}no balance in {name}{pair}; {balance.reason}")
    bounds = ""
    if balance.low is not None and balance.high is not None:
        bounds = f" (95 % interval {interval(balance.low, balance.high)})"
    elif balance.low is not None or balance.high is not None:
        bound = (
            f"from {number(balance.low)}"
            if balance.low is not None
            else f"up to {number(balance.high or 0)}"
        )
        bounds = f" (95 % interval {bound}: {balance.reason})"
    elif balance.reason:
        bounds = f" ({balance.reason})"
    at = supported(balance.at, half_width(balance.low, balance.high))
    value = with_unit(experiment, balance.parameter, at)
    return sentence(
        f"{where}{level(experiment, balance)} at "
        f"{value}{between(balance, balance.at)}{bounds}; {sides(balance, balance.at)}"
    )


def level(experiment: Experiment, balance: Balance) -> str:
    """That the alternatives are equal: `both modes take the same total`."""
    verb = "take" if balance.better == "lower" else "have"
    labels = (each.label for each in balance.alternatives)
    both = naming.both(experiment, *labels)
    return f"{both} {verb} the same {title(experiment, balance.metric)}"


def between(balance: Balance, at: float) -> str:
    """The measured values that the balance was interpolated from; empty where it was measured."""
    measured = [float(value) for value, _ in balance.points]
    below, above = [x for x in measured if x < at], [x for x in measured if x > at]
    if at in measured or not below or not above:
        return ""
    return f", on a straight line between {number(max(below))} and {number(min(above))}"


def sides(balance: Balance, at: float) -> str:
    """Which has the better median below the balance, and which above it, where measured."""
    words: list[str] = []
    better = "smaller" if balance.better == "lower" else "larger"
    for side, gaps in (
        ("below", [gap for value, gap in balance.points if value < at and gap]),
        ("above", [gap for value, gap in balance.points if value > at and gap]),
    ):
        if gaps:
            ahead = balance.ahead(gaps[0]).label
            words.append(f"{side} that {ahead}{'' if words else f' has the {better} median'}")
    return ", ".join(words)


def the_two(experiment: Experiment, pair: Pair) -> str:
    """Two alternatives: `the modes`, or `even and odd` where there are others."""
    if naming.are_two(experiment):
        return f"the {plural(naming.compared(experiment))}"
    return f"{pair[0].label} and {pair[1].label}"


def between_two(experiment: Experiment, pair: Pair) -> str:
    """Of which alternatives something is said: empty unless there are others."""
    return "" if naming.are_two(experiment) else f" between {the_two(experiment, pair)}"


def _bounds(value: float, low: float | None, high: float | None, reason: str) -> str:
    """The interval of a cost, as one of the amount that it adds or takes; or why there is none."""
    if low is None or high is None:
        return f" ({reason})"
    turned = value < 0 and not _holds_zero(low, high)
    return f" (95 % interval {interval(*((-high, -low) if turned else (low, high)))})"


def _holds_zero(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low <= 0 <= high


def _at(experiment: Experiment, cell: Cell) -> str:
    where = naming.place(experiment, cell)
    return f"at {where}, " if where else ""


def excess(found: Comparison, kind: str) -> str:
    """By how much the larger one is larger, with its interval: `takes 3 % longer`.

    Of a metric of which higher is better it is the better one that is larger. Empty where that is
    no number. `kind` is the unit of the metric.
    """
    ratio, low, high = found.ratio, found.ratio_low, found.ratio_high
    less_is_better = found.better == "lower"
    if (found.verdict is Verdict.FIRST) == less_is_better:
        ratio = 1 / ratio if ratio else None
        low, high = (1 / high if high else None, 1 / low if low else None)
    if ratio is None:
        return ""
    time = less_is_better and kind in TIMES
    times = "takes" if time else "has"
    more = "longer" if time else "more"
    much = "as long" if time else "as much"
    factor = ratio >= 2
    # As factors, or as percents on top.
    shown = [
        None if value is None else value if factor else 100 * (value - 1)
        for value in (ratio, low, high)
    ]
    middle, low, high = shown
    spread = half_width(low, high)
    value = (
        supported(middle or 0.0, spread) if spread else rounded(middle or 0.0, 4 if factor else 3)
    )
    how = f"{value} times {much}" if factor else f"{value} % {more}"
    if not less_is_better:
        other = found.alternatives[1 if found.verdict is Verdict.FIRST else 0]
        how += f" {'as' if factor else 'than'} {other.label}"
    bounds = ""
    if low is not None and high is not None and not found.exact:
        bounds = f" (95 % interval {interval(low, high)}{'' if factor else ' %'})"
    return f"{times} {how}{bounds}"
