"""Runs a suite of test programs in the guest and says what came of each of their cases.

Every variant of the suite, a way in which the module is loaded, is a sequence of boots. A case runs
in a guest in which no case has failed yet: after a failure, and after the kernel's death, the rest
goes on in a new boot. A kernel that reports an error of its own, or remembers memory that nobody
points to any more, fails the case that caused it, since each is a command of its own.
"""

from __future__ import annotations

import itertools
import re
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from pibed.base.errors import GuestError
from pibed.build.images import Images
from pibed.build.kconfig import read_config
from pibed.build.payload import TESTS_PLACE
from pibed.guest import guest, moderrors
from pibed.guest.guest import Guest, Launch
from pibed.guest.line import Stuck
from pibed.guest.pool import StopRequested, run_side_by_side
from pibed.guest.qemu import Logs
from pibed.ktest.cases import TableEntry
from pibed.ktest.decoding import decoded
from pibed.ktest.judge import judge, leaks_by_owner
from pibed.ktest.ktap import CaseStatus
from pibed.ktest.outcome import MODULE, CaseOutcome, Loss
from pibed.ktest.recorded import PLAN
from pibed.model import modules
from pibed.model.machine import Clock, Machine
from pibed.model.protocol import Command, Result
from pibed.model.suite import Suite

# Guest seconds for what surrounds the cases; a debug kernel is slow.
_SHORT_S = 120.0

# At most, of a case: the default of module/tests/lib/ktap.c, and what one with a deadline of its
# own, which only its program knows, is taken to have.
_LONGEST_S = 60.0
_LONGEST_OWN_S = 3600.0

# Scripts of the guest, in the overlay of its root file system.
_LIST_TESTS = "/usr/lib/pibed/list-tests"

_REPORT_LEAKS = "/usr/lib/pibed/report-leaks"

# In place of a process's name.
_CUT_OFF = "…"

_LISTED = re.compile(r"(\S+) (\S+) (\d+)")


@dataclass(frozen=True)
class Case:
    """One test: the program, its name and number (from 1) there, and its own deadline."""

    program: str
    name: str
    number: int
    timeout_s: float

    def __str__(self) -> str:
        return f"{self.program}.{self.name}"

    @property
    def comm(self) -> str:
        """What the kernel calls the processes of the case; see module/tests/lib/ktap.h."""
        return f"{self.program[:10]}.{self.number}"


class TestObserver(Protocol):
    """Who is told how the tests go; called from several threads."""

    def booting(self, variant: str) -> None:
        """A guest of a variant is being booted."""

    def began(self, variant: str, case: str) -> None:
        """A case has begun."""

    def ended(self, outcome: CaseOutcome) -> None:
        """A case has ended; again if the kernel says later that it left something behind."""


class SharingObserver(TestObserver, Protocol):
    """Who is told, beside, of other machines that test."""

    def placed(self, variant: str, machine: str) -> None:
        """Another machine has been given a variant, which it may lose."""

    def remarked(self, text: str) -> None:
        """Something of the machines that test, which is about no case."""


@dataclass(frozen=True)
class TestRun:
    """What all variants share: `tests` run in each of them, `seed` and `stress_s` go to them."""

    machine: Machine
    images: Images
    suite: Suite
    tests: Sequence[TableEntry]
    seed: int
    stress_s: int
    folder: Path
    clock: Clock = "host"
    """Tests are about what runs at the same time, on four CPUs; `virtual` has one."""
    before_end: Callable[[Guest, Path], None] | None = None
    """Called with each guest that is left alive and the folder of its logs, behind its cases: the
    modules are unloaded by then, if all of the cases were run and that could be done."""


class RunSuite(Protocol):
    """Who runs suites: this process (`run_suite`), or other machines for it."""

    def __call__(self, setup: TestRun, jobs: int, observer: SharingObserver) -> None:
        """See `run_suite`."""


def run_suite(setup: TestRun, jobs: int, observer: TestObserver) -> None:
    """Runs the tests in all variants of the suite, `jobs` of them at a time.

    The observer gets what came of them. A guest that does not boot is an outcome. Whatever it
    raises, no QEMU is left when it returns.
    """
    told = _Decoded(observer, setup.images)
    run_side_by_side(
        [partial(run_variant, setup, name, told) for name in setup.suite.variants], jobs
    )


def run_variant(
    setup: TestRun, name: str, observer: TestObserver, stop_requested: StopRequested
) -> None:
    """Runs the tests in one variant; outcomes are as the guest gave them, see `decoded`."""
    _Variant(setup, name, observer).run(stop_requested)


def longest_s(setup: TestRun) -> float:
    """Host seconds that a variant cannot take longer, whatever becomes of it."""
    machine = setup.machine.model_copy(update={"clock": setup.clock})
    around = [Command("around", _SHORT_S, "true")] * 4
    cases = [
        Command(
            str(each),
            (_LONGEST_OWN_S if each.slow else _LONGEST_S) + each.timed * setup.stress_s + _SHORT_S,
            "true",
        )
        for each in setup.tests
    ]
    # At worst each case ends a boot.
    boots = (len(cases) + 1) * guest.longest_s(machine, around)
    return boots + guest.longest_s(machine, cases)


def boot_folder(results: Path, variant: str, number: int) -> Path:
    """Of a variant's boot, in a run's folder: `boots/<variant>`, then `boots/<variant>-2` etc."""
    return results / "boots" / (variant if number == 1 else f"{variant}-{number}")


def boots_of(results: Path, variant: str) -> list[Path]:
    """The folders of a variant's boots, in their order."""
    numbered = (boot_folder(results, variant, number) for number in itertools.count(1))
    return list(itertools.takewhile(Path.is_dir, numbered))


class _Decoded:
    """Tells another observer of outcomes as people read them."""

    def __init__(self, observer: TestObserver, images: Images) -> None:
        self._images = images
        self.booting = observer.booting
        self.began = observer.began
        self._ended = observer.ended

    def ended(self, outcome: CaseOutcome) -> None:
        self._ended(decoded(outcome, self._images))


@dataclass
class _Variant:
    """One variant: its boots, and what came of the cases (by their names)."""

    setup: TestRun
    name: str
    observer: TestObserver
    outcomes: dict[str, CaseOutcome] = field(default_factory=dict)
    _comms: dict[str, str] = field(default_factory=dict)
    """The names of the cases' processes, and the cases."""
    _boots: int = 0

    def run(self, stop_requested: StopRequested) -> None:
        """Boots until every case has its outcome."""
        left = self._boot(None, stop_requested)
        while left:
            left = self._boot(left, stop_requested)

    def _boot(self, cases: list[Case] | None, stop_requested: StopRequested) -> list[Case]:
        """One boot: runs cases (all, if None) until one fails; returns those left."""
        start = time.monotonic()
        self.observer.booting(self.name)
        try:
            return self._booted(cases, stop_requested)
        except GuestError as error:
            # It did not boot, or did not say what there is to run.
            folder = error.log.parent if error.log is not None else None
            seconds = time.monotonic() - start
            self._give_up(
                CaseOutcome(
                    *(self.name, f"{MODULE}.boot", CaseStatus.FAILED, seconds, error.message),
                    details=tuple(error.context),
                    logs=folder,
                    loss=Loss.BOOTING,
                ),
                cases or [],
            )
            return []

    def _give_up(self, failed: CaseOutcome, cases: Sequence[Case]) -> None:
        """Takes a failure after which nothing of the variant can be run."""
        self._take(failed)
        for case in cases:
            self._take(
                replace(
                    failed, case=str(case), seconds=0.0, message="not run", details=(), loss=None
                )
            )

    def _booted(self, cases: list[Case] | None, stop_requested: StopRequested) -> list[Case]:
        self._boots += 1
        logs = Logs.below(boot_folder(self.setup.folder, self.name, self._boots))
        logs.console.parent.mkdir(parents=True)
        launch = Launch(self.setup.machine, self.setup.images, self.setup.clock, self.setup.seed)
        with Guest(launch, logs, None, stop_requested) as guest:
            boot = _Boot(guest, self.setup, self.name, logs)
            if (failed := boot.load()) is not None:
                self._give_up(failed, cases or [])
                return []
            if cases is None:
                cases = boot.cases()
            while cases:
                case = cases.pop(0)
                self.observer.began(self.name, str(case))
                self._comms[case.comm] = str(case)
                outcome = boot.run(case)
                self._take(outcome)
                if outcome.status == CaseStatus.FAILED:
                    break
            if boot.alive:
                self._look_for_leaks(boot)
            if not boot.alive:
                return cases
            if not cases:
                self._take(boot.unload())
            elif (failed := boot.end()) is not None:
                self._take(failed)
            return cases

    def _look_for_leaks(self, boot: _Boot) -> None:
        """Fails the cases whose processes allocated what nobody points to any more."""
        start = time.monotonic()
        try:
            reports = boot.leaks()
        except GuestError as error:
            self._take(boot.lost(f"{MODULE}.leaks", start, error))
            return
        for owner, lines in reports.items():
            case = self._comms.get(owner, f"{MODULE}.leaks")
            message = f"memory that process {owner} allocated is leaked (kmemleak)"
            if owner == _CUT_OFF:
                message = "kmemleak's report is cut off: other cases may have leaked as well"
            earlier = self.outcomes.get(case)
            seconds = earlier.seconds if earlier else 0.0
            details, leaks = (earlier.details, earlier.leaks) if earlier else ((), ())
            failed = boot.outcome(case, CaseStatus.FAILED, seconds, message, details)
            self._take(replace(failed, leaks=(*leaks, *lines)))

    def _take(self, outcome: CaseOutcome) -> None:
        self.outcomes[outcome.case] = outcome
        self.observer.ended(outcome)


@dataclass
class _Boot:
    """A booted guest and what can be asked of it, as long as it is alive."""

    guest: Guest
    setup: TestRun
    variant: str
    logs: Logs
    alive: bool = True

    def _run(self, command: Command) -> Result:
        """Runs a command, and writes down first that it was given."""
        with (self.folder / PLAN).open("a", encoding="utf-8") as file:
            file.write(f"{command}\n")
        return self.guest.run(command)

    def load(self) -> CaseOutcome | None:
        """Loads the modules; the outcome if that failed."""
        suite = self.setup.suite
        if not suite.module_list:
            return None
        line = " && ".join(
            modules.load(each, suite.parameters(self.variant, each)) for each in suite.module_list
        )
        outcome = self._checked(f"{MODULE}.load", Command("load", _SHORT_S, line))
        return outcome if outcome.status == CaseStatus.FAILED else None

    def cases(self) -> list[Case]:
        """The cases that are to run; raises GuestError if the programs have others."""
        line = f"{_LIST_TESTS} /{TESTS_PLACE} {self._options()}"
        result = self._run(Command("list", _SHORT_S, line))
        cases: list[Case] = []
        for text in result.output:
            if not (match := _LISTED.fullmatch(text)):
                cases.clear()
                break
            number = sum(case.program == match[1] for case in cases) + 1
            cases.append(Case(match[1], match[2], number, float(match[3])))
        if result.status != 0 or not cases:
            raise GuestError(
                f"the test programs did not list their cases: {result.text}", log=self.logs.agent
            )
        wanted = {str(test) for test in self.setup.tests}
        if unknown := wanted - {str(case) for case in cases}:
            names = ", ".join(sorted(unknown))
            raise GuestError(
                f"the test programs lack cases of their sources: {names}", log=self.logs.agent
            )
        return [case for case in cases if str(case) in wanted]

    def run(self, case: Case) -> CaseOutcome:
        """Runs one case."""
        line = f"/{TESTS_PLACE}/{case.program} {self._options()} {case.name}"
        # The program ends a late case by itself, unless it cannot.
        command = Command(str(case), case.timeout_s + _SHORT_S, line)
        start = time.monotonic()
        try:
            result = self._run(command)
        except GuestError as error:
            return self.lost(str(case), start, error)
        (verdict,) = judge(result, [case.name])
        return self.outcome(str(case), *verdict)

    def _options(self) -> str:
        """All that a program knows of its suite; see module/tests/lib/ktap.h."""
        suite = self.setup.suite
        words = ["--seed", str(self.setup.seed), "--seconds", str(self.setup.stress_s)]
        words += ["--variant", self.variant]
        if suite.under_test is not None:
            words += ["--module", suite.under_test.name]
            if parameters := suite.parameters(self.variant, suite.under_test):
                text = " ".join(f"{name}={value}" for name, value in parameters.items())
                words += ["--parameters", text]
        for counter in suite.counters:
            words += ["--counter", counter]
        return shlex.join(words)

    def leaks(self) -> dict[str, list[str]]:
        """What kmemleak reports, by the process that allocated it; empty without kmemleak."""
        config = read_config(self.setup.images.kernel_build / ".config")
        if config.get("CONFIG_DEBUG_KMEMLEAK", "n") != "y":
            return {}
        result = self._run(Command("kmemleak", _SHORT_S, _REPORT_LEAKS))
        if result.status != 0 or result.timed_out:
            raise GuestError(f"kmemleak did not answer: {result.text}", log=self.logs.agent)
        found = leaks_by_owner(result.output)
        if result.truncated:
            found[_CUT_OFF] = []
        return found

    def unload(self) -> CaseOutcome:
        """Unloads the modules and powers off; both must work."""

        def run(command: Command) -> Result:
            result = self._run(command)
            self._end()
            self.guest.finish()
            return result

        line = modules.unload(self.setup.suite.module_list) or "true"
        return self._checked(f"{MODULE}.unload", Command("unload", _SHORT_S, line), run)

    def end(self) -> CaseOutcome | None:
        """Before the guest is left with cases to run; the outcome if it was lost over that."""
        start = time.monotonic()
        try:
            self._end()
        except GuestError as error:
            return self.lost(f"{MODULE}.end", start, error)
        return None

    def lost(self, name: str, start: float, error: GuestError) -> CaseOutcome:
        """The outcome of what the guest was lost over; the console's log is whole by now."""
        self.alive = False
        seconds = time.monotonic() - start
        failed = self.outcome(name, CaseStatus.FAILED, seconds, error.message, error.context)
        loss = Loss.BLOCKED if isinstance(error, Stuck) else Loss.RUNNING
        return replace(failed, loss=loss)

    def outcome(
        self, name: str, status: CaseStatus, seconds: float, message: str, details: Sequence[str]
    ) -> CaseOutcome:
        """An outcome of this boot."""
        return CaseOutcome(
            self.variant, name, status, seconds, message, tuple(details), self.folder
        )

    def _end(self) -> None:
        if self.setup.before_end is not None:
            self.setup.before_end(self.guest, self.folder)

    @property
    def folder(self) -> Path:
        """Where the boot's logs are."""
        return self.logs.console.parent

    def _checked(
        self,
        name: str,
        command: Command,
        run: Callable[[Command], Result] | None = None,
    ) -> CaseOutcome:
        start = time.monotonic()
        try:
            result = (run or self._run)(command)
        except GuestError as error:
            return self.lost(name, start, error)
        seconds = time.monotonic() - start
        if result.timed_out:
            message = f"killed after {command.seconds:g} s"
            return self.outcome(name, CaseStatus.FAILED, seconds, message, result.output)
        if result.status != 0:
            why = moderrors.explain(result, self.setup.images, self.logs.console)
            message = why or f"status {result.status}: {'; '.join(result.output[-3:])}"
            return self.outcome(name, CaseStatus.FAILED, seconds, message, result.output)
        return self.outcome(name, CaseStatus.PASSED, seconds, "", ())
