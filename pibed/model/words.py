"""What people call the things of an experiment, and how a number is written: once for all."""

from __future__ import annotations

from collections.abc import Iterable

from pibed.model.experiment import TOTAL, Experiment
from pibed.model.parameter import Value
from pibed.model.plan import Cell


def number(value: float) -> str:
    """A number for people: whole ones whole, others with four digits at least."""
    if abs(value) >= 1e15 or 0 < abs(value) < 1e-4:
        return f"{value:.4g}"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def rounded(value: float, digits: int = 4) -> str:
    """A number for people, of so many digits at most."""
    return number(float(f"{value:.{digits}g}"))


def supported(value: float, spread: float | None) -> str:
    """A number with as many digits as are known: up to the second one of its uncertainty.

    `spread` is half the width of its interval or a standard deviation, in its unit. Without one, or
    where it is 0, the number is exact: see `number`. Two digits are left in any case.
    """
    if not spread or not value or abs(value) >= 1e15 or abs(value) < 1e-4:
        return number(value)
    places = max(1 - exponent(spread), 1 - exponent(value))
    text = f"{round(value, places):,.{min(max(places, 0), 12)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimals(value: float, least: int) -> str:
    """A number with so many decimals, or with as many more as its first two digits need."""
    if abs(value) >= 1e15 or 0 < abs(value) < 1e-4:
        return f"{value:.4g}"
    return f"{value:.{max(least, 1 - exponent(value))}f}"


def half_width(low: float | None, high: float | None) -> float | None:
    """How far an interval's bounds are from its middle; None where one is not known."""
    return None if low is None or high is None else (high - low) / 2


def interval(low: float, high: float) -> str:
    """An interval, with as many digits as its width supports."""
    spread = half_width(low, high)
    return f"{supported(low, spread)} to {supported(high, spread)}"


def exponent(value: float) -> int:
    """The decimal place of the first of two digits: 1 of 12, -2 of 0.0123, 0 of 0.996."""
    return int(f"{value:.1e}".partition("e")[2])


def amount(value: float, unit: str) -> str:
    """A number with its unit."""
    return f"{number(value)} {unit}"


def title(experiment: Experiment, name: str) -> str:
    """What people call a metric, the total or a parameter, without a unit."""
    if name == TOTAL:
        parts = (experiment.metrics[each].title for each in experiment.analysed.total)
        return f"total ({' + '.join(parts)})"
    if name in experiment.metrics:
        return experiment.metrics[name].title
    return experiment.parameters[name].noun


def unit(experiment: Experiment, metric: str) -> str:
    """The unit of a metric or of the total."""
    return experiment.metrics[experiment.analysed.total[0] if metric == TOTAL else metric].unit


def heading(experiment: Experiment, metric: str) -> str:
    """A metric or the total with its unit, as `work [µs]`."""
    return in_unit(title(experiment, metric), unit(experiment, metric))


def in_unit(name: str, unit: str) -> str:
    """A quantity with its unit, as at an axis: `work [µs]`; a number without a unit has none."""
    return f"{name} [{unit}]" if unit else name


def with_unit(experiment: Experiment, parameter: str, values: str) -> str:
    """A parameter with values: `size 64`, or `20 % touched` where its title is `touched [%]`."""
    found = experiment.parameters[parameter]
    return f"{values} {found.unit} {found.noun}" if found.unit else f"{found.noun} {values}"


def label(experiment: Experiment, parameter: str, value: Value) -> str:
    """What people call a parameter's value."""
    return experiment.parameters[parameter].label(value)


def labels(experiment: Experiment, cell: Cell) -> list[str]:
    """What people call the values of a cell, in its order."""
    return [label(experiment, name, value) for name, value in cell.values]


def place(experiment: Experiment, cell: Cell) -> str:
    """Where in the experiment, such as `size 64, access random`; empty for no parameters."""
    return ", ".join(
        with_unit(experiment, name, label(experiment, name, value)) for name, value in cell.values
    )


def compared(experiment: Experiment) -> str:
    """What people call one of the alternatives that an experiment compares, such as `mode`."""
    name = experiment.analysed.compare
    return "alternative" if name is None else title(experiment, name)


def are_two(experiment: Experiment) -> bool:
    """Whether no more than two alternatives are compared, which then need not be named."""
    name = experiment.analysed.compare
    return name is None or len(experiment.parameters[name].values) <= 2


def both(experiment: Experiment, first: str, second: str) -> str:
    """Two alternatives of these labels: `both modes`, or `even and odd` where there are others."""
    if are_two(experiment):
        return f"both {plural(compared(experiment))}"
    return f"{first} and {second}"


def plural(noun: str) -> str:
    """More than one of what an English noun names."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and not noun.endswith(("ay", "ey", "oy", "uy")):
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def counted(number: int, noun: str) -> str:
    """A number of what a noun names: `1 round`, `10 rounds`."""
    return f"{number} {noun if number == 1 else plural(noun)}"


def indefinite(noun: str) -> str:
    """A noun with its article: `a mode`, `an access`."""
    return f"{'an' if noun[:1].lower() in 'aeio' else 'a'} {noun}"


def enumeration(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def sentence(words: str) -> str:
    """With a capital at the beginning and a full stop at the end."""
    words = words.strip()
    # A unit, or the name of a parameter or file, as in `eager=1`, stays as it is.
    start = words.partition(" ")[0].rstrip(".:,;")
    if start.isascii() and not set("=_.") & set(start):
        words = words[:1].upper() + words[1:]
    return words if words.endswith((".", "!", "?")) else words + "."
