"""The store of what was built: keys, whole outputs only, one producer at a time."""

from __future__ import annotations

import dataclasses
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pibed.base import places
from pibed.base.errors import BuildError, HostError
from pibed.base.files import digest_file, digest_files, digest_text
from pibed.build import reads
from pibed.build.reads import Read
from pibed.build.store import Output, Step, Store, clean
from tests.unit.helpers import python

STEP = Step("kernel", {"source": "abc", "config": "def"}, expected_s=1)


def make_out(folder: Path, log: Path) -> None:
    (folder / "out").write_text("whole", encoding="utf-8")
    log.write_text("made\n", encoding="utf-8")


def never(folder: Path, log: Path) -> None:
    raise AssertionError("made again")


@pytest.mark.parametrize(
    "changed",
    [
        Step("kernel", {"source": "abc", "config": "deg"}, 1),
        Step("kernel", {"source": "abc"}, 1),
        Step("kernel", {"source": "abc", "config": "def", "more": ""}, 1),
        Step("kernel", {"source": "def", "config": "abc"}, 1),
        Step("kernel", {"source": "abc", "confi": "gdef"}, 1),
        Step("kernel", {"source": 'abc", "config": "def'}, 1),
        Step("module", {"source": "abc", "config": "def"}, 1),
        dataclasses.replace(STEP, version=2),
    ],
)
def test_key_changes_with_whatever_goes_in(changed: Step) -> None:
    assert changed.key != STEP.key


def test_key_depends_on_nothing_else() -> None:
    same = Step("kernel", {"config": "def", "source": "abc"}, expected_s=99)
    assert same.key == STEP.key
    # Pinned: another key for the same inputs rebuilds everything for everyone.
    assert STEP.key == "8a948541a3866939a9242b9bfc7ed865fd54a93d052bbb2047511ad60f1ea667"


def test_makes_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.produce(STEP, make_out)
    assert not first.cached
    assert (first.path / "out").read_text(encoding="utf-8") == "whole"
    assert first.path == store.place(STEP)
    second = store.produce(STEP, never)
    assert second.cached
    assert second.path == first.path


def test_output_is_not_in_place_while_it_is_made(tmp_path: Path) -> None:
    store = Store(tmp_path)
    seen = []

    def make(folder: Path, log: Path) -> None:
        seen.append(store.place(STEP).exists())
        seen.append(folder == store.place(STEP))
        seen.append(folder.parent == store.place(STEP).parent)  # so that a rename is enough

    store.produce(STEP, make)
    assert seen == [False, False, True]


def test_failure_leaves_nothing_that_looks_finished_and_keeps_the_log(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail(folder: Path, log: Path) -> None:
        (folder / "half").write_text("half", encoding="utf-8")
        log.write_text("cc: error\n", encoding="utf-8")
        raise BuildError("cc ended with status 1", log=log)

    with pytest.raises(BuildError) as caught:
        store.produce(STEP, fail)
    assert not store.place(STEP).exists()
    assert caught.value.log == store.log(STEP)
    assert store.log(STEP).read_text(encoding="utf-8") == "cc: error\n"
    # The next one starts from nothing, with a log of its own.
    output = store.produce(STEP, make_out)
    assert [path.name for path in output.path.iterdir()] == ["out"]
    assert store.log(STEP).read_text(encoding="utf-8") == "made\n"


KILLED = """
import os, signal, sys
from pathlib import Path
from pibed.build.store import Step, Store
def make(folder, log):
    (folder / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
Store(Path(sys.argv[1])).produce(Step("kernel", {"source": "abc", "config": "def"}, 1), make)
"""


def test_killed_producer_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    with python(KILLED, str(tmp_path)) as process:
        assert process.wait(10) == -9
    store = Store(tmp_path)
    assert not store.place(STEP).exists()
    output = store.produce(STEP, make_out)
    assert [path.name for path in output.path.iterdir()] == ["out"]
    assert sorted(path.name for path in output.path.parent.iterdir()) == [
        output.path.name,
        f"{output.path.name}.lock",
    ]


def unfinished(root: Path) -> list[Path]:
    return list(root.glob("kernel/*.unfinished-*"))


def test_what_a_killed_producer_left_is_removed_by_the_next_build_of_anything(
    tmp_path: Path,
) -> None:
    with python(KILLED, str(tmp_path)) as process:
        assert process.wait(10) == -9
    (left,) = unfinished(tmp_path)
    assert (left / "half").is_file()
    Store(tmp_path).remove_unfinished()
    assert unfinished(tmp_path) == []


def test_what_a_failed_producer_left_is_removed_by_the_next_build_of_anything(
    tmp_path: Path,
) -> None:
    def fail(folder: Path, log: Path) -> None:
        raise BuildError("no")

    with pytest.raises(BuildError):
        Store(tmp_path).produce(STEP, fail)
    assert len(unfinished(tmp_path)) == 1
    Store(tmp_path).remove_unfinished()
    assert unfinished(tmp_path) == []


def test_what_a_running_producer_writes_is_not_removed(tmp_path: Path) -> None:
    with python(SLOW, str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "making\n"
        # What another one left that was killed while it made the same.
        (stale,) = (path.with_name(f"{path.name}0") for path in unfinished(tmp_path))
        stale.mkdir()
        Store(tmp_path).remove_unfinished()
        assert len(unfinished(tmp_path)) == 2
        (tmp_path / "go").touch()
        assert process.wait(10) == 0
    store = Store(tmp_path)
    assert (store.place(STEP) / "out").read_text(encoding="utf-8") == "first"
    store.remove_unfinished()
    assert unfinished(tmp_path) == []
    assert store.produce(STEP, never).cached


def test_nothing_to_remove(tmp_path: Path) -> None:
    Store(tmp_path / "none").remove_unfinished()
    output = Store(tmp_path).produce(STEP, make_out)
    Store(tmp_path).remove_unfinished()
    assert (output.path / "out").is_file()


SLOW = """
import sys, time
from pathlib import Path
from pibed.build.store import Step, Store
root = Path(sys.argv[1])
def make(folder, log):
    print("making", flush=True)
    while not (root / "go").exists():
        time.sleep(0.01)
    (folder / "out").write_text("first")
Store(root).produce(Step("kernel", {"source": "abc", "config": "def"}, 1), make)
"""


def test_second_process_waits_and_finds_it_made(tmp_path: Path) -> None:
    waited = []

    def go() -> None:
        waited.append(True)
        (tmp_path / "go").touch()

    with python(SLOW, str(tmp_path)) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "making\n"
        output = Store(tmp_path).produce(STEP, never, go)
        assert first.wait(10) == 0
    assert waited == [True]
    assert output.cached
    assert (output.path / "out").read_text(encoding="utf-8") == "first"


def test_second_process_makes_it_when_the_first_failed(tmp_path: Path) -> None:
    code = SLOW.replace('(folder / "out").write_text("first")', "sys.exit(1)")
    with python(code, str(tmp_path)) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "making\n"
        output = Store(tmp_path).produce(STEP, make_out, (tmp_path / "go").touch)
        assert first.wait(10) == 1
    assert not output.cached


def test_threads_make_once(tmp_path: Path) -> None:
    made = []
    outputs = []

    def make(folder: Path, log: Path) -> None:
        made.append(folder)
        threading.Event().wait(0.05)

    def produce() -> None:
        outputs.append(Store(tmp_path).produce(STEP, make))

    threads = [threading.Thread(target=produce) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert sorted(output.cached for output in outputs) == [False] + [True] * 7


def test_other_steps_do_not_wait(tmp_path: Path) -> None:
    store = Store(tmp_path)
    other = Step("kernel", {"source": "other"}, 1)

    def wait() -> None:
        raise AssertionError("waited for another step")

    def make(folder: Path, log: Path) -> None:
        store.produce(other, make_out, wait)

    store.produce(STEP, make)
    assert store.place(other).is_dir()


def test_full_disk_is_the_hosts_error_with_a_fix(tiny: Path) -> None:
    store = Store(tiny)

    def make(folder: Path, log: Path) -> None:
        (folder / "big").write_bytes(bytes(1 << 20))

    with pytest.raises(HostError) as caught:
        store.produce(STEP, make)
    assert "No space left" in caught.value.message
    assert caught.value.fix is not None
    assert "free some space" in caught.value.fix
    assert not store.place(STEP).exists()


def test_full_disk_while_a_tree_is_copied(tiny: Path, tmp_path: Path) -> None:
    import shutil

    source = tmp_path / "tree"
    source.mkdir()
    (source / "big").write_bytes(bytes(1 << 20))

    def make(folder: Path, log: Path) -> None:
        shutil.copytree(source, folder / "files")

    with pytest.raises(HostError) as caught:
        Store(tiny).produce(STEP, make)
    assert "no space left" in caught.value.message.lower()
    assert caught.value.fix is not None
    assert "free some space" in caught.value.fix


def test_no_space_by_number(tmp_path: Path) -> None:
    def make(folder: Path, log: Path) -> None:
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(HostError, match="No space left"):
        Store(tmp_path).produce(STEP, make)


def test_read_only_store_names_the_variable(tmp_path: Path) -> None:
    def make(folder: Path, log: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder))

    with pytest.raises(HostError) as caught:
        Store(tmp_path).produce(STEP, make)
    assert "Read-only file system" in caught.value.message
    assert caught.value.fix is not None
    assert "PIBED_CACHE" in caught.value.fix


def test_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match=str(tmp_path / "file")):
        Store(tmp_path / "file").produce(STEP, make_out)


def test_clean_removes_everything_and_counts(tmp_path: Path) -> None:
    store = Store(tmp_path / "steps")
    assert clean(tmp_path, everything=True) == 0
    (tmp_path / "thesis.txt").touch()
    (tmp_path / "downloads").mkdir()

    def make(folder: Path, log: Path) -> None:
        (folder / "big").write_bytes(b"x" * 100_000)
        (folder / "loop").symlink_to(".")

    store.produce(STEP, make)
    assert 100_000 <= clean(tmp_path, everything=False) < 200_000
    assert not store.root.exists()
    assert (tmp_path / "downloads").is_dir()
    assert not store.produce(STEP, make_out).cached
    clean(tmp_path, everything=True)
    # What pibed did not put there stays.
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_cache_folder_by_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIBED_CACHE", str(tmp_path))
    assert places.cache() == tmp_path
    monkeypatch.delenv("PIBED_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert places.cache() == tmp_path / "pibed"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places.cache() == tmp_path / ".cache" / "pibed"


def test_cache_folder_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIBED_CACHE", "here")
    assert places.cache() == tmp_path / "here"


@pytest.mark.parametrize("name", ["two words", "a:b", "a\tb"])
def test_cache_folder_that_cannot_be_built_in(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIBED_CACHE", str(tmp_path / name))
    with pytest.raises(HostError) as caught:
        places.cache()
    assert repr(str(tmp_path / name)) in caught.value.message
    assert caught.value.fix is not None
    assert "PIBED_CACHE" in caught.value.fix


def test_digests_are_sha256(tmp_path: Path) -> None:
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "file").write_bytes(b"abc")
    assert digest_text("abc") == abc
    assert digest_file(tmp_path / "file") == abc


def test_digest_of_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    one.chmod(0o644)
    before = digest_files(tmp_path, [one, two])
    assert digest_files(tmp_path, [two, one]) == before
    os.utime(one, (0, 0))
    one.chmod(0o600)  # the umask's business
    assert digest_files(tmp_path, [one, two]) == before
    one.chmod(0o755)
    executable = digest_files(tmp_path, [one, two])
    one.chmod(0o644)
    two.write_bytes(b"3")
    edited = digest_files(tmp_path, [one, two])
    two.write_bytes(b"2")
    two.rename(tmp_path / "three")
    renamed = digest_files(tmp_path, [one, tmp_path / "three"])
    assert len({before, executable, edited, renamed}) == 4


def read_it(header: Path, made: list[str]) -> Callable[[Path, Path], Read]:
    def make(folder: Path, log: Path) -> Read:
        made.append(header.read_text())
        (folder / "out").write_text(header.read_text())
        return reads.digests([header], header.parent)

    return make


def test_output_is_taken_again_as_long_as_what_it_has_read_is_the_same(tmp_path: Path) -> None:
    store, made = Store(tmp_path / "steps"), list[str]()
    header = tmp_path / "size.h"
    make = read_it(header, made)

    def produced(text: str) -> Output:
        header.write_text(text)
        output = store.produce(STEP, make, reads_below=tmp_path)
        assert (output.path / "out").read_text() == text
        assert output.path == store.place(output.step)
        assert output.step.asked == STEP
        assert list(output.read) == ["size.h"]
        return output

    one, two, again = produced("1"), produced("2"), produced("1")
    assert made == ["1", "2"]
    assert [each.cached for each in (one, two, again)] == [False, False, True]
    assert one.step.key == again.step.key != two.step.key
    assert one.read == again.read
    header.unlink()
    with pytest.raises(FileNotFoundError):
        store.produce(STEP, make, reads_below=tmp_path)


def test_output_whose_note_is_lost_is_made_again(tmp_path: Path) -> None:
    store, made = Store(tmp_path / "steps"), list[str]()
    header = tmp_path / "size.h"
    header.write_text("1")
    make = read_it(header, made)
    first = store.produce(STEP, make, reads_below=tmp_path)
    (first.path / "read.json").write_text("{")
    assert store.produce(STEP, make, reads_below=tmp_path).path == first.path
    assert store.produce(STEP, make, reads_below=tmp_path).cached
    assert made == ["1", "1"]
    assert unfinished(store.root) == []


def test_same_output_serves_files_of_the_same_names_elsewhere(tmp_path: Path) -> None:
    store, made = Store(tmp_path / "steps"), list[str]()
    outputs = []
    for name in ("a", "b"):
        header = tmp_path / name / "size.h"
        header.parent.mkdir()
        header.write_text("1")
        outputs.append(store.produce(STEP, read_it(header, made), reads_below=header.parent))
    assert made == ["1"]
    assert outputs[0].path == outputs[1].path
