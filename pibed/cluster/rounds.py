"""The rounds of a sweep, measured by workers; the asking process writes what comes of them.

Each round is written once, whole, in a run that `--resume` goes on with, on workers or off them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from pibed.base.errors import GuestError, PibedError
from pibed.cluster import fitness, parcel, task
from pibed.cluster.engine import Engine
from pibed.cluster.sharing import Job, Sharing
from pibed.cluster.tally import Kind
from pibed.cluster.task import Outcome
from pibed.cluster.writing import last_words
from pibed.measure.rounds import RoundsObserver, Testbed, longest_s
from pibed.model.plan import Round
from pibed.runs.folder import RunFolder

_ROUND = Kind("round", "measured")


class ClusterRounds:
    """Measures rounds by the workers of an engine (see `MeasureRounds`)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(
        self,
        testbed: Testbed,
        run: RunFolder,
        rounds: Sequence[Round],
        jobs: int,
        observer: RoundsObserver,
    ) -> None:
        """Measures rounds; `jobs` does not matter, since each worker says how many it can have.

        Raises what `Sharing.run` raises; else as `measure_rounds`.
        """
        packed = parcel.pack(testbed)
        wanted = fitness.wanted(
            testbed.machine, [testbed.images], testbed.qemu_version, packed.files
        )
        written = _Written(testbed, run, observer)
        Sharing(self._engine, packed.files, wanted, _ROUND, observer.remarked).run(
            [
                Job(
                    str(each.number),
                    task.measure,
                    packed,
                    (each.number,),
                    longest_s(testbed, each),
                    partial(observer.placed, each.number),
                    partial(written.take, each.number),
                )
                for each in rounds
            ]
        )


class _Written:
    """Writes rounds into their run as this process would have measured them, and tells of them."""

    def __init__(self, testbed: Testbed, run: RunFolder, observer: RoundsObserver) -> None:
        self._testbed = testbed
        self._run = run
        self._observer = observer

    def take(self, number: int, outcome: Outcome) -> None:
        """Takes what came of a round; raises the error that it has ended with."""
        boots = [self._traced(files) for files in outcome.boots]
        problems = [str(what[0]) for method, what in outcome.told if method == "noticed"]
        if outcome.error is None:
            self._run.take_round(number, boots, problems)
        else:
            self._run.take_boots(number, boots)
        for method, arguments in outcome.told:
            for each in arguments:
                if isinstance(each, GuestError):
                    self._place(each)
            getattr(self._observer, method)(*arguments)
        if outcome.error is not None:
            self._place(outcome.error)
            raise outcome.error

    def _place(self, error: PibedError) -> None:
        """Makes an error's log that of the run's folder, and its trace what the images tell."""
        if error.log is not None and not error.log.is_absolute():
            error.log = self._run.folder / error.log
            if error.context and (error.log.with_name("trace.txt")).is_file():
                text = error.log.with_name("trace.txt").read_text(encoding="utf-8")
                error.context = text.splitlines()

    def _traced(self, files: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """A boot's files, with the call trace by the kernel and the tools that are here."""
        if "trace.txt" not in files:
            return files
        told = last_words(files["console.log"], self._testbed.images)
        return {**files, "trace.txt": "".join(f"{line}\n" for line in told).encode()}
