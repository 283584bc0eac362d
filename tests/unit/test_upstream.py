"""Where Buildroot comes from, and whether it is what the lock pins."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pibed.base import terminal
from pibed.base.errors import BuildError, UsageError
from pibed.build.buildroot import tree as upstream
from pibed.build.making import Workbench
from pibed.build.progress import BuildProgress
from pibed.build.sources.lock import Pin
from pibed.build.store import Store


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(Store(tmp_path / "steps"), BuildProgress(terminal.stderr(), False), 1)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@localhost"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with the tag 2025.02.1 and a commit behind it."""
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "--quiet")
    for version in ("2025.02.1", "2025.02.2"):
        (folder / "Makefile").write_text(f"export BR2_VERSION := {version}\n")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", version)
        if version == "2025.02.1":
            git(folder, "tag", "-a", "-m", version, version)
    return folder


@pytest.fixture
def pin(clone: Path) -> Pin:
    return Pin(tag="2025.02.1", commit=git(clone, "rev-parse", "2025.02.1^{commit}"))


def test_the_pinned_commit_of_a_clone(bench: Workbench, clone: Path, pin: Pin) -> None:
    tree = upstream.fetch(bench, pin, str(clone))
    assert tree.version == "2025.02.1"
    assert tree.key == pin.commit
    assert tree.differs == ()
    assert sorted(path.name for path in tree.path.iterdir()) == ["Makefile"]
    # Once it is there, no repository is needed.
    assert upstream.fetch(bench, pin, "/none").path == tree.path


def test_tag_of_another_commit(bench: Workbench, clone: Path, pin: Pin) -> None:
    git(clone, "tag", "--force", "2025.02.1", "HEAD")
    other = git(clone, "rev-parse", "HEAD")
    with pytest.raises(BuildError) as caught:
        upstream.fetch(bench, pin, str(clone))
    assert f"the tag 2025.02.1 is the commit {other}" in caught.value.message
    assert f"configs/lock.yaml has {pin.commit}" in caught.value.message
    with pytest.raises(BuildError, match="could not be fetched"):
        upstream.fetch(bench, pin, "/none")


@pytest.mark.parametrize("repository", ["/none", "https://localhost:1/none.git"])
def test_repository_that_cannot_be_reached(bench: Workbench, pin: Pin, repository: str) -> None:
    with pytest.raises(BuildError) as caught:
        upstream.fetch(bench, pin, repository)
    assert caught.value.status == 4
    assert caught.value.message == f"Buildroot 2025.02.1 could not be fetched from {repository}"
    assert caught.value.fix is not None
    for way in ("PIBED_BUILDROOT", "configs/buildroot.yaml", "--buildroot-dir"):
        assert way in caught.value.fix


def test_folder_is_taken_as_it_is_and_compared_with_the_lock(clone: Path, pin: Pin) -> None:
    later = upstream.of_folder(clone, pin)
    head = git(clone, "rev-parse", "HEAD")
    assert later.differs == (f"buildroot 2025.02.2, commit {head} instead of {pin.commit}",)
    git(clone, "checkout", "--quiet", "2025.02.1")
    pinned = upstream.of_folder(clone, pin)
    assert (pinned.differs, pinned.key, pinned.path) == ((), pin.commit, clone)
    makefile = clone / "Makefile"
    makefile.write_text(makefile.read_text() + "# changed\n")
    changed = upstream.of_folder(clone, pin)
    assert changed.differs == (f"buildroot 2025.02.1 with changed or added files in {clone}",)
    assert changed.key not in (pin.commit, later.key)


def test_file_that_was_added_is_a_difference(clone: Path, pin: Pin) -> None:
    git(clone, "checkout", "--quiet", "2025.02.1")
    patch = clone / "package" / "busybox" / "1-mine.patch"
    patch.parent.mkdir(parents=True)
    patch.touch()
    differs = (f"buildroot 2025.02.1 with changed or added files in {clone}",)
    changed = upstream.of_folder(clone, pin)
    assert changed.differs == differs
    assert changed.key != pin.commit
    (clone / ".git" / "info" / "exclude").write_text("*.patch\n")
    assert upstream.of_folder(clone, pin).differs == differs


@pytest.mark.parametrize("name", ["a b", "a:b", "a@b"])
def test_folder_that_buildroot_cannot_work_in(clone: Path, pin: Pin, name: str) -> None:
    folder = clone.rename(clone.with_name(name))
    with pytest.raises(UsageError, match="with a space, a colon or @"):
        upstream.of_folder(folder, pin)


def test_files_are_those_of_the_commit_whatever_git_is_set_to(
    bench: Workbench, clone: Path, pin: Pin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitconfig").write_text("[core]\n\tautocrlf = true\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    tree = upstream.fetch(bench, pin, str(clone))
    assert b"\r" not in (tree.path / "Makefile").read_bytes()


def test_folder_without_git(tmp_path: Path, pin: Pin) -> None:
    (tmp_path / "Makefile").write_text("export BR2_VERSION := 2025.02.1\n")
    differs = ("buildroot 2025.02.1 from a folder that states no commit",)
    assert upstream.of_folder(tmp_path, pin).differs == differs
    (tmp_path / "Makefile").write_text("export BR2_VERSION := 2026.05.1\n")
    assert upstream.of_folder(tmp_path, pin).differs == (
        "buildroot 2026.05.1 instead of 2025.02.1",
    )


def test_folder_that_is_no_buildroot(tmp_path: Path, pin: Pin) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match="there is no Buildroot in it"):
            upstream.of_folder(folder, pin)
