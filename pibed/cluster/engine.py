"""The engine, dask.distributed: a connected client, and the few things that are asked of it.

Which worker does what is decided here and not by the engine's scheduler, so that each round has a
deadline and it is known where it is. Every wait ends.
"""

from __future__ import annotations

import contextlib
import itertools
import time
import uuid
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pibed.base.errors import Cancelled, HostError, Interrupted

if TYPE_CHECKING:
    from distributed import Client, Future

RESOURCE = "qemu"
"""Of a worker: how many boots it runs at a time (`dask worker --resources qemu=N`)."""

CONFIG: Mapping[str, Any] = {
    # No round goes where it was not sent.
    "distributed.scheduler.work-stealing": False,
    # What a job has of its own is sent with it.
    "distributed.admin.large-graph-warning-threshold": "1 GB",
    # What is served beside is nothing.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # What is wrong is said by pibed, in a line.
    "distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical",
    "distributed.worker.preload": ["pibed.cluster.undisturbed"],
}
"""Of schedulers and workers that are started here, as the engine's configuration has it."""

# In which the scheduler answers, and the client takes its leave.
_ANSWER_S = 15.0
_LEAVE_S = 10.0

# Beside the boots, on the same worker, none of which may wait for another.
_FIRST = 10


STOPPED = (Interrupted, Cancelled)
"""Of errors: those that no reply of the engine's is, and that none is made of."""


@contextlib.contextmanager
def parting() -> Iterator[None]:
    """For the last that is asked: whoever does not answer now does not matter; a signal does."""
    try:
        yield
    except STOPPED:
        raise
    except Exception:
        return


class EngineGone(HostError):
    """The scheduler does not answer any more."""


class TaskLost(Exception):
    """A task is gone, with its worker or since somebody ended it."""


@dataclass(frozen=True)
class Seen:
    """A worker as the scheduler knows it."""

    name: str
    """For people."""
    boots: int
    """How many it may run at a time."""
    scratch: str
    """The folder for its files."""
    heartbeat: float
    """Changes whenever the worker gives a sign of life; whose clock it is of does not matter."""


class Task(Protocol):
    """What a worker was asked to do."""

    def outcome(self, timeout_s: float) -> Any:
        """What came of it; raises what it has raised, TaskLost, or TimeoutError."""

    def forget(self) -> None:
        """Makes it stop, wherever it is, and gives up what came of it; does not wait."""


class Engine:
    """A client of a scheduler; to be closed."""

    def __init__(
        self, client: Client, where: str, patience_s: float, most: int | None = None
    ) -> None:
        """`where` names the scheduler; in `patience_s` the first worker comes, or another one.

        `most` is how many there can be at a time, where that is known.
        """
        self._client = client
        self.where = where
        self.patience_s = patience_s
        self.most = most
        self._is_gone = False
        # So that no task is taken for another one, nor for one of another sweep's.
        self._id = uuid.uuid4().hex
        self._numbers = itertools.count(1)

    def workers(self) -> Mapping[str, Seen]:
        """All workers by address; raises EngineGone."""
        try:
            scheduler: Any = self._client.scheduler
            if scheduler is None:
                raise ConnectionError("the connection is closed")
            found = self._client.sync(scheduler.identity, n_workers=-1, callback_timeout=_ANSWER_S)[
                "workers"
            ]
        except STOPPED:
            raise
        except Exception as error:  # whatever the engine makes of a connection that is lost
            raise self._gone(error) from None
        return {address: _seen(address, each) for address, each in found.items()}

    def _gone(self, error: Exception) -> EngineGone:
        self._is_gone = True
        return EngineGone(
            f"{self.where}: the scheduler does not answer any more ({words(error)})",
            fix="start it again, or leave out --cluster",
        )

    def submit(
        self,
        address: str,
        what: str,
        function: Callable[..., Any],
        *arguments: object,
        boots: int = 0,
        done: Callable[[], None] | None = None,
    ) -> Task:
        """Asks one worker, and no other, to call a function, which takes so many of its boots.

        `what` is a word for it, in the engine's own logs.
        `done` is called, in another thread, when something has come of it.
        """
        try:
            future = self._submit(address, what, function, arguments, boots)
        except STOPPED:
            raise
        except Exception as error:
            raise self._gone(error) from None
        if done is not None:
            future.add_done_callback(lambda _: done())
        return _DaskTask(future)

    def _submit(
        self,
        address: str,
        what: str,
        function: Callable[..., Any],
        arguments: Sequence[object],
        boots: int,
    ) -> Future[Any]:
        return self._client.submit(
            function,
            *arguments,
            key=f"pibed-{self._id}-{next(self._numbers)}-{what}",
            workers=[address],
            allow_other_workers=False,
            resources={RESOURCE: boots} if boots else None,
            retries=0,
            priority=0 if boots else _FIRST,
            pure=False,
        )

    def ask(
        self,
        address: str,
        what: str,
        function: Callable[..., Any],
        *arguments: object,
        timeout_s: float,
    ) -> Any:
        """What a function returns on a worker; raises what it raises, or TimeoutError."""
        task = self.submit(address, what, function, *arguments)
        try:
            return task.outcome(timeout_s)
        finally:
            task.forget()

    def send(self, address: str, content: bytes, timeout_s: float) -> Future[bytes]:
        """Puts bytes into a worker's memory, as an argument of what is submitted to it next."""
        sent: Future[bytes] = self._client.scatter(
            content, workers=[address], direct=False, hash=False, timeout=timeout_s
        )
        return sent

    def stop(self, tasks: Iterable[Task], boots: Mapping[str, int]) -> None:
        """Makes tasks stop, and waits some seconds until workers have so many boots to spare."""
        for task in tasks:
            task.forget()
        if self._is_gone:
            return
        until = time.monotonic() + _LEAVE_S
        with parting():
            last = [
                self.submit(address, "stopped", _nothing, boots=count)
                for address, count in boots.items()
            ]
            for task in last:
                task.outcome(max(0.0, until - time.monotonic()))


def _nothing() -> None:
    """Is done once a worker has room for it."""


class _DaskTask:
    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def outcome(self, timeout_s: float) -> Any:
        try:
            return self._future.result(timeout=timeout_s)
        except CancelledError as error:
            raise TaskLost(words(error)) from None

    def forget(self) -> None:
        self._future.release()


def _seen(address: str, known: Mapping[str, Any]) -> Seen:
    name = str(known["name"])
    if name == address or not name:
        name = address.partition("://")[2]
    if name.isdigit():
        name = f"worker {name}"
    boots = int(known["resources"].get(RESOURCE, 0))
    return Seen(name, min(boots, known["nthreads"]), known["local_directory"], known["last_seen"])


def words(error: BaseException) -> str:
    """What the engine's error is about, in a line: its errors stand on each other's shoulders."""
    while error.__cause__ is not None and error.__cause__ is not error:
        error = error.__cause__
    return str(error).partition("\n")[0] or type(error).__name__
