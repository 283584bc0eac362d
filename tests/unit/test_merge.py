"""Shards of a sweep and what is made of them; no guest is booted."""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pibed.base.errors import IncompleteError, PibedError, UsageError
from pibed.commands import merge as verb
from pibed.commands import sweep
from pibed.commands.options import MergeOptions, SweepOptions
from pibed.measure import record
from pibed.model import plan
from pibed.model.experiment import Experiment
from pibed.model.samples import Number, Sample, Status
from pibed.model.shard import Shard, parse
from pibed.report import listing, page
from pibed.runs import manifest, merge, reading
from pibed.runs.folder import RunFolder, SampleLog
from pibed.stats.analysis import Analysis
from tests.unit.helpers import begun, experiment

STUDY = experiment(rounds=7)
NOW = datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)

Bad = Callable[[int, plan.Visit], bool]


def made(
    root: Path,
    shard: Shard | None,
    study: Experiment = STUDY,
    bad: Bad = lambda number, visit: False,
    warnings: tuple[str, ...] = (),
    **changes: Any,
) -> Path:
    """A run as a sweep leaves it, on a host that the whole run's samples know nothing of."""
    name = "whole" if shard is None else f"{shard.number}-of-{shard.of}"
    folder = root / f"20260101T000000Z-{name}"
    folder.mkdir(parents=True)
    run = RunFolder(folder, study, shard)
    samples, problems = [], []
    for each in plan.rounds(study, shard):
        boot = run.boot_folder(each.number, 1)
        for log in ("plan", "console.log", "agent.log"):
            (boot / log).write_text(f"{log} of round {each.number}")
        kept = SampleLog(boot / "samples.jsonl")
        for visit in each.visits:
            good = not bad(each.number, visit)
            metrics: dict[str, Number] = {
                "work_us": 100 + each.number * visit.order % 5,
                "pages": visit.order,
            }
            sample = Sample(
                study.name,
                each.number,
                visit.order,
                Status.OK if good else Status.PANIC,
                visit.cell,
                metrics if good else {},
                "" if good else "it panicked",
            )
            kept.append(sample)
            samples.append(sample)
        kept.close()
        trouble = [f"round {each.number}: not unloaded"] if each.number == 4 else []
        run.finish_round(each.number, 1, trouble)
        problems += trouble
    if shard is None or shard.number == 1:
        (folder / "leaks").mkdir()
        (folder / "leaks" / "agent.log").write_text("looked")
    run.write_samples(Analysis(study, samples))
    before = begun(study)
    before = before.model_copy(
        update={"shard": shard, "rounds": manifest.round_seeds(study, shard), **changes}
    )
    csv = folder / "samples.csv"
    run.write_manifest(record.ended(before, csv, samples, problems, warnings, True))
    return folder


def shards(root: Path, of: int, **options: Any) -> list[Path]:
    return [made(root, Shard(number=n, of=of), **options) for n in range(1, of + 1)]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return shards(tmp_path_factory.mktemp("shards"), 3)


@pytest.fixture
def three(original: list[Path], tmp_path: Path) -> list[Path]:
    """Three shards, to be changed."""
    return [shutil.copytree(each, tmp_path / "three" / each.name) for each in original]


def merged(root: Path, folders: list[Path]) -> Path:
    return merge.merge(merge.parts(folders), root, "small", NOW).run.folder


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content, ensure_ascii=False))


def files(folder: Path) -> Mapping[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


def test_every_round_is_in_one_shard_and_the_same_as_in_the_whole() -> None:
    whole = {each.number: each for each in plan.rounds(STUDY)}
    for of in range(1, 8):
        parts = [plan.rounds(STUDY, Shard(number=n, of=of)) for n in range(1, of + 1)]
        assert sorted(each.number for part in parts for each in part) == sorted(whole)
        assert all(each == whole[each.number] for part in parts for each in part)
        counts = [len(part) for part in parts]
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    "text", ["", "3", "0/3", "4/3", "1/0", "a/3", "1/3/5", "-1/3", "\u0661/\u0663", "1 /3"]
)
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no shard such as 3/10"):
        parse(text)
    with pytest.raises(UsageError, match=r"^--shard .*: expected which of how many"):
        sweep.sweep(SweepOptions(shard=text))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shard": "11/11"}, "paging has 10 rounds, so that there is none"),
        ({"shard": "3/3", "runs": "2"}, "has 2 rounds"),
        ({"shard": "1/2", "clock": "host"}, "with the host's clock a run is of the machine"),
        ({"shard": "1/2", "clock": "both"}, "with the host's clock a run is of the machine"),
        ({"shard": "1/2", "resume": "latest"}, "--shard cannot be given with --resume"),
    ],
)
def test_shards_that_cannot_be_measured_are_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        sweep.sweep(SweepOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_merged_is_the_run_of_one_machine(tmp_path: Path, of: int) -> None:
    whole = made(tmp_path, None, warnings=("a leak",))
    folders = [
        made(tmp_path, Shard(number=n, of=of), warnings=("a leak",) if n == 1 else ())
        for n in range(1, of + 1)
    ]
    folder = merged(tmp_path / "out", list(reversed(folders)))
    assert files(folder) == files(whole)
    contents = [manifest.read(each / "manifest.json") for each in (whole, folder)]
    own = {"jobs", "host", "merged"}
    assert contents[0].model_dump(exclude=own) == contents[1].model_dump(exclude=own)
    assert contents[1].merged is not None
    assert [each.number for each in contents[1].merged] == [*range(1, of + 1)]
    assert contents[1].merged[0].run == f"20260101T000000Z-1-of-{of}"
    assert contents[1].jobs == 2 * of
    assert folder.name == "20260203T040506Z-small"
    assert (folder.parent / "latest").resolve() == folder
    assert sorted(each.name for each in folder.parent.iterdir()) == [folder.name, "latest"]


def test_merged_can_be_read_where_its_shards_are_gone(three: list[Path], tmp_path: Path) -> None:
    folders = three
    folder = merged(tmp_path / "out", folders)
    for each in folders:
        for path in each.rglob("samples.jsonl"):
            path.unlink()
    run = RunFolder(folder, STUDY)
    assert run.all_measured()[1] == []


def test_files_are_copied_where_they_cannot_be_links(
    three: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = three

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "not permitted")

    linked = merged(tmp_path / "links", folders)
    monkeypatch.setattr(os, "link", refuse)
    assert files(merged(tmp_path / "copies", folders)) == files(linked)


def test_hosts_are_all_told(tmp_path: Path) -> None:
    hosts = [begun(STUDY).host.model_copy(update={"processor": f"CPU {n}"}) for n in (1, 2)]
    folders = [
        made(tmp_path, Shard(number=n, of=2), host=host, resumed=n)
        for n, host in enumerate(hosts, start=1)
    ]
    folder = merged(tmp_path, folders)
    recorded = manifest.read(folder / "manifest.json")
    assert [each.processor for each in recorded.hosts] == ["CPU 1", "CPU 2"]
    assert recorded.resumed == 3
    text = page.render(page.make(reading.read(folder), []), "report.md")
    assert "CPU 1" in text
    assert "CPU 2" in text


def test_report_and_list_say_that_a_shard_is_a_part(tmp_path: Path) -> None:
    folder = made(tmp_path, Shard(number=2, of=3))
    run = reading.read(folder)
    assert run.damage == ()
    (note,) = run.notes
    assert note == ("This is shard 2/3, 2 of 7 rounds: ./inv merge RUN… makes one run of all 3")
    told = listing.entry(folder)
    assert (told.extent, told.told) == ("4 × 2", "finished; shard 2/3")
    assert "4 cells × 2 rounds" in page.render(page.make(run, []), "report.md")
    rows = (folder / "samples.csv").read_text().replace("small,2,", "small,3,")
    (folder / "samples.csv").write_text(rows)
    assert "not of shard 2/3" in reading.read(folder).damage[0]


def test_a_shard_that_looked_for_leaks_without_a_cell_leaves_that_to_do(tmp_path: Path) -> None:
    """Its cell is `ok` in another shard alone, so that a single machine would have looked."""
    lost = plan.cells(STUDY)[0]
    folders = shards(tmp_path, 2, bad=lambda n, visit: n % 2 == 1 and visit.cell == lost)
    made_ = merge.merge(merge.parts(folders), tmp_path, "small", NOW)
    assert made_.recorded.finished is False
    assert made_.recorded.warnings == []
    assert not (made_.run.folder / "leaks").exists()
    assert made_.run.all_measured()[1] == []
    ignored = experiment(rounds=7, leaks="ignore")
    folders = shards(tmp_path / "ignored", 2, study=ignored, bad=lambda n, visit: n % 2 == 1)
    assert merge.merge(merge.parts(folders), tmp_path, "small", NOW).recorded.finished


def test_verb_ends_as_a_sweep_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = tuple(each.name for each in shards(tmp_path, 2))
    with pytest.raises(IncompleteError, match="all samples were taken, but: round 4: not unloaded"):
        verb.merge(MergeOptions(run=names, results=str(tmp_path), name="all"))
    printed = capsys.readouterr().out
    assert "A small study: 7 runs a cell, virtual clock" in printed
    assert "-all/report.html" in printed
    (folder,) = tmp_path.glob("2*-all")
    assert (folder / "report.html").is_file()
    assert not list((tmp_path).glob(".merge-*"))


def test_verb_tells_what_is_left_to_do(tmp_path: Path) -> None:
    lost, study = plan.cells(STUDY)[0], experiment(rounds=3)
    folders = shards(tmp_path, 3, study=study, bad=lambda n, visit: n == 1 and visit.cell == lost)
    with pytest.raises(IncompleteError, match="1 of 12 samples are not ok; of the first: it pan"):
        verb.merge(MergeOptions(run=tuple(map(str, folders)), results=str(tmp_path), report=False))


def _other(key: str, value: Any) -> Callable[[dict[str, Any]], object]:
    *parents, last = key.split(".")

    def change(content: dict[str, Any]) -> None:
        for each in parents:
            content = content[each]
        content[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_other("images.initramfs", "0" * 64), f"images.initramfs: {'0' * 64} instead of "),
        (_other("plan", "1" * 64), f"plan: {'1' * 64} instead of "),
        (_other("qemu.version", "QEMU 10.0"), "qemu.version: QEMU 10.0 instead of QEMU 7.2"),
        (_other("pibed", "9.9"), "pibed: 9.9 instead of "),
        (_other("git", {"commit": "f" * 40, "modified": True}), "git.commit: ffff"),
        (_other("experiment.seed", 5), "experiment.seed: 5 instead of 1"),
        (_other("experiment.rounds", 9), "experiment.rounds: 9 instead of 7"),
        (_other("machine.kernel.version", "6.12"), "machine.kernel.version: 6.12 instead of 6.1"),
        (_other("lock.differs", ["gcc"]), r'lock.differs: \["gcc"\] instead of \[\]'),
        (_other("tools.gcc", "gcc 13"), "tools.gcc: gcc 13 instead of gcc 12"),
        (
            lambda content: content["qemu"]["command"].append("-snapshot"),
            r"qemu.command: ….* -snapshot instead of …",
        ),
    ],
)
def test_what_was_measured_otherwise_is_refused(
    three: list[Path], change: Callable[[dict[str, Any]], object], words: str
) -> None:
    folders = three
    edit(folders[1], change)
    with pytest.raises(UsageError, match=words) as error:
        merge.parts(folders)
    assert error.value.message.startswith(f"shard 2/3 ({folders[1]}) was not measured as shard 1/3")
    assert error.value.fix is not None


@pytest.mark.parametrize(
    "change",
    [
        _other("host.processor", "another"),
        _other("jobs", 64),
        _other("resumed", 3),
        _other("sandbox", "bubblewrap"),
        lambda content: content["qemu"].update(
            command=[
                f"/elsewhere{part}" if part[0] == "/" else part
                for part in content["qemu"]["command"]
            ]
        ),
    ],
)
def test_what_is_of_the_host_may_differ(
    three: list[Path], change: Callable[[dict[str, Any]], object]
) -> None:
    folders = three
    edit(folders[1], change)
    assert len(merge.parts(folders)) == 3


def test_differences_are_told_in_part_if_they_are_many(three: list[Path]) -> None:
    folders = three
    edit(
        folders[1],
        lambda content: content["tools"].update({f"tool{n}": "x" * 99 for n in range(12)}),
    )
    with pytest.raises(UsageError, match=r"tool0: x{70}… instead of nothing; .*; 2 more$"):
        merge.parts(folders)


def test_the_experiment_may_lie_elsewhere(three: list[Path]) -> None:
    folders = three
    for user, folder in zip("abc", folders, strict=True):
        edit(folder, _other("experiment.file", f"/home/{user}/experiment.yaml"))
    assert len(merge.parts(folders)) == 3
    edit(folders[0], _other("experiment.file", "/home/a/another.yaml"))
    with pytest.raises(UsageError, match=r"experiment\.file: experiment.yaml instead of another"):
        merge.parts(folders)


def test_what_is_no_set_of_shards_is_refused(three: list[Path], tmp_path: Path) -> None:
    two = shards(tmp_path / "b", 2)
    whole = made(tmp_path, None)
    again = made(tmp_path / "again", Shard(number=2, of=3))
    done = merged(tmp_path, three)
    for folders, words, fix in (
        ([], "expected the runs that are shards", "RUN…"),
        (three[:2], "^shards are missing: 3/3$", "--shard 3/3"),
        (three[2:], "^shards are missing: 1/3, 2/3$", "--shard 1/3"),
        ([*three, two[0]], "divided otherwise: their rounds overlap", "the 3 shards of one"),
        ([*three, again], rf"^shard 2/3 is there twice: .* and .*{again.name}", "leave one"),
        ([*three, three[0]], "^shard 1/3 is there twice", "leave one"),
        ([*three[:2], whole], "it is no shard, but a run of all rounds", "sweep --shard"),
        ([done, *three], "it is no shard, but merged already", "sweep --shard"),
        ([tmp_path / "b"], "manifest.json: No such file", "manifest.json of a run"),
    ):
        with pytest.raises(UsageError, match=words) as error:
            merge.parts(folders)
        assert fix in (error.value.fix or ""), words


@pytest.mark.parametrize("version", [2, 4])
def test_shards_of_another_schema_are_refused(three: list[Path], version: int) -> None:
    folders = three
    edit(folders[1], _other("schema_version", version))
    with pytest.raises(
        UsageError, match=f"2-of-3/manifest.json: schema_version: expected 3, not {version}"
    ):
        merge.parts(folders)


def test_manifest_with_an_impossible_shard_is_refused(three: list[Path]) -> None:
    folders = three
    edit(folders[1], _other("shard", {"number": 3, "of": 2}))
    with pytest.raises(UsageError, match="shard: there is no shard 3 of 2"):
        merge.parts(folders)


def test_what_was_cut_off_is_refused(three: list[Path]) -> None:
    folders = three
    edit(folders[1], _other("finished", False))
    with pytest.raises(UsageError, match="shard 2/3 was cut off") as error:
        merge.parts(folders)
    assert error.value.fix == f"./inv sweep --resume {folders[1]}"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda boot: (boot / "finished.json").unlink(), "round 2 is not whole"),
        (
            lambda boot: (boot / "samples.jsonl").write_bytes(
                (boot / "samples.jsonl").read_bytes().replace(b'"work_us": 10', b'"work_us": 11', 1)
            ),
            "the samples in its boots are not those that the manifest describes",
        ),
    ],
)
def test_what_is_damaged_is_refused_and_nothing_is_left(
    three: list[Path], tmp_path: Path, damage: Callable[[Path], object], words: str
) -> None:
    folders = three
    damage(folders[1] / "boots" / "02")
    found = merge.parts(folders)
    root = tmp_path / "out"
    with pytest.raises(UsageError, match=words) as error:
        merge.merge(found, root, "small", NOW)
    assert f"./inv sweep --resume {folders[1]}" in (error.value.fix or "")
    assert list(root.iterdir()) == []


def test_links_and_folders_in_a_boot_are_not_followed(three: list[Path], tmp_path: Path) -> None:
    folders = three
    boot = folders[0] / "boots" / "01"
    (boot / "passwd").symlink_to("/etc/passwd")
    (boot / "more").mkdir()
    (folders[0] / "boots" / "02").mkdir()  # of the other shard
    (folders[0] / "boots" / "x").mkdir()
    folder = merged(tmp_path, folders)
    assert not (folder / "boots" / "01" / "passwd").exists()
    assert not (folder / "boots" / "01" / "more").exists()
    assert {each.name for each in (folder / "boots").iterdir()} == {f"{n:02d}" for n in range(1, 8)}


def test_root_that_cannot_be_written_is_told(three: list[Path], tmp_path: Path) -> None:
    found = merge.parts(three)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(PibedError, match="it is not a folder"):
        merge.merge(found, file, "small", NOW)
