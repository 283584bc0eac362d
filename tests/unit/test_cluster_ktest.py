"""Variants that workers have tested are written, and told of, as if they had been tested here."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pibed.base.errors import Cancelled, HostError, UsageError
from pibed.cluster import fitness, sharing
from pibed.cluster.engine import TaskLost
from pibed.cluster.task import Outcome
from pibed.cluster.variants import ClusterSuite
from pibed.commands.ktest import ktest
from pibed.commands.options import KtestOptions
from pibed.ktest import runner
from pibed.ktest.cases import TableEntry
from pibed.ktest.ktap import CaseStatus
from pibed.ktest.outcome import CaseOutcome, Loss
from pibed.model.machine import load_machine
from pibed.model.suite import load_suite
from tests.unit.helpers import images_of
from tests.unit.test_cluster import Fake

SUITE = load_suite("paging")
VARIANTS = list(SUITE.variants)
CONSOLE = b"[    1.0] well\n[    2.0] Kernel panic - not syncing: a reason\n"


class Told:
    def __init__(self) -> None:
        self.outcomes: list[CaseOutcome] = []
        self.remarks: list[str] = []

    def booting(self, variant: str) -> None:
        raise AssertionError("it is not booted here")

    def began(self, variant: str, case: str) -> None:
        raise AssertionError("it is not run here")

    def ended(self, outcome: CaseOutcome) -> None:
        self.outcomes.append(outcome)

    def placed(self, variant: str, machine: str) -> None: ...

    def remarked(self, text: str) -> None:
        self.remarks.append(text)


@pytest.fixture
def setup(tmp_path: Path) -> runner.TestRun:
    image = tmp_path / "image"
    image.write_bytes(b"an image")
    build = tmp_path / "build"
    build.mkdir()
    (build / ".config").write_text("CONFIG_MMU=y\n")
    images = replace(images_of(image), kernel_build=build, modules=())
    tests = [TableEntry("fork", "shared", False, False)]
    machine = load_machine("pi2")
    return runner.TestRun(machine, images, SUITE, tests, 1, 10, tmp_path / "run", "virtual")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_LOOK_S", 0.01)
    monkeypatch.setattr(fitness, "wanted", lambda *_: {"files": [], "memory_mib": 1})


def outcome(variant: str) -> Outcome:
    """A variant as a worker gives it back: its first boot has lost its guest."""
    logs = Path("boots") / variant
    lost = CaseOutcome(variant, "fork.shared", CaseStatus.FAILED, 1, "panic", ("old",), logs)
    end = CaseOutcome(variant, "module.unload", CaseStatus.PASSED, 1, logs=Path(f"{logs}-2"))
    told = [("ended", (each,)) for each in (replace(lost, loss=Loss.RUNNING), end)]
    boots = ({"console.log": CONSOLE, "plan": b"1"}, {"console.log": b"", "plan": b"2"})
    return Outcome(boots, tuple(told), None)


def run(engine: Fake, setup: runner.TestRun) -> Told:
    told = Told()
    ClusterSuite(engine, "QEMU 1")(setup, 1, told)
    return told


def require_whole(setup: runner.TestRun, outcomes: Sequence[CaseOutcome]) -> None:
    for variant in VARIANTS:
        first, second = (each for each in outcomes if each.variant == variant)
        logs = setup.folder / "boots" / variant
        assert (first.logs, second.logs) == (logs, logs.with_name(f"{variant}-2"))
        assert (logs / "console.log").read_bytes() == CONSOLE
        assert (logs.with_name(f"{variant}-2") / "plan").read_bytes() == b"2"
        # The last words are looked up here, whatever the worker has made of them.
        panic = "[    2.0] Kernel panic - not syncing: a reason"
        assert first.details == (panic, "", panic)
        assert (first.loss, first.leaks) == (None, ())
        assert (logs / "trace.txt").read_text() == "".join(f"{each}\n" for each in first.details)


def test_variants_are_shared_out_and_written_as_they_come(setup: runner.TestRun) -> None:
    engine = Fake(lambda _, variant: outcome(str(variant)), "a", "b")
    told = run(engine, setup)
    require_whole(setup, told.outcomes)
    assert told.remarks[0].startswith(f"cluster: {len(VARIANTS)} variants in ")


def test_variant_that_is_lost_with_its_worker_is_written_once(setup: runner.TestRun) -> None:
    lost = iter(
        [
            TaskLost("the worker has died"),
            Outcome((), (), Cancelled("it is not wanted any more")),
        ]
    )
    engine = Fake(lambda _, variant: next(lost, None) or outcome(str(variant)), "a")
    told = run(engine, setup)
    require_whole(setup, told.outcomes)
    (words,) = {each.partition(" is lost")[2] for each in told.remarks[:1]}
    assert words == " with a and tested anew: the worker has died"


def test_variant_that_costs_a_worker_each_time_ends_the_run(setup: runner.TestRun) -> None:
    engine = Fake(lambda *_: TaskLost("the worker has died"), "a")
    with pytest.raises(HostError, match=f"variant {VARIANTS[0]} was lost with 4 workers"):
        run(engine, setup)
    assert not setup.folder.exists()


def test_suite_is_sent_without_what_is_of_this_machine(setup: runner.TestRun) -> None:
    again = pickle.loads(pickle.dumps(replace(setup, folder=Path())))
    assert again.suite == SUITE
    # All deadlines of a boot are in it.
    assert runner.longest_s(setup) > 2 * setup.machine.boot_timeout_s


def test_what_cannot_be_meant_is_said_before_anything_is_built() -> None:
    for options, words in (
        (KtestOptions(cluster="lokal:2"), "--cluster lokal:2"),
        (KtestOptions(cluster="local:2", jobs="2"), "--jobs cannot be given with --cluster"),
        (KtestOptions(cluster="local:2", coverage=True), "--coverage cannot be given with"),
    ):
        with pytest.raises(UsageError, match=f"^{words}"):
            ktest(options)
