"""`timeline`: what tracepoints say of one sample of a run, for viewers."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pibed.base.errors import GuestError, UsageError
from pibed.build import host
from pibed.commands import arguments, build
from pibed.commands.options import TimelineOptions

if TYPE_CHECKING:
    from pibed.build.images import Images
    from pibed.guest.qemu import Logs
    from pibed.model.experiment import Experiment
    from pibed.model.samples import Number, Sample
    from pibed.runs.manifest import Manifest

_EVENT = re.compile(r"\w+(/\w+)?")


def timeline(options: TimelineOptions) -> None:
    """Measures a sample again with the kernel's tracing on, and writes what was recorded.

    Raises UsageError for a sample that is not there, and for a run of other sources.
    """
    from pibed.base.files import write_file
    from pibed.guest.guest import Launch
    from pibed.guest.qemu import Logs
    from pibed.model import plan
    from pibed.runs import locate, reading
    from pibed.timeline import events as events_
    from pibed.timeline import perfetto, replay, ringbuffer, tracedat

    row, asked = require_meant(options)
    folder = locate.find(locate.root(options.results), options.run)
    run = reading.read(folder)
    sample = run.sample(row)
    machine, experiment = run.recorded.machine, run.experiment
    qemu_version = host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    images = build.make_recorded_images(run.recorded, trust=options.trust)
    _require_same(folder, run.recorded, images, qemu_version)
    wanted = asked or [*replay.KERNEL, *replay.systems(images)]

    target = _target(options, folder, sample)
    seed, until = replay.visits(experiment, sample)
    launch = Launch(machine, images, machine.clock, seed)
    logs = Logs.below(target, counts=plan.counts_events(experiment))
    taken = replay.replay(launch, experiment, until, wanted, logs)
    recorded = taken.recorded
    title = f"{folder.name}, round {sample.round}, {sample.cell}"
    with _understood(logs):
        layout = ringbuffer.Layout.read(recorded.text("events/header_page"))
        known = events_.describe_all((system, text) for system, _, text in recorded.formats)
        records = [
            record
            for cpu, buffer in recorded.cpus.items()
            for record in ringbuffer.records(cpu, buffer, layout)
        ]
        events = events_.decode(records, known)
        names = events_.task_names(recorded.text("saved_cmdlines"))
        write_file(target / "timeline.json", perfetto.write(events, names, title))
        write_file(target / "trace.dat", tracedat.write(recorded, _symbols(images)))
        is_cut_off = any(ringbuffer.lost(buffer, layout) for buffer in recorded.cpus.values())
    print(f"{title}: {len(events)} events of {', '.join(wanted)}")
    for line in _beside(experiment, sample, taken.metrics):
        print(line)
    if is_cut_off:
        print("the kernel's buffer was full: its oldest events are lost")
    print(f"timeline: {target / 'timeline.json'} (ui.perfetto.dev, chrome://tracing)")
    print(f"trace:    {target / 'trace.dat'} (kernelshark, trace-cmd report)")


@contextmanager
def _understood(logs: Logs) -> Iterator[None]:
    """Raises GuestError if what the guest gave is no recording: its kernel owns these files."""
    try:
        yield
    except (struct.error, ArithmeticError, LookupError, ValueError) as error:
        raise GuestError(
            f"what the guest's tracing has left is no recording: {type(error).__name__}: {error}",
            log=logs.console,
        ) from None


def require_meant(options: TimelineOptions) -> tuple[int, list[str]]:
    """The row of samples.csv and the events that were asked for; raises UsageError otherwise."""
    if options.sample is None:
        raise UsageError("--sample is missing", fix="give the number of a row of samples.csv")
    row = arguments.number("--sample", options.sample, 1, 10**9)
    if options.events is None:
        return row, []
    found = [each.strip() for each in options.events.split(",")]
    for each in found:
        if not _EVENT.fullmatch(each):
            raise UsageError(
                f"--events {options.events}: {each!r}: expected a system of events, or one of its "
                "events",
                fix="separate them by commas: --events sched,irq/irq_handler_entry",
            )
    return row, found


def _require_same(folder: Path, recorded: Manifest, images: Images, qemu_version: str) -> None:
    """Raises UsageError if what would be booted is not what was measured."""
    from pibed.measure import record

    if lines := record.differences(recorded, images, qemu_version):
        raise UsageError(
            f"{folder.name}: it was measured with something else than there is now: {lines[0]}",
            context=lines,
            fix=f"put that back, or measure again: ./inv rerun {folder}",
        )


def _target(options: TimelineOptions, folder: Path, sample: Sample) -> Path:
    from pibed.base.files import explained

    name = f"{sample.round}-{sample.order}"
    target = folder / "timeline" / name if options.output is None else Path(options.output)
    with explained(target):
        target.mkdir(parents=True, exist_ok=True)
    return target


def _symbols(images: Images) -> bytes:
    file = images.kernel_build / "System.map"
    return file.read_bytes() if file.is_file() else b""


def _beside(experiment: Experiment, sample: Sample, metrics: dict[str, Number] | None) -> list[str]:
    """What recording has cost: each metric as it was, and as it is with the tracing on."""
    if metrics is None or not sample.metrics:
        return []
    lines = []
    for name, metric in experiment.metrics.items():
        if name in sample.metrics and name in metrics:
            unit = f" {metric.unit}" if metric.unit else ""
            lines.append(
                f"{metric.title}: {metrics[name]}{unit} while it was recorded, "
                f"{sample.metrics[name]}{unit} in the run"
            )
    return lines
