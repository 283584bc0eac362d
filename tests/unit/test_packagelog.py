"""What Buildroot prints: which packages are done, and which one failed at what."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed.base.errors import BuildError
from pibed.build.buildroot.packagelog import PackageLog

PACKAGES = {
    "host-tar-custom": "host-tar",
    "linux-custom": "linux",
    "skeleton": "skeleton",
    "toolchain-external": "toolchain-external",
}


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def log(tmp_path: Path, said: list[str]) -> PackageLog:
    return PackageLog(tmp_path, PACKAGES, said.append)


def install(folder: Path, name: str) -> None:
    (folder / "build" / name).mkdir(parents=True)
    (folder / "build" / name / ".stamp_installed").touch()


def test_a_line_for_each_package_when_it_is_done(
    tmp_path: Path, log: PackageLog, said: list[str]
) -> None:
    log.on_line(">>> host-tar custom Building\n")
    assert said == []
    install(tmp_path, "host-tar-custom")
    log.on_line("  CC      init/main.o\n")
    assert said == []
    install(tmp_path, "skeleton")
    log.on_line("\x1b[7m>>> linux custom Configuring\x1b[27m\n")
    assert [line.rsplit(",", 1)[0] for line in said] == [
        "host-tar: done, 1 of 4",
        "skeleton: done, 2 of 4",
    ]
    install(tmp_path, "linux-custom")
    log.finished()
    assert said[-1].startswith("linux: done, 3 of 4, ")


def test_virtual_packages_are_not_counted(tmp_path: Path, log: PackageLog, said: list[str]) -> None:
    install(tmp_path, "toolchain-virtual")
    install(tmp_path, "skeleton")
    log.finished()
    assert len(said) == 1
    assert said[0].startswith("skeleton: done, 1 of 4, ")


def test_what_was_there_before_is_counted_and_not_told(tmp_path: Path, said: list[str]) -> None:
    install(tmp_path, "host-tar-custom")
    log = PackageLog(tmp_path, PACKAGES, said.append)
    install(tmp_path, "skeleton")
    log.finished()
    assert [line.rsplit(",", 1)[0] for line in said] == ["skeleton: done, 2 of 4"]


def test_failure_names_package_and_step_with_the_lines_before_the_first_error(
    tmp_path: Path, log: PackageLog
) -> None:
    lines = [
        *(f"  CC      lib/error-{n}.o" for n in range(100)),
        "kernel/fork.c:1:2: error: expected ';'",
        "make[4]: *** [scripts/Makefile.build:250: kernel/fork.o] Error 1",
        "make[3]: *** [Makefile:2010: .] Error 2",
        "  CC      mm/other.o",
        "make[1]: *** [package/pkg-generic.mk:283: /c d/build/linux-custom/.stamp_built] Error 2",
        "make: *** [package/pkg-generic.mk:283: /c/build/host-tar-custom/.stamp_built] Error 2",
        "make: *** Waiting for unfinished jobs....",
    ]
    for line in lines:
        log.on_line(line + "\n")
    error = log.failure(BuildError("make ended with status 2", context=["x"]), tmp_path / "log")
    assert error.message == "Buildroot: the package linux could not be built"
    assert error.context[-2:] == lines[100:102]
    assert len(error.context) == 15
    assert error.log == tmp_path / "log"


def test_source_that_cannot_be_downloaded(tmp_path: Path, log: PackageLog) -> None:
    log.on_line("wget: unable to resolve host address 'example.org'\n")
    stamp = "/c/build/host-tar-custom/.stamp_downloaded"
    log.on_line(f"make: *** [package/pkg-generic.mk:179: {stamp}] Error 1\n")
    error = log.failure(BuildError("make ended with status 2"), tmp_path / "log")
    assert error.message == "Buildroot: the package host-tar could not be downloaded"
    assert error.context[0] == "wget: unable to resolve host address 'example.org'"
    assert error.fix is not None
    assert "--toolchain distro" in error.fix


def test_source_of_another_digest_is_not_the_networks_fault(
    tmp_path: Path, log: PackageLog
) -> None:
    log.on_line("ERROR: while checking hashes from package/tar/tar.hash\n")
    stamp = "/c/build/host-tar-custom/.stamp_downloaded"
    log.on_line(f"make: *** [package/pkg-generic.mk:179: {stamp}] Error 1\n")
    error = log.failure(BuildError("make ended with status 2"), tmp_path / "log")
    assert error.message == (
        "Buildroot: the package host-tar has other bytes than expected where it was downloaded"
    )
    assert error.fix is not None
    assert "network" not in error.fix


@pytest.mark.parametrize("stamp", ["dotconfig", "kconfig_fixup_done", "configured"])
def test_steps_of_a_configuration_are_one(tmp_path: Path, log: PackageLog, stamp: str) -> None:
    stamp = f"/c/build/linux-custom/.stamp_{stamp}"
    log.on_line(f"make: *** [package/pkg-kconfig.mk:9: {stamp}] Error 1\n")
    error = log.failure(BuildError("make ended with status 2"), tmp_path / "log")
    assert error.message == "Buildroot: the package linux could not be configured"


def test_step_that_is_not_known_is_named_as_buildroot_has_it(
    tmp_path: Path, log: PackageLog
) -> None:
    log.on_line("make: *** [package/x.mk:9: /c/build/linux-custom/.stamp_polished] Error 1\n")
    error = log.failure(BuildError("make ended with status 2"), tmp_path / "log")
    assert error.message == "Buildroot: the package linux could not be polished"


def test_words_about_a_download_do_not_make_it_one(tmp_path: Path, log: PackageLog) -> None:
    said = BuildError("this could not be downloaded")
    error = log.failure(said, tmp_path / "log")
    assert error.message == "Buildroot: this could not be downloaded"
    assert error.fix is not None
    assert "network" not in error.fix


def test_failure_of_no_package_keeps_the_words_of_make(tmp_path: Path, log: PackageLog) -> None:
    log.on_line("Makefile.legacy:9: *** You have legacy configuration. Stop.\n")
    error = log.failure(BuildError("make ended with status 2", context=["x"]), tmp_path / "log")
    assert error.message == "Buildroot: make ended with status 2"
    assert error.context == ["x"]


def test_full_disk_is_not_lost(tmp_path: Path, log: PackageLog) -> None:
    log.on_line("cc1: error: /c/x.s: No space left on device\n")
    for number in range(50):
        log.on_line(f"  CC      {number}.o\n")
    log.on_line(
        "make: *** [package/pkg-generic.mk:1: /c/build/linux-custom/.stamp_built] Error 2\n"
    )
    error = log.failure(BuildError("make ended with status 2"), tmp_path / "log")
    assert "cc1: error: /c/x.s: No space left on device" in error.context
