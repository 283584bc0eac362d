"""All statistics of a run in one place: each is computed when it is first asked for, and once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pibed.model.experiment import Experiment
from pibed.model.samples import Sample
from pibed.stats.balance import Balance, balances
from pibed.stats.comparison import Comparison, compare
from pibed.stats.effects import Effect, effects
from pibed.stats.growth import CostChange, EventCost, Fit, changes, costs, fits
from pibed.stats.observations import Observations, observe
from pibed.stats.summary import Outlier, Summary, outliers, summarise


@dataclass(frozen=True)
class Analysis:
    """What the statistics say of an experiment's samples; see docs/statistics.md for formulas.

    The samples are not to change any more. What an experiment does not ask for is empty.
    """

    experiment: Experiment
    samples: Sequence[Sample]

    @cached_property
    def observations(self) -> Observations:
        """The samples that are `ok` as arrays, which all but summaries and outliers start from."""
        return observe(self.experiment, self.samples)

    @cached_property
    def summaries(self) -> list[Summary]:
        """One a cell and metric."""
        return summarise(self.experiment, self.samples)

    @cached_property
    def outliers(self) -> list[Outlier]:
        """The samples that are flagged, by cell and metric."""
        return outliers(self.experiment, self.samples)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """The alternatives beside each other, in each block and metric."""
        return compare(self.observations)

    @cached_property
    def fits(self) -> list[Fit]:
        """How metrics grow."""
        return fits(self.observations)

    @cached_property
    def costs(self) -> list[EventCost]:
        """What one event costs, in each block."""
        return costs(self.observations)

    @cached_property
    def changes(self) -> list[CostChange]:
        """What a parameter changes in the cost of one event, in each block."""
        return changes(self.observations)

    @cached_property
    def balances(self) -> list[Balance]:
        """Where both alternatives take the same time, in each block."""
        return balances(self.observations)

    @cached_property
    def effects(self) -> list[Effect]:
        """How much of a metric's variance follows each of two factors, in each block."""
        return effects(self.observations, self.comparisons)

    @property
    def deciding(self) -> list[Comparison]:
        """The comparisons of the metric that decides which alternative is faster."""
        return [each for each in self.comparisons if each.metric == self.observations.deciding]
