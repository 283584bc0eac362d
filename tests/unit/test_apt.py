"""Sources with the real apt, from a small package repository of the test's own, or a mirror."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pibed.base.errors import BuildError, HostError
from pibed.base.files import digest_file
from pibed.build.sources import aptroot
from pibed.build.sources.apt import Downloads, Kind, NotLockedError, SourcePackage
from pibed.build.sources.policy import Policy
from pibed.model.builder import Source

NAMES: dict[Kind, str] = {"binary": "linux-source-9.9", "source": "busybox"}
KINDS = pytest.mark.parametrize("kind", NAMES)


class Repository:
    """A package repository with a binary and a source package in some versions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pool").mkdir(parents=True, exist_ok=True)

    def add(self, version: str) -> None:
        pool = self.folder / "pool"
        tree = self.folder / f"tree-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(
            f"Package: {NAMES['binary']}\nVersion: {version}\nArchitecture: all\n"
            "Maintainer: Some One <one@example.org>\nDescription: sources\n"
        )
        run("dpkg-deb", "--root-owner-group", "--build", str(tree), str(pool))
        content = pool / f"busybox_{version}.tar.gz"
        content.write_bytes(f"sources {version}".encode())
        md5 = hashlib.md5(content.read_bytes()).hexdigest()
        (pool / f"busybox_{version}.dsc").write_text(
            "Format: 3.0 (native)\nSource: busybox\nBinary: busybox\nArchitecture: any\n"
            f"Version: 1:{version}\nMaintainer: Some One <one@example.org>\n"
            "Standards-Version: 4.6.2\n"
            f"Checksums-Sha256:\n {digest_file(content)} {content.stat().st_size} {content.name}\n"
            f"Files:\n {md5} {content.stat().st_size} {content.name}\n"
        )

    def remove(self, version: str) -> None:
        for path in (self.folder / "pool").glob(f"*_{version}*"):
            path.unlink()

    def index(self) -> None:
        architecture = run("dpkg", "--print-architecture").strip()
        main = self.folder / "dists" / "test" / "main"
        for place, name, command in (
            (f"binary-{architecture}", "Packages", ("dpkg-scanpackages", "--multiversion")),
            ("source", "Sources", ("dpkg-scansources",)),
        ):
            (main / place).mkdir(parents=True, exist_ok=True)
            text = run(*command, "pool", cwd=self.folder)
            (main / place / name).write_text(text, encoding="utf-8")

    def locked(self, kind: Kind, version: str) -> Source:
        pool = self.folder / "pool"
        pattern = f"{NAMES[kind]}_{version}*"
        files = {path.name: digest_file(path) for path in pool.glob(pattern)}
        assert files
        return Source(version=f"1:{version}" if kind == "source" else version, files=files)


def run(*argv: str, cwd: Path | None = None) -> str:
    return subprocess.run(
        argv, cwd=cwd, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    result = Repository(tmp_path_factory.mktemp("shipped"))
    for version in ("1.0", "1.1", "1.2"):
        result.add(version)
    result.index()
    return result


@pytest.fixture
def repository(shipped: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository with the versions 1.0, 1.1 and 1.2, which is all that apt knows."""
    result = Repository(shutil.copytree(shipped.folder, tmp_path / "repository"))
    system = tmp_path / "etc" / "apt"
    (system / "sources.list.d").mkdir(parents=True)
    (system / "sources.list.d" / "test.sources").write_text(
        f"Types: deb\nURIs: copy:{result.folder}\nSuites: test\nComponents: main\nTrusted: yes\n"
    )
    (tmp_path / "os-release").write_text("VERSION_CODENAME=test\n")
    monkeypatch.setattr(aptroot, "_SYSTEM", system)
    monkeypatch.setattr(aptroot, "_OS_RELEASE", tmp_path / "os-release")
    return result


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def fetch(
    root: Path, kind: Kind, wanted: Source | None = None, policy: Policy | None = None
) -> SourcePackage:
    locked = {} if wanted is None else {NAMES[kind]: wanted}
    return Downloads(root, locked, policy or Policy()).fetch(NAMES[kind], kind)


def put_apt(folder: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts an apt-get of one line of shell into PATH."""
    folder.mkdir(parents=True)
    script = folder / "apt-get"
    script.write_text(f"#!/bin/sh\n{line}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def forbid_apt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that only leaves a file behind, whose name is returned."""
    called = folder / "called"
    put_apt(folder, f"touch '{called}'; exit 1", monkeypatch)
    return called


@KINDS
def test_without_a_lock_the_newest_is_downloaded_once(
    repository: Repository, root: Path, kind: Kind
) -> None:
    first = fetch(root, kind)
    assert first.source == repository.locked(kind, "1.2")
    assert all(digest_file(first.folder / n) == d for n, d in first.source.files.items())
    repository.add("1.3")
    repository.index()
    assert fetch(root, kind) == first
    assert fetch(root, kind, repository.locked(kind, "1.0")) == first
    newest = fetch(root, kind, first.source, Policy(refresh=True))
    assert newest.source == repository.locked(kind, "1.3")
    assert fetch(root, kind) == newest


@KINDS
def test_the_locked_version_is_asked_for_first(
    repository: Repository, root: Path, kind: Kind
) -> None:
    wanted = repository.locked(kind, "1.1")
    assert fetch(root, kind, wanted).source == wanted


@KINDS
def test_the_newest_if_apt_has_the_locked_version_no_more(
    repository: Repository, root: Path, kind: Kind
) -> None:
    wanted = repository.locked(kind, "1.0")
    repository.remove("1.0")
    repository.index()
    assert fetch(root, kind, wanted).source == repository.locked(kind, "1.2")


@KINDS
def test_locked_gets_the_locked_version_beside_another(
    repository: Repository, root: Path, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = fetch(root, kind)
    wanted = repository.locked(kind, "1.0")
    archive = fetch(root, kind, wanted, Policy(locked=True))
    assert archive.source == wanted
    # Both are there now: nothing is downloaded any more, whichever is wanted.
    called = forbid_apt(tmp_path / "bin", monkeypatch)
    assert fetch(root, kind, newest.source, Policy(locked=True)) == newest
    assert fetch(root, kind, wanted, Policy(locked=True)) == archive
    assert not called.exists()


@KINDS
def test_locked_takes_no_other_version(repository: Repository, root: Path, kind: Kind) -> None:
    wanted = repository.locked(kind, "1.0")
    repository.remove("1.0")
    repository.index()
    newest = fetch(root, kind)
    with pytest.raises(NotLockedError) as caught:
        fetch(root, kind, wanted, Policy(locked=True))
    assert caught.value.message == f"apt does not have {NAMES[kind]} {wanted.version}"
    assert caught.value.log is not None
    assert "apt-get" in caught.value.log.read_text(encoding="utf-8")
    # What was there is still there.
    assert fetch(root, kind) == newest


def test_locked_refuses_a_package_that_the_lock_does_not_name(root: Path) -> None:
    with pytest.raises(NotLockedError, match="busybox is not in the lock"):
        fetch(root, "source", None, Policy(locked=True))


def test_a_download_that_is_not_whole_is_made_again(repository: Repository, root: Path) -> None:
    archive = fetch(root, "source")
    archive.path(".tar.gz").unlink()
    assert fetch(root, "source").path(".tar.gz").is_file()
    (archive.folder / "package.json").write_text('{"version": 1, "files": {}}')
    assert fetch(root, "source") == archive


def test_what_an_interrupted_download_left_does_no_harm(repository: Repository, root: Path) -> None:
    incoming = root / "downloads" / "busybox" / "incoming"
    incoming.mkdir(parents=True)
    (incoming / "busybox_0.9.dsc").write_text("half a f")
    assert fetch(root, "source").source == repository.locked("source", "1.2")
    assert not incoming.exists()


def test_no_such_package(repository: Repository, root: Path) -> None:
    with pytest.raises(BuildError, match="the package nothing could not be downloaded") as caught:
        Downloads(root, {}).fetch("nothing", "binary")
    assert any("nothing" in line for line in caught.value.context)


@pytest.mark.parametrize("policy", [Policy(), Policy(locked=True)])
def test_a_repository_out_of_reach_is_not_a_version_that_is_gone(
    repository: Repository,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    policy: Policy,
) -> None:
    (stanza,) = (tmp_path / "etc" / "apt" / "sources.list.d").iterdir()
    # Nobody listens there, which apt takes for a failure that will pass and thus for none.
    text = stanza.read_text().replace(f"copy:{repository.folder}", "http://127.0.0.1:1/")
    stanza.write_text(text)
    # The real one, but it does not wait and try again.
    real = shutil.which("apt-get")
    put_apt(tmp_path / "bin", f'exec {real} "$@" --option=Acquire::Retries=0', monkeypatch)
    with pytest.raises(BuildError, match=r"linux-source-9\.9 could not be downloaded"):
        fetch(root, "binary", repository.locked("binary", "1.1"), policy)


def test_no_sources_for_the_release(repository: Repository, root: Path, tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text("VERSION_CODENAME=other\n")
    with pytest.raises(HostError, match="no package sources for other"):
        fetch(root, "source")


@pytest.fixture
def mirror(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A mirror with all versions of both packages; apt must not run."""
    called = forbid_apt(tmp_path / "bin", monkeypatch)
    yield repository.folder / "pool"
    assert not called.exists()


@KINDS
@pytest.mark.parametrize("locked", [False, True])
def test_mirror_is_where_sources_come_from(
    repository: Repository, mirror: Path, root: Path, kind: Kind, locked: bool
) -> None:
    for version in ("1.1", "1.0"):
        wanted = repository.locked(kind, version)
        archive = fetch(root, kind, wanted, Policy(locked=locked, mirror=mirror))
        assert archive.source == wanted
        assert archive.folder == root / "downloads" / NAMES[kind]
        assert all(digest_file(archive.folder / n) == d for n, d in wanted.files.items())
    # From now on without it.
    assert fetch(root, kind, wanted, Policy(locked=True)) == archive


def test_mirror_that_lacks_a_file_or_has_another(
    repository: Repository, mirror: Path, root: Path
) -> None:
    wanted = repository.locked("source", "1.1")
    fetch(root, "source", wanted, Policy(mirror=mirror))
    tarball, dsc = mirror / "busybox_1.1.tar.gz", mirror / "busybox_1.1.dsc"
    dsc.unlink()
    tarball.write_bytes(b"other")
    # Told even though the locked files are in the cache.
    with pytest.raises(BuildError) as caught:
        fetch(root, "source", wanted, Policy(mirror=mirror))
    assert caught.value.message.splitlines() == [
        f"{dsc}: expected SHA-256 {wanted.files[dsc.name]}, found: No such file or directory",
        f"{tarball}: expected SHA-256 {wanted.files[tarball.name]}, "
        f"found: SHA-256 {digest_file(tarball)}",
    ]
    assert caught.value.fix is not None


def test_mirror_without_the_package_in_the_lock(mirror: Path, root: Path) -> None:
    with pytest.raises(NotLockedError, match="busybox is not in the lock"):
        fetch(root, "source", None, Policy(mirror=mirror))
