"""What means another build folder, and what is built anew within one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pibed.base import places, terminal
from pibed.base.errors import BuildError, HostError
from pibed.base.files import digest_file
from pibed.base.process import clean_environment
from pibed.build import payload, reads
from pibed.build.buildroot import folder, reading, recipe, snapshot
from pibed.build.buildroot.folder import BuildFolder, Compiler
from pibed.build.buildroot.tree import Tree
from pibed.build.making import Workbench
from pibed.build.progress import BuildProgress
from pibed.build.store import Output, Step, Store
from pibed.model.builder import load_settings
from pibed.model.experiment import load_experiment
from pibed.model.machine import load_machine
from tests.unit.helpers import ROOT

Make = Callable[..., BuildFolder]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that can be changed."""
    folder = tmp_path / "checkout"
    for name in ("buildroot", "kernel", "module", "configs"):
        shutil.copytree(ROOT / name, folder / name)
    monkeypatch.setattr(places, "checkout", lambda: folder)
    return folder


def output(name: str, key: str, folder: Path) -> Output:
    return Output(Step(name, {"key": key}, expected_s=1), folder, cached=True, seconds=0)


# In the place of Buildroot's: says what it was asked to forget, and what it knows.
MAKEFILE = """\
%-dirclean:
	cp $(O)/../packages.json $(O)/../$*.seen || touch $(O)/../$*.seen
	rm -rf $(O)/build/$*-1
show-info:
	@echo "make: Warning: Clock skew detected" >&2
	@cat $(O)/../info.json
printvars:
	@echo TARGET_CROSS=$(realpath $(O))/host/bin/arm-x-
"""


@pytest.fixture
def made(checkout: Path, tmp_path: Path) -> Iterator[Make]:
    """Makes a build folder's record; nothing is built in it."""
    with ExitStack() as stack:
        yield partial(make_folder, checkout, tmp_path, stack)


def make_folder(
    checkout: Path,
    tmp_path: Path,
    stack: ExitStack,
    *,
    kernel: str = "6.1",
    linux: str = "1",
    tree: str = "1",
    toolchain: str = "1",
    busybox: str = "1",
    cflags: tuple[str, ...] = ("-O0",),
    ccache: bool = True,
    experiment: str = "paging",
    host_compiler: str = "gcc 1",
) -> BuildFolder:
    machine = load_machine("pi2", {"kernel.version": kernel})
    known = payload.of_experiment(load_experiment(experiment))
    if experiment == "paging":
        known = replace(known, cflags=cflags)
    settings = load_settings({}).model_copy(update={"ccache": ccache})
    compiler = Compiler({}, {}, toolchain, busybox=output("busybox", busybox, tmp_path))
    (tmp_path / "Makefile").write_text(MAKEFILE)
    return BuildFolder(
        Workbench(Store(tmp_path / "steps"), BuildProgress(terminal.stderr(), False), 2),
        machine,
        known,
        settings,
        Tree(tmp_path, "2025.02", tree, ()),
        output("linux-tarball", linux, tmp_path),
        compiler,
        host_compiler,
        recipe.requests(checkout, machine, known, {}),
        stack.enter_context(snapshot.taken(tmp_path / "snapshots")),
        tmp_path,
        None,
    )


def packages(folder: BuildFolder, *unfinished: str) -> dict[str, dict[str, str]]:
    """As if these packages had been built, some not to their end."""
    for name in ("linux", "dense-mm", "host-tar"):
        place = folder.output / "build" / f"{name}-1"
        place.mkdir(parents=True, exist_ok=True)
        (folder.output / "per-package" / name / "target").mkdir(parents=True, exist_ok=True)
        if name not in unfinished:
            (place / ".stamp_installed").touch()
    (folder.place / "reads.json").write_text('{"dense-mm": {}}')
    return {
        name: {"folder": f"{name}-1"} for name in ("linux", "dense-mm", "host-tar", "kmod-paging")
    }


def forgotten(folder: BuildFolder) -> list[str]:
    found = sorted(path.stem for path in folder.place.glob("*.seen"))
    for path in folder.place.glob("*.seen"):
        path.unlink()
    return found


def changed(before: BuildFolder, after: BuildFolder) -> set[str]:
    """The packages that are built anew; they must be in the same folder."""
    assert before.place == after.place
    return {name for name in after.inputs if after.inputs[name] != before.inputs.get(name)}


def test_the_same_is_the_same(made: Make) -> None:
    assert changed(made(), made()) == set()


@pytest.mark.parametrize(
    "other",
    [
        {"linux": "2"},
        {"tree": "2"},
        {"toolchain": "2"},
        {"ccache": False},
        {"host_compiler": "gcc 2"},
    ],
    ids=str,
)
def test_other_release_kernel_or_toolchain_is_another_folder(
    made: Make, other: dict[str, str]
) -> None:
    assert made(**other).place != made().place


@pytest.mark.parametrize(
    "file", ["package/dense-mm/dense-mm.mk", "external.mk", "distribution.make", "Config.in"]
)
def test_other_recipe_is_another_folder(checkout: Path, made: Make, file: str) -> None:
    before = made()
    assert before.place == made().place
    with (checkout / "buildroot" / file).open("a") as stream:
        stream.write("# changed\n")
    assert made().place != before.place


@pytest.mark.parametrize(
    ("file", "packages"),
    [
        (
            "kernel/fragments/pi2.config",
            {
                *("linux", "kmod-paging", "dense-mm", "memory-bench", "touch-pages"),
                *("paging-tests", "pibed-agent"),
            },
        ),
        ("kernel/fragments/debug.config", set()),
        ("kernel/dts/pibed-pi2.dtso", set()),
        (
            "module/paging.c",
            {"kmod-paging", "dense-mm", "memory-bench", "touch-pages", "paging-tests"},
        ),
        ("buildroot/board/pibed/pi2/busybox.config", {"busybox"}),
        ("buildroot/board/pibed/pi2/overlay/init", set()),
    ],
)
def test_changed_file_means_its_packages(
    checkout: Path, made: Make, file: str, packages: set[str]
) -> None:
    before = made()
    assert before.inputs
    with (checkout / file).open("a") as stream:
        stream.write("# changed\n")
    assert changed(before, made()) == packages


def test_other_sources_of_busybox_mean_busybox(made: Make) -> None:
    before = made()
    assert before.inputs
    assert changed(before, made(busybox="2")) == {"busybox"}


def test_other_options_of_the_workload_mean_the_workload(made: Make) -> None:
    before = made()
    assert before.inputs
    assert changed(before, made(cflags=("-O2",))) == {"dense-mm"}


def test_experiments_side_by_side_do_not_build_each_others_programs_anew(made: Make) -> None:
    before = made()
    assert before.inputs
    assert changed(before, made(experiment="balance")) == set()


def test_snapshot_has_all_that_packages_are_made_of_and_no_times(
    checkout: Path, tmp_path: Path
) -> None:
    # As Emacs locks a file that is edited.
    (checkout / "module" / ".#paging.c").symlink_to("somebody@somewhere.1")
    (checkout / "module" / "user" / "link.c").symlink_to("dense_mm.c")
    before = (checkout / "module" / "user" / "dense_mm.c").read_bytes()
    with snapshot.taken(tmp_path / "snapshots") as copy:
        for path in ("buildroot/external.mk", "kernel/fragments/base.config", "module/Kbuild"):
            assert (copy.root / path).read_bytes() == (checkout / path).read_bytes()
            assert (copy.root / path).stat().st_mtime == 0
        assert not (copy.root / "module" / ".#paging.c").is_symlink()
        assert (copy.root / "module" / "user" / "link.c").read_bytes() == before
        target = tmp_path / "target"
        (target / "stale").mkdir(parents=True)
        copy.move(target)
        assert (target / "module" / "Kbuild").is_file()
        assert not (target / "stale").exists()
    assert list((tmp_path / "snapshots").iterdir()) == []
    assert (target / "module" / "Kbuild").is_file()


def test_what_is_edited_after_the_snapshot_is_of_the_next_build(checkout: Path, made: Make) -> None:
    before = made()
    same = made()
    for name in ("module/paging.c", "kernel/fragments/pi2.config", "buildroot/external.mk"):
        with (checkout / name).open("a") as stream:
            stream.write("# changed\n")
    assert before.place == same.place
    assert changed(before, same) == set()
    assert made().place != before.place


def test_what_cannot_be_copied_is_named(checkout: Path, tmp_path: Path) -> None:
    os.mkfifo(checkout / "module" / "pipe")
    with (
        pytest.raises(HostError, match=r"module/pipe.* is a named pipe"),
        snapshot.taken(tmp_path / "snapshots"),
    ):
        pass


def test_checkout_in_a_folder_called_board(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "board" / "checkout"
    shutil.copytree(checkout, place)
    monkeypatch.setattr(places, "checkout", lambda: place)
    with snapshot.taken(tmp_path / "board") as before:
        (place / "buildroot" / "external.mk").write_text("# changed\n")
        with snapshot.taken(tmp_path / "board") as after:
            assert before.digest("buildroot", "board") != after.digest("buildroot", "board")


def test_what_changed_is_forgotten_before_it_is_removed(made: Make, tmp_path: Path) -> None:
    folder = made()
    known = packages(folder)
    (folder.output / "target").mkdir(parents=True)
    record = folder.place / "packages.json"
    before = dict(folder.inputs) | {"linux": "other"}
    record.write_text(json.dumps(before))
    with folder.held() as held:
        held._forget(known, tmp_path / "log")
        # Killed now, it would begin anew, even if its inputs were the old ones again.
        seen = json.loads((folder.place / "linux.seen").read_text())
        assert seen == {name: key for name, key in before.items() if name != "linux"}
        assert json.loads(record.read_text()) == folder.inputs
        assert forgotten(folder) == ["linux"]
        assert not (folder.output / "target").exists()
        held._forget(packages(folder), tmp_path / "log")
        assert forgotten(folder) == []


@pytest.mark.parametrize("record", ["", "{", None])
def test_where_nothing_is_known_of_it_all_is_built_anew(
    made: Make, tmp_path: Path, record: str | None
) -> None:
    folder = made()
    known = packages(folder)
    if record is not None:
        (folder.place / "packages.json").write_text(record)
    with folder.held() as held:
        held._forget(known, tmp_path / "log")
    assert forgotten(folder) == ["dense-mm", "linux"]


def test_package_that_was_cut_off_begins_anew(made: Make, tmp_path: Path) -> None:
    folder = made()
    known = packages(folder, "host-tar")
    (folder.place / "packages.json").write_text(json.dumps(folder.inputs))
    with folder.held() as held:
        held._forget(known, tmp_path / "log")
    assert forgotten(folder) == ["host-tar"]


def test_package_that_was_removed_in_part_begins_anew(made: Make, tmp_path: Path) -> None:
    folder = made()
    known = packages(folder)
    (folder.output / "per-package" / "linux" / "target").rmdir()
    (folder.place / "packages.json").write_text(json.dumps(folder.inputs))
    with folder.held() as held:
        held._forget(known, tmp_path / "log")
    assert forgotten(folder) == ["linux"]


def test_package_whose_header_from_elsewhere_changed_begins_anew(
    made: Make, tmp_path: Path
) -> None:
    folder = made()
    header = tmp_path / "elsewhere" / "size.h"
    header.parent.mkdir()
    header.write_text("#define SIZE 1\n")
    with folder.held() as held:
        known = packages(folder)
        (folder.place / "packages.json").write_text(json.dumps(folder.inputs))
        held.keep_reads({"dense-mm": reads.digests([header], places.checkout())})
        held._forget(known, tmp_path / "log")
        assert forgotten(folder) == []
        packages(folder)
        held.keep_reads({"dense-mm": reads.digests([header], places.checkout())})
        header.write_text("#define SIZE 2\n")
        held._forget(known, tmp_path / "log")
        assert forgotten(folder) == ["dense-mm"]


def test_package_of_a_build_that_failed_begins_anew(made: Make, tmp_path: Path) -> None:
    """What it was made of is noted when all is built: later its headers may be others."""
    folder = made()
    with folder.held() as held:
        (folder.place / "packages.json").parent.mkdir(exist_ok=True)
        known = packages(folder)
        (folder.place / "packages.json").write_text(json.dumps(folder.inputs))
        held._forget(known, tmp_path / "log")
        assert forgotten(folder) == []
        held._forget(known, tmp_path / "log")
    assert forgotten(folder) == ["dense-mm"]


def test_files_of_a_package_are_what_compiler_and_kernel_say(
    checkout: Path, made: Make, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "a header" / "size.h"
    elsewhere.parent.mkdir()
    elsewhere.write_text("#define SIZE 1\n")
    folder = made()
    assert folder.inputs  # names the packages
    folder.place.mkdir(parents=True)
    folder.snapshot.move(folder.sources)
    known = packages(folder)
    program, module = (
        folder.output / "build" / f"{name}-1" for name in ("dense-mm", "kmod-paging")
    )
    for build in (program, module):
        shutil.rmtree(build, ignore_errors=True)
        shutil.copytree(folder.sources / "module", build)
    toolchain = folder.output / "host" / "stdio.h"
    system = tmp_path / "usr" / "stdio.h"
    for path in (toolchain, system):
        path.parent.mkdir(parents=True)
        path.touch()
    escaped = str(elsewhere).replace(" ", "\\ ")
    (program / "user" / "dense_mm.d").write_text(
        f"dense_mm: dense_mm.c ../paging.h \\\n {escaped} {toolchain} {system} ../made.h\n"
    )
    (program / "made.h").touch()
    (module / ".paging.o.cmd").write_text(
        f"cmd_{module}/paging.o := /bin/sh -I{module} {module}/paging.c\n\n"
        f"deps_{module}/paging.o := \\\n  include/linux/mm.h \\\n"
        f"    $(wildcard include/config/A) \\\n  {module}/paging_trace.h \\\n"
        # As ccache has it.
        "  ../kmod-paging-1/paging.h \\\n"
    )
    folder.kernel.mkdir()

    def named(*names: str) -> dict[str, str]:
        return {f"module/{name}": digest_file(checkout / "module" / name) for name in names}

    assert reading.of_packages(folder, known, [system.parent]) == {
        "dense-mm": {
            str(elsewhere): digest_file(elsewhere),
            **named("paging.h", "user/dense_mm.c"),
        },
        "kmod-paging": named("Kbuild", "paging.c", "paging.h", "paging_trace.h"),
    }


@pytest.mark.parametrize(
    ("said", "file"),
    [
        ("$(O)/build/kmod-paging-1/paging.c", "module/paging.c"),
        ("$(O)/build/kmod-paging-1/user/../paging.h", "module/paging.h"),
        ("dense_mm.c", "module/user/dense_mm.c"),
    ],
)
def test_error_of_a_package_names_the_users_file(
    checkout: Path, made: Make, tmp_path: Path, said: str, file: str
) -> None:
    folder = made()
    assert folder.inputs
    folder.place.mkdir(parents=True)
    folder.snapshot.move(folder.sources)
    known = packages(folder)
    (folder.output / "build" / "kmod-paging-1").mkdir()
    (tmp_path / "Makefile").write_text(
        f"all:\n\t@echo '/usr/other.c:1:1: error: theirs'; echo '{said}:3:5: error: mine'\n"
        f"\t@echo 'make[1]: *** [p: $(O)/build/kmod-paging-1/.stamp_built] Error 2'; false\n"
    )
    with folder.held() as held, pytest.raises(BuildError) as caught:
        held.make(known, tmp_path / "log", lambda line: None)
    assert caught.value.message == (
        f"Buildroot: the package kmod-paging could not be built: {checkout / file}:3:5: error: mine"
    )
    assert caught.value.context == [f"{checkout / file}:3:5: error: mine"]


def test_packages_are_read_past_warnings_of_make(made: Make) -> None:
    folder = made()
    folder.output.mkdir(parents=True)
    with folder.held() as held:
        linux = {"type": "target", "stamp_dir": "/x/build/linux-1", "version": "1", "licenses": "G"}
        info = {"linux": linux, "toolchain": {**linux, "virtual": True}, "cpio": {"type": "rootfs"}}
        (folder.place / "info.json").write_text(json.dumps(info))
        assert held._packages() == {
            "linux": {"version": "1", "licence": "G", "kind": "target", "folder": "linux-1"}
        }


def test_cache_folder_behind_a_link(made: Make, tmp_path: Path) -> None:
    link = tmp_path / "link"
    (tmp_path / "real").mkdir()
    link.symlink_to("real")
    folder = replace(made(), root=link)
    folder.output.mkdir(parents=True)
    with folder.held() as held:
        assert held.prefix == "host/bin/arm-x-"


def test_state_of_a_repository_around_buildroot_does_not_get_in(made: Make, tmp_path: Path) -> None:
    folder = made()
    rule = "legal-info:\n\t@echo $(origin BR2_LOCALVERSION) '$(BR2_LOCALVERSION)'\n"
    (tmp_path / "Makefile").write_text(rule)
    seen: list[str] = []
    with folder.held() as held:
        held.legal_info(tmp_path / "log", seen.append)
    assert seen == ["command line \n"]


def test_second_process_waits_for_the_folder(
    made: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made()
    order = []

    def second() -> None:
        with folder.held():
            order.append("second")

    with folder.held():
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert "another build is making it; waiting" in capsys.readouterr().err


def test_folder_is_held_until_the_last_program_has_ended(made: Make) -> None:
    folder = made()
    with folder.held() as held:
        left = subprocess.Popen(["sleep", "60"], pass_fds=[held.lock])
    waiting = (
        "import fcntl, sys\nfcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    )
    attempt = [sys.executable, "-c", waiting, str(folder.place / "lock")]
    try:
        assert (
            b"BlockingIOError" in subprocess.run(attempt, capture_output=True, check=False).stderr
        )
    finally:
        left.kill()
        left.wait()
    subprocess.run(attempt, check=True)


def test_programs_in_the_folder_hold_it(made: Make, tmp_path: Path) -> None:
    folder = made()
    (tmp_path / "Makefile").write_text("legal-info:\n\t@ls -l /proc/self/fd\n")
    seen: list[str] = []
    with folder.held() as held:
        held.legal_info(tmp_path / "log", seen.append)
    assert str(folder.place / "lock") in "".join(seen)


def test_environment_has_nothing_that_buildroot_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:.:/a b:bin::/bin")
    monkeypatch.setenv("BR2_DL_DIR", "/elsewhere")
    given = clean_environment(folder._environment())
    assert given["PATH"] == "/usr/bin:/bin"
    assert "BR2_DL_DIR" not in given
    assert given["SOURCE_DATE_EPOCH"] == "0"
    monkeypatch.delenv("PATH")
    assert "/bin" in clean_environment(folder._environment())["PATH"].split(":")
