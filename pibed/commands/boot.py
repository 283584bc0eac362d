"""`boot`: a guest for a person, or for one command."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pibed.base import places, terminal
from pibed.base.errors import GuestError, HostError, Interrupted, PibedError, UsageError
from pibed.build import host, timing
from pibed.build.debian import debuginfo
from pibed.commands import arguments, settings
from pibed.commands.build import make_images
from pibed.commands.options import BootOptions
from pibed.model import placeholders
from pibed.model.experiment import Experiment
from pibed.model.machine import Clock

if TYPE_CHECKING:
    from pibed.debug.session import Session
    from pibed.guest.guest import Launch
    from pibed.guest.stub import Stub


def boot(options: BootOptions) -> int:
    """Boots to a shell for a person, or runs one command; returns the exit status.

    A command's own status is passed on, 124 if it ran out of time; what pibed could not do gives
    125 then, so that the two cannot be confused.
    """
    if options.cmd is None:
        _boot_shell(options)
        return 0
    try:
        return _boot_command(options, options.cmd)
    except Interrupted:
        raise
    except PibedError as error:
        error.status = 125
        raise
    except OSError as error:
        failure = HostError.from_os(error)
        failure.status = 125
        raise failure from error


# Ctrl-], as telnet and many serial terminals have it.
_LEAVE = "\x1d"


def _boot_shell(options: BootOptions) -> None:
    from pibed.guest import guest

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "boot needs a terminal for its shell", fix="run one command with --cmd instead"
        )
    with _place_for_gdb(options) as place:
        launch, load, _ = _launch(options, default_clock="host")
        folder = _boot_folder()
        stub = None
        if place is not None:
            session, stub = place
            _tell(session, options, launch)
        print(f"The kernel's log goes to {folder / 'console.log'}")
        print("`exit` or `poweroff -f` ends the guest, Ctrl-] kills it at once.", flush=True)
        guest.interact(launch, load, folder / "console.log", _LEAVE, stub)
    shutil.rmtree(folder)
    print("\nThe guest has ended.")


def _boot_command(options: BootOptions, text: str) -> int:
    from pibed.guest import moderrors
    from pibed.guest.debugged import Debugged
    from pibed.guest.guest import Guest
    from pibed.guest.qemu import Logs
    from pibed.model.protocol import Command

    if "\n" in text or not text.strip():
        raise UsageError("--cmd: expected one line with a command")
    timeout = "600" if options.timeout is None else options.timeout
    seconds = arguments.number("--timeout", timeout, 1, 10**6)
    with _place_for_gdb(options) as place:
        launch, load, load_s = _launch(options, default_clock=None)
        commands = [Command("load", load_s, line) for line in load]
        commands.append(Command("cmd", seconds, text))
        folder = _boot_folder()
        logs = Logs.below(folder)
        if place is None:
            booted: Guest | Debugged = Guest(launch, logs, commands)
        else:
            session, stub = place
            _tell(session, options, launch)
            booted = Debugged(launch, logs, "".join(f"{each}\n" for each in commands), stub)
        with booted as guest:
            for command in commands:
                result = guest.run(command)
                if command.id == "load" and result.status != 0:
                    why = moderrors.explain(result, launch.images, logs.console)
                    raise GuestError(
                        why or f"the module could not be loaded: {'; '.join(result.output)}",
                        log=logs.console,
                    )
            if result.output:
                print(result.text, flush=True)
            guest.finish()
    shutil.rmtree(folder)
    console = terminal.stderr()
    if result.truncated:
        console.print("pibed: the output was longer than 64 KiB; the rest was dropped")
    if result.timed_out:
        console.print(f"pibed: the command was killed after {seconds} s of guest time")
        return 124
    return result.status


@contextmanager
def _place_for_gdb(options: BootOptions) -> Iterator[tuple[Session, Stub] | None]:
    """Where the guest is to wait for gdb, before anything is built; None if it is not to wait."""
    if not options.gdb:
        if options.port is not None:
            raise UsageError(f"--port {options.port}: only with --gdb")
        yield None
        return
    from pibed.debug import session

    port = None if options.port is None else arguments.number("--port", options.port, 1, 65535)
    with session.session(port) as place:
        yield place


def _tell(session: Session, options: BootOptions, launch: Launch) -> None:
    """Writes down what gdb has to know of the guest, and says how to call it."""
    from pibed.build import payload
    from pibed.commands.gdb import tell
    from pibed.debug import program

    wanted = payload.of_experiment(arguments.experiment(options.experiment))
    tell(session, launch, wanted, options.trust)
    print("The guest waits for gdb. In another terminal: ./inv gdb, or")
    print(f"  {program.command_line(session)}", flush=True)


def _launch(options: BootOptions, default_clock: Clock | None) -> tuple[Launch, list[str], float]:
    """What to boot, the commands that load the modules, and the guest seconds for that."""
    from pibed.guest.guest import Launch
    from pibed.guest.stub import require_stoppable
    from pibed.model import plan

    machine = arguments.machine(options.machine, options.kernel)
    experiment = arguments.experiment(options.experiment)
    clock = arguments.clock(machine, default_clock if options.clock is None else options.clock)
    if options.gdb:
        require_stoppable(clock)
        debuginfo.require_kept("debian" if options.builder is None else options.builder)
    seed = arguments.number("--seed", "1" if options.seed is None else options.seed, 0, 2**32 - 1)
    load = load_commands(experiment, options.param, options.declared)
    builder = arguments.builder(options)
    board = timing.board_of(machine) if clock == "board" else None
    host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    images = make_images(machine, experiment, builder=builder, board=board, trust=options.trust)
    launch = Launch(machine, images, clock, seed)
    return launch, load, plan.load_timeout_s(experiment)


def load_commands(
    experiment: Experiment, param: Sequence[str], declared: Mapping[str, str]
) -> list[str]:
    """The commands that load the modules, none if no parameter is given.

    Parameters are given by --param, and by the options that experiments declare for `boot`. What is
    not given is as in the experiment's first cell.
    """
    from pibed.build import payload
    from pibed.model import plan

    short = settings.declared(experiment, "boot", declared, "--param")
    modules = {each.name: each for each in experiment.module_list}
    root = payload.root_of(experiment)
    given = settings.of_modules(root, experiment.module_list, {}, param)
    if not (short or given):
        return []
    # Of the module's parameters, those that are a parameter of the experiment and no more.
    same = {f"{{{name}}}": name for name in experiment.parameters}
    values = plan.cells(experiment)[0].as_dict()
    for setting in short:
        values[setting.name] = settings.value(setting, experiment.parameters[setting.name])
    for one in given:
        module = modules[one.module.name]
        configured = str(module.parameters.get(one.name, ""))
        for other in short:
            if other.name in placeholders.names(configured):
                raise UsageError(f"{one}: {other} sets it already", fix="give one of the two")
        text = one.setting.text
        if configured in same:
            parameter = experiment.parameters[same[configured]]
            text = str(settings.value(one.setting, parameter))
        parameters = module.parameters | {one.name: placeholders.literal(text)}
        modules[module.name] = module.model_copy(update={"parameters": parameters})
    return [plan.load_line(experiment.with_modules(list(modules.values())), values)]


def _boot_folder() -> Path:
    """A new folder for a boot's logs, which stay there if it fails."""
    parent = places.cache() / "boots"
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{time.strftime('%Y%m%dT%H%M%S')}-", dir=parent))
