"""Parts of a grading, and profiles, that workers have booted are as if it had been done here."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pibed.base.errors import Cancelled, GuestError, HostError, UsageError
from pibed.build.images import Images
from pibed.cluster import fitness, parcel, sharing
from pibed.cluster.engine import Task, TaskLost
from pibed.cluster.profiles import ClusterProfiles
from pibed.cluster.submissions import ClusterParts
from pibed.cluster.task import Outcome
from pibed.commands.attempt import attempt
from pibed.commands.grade import grade
from pibed.commands.options import GradeOptions, ProfileOptions, TryOptions
from pibed.commands.profile import profile
from pibed.grade.chain import Chain
from pibed.grade.decoding import decoded
from pibed.grade.parts import Boots, Part, Record
from pibed.grade.records import CaseResult, ChainResult, Said, Status, Telling
from pibed.guest.guest import KernelPanic
from pibed.guest.pool import StopRequested
from pibed.model.counts import Window
from pibed.model.machine import load_machine
from pibed.model.protocol import Command, Result
from pibed.model.suite import load_suite
from pibed.profile.boot import ProfiledBoot
from tests.unit.helpers import images_of
from tests.unit.test_cluster import Fake

PANIC = "[    2.0] Kernel panic - not syncing: a reason"
Begin = Callable[[StopRequested], Record | Boots]

CONSOLE = f"[    1.0] well\n{PANIC}\n".encode()


class Workers(Fake):
    """Notes which files come with a job, and whether they lie here by then."""

    def __init__(self, does: Callable[[str, Any], object], *names: str) -> None:
        super().__init__(does, *names)
        self.own: list[Mapping[str, bytes]] = []

    def submit(
        self,
        address: str,
        key: str,
        function: Callable[..., Any],
        *arguments: Any,
        boots: int = 0,
        done: Callable[[], None] | None = None,
    ) -> Task:
        bed, own, *others = arguments
        self.own.append(own)
        words = others[0] if others else bed
        return super().submit(address, key, function, bed, {}, words, boots=boots, done=done)


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def began(self, submission: str, what: str) -> None: ...

    def placed(self, submission: str, what: str, machine: str) -> None: ...

    def ended(self, submission: str, what: str, outcome: str) -> None:
        self.lines.append(f"{submission} {what}: {outcome}")

    def remarked(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_LOOK_S", 0.01)
    monkeypatch.setattr(fitness, "wanted", lambda *_: {"files": [], "memory_mib": 1})


def images(folder: Path, initramfs: bytes = b"an image") -> Images:
    folder.mkdir(parents=True)
    image = folder / "image"
    image.write_bytes(b"an image")
    (folder / "initramfs.cpio").write_bytes(initramfs)
    (folder / ".config").write_text("CONFIG_MMU=y\n")
    made = replace(images_of(image), kernel_build=folder, modules=())
    return replace(made, initramfs=folder / "initramfs.cpio")


def chain(made: Images) -> Chain:
    return Chain(
        *(load_machine("pi2"), made, load_suite("paging-lab"), "demand-paging", 1, 1),
        *((), 4, b"secret", "digest", "source", "key"),
    )


def result(words: str = "") -> ChainResult:
    return ChainResult("key", (CaseResult("p.one", Status.PASSED, message=words),))


class Endless:
    """A build that ends only when it is asked to."""

    def __init__(self) -> None:
        self.begun, self.stopped = threading.Event(), threading.Event()

    def __call__(self, stop_requested: StopRequested) -> Record:
        self.begun.set()
        try:
            while True:
                stop_requested()
                time.sleep(0.01)
        finally:
            self.stopped.set()


class Work:
    """Parts of submissions, and what came of them."""

    def __init__(self, folder: Path, known: Mapping[str, Record] | None = None) -> None:
        self.root = folder / "results"
        self.common = images(folder / "common")
        self.taken: dict[str, Record] = {}
        self._folder = folder
        self._known = known or {}

    def part(self, name: str, begin: Begin | None = None) -> Part:
        def built(_: StopRequested) -> Record | Boots:
            made = images(self._folder / name, name.encode())
            return self._known.get(name) or chain(made)

        def end(record: Record) -> str:
            self.taken[name] = record
            return "done"

        return Part(name, "chain", f"{name}/chain", f"{name}/boots", begin or built, end)

    def run(self, engine: Fake, *parts: Part) -> Told:
        told = Told()
        run = ClusterParts(engine, load_machine("pi2"), "QEMU 1", [self.common])
        run([lambda _, part=part: [part] for part in parts], self.root, 2, told)  # type: ignore[misc]
        return told


def back(below: str) -> Outcome:
    return Outcome(({"boot-1/console.log": below.encode()},), (), None, result(below))


def test_parts_are_booted_elsewhere_and_written_here(tmp_path: Path) -> None:
    known = result("known")
    work = Work(tmp_path, {"b": known})
    old = work.root / "a" / "boots" / "boot-2"
    old.mkdir(parents=True)
    engine = Workers(lambda _, below: back(below), "x", "y")
    told = work.run(engine, work.part("a"), work.part("b"), work.part("c"))
    assert work.taken == {"a": result("a/boots"), "b": known, "c": result("c/boots")}
    assert (work.root / "c" / "boots" / "boot-1" / "console.log").read_bytes() == b"c/boots"
    # What another run has left is gone.
    assert not old.exists()
    assert sorted(told.lines[:3]) == ["a chain: done", "b chain: done", "c chain: done"]
    assert told.lines[3].startswith("cluster: 2 parts in ")
    # What all have in common is not sent with a part.
    for own in engine.own:
        (name,) = (each.partition("/")[2] for each in own)
        assert name == "initramfs.cpio"
        assert b"an image" not in own.values()
    assert len(engine.own) == 2


def test_part_that_is_lost_with_its_worker_is_booted_again(tmp_path: Path) -> None:
    lost = iter([TaskLost("the worker has died"), Outcome((), (), Cancelled("not wanted"))])
    work = Work(tmp_path)
    engine = Workers(lambda _, below: next(lost, None) or back(below), "x")
    told = work.run(engine, work.part("a"))
    assert work.taken == {"a": result("a/boots")}
    assert told.lines[0] == "part a/chain is lost with x and run anew: the worker has died"
    assert "cluster: 2 parts lost with a worker and run again" in told.lines[-1]


def test_nothing_to_boot_needs_no_worker(tmp_path: Path) -> None:
    work = Work(tmp_path, {"a": result("known")})
    told = work.run(Workers(lambda *_: None), work.part("a"))
    assert told.lines == ["a chain: done"]


def test_error_of_a_build_ends_what_is_booted_and_built(tmp_path: Path) -> None:
    work = Work(tmp_path)
    endless = Endless()

    def full(_: StopRequested) -> Record:
        assert endless.begun.wait(20)
        raise HostError("the disk is full")

    engine = Workers(lambda *_: None, "x")  # what it is given never ends
    with pytest.raises(HostError, match="the disk is full"):
        work.run(engine, work.part("a", endless), work.part("b", full))
    assert endless.stopped.is_set()
    assert work.taken == {}


def test_lost_workers_end_what_is_built(tmp_path: Path) -> None:
    work = Work(tmp_path)
    endless = Endless()

    engine = Workers(lambda *_: TaskLost("died"), "x")
    with pytest.raises(HostError, match="part a/chain was lost with 4 workers"):
        work.run(engine, work.part("a"), work.part("b", endless))
    assert endless.stopped.is_set()


def test_submissions_are_booted_while_others_are_built(tmp_path: Path) -> None:
    work = Work(tmp_path)
    booted = threading.Event()

    def does(_: str, below: str) -> Outcome:
        booted.set()
        return back(below)

    def late(_: StopRequested) -> Record:
        assert booted.wait(20), "the first is not booted before all are built"
        return result("late")

    work.run(Workers(does, "x"), work.part("a"), work.part("b", late))
    assert work.taken == {"a": result("a/boots"), "b": result("late")}


def test_scheduler_that_dies_while_submissions_are_built_ends_that(tmp_path: Path) -> None:
    work = Work(tmp_path)
    engine = Workers(lambda *_: None, "x")
    endless = Endless()

    def begin(stop_requested: StopRequested) -> Record:
        engine.gone = True
        return endless(stop_requested)

    with pytest.raises(HostError, match="the scheduler does not answer any more"):
        work.run(engine, work.part("a", begin))
    assert endless.stopped.is_set()


def test_file_that_is_gone_is_an_error_in_words(tmp_path: Path) -> None:
    made = images(tmp_path / "made")
    packed = parcel.pack(chain(made))
    made.initramfs.unlink()
    with pytest.raises(HostError, match=r"initramfs\.cpio"):
        packed.beside({})


def test_workers_files_are_the_jobs_own_before_those_of_the_shelf(tmp_path: Path) -> None:
    made = chain(images(tmp_path / "made", b"its own"))
    packed = parcel.pack(made)
    common = parcel.common_files([images(tmp_path / "common")])
    # Nobody needs what is another payload's.
    assert not [each for each in common if each.endswith("initramfs.cpio")]
    shelf = parcel.Shelf(tmp_path / "cluster")
    for address, path in common.items():
        shelf.put(address, path.read_bytes())
    own = packed.beside(common)
    unpacked = replace(parcel.Unpacked.into(tmp_path / "job", own), shelf=shelf)
    there = unpacked.bed(packed.bed, Chain)
    assert there.images.initramfs.read_bytes() == b"its own"
    assert there.images.initramfs.is_relative_to(tmp_path / "job")
    assert there.images.kernel.is_relative_to(shelf.folder)
    assert replace(there, images=made.images) == made
    assert there.longest_s > made.machine.boot_timeout_s


def test_what_the_kernel_said_is_read_where_its_symbols_are(tmp_path: Path) -> None:
    made = images(tmp_path / "made")
    said = Said(Telling.END, (PANIC,))
    case = CaseResult("p.one", Status.FAILED, said=said)
    other = CaseResult("p.two", Status.FAILED, details=("as it was",))
    read = decoded(ChainResult("key", (case, other)), made, "source")
    assert read.cases == (replace(case, said=None, details=(PANIC,)), other)
    # Lines of a task that sleeps, and of leaks; more than anybody reads are cut off.
    for telling in (Telling.BLOCKED, Telling.LEAKS):
        lines = tuple(f"[  1.0] line {number}" for number in range(1000))
        case = replace(case, said=Said(telling, lines))
        (read_case,) = decoded(ChainResult("key", (case,)), made, "source").cases
        assert 0 < len(read_case.details) <= 200


def profiled(made: Images) -> ProfiledBoot:
    commands = (Command("load", 1, "load"), Command("cmd", 1, "work"))
    window = Window(2, None, (1, 2), 3)
    return ProfiledBoot(load_machine("pi2"), made, "virtual", 1, commands, 1, window)


def test_profiles_come_back_in_their_order(tmp_path: Path) -> None:
    made = images(tmp_path / "made")
    boots = [(replace(profiled(made), seed=seed), tmp_path / str(seed)) for seed in (1, 2, 3)]

    def does(_: str, bed: bytes) -> Outcome:
        seed = pickle.loads(bed).seed
        result = Result(f"seed {seed}", 0, False, False, ())
        return Outcome(({"profile": b"%d" % seed, "console.log": b""},), (), None, result)

    engine = Workers(does, "x", "y")
    lines: list[str] = []
    results = list(ClusterProfiles(engine, "QEMU 1")(boots, lines.append))
    assert [each.id for each in results] == ["seed 1", "seed 2", "seed 3"]
    assert [(folder / "profile").read_bytes() for _, folder in boots] == [b"1", b"2", b"3"]
    assert lines[0].startswith("cluster: 3 profiles in ")


@pytest.mark.parametrize(
    ("error", "context"),
    [
        (KernelPanic("the kernel died", log=Path("console.log"), context=["of a worker"]), [PANIC]),
        (GuestError("`load` ended with 1", log=Path("console.log"), context=["kept"]), ["kept"]),
    ],
)
def test_error_of_a_profiled_guest_has_its_log_here(
    tmp_path: Path, error: GuestError, context: list[str]
) -> None:
    boots = [(profiled(images(tmp_path / "made")), tmp_path / "run")]
    engine = Workers(lambda *_: Outcome(({"console.log": CONSOLE},), (), error), "x")
    with pytest.raises(type(error)) as caught:
        list(ClusterProfiles(engine, "QEMU 1")(boots, lambda _: None))
    assert caught.value.log == tmp_path / "run" / "console.log"
    assert caught.value.log.read_bytes() == CONSOLE
    assert list(caught.value.context) == context


def test_what_cannot_be_meant_is_said_before_anything_is_built() -> None:
    calls: list[tuple[Callable[[], None], str]] = [
        (lambda: grade(GradeOptions(submissions=".", cluster="x")), "--cluster x"),
        (lambda: attempt(TryOptions(folder=".", cluster="x")), "--cluster x"),
        (lambda: profile(ProfileOptions(cluster="x")), "--cluster x"),
        (
            lambda: grade(GradeOptions(submissions=".", cluster="local:2", jobs="2")),
            "--jobs cannot be given with --cluster",
        ),
        (
            lambda: attempt(TryOptions(folder=".", cluster="local:2", jobs="2")),
            "--jobs cannot be given with --cluster",
        ),
    ]
    for call, words in calls:
        with pytest.raises(UsageError, match=f"^{words}"):
            call()
