"""Who measures which round, and what becomes of it when a worker is lost."""

from __future__ import annotations

import itertools
import pickle
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import dask
import pytest

from pibed.base.errors import (
    Cancelled,
    GuestError,
    HostError,
    Interrupted,
    PibedError,
    UsageError,
)
from pibed.cluster import fitness, keys, parcel, rounds, sharing, starting, workers
from pibed.cluster.choice import Existing, Host, Local, Slurm, Ssh, parse
from pibed.cluster.engine import Engine, EngineGone, Seen, Task, TaskLost
from pibed.cluster.patience import within
from pibed.cluster.rounds import ClusterRounds
from pibed.cluster.scheduler import Meeting
from pibed.cluster.task import Outcome
from pibed.cluster.worker import Membership
from pibed.measure import rounds as measuring
from pibed.model import plan
from pibed.model.machine import load_machine
from pibed.model.plan import Visit
from pibed.model.samples import Sample, Status
from pibed.runs.folder import RunFolder
from tests.unit.helpers import ROOT, experiment, images_of

STUDY = experiment(rounds=5)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("tcp://lab1:8786", Existing("tcp://lab1:8786")),
        ("tls://[::1]:8786", Existing("tls://[::1]:8786")),
        ("local:4", Local(4)),
        ("slurm:20", Slurm(20)),
        ("ssh:lab1", Ssh((Host("lab1", str(ROOT), None),))),
        (
            "ssh:me@lab1=8,lab2:/opt/pibed,lab3:/opt/pibed=2",
            Ssh(
                (
                    Host("me@lab1", str(ROOT), 8),
                    Host("lab2", "/opt/pibed", None),
                    Host("lab3", "/opt/pibed", 2),
                )
            ),
        ),
    ],
)
def test_what_names_a_cluster(text: str, meant: object) -> None:
    assert parse(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        *("", "local", "local:", "local:0", "local:-1", "local:1e3", "local:99999", "slurm:x"),
        *("tcp://lab1:0", "tcp://lab1:65536", "tls://[::1]:99999"),
        *("tcp://", "tcp://lab1", "tcp://:8786", "http://lab1:80", "udp:1", "ssh:", "ssh:a,,b"),
        *("ssh:-oProxyCommand=x", "ssh:lab1=0", "ssh:lab1:folder"),
    ],
)
def test_what_names_none(text: str) -> None:
    with pytest.raises(UsageError, match=f"^--cluster {re.escape(text)}: "):
        parse(text)


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("tcp://lab1:8786", True),
        ("tcp://0.0.0.0:8786", True),
        ("tls://lab1:8786", False),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://localhost:8786", False),
        ("tcp://[::1]:8786", False),
        ("tcp://127.0.0.1.lab1:8786", True),
    ],
)
def test_what_is_open_to_others_is_said(address: str, is_open: bool) -> None:
    assert (Existing(address).open_to is not None) == is_open


def test_worker_is_told_what_to_join_in_a_line() -> None:
    membership = Membership("tls://127.0.0.1:1", 2, "lab1", security={"tls_ca_file": "a\nb"})
    assert Membership.from_line(membership.to_line()) == membership
    for line in ("", "{}", "[1]", '{"scheduler": "x", "other": 1}'):
        with pytest.raises(UsageError, match="does not say what to join"):
            Membership.from_line(line)


@pytest.fixture
def testbed(tmp_path: Path) -> measuring.Testbed:
    image = tmp_path / "image"
    image.write_bytes(b"an image")
    machine = load_machine("pi2")
    images = images_of(image)
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / ".config").write_text("CONFIG_DEBUG_INFO=y\n")
    images = replace(images, kernel_build=folder)
    return measuring.Testbed(machine, images, STUDY, "QEMU 1")


def test_files_get_to_a_worker_once_by_their_content(
    testbed: measuring.Testbed, tmp_path: Path
) -> None:
    packed = parcel.pack(testbed)
    shelf = parcel.Shelf(tmp_path / "worker" / "cluster")
    # One file stands for all images; beside it the kernel's configuration.
    assert sorted(each.partition("/")[2] for each in shelf.missing(packed.files)) == [
        ".config",
        "image",
    ]
    for address, path in packed.files.items():
        shelf.put(address, path.read_bytes())
        shelf.put(address, path.read_bytes())  # by another worker of this machine
    assert shelf.missing(packed.files) == []
    there = parcel.Unpacked(shelf, tmp_path / "none").bed(packed.bed, measuring.Testbed)
    assert there.experiment == STUDY
    assert there.images.kernel.read_bytes() == b"an image"
    assert there.images.kernel.is_relative_to(shelf.folder)
    assert (there.images.kernel_build / ".config").is_file()
    assert not list(shelf.folder.glob(".unfinished*"))
    # What a disk has made of one is seen, and it is sent again.
    there.images.kernel.write_bytes(b"another")
    (missing,) = shelf.missing(packed.files)
    shelf.put(missing, b"an image")
    assert shelf.missing(packed.files) == []
    with pytest.raises(HostError, match="other bytes have arrived"):
        shelf.put(missing, b"another")


class Silent:
    """Keeps what is told of a sweep."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.problems: list[str] = []
        self.remarks: list[str] = []
        self.places: list[tuple[int, str]] = []

    def placed(self, number: int, machine: str) -> None:
        self.places.append((number, machine))

    def remarked(self, text: str) -> None:
        self.remarks.append(text)

    def began(self, number: int, visit: Visit) -> None: ...
    def took(self, sample: Sample) -> None:
        self.samples.append(sample)

    def died(self, number: int, error: GuestError) -> None: ...
    def rebooted(self, number: int, error: GuestError) -> None: ...
    def noticed(self, problem: str) -> None:
        self.problems.append(problem)


def outcome(number: int, error: PibedError | None = None) -> Outcome:
    """A round as a worker gives it back."""
    round_ = plan.rounds(STUDY)[number - 1]
    samples = [
        Sample(
            STUDY.name, number, visit.order, Status.OK, visit.cell, {"work_us": 1, "pages": number}
        )
        for visit in round_.visits
    ]
    log = "".join(each.to_json() + "\n" for each in samples).encode()
    files = {"samples.jsonl": log, "console.log": b"", "finished.json": b"not by the worker"}
    told: list[tuple[str, tuple[object, ...]]] = [("took", (each,)) for each in samples]
    return Outcome((files,), (*told, ("noticed", (f"round {number}: odd",))), error)


class Given:
    def __init__(self, does: object) -> None:
        self.does = does
        self.forgotten = False

    def outcome(self, timeout_s: float) -> Any:
        if isinstance(self.does, Exception):
            raise self.does
        return pickle.loads(pickle.dumps(self.does))

    def forget(self) -> None:
        self.forgotten = True


Does = Callable[[str, int], object]
"""What comes of a round on a worker; None: nothing, for ever."""


class Fake(Engine):
    """Workers that do at once what a test says."""

    def __init__(self, does: Does, *names: str, boots: int = 1) -> None:
        self.where = "tcp://lab:1"
        self.patience_s = 0.3
        self.most = None
        self.does = does
        self.there = {name: Seen(name, boots, "/tmp", 0.0) for name in names}
        self.unfit: dict[str, str] = {}
        self.gone = False
        self.given: list[tuple[str, int, Given]] = []
        self.stopped: list[Task] = []
        self.sent: list[str] = []

    def workers(self) -> Mapping[str, Seen]:
        if self.gone:
            raise EngineGone("tcp://lab:1: the scheduler does not answer any more")
        return dict(self.there)

    def beat(self, *names: str) -> None:
        for name in names:
            old = self.there[name]
            self.there[name] = Seen(name, old.boots, old.scratch, old.heartbeat + 1)

    def submit(
        self,
        address: str,
        key: str,
        function: Callable[..., Any],
        *arguments: Any,
        boots: int = 0,
        done: Callable[[], None] | None = None,
    ) -> Task:
        _, own, number = arguments
        assert own == {}  # each job has what all have
        task = Given(self.does(address, number))
        self.given.append((address, number, task))
        if task.does is not None and done is not None:
            done()
        return task

    def ask(
        self,
        address: str,
        key: str,
        function: Callable[..., Any],
        *arguments: Any,
        timeout_s: float,
    ) -> Any:
        if function is workers._put:
            self.sent.append(address)
            return None
        if address in self.unfit:
            return {"unfit": self.unfit[address]}
        return {"unfit": "", "missing": list(arguments[0]["files"]), "memory_mib": 1 << 20}

    def send(self, address: str, content: bytes, timeout_s: float) -> Any:
        return content

    def stop(self, tasks: Iterable[Task], boots: Mapping[str, int]) -> None:
        self.stopped.extend(tasks)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = tmp_path / "run"
    folder.mkdir()
    return RunFolder(folder, STUDY)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_LOOK_S", 0.01)
    monkeypatch.setattr(fitness, "wanted", lambda *_: {"files": [], "memory_mib": 1})


def measure(
    engine: Engine, testbed: measuring.Testbed, run: RunFolder, which: Sequence[int] = range(1, 6)
) -> Silent:
    observer = Silent()
    todo = [plan.rounds(STUDY)[number - 1] for number in which]
    ClusterRounds(engine)(testbed, run, todo, 1, observer)
    return observer


def require_whole(run: RunFolder, observer: Silent) -> None:
    """Each round is written once, as its worker gave it back."""
    there, left = run.all_measured()
    assert left == []
    assert sorted(there.samples, key=lambda each: (each.round, each.order)) == sorted(
        observer.samples, key=lambda each: (each.round, each.order)
    )
    assert len(observer.samples) == 5 * 4
    assert sorted(there.problems) == [f"round {number}: odd" for number in range(1, 6)]
    assert len(list(run.folder.glob("boots/*"))) == 5


def test_rounds_are_shared_out_and_written_as_they_come(
    testbed: measuring.Testbed, run: RunFolder
) -> None:
    engine = Fake(lambda address, number: outcome(number), "a", "b")
    observer = measure(engine, testbed, run)
    require_whole(run, observer)
    assert [number for _, number, _ in engine.given] == [1, 2, 3, 4, 5]
    assert all(task.forgotten for _, _, task in engine.given)
    assert observer.remarks[0].startswith("cluster: 5 rounds in ")
    assert "0 rounds lost" in observer.remarks[1]


def test_round_that_is_lost_with_its_worker_is_measured_by_another(
    testbed: measuring.Testbed, run: RunFolder
) -> None:
    def does(address: str, number: int) -> object:
        if address == "a":
            engine.there.pop("a")
            return TaskLost("the worker has died")
        return outcome(number)

    engine = Fake(does, "a", "b")
    observer = measure(engine, testbed, run)
    require_whole(run, observer)
    assert sum(address == "a" for address, _, _ in engine.given) <= 1


def test_worker_that_leaves_with_a_round_costs_it_once_more(
    testbed: measuring.Testbed, run: RunFolder
) -> None:
    """What the first one may still make of it is nobody's."""

    def does(address: str, number: int) -> object:
        if address == "a":
            engine.there.pop("a")
            return None
        return outcome(number)

    engine = Fake(does, "a")
    engine.there["b"] = Seen("b", 1, "/tmp", 0.0)
    observer = measure(engine, testbed, run)
    require_whole(run, observer)
    for address, number, task in engine.given:
        if address == "a":
            assert task.forgotten
            assert f"round {number} is lost with a and measured anew: it has left" in (
                observer.remarks
            )


def test_worker_without_a_sign_of_life_is_given_nothing_until_it_gives_one(
    testbed: measuring.Testbed, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "SILENCE_S", 0.2)
    frozen = True

    def does(address: str, number: int) -> object:
        nonlocal frozen
        engine.beat("b")
        if address == "a" and frozen:
            return None
        time.sleep(0.1)
        if number == 4:
            frozen = False
            engine.beat("a")
        return outcome(number)

    engine = Fake(does, "a", "b")
    observer = measure(engine, testbed, run)
    require_whole(run, observer)
    lost = [each for each in observer.remarks if "is lost with a" in each]
    assert len(lost) == sum(task.does is None for _, _, task in engine.given)


def test_when_all_that_there_can_be_are_left_out_none_is_waited_for(
    testbed: measuring.Testbed, run: RunFolder
) -> None:
    engine = Fake(lambda *_: Outcome((), (), HostError("no space left")), "a", "b")
    engine.patience_s, engine.most = 3600, 2
    began = time.monotonic()
    with pytest.raises(HostError, match="no worker is left that can measure; a: no space left"):
        measure(engine, testbed, run)
    assert time.monotonic() - began < 60


def test_fault_of_a_worker_leaves_it_out_with_its_reason(
    testbed: measuring.Testbed, run: RunFolder
) -> None:
    def does(address: str, number: int) -> object:
        if address == "full":
            return Outcome((), (), HostError("/tmp: No space left on device"))
        if address == "odd":
            return ValueError("no such thing\nat all")
        return outcome(number)

    engine = Fake(does, "full", "odd", "well")
    engine.unfit = {"old": "its QEMU is 7.2 instead of 10.0"}
    engine.there["old"] = Seen("old", 4, "/tmp", 0.0)
    engine.there["none"] = Seen("none", 0, "/tmp", 0.0)
    observer = measure(engine, testbed, run)
    require_whole(run, observer)
    out = {each for each in observer.remarks if "is left out" in each}
    expected = {
        "full": "full is left out: /tmp: No space left on device",
        "odd": "odd is left out: ValueError: no such thing",
        "old": "old is left out: its QEMU is 7.2 instead of 10.0",
        "none": "none is left out: it was started without --resources qemu=BOOTS",
    }
    # The quick one may have measured all before the others were examined.
    assert out <= set(expected.values())
    assert expected["none"] in out
    assert {name for name, _, _ in engine.given} <= {"full", "odd", "well"}
    for name in ("full", "odd"):
        assert sum(address == name for address, _, _ in engine.given) <= 1


def test_no_worker_that_fits_is_an_error_with_all_reasons(
    testbed: measuring.Testbed, run: RunFolder
) -> None:
    engine = Fake(lambda address, number: outcome(number), "a", "b")
    engine.unfit = {"a": "its QEMU is another one", "b": "it has no sandbox"}
    with pytest.raises(HostError) as caught:
        measure(engine, testbed, run)
    assert "a: its QEMU is another one; b: it has no sandbox" in caught.value.message
    assert not list(run.folder.glob("boots/*"))
    with pytest.raises(HostError, match="no worker has come within 0 s"):
        measure(Fake(lambda address, number: None), testbed, run)


def test_round_that_costs_a_worker_each_time_ends_the_sweep(
    testbed: measuring.Testbed, run: RunFolder
) -> None:
    def does(address: str, number: int) -> object:
        return TaskLost("the worker has died") if number == 2 else outcome(number)

    engine = Fake(does, "a")
    with pytest.raises(HostError, match="round 2 was lost with 4 workers, one after the other"):
        measure(engine, testbed, run)
    assert [number for _, number, _ in engine.given] == [1, 2, 2, 2, 2]


def test_round_that_does_not_come_back_in_time_is_taken_back(
    testbed: measuring.Testbed, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "longest_s", lambda *_: 0.1)
    engine = Fake(lambda address, number: None if address == "a" else outcome(number), "a")
    answers: Iterator[Seen] = iter([Seen("b", 1, "/tmp", 0.0)])

    def does(address: str, number: int) -> object:
        for seen in answers:
            engine.there["b"] = seen
        return None if address == "a" else outcome(number)

    engine.does = does
    observer = measure(engine, testbed, run)
    require_whole(run, observer)
    assert "a is left out: a round has not come back from it in time" in observer.remarks


def test_cancelled_round_is_measured_again(testbed: measuring.Testbed, run: RunFolder) -> None:
    first = iter([Outcome((), (), Cancelled("this round is not wanted any more"))])
    engine = Fake(lambda address, number: next(first, None) or outcome(number), "a")
    require_whole(run, measure(engine, testbed, run))


def test_error_of_the_guest_is_that_of_the_sweep_with_its_logs(
    testbed: measuring.Testbed, run: RunFolder
) -> None:
    error = GuestError("the guest does not boot", log=Path("boots/03/console.log"))
    engine = Fake(
        lambda address, number: outcome(number, error if number == 3 else None), "a", boots=2
    )
    with pytest.raises(GuestError, match="does not boot") as caught:
        measure(engine, testbed, run)
    assert caught.value.log == run.folder / "boots" / "03" / "console.log"
    assert caught.value.log.is_file()
    # It is measured anew when the run is taken up again.
    assert run.measured(plan.rounds(STUDY)[2]) is None


def test_end_of_the_scheduler_ends_the_sweep_and_waits_for_nobody(
    testbed: measuring.Testbed, run: RunFolder
) -> None:
    def does(address: str, number: int) -> object:
        if number == 3:
            engine.gone = True
            return TaskLost("scheduler-connection-lost")
        return outcome(number)

    engine = Fake(does, "a")
    with pytest.raises(EngineGone):
        measure(engine, testbed, run)
    assert [each.number for each in run.all_measured()[1]] == [3, 4, 5]


def test_what_still_runs_is_stopped_whatever_ends_the_sweep(
    testbed: measuring.Testbed, run: RunFolder
) -> None:
    error = GuestError("the guest does not boot")
    engine = Fake(
        lambda address, number: outcome(number, error) if number == 2 else None, "a", boots=3
    )
    with pytest.raises(GuestError):
        measure(engine, testbed, run)
    running = [task for _, number, task in engine.given if number != 2]
    assert engine.stopped == running
    assert len(running) == 2


class Answers:
    """A client of the engine's, of which all that is asked raises an error."""

    scheduler = None
    status = "running"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        def ask(*arguments: object, **named: object) -> Any:
            raise self.error

        return ask


STOPPED = [Interrupted.by(signal.SIGTERM), Cancelled("not wanted any more")]


@pytest.mark.parametrize("error", STOPPED, ids=lambda error: type(error).__name__)
def test_signal_is_no_answer_of_the_scheduler(
    monkeypatch: pytest.MonkeyPatch, error: PibedError
) -> None:
    client: Any = Answers(error)
    client.scheduler = Answers(error)
    engine = Engine(client, "tcp://lab:1", 1)
    monkeypatch.setattr("distributed.Client", client.made)

    def connect() -> None:
        with starting._client("tcp://lab:1"):
            pass

    for ask in (
        connect,
        engine.workers,
        lambda: engine.submit("a", "x", print),
        lambda: engine.stop([], {"a": 1}),
        lambda: starting._require_pibed(client, "tcp://lab:1"),
    ):
        with pytest.raises(type(error)) as caught:
            ask()
        assert caught.value is error


@pytest.mark.parametrize("error", STOPPED, ids=lambda error: type(error).__name__)
def test_signal_while_a_round_is_fetched_ends_the_sweep(
    testbed: measuring.Testbed, run: RunFolder, error: PibedError
) -> None:
    with pytest.raises(type(error)) as caught:
        measure(Fake(lambda address, number: error, "a"), testbed, run)
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("No module named 'pibed'"), "at tcp://lab:1 cannot import pibed"),
        (OSError("gone"), "tcp://lab:1: the scheduler does not answer: gone"),
    ],
)
def test_scheduler_without_pibed_is_told_from_one_that_is_gone(
    error: Exception, words: str
) -> None:
    with pytest.raises(HostError, match=words) as caught:
        starting._require_pibed(Answers(error), "tcp://lab:1")  # type: ignore[arg-type]
    assert "./inv scheduler" in (caught.value.fix or "")


@pytest.fixture
def configured() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Sets Dask's configuration, as a file of the user's would."""
    with ExitStack() as stack:
        yield lambda values: stack.enter_context(dask.config.set(values))


def role(role: str, file: Path) -> dict[str, Any]:
    tls = "distributed.comm.tls"
    return {f"{tls}.ca-file": str(file), f"{tls}.{role}": {"cert": str(file), "key": None}}


def test_keys_are_asked_for_before_anything_is_connected(
    configured: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    keys.require_fit("tcp://lab:1", "client")
    for each in ("client", "worker", "scheduler"):
        with pytest.raises(HostError, match=rf"names no keys .*\.{each}\.cert") as caught:
            keys.require_fit("tls://lab:1", each)
        assert "docs/cluster.md#security" in (caught.value.fix or "")
    configured(role("client", tmp_path / "cert.pem"))
    with pytest.raises(HostError, match=r"cannot be used \(.*/cert.pem.*No such file"):
        keys.require_fit("tls://lab:1", "client")
    (tmp_path / "cert.pem").write_text("no certificate")
    with pytest.raises(HostError, match="cannot be used"):
        keys.require_fit("tls://lab:1", "client")
    configured({"distributed.comm.require-encryption": True})
    with pytest.raises(HostError, match="requires encryption") as caught:
        keys.require_fit("tcp://lab:1", "client")
    assert "tls://lab:1" in (caught.value.fix or "")


def test_scheduler_is_encrypted_where_it_has_keys(
    configured: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    assert Meeting("lab1", 8786).address == "tcp://lab1:8786"
    configured(role("scheduler", tmp_path / "cert.pem"))
    assert Meeting("lab1", 8786).address == "tls://lab1:8786"
    assert Meeting("::1", 8786).address == "tls://[::1]:8786"


def test_scheduler_that_listens_and_is_silent_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(starting, "_SILENT_S", 1.0)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(HostError, match="does not answer: nothing was heard within 1 s"),
        starting._client(f"tcp://127.0.0.1:{silent.getsockname()[1]}"),
    ):
        pass


def test_signal_arrives_wherever_a_silent_scheduler_is_waited_for() -> None:
    answer = threading.Event()
    signalled = Interrupted.by(signal.SIGTERM)

    def arrives(line: int) -> bool:
        """Whether so many lines were run, and what is raised there came out."""
        left = line

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal left
            left -= event == "line"
            if event == "line" and left == 0:
                raise signalled
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            within(0.5, answer.wait)
        except TimeoutError:
            return False
        except Interrupted as error:
            assert error is signalled
            return True
        finally:
            sys.settrace(before)
        raise AssertionError("nobody has answered")

    assert next(line for line in itertools.count(1) if not arrives(line)) > 10
    answer.set()


def test_slurm_that_takes_no_job_is_an_error_before_any_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "sbatch"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program.write_text("#!/bin/sh\n[ $1 = --test-only ] && grep -q 'a job' $2\n")
    program.chmod(0o755)
    starting._require_queued("a job\n")
    program.write_text("#!/bin/sh\necho 'fatal: no configuration' >&2; exit 1\n")
    with pytest.raises(HostError, match="slurm: sbatch takes no job") as caught:
        starting._require_queued("a job\n")
    assert "fatal: no configuration" in "\n".join([caught.value.message, *caught.value.context])


def test_whether_somebody_listens_at_a_schedulers_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert starting._answers(f"tcp://127.0.0.1:{port}")
        assert starting._answers(f"tls://localhost:{port}")
    assert not starting._answers(f"tcp://127.0.0.1:{port}")
    assert not starting._answers("tcp://[::1]:9")
