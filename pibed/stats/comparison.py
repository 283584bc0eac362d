"""Which of two alternatives is better, in each cell and metric: effects, tests and a verdict."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Literal

from pibed.model.experiment import Better
from pibed.model.plan import Cell
from pibed.stats.observations import (
    Alternative,
    Observations,
    Pair,
    Series,
    interval,
    medians,
    too_few,
)
from pibed.stats.summary import median_spread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


LEVEL = 0.05

# Samples of both together up to which a test is exact: beyond, the normal approximation is good and
# the exact distribution takes long.
_EXACT = 60

Method = Literal["exact", "normal"]


class Verdict(Enum):
    """What is decided of two alternatives; the values are for people."""

    FIRST = "the first is better"
    SECOND = "the second is better"
    NO_DIFFERENCE = "no relevant difference"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Comparison:
    """One metric in the two alternatives (first, second) with the other parameters fixed.

    Pairs are in their order. What cannot be computed is None, and `reason` says why; it also says
    why a verdict is `undecided`. Formulas and sources: docs/statistics.md.
    """

    others: Cell
    """The values of the parameters beside the compared one."""
    metric: str
    """A metric of the experiment or `total`."""
    better: Better
    """Which values of it are the better ones."""
    alternatives: Pair
    """The second is the baseline."""
    n: tuple[int, int]
    """Samples of each that are `ok`."""
    medians: tuple[float, float]
    """In the metric's unit."""
    spreads: tuple[float | None, float | None]
    """How uncertain they are; see `median_spread`."""
    difference: float
    """First median minus second, in the metric's unit."""
    exact: bool
    """No sample of either differs from the others of its own: the difference is exact."""
    ratio: float | None
    """First median by second, without unit; below 1 the first is smaller."""
    ratio_low: float | None
    ratio_high: float | None
    """Bounds of the ratio's 95 % interval."""
    delta: float
    """Cliff's delta, -1 to 1: P(first > second) - P(first < second)."""
    p: float | None
    """Mann-Whitney's two-sided p; None where nothing varies."""
    p_holm: float | None
    """The same after Holm's correction over everything that was compared."""
    method: Method | None
    """How p was computed."""
    verdict: Verdict
    reason: str

    @property
    def faster(self) -> Alternative | None:
        """The one with the better values, if that is decided."""
        return {
            Verdict.FIRST: self.alternatives[0],
            Verdict.SECOND: self.alternatives[1],
        }.get(self.verdict)


def compare(observations: Observations) -> list[Comparison]:
    """All comparisons, in the experiment's order; none if there are no two alternatives.

    `observations.reason` and `observations.left_out` say what is not compared and why.
    """
    found = []
    for block, metric, pair in itertools.product(
        observations.blocks(), observations.metrics, observations.pairs
    ):
        first, second = (
            observations.series(observations.cell(block, alternative), metric)
            for alternative in pair
        )
        if first is not None and second is not None:
            better = observations.experiment.better(metric)
            found.append(measure(block, metric, pair, (first, second), observations.counts, better))
    return judge_all(found, observations.plan.relevant_percent / 100)


def judge_all(found: Sequence[Comparison], relevant: float) -> list[Comparison]:
    """The verdicts on what was measured together: all p are one family; see `judge`."""
    corrected = iter(holm([each.p for each in found if each.p is not None]))
    return [
        judge(replace(each, p_holm=None if each.p is None else next(corrected)), relevant)
        for each in found
    ]


def measure(
    block: Cell,
    metric: str,
    alternatives: Pair,
    pair: tuple[Series, Series],
    counts: NDArray[np.int16],
    better: Better = "lower",
) -> Comparison:
    """Everything but the correction and the verdict; `counts` as in `Observations`."""
    centre = (pair[0].median, pair[1].median)
    constant = not pair[0].varies and not pair[1].varies
    n = (len(pair[0].values), len(pair[1].values))
    ratio = low = high = None
    if min(pair[0].values.min(), pair[1].values.min()) < 0:
        reason = "no ratio of values below 0"
    else:
        ratio = _quotient(*centre)
        labels = [each.label for each in alternatives]
        reason = too_few(*zip(labels, pair, strict=True))
        if not reason and constant:
            low = high = ratio
        elif not reason:
            replicates = resampled_ratio(pair[0], pair[1], counts)
            low, high = interval(replicates) or (None, None)
            if low is None:
                reason = f"no resample has samples of {' and '.join(labels)}: no interval"
    p = method = None
    if constant:
        delta = float((centre[0] > centre[1]) - (centre[0] < centre[1]))
    else:
        delta, p, method = mann_whitney(pair[0].values, pair[1].values)
    return Comparison(
        block,
        metric,
        better,
        alternatives,
        n,
        centre,
        (median_spread(pair[0].values.tolist()), median_spread(pair[1].values.tolist())),
        difference=centre[0] - centre[1],
        exact=constant and min(n) > 1,
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
        delta=delta,
        p=p,
        p_holm=None,
        method=method,
        verdict=Verdict.UNDECIDED,
        reason=reason,
    )


def judge(found: Comparison, relevant: float, level: float = LEVEL) -> Comparison:
    """The verdict on a comparison with its corrected p; `relevant` is a fraction such as 0.01.

    One is smaller if the ratio's whole interval lies beyond 1 + relevant (or 1 / (1 + relevant))
    and, where anything varies, the corrected p is below `level`; it is the better one unless higher
    values are. If the whole interval lies between these bounds there is no relevant difference.
    """
    low, high = found.ratio_low, found.ratio_high
    least, most = 1 / (1 + relevant), 1 + relevant
    verdict, reason = Verdict.UNDECIDED, found.reason
    if low is not None and high is not None:
        sure = found.p_holm is None or found.p_holm < level
        if least <= low and high <= most:
            verdict = Verdict.NO_DIFFERENCE
        elif (high < least or low > most) and sure:
            first = (high < least) == (found.better == "lower")
            verdict = Verdict.FIRST if first else Verdict.SECOND
        elif high < least or low > most:
            reason = f"p is {found.p_holm:.3g} after Holm's correction, not below {level:g}"
        else:
            # With digits that tell a bound from the limit.
            ends = f"{low:.6g} and more" if math.isinf(high) else f"{low:.6g} to {high:.6g}"
            reason = (
                f"the ratio's interval, {ends}, is neither beyond nor within {relevant:.3g} of 1"
            )
    # What is beyond all bounds has decided, but is no number to hand on.
    if any(x is not None and math.isinf(x) for x in (found.ratio, low, high)):
        where = "" if found.medians[1] == 0 else " in resamples"
        zero = f"the median of {found.alternatives[1].label} is 0{where}: the ratio has no bound"
        reason = "; ".join(filter(None, [zero, reason]))
    ratio, low, high = (
        None if x is not None and math.isinf(x) else x for x in (found.ratio, low, high)
    )
    return replace(
        found,
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
        verdict=verdict,
        reason=reason,
    )


def resampled_ratio(
    first: Series, second: Series, counts: NDArray[np.int16]
) -> NDArray[np.float64]:
    """First median by second in each resample, (resamples,); 0 by 0 is 1, x by 0 infinite."""
    import numpy as np

    above, below = medians(first, counts), medians(second, counts)
    with np.errstate(all="ignore"):
        ratios: NDArray[np.float64] = above / below
    ratios[(above == 0) & (below == 0)] = 1
    return ratios


def mann_whitney(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[float, float, Method]:
    """Cliff's delta, the two-sided p that both come from one distribution, and how it was computed.

    Equal values share the mean of their ranks. Up to 60 samples in all p is exact, given the ties:
    the rank sum's distribution over all ways to divide the pooled ranks among the two (Streitberg
    and Röhmel 1986). Beyond, scipy's normal approximation, corrected for ties and continuity.
    """
    import numpy as np
    from scipy import stats

    m, n = len(first), len(second)
    ranks = stats.rankdata(np.concatenate([first, second]))
    rank_sum = float(ranks[:m].sum())
    delta = (2 * rank_sum - m * (m + 1)) / (m * n) - 1
    if m + n > _EXACT:
        p = stats.mannwhitneyu(first, second, method="asymptotic").pvalue
        # Where all values are equal the approximation divides 0 by 0.
        return delta, 1.0 if math.isnan(p) else float(p), "normal"
    # Mean ranks are halves; doubled they are whole. ways[k, s]: sets of k ranks that add up to s.
    doubled = np.rint(2 * ranks).astype(int)
    ways = np.zeros((m + 1, doubled.sum() + 1))
    ways[0, 0] = 1
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, :-rank]
    sums = ways[m] / ways[m].sum()
    at = round(2 * rank_sum)
    p = 2 * min(sums[: at + 1].sum(), sums[at:].sum())
    return delta, min(1.0, float(p)), "exact"


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for how many there are, in their order: Holm (1979).

    The i-th smallest of m is multiplied by m + 1 - i, and never falls below one that is smaller.
    """
    corrected = [0.0] * len(p)
    least = 0.0
    for place, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1.0, (len(p) - place) * p[index]))
        corrected[index] = least
    return corrected


def _quotient(first: float, second: float) -> float:
    if second == 0:
        return 1.0 if first == 0 else math.inf
    return first / second
