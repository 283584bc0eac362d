"""Which builder a command line or a manifest asks for."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pibed.base.errors import UsageError
from pibed.build import builders
from pibed.build.builders import Buildroot, Debian
from pibed.build.sources import lock
from pibed.build.sources.lock import Lock, Pin
from pibed.build.sources.policy import DEFAULT_POLICY
from pibed.commands import sweep, verify
from pibed.commands.sweep import SweepOptions
from pibed.commands.verify import VerifyOptions
from pibed.model.builder import Made
from pibed.model.machine import load_machine
from tests.unit.helpers import BUILDROOT, archived, experiment, measured


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
        ("buildroot", None, "", "--buildroot-dir: it names no folder"),
    ],
)
def test_what_contradicts(
    name: str | None, toolchain: str | None, folder: str | None, words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        builders.choose(name, toolchain, folder)
    assert caught.value.message == words


def of_buildroot(**changes: Any) -> Made:
    """What a manifest has of the builder, for the toolchain `distro`."""
    chosen = builders.choose("buildroot", "distro", None)
    assert isinstance(chosen, Buildroot)
    record = {
        "name": "buildroot",
        "version": "2025.02.16",
        "source": pin().commit,
        "folder": None,
        "settings": chosen.settings.model_dump(exclude={"repository"}),
        "packages": {},
        "overrides": {},
    }
    return Made.model_validate(record | changes)


def pin() -> Pin:
    known = lock.load()
    assert known is not None
    assert known.buildroot is not None
    return known.buildroot


def test_builder_of_a_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert builders.recorded(Made(name="debian")) == Debian()
    made = of_buildroot()
    # Where it is fetched from is this host's affair, what is built is the run's.
    monkeypatch.setenv("PIBED_BUILDROOT", "/elsewhere")
    builder = builders.recorded(made)
    assert builder == builders.choose("buildroot", "distro", None)
    assert isinstance(builder, Buildroot)
    assert builder.settings.repository == "/elsewhere"


def clone(folder: Path, files: str = "one") -> str:
    """Makes what looks like Buildroot, in a git repository; returns its commit."""
    folder.mkdir()
    (folder / "Makefile").write_text(f"export BR2_VERSION := 2025.02.16\n# {files}\n")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        git(folder, "-c", "user.name=x", "-c", "user.email=x", *arguments)
    return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def folder_of(made: Made) -> Path | None:
    builder = builders.recorded(made)
    assert isinstance(builder, Buildroot)
    return builder.folder


def test_folder_of_the_locked_commit_is_needed_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = clone(tmp_path / "br")
    other = clone(tmp_path / "other", "two")
    locked = Lock(
        schema_version=1,
        buildroot=Pin(tag="2025.02.16", commit=commit),
        sources={},
        tools={},
    )
    monkeypatch.setattr(lock, "load", lambda: locked)
    folder = tmp_path / "br"
    assert folder_of(of_buildroot(source=commit, folder=str(folder))) == folder
    # As a worktree of git is whose repository has moved.
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / ".git").write_text("gitdir: /nowhere\n")
    (tmp_path / "broken" / "Makefile").write_text("export BR2_VERSION := 2025.02.16\n")
    for gone in ("other", "none", "broken"):
        assert folder_of(of_buildroot(source=commit, folder=str(tmp_path / gone))) is None
    # What the lock does not have has to be there.
    there = of_buildroot(source=other, folder=str(tmp_path / "other"))
    assert folder_of(there) == tmp_path / "other"
    (tmp_path / "other").rename(tmp_path / "moved")
    with pytest.raises(UsageError) as caught:
        builders.recorded(there)
    assert caught.value.message == (
        f"{tmp_path / 'other'}: there is no Buildroot in it any more; the run's images were made "
        f"with 2025.02.16 from there (commit {other})"
    )
    changed = of_buildroot(source="ab" * 32, folder=str(tmp_path / "other"))
    with pytest.raises(UsageError, match="with changed files"):
        builders.recorded(changed)


REPEATED: dict[str, Callable[[Path], None]] = {
    "rerun": lambda run: sweep.rerun(
        run / "manifest.json", None, None, str(run.parent / "again"), DEFAULT_POLICY
    ),
    "resume": lambda run: sweep.sweep(SweepOptions(resume=str(run))),
    "verify": lambda run: verify.verify(VerifyOptions(results=str(run))),
}


@pytest.mark.parametrize("task", REPEATED)
def test_run_of_a_folder_that_is_gone_cannot_be_repeated(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIBED_CACHE", str(tmp_path / "cache"))
    study = experiment(rounds=1)
    samples = measured(study, {(0, 64): {"work_us": [1], "pages": [2]}})
    made = {"builder": BUILDROOT | {"folder": str(tmp_path / "gone")}}
    run = archived(tmp_path / "20260101T000000Z-small", study, samples, made=made)
    with pytest.raises(UsageError, match="gone: there is no Buildroot in it any more") as caught:
        REPEATED[task](run)
    assert caught.value.fix == "put the same there again"
    assert not (tmp_path / "cache" / "steps").exists()


def test_cross_compiler_is_needed_for_the_toolchain_distro_alone() -> None:
    machine = load_machine("pi2")
    names = {}
    for toolchain in ("bootlin", "distro"):
        needed = builders.choose("buildroot", toolchain, None).prerequisites(machine)
        names[toolchain] = {each.name for each in needed}
    cross = f"{machine.cross_compile}gcc"
    library = "libc6-dev-armhf-cross"
    assert {cross, library} <= names["distro"]
    assert not {cross, library} & names["bootlin"]
    assert {"git", "rsync", machine.qemu.binary} <= names["bootlin"]
    assert {"fakeroot", "kmod", "patchelf"} <= names["distro"] - names["bootlin"]
