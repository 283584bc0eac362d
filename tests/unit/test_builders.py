"""Which builder a command line or a manifest asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed import builders, config
from pibed.builders import Buildroot, Debian
from pibed.errors import UsageError


@pytest.fixture(autouse=True)
def _no_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIBED_BUILDROOT", raising=False)


def test_default_is_debian() -> None:
    assert builders.choose(None, None, None) == Debian()
    assert builders.choose("debian", None, None) == Debian()


def test_buildroot_with_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builders.choose("buildroot", None, None)
    assert isinstance(plain, Buildroot)
    assert (plain.settings.toolchain, plain.folder) == ("bootlin", None)
    monkeypatch.chdir(tmp_path)
    other = builders.choose("buildroot", "distro", "x")
    assert isinstance(other, Buildroot)
    assert (other.settings.toolchain, other.folder) == ("distro", tmp_path / "x")


@pytest.mark.parametrize(
    ("name", "toolchain", "folder", "words"),
    [
        ("yocto", None, None, "--builder yocto: expected one of: debian, buildroot"),
        (None, "distro", None, "--toolchain distro: only with --builder buildroot"),
        ("debian", None, "/x", "--buildroot-dir /x: only with --builder buildroot"),
    ],
)
def test_what_contradicts(
    name: str | None, toolchain: str | None, folder: str | None, words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        builders.choose(name, toolchain, folder)
    assert caught.value.message == words


def test_builder_of_a_manifest() -> None:
    assert builders.recorded({}) == Debian()  # before there was another
    assert builders.recorded({"builder": {"name": "debian"}}) == Debian()
    chosen = builders.choose("buildroot", "distro", None)
    assert isinstance(chosen, Buildroot)
    elsewhere = chosen.settings.model_copy(update={"repository": "/elsewhere"})
    record = {"builder": {"name": "buildroot", "settings": elsewhere.model_dump()}}
    # Where it is fetched from is this host's affair, what is built is the run's.
    assert builders.recorded(record) == chosen
    record["builder"]["settings"] = {"toolchain": "gnu"}
    with pytest.raises(UsageError):
        builders.recorded(record)


def test_cross_compiler_is_needed_for_the_toolchain_distro_alone() -> None:
    machine = config.load_machine("pi2")
    names = {}
    for toolchain in ("bootlin", "distro"):
        needed = builders.choose("buildroot", toolchain, None).prerequisites(machine)
        names[toolchain] = {each.name for each in needed}
    cross = f"{machine.cross_compile}gcc"
    assert cross in names["distro"]
    assert cross not in names["bootlin"]
    assert {"git", "rsync", machine.qemu.binary} <= names["bootlin"]
    assert {"fakeroot", "kmod", "patchelf"} <= names["distro"] - names["bootlin"]
