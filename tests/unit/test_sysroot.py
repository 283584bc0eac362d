"""The distribution's cross compiler as a folder of its own."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pibed.base.errors import HostError
from pibed.build.buildroot import recipe, sysroot
from pibed.build.buildroot.sysroot import Installed
from pibed.model.machine import load_machine
from tests.unit.helpers import ROOT

PROGRAM = '#include <stdio.h>\nint main(void) { return printf("%d\\n", __GLIBC__) < 0; }\n'


def test_relocated_compiler_finds_its_own_files_alone_wherever_it_lies(tmp_path: Path) -> None:
    installed = sysroot.find(load_machine("pi2").cross_compile)
    sysroot.write(installed, tmp_path / "made")
    folder = tmp_path / "moved"
    (tmp_path / "made").rename(folder)
    compiler = folder / "bin" / f"{installed.triplet}-gcc"
    source = tmp_path / "program.c"
    source.write_text(PROGRAM)
    for linking in ("-static", "-dynamic"):
        target = tmp_path / f"program{linking}"
        # -H and -t: each header, and each file that is linked.
        options = ["-H", "-Wl,-t", linking, "-o", str(target), str(source)]
        done = subprocess.run([compiler, *options], capture_output=True, text=True, check=True)
        used = [word for word in (done.stdout + done.stderr).split() if word.startswith("/")]
        ours = (str(tmp_path), "/tmp/")
        assert used
        assert [path for path in used if not path.startswith(ours)] == []
    # The same program as the compiler makes where the distribution has it.
    plain = tmp_path / "plain"
    argv = [f"{installed.triplet}-gcc", "-static", "-o", str(plain), str(source)]
    subprocess.run(argv, check=True)
    assert plain.read_bytes() == (tmp_path / "program-static").read_bytes()


def test_program_that_is_a_link_to_nothing_is_none(tmp_path: Path) -> None:
    (tmp_path / "arm-x-gcc").write_text("1")
    installed = Installed("arm-x", tmp_path, tmp_path / "none", tmp_path / "none")
    before = installed.digest
    (tmp_path / "arm-x-ld").symlink_to("/none")
    assert installed.digest == before
    known = sysroot.find(load_machine("pi2").cross_compile)
    programs = tmp_path / "programs"
    programs.mkdir()
    for path in known.programs.glob(f"{known.triplet}-*"):
        (programs / path.name).symlink_to(path)
    (programs / f"{known.triplet}-gcc-99").symlink_to("/none")
    sysroot.write(replace(known, programs=programs), tmp_path / "made")
    made = {path.name for path in (tmp_path / "made" / "bin").iterdir()}
    assert f"{known.triplet}-gcc" in made
    assert f"{known.triplet}-gcc-99" not in made
    (tmp_path / "arm-x-ld").unlink()
    (tmp_path / "arm-x-ld").write_text("2")
    assert installed.digest != before


def test_compiler_of_another_language_that_the_host_has_is_left_out(tmp_path: Path) -> None:
    known = sysroot.find(load_machine("pi2").cross_compile)
    programs = tmp_path / "programs"
    programs.mkdir()
    for path in known.programs.glob(f"{known.triplet}-*"):
        (programs / path.name).symlink_to(path)
    for name in ("g++", "g++-12", "gfortran", "gnatmake"):
        program = programs / f"{known.triplet}-{name}"
        program.unlink(missing_ok=True)
        program.write_text("#!/bin/sh\n")
    folder = tmp_path / "made"
    sysroot.write(replace(known, programs=programs), folder)
    made = {path.name.removeprefix(f"{known.triplet}-") for path in (folder / "bin").iterdir()}
    assert {"gcc", "c++filt", "gcc-ar", "ld"} <= made
    assert not {"g++", "g++-12", "gfortran", "gnatmake"} & made
    assert recipe.external(ROOT, folder, known.triplet)["BR2_TOOLCHAIN_EXTERNAL_CXX"] == "n"
    # Of a toolchain that is the user's own Buildroot is told that it has one.
    (folder / "bin" / f"{known.triplet}-g++").write_text("#!/bin/sh\n")
    assert recipe.external(ROOT, folder, known.triplet)["BR2_TOOLCHAIN_EXTERNAL_CXX"] == "y"


def test_it_does_not_state_the_sysroot_that_buildroot_refuses(tmp_path: Path) -> None:
    installed = sysroot.find(load_machine("pi2").cross_compile)
    sysroot.write(installed, tmp_path)
    compiler = tmp_path / "bin" / f"{installed.triplet}-gcc"
    stated = subprocess.run([compiler, "-v"], capture_output=True, text=True, check=True).stderr
    assert f"--with-sysroot={tmp_path}/bin/../sysroot " in stated
    answer = subprocess.run(
        [compiler, "-print-file-name=libc.a"], capture_output=True, text=True, check=True
    )
    assert Path(answer.stdout.strip()).resolve() == tmp_path / "sysroot" / "lib" / "libc.a"
    told = recipe.external(ROOT, tmp_path, installed.triplet)
    assert told["BR2_TOOLCHAIN_EXTERNAL_CUSTOM_GLIBC"] == "y"
    assert told["BR2_TOOLCHAIN_EXTERNAL_INET_RPC"] == "n"


def test_missing_compiler() -> None:
    with pytest.raises(HostError, match="no-such-gcc is not installed") as caught:
        sysroot.find("no-such-")
    assert caught.value.fix == "./inv setup"


def test_compiler_that_is_not_laid_out_so() -> None:
    with pytest.raises(HostError, match="not laid out as Debian's cross compilers") as caught:
        sysroot.find("")
    assert caught.value.fix is not None
    assert "docs/builders.md" in caught.value.fix
