"""How much of what demand paging took longer on the Pi may be the placement of its pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pibed.model.experiment import Experiment
from pibed.model.plan import Cell
from pibed.model.words import label, rounded, with_unit
from pibed.report import follows
from pibed.stats.analysis import Analysis
from pibed.stats.comparison import Comparison
from pibed.stats.effects import Effect
from pibed.studies.pi.reference import DIFFERENT, MODE, SIZE, Published, excess

PLACEMENT = "placement"

_METRIC = "multiply_us"


def crosses(experiment: Experiment) -> bool:
    """Whether the run has each mode with each placement: then no cell is the board's."""
    effects = experiment.analysed.effects
    return (
        effects is not None
        and effects.metric == _METRIC
        and set(effects.factors) == {MODE, PLACEMENT}
        and experiment.analysed.compare == MODE
    )


def explained(analysis: Analysis, published: Sequence[Published]) -> list[str]:
    """How much of finding 2 follows the placement: sentences, or none.

    There are some for a run that crosses mode and placement at a size at which the Pi's
    multiplication was slower with demand paging.
    """
    if not crosses(analysis.experiment):
        return []
    return [
        line
        for size in DIFFERENT
        for effect in analysis.effects
        if effect.others == Cell.of({SIZE: size})
        for line in (
            *_of_the_pi(analysis.experiment, effect, size, published),
            follows.in_short(analysis.experiment, effect),
        )
    ]


def _of_the_pi(
    experiment: Experiment, effect: Effect, size: int, published: Sequence[Published]
) -> Iterable[str]:
    """The Pi's difference, that of the modes at one placement, and those of exchanged ones."""
    if effect.levels is None or len(effect.exchanged) < 2:
        return
    share, width = (100 * each for each in excess(published, size, _METRIC))
    best, worst = (
        with_unit(experiment, PLACEMENT, label(experiment, PLACEMENT, level))
        for level in effect.levels
    )
    # In each the first is at the best placement.
    as_there = next(each for each in effect.exchanged if each.alternatives[1].value == 1)
    other = next(each for each in effect.exchanged if each is not as_there)
    same = [bounds for each in effect.within if (bounds := _longer(each)) is not None]
    words = f"At size {size} demand paging took {share:.3g} ± {width:.2g} % longer on the Pi."
    if len(same) == len(effect.within):
        low, high = min(low for low, _ in same), max(high for _, high in same)
        words += (
            f" Here it takes {low:.3g} to {high:.3g} % longer with the same placement (95 % "
            "intervals)"
        )
    else:
        words += " Here, of too few samples for an interval, it takes"
        ratios = [ratio for each in effect.within if (ratio := _ratio(each)) is not None]
        middles = (f"{100 * (each - 1):.3g}" for each in ratios)
        words += f" {', '.join(middles)} % longer with the same placement"
    yield (
        f"{words}, {_much(as_there)} with {worst} where pre-paging has {best}; exchanged, "
        f"pre-paging takes {_much(other)}."
    )
    bounds = _over(as_there)
    if len(same) < len(effect.within) or bounds is None:
        return
    faults = max(0.0, high)
    low, high = bounds
    if high >= share - width:
        can_be = "the placement can be all of it"
    else:
        can_be = f"the placement at most {_percent(max(0.0, high) / share)}"
    yield (
        f"So what a fault costs was at most {_percent(faults / share)} of what demand paging took "
        f"longer at size {size} on the Pi, and {can_be}."
    )


def _ratio(found: Comparison) -> float | None:
    """Demand paging by pre-paging."""
    if found.ratio is None or found.alternatives[0].value == 1:
        return found.ratio
    return 1 / found.ratio if found.ratio else None


def _longer(found: Comparison) -> tuple[float, float] | None:
    """The interval of by how many percent demand paging takes longer."""
    low, high = found.ratio_low, found.ratio_high
    if low is None or high is None or low <= 0:
        return None
    if found.alternatives[0].value != 1:
        low, high = 1 / high, 1 / low
    return 100 * (low - 1), 100 * (high - 1)


def _over(found: Comparison) -> tuple[float, float] | None:
    """The interval of by how many percent the second takes longer than the first."""
    low, high = found.ratio_low, found.ratio_high
    if low is None or high is None or low <= 0:
        return None
    return 100 * (1 / high - 1), 100 * (1 / low - 1)


def _much(found: Comparison) -> str:
    """By how much the second takes longer than the first, with its interval."""
    if not found.ratio:
        return "an unknown time"
    shown, bounds = f"{100 * (1 / found.ratio - 1):.3g} % longer", _over(found)
    if bounds is None:
        return shown
    return f"{shown} (95 % interval {bounds[0]:.3g} to {bounds[1]:.3g} %)"


def _percent(share: float) -> str:
    return f"{rounded(100 * share, 2)} %"
