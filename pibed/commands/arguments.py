"""Options of the command line that are more than text: read, or refused with what was expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pibed.base.errors import UsageError
from pibed.build import builders
from pibed.build.builders import Builder
from pibed.build.sources.policy import Policy
from pibed.commands.options import BuilderOptions, SourceOptions
from pibed.model.defaults import load_defaults
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import Clock, Machine, load_machine


def number(option: str, text: str, low: int, high: int) -> int:
    """The one whole number of an option; raises UsageError if it is none from low to high."""
    try:
        (value,) = parse_numbers(option, text)
    except (ValueError, UsageError):
        raise UsageError(
            f"{option} {text}: expected one whole number from {low} to {high}"
        ) from None
    if not low <= value <= high:
        raise UsageError(f"{option} {text}: expected a number from {low} to {high}")
    return value


def clock(machine: Machine, given: str | None, others: tuple[str, ...] = ()) -> Clock:
    """The clock of that name, the machine's own unless one was given.

    Raises UsageError, which names the `others` as well, for one that the machine has not.
    """
    if given is None:
        return machine.clock
    for each in get_args(Clock):
        if given == each and each in machine.clocks:
            return each  # type: ignore[no-any-return]
    expected = ", ".join([*machine.clocks, *others])
    raise UsageError(f"--clock {given}: expected one of: {expected}")


def name(given: str | None, experiment: Experiment) -> str:
    """The name for a results folder, the experiment's unless another was given."""
    if given is None:
        return experiment.name
    if not given or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in given):
        raise UsageError(f"--name {given!r}: expected letters, digits, '-', '_' and '.' only")
    return given


def policy(options: SourceOptions, refresh: bool = False) -> Policy:
    """Where sources come from and what is refused; raises UsageError for what contradicts."""
    locked, mirror = options.locked, options.mirror
    if refresh and (locked or mirror is not None):
        other = "--locked" if locked else "--mirror"
        raise UsageError(f"--refresh asks for the newest sources, {other} for those of the lock")
    folder = None if mirror is None else Path(mirror).absolute()
    if folder is not None and not folder.is_dir():
        raise UsageError(f"--mirror {mirror}: there is no such folder", fix="see docs/lock.md")
    return Policy(locked=locked, refresh=refresh, mirror=folder)


def machine(name: str | None, kernel: str | None) -> Machine:
    """The machine of that name (None: the default), of another series if `--kernel` gave one."""
    if name is None:
        name = load_defaults().machine
    known = load_machine(name)
    if kernel is None:
        return known
    if kernel not in known.kernel.versions:
        raise UsageError(
            f"--kernel {kernel}: expected one of: {', '.join(known.kernel.versions)} "
            f"(configs/machines/{name}.yaml: kernel.versions)"
        )
    return load_machine(name, {"kernel.version": kernel})


def experiment(name: str | None, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """The experiment of that name (None: the default); see `load_experiment`."""
    return load_experiment(load_defaults().experiment if name is None else name, overrides)


def builder(options: BuilderOptions) -> Builder:
    """The builder that options name; raises UsageError for what contradicts."""
    return builders.choose(options.builder, options.toolchain, options.buildroot_dir)


def parse_numbers(
    option: str,
    text: str,
    words: Mapping[str, int] | None = None,
    join: str = " ",
    example: str = "1,2,3",
) -> list[int]:
    """The numbers of a list such as `1,2,3`, each of which may be given by one of the `words`.

    `join` stands between the option and the text; `example` is a list that it could be. Raises
    UsageError that names the option and the part that is not a number.
    """
    numbers = []
    for part in (each.strip() for each in text.split(",")):
        if re.fullmatch(r"-?\d{1,18}", part, re.ASCII):
            numbers.append(int(part))
        elif words and part in words:
            numbers.append(words[part])
        else:
            what = f"{part!r} is not a whole number" if part else "a number is missing"
            if part and words:
                what += f", nor one of: {', '.join(words)}"
            raise UsageError(
                f"{option}{join}{text}: {what}",
                fix=f"separate numbers by commas: {option}{join}{example}",
            )
    return numbers
