"""Numbers of an experiment with a submitted module, each from a boot with the virtual clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pibed.base.errors import GuestError
from pibed.build.images import Images
from pibed.grade import flood
from pibed.grade.nonce import nonce
from pibed.grade.records import Measured
from pibed.guest.guest import Guest, GuestTimeout, Launch, QemuLost
from pibed.guest.line import LineClosed
from pibed.guest.pool import StopRequested
from pibed.guest.qemu import Logs
from pibed.model import plan
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine
from pibed.model.plan import Cell, Steps, Visit
from pibed.model.protocol import Command
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
                if type(error) in (GuestTimeout, QemuLost, LineClosed):
                    words = f"host too slow, or it ended the guest: {error.message}"
                    return replace(known, not_graded=words)
                message = f"the guest was lost over it: {error.message}"
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
        steps = self._with_nonces(steps, name, number)
        below = self.root / self.below / f"{name}-{number}"
        below.mkdir(parents=True, exist_ok=True)
        logs = Logs.below(below, counts=plan.counts_events(experiment))
        launch = Launch(self.machine, images, "virtual", seed)
        watch = flood.Watch(logs.console, self.stop_requested)
        with Guest(launch, logs, list(steps), watch) as guest:
            for command in steps.before:
                result = guest.run(command)
                if result.status != 0 or result.timed_out:
                    raise _NoSample(f"`{command.line}` {result.ending}: {result.words}")
            before = guest.run(steps.counters[0]) if steps.counters else None
            run = guest.run(steps.run)
            after = guest.run(steps.counters[1]) if steps.counters else None
        if run.timed_out:
            raise _NoSample(f"not done within {steps.run.seconds:g} s of the guest's time")
        if run.status != 0:
            raise _NoSample(f"`{steps.run.line}` {run.ending}: {run.words}")
        try:
            pair = None if before is None or after is None else (before, after)
            return float(take_metrics(experiment, run, pair)[measurement.metric])
        except ValueError as error:
            raise _NoSample(str(error)) from None

    def _with_nonces(self, steps: Steps, name: str, number: int) -> Steps:
        def named(command: Command) -> Command:
            word = nonce(self.secret, self.digest, name, number, command.id)
            return replace(command, id=f"{command.id}~{word}")

        counters = steps.counters
        return Steps(
            steps.visit,
            tuple(map(named, steps.before)),
            named(steps.run),
            None if counters is None else (named(counters[0]), named(counters[1])),
        )


class _NoSample(Exception):
    """Why a run gave no number."""
