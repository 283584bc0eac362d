"""Numbers of an experiment with a submitted module, each from a boot with the virtual clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pibed.base.errors import GuestError
from pibed.grade import flood, losses
from pibed.grade.nonce import nonce
from pibed.grade.parts import Boots
from pibed.grade.records import Measured
from pibed.guest import guest
from pibed.guest.guest import Guest, Launch
from pibed.guest.pool import StopRequested
from pibed.guest.qemu import Logs
from pibed.model import plan
from pibed.model.experiment import Experiment
from pibed.model.plan import Cell, Steps, Visit
from pibed.model.protocol import Command, Result
from pibed.model.rubric import Measurement
from pibed.model.samples import take_metrics


@dataclass(frozen=True)
class Measuring(Boots):
    """All that decides what comes of a measurement."""

    experiment: Experiment
    """With the submitted module."""
    name: str
    measurement: Measurement
    seed: int
    secret: bytes
    digest: str
    """Of the submission's files."""
    key: str
    """Of the record."""

    def run(self, root: Path, below: str, stop_requested: StopRequested) -> Measured:
        """See `Boots`: a boot for each number, until one gives none."""
        values: list[float] = []
        for number in range(1, self.measurement.rounds + 1):
            try:
                values.append(self._sample(number, root / below / str(number), stop_requested))
            except _NoSample as problem:
                return Measured(self.key, problems={self.name: str(problem)})
            except GuestError as error:
                if losses.by_host(error):
                    words = f"host too slow, or it ended the guest: {error.message}"
                    return Measured(self.key, not_graded=words)
                message = f"the guest was lost over it: {losses.told(error)[1]}"
                return Measured(self.key, problems={self.name: message})
        return Measured(self.key, {self.name: values})

    @property
    def longest_s(self) -> float:
        """See `Boots`."""
        boot = guest.longest_s(self.machine, list(self._steps))
        return losses.PATIENCE * self.measurement.rounds * boot

    @property
    def _steps(self) -> Steps:
        visit = Visit(1, Cell.of(self.measurement.cell), 0)
        (steps,) = plan.steps(self.experiment, [visit])
        return steps

    def _sample(self, number: int, folder: Path, stop_requested: StopRequested) -> float:
        seed = plan.round_seed(self.seed, number)
        steps = self._steps
        commands = {each.id: self._with_nonce(each, number) for each in steps}
        folder.mkdir(parents=True, exist_ok=True)
        logs = Logs.below(folder, counts=plan.counts_events(self.experiment))
        launch = Launch(self.machine, self.images, "virtual", seed, losses.PATIENCE)
        watch = flood.Watch(logs.console, stop_requested)
        results: dict[str, Result] = {}
        with Guest(launch, logs, list(commands.values()), watch) as booted:
            for known, command in commands.items():
                watch.began()
                results[known] = result = booted.run(command)
                accepted = known == steps.run.id and self.experiment.measures_status
                if result.timed_out:
                    limit = f"{command.seconds:g} s of the guest's time"
                    raise _NoSample(f"`{command.line}` is not done within {limit}")
                if result.status != 0 and not accepted:
                    raise _NoSample(f"`{command.line}` {result.ending}: {result.words}")
            booted.finish()
        return self._metric(steps, results)

    def _metric(self, steps: Steps, results: Mapping[str, Result]) -> float:
        def pair(asked: tuple[Command, Command] | None) -> tuple[Result, Result] | None:
            return None if asked is None else (results[asked[0].id], results[asked[1].id])

        log = pair(steps.kernel_log)
        try:
            metrics = take_metrics(
                *(self.experiment, results[steps.run.id]),
                *(pair(steps.counters), log[1] if log else None),
            )
            return float(metrics[self.measurement.metric])
        except ValueError as error:
            raise _NoSample(str(error)) from None

    def _with_nonce(self, command: Command, number: int) -> Command:
        word = nonce(self.secret, self.digest, self.name, number, command.id)
        return replace(command, id=f"{command.id}~{word}")


class _NoSample(Exception):
    """Why a run gave no number."""
