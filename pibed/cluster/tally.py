"""What a sweep on workers has cost: rounds by worker, what was lost, how busy the workers were."""

from __future__ import annotations

import time
from collections import Counter

from pibed.base.terminal import duration
from pibed.model.words import counted


class Tally:
    """Counts from its making on."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._rounds: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._useful_s = 0.0
        self._offered_s = 0.0
        """Boots that workers could have run, by seconds, of those that are gone."""
        self._there: dict[str, tuple[int, float]] = {}

    def joined(self, address: str, boots: int) -> None:
        """A worker can have so many boots at a time from now on."""
        self._there[address] = (boots, time.monotonic())

    def left(self, address: str) -> None:
        """It can have none any more."""
        boots, since = self._there.pop(address, (0, 0.0))
        self._offered_s += boots * (time.monotonic() - since)

    def measured(self, name: str, seconds: float) -> None:
        """The worker of this name has measured a round, in so many seconds."""
        self._rounds[name] += 1
        self._useful_s += seconds

    def lost(self, name: str) -> None:
        """A round was lost with it."""
        self._lost[name] += 1

    @property
    def efficiency(self) -> float:
        """Time in which rounds were measured that count, by that in which they could have been."""
        now = time.monotonic()
        offered = self._offered_s + sum(
            boots * (now - since) for boots, since in self._there.values()
        )
        return self._useful_s / offered if offered else 0.0

    def lines(self) -> list[str]:
        """For people."""
        seconds = time.monotonic() - self._began
        rounds = self._rounds.total()
        if not rounds:
            return []
        shares = ", ".join(f"{name} {self._rounds[name]}" for name in sorted(self._rounds))
        lost = self._lost.total()
        return [
            f"cluster: {counted(rounds, 'round')} in {duration(seconds)}, "
            f"{rounds * 3600 / seconds:.0f} an hour; rounds by worker: {shares}",
            f"cluster: {counted(lost, 'round')} lost with a worker and measured again; workers "
            f"were busy for {self.efficiency:.0%} of their time",
        ]
