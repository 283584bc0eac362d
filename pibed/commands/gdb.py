"""`gdb`: gdb on a guest that waits for it, or on a recorded one that is booted again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pibed.base import terminal
from pibed.base.errors import HostError, UsageError
from pibed.build import builders, host, payload
from pibed.build.debian import debuginfo
from pibed.commands import arguments, build
from pibed.commands.options import GdbOptions
from pibed.debug import marker, program, replay, session, symbols
from pibed.guest.debugged import Debugged
from pibed.guest.guest import Launch
from pibed.guest.qemu import Logs
from pibed.guest.stub import require_stoppable
from pibed.ktest import recorded as recorded_suite
from pibed.measure import record
from pibed.runs import locate, manifest
from pibed.runs.hints import rerun_command

if TYPE_CHECKING:
    from pibed.build.payload import Payload
    from pibed.debug.replay import Boot
    from pibed.debug.session import Session, Start


def gdb(options: GdbOptions) -> int:
    """Opens gdb and returns its exit status.

    Raises UsageError where there is no such guest or sample, HostError where gdb is missing, or
    where a run's guest cannot be booted as it was.
    """
    words = _words(options)
    timeout = "600" if options.timeout is None else options.timeout
    limit_s = arguments.number("--timeout", timeout, 1, 10**6) if options.batch else None
    if options.timeout is not None and not options.batch:
        raise UsageError("--timeout: only with --batch")
    port = None if options.port is None else arguments.number("--port", options.port, 1, 65535)
    if options.run is None:
        for name in ("sample", "case", "variant"):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name}: of which run?", fix=f"./inv gdb latest --{name} …")
        program.require()
        return program.run(session.find(port), words, timeout_s=limit_s)
    if port is not None:
        raise UsageError(
            f"--port {port}: the guest of a run is booted by this command, and needs none"
        )
    program.require()
    root = locate.root(options.results)
    places = [Path(options.run), root / options.run]
    if options.case is not None or options.variant is not None:
        # `latest` is one of each kind.
        places.append(root / "ktest" / options.run)
    for folder in places:
        if (folder / recorded_suite.NAME).is_file():
            again = _of_case(folder.resolve(), options)
            break
    else:
        again = _of_sample(locate.find(root, options.run), options)
    if options.oops:
        words = ["-ex", "continue", *words]
    return _boot(again, words, limit_s)


def _words(options: GdbOptions) -> list[str]:
    """What gdb's command line has of the options."""
    words = []
    for each in options.command:
        path = Path(each).absolute()
        if not path.is_file():
            raise UsageError(f"--command {each}: there is no such file")
        words += ["-x", str(path)]
    for each in options.ex:
        words += ["-ex", each]
    return words


@dataclass(frozen=True)
class _Again:
    """A recorded boot, and the images to boot it from, which are what they were."""

    boot: Boot
    launch: Launch
    payload: Payload
    trust: bool


def _of_sample(folder: Path, options: GdbOptions) -> _Again:
    """The boot of a sample."""
    for name in ("case", "variant"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name}: {folder} is no run of ktest's", fix="give a --sample")
    number = None
    if options.sample is not None:
        number = arguments.number("--sample", options.sample, 1, 10**9)
    recorded = manifest.read(folder / "manifest.json")
    require_stoppable(recorded.clock)
    debuginfo.require_kept(recorded.builder.name)
    boot = replay.of_sample(folder, number)
    _require_death(boot, options)
    machine = recorded.machine
    qemu_version = host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    images = build.make_recorded_images(recorded, trust=options.trust)
    _require_same(folder, record.other_images(recorded, images), rerun_command(folder))
    _tell_other(folder, record.differences(recorded, images, qemu_version))
    launch = Launch(machine, images, recorded.clock, boot.seed)
    return _Again(boot, launch, payload.of_experiment(recorded.experiment), options.trust)


def _of_case(folder: Path, options: GdbOptions) -> _Again:
    """The boot of a case of a suite."""
    if options.sample is not None:
        raise UsageError(f"--sample: {folder} is a run of ktest's", fix="give a --case")
    recorded = recorded_suite.read(folder)
    debuginfo.require_kept(recorded.builder.name)
    boot = replay.of_case(folder, recorded, options.case, options.variant)
    _require_death(boot, options)
    wanted = payload.of_suite(recorded.tested)
    builder = builders.recorded(recorded.builder)
    images = build.make_payload_images(
        recorded.machine, wanted, builder=builder, trust=options.trust
    )
    _require_same(folder, recorded.differences(images), "./inv ktest")
    launch = Launch(recorded.machine, images, recorded.clock, boot.seed)
    return _Again(boot, launch, wanted, options.trust)


def _require_death(boot: Boot, options: GdbOptions) -> None:
    if options.oops and not boot.died:
        raise UsageError(f"--oops: the kernel did not die over {boot.what}")


def _require_same(folder: Path, other: Sequence[str], again: str) -> None:
    """Raises HostError if images are not those that were booted."""
    if other:
        _tell_other(folder, other)
        raise HostError(
            f"{folder}: its guest cannot be booted as it was: {other[0]}",
            fix=f"put back what differs, or run it anew: {again}",
        )


def _tell_other(folder: Path, other: Sequence[str]) -> None:
    for line in other:
        terminal.stderr().print(f"differs from {folder.name}: {line}", markup=False)


def _boot(again: _Again, words: Sequence[str], limit_s: float | None) -> int:
    """Boots it and runs gdb on it, from where its command begins."""
    launch, boot = again.launch, again.boot
    with session.session(None) as (made, stub):
        start = marker.start(launch.images, boot.count, boot.what)
        tell(made, launch, again.payload, again.trust, start)
        with Debugged(launch, Logs.below(made.folder), boot.plan, stub) as guest:
            guest.drain()
            return program.run(made, words, timeout_s=limit_s)


def tell(
    made: Session, launch: Launch, wanted: Payload, trust: bool, start: Start | None = None
) -> None:
    """Writes down what gdb has to know of a guest, and says what its images lack for that."""
    symbols.require_described(launch.images, wanted)
    info = build.make_debug_info(launch.machine, wanted, launch.images, trust=trust)
    known = symbols.of_images(launch.images, wanted, info)
    for line in known.lacking:
        terminal.stderr().print(f"gdb: {line}", markup=False)
    made.tell(known, start)
