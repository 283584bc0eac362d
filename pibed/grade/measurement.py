"""Numbers of an experiment with a submitted module, each from a boot with the virtual clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pibed.base.errors import GuestError
from pibed.build.images import Images
from pibed.grade import flood, losses
from pibed.grade.nonce import nonce
from pibed.grade.records import Measured
from pibed.guest.guest import Guest, Launch
from pibed.guest.pool import StopRequested
from pibed.guest.qemu import Logs
from pibed.model import plan
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine
from pibed.model.plan import Cell, Visit
from pibed.model.protocol import Command, Result
from pibed.model.rubric import Measurement
from pibed.model.samples import take_metrics


@dataclass(frozen=True)
class Session:
    """What the boots of a submission share."""

    machine: Machine
    secret: bytes
    digest: str
    seed: int
    root: Path
    below: str
    stop_requested: StopRequested

    def measure(
        self,
        known: Measured,
        name: str,
        measurement: Measurement,
        experiment: Experiment,
        images: Images,
    ) -> Measured:
        """Adds the numbers of a measurement to what is known, or why there are none."""
        values: list[float] = []
        for number in range(1, measurement.rounds + 1):
            try:
                values.append(self._sample(name, number, measurement, experiment, images))
            except _NoSample as problem:
                return replace(known, problems=known.problems | {name: str(problem)})
            except GuestError as error:
                if losses.by_host(error):
                    words = f"host too slow, or it ended the guest: {error.message}"
                    return replace(known, not_graded=words)
                message = f"the guest was lost over it: {losses.told(error)[1]}"
                return replace(known, problems=known.problems | {name: message})
        return replace(known, values=known.values | {name: values})

    def _sample(
        self,
        name: str,
        number: int,
        measurement: Measurement,
        experiment: Experiment,
        images: Images,
    ) -> float:
        seed = plan.round_seed(self.seed, number)
        (steps,) = plan.steps(experiment, [Visit(1, Cell.of(measurement.cell), 0)])
        commands = {each.id: self._with_nonce(each, name, number) for each in steps}
        below = self.root / self.below / f"{name}-{number}"
        below.mkdir(parents=True, exist_ok=True)
        logs = Logs.below(below, counts=plan.counts_events(experiment))
        launch = Launch(self.machine, images, "virtual", seed, losses.PATIENCE)
        watch = flood.Watch(logs.console, self.stop_requested)
        results: dict[str, Result] = {}
        with Guest(launch, logs, list(commands.values()), watch) as guest:
            for known, command in commands.items():
                watch.began()
                results[known] = result = guest.run(command)
                accepted = known == steps.run.id and experiment.measures_status
                if result.timed_out:
                    limit = f"{command.seconds:g} s of the guest's time"
                    raise _NoSample(f"`{command.line}` is not done within {limit}")
                if result.status != 0 and not accepted:
                    raise _NoSample(f"`{command.line}` {result.ending}: {result.words}")

        def pair(asked: tuple[Command, Command] | None) -> tuple[Result, Result] | None:
            return None if asked is None else (results[asked[0].id], results[asked[1].id])

        log = pair(steps.kernel_log)
        try:
            metrics = take_metrics(
                experiment, results[steps.run.id], pair(steps.counters), log[1] if log else None
            )
            return float(metrics[measurement.metric])
        except ValueError as error:
            raise _NoSample(str(error)) from None

    def _with_nonce(self, command: Command, name: str, number: int) -> Command:
        word = nonce(self.secret, self.digest, name, number, command.id)
        return replace(command, id=f"{command.id}~{word}")


class _NoSample(Exception):
    """Why a run gave no number."""
