"""What the host has: real programs, and scripts in PATH that play old and broken ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pibed.base.errors import HostError, UsageError
from pibed.build import host
from pibed.build.host import Prerequisite
from pibed.model.machine import load_machine

Script = Callable[[str, str], Path]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Puts a shell script of that name first in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(name: str, body: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("QEMU emulator version 7.2.13 (Debian 1:7.2+dfsg-7+deb12u7)", "7.2.13"),
        ("QEMU emulator version 10.0.2 (qemu-10.0.2-1.fc42)", "10.0.2"),
        ("GNU Make 4.3", "4.3"),
        ("gcc (Debian 12.2.0-14) 12.2.0", "12.2.0"),
        ("bzip2, a block-sorting file compressor.  Version 1.0.8, 13-Jul-2019.", "1.0.8"),
        ("flex 2.6.4", "2.6.4"),
        ("version 10", None),
        ("", None),
    ],
)
def test_find_version(text: str, version: str | None) -> None:
    assert host.find_version(text) == version


@pytest.mark.parametrize("version", ["7.2", "7.2.0", "7.10", "8.0.4", "10.0.2"])
def test_qemu_that_is_new_enough(script: Script, version: str) -> None:
    script("qemu-fake", f"echo 'QEMU emulator version {version} (x)'; echo more")
    assert host.qemu_version("qemu-fake", "7.2") == f"QEMU emulator version {version} (x)"


@pytest.mark.parametrize("version", ["7.1", "7.1.99", "6.10.1", "2.11"])
def test_qemu_that_is_too_old(script: Script, version: str) -> None:
    script("qemu-fake", f"echo 'QEMU emulator version {version}'")
    with pytest.raises(HostError) as caught:
        host.qemu_version("qemu-fake", "7.2")
    assert caught.value.message == f"qemu-fake is version {version}; 7.2 or newer is needed"
    assert caught.value.fix is not None


def test_missing_qemu() -> None:
    with pytest.raises(HostError, match="qemu-pibed-none is not installed") as caught:
        host.qemu_version("qemu-pibed-none", "7.2")
    assert caught.value.fix is not None


@pytest.mark.parametrize("body", ["echo garbage", "exit 1", "", "echo 'error: libfoo.so' >&2"])
def test_qemu_without_a_version(script: Script, body: str) -> None:
    script("qemu-fake", body)
    with pytest.raises(HostError, match="does not tell a version"):
        host.qemu_version("qemu-fake", "7.2")


def test_qemu_that_cannot_be_executed(script: Script) -> None:
    script("qemu-fake", "").write_bytes(b"\x7fELFnonsense")
    with pytest.raises(HostError, match="qemu-fake"):
        host.qemu_version("qemu-fake", "7.2")


def state(name: str, minimum: str | None = None) -> tuple[str, str | None]:
    finding = host.find(Prerequisite(name, "package", "purpose", minimum))
    return finding.state, finding.version


def test_find_states(script: Script) -> None:
    script("tool", "echo 'tool 2.5.35'")
    assert state("tool") == ("found", "2.5.35")
    assert state("tool", "2.5.35") == ("found", "2.5.35")
    assert state("tool", "2.5.4") == ("found", "2.5.35")
    assert state("tool", "2.6") == ("too old", "2.5.35")
    assert state("pibed-none") == ("missing", None)
    script("silent", ":")
    assert state("silent") == ("found", None)


def test_find_asks_without_input_and_with_a_clean_environment(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", "9.9")
    script("tool", 'cat; echo "tool ${CFLAGS-1.5}"')
    assert state("tool") == ("found", "1.5")


def test_broken_program_is_not_found(script: Script) -> None:
    script("tool", "echo 'error while loading shared libraries' >&2; exit 127")
    assert state("tool", "1.0")[0] != "found"


def test_probe_for_a_file(script: Script) -> None:
    script("cc-with", "echo /usr/lib/libc.a")
    script("cc-without", "echo libc.a")
    for compiler, expected in (
        ("cc-with", "found"),
        ("cc-without", "missing"),
        ("pibed-none", "missing"),
    ):
        probe = (compiler, "-print-file-name=libc.a")
        assert host.find(Prerequisite("libc", "libc", "x", probe=probe)).state == expected


def test_require(script: Script) -> None:
    script("tool", "echo 1.0")
    there = Prerequisite("tool", "tool-package", "x", minimum="9.0")
    gone = Prerequisite("pibed-none", "none-package", "x")
    also = Prerequisite("pibed-void", "void-package", "x")
    host.require([there])
    with pytest.raises(HostError) as caught:
        host.require([there, gone, also])
    assert caught.value.message == "missing on this host: pibed-none, pibed-void"
    assert caught.value.fix is not None
    assert "none-package" in caught.value.fix
    assert "tool-package" not in caught.value.fix


def test_install_command(script: Script) -> None:
    script("apt-get", "exit 1")
    needed = [Prerequisite(name, "z", "x") for name in ("one", "two")]
    command = "apt-get update && apt-get install --yes --no-install-recommends z"
    expected = command if os.geteuid() == 0 else f"as root: {command}"
    assert host.install_command(needed) == expected
    needed.append(Prerequisite("other", "a", "x"))
    assert host.install_command(needed).endswith("--no-install-recommends a z")


def test_install_command_without_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    needed = [Prerequisite("x", "b", "x"), Prerequisite("y", "a", "x")]
    assert host.install_command(needed) == "install what Debian calls a, b"


def test_failed_install_shows_why(script: Script, tmp_path: Path) -> None:
    script("apt-get", "echo 'E: no network'; exit 100")
    script("sudo", 'while [ "$1" = -n ]; do shift; done; exec "$@"')
    log = tmp_path / "logs" / "setup.log"
    with pytest.raises(HostError, match="apt-get update ended with status 100") as caught:
        host.install([Prerequisite("x", "b", "x")], log)
    assert caught.value.log == log
    assert caught.value.context == ["E: no network"]
    assert caught.value.fix is not None


def test_install(script: Script, tmp_path: Path) -> None:
    script("apt-get", 'echo "$DEBIAN_FRONTEND $*"')
    script("sudo", 'while [ "$1" = -n ]; do shift; done; exec "$@"')
    host.install([Prerequisite("x", "b", "x"), Prerequisite("y", "a", "x")], tmp_path / "log")
    assert (tmp_path / "log").read_text(encoding="utf-8").splitlines() == [
        "noninteractive --quiet --option=DPkg::Lock::Timeout=120 update",
        "noninteractive --quiet --option=DPkg::Lock::Timeout=120 "
        "install --yes --no-install-recommends a b",
    ]


def test_prerequisites_are_named_once() -> None:
    names = [each.name for each in host.prerequisites(load_machine("pi2"))]
    assert len(set(names)) == len(names)
    assert {"qemu-system-arm", "arm-linux-gnueabihf-gcc", "make"} <= set(names)


def test_the_compiler_for_cxx_is_the_machines() -> None:
    machine = load_machine("pi2")
    needed = host.for_cxx(machine)
    assert (needed.name, needed.package) == ("arm-linux-gnueabihf-g++", "g++-arm-linux-gnueabihf")
    assert needed not in host.prerequisites(machine)
    packages = machine.packages.model_copy(update={"cxx_compiler": None})
    with pytest.raises(UsageError, match=r"machines/pi2\.yaml: packages\.cxx_compiler"):
        host.for_cxx(machine.model_copy(update={"packages": packages}))
