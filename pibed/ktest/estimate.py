"""How long tests take: as long as they took here before, or a guess."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pibed.base.durations import Durations
from pibed.ktest.cases import TableEntry
from pibed.ktest.ktap import CaseStatus
from pibed.ktest.outcome import MODULE, CaseOutcome

# From the start of a boot to its first case, and from the last case to the end.
_BOOT, _UNLOAD = f"{MODULE}.boot", f"{MODULE}.unload"


@dataclass(frozen=True)
class _Guess:
    """Host seconds where nothing is known, measured on two cores with two variants side by side."""

    boot: float
    unload: float
    quick: float
    slow: float
    timed: float
    """Per second of `stress_s`."""


_PLAIN = _Guess(boot=8, unload=4, quick=0.6, slow=5, timed=0.5)

_DEBUG = _Guess(boot=35, unload=15, quick=2, slow=12, timed=0.7)


class Estimate:
    """The host seconds of tests on one kernel, learned from how they go (see `TestObserver`).

    `kernel` names it; plain and debug kernels are known apart. What is done around the cases
    counts too.
    """

    def __init__(
        self,
        durations: Durations,
        suite: str,
        kernel: str,
        debug: bool,
        tests: Sequence[TableEntry],
        stress_s: float,
    ) -> None:
        self._durations = durations
        self._what = f"ktest {suite} {kernel}{' debug' if debug else ''}"
        self._guess = _DEBUG if debug else _PLAIN
        self._tests = tests
        # Seconds of a timed case are kept per second of `stress_s`.
        self._unit = {str(test): stress_s for test in tests if test.timed}
        self._booting: set[str] = set()
        self._since: dict[str, float] = {}

    def expected_s(self, variants: Sequence[str], jobs: int) -> float:
        """For all variants, `jobs` side by side."""
        each = [self._variant_s(variant) for variant in variants]
        return max(*each, sum(each) / jobs)

    def booting(self, variant: str) -> None:
        """A guest of a variant is being booted."""
        self._booting.add(variant)
        self._since[variant] = time.monotonic()

    def began(self, variant: str, case: str) -> None:
        """A case has begun."""
        if variant in self._booting:
            self._booting.remove(variant)
            self._learn(variant, _BOOT)

    def ended(self, outcome: CaseOutcome) -> None:
        """A case has ended; nothing is learned of one of another machine's boots."""
        if outcome.status != CaseStatus.FAILED and outcome.variant in self._since:
            self._learn(outcome.variant, outcome.case)

    def _learn(self, variant: str, case: str) -> None:
        now = time.monotonic()
        seconds = now - self._since[variant]
        self._since[variant] = now
        self._durations.learn(self._key(variant, case), seconds / self._unit.get(case, 1))

    def _variant_s(self, variant: str) -> float:
        guess = self._guess
        seconds = self._known(variant, _BOOT, guess.boot)
        for test in self._tests:
            first = guess.timed if test.timed else guess.slow if test.slow else guess.quick
            seconds += self._known(variant, str(test), first)
        return seconds + self._known(variant, _UNLOAD, guess.unload)

    def _known(self, variant: str, case: str, guess: float) -> float:
        known = self._durations.get(self._key(variant, case))
        return (guess if known is None else known) * self._unit.get(case, 1)

    def _key(self, variant: str, case: str) -> str:
        return f"{self._what} {variant} {case}"
