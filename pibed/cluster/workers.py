"""The workers as they come and go: examined, given the images, watched, and left out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pibed.cluster import fitness
from pibed.cluster.engine import Engine, Seen
from pibed.cluster.parcel import Files, Shelf

# How long a worker may give no sign of life: the engine's workers give one in some seconds, and a
# guest that was stopped with its worker is late after 30 (see `pibed.guest.guest`).
SILENCE_S = 20.0

# In which it says what it has, and takes a file.
_EXAMINED_S = 60.0
_SENT_S = 300.0


class State(Enum):
    """What is known of a worker."""

    NEW = "is being examined"
    FIT = "measures"
    OUT = "is left out"
    SILENT = "gives no sign of life"
    GONE = "has left"


@dataclass
class Worker:
    """A worker, from when it was first seen."""

    address: str
    name: str
    state: State = State.NEW
    boots: int = 0
    """How many it is given at a time."""
    why: str = ""
    """What keeps it out."""
    busy: set[str] = field(default_factory=set)
    """The tasks that it was given."""
    since: float = 0.0
    """When its last sign of life came, by this machine's clock."""
    heartbeat: float = 0.0

    @property
    def free(self) -> int:
        """How many more boots it can be given now."""
        return self.boots - len(self.busy) if self.state is State.FIT else 0


class Workers:
    """All workers of an engine, of which those that fit get files.

    `changed` is called, in another thread, when one has been examined; `look` then says so.
    """

    def __init__(
        self, engine: Engine, files: Files, wanted: dict[str, Any], changed: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._files = files
        self._wanted = wanted
        self._changed = changed
        self._known: dict[str, Worker] = {}
        self._examined: dict[str, tuple[int, str]] = {}

    def look(self) -> list[Worker]:
        """Asks who is there; returns the workers whose state has changed. Raises EngineGone."""
        there = self._engine.workers()
        now = time.monotonic()
        before = {address: each.state for address, each in self._known.items()}
        for address, seen in there.items():
            worker = self._known.get(address)
            if worker is None or worker.state is State.GONE:
                self._begin(Worker(address, seen.name, since=now), seen)
            elif seen.heartbeat != worker.heartbeat:
                worker.heartbeat, worker.since = seen.heartbeat, now
                if worker.state is State.SILENT:
                    self._begin(worker, seen)
            elif now - worker.since > SILENCE_S and worker.state in (State.NEW, State.FIT):
                worker.state = State.SILENT
                worker.why = f"no sign of life for {SILENCE_S:.0f} s"
        for worker in self._known.values():
            if worker.address not in there and worker.state is not State.GONE:
                worker.state, worker.why = State.GONE, "it has left"
            elif worker.state is State.NEW and worker.address in self._examined:
                worker.boots, worker.why = self._examined.pop(worker.address)
                worker.state = State.OUT if worker.why else State.FIT
        return [each for each in self._known.values() if before.get(each.address) != each.state]

    def leave_out(self, worker: Worker, why: str) -> None:
        """Gives a worker nothing any more."""
        worker.state, worker.why = State.OUT, why

    def at(self, address: str) -> Worker:
        """The worker with this address."""
        return self._known[address]

    def freest(self) -> Worker | None:
        """The worker that can be given most, if one can be given something."""
        best = max(self._known.values(), key=lambda each: each.free, default=None)
        return best if best is not None and best.free > 0 else None

    def of(self, *states: State) -> list[Worker]:
        """Those in these states."""
        return [each for each in self._known.values() if each.state in states]

    def _begin(self, worker: Worker, seen: Seen) -> None:
        self._known[worker.address] = worker
        self._examined.pop(worker.address, None)
        worker.state, worker.heartbeat, worker.name = State.NEW, seen.heartbeat, seen.name
        if seen.boots < 1:
            self.leave_out(worker, "it was started without --resources qemu=BOOTS")
            return
        # Another worker need not wait for one that is slow.
        threading.Thread(target=self._prepare, args=(worker.address, seen), daemon=True).start()

    def _prepare(self, address: str, seen: Seen) -> None:
        try:
            result = self._examine(address, seen)
        except TimeoutError:
            result = (0, "it has not said in time what it has")
        except Exception as error:  # whatever another pibed, or none, makes of the question
            result = (0, f"it cannot be asked what it has: {error or type(error).__name__}")
        self._examined[address] = result
        self._changed()

    def _examine(self, address: str, seen: Seen) -> tuple[int, str]:
        """How many boots a worker gets, or why none; it has the files then."""
        found: Mapping[str, Any] = self._engine.ask(
            address,
            "examine",
            fitness.examine,
            self._wanted,
            seen.scratch,
            timeout_s=_EXAMINED_S,
        )
        if found["unfit"]:
            return 0, found["unfit"]
        for file in found["missing"]:
            content = self._engine.send(address, self._files[file].read_bytes(), _SENT_S)
            self._engine.ask(address, "put", _put, file, content, timeout_s=_SENT_S)
        return max(1, min(seen.boots, found["memory_mib"] // self._wanted["memory_mib"])), ""


def _put(address: str, content: bytes) -> None:
    """On the worker."""
    Shelf.of_worker().put(address, content)
