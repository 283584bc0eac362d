"""What it has cost to use workers: jobs by worker, what was lost, how busy the workers were."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from pibed.base.terminal import duration
from pibed.model.words import counted


@dataclass(frozen=True)
class Kind:
    """What workers are given, for people: the noun for one, and what is done with it."""

    noun: str
    done: str


class Tally:
    """Counts from its making on."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._began = time.monotonic()
        self._jobs: Counter[str] = Counter()
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

    def done(self, name: str, seconds: float) -> None:
        """The worker of this name has done a job, in so many seconds."""
        self._jobs[name] += 1
        self._useful_s += seconds

    def lost(self, name: str) -> None:
        """A job was lost with it."""
        self._lost[name] += 1

    @property
    def efficiency(self) -> float:
        """Time in which jobs were done that count, by that in which they could have been."""
        now = time.monotonic()
        offered = self._offered_s + sum(
            boots * (now - since) for boots, since in self._there.values()
        )
        return self._useful_s / offered if offered else 0.0

    def lines(self) -> list[str]:
        """For people."""
        seconds = time.monotonic() - self._began
        done = self._jobs.total()
        if not done:
            return []
        noun = self._kind.noun
        shares = ", ".join(f"{name} {self._jobs[name]}" for name in sorted(self._jobs))
        lost = self._lost.total()
        return [
            f"cluster: {counted(done, noun)} in {duration(seconds)}, "
            f"{done * 3600 / seconds:.0f} an hour; {noun}s by worker: {shares}",
            f"cluster: {counted(lost, noun)} lost with a worker and {self._kind.done} again; "
            f"workers were busy for {self.efficiency:.0%} of their time",
        ]
