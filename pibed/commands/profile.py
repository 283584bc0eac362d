"""`profile`: which functions took how much, of a cell or of a command."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pibed.base import terminal
from pibed.base.errors import GuestError, UsageError
from pibed.base.files import write_file
from pibed.build import timing
from pibed.commands import arguments, elsewhere, settings
from pibed.commands.boot import load_commands
from pibed.commands.build import make_images
from pibed.commands.options import ProfileOptions
from pibed.commands.printing import print_table
from pibed.model import plan
from pibed.model.counts import PHASES
from pibed.model.experiment import Experiment
from pibed.model.machine import Clock, Machine
from pibed.model.parameter import Value
from pibed.model.plan import Cell, Visit
from pibed.model.protocol import Command
from pibed.runs import locate

if TYPE_CHECKING:
    from pibed.build.images import Images
    from pibed.guest.guest import Launch
    from pibed.profile.boot import RunProfiled
    from pibed.profile.record import Recording, Subject
    from pibed.profile.symbols import Binaries
    from pibed.profile.tree import Profile


def profile(options: ProfileOptions) -> None:
    """Boots once for each cell, prints the table, and says where the files are.

    Raises UsageError for what cannot be meant, and HostError for a QEMU that takes no plugin,
    before anything is built.
    """
    from pibed.guest.guest import Launch
    from pibed.profile import record

    elsewhere.require_meant(options.cluster)
    machine = arguments.machine(options.machine, options.kernel)
    experiment = arguments.experiment(options.experiment)
    clock = _clock(machine, options.clock)
    seed = arguments.number("--seed", "1" if options.seed is None else options.seed, 0, 2**32 - 1)
    top = arguments.number("--top", "25" if options.top is None else options.top, 1, 10**6)
    asked = _subjects(experiment, options)
    event = _event(options.event, clock)
    board = timing.board_of(machine)
    root = locate.root(options.results) / "profile"
    locate.require_writable(root)
    builder = arguments.builder(options)
    images = make_images(machine, experiment, builder=builder, board=board, trust=options.trust)
    launch = Launch(machine.model_copy(update={"clock": clock}), images, clock, seed)
    name = "command" if options.cmd is not None else experiment.name
    folder = locate.make_folder(root, name, datetime.datetime.now(datetime.UTC))
    with record.temporary_folder() as programs:
        binaries = record.binaries_of(images, Path(programs))
        with elsewhere.profiling(options.cluster, launch.machine) as by:
            recordings = _recordings(options, by, launch, asked, binaries, folder)
        shown = _Shown(folder, event, top, images, binaries)
        _note_stripped(recordings, binaries)
        if len(recordings) == 1:
            shown.one(recordings[0].profile, folder)
        else:
            for number, each in enumerate(recordings, start=1):
                shown.files(each.profile, folder / str(number))
            shown.difference(recordings[0].profile, recordings[1].profile)


def _recordings(
    options: ProfileOptions,
    by: RunProfiled,
    launch: Launch,
    asked: Sequence[Subject],
    binaries: Binaries,
    folder: Path,
) -> list[Recording]:
    """The recordings of all that is asked, each told of as soon as it is there."""
    from pibed.profile import record

    console = terminal.stderr()
    boots = []
    for number, subject in enumerate(asked, start=1):
        own = folder if len(asked) == 1 else folder / str(number)
        own.mkdir(exist_ok=True)
        boots.append((record.boot_of(launch, subject, binaries), own))
    results = by(boots, lambda line: console.print(line, markup=False))
    recordings = []
    for subject, (boot, own) in zip(asked, boots, strict=True):
        console.print(f"profile: {subject.title}", markup=False)
        recordings.append(record.read(boot, next(results), subject, binaries, own))
        _tell(subject, recordings[-1], is_command=options.cmd is not None)
    return recordings


def _clock(machine: Machine, given: str | None) -> Clock:
    clock = arguments.clock(machine, given)
    if clock == "host":
        raise UsageError(
            "profile: with --clock host instructions cannot be counted",
            fix="use --clock virtual or --clock board",
        )
    return clock


def _event(given: str | None, clock: Clock) -> str:
    from typing import get_args

    from pibed.model.counts import Event

    if given is None:
        return "cycles" if clock == "board" else "instructions"
    if given not in get_args(Event):
        raise UsageError(f"--event {given}: expected one of: {', '.join(get_args(Event))}")
    if clock != "board" and given != "instructions":
        raise UsageError(
            f"--event {given}: by the virtual clock instructions are all that is counted",
            fix="add --clock board",
        )
    return given


def _subjects(experiment: Experiment, options: ProfileOptions) -> list[Subject]:
    """What is to be profiled: one command, or a cell, or two cells."""
    phase = None
    if options.phase is not None:
        phase = arguments.number("--phase", options.phase, 0, PHASES - 1)
    if options.cmd is not None:
        return [_command(experiment, options, options.cmd, phase)]
    if options.param:
        raise UsageError(
            "--param is for --cmd: the experiment says how its module is loaded",
            fix="set the experiment's parameter with --set",
        )
    values = plan.cells(experiment)[0].as_dict() | _values(experiment, "--set", options.set)
    found = [_cell(experiment, values, phase)]
    if options.against:
        other = values | _values(experiment, "--against", options.against)
        if other == values:
            raise UsageError(
                f"--against {' '.join(options.against)}: that is the same cell",
                fix="give another value",
            )
        found.append(_cell(experiment, other, phase))
    return found


def _values(experiment: Experiment, option: str, given: Sequence[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for setting in settings.pairs(option, given):
        parameter = experiment.parameters.get(setting.name)
        if parameter is None:
            known = ", ".join(experiment.parameters) or "none"
            raise UsageError(
                f"{setting}: the experiment {experiment.name} has no parameter {setting.name}",
                fix=f"its parameters: {known}",
            )
        found[setting.name] = settings.value(setting, parameter)
    return found


def _cell(experiment: Experiment, values: dict[str, Value], phase: int | None) -> Subject:
    from pibed.profile.record import Subject

    cell = Cell(tuple((name, values[name]) for name in experiment.parameters))
    (steps,) = plan.steps(experiment, [Visit(1, cell, 0)])
    commands = plan.commands(experiment, [steps])
    return Subject(_title(experiment, cell, phase), commands, commands.index(steps.run), phase)


def _title(experiment: Experiment, cell: Cell, phase: int | None) -> str:
    words = []
    for name, value in cell.values:
        parameter = experiment.parameters[name]
        label = parameter.labels.get(value)
        words.append(label if label is not None else f"{parameter.title} {value}")
    where = "" if phase is None else f", phase {phase}"
    return f"{experiment.name}: {', '.join(words)}{where}"


def _command(
    experiment: Experiment, options: ProfileOptions, text: str, phase: int | None
) -> Subject:
    from pibed.profile.record import Subject

    if options.set or options.against:
        option = "--set" if options.set else "--against"
        raise UsageError(f"{option} is for a cell, not for --cmd", fix="leave one of them out")
    if "\n" in text or not text.strip():
        raise UsageError("--cmd: expected one line with a command")
    timeout = "600" if options.timeout is None else options.timeout
    seconds = arguments.number("--timeout", timeout, 1, 10**6)
    load_s = plan.load_timeout_s(experiment)
    load = load_commands(experiment, options.param, {})
    commands = [Command("load", load_s, line) for line in load]
    title = text if phase is None else f"{text}, phase {phase}"
    return Subject(title, [*commands, Command("cmd", seconds, text)], len(commands), phase)


def _tell(subject: Subject, recording: Recording, *, is_command: bool) -> None:
    """What the command printed; raises GuestError for a cell that would be no sample."""
    result = recording.result
    if result.output and is_command:
        print(result.text, flush=True)
    if result.timed_out or result.status:
        ending = "was killed at its time-out" if result.timed_out else result.ending
        words = f"`{subject.commands[subject.index].line}` {ending}"
        if not is_command:
            raise GuestError(f"{words}: {result.words}")
        terminal.stderr().print(f"pibed: {words}", markup=False)


def _note_stripped(recordings: Sequence[Recording], binaries: Binaries) -> None:
    stripped = {each.name: each.unknown for each in binaries.all if each.is_stripped}
    seen = {node.function for each in recordings for _, node in each.profile.root.walk()}
    names = [name for name, unknown in stripped.items() if unknown in seen]
    if names:
        terminal.stderr().print(
            f"profile: {', '.join(names)}: no symbols are in there, so all of it is one function",
            markup=False,
        )


@dataclass(frozen=True)
class _Shown:
    """What becomes of profiles: files, a table, and where the files are."""

    folder: Path
    event: str
    top: int
    images: Images
    binaries: Binaries

    def one(self, profile: Profile, folder: Path) -> None:
        """All of one profile."""
        from pibed.profile import record, shown

        self.files(profile, folder)
        lines = record.lines_of(profile, self.binaries, self.images)
        print_table(shown.table(profile, self.event, lines, self.top), width=160)
        self._say(("flame graph", "flame.svg"), ("functions", "functions.csv"))

    def files(self, profile: Profile, folder: Path) -> None:
        """The files of one profile."""
        from pibed.profile import exports, flame, record, shown

        lines = record.lines_of(profile, self.binaries, self.images)
        modules = [each.name for each in self.binaries.modules]
        painter = shown.painter(profile, self.event, modules)
        at = profile.events.index(self.event)
        subtitle = f"{shown.number(profile.total[at])} {self.event}, counted exactly"
        files = {
            "flame.svg": flame.draw(profile.root, profile.title, subtitle, painter),
            "functions.csv": shown.to_csv(profile, lines, profile.events),
            "stacks.folded": exports.folded(profile, self.event),
            "speedscope.json": exports.speedscope(profile, lines),
            "perf-script.txt": exports.perf_script(profile, self.event),
        }
        for name, text in files.items():
            write_file(folder / name, text)

    def difference(self, first: Profile, second: Profile) -> None:
        """What two profiles differ in."""
        from pibed.profile import difference, flame, record, shown

        names = _names(first.title, second.title)
        title = f"{first.title}, against {names[1]}"
        both = difference.beside(first, second, title)
        lines = record.lines_of(both, self.binaries, self.images)
        columns = [f"{event}_{n}" for n in (1, 2) for event in first.events]
        write_file(self.folder / "difference.csv", shown.to_csv(both, lines, columns))
        painter = shown.difference_painter(both, self.event, names)
        subtitle = f"{self.event}, counted exactly; a bar is as wide as both together"
        svg = flame.draw(both.root, title, subtitle, painter)
        write_file(self.folder / "difference.svg", svg)
        table = shown.difference_table(both, self.event, names, lines, self.top)
        print_table(table, width=160)
        self._say(("differential flame graph", "difference.svg"), ("functions", "difference.csv"))

    def _say(self, *files: tuple[str, str]) -> None:
        for what, name in files:
            print(f"{what}: {self.folder / name}")


def _names(first: str, second: str) -> tuple[str, str]:
    """What two titles differ in."""
    ones, others = ([part.strip() for part in title.split(",")] for title in (first, second))
    ones[0], others[0] = (parts[0].partition(": ")[2] for parts in (ones, others))
    pairs = [(one, other) for one, other in zip(ones, others, strict=True) if one != other]
    return ", ".join(one for one, _ in pairs), ", ".join(other for _, other in pairs)
