"""A boot in which a command is profiled, by addresses: who has the symbols knows their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pibed.base.errors import GuestError
from pibed.build.images import Images
from pibed.guest import guest, moderrors
from pibed.guest.guest import Guest, Launch
from pibed.guest.pool import StopRequested
from pibed.guest.qemu import Logs, ProfileFile
from pibed.model.counts import Window
from pibed.model.machine import Clock, Machine
from pibed.model.protocol import Command, Result

FILE = "profile"
"""In the folder of the boot."""


@dataclass(frozen=True)
class ProfiledBoot:
    """All that decides what comes of the boot."""

    machine: Machine
    images: Images
    clock: Clock
    seed: int
    commands: tuple[Command, ...]
    index: int
    """Of the command that is profiled; what is before it must succeed."""
    window: Window

    @property
    def longest_s(self) -> float:
        """Host seconds that it cannot take longer, whatever becomes of it."""
        return guest.longest_s(self._launch.machine, self.commands)

    @property
    def _launch(self) -> Launch:
        machine = self.machine.model_copy(update={"clock": self.clock})
        return Launch(machine, self.images, self.clock, self.seed)

    def run(self, folder: Path, stop_requested: StopRequested) -> Result:
        """How the command has ended; logs and the profile go to the folder.

        Raises GuestError for a command before it that fails, and for a guest that is lost.
        """
        file = ProfileFile(folder / FILE, self.window)
        logs = replace(Logs.below(folder, counts=True), profile=file)
        with Guest(self._launch, logs, self.commands, stop_requested) as booted:
            results = []
            for number, command in enumerate(self.commands):
                results.append(result := booted.run(command))
                if number != self.index and result.status != 0:
                    why = moderrors.explain(result, self.images, booted.console_log)
                    raise GuestError(
                        why or f"`{command.line}` {result.ending}: {result.words}",
                        log=booted.console_log,
                    )
            booted.finish()
        return results[self.index]


class RunProfiled(Protocol):
    """Who runs boots, each with a folder: this process (`run_profiled`), or other machines."""

    def __call__(
        self, boots: Sequence[tuple[ProfiledBoot, Path]], remarked: Callable[[str], None]
    ) -> Iterator[Result]:
        """See `run_profiled`; `remarked` is told of other machines."""


def run_profiled(
    boots: Sequence[tuple[ProfiledBoot, Path]], remarked: Callable[[str], None]
) -> Iterator[Result]:
    """Runs one boot after the other; raises what they raise."""
    for boot, folder in boots:
        yield boot.run(folder, lambda: None)
