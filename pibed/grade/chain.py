"""A chain of boots: the cases of a suite in one of its variants, with one seed.

Guests have the virtual clock, so what comes of a chain follows from its images, its cases, its seed
and its nonces, wherever and beside whatever it runs. A case that leaves something behind, or loses
its guest, ends its boot: the rest goes on in a new one.

Which case a dying kernel is blamed on must not depend on when the host hears of it. So the console
has a line with a nonce before each case, and the last one before the kernel's words says whose they
are.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pibed.base.errors import GuestError, printable
from pibed.build.kconfig import read_config
from pibed.build.payload import TESTS_PLACE
from pibed.grade import flood, losses
from pibed.grade.decoding import shown
from pibed.grade.nonce import nonce
from pibed.grade.parts import Boots
from pibed.grade.records import UNLOAD, CaseResult, ChainResult, Said, Status, Telling, Why
from pibed.guest import guest
from pibed.guest.console import Kind, diagnose, told_in
from pibed.guest.guest import (
    Guest,
    KernelOops,
    KernelPanic,
    Launch,
)
from pibed.guest.line import Stuck
from pibed.guest.pool import StopRequested
from pibed.guest.qemu import Logs
from pibed.ktest.cases import TableEntry
from pibed.ktest.judge import judge, leaks_by_owner
from pibed.ktest.ktap import CaseStatus
from pibed.model import modules
from pibed.model.protocol import Command, Result
from pibed.model.suite import Suite

# Guest seconds for what surrounds the cases.
_SHORT_S, _LEAKS_S = 10.0, 60.0

_REPORT_LEAKS = "/usr/lib/pibed/report-leaks"

# Lockdep (kernel/locking/lockdep.c), KCSAN (kernel/kcsan/report.c), RCU's checks.
_RACE = re.compile(
    r"possible (circular|recursive|irq lock inversion)|inconsistent lock state|KCSAN: "
    r"|suspicious RCU usage|bad unlock balance|held lock freed|INFO: trying to register non-static"
)


class NotGraded(Exception):
    """The host did not let the guest come to its end: no mark may follow from that."""


@dataclass(frozen=True)
class Task:
    """A case that is to run: its place in its program's table (from 1), and its deadline."""

    test: TableEntry
    number: int
    seconds: float
    """Of the guest's time."""
    by_host: bool
    """Whether what its program says is not looked at."""

    @property
    def comm(self) -> str:
        """What the kernel calls its processes; see module/tests/lib/ktap.h."""
        return f"{self.test.program[:10]}.{self.number}"


@dataclass(frozen=True)
class Chain(Boots):
    """All that decides what comes of a chain."""

    suite: Suite
    variant: str
    seed: int
    timed_s: int
    tasks: tuple[Task, ...]
    most_losses: int
    secret: bytes
    digest: str
    """Of the submission's files."""
    folder_name: str
    """How the module's files begin in what the kernel's traces are decoded to."""
    key: str
    """Of the record."""

    def run(self, root: Path, below: str, stop_requested: StopRequested) -> ChainResult:
        """See `Boots`; what the kernel said is not decoded yet."""
        running = _Running(self, root, below, stop_requested)
        try:
            running.run()
        except NotGraded as error:
            return ChainResult(self.key, tuple(running.results.values()), str(error))
        order = [str(task.test) for task in self.tasks] + [UNLOAD]
        return ChainResult(self.key, tuple(running.results[name] for name in order))

    @property
    def longest_s(self) -> float:
        """See `Boots`."""
        around = [Command("around", seconds, "") for seconds in (_SHORT_S, _LEAKS_S, _SHORT_S)]
        cases = [Command(str(task.test), task.seconds, "") for task in self.tasks]
        # At worst each case ends a boot.
        boots = (len(cases) + 1) * guest.longest_s(self.machine, around)
        return losses.PATIENCE * (boots + guest.longest_s(self.machine, cases))

    def load(self) -> str:
        """The command that loads the modules."""
        suite = self.suite
        return " && ".join(
            modules.load(each, suite.parameters(self.variant, each)) for each in suite.module_list
        )

    def line(self, task: Task) -> str:
        """The command that runs a case; see module/tests/lib/ktap.h."""
        words = ["--seed", str(self.seed), "--seconds", str(self.timed_s)]
        words += ["--variant", self.variant]
        if (module := self.suite.under_test) is not None:
            words += ["--module", module.name]
            if parameters := self.suite.parameters(self.variant, module):
                text = " ".join(f"{name}={value}" for name, value in parameters.items())
                words += ["--parameters", text]
        for counter in self.suite.counters:
            words += ["--counter", counter]
        return shlex.join([f"/{TESTS_PLACE}/{task.test.program}", *words, task.test.name])

    def nonce(self, boot: int, name: str) -> str:
        """What nobody knows beforehand of a command of a boot."""
        return nonce(self.secret, self.digest, self.suite.name, self.variant, self.seed, boot, name)

    @property
    def finds_leaks(self) -> bool:
        """Whether the kernel can be asked for leaks."""
        config = read_config(self.images.kernel_build / ".config")
        return config.get("CONFIG_DEBUG_KMEMLEAK", "n") == "y"


@dataclass
class _Running:
    """A chain as it runs: its boots, and what came of its cases by their names."""

    chain: Chain
    root: Path
    below: str
    stop_requested: StopRequested
    results: dict[str, CaseResult] = field(default_factory=dict)
    _boots: int = 0
    _losses: int = 0

    def run(self) -> None:
        left = list(self.chain.tasks)
        while left or UNLOAD not in self.results:
            self.stop_requested()
            left = self._boot(left)
            if self._losses >= self.chain.most_losses:
                self._give_up(left, f"not run: the guest was lost {self._losses} times before")
                return

    def _boot(self, left: list[Task]) -> list[Task]:
        """One boot: runs cases as long as the guest is clean; returns those left."""
        self._boots += 1
        boot = _Boot(self, self._boots, left)
        try:
            return boot.run()
        except GuestError as error:
            return boot.lost(error)

    def take(self, result: CaseResult) -> None:
        self.results[result.case] = result

    def lost_guest(self) -> None:
        self._losses += 1

    def _give_up(self, left: Sequence[Task], message: str) -> None:
        for name in [*(str(task.test) for task in left), UNLOAD]:
            if name not in self.results:
                self.take(CaseResult(name, Status.FAILED, Why.NOT_RUN, message))

    def give_up_on_load(self, left: Sequence[Task], result: CaseResult) -> list[Task]:
        """Nothing can be run of a module that does not load."""
        for name in [*(str(task.test) for task in left), UNLOAD]:
            self.take(replace(result, case=name))
        return []


class _Boot:
    """One boot of a chain."""

    def __init__(self, running: _Running, number: int, tasks: Sequence[Task]) -> None:
        self._running = running
        self._chain = running.chain
        self._number = number
        self._tasks = list(tasks)
        self._below = f"{running.below}/boot-{number}"
        folder = running.root / self._below
        folder.mkdir(parents=True, exist_ok=True)
        self._logs = Logs.below(folder)
        self._ready = False
        self._load = self._command("load", _SHORT_S, self._chain.load())
        self._runs = [
            self._command(str(task.test), task.seconds, self._chain.line(task)) for task in tasks
        ]
        self._leaks = self._command("kmemleak", _LEAKS_S, _REPORT_LEAKS)
        line = modules.unload(self._chain.suite.module_list)
        self._unload = self._command(UNLOAD, _SHORT_S, line)

    def _command(self, name: str, seconds: float, line: str) -> Command:
        word = self._chain.nonce(self._number, name)
        # Of a level that is on the console at once, before whatever the kernel says in the case.
        marked = f"echo '<4>pibed: {name}~{word}' >/dev/kmsg; {line}"
        return Command(f"{name}~{word}", seconds, marked)

    def run(self) -> list[Task]:
        """Runs cases as long as the guest is clean; returns those left."""
        chain = self._chain
        looks = [self._leaks] if chain.finds_leaks else []
        plan = [self._load, *self._runs, *looks, self._unload]
        extra = [*chain.machine.kernel_args, "printk.devkmsg=on"]
        machine = chain.machine.model_copy(update={"kernel_args": extra})
        launch = Launch(machine, chain.images, "virtual", chain.seed, losses.PATIENCE)
        watch = flood.Watch(self._logs.console, self._running.stop_requested)

        def run(command: Command) -> Result:
            watch.began()
            return booted.run(command)

        with Guest(launch, self._logs, plan, watch) as booted:
            self._ready = True
            loaded = run(self._load)
            if loaded.status != 0 or loaded.timed_out:
                how = "in time" if loaded.timed_out else f"({loaded.ending}: {loaded.words})"
                result = self._failed("", Why.CLAIM, f"the module does not load {how}", loaded)
                return self._running.give_up_on_load(self._tasks, result)
            for number, (task, command) in enumerate(zip(self._tasks, self._runs, strict=True)):
                ended = run(command)
                result = self._judged(task, ended)
                self._running.take(result)
                if result.status == Status.FAILED and not _left_clean(ended):
                    self._require_calm()
                    return self._tasks[number + 1 :]
            leaks = run(self._leaks) if looks else None
            unloaded = run(self._unload)
            booted.finish()
        self._require_calm()
        self._take_unloaded(unloaded)
        if leaks is not None:
            self._take_leaks(leaks)
        return []

    def lost(self, error: GuestError) -> list[Task]:
        """Takes the failure over which the guest was lost; returns the cases that are left.

        Raises NotGraded if that was the host's doing, or the guest did not boot.
        """
        if not self._ready or losses.by_host(error):
            raise NotGraded(f"host too slow, or it ended the guest: {error.message}")
        self._running.lost_guest()
        why, message, said = self._told(error)
        name = self._blamed(error)
        result = replace(self._failed(name, why, message), said=said)
        if name == "load":
            message = f"{message} (while the module was loaded)"
            return self._running.give_up_on_load(self._tasks, replace(result, message=message))
        self._running.take(result)
        names = [str(task.test) for task in self._tasks]
        if name not in names:
            # Behind all cases: when it was asked for leaks, or unloaded.
            self._running.take(replace(result, case=UNLOAD))
            return []
        position = names.index(name)
        for later in names[position + 1 :]:
            # It ran in a guest that was lost before, though the host did not know yet.
            self._running.results.pop(later, None)
        self._running.results.pop(UNLOAD, None)
        return self._tasks[position + 1 :]

    def _told(self, error: GuestError) -> tuple[Why, str, Said | None]:
        """What an error says, in words that are the same however soon the host hears of it, and
        what the kernel has said.
        """
        why, message = losses.told(error)
        if isinstance(error, Stuck):
            _, lines = told_in(self._logs.console.read_bytes())
            return why, message, Said(Telling.BLOCKED, tuple(lines))
        if not isinstance(error, KernelPanic | KernelOops):
            return why, message, None
        lines = self._last_words()
        if any(map(_RACE.search, lines[:5])):
            why = Why.RACE
        return why, message, Said(Telling.END, tuple(lines))

    def _require_calm(self) -> None:
        """Raises Flood if a command has printed too much, though it came to its end."""
        if self._flood() is not None:
            raise flood.Flood("the kernel's log never ends", log=self._logs.console)

    def _flood(self) -> int | None:
        markers = [f"pibed: {each.id}".encode() for each in self._commands()]
        return flood.first(self._logs.console.read_bytes(), markers)

    def _console(self) -> list[str]:
        text = self._logs.console.read_text(encoding="utf-8", errors="replace")
        return [line.rstrip("\r") for line in text.split("\n")]

    def _last_words(self) -> list[str]:
        lines = self._console()
        start = next((n for n, line in enumerate(lines) if _is_death(line)), None)
        return [] if start is None else [line for line in lines[start:] if line]

    def _blamed(self, error: GuestError) -> str:
        """The name of the command in which the guest was lost."""
        lines = self._console()
        if isinstance(error, flood.Flood):
            text = self._logs.console.read_bytes()[: self._flood()]
            lines = text.decode("utf-8", errors="replace").split("\n")
            lines = [line.rstrip("\r") for line in lines]
        elif isinstance(error, KernelPanic | KernelOops):
            end = next((n for n, line in enumerate(lines) if _is_death(line)), len(lines))
            lines = lines[:end]
        known = {f"pibed: {each.id}": each.id for each in self._commands()}
        for line in reversed(lines):
            if (found := known.get(line.partition("] ")[2])) is not None:
                return found.rpartition("~")[0]
        return "load"

    def _commands(self) -> list[Command]:
        return [self._load, *self._runs, self._leaks, self._unload]

    def _judged(self, task: Task, result: Result) -> CaseResult:
        name = str(task.test)
        if result.timed_out:
            message = f"it is not done within {task.seconds:g} s of the guest's time"
            return self._failed(name, Why.LATE, message, result)
        if task.by_host:
            return CaseResult(name, Status.PASSED, boot=self._below)
        (verdict,) = judge(result, [task.test.name])
        if verdict.status == CaseStatus.FAILED:
            # What it said last is the message already.
            notes = verdict.notes if verdict.notes != (verdict.message,) else ()
            return self._failed(name, Why.CLAIM, verdict.message, details=notes)
        status = Status.PASSED if verdict.status == CaseStatus.PASSED else Status.SKIPPED
        return CaseResult(name, status, None, verdict.message, (), self._below)

    def _take_unloaded(self, result: Result) -> None:
        if result.timed_out:
            taken = self._failed(UNLOAD, Why.LATE, "the module is not unloaded in time", result)
        elif result.status != 0:
            message = f"the module cannot be unloaded ({result.ending}: {result.words})"
            taken = self._failed(UNLOAD, Why.CLAIM, message, result)
        else:
            taken = CaseResult(UNLOAD, Status.PASSED, boot=self._below)
        self._running.take(taken)

    def _take_leaks(self, result: Result) -> None:
        owners = {task.comm: str(task.test) for task in self._tasks}
        for owner, lines in leaks_by_owner(result.output).items():
            message = f"memory that process {owner} allocated is leaked (kmemleak)"
            failed = self._failed(owners.get(owner, UNLOAD), Why.LEAK, message)
            self._running.take(replace(failed, said=Said(Telling.LEAKS, tuple(lines))))

    def _failed(
        self,
        name: str,
        why: Why,
        message: str,
        result: Result | None = None,
        details: Sequence[str] = (),
    ) -> CaseResult:
        lines = details if result is None else result.output
        details = shown(lines, self._chain.folder_name)
        return CaseResult(name, Status.FAILED, why, printable(message), details, self._below)


def _left_clean(result: Result) -> bool:
    """Whether a case that failed has left nothing in the guest that others could fail by.

    The runner of the cases looks for that after each; see module/tests/lib/ktap.c.
    """
    unclean = ("# afterwards ", "# the kernel has become tainted", "# the module is not loaded")
    late = result.timed_out or any(line.startswith("# not done within") for line in result.output)
    ended = result.status == 1 and result.output[-1:] != () and not result.truncated
    return ended and not late and not any(line.startswith(unclean) for line in result.output)


def _is_death(line: str) -> bool:
    death = diagnose(line)
    return death is not None and death.kind != Kind.HANG
