"""A sample that was measured, once more and with the kernel's tracing on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pibed.base.errors import GuestError
from pibed.base.process import capture
from pibed.build.images import Images
from pibed.build.sandbox import around
from pibed.guest.guest import Guest, Launch
from pibed.guest.qemu import Logs
from pibed.model import plan
from pibed.model.experiment import Experiment
from pibed.model.plan import Visit
from pibed.model.protocol import Command, Result
from pibed.model.samples import Number, Sample, take_metrics
from pibed.timeline import recording
from pibed.timeline.recording import Recorded

KERNEL = ("sched", "irq")
"""What is recorded of the kernel's own unless something else is asked for."""

# What TRACE_EVENT leaves in an object file: include/trace/trace_events.h of Linux.
_SYSTEM = re.compile(r" str__(\w+)__trace_system_name$", re.MULTILINE)


@dataclass(frozen=True)
class Replayed:
    """What was recorded, and what the sample's metrics were meanwhile: None if they lack."""

    recorded: Recorded
    metrics: dict[str, Number] | None


def systems(images: Images) -> list[str]:
    """The systems of events that the modules bring."""
    nm = f"{images.variables.get('CROSS_COMPILE', '')}nm"
    found: dict[str, None] = {}
    for module in images.modules:
        said = capture([nm, str(module)], inside=around(images.sandbox, module))
        found |= dict.fromkeys(_SYSTEM.findall(said))
    return list(found)


def visits(experiment: Experiment, sample: Sample) -> tuple[int, list[Visit]]:
    """The seed of a sample's round, and what was visited up to it."""
    (round_,) = (each for each in plan.rounds(experiment) if each.number == sample.round)
    return round_.seed, [each for each in round_.visits if each.order <= sample.order]


def replay(
    launch: Launch,
    experiment: Experiment,
    until: Sequence[Visit],
    events: Sequence[str],
    logs: Logs,
    stop_requested: Callable[[], None] = lambda: None,
) -> Replayed:
    """Boots a round again and records the run of the last of its visits.

    Up to there all is as it was. Raises GuestError for what did not work, or the guest's end.
    """
    *before, last = plan.steps(experiment, until)
    first = [command for steps in before for command in steps]
    commands = list(last)
    at = commands.index(last.run)
    first += commands[:at]
    id = str(last.visit.order)
    began, ended = recording.begin(id, events), recording.end(id)
    rest, save = commands[at + 1 :], recording.save(id, events)
    all_ = [*first, began, last.run, ended, *rest, *save]
    with Guest(launch, logs, all_, stop_requested) as guest:
        results = {command.id: _must(guest, command) for command in first}
        tracing = guest.run(began)
        if tracing.status != 0:
            raise GuestError(
                f"the events {', '.join(events)} cannot be recorded: {tracing.words}",
                fix="./inv boot --cmd 'mount -t tracefs none /sys/kernel/tracing; "
                "ls /sys/kernel/tracing/events' lists those of the kernel",
            )
        run = guest.run(last.run)
        guest.run(ended)
        results |= {command.id: guest.run(command) for command in rest}
        recorded = recording.read(save, guest.run)
    return Replayed(recorded, _metrics(experiment, last, run, results))


def _must(guest: Guest, command: Command) -> Result:
    """An earlier run of the round may fail as it did when it was measured."""
    result = guest.run(command)
    if result.status != 0 and not command.id.endswith(".run"):
        raise GuestError(f"`{command.line}` {result.ending}: {result.words}", log=guest.console_log)
    return result


def _metrics(
    experiment: Experiment, steps: plan.Steps, run: Result, results: Mapping[str, Result]
) -> dict[str, Number] | None:
    counters = None
    if steps.counters is not None:
        counters = (results[steps.counters[0].id], results[steps.counters[1].id])
    log = results[steps.kernel_log[1].id] if steps.kernel_log is not None else None
    try:
        return take_metrics(experiment, run, counters, log)
    except ValueError:
        return None
