"""Jobs of boots, shared out to the workers of an engine.

A job is given to one worker. If that is lost with it, another one gets the job: what the first one
may still make of it is not waited for. So what comes of a job is taken once, whole.
"""

from __future__ import annotations

import itertools
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pibed.base.errors import Cancelled, HostError
from pibed.cluster.engine import STOPPED, Engine, Task, TaskLost
from pibed.cluster.parcel import Files, Parcel
from pibed.cluster.tally import Kind, Tally
from pibed.cluster.task import Outcome
from pibed.cluster.workers import State, Worker, Workers

# Seconds between two looks at the workers, and in which what came of a job is fetched.
_LOOK_S = 1.0
_FETCHED_S = 60.0

# How many workers may be lost with one job before it is taken to be the job's fault.
_TRIES = 4


@dataclass(frozen=True)
class Job:
    """What one worker does, from its first boot to its last."""

    name: str
    """For people, behind what kind of job it is."""
    function: Callable[..., Outcome]
    """Is called on the worker with the bed, the files that are this job's alone, and arguments."""
    parcel: Parcel
    arguments: tuple[object, ...]
    longest_s: float
    """Host seconds that it cannot take longer."""
    placed: Callable[[str], None]
    """Told the name of a worker that has been given the job, which it may lose."""
    take: Callable[[Outcome], None]
    """Writes what came of it; raises what ends the whole."""


@dataclass
class _Given:
    """A job that a worker was given."""

    job: Job
    worker: Worker
    task: Task
    since: float
    deadline: float


class Sharing:
    """The way of jobs of a kind over the workers; `remarked` gets what there is to say of these.

    A worker has the files that jobs have in `common` before it gets its first one.
    """

    def __init__(
        self,
        engine: Engine,
        common: Files,
        wanted: dict[str, Any],
        kind: Kind,
        remarked: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._kind = kind
        self._remarked = remarked
        self._events: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._common = common
        self._workers = Workers(engine, common, wanted, lambda: self._events.put(None))
        self._given: dict[str, _Given] = {}
        self._left: deque[Job] = deque()
        self._lost: dict[str, list[str]] = {}
        self._tally = Tally(kind)
        self._numbers = itertools.count(1)

    def add(self, job: Job) -> None:
        """Another job, from any thread, while `run` still waits for more."""
        self._left.append(job)
        self._events.put(None)

    def run(
        self, jobs: Sequence[Job] = (), all_are_there: Callable[[], bool] = lambda: True
    ) -> None:
        """Until what came of all jobs is taken, and none will be added any more.

        Raises HostError when the scheduler or the last worker is gone, or when a job has cost too
        many; else what taking and `all_are_there` raise. No worker has a job any more when it
        returns, as far as it can be reached.
        """
        with self._stopped_at_the_end():
            self._left.extend(jobs)
            self._run(all_are_there)

    @contextmanager
    def _stopped_at_the_end(self) -> Iterator[None]:
        """Lets no worker go on when the context ends, however it does."""
        try:
            yield
        finally:
            if self._given:
                boots = {each.worker.address: each.worker.boots for each in self._given.values()}
                self._engine.stop([each.task for each in self._given.values()], boots)

    def _run(self, all_are_there: Callable[[], bool]) -> None:
        idle_since = looked = time.monotonic()
        self._look()
        # First whether more may come: what comes before the answer is among those left.
        while not all_are_there() or self._left or self._given:
            self._give()
            self._wait(_LOOK_S)
            now = time.monotonic()
            if now - looked >= _LOOK_S:
                looked = now
                self._look()
                self._end_overdue(now)
            if self._workers.of(State.FIT, State.NEW):
                idle_since = now
            elif now - idle_since > self._engine.patience_s or self._all_are_out():
                raise self._nobody()
        for line in self._tally.lines():
            self._remarked(line)

    def _look(self) -> None:
        """Sees which workers have come and gone, and takes back what the latter have."""
        for worker in self._workers.look():
            if worker.state is State.FIT:
                self._tally.joined(worker.address, worker.boots)
            else:
                self._tally.left(worker.address)
                self._take_back(worker)
            if worker.state is State.OUT:
                self._remarked(f"{worker.name} is left out: {worker.why}")

    def _give(self) -> None:
        """Gives jobs to all workers that can have one."""
        while self._left and (worker := self._workers.freest()) is not None:
            job = self._left.popleft()
            key = f"{self._kind.noun}-{job.name}-{next(self._numbers)}"
            worker.busy.add(key)
            now = time.monotonic()
            given = self._engine.submit(
                worker.address,
                key,
                job.function,
                job.parcel.bed,
                job.parcel.beside(self._common),
                *job.arguments,
                boots=1,
                done=self._announcing(key),
            )
            self._given[key] = _Given(job, worker, given, now, now + job.longest_s)
            job.placed(worker.name)

    def _announcing(self, key: str) -> Callable[[], None]:
        return lambda: self._events.put(key)

    def _wait(self, timeout_s: float) -> None:
        """Takes what has come of jobs, one at least unless the time is over."""
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
            # It is not to be given to the same one again if that is known to have gone.
            self._look()
            self._lose(given, str(error))
            return
        except STOPPED:
            raise
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
            self._tally.done(given.worker.name, time.monotonic() - given.since)
            given.job.take(outcome)

    def _leave_out(self, worker: Worker, why: str) -> None:
        """Gives a worker nothing any more, and takes back what it has."""
        if worker.state is State.FIT:
            self._workers.leave_out(worker, why)
            self._remarked(f"{worker.name} is left out: {why}")
            self._tally.left(worker.address)
            self._take_back(worker)

    def _end_overdue(self, now: float) -> None:
        for given in list(self._given.values()):
            if now > given.deadline:
                self._leave_out(
                    given.worker, f"a {self._kind.noun} has not come back from it in time"
                )

    def _take_back(self, worker: Worker) -> None:
        """Takes back all jobs of a worker that is not to have any."""
        for key in list(worker.busy):
            given = self._given.pop(key)
            given.task.forget()
            worker.busy.discard(key)
            self._lose(given, worker.why or "it has left")

    def _lose(self, given: _Given, why: str) -> None:
        """Puts a job that was lost with its worker before all others."""
        # With the scheduler all are lost, and that is what is wrong then.
        self._engine.workers()
        job, name = f"{self._kind.noun} {given.job.name}", given.worker.name
        self._tally.lost(name)
        lost = self._lost.setdefault(given.job.name, [])
        lost.append(f"{name}: {why}")
        if len(lost) == _TRIES:
            raise HostError(
                f"{job} was lost with {_TRIES} workers, one after the other; " + "; ".join(lost),
                fix="leave out --cluster, or see what those workers say",
            )
        self._remarked(f"{job} is lost with {name} and {self._kind.done} anew: {why}")
        self._left.appendleft(given.job)

    def _all_are_out(self) -> bool:
        """Whether all workers that there can be are left out, so that none is to be waited for."""
        most = self._engine.most
        return most is not None and len(self._workers.of(State.OUT)) >= most

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
