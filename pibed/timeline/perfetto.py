"""The trace event format in JSON, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

A track for each CPU with the tasks that ran there, one with its interrupts, and one for each task
with all of its events. See "Trace Event Format" of the Chromium project.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from pibed.timeline.events import Event, Value

_Json: TypeAlias = dict[str, Any]

# More than any process of a guest's has as its number.
_CPUS = 1 << 23

_IDLE = 0

# include/linux/interrupt.h of Linux.
_SOFTIRQS: tuple[str, ...] = (
    "HI",
    "TIMER",
    "NET_TX",
    "NET_RX",
    "BLOCK",
    "IRQ_POLL",
    "TASKLET",
    "SCHED",
    "HRTIMER",
)
_SOFTIRQS += ("RCU",)

# What a task was when it left the CPU: include/linux/sched.h.
_STATES = {0: "runnable", 1: "sleeping", 2: "uninterruptible", 4: "stopped", 8: "traced"}
_STATES |= {16: "dead", 32: "zombie"}


def write(events: Sequence[Event], names: Mapping[int, str], title: str) -> str:
    """The file's content: one line an event; times count from the first of them, in µs.

    `names` are those of tasks, by their numbers, as the kernel has saved them.
    """
    start = events[0].time_ns if events else 0
    tracks = _Tracks(start, dict(names))
    entries = [*tracks.of_cpus(events), *tracks.of_interrupts(events), *tracks.of_tasks(events)]
    lines = ",\n".join(json.dumps(each, sort_keys=True) for each in [*tracks.heads(), *entries])
    about = json.dumps({"title": title, "begins_ns": start}, sort_keys=True)
    return f'{{"displayTimeUnit": "ns", "otherData": {about}, "traceEvents": [\n{lines}\n]}}\n'


class _Tracks:
    """What is shown where; collects the names of all tracks."""

    def __init__(self, start_ns: int, names: dict[int, str]) -> None:
        self._start_ns = start_ns
        self._names = names
        self._tasks: set[int] = set()
        self._cpus: set[int] = set()

    def heads(self) -> Iterator[_Json]:
        """The names of the tracks; of all that was shown before."""
        yield _head("process_name", _CPUS, 0, "CPUs")
        for cpu in sorted(self._cpus):
            yield _head("thread_name", _CPUS, 2 * cpu + 1, f"CPU {cpu}")
            yield _head("thread_name", _CPUS, 2 * cpu + 2, f"CPU {cpu} interrupts")
        for task in sorted(self._tasks):
            yield _head("process_name", task, 0, self._name(task))
            yield _head("thread_name", task, task, self._name(task))

    def of_cpus(self, events: Iterable[Event]) -> Iterator[_Json]:
        """Which task ran when, on the tracks of the CPUs and of the tasks."""
        since: dict[int, int] = {}
        last: dict[int, Event] = {}
        for event in events:
            self._cpus.add(event.cpu)
            since.setdefault(event.cpu, event.time_ns)
            last[event.cpu] = event
            if (event.system, event.name) == ("sched", "sched_switch"):
                values = event.values
                self._learn(values, "prev")
                self._learn(values, "next")
                state = _state(values.get("prev_state"))
                yield from self._ran(
                    event, _number(values.get("prev_pid")), since[event.cpu], state
                )
                since[event.cpu] = event.time_ns
        # What was cut off by the end.
        for cpu, event in sorted(last.items()):
            switched = (event.system, event.name) == ("sched", "sched_switch")
            task = _number(event.values.get("next_pid")) if switched else event.pid
            if since[cpu] < event.time_ns:
                yield from self._ran(event, task, since[cpu], "cut off")

    def of_interrupts(self, events: Iterable[Event]) -> Iterator[_Json]:
        """Handlers of interrupts and soft interrupts, which nest."""
        open_: dict[tuple[int, str], Event] = {}
        for event in events:
            kind, _, edge = event.name.rpartition("_")
            if event.system != "irq" or edge not in ("entry", "exit"):
                continue
            if edge == "entry":
                open_[event.cpu, kind] = event
            elif (begun := open_.pop((event.cpu, kind), None)) is not None:
                name = _interrupt(begun)
                yield self._slice(name, _CPUS, 2 * event.cpu + 2, begun, event, begun.values)

    def of_tasks(self, events: Iterable[Event]) -> Iterator[_Json]:
        """All other events, at the tasks that ran."""
        for event in events:
            if event.name == "sched_switch" or event.system == "irq":
                continue
            self._tasks.add(event.pid)
            yield {
                "name": event.name,
                "cat": event.system,
                "ph": "i",
                "s": "t",
                "ts": self._us(event.time_ns),
                "pid": event.pid,
                "tid": event.pid,
                "args": {"CPU": event.cpu, **event.values},
            }

    def _ran(self, event: Event, task: int, since_ns: int, state: str) -> Iterator[_Json]:
        begun = Event(since_ns, event.cpu, task, event.system, event.name, {})
        args: dict[str, Value] = {"task": task, "then": state}
        if task != _IDLE:
            self._tasks.add(task)
            name = f"{self._name(task)} ({task})"
            yield self._slice(name, _CPUS, 2 * event.cpu + 1, begun, event, args)
            yield self._slice("runs", task, task, begun, event, {"CPU": event.cpu, "then": state})

    def _slice(
        self,
        name: str,
        process: int,
        thread: int,
        begun: Event,
        ended: Event,
        args: Mapping[str, Value],
    ) -> _Json:
        return {
            "name": name,
            "cat": ended.system,
            "ph": "X",
            "ts": self._us(begun.time_ns),
            "dur": (ended.time_ns - begun.time_ns) / 1000,
            "pid": process,
            "tid": thread,
            "args": dict(args),
        }

    def _us(self, time_ns: int) -> float:
        return (time_ns - self._start_ns) / 1000

    def _learn(self, values: Mapping[str, Value], which: str) -> None:
        task = _number(values.get(f"{which}_pid"))
        self._names[task] = str(values.get(f"{which}_comm", task))

    def _name(self, task: int) -> str:
        return self._names.get(task, f"task {task}") if task != _IDLE else "idle"


def _head(what: str, process: int, thread: int, name: str) -> _Json:
    return {"name": what, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}


def _number(value: Value | None) -> int:
    return value if isinstance(value, int) else -1


def _state(value: Value | None) -> str:
    number = _number(value)
    # Above those bits: it was preempted (TASK_REPORT_MAX).
    return "preempted" if number & 0x100 else _STATES.get(number & 0xFF, str(number))


def _interrupt(event: Event) -> str:
    if event.name.startswith("softirq"):
        number = _number(event.values.get("vec"))
        name = _SOFTIRQS[number] if 0 <= number < len(_SOFTIRQS) else str(number)
        return f"softirq {name}"
    return f"irq {event.values.get('irq', '')} {event.values.get('name', '')}".strip()
