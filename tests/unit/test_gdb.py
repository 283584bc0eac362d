"""gdb's side of a guest: which boot is booted again, where gdb waits, and what is refused."""

from __future__ import annotations

import datetime
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pibed.base.errors import BuildError, HostError, UsageError
from pibed.build.debian.debuginfo import DebugInfo
from pibed.build.images import Images
from pibed.build.payload import Payload
from pibed.build.program import Ready
from pibed.commands import gdb as command
from pibed.commands.options import GdbOptions
from pibed.debug import marker, program, replay, session
from pibed.debug.symbols import Symbols, of_images
from pibed.guest.stub import Stub, require_stoppable
from pibed.ktest import recorded as recorded_suite
from pibed.ktest.recorded import Failure, Recorded
from pibed.model import plan
from pibed.model.builder import Made
from pibed.model.experiment import Experiment
from pibed.model.machine import load_machine
from pibed.model.samples import Number, Sample, Status
from pibed.model.suite import load_suite
from pibed.runs.folder import RunFolder, SampleLog, write_plan
from pibed.stats.analysis import Analysis
from tests.programs import run_inv

from .helpers import begun, experiment, images_of

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("PIBED_CACHE", str(folder))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """One round of four cells, of which the second killed its boot."""
    study = experiment(rounds=1)
    made = RunFolder.create(tmp_path / "results", study, "small", NOW)
    (only,) = plan.rounds(study)
    statuses = [Status.OK, Status.OOPS, Status.OK, Status.OK]
    taken = [
        Sample(study.name, 1, each.order, status, each.cell, _metrics(study, status))
        for each, status in zip(only.visits, statuses, strict=True)
    ]
    for attempt, part in enumerate((slice(0, 2), slice(2, 4)), 1):
        folder = made.boot_folder(1, attempt)
        left = only.visits[0 if attempt == 1 else 2 :]
        write_plan(folder / "plan", plan.commands(study, plan.steps(study, left)))
        log = SampleLog(folder / "samples.jsonl")
        for each in taken[part]:
            log.append(each)
        log.close()
    made.write_samples(Analysis(study, tuple(taken)))
    made.write_manifest(begun(study))
    return made


def _metrics(study: Experiment, status: Status) -> dict[str, Number]:
    return dict.fromkeys(study.metrics, 1) if status == Status.OK else {}


def command_at(boot: replay.Boot) -> str:
    return boot.plan.splitlines()[boot.count - 1].partition(" ")[0]


def test_without_a_number_it_is_the_first_sample_that_is_not_ok(run: RunFolder) -> None:
    boot = replay.of_sample(run.folder, None)
    assert boot.died
    assert command_at(boot).startswith("2.")
    assert "sample 2 of 4" in boot.what
    assert boot.seed == begun(run.experiment).rounds[0].seed


def test_a_sample_of_a_second_boot_is_booted_with_that_ones_plan(run: RunFolder) -> None:
    boot = replay.of_sample(run.folder, 4)
    assert not boot.died
    assert command_at(boot).startswith("4.")
    assert "\n1.run" not in boot.plan


def test_a_run_without_samples_has_none_to_be_booted(run: RunFolder) -> None:
    run.write_samples(Analysis(run.experiment, ()))
    with pytest.raises(UsageError, match="it has no samples yet"):
        replay.of_sample(run.folder, None)


@pytest.mark.parametrize("number", [0, 5])
def test_a_sample_that_does_not_exist_is_refused(run: RunFolder, number: int) -> None:
    with pytest.raises(UsageError, match=rf"--sample {number}: .* has samples 1 to 4"):
        replay.of_sample(run.folder, number)


def test_a_boot_that_is_gone_is_told(run: RunFolder) -> None:
    (run.folder / "boots" / "01" / "plan").unlink()
    with pytest.raises(UsageError, match="boots/01/plan: No such file"):
        replay.of_sample(run.folder, 1)
    (run.folder / "boots" / "01" / "samples.jsonl").unlink()
    with pytest.raises(UsageError, match="is not there any more"):
        replay.of_sample(run.folder, 1)


@pytest.fixture
def tested(tmp_path: Path) -> tuple[Path, Recorded]:
    """A run of a suite, in which a case failed in the second boot of a variant."""
    folder = tmp_path / "ktest"
    for name, ids in (("demand", ("load", "list", "a.x", "a.y")), ("demand-2", ("load", "a.z"))):
        (folder / "boots" / name).mkdir(parents=True)
        text = "".join(f"{id} 20 true\n" for id in ids)
        (folder / "boots" / name / "plan").write_text(text, encoding="utf-8")
    suite = load_suite("paging")
    variants = {"demand": {"demand_paging": 1}}
    record = Recorded(
        machine=load_machine("pi2"),
        suite=suite.model_copy(update={"variants": variants}),
        module=None,
        clock="host",
        seed=7,
        builder=Made(name="debian"),
        images={"kernel": "a" * 64},
        made_of=None,
        failed=[Failure(variant="demand", case="a.z", boot="demand-2", message="wrong")],
    )
    recorded_suite.write(folder, record)
    return folder, recorded_suite.read(folder)


def test_a_case_is_found_in_its_boot(tested: tuple[Path, Recorded]) -> None:
    folder, record = tested
    failed = replay.of_case(folder, record, None, None)
    assert (command_at(failed), failed.what, failed.seed) == ("a.z", "demand a.z: wrong", 7)
    assert command_at(replay.of_case(folder, record, "a.y", None)) == "a.y"
    assert command_at(replay.of_case(folder, record, "module.load", "demand")) == "load"


def test_a_case_that_was_not_run_is_refused(tested: tuple[Path, Recorded]) -> None:
    folder, record = tested
    with pytest.raises(UsageError, match=r"--case a\.q: it was not run"):
        replay.of_case(folder, record, "a.q", None)
    none = record.model_copy(update={"failed": []})
    with pytest.raises(UsageError, match="no case failed"):
        replay.of_case(folder, none, None, None)


def test_a_suite_run_of_other_images_differs(tested: tuple[Path, Recorded], tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"other")
    (line,) = tested[1].differences(images_of(image))
    assert line.startswith("kernel: its SHA-256 is ")


def symbols() -> Symbols:
    path = Path("/nonexistent")
    return Symbols(path / "vmlinux", path / "gdb.py", {}, {}, [path], 0xBF000000, [])


def test_a_guest_that_waits_is_found_and_no_other(cache: Path) -> None:
    with pytest.raises(UsageError, match=r"no guest waits for gdb$"):
        session.find(None)
    with session.session(None) as (made, _):
        made.tell(symbols())
        assert session.find(None) == made
        with pytest.raises(UsageError, match="no guest waits for gdb at port 4711"):
            session.find(4711)
    assert not list((cache / "gdb").iterdir())


def test_what_a_killed_process_has_left_is_no_guest(cache: Path) -> None:
    left = cache / "gdb" / "20260101T000000"
    left.mkdir(parents=True)
    (left / "guest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match="no guest waits"):
        session.find(None)
    assert not left.exists()


@pytest.fixture
def used_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_in_use_is_an_error_before_anything_is_built(used_port: int, cache: Path) -> None:
    done = run_inv("boot", "--gdb", "--port", str(used_port), "--cmd", "true")
    assert done.returncode == 125
    assert f"--port {used_port}: it is in use" in done.stderr
    assert not (cache / "steps").exists()


def test_a_path_that_is_too_long_for_a_socket_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no socket can be made"):
        Stub.at_path(tmp_path / ("x" * 120))


def test_no_debugger_stops_the_boards_clock() -> None:
    require_stoppable("virtual")
    require_stoppable("host")
    with pytest.raises(UsageError, match="--clock board"):
        require_stoppable("board")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sample": "1"}, "--sample: of which run"),
        ({"timeout": "3"}, "--timeout: only with --batch"),
        ({"command": ("/no/such",)}, "--command /no/such: there is no such file"),
        ({"port": "70000"}, "--port 70000: expected"),
        ({"run": "x", "port": "7"}, "--port 7: the guest of a run"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        command.gdb(GdbOptions(**options))  # type: ignore[arg-type]


def test_the_newest_run_is_of_the_kind_that_is_asked_for(
    tested: tuple[Path, Recorded], run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = run.folder.parent
    tested[0].rename(results / "ktest")
    (results / "ktest" / "latest").symlink_to(".")
    monkeypatch.setattr(program, "require", lambda: None)

    def refused(**options: str) -> str:
        with pytest.raises(UsageError) as caught:
            command.gdb(GdbOptions(run="latest", results=str(results), **options))  # type: ignore[arg-type]
        return caught.value.message

    assert "small has samples 1 to 4" in refused(sample="9")
    assert "--case a.q: it was not run" in refused(case="a.q")
    assert "--sample: " in refused(case="a.z", sample="1")


def test_a_missing_gdb_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(HostError, match="missing on this host: gdb-multiarch") as caught:
        program.require()
    assert "gdb-multiarch" in (caught.value.fix or "")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["gdb"], 2, "no guest waits for gdb"),
        (["gdb", "nowhere", "--sample", "3"], 2, "there is no run 'nowhere'"),
        (["gdb", "--sample", "3", "nowhere"], 2, "there is no run 'nowhere'"),
        (["gdb", "--batch", "nowhere"], 2, "there is no run 'nowhere'"),
        (["gdb", "--ex", "bt", "--port", "4711"], 2, "at port 4711"),
        (["boot", "--port", "4711", "--cmd", "true"], 125, "--port 4711: only with --gdb"),
        (["boot", "--gdb", "--clock", "board", "--cmd", "true"], 125, "--clock board"),
        (["boot", "--gdb", "--builder", "buildroot", "--cmd", "true"], 125, "keeps nothing"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], status: int, said: str) -> None:
    done = run_inv(*words)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr


@pytest.mark.parametrize(
    ("options", "words"), [(["-s"], "stripped: gdb knows none"), ([], "-g"), (["-g"], None)]
)
def test_what_a_program_lacks_is_told(
    tmp_path: Path, options: list[str], words: str | None
) -> None:
    source, made = tmp_path / "work.c", tmp_path / "work"
    source.write_text("int main(void) { return 0; }\n", encoding="utf-8")
    subprocess.run(["gcc", *options, "-o", str(made), str(source)], check=True)
    (tmp_path / ".config").write_text("CONFIG_PAGE_OFFSET=0xC0000000\n", encoding="utf-8")
    images = replace(images_of(made), modules=(), programs=(made,), kernel_build=tmp_path)
    wanted = Payload((), (Ready("work", made, script=False),), (), "usr/bin", "x.yaml", "work")
    known = of_images(images, wanted, DebugInfo(made, made, {}, {}))
    assert known.user_end == 0xBF000000
    assert len(known.lacking) == (words is not None)
    assert (words or "") in "".join(known.lacking)


def test_an_agent_without_marks_is_told(tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    agent.write_bytes(Path("/bin/true").read_bytes())
    images: Images = replace(images_of(agent), programs=(agent,))
    with pytest.raises(BuildError, match="does not mark where a command begins"):
        marker.start(images, 1, "")
