"""The results folder, on real file systems: full ones and read-only ones too."""

from __future__ import annotations

import datetime
import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pibed.base.errors import HostError, UsageError
from pibed.base.files import Remedy, exclusive, explain, explained, write_file
from pibed.model import plan
from pibed.model.plan import Cell, Round
from pibed.model.samples import Sample, Status
from pibed.runs import locate
from pibed.runs.folder import RunFolder, SampleLog
from pibed.stats.analysis import Analysis
from tests import excuses
from tests.unit.helpers import begun, experiment, python

NOW = datetime.datetime(2026, 2, 3, 4, 5, 6, 999_999, tzinfo=datetime.UTC)


def create(root: Path, name: str = "small", now: datetime.datetime = NOW) -> RunFolder:
    return RunFolder.create(root, experiment(), name, now)


def sample(order: int, **changes: object) -> Sample:
    return Sample(
        "small", 1, order, Status.OK, Cell.of({"eager": 0, "size": 64}), {"work_us": 5, "pages": 8}
    )


def test_folder_is_named_for_time_and_experiment(tmp_path: Path) -> None:
    run = create(tmp_path / "a" / "b")
    assert run.folder == tmp_path / "a" / "b" / "20260203T040506Z-small"
    assert run.folder.is_dir()


def test_time_is_utc(tmp_path: Path) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=9))
    assert create(tmp_path, now=NOW.astimezone(zone)).folder.name == "20260203T040506Z-small"


def test_runs_in_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    names = [create(tmp_path).folder.name for _ in range(3)]
    assert names == [
        "20260203T040506Z-small",
        "20260203T040506Z-small-2",
        "20260203T040506Z-small-3",
    ]
    assert (tmp_path / "latest").readlink() == Path("20260203T040506Z-small-3")


def test_latest_is_the_newest_and_survives_a_move(tmp_path: Path) -> None:
    create(tmp_path / "results", "old")
    new = create(tmp_path / "results", "new")
    link = tmp_path / "results" / "latest"
    assert link.is_symlink()
    assert link.resolve() == new.folder.resolve()
    (tmp_path / "results").rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "latest").resolve().name == "20260203T040506Z-new"
    assert sorted(path.name for path in (tmp_path / "moved").iterdir()) == [
        "20260203T040506Z-new",
        "20260203T040506Z-old",
        "latest",
    ]


def test_latest_that_points_nowhere_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("gone")
    assert (tmp_path / "latest").resolve() != create(tmp_path).folder
    assert (tmp_path / "latest").resolve() == (tmp_path / "20260203T040506Z-small").resolve()


def test_boot_folders(tmp_path: Path) -> None:
    run = create(tmp_path)
    folders = [run.boot_folder(*which) for which in ((1, 1), (1, 2), (10, 1), (123, 1))]
    assert [str(folder.relative_to(run.folder)) for folder in folders] == [
        "boots/01",
        "boots/01-2",
        "boots/10",
        "boots/123",
    ]
    assert all(folder.is_dir() for folder in folders)
    with pytest.raises(HostError, match="boots/01"):
        run.boot_folder(1, 1)


def test_files_are_written_whole(tmp_path: Path) -> None:
    run = create(tmp_path)
    run.write_samples(Analysis(run.experiment, [sample(2), sample(1)]))
    manifest = begun(experiment())
    run.write_manifest(manifest)
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "manifest.json",
        "samples.csv",
        "summary.csv",
    ]
    assert (run.folder / "samples.csv").read_bytes() == (
        b"experiment,round,order,status,eager,size,work_us,pages\n"
        b"small,1,1,ok,0,64,5,8\n"
        b"small,1,2,ok,0,64,5,8\n"
    )
    assert (
        (run.folder / "summary.csv")
        .read_text(encoding="utf-8")
        .splitlines()[1]
        .startswith("0,64,work_us,2,5,5,")
    )
    text = (run.folder / "manifest.json").read_text(encoding="utf-8")
    assert json.loads(text) == manifest.model_dump(mode="json")
    assert "µ" in text


def test_file_with_these_bytes_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    write_file(path, "µ\n")
    before = path.stat()
    write_file(path, "µ\n")
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    write_file(path, b"other\n")
    assert path.read_text() == "other\n"


def test_a_reader_keeps_the_old_file_when_it_is_written_anew(tmp_path: Path) -> None:
    run = create(tmp_path)
    run.write_samples(Analysis(run.experiment, [sample(1)]))
    with (run.folder / "samples.csv").open(encoding="utf-8") as reader:
        before = os.fstat(reader.fileno()).st_ino
        run.write_samples(Analysis(run.experiment, [sample(1), sample(2)]))
        assert len(reader.read().splitlines()) == 2
    assert (run.folder / "samples.csv").stat().st_ino != before
    assert len((run.folder / "samples.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_sample_log_has_each_sample_at_once(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    log = SampleLog(path)
    for order in (1, 2):
        log.append(sample(order))
        lines = path.read_text(encoding="utf-8").splitlines()
        assert [Sample.from_json(line) for line in lines] == [
            sample(each) for each in range(1, order + 1)
        ]
    log.close()


def test_sample_log_refuses_a_file_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text("measured before\n", encoding="utf-8")
    with pytest.raises(HostError, match=str(path)):
        SampleLog(path)
    assert path.read_text(encoding="utf-8") == "measured before\n"


def fill(folder: Path) -> None:
    try:
        (folder / "filler").write_bytes(bytes(1 << 20))
    except OSError:
        return
    raise AssertionError("the file system is not full")


def test_full_disk_keeps_what_was_there(tiny: Path) -> None:
    run = create(tiny)
    run.write_samples(Analysis(run.experiment, [sample(1)]))
    before = (run.folder / "samples.csv").read_bytes()
    fill(tiny)
    with pytest.raises(HostError) as caught:
        run.write_samples(Analysis(run.experiment, [sample(1), sample(2)]))
    assert "No space left on device" in caught.value.message
    assert "samples.csv" in caught.value.message
    assert caught.value.fix is not None
    assert "free some space" in caught.value.fix
    assert (run.folder / "samples.csv").read_bytes() == before


def test_full_disk_while_a_sample_is_logged(tiny: Path) -> None:
    log = SampleLog(tiny / "samples.jsonl")
    log.append(sample(1))
    fill(tiny)
    with pytest.raises(HostError, match="No space left on device") as caught:
        for order in range(2, 100):
            log.append(sample(order))
    assert caught.value.fix is not None
    # Closing must not put another error in the place of the explained one.
    log.close()


def test_full_disk_at_the_start(tiny: Path) -> None:
    fill(tiny)
    with pytest.raises(HostError, match="No space left on device"):
        run = create(tiny)
        for number in range(1, 1000):
            run.boot_folder(number, 1)
        run.write_manifest(begun(experiment()))


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that others than root cannot write to, reachable for everybody."""
    folder = tmp_path / "results"
    folder.mkdir()
    folder.chmod(0o555)
    changed = []
    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
            changed.append((parent, stat.S_IMODE(parent.stat().st_mode)))
            parent.chmod(changed[-1][1] | 0o055)
    yield folder
    for parent, mode in changed:
        parent.chmod(mode)


def test_read_only_folder_names_the_option(read_only: Path) -> None:
    prefix = []
    if os.geteuid() == 0:
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    code = """
import datetime, sys
from pathlib import Path
from pibed.model.experiment import load_experiment
from pibed.base.errors import HostError
from pibed.stats.analysis import Analysis
from pibed.runs.folder import RunFolder
try:
    RunFolder.create(Path(sys.argv[1]), load_experiment("paging"), "x", datetime.datetime.now())
except HostError as error:
    print(error.message, error.fix, sep="\\n")
"""
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    with python(code, str(read_only), env=env, prefix=prefix) as process:
        output, errors = process.communicate(timeout=20)
    if "ModuleNotFoundError" in errors or "Permission denied: '/" in errors:
        pytest.skip(excuses.UNREADABLE)
    assert errors == ""
    message, fix = output.splitlines()
    assert str(read_only) in message
    assert "Permission denied" in message
    assert "--results" in fix


def rounds() -> list[Round]:
    return plan.rounds(experiment())


def measure(run: RunFolder, round_: Round, boots: tuple[int, ...]) -> list[Sample]:
    """Puts a round's samples into boots of so many visits each, all but the record of its end."""
    samples = [
        Sample(
            *("small", round_.number, visit.order, Status.OK, visit.cell),
            metrics={"work_us": 5, "pages": 8},
        )
        for visit in round_.visits
    ]
    left = list(samples)
    for attempt, count in enumerate(boots, start=1):
        log = SampleLog(run.boot_folder(round_.number, attempt) / "samples.jsonl")
        for _ in range(count):
            log.append(left.pop(0))
        log.close()
    return samples


@pytest.mark.parametrize("boots", [(4,), (1, 3), (2, 1, 1), (4, 0)])
def test_a_measured_round_is_read_again(tmp_path: Path, boots: tuple[int, ...]) -> None:
    run, first = create(tmp_path), rounds()[0]
    samples = measure(run, first, boots)
    assert run.measured(first) is None
    run.finish_round(1, len(boots), ["round 1: µ"])
    found = RunFolder(run.folder, experiment()).measured(first)
    assert found is not None
    assert found.samples == samples
    assert found.problems == ["round 1: µ"]
    assert run.measured(rounds()[1]) is None


def test_wherever_a_round_is_cut_off_it_is_not_taken_for_whole(tmp_path: Path) -> None:
    """Each of its files at every length that a cut could leave."""
    run, first = create(tmp_path), rounds()[0]
    samples = measure(run, first, (1, 3))
    run.finish_round(1, 2, [])
    files = [
        run.folder / "boots" / "01" / "finished.json",
        run.folder / "boots" / "01" / "samples.jsonl",
        run.folder / "boots" / "01-2" / "samples.jsonl",
    ]
    for file in files:
        whole = file.read_bytes()
        for length in range(len(whole)):
            for rest in (b"", bytes(len(whole) - length)):  # cut, and a block of zeros behind
                file.write_bytes(whole[:length] + rest)
                found = run.measured(first)
                # The record may lack its line end alone.
                assert found is None or (found.samples == samples and length == len(whole) - 1)
        file.unlink()
        assert run.measured(first) is None
        file.write_bytes(whole)
    assert run.measured(first) is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"status": "ok"', '"status": "fine"'),
        ('"work_us": 5', '"work_us": "5"'),
        ('"work_us": 5, ', ""),
        ('"metrics": {"work_us": 5, "pages": 8}', '"metrics": null'),
        ('"status": "ok"', '"status": "lost"'),
    ],
)
def test_samples_that_pibed_does_not_write_are_not_taken(
    tmp_path: Path, old: str, new: str
) -> None:
    run = create(tmp_path)
    measure(run, rounds()[0], (4,))
    run.finish_round(1, 1, [])
    log = run.folder / "boots" / "01" / "samples.jsonl"
    text = log.read_text(encoding="utf-8")
    assert old in text
    log.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert run.measured(rounds()[0]) is None


def test_a_round_of_another_plan_is_not_taken(tmp_path: Path) -> None:
    run = create(tmp_path)
    measure(run, rounds()[0], (4,))
    run.finish_round(1, 1, [])
    other = plan.rounds(experiment(seed=2))[0]
    assert [visit.cell for visit in other.visits] != [visit.cell for visit in rounds()[0].visits]
    assert run.measured(other) is None


def test_what_an_interrupted_round_left_is_set_aside(tmp_path: Path) -> None:
    run, first = create(tmp_path), rounds()[0]
    assert run.set_aside(first) is None
    measure(run, first, (1, 2))
    torn = run.folder / "boots" / "01-2" / "samples.jsonl"
    torn.write_bytes(torn.read_bytes() + b'{"experiment": "sm')
    measure(run, rounds()[1], (1,))
    words = run.set_aside(first)
    assert words is not None
    assert "round 1 was cut off after 3 of 4 samples" in words
    assert "the last line of its samples.jsonl is torn" in words
    assert str(run.folder / "interrupted" / "01") in words
    assert sorted(path.name for path in (run.folder / "boots").iterdir()) == ["02"]
    moved = run.folder / "interrupted" / "01"
    assert sorted(path.name for path in moved.iterdir()) == ["01", "01-2"]
    # It can be measured, and cut off, again.
    measure(run, first, (2,))
    words = run.set_aside(first)
    assert words is not None
    assert "torn" not in words
    assert (run.folder / "interrupted" / "01-2" / "01" / "samples.jsonl").is_file()


def test_round_100_is_not_taken_for_round_10(tmp_path: Path) -> None:
    run = create(tmp_path)
    many = plan.rounds(experiment(rounds=100))
    measure(run, many[9], (1,))
    measure(run, many[99], (1,))
    run.set_aside(many[9])
    assert [path.name for path in (run.folder / "boots").iterdir()] == ["100"]


def test_a_run_is_measured_by_one_process_at_a_time(tmp_path: Path) -> None:
    run = create(tmp_path)
    with run.held():
        other = RunFolder(run.folder, experiment())
        with pytest.raises(HostError, match="another process is measuring"), other.held():
            raise AssertionError("held twice")
    with run.held():
        pass


def test_runs_are_found_by_path_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create(tmp_path / "results")
    run.write_manifest(begun(experiment()))
    monkeypatch.chdir(tmp_path)
    for text in (str(run.folder), f"results/{run.folder.name}", run.folder.name, "latest"):
        assert locate.find(tmp_path / "results", text) == run.folder.resolve()


def test_what_is_no_run_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run 'nothing'") as caught:
        locate.find(tmp_path, "nothing")
    assert caught.value.fix == f"{tmp_path} has none"
    run = create(tmp_path)
    with pytest.raises(UsageError, match=r"no manifest\.json in it"):
        locate.find(tmp_path, "latest")
    run.write_manifest(begun(experiment()))
    for text in ("nothing", ""):
        with pytest.raises(UsageError, match=f"no run {text!r}") as caught:
            locate.find(tmp_path / "", text)
        assert caught.value.fix is not None
        assert run.folder.name in caught.value.fix


def test_root_that_is_a_run(tmp_path: Path) -> None:
    run = create(tmp_path)
    assert locate.root(str(run.folder)) == run.folder
    run.write_manifest(begun(experiment()))
    for folder in (run.folder, tmp_path / "latest"):
        with pytest.raises(UsageError, match=f"--results {folder}: it is a run") as caught:
            locate.root(str(folder))
        assert str(folder) in (caught.value.fix or "")
    assert locate.root(str(tmp_path)) == tmp_path


def test_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match=str(tmp_path / "file")):
        create(tmp_path / "file")


def test_files_and_folders_are_held_by_one_at_a_time(tmp_path: Path) -> None:
    waited: list[Path] = []

    def refuse(path: Path) -> None:
        waited.append(path)
        raise UsageError("held")

    for path in (tmp_path / "new" / "lock", tmp_path):
        with (
            exclusive(path) as descriptor,
            pytest.raises(UsageError, match="held"),
            exclusive(path, lambda path=path: refuse(path)),  # type: ignore[misc]
        ):
            raise AssertionError(f"held twice: {descriptor}")
        with exclusive(path):
            pass
    assert waited == [tmp_path / "new" / "lock", tmp_path]


def test_what_can_be_done_is_said_for_each_place(tmp_path: Path) -> None:
    remedy = Remedy(full="make room", otherwise="choose another")
    for number, fix in ((errno.ENOSPC, "make room"), (errno.EACCES, "choose another")):
        with pytest.raises(HostError) as caught, explained(tmp_path, remedy):
            raise OSError(number, "words")
        assert (caught.value.message, caught.value.fix) == (f"{tmp_path}: words", fix)
    tree = shutil.Error([("a", "b", "[Errno 28] No space left on device")])
    assert explain(tree, tmp_path, remedy).fix == "make room"
    with pytest.raises(HostError, match="gone") as caught:
        write_file(tmp_path / "gone" / "x", "", remedy)
    assert caught.value.fix == "choose another"
