"""The rounds of a sweep, measured by workers; the asking process writes what comes of them.

A round is given to one worker. If that is lost with it, another one gets the round: what the first
one may still make of it is not waited for. So each round is written once, whole, in a run that
`--resume` goes on with, on workers or off them.
"""

from __future__ import annotations

import itertools
import queue
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import Cancelled, GuestError, HostError, PibedError
from pibed.cluster import fitness, parcel, task
from pibed.cluster.engine import Engine, Task, TaskLost
from pibed.cluster.tally import Tally
from pibed.cluster.task import Outcome
from pibed.cluster.workers import State, Worker, Workers
from pibed.guest import trace
from pibed.guest.console import told_in
from pibed.measure.rounds import RoundsObserver, Testbed, longest_s
from pibed.model.plan import Round
from pibed.runs.folder import RunFolder

# Seconds between two looks at the workers, and in which what came of a round is fetched.
_LOOK_S = 1.0
_FETCHED_S = 60.0

# How many workers may be lost with one round before it is taken to be the round's fault.
_TRIES = 4


@dataclass
class _Given:
    """A round that a worker was given."""

    round: Round
    worker: Worker
    task: Task
    since: float
    deadline: float


class ClusterRounds:
    """Measures rounds by the workers of an engine (see `MeasureRounds`)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(
        self,
        testbed: Testbed,
        run: RunFolder,
        rounds: Sequence[Round],
        jobs: int,
        observer: RoundsObserver,
    ) -> None:
        """Measures rounds; `jobs` does not matter, since each worker says how many it can have.

        Raises HostError when the scheduler or the last worker is gone, or when a round has cost
        too many; else as `measure_rounds`. No worker has a round any more when it returns, as far
        as it can be reached.
        """
        with tempfile.TemporaryDirectory(prefix="pibed-") as folder:
            packed = parcel.pack(testbed, Path(folder))
            course = _Course(self._engine, testbed, packed, run, observer)
            with course.stopped_at_the_end():
                course.measure(rounds)


class _Course:
    """The way of one sweep's rounds over the workers."""

    def __init__(
        self,
        engine: Engine,
        testbed: Testbed,
        packed: parcel.Parcel,
        run: RunFolder,
        observer: RoundsObserver,
    ) -> None:
        self._engine = engine
        self._testbed = testbed
        self._parcel = packed
        self._run = run
        self._observer = observer
        self._events: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._workers = Workers(
            engine, packed, fitness.wanted(testbed, packed), lambda: self._events.put(None)
        )
        self._given: dict[str, _Given] = {}
        self._left: deque[Round] = deque()
        self._lost: dict[int, list[str]] = {}
        self._tally = Tally()
        self._numbers = itertools.count(1)

    @contextmanager
    def stopped_at_the_end(self) -> Iterator[None]:
        """Lets no worker go on when the context ends, however it does."""
        try:
            yield
        finally:
            if self._given:
                boots = {each.worker.address: each.worker.boots for each in self._given.values()}
                self._engine.stop([each.task for each in self._given.values()], boots)

    def measure(self, rounds: Sequence[Round]) -> None:
        """Until all rounds are written."""
        self._left.extend(rounds)
        idle_since = looked = time.monotonic()
        self._look()
        while self._left or self._given:
            self._give()
            self._wait(_LOOK_S)
            now = time.monotonic()
            if now - looked >= _LOOK_S:
                looked = now
                self._look()
                self._end_overdue(now)
            if self._workers.of(State.FIT, State.NEW):
                idle_since = now
            elif now - idle_since > self._engine.patience_s:
                raise self._nobody()
        for line in self._tally.lines():
            self._observer.remarked(line)

    def _look(self) -> None:
        """Sees which workers have come and gone, and takes back what the latter have."""
        for worker in self._workers.look():
            if worker.state is State.FIT:
                self._tally.joined(worker.address, worker.boots)
            else:
                self._tally.left(worker.address)
                self._take_back(worker)
            if worker.state is State.OUT:
                self._observer.remarked(f"{worker.name} is left out: {worker.why}")

    def _give(self) -> None:
        """Gives rounds to all workers that can have one."""
        while self._left and (worker := self._workers.freest()) is not None:
            round_ = self._left.popleft()
            key = f"round-{round_.number}-{next(self._numbers)}"
            worker.busy.add(key)
            now = time.monotonic()
            given = self._engine.submit(
                worker.address,
                key,
                task.measure,
                self._parcel.testbed,
                round_.number,
                boots=1,
                done=self._announcing(key),
            )
            longest = longest_s(self._testbed, round_)
            self._given[key] = _Given(round_, worker, given, now, now + longest)
            self._observer.placed(round_.number, worker.name)

    def _announcing(self, key: str) -> Callable[[], None]:
        return lambda: self._events.put(key)

    def _wait(self, timeout_s: float) -> None:
        """Takes what has come of rounds, one at least unless the time is over."""
        try:
            key = self._events.get(timeout=timeout_s)
            while True:
                # What was taken back is nobody's any more.
                if key is not None and (given := self._given.pop(key, None)) is not None:
                    given.worker.busy.discard(key)
                    self._take(given)
                key = self._events.get_nowait()
        except queue.Empty:
            return

    def _take(self, given: _Given) -> None:
        try:
            outcome: Outcome = given.task.outcome(_FETCHED_S)
        except TaskLost as error:
            self._lose(given, str(error))
            return
        except Exception as error:  # none of pibed's: what Python or the engine could not do there
            self._leave_out(given.worker, f"{type(error).__name__}: {error}".partition("\n")[0])
            self._lose(given, given.worker.why)
            return
        finally:
            given.task.forget()
        if isinstance(outcome.error, Cancelled):
            self._lose(given, outcome.error.message)
        elif isinstance(outcome.error, HostError):
            self._leave_out(given.worker, outcome.error.message)
            self._lose(given, outcome.error.message)
        else:
            self._write(given, outcome)

    def _leave_out(self, worker: Worker, why: str) -> None:
        """Gives a worker nothing any more, and takes back what it has."""
        if worker.state is State.FIT:
            self._workers.leave_out(worker, why)
            self._observer.remarked(f"{worker.name} is left out: {why}")
            self._tally.left(worker.address)
            self._take_back(worker)

    def _write(self, given: _Given, outcome: Outcome) -> None:
        """Writes a round as this process would have measured it, and tells of it."""
        boots = [self._traced(files) for files in outcome.boots]
        problems = [str(what[0]) for method, what in outcome.told if method == "noticed"]
        number = given.round.number
        if outcome.error is None:
            self._run.take_round(number, boots, problems)
        else:
            self._run.take_boots(number, boots)
        self._tally.measured(given.worker.name, time.monotonic() - given.since)
        for method, arguments in outcome.told:
            for each in arguments:
                if isinstance(each, GuestError):
                    self._place(each)
            getattr(self._observer, method)(*arguments)
        if outcome.error is not None:
            self._place(outcome.error)
            raise outcome.error

    def _place(self, error: PibedError) -> None:
        """Makes an error's log that of the run's folder, and its trace what the images tell."""
        if error.log is not None and not error.log.is_absolute():
            error.log = self._run.folder / error.log
            if error.context and (error.log.with_name("trace.txt")).is_file():
                text = error.log.with_name("trace.txt").read_text(encoding="utf-8")
                error.context = text.splitlines()

    def _traced(self, files: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """A boot's files, with the call trace by the kernel and the tools that are here."""
        if "trace.txt" not in files:
            return files
        died, lines = told_in(files["console.log"])
        images = self._testbed.images
        told = trace.excerpt(lines, images) if died else trace.blocked(lines, images)
        return {**files, "trace.txt": "".join(f"{line}\n" for line in told).encode()}

    def _end_overdue(self, now: float) -> None:
        for given in list(self._given.values()):
            if now > given.deadline:
                self._leave_out(given.worker, "a round has not come back from it in time")

    def _take_back(self, worker: Worker) -> None:
        """Takes back all rounds of a worker that is not to have any."""
        for key in list(worker.busy):
            given = self._given.pop(key)
            given.task.forget()
            worker.busy.discard(key)
            self._lose(given, worker.why or "it has left")

    def _lose(self, given: _Given, why: str) -> None:
        """Puts a round that was lost with its worker before all others."""
        # With the scheduler all are lost, and that is what is wrong then.
        self._engine.workers()
        number, name = given.round.number, given.worker.name
        self._tally.lost(name)
        lost = self._lost.setdefault(number, [])
        lost.append(f"{name}: {why}")
        if len(lost) == _TRIES:
            raise HostError(
                f"round {number} was lost with {_TRIES} workers, one after the other; "
                + "; ".join(lost),
                fix="measure without --cluster, or see what those workers say",
            )
        self._observer.remarked(f"round {number} is lost with {name} and measured anew: {why}")
        self._left.appendleft(given.round)

    def _nobody(self) -> HostError:
        """Why nothing can be measured any more."""
        out = [f"{each.name}: {each.why}" for each in self._workers.of(*State) if each.why]
        where = self._engine.where
        if not out:
            return HostError(
                f"{where}: no worker has come within {self._engine.patience_s:.0f} s",
                fix="start some: docs/cluster.md",
            )
        return HostError(
            f"{where}: no worker is left that can measure; " + "; ".join(sorted(set(out))),
            fix="put right what is said of one of them",
        )
