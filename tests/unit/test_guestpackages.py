"""Packages for the guest with the real apt, from a small repository of the test's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pibed.base.errors import BuildError, HostError, UsageError
from pibed.base.files import digest_file
from pibed.build.sources import aptroot, guestlock, guestpackages
from pibed.build.sources.guestpackages import Fetched, Wanted
from pibed.build.sources.policy import Policy
from pibed.model.machine import load_machine

from .test_apt import forbid_apt, run

ARCHITECTURE = "armhf"


class Repository:
    """A repository with packages for the guest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pool").mkdir(parents=True)

    def add(self, name: str, version: str, depends: str = "", architecture: str = "armhf") -> None:
        tree = self.folder / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n"
            f"Maintainer: Some One <one@example.org>\nDescription: {name}\n"
            + (f"Depends: {depends}\n" if depends else "")
        )
        (tree / "usr" / "bin").mkdir(parents=True)
        (tree / "usr" / "bin" / name).write_text(f"{name} {version}")
        run("dpkg-deb", "--root-owner-group", "--build", str(tree), str(self.folder / "pool"))
        shutil.rmtree(tree)

    def remove(self, name: str, version: str) -> None:
        for path in (self.folder / "pool").glob(f"{name}_{version}_*"):
            path.unlink()

    def index(self) -> None:
        place = self.folder / "dists" / "test" / "main" / f"binary-{ARCHITECTURE}"
        place.mkdir(parents=True, exist_ok=True)
        scan = ("dpkg-scanpackages", "--multiversion", "--arch", ARCHITECTURE, "pool")
        (place / "Packages").write_text(run(*scan, cwd=self.folder))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository(tmp_path / "repository")
    made.add("stress", "1:1.0-1", "libstress (>= 1.0)")
    made.add("libstress", "1.0", "data")
    made.add("data", "3", architecture="all")
    made.add("stressful", "1")
    made.index()
    system = tmp_path / "etc" / "apt"
    (system / "sources.list.d").mkdir(parents=True)
    (system / "sources.list.d" / "test.sources").write_text(
        f"Types: deb\nURIs: copy:{made.folder}\nSuites: test\nComponents: main\nTrusted: yes\n"
    )
    (tmp_path / "os-release").write_text("VERSION_CODENAME=test\n")
    monkeypatch.setattr(aptroot, "_SYSTEM", system)
    monkeypatch.setattr(aptroot, "_OS_RELEASE", tmp_path / "os-release")
    return made


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "my experiments"
    folder.mkdir()
    return folder


def fetch(own: Path, *names: str, policy: Policy | None = None, cache: str = "cache") -> Fetched:
    wanted = Wanted(names or ("stress",), own / guestlock.NAME, "x.yaml: packages")
    return guestpackages.fetch(wanted, ARCHITECTURE, own.parent / cache, policy or Policy())


def versions(fetched: Fetched) -> dict[str, str]:
    return {name: each.version for name, each in fetched.packages.items()}


NEW = {"data": "3", "libstress": "1.0", "stress": "1:1.0-1"}


def test_first_build_locks_all_that_the_packages_need(repository: Repository, own: Path) -> None:
    first = fetch(own)
    assert versions(first) == NEW
    assert first.note == f"packages: stress for armhf: locked in {own / guestlock.NAME}"
    assert [path.name.partition("_")[0] for path in first.files] == ["data", "libstress", "stress"]
    for name, source in first.packages.items():
        (file,) = source.files
        assert digest_file(first.folder / file) == source.files[file], name
    assert set(first.recorded) == {"data:armhf", "libstress:armhf", "stress:armhf"}


def test_locked_packages_in_the_cache_need_no_apt(
    repository: Repository, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch(own)
    called = forbid_apt(tmp_path / "bin", monkeypatch)
    again = fetch(own)
    assert (again.packages, again.differs, again.note) == (first.packages, (), "")
    assert not called.exists()


def test_on_another_host_it_is_the_locked_version(repository: Repository, own: Path) -> None:
    first = fetch(own)
    repository.add("libstress", "1.1")
    repository.index()
    elsewhere = fetch(own, cache="another cache", policy=Policy(locked=True))
    assert elsewhere.packages == first.packages
    assert elsewhere.differs == ()
    text = (own / guestlock.NAME).read_text()
    newest = fetch(own, policy=Policy(refresh=True))
    assert versions(newest) == {"libstress": "1.1", "stress": "1:1.0-1"}
    # It no longer needs it.
    assert newest.differs == ("no data instead of 3", "libstress 1.1 instead of 1.0")
    assert (own / guestlock.NAME).read_text() == text


def test_a_version_that_is_gone(repository: Repository, own: Path) -> None:
    fetch(own)
    repository.remove("libstress", "1.0")
    repository.add("libstress", "1.1", "data")
    repository.index()
    with pytest.raises(HostError, match=r"apt does not have all packages of .* any more"):
        fetch(own, cache="other", policy=Policy(locked=True))
    other = fetch(own, cache="other")
    assert other.differs == ("libstress 1.1 instead of 1.0",)


def test_a_file_that_is_not_the_locked_one(repository: Repository, own: Path) -> None:
    first = fetch(own)
    locked = (own / guestlock.NAME).read_text()
    (digest,) = first.packages["data"].files.values()
    (own / guestlock.NAME).write_text(locked.replace(digest, "ab" * 32))
    with pytest.raises(BuildError, match=r"data_3_all\.deb: what was downloaded is not"):
        fetch(own, cache="other")


def test_mirror(
    repository: Repository, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch(own)
    mirror = tmp_path / "mirror"
    shutil.copytree(first.folder, mirror)
    called = forbid_apt(tmp_path / "bin", monkeypatch)
    policy = Policy(locked=True, mirror=mirror)
    assert fetch(own, cache="other", policy=policy).packages == first.packages
    (mirror / "data_3_all.deb").write_text("other")
    with pytest.raises(BuildError, match=r"data_3_all\.deb: expected SHA-256 .*another file"):
        fetch(own, cache="third", policy=policy)
    (mirror / "data_3_all.deb").unlink()
    with pytest.raises(BuildError, match=r"data_3_all\.deb: expected SHA-256 .*not there"):
        fetch(own, cache="third", policy=policy)
    assert not called.exists()


def test_what_is_not_locked_is_refused_where_the_lock_is_to_hold(
    repository: Repository, own: Path
) -> None:
    with pytest.raises(HostError, match="does not lock stress for armhf"):
        fetch(own, policy=Policy(locked=True))
    assert not (own / guestlock.NAME).exists()


def test_lists_in_one_folder_are_locked_apart(repository: Repository, own: Path) -> None:
    fetch(own)
    fetch(own, "stressful", "data")
    assert versions(fetch(own, "data", "stressful")) == {"data": "3", "stressful": "1"}
    assert versions(fetch(own)) == NEW
    text = (own / guestlock.NAME).read_text()
    (own / guestlock.NAME).unlink()
    fetch(own, "data", "stressful")
    fetch(own)
    assert (own / guestlock.NAME).read_text() == text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("stres", "there is no package stres for armhf in test; there is stress"),
        ("nothing-like-it", "there is no package nothing-like-it for armhf in test$"),
    ],
)
def test_a_package_that_does_not_exist(
    repository: Repository, own: Path, name: str, words: str
) -> None:
    with pytest.raises(UsageError, match=f"^x.yaml: packages: {words}") as caught:
        fetch(own, "stress", name)
    assert caught.value.message.count("\n") == 0
    assert not (own / guestlock.NAME).exists()


def test_a_package_of_another_architecture_does_not_exist(
    repository: Repository, own: Path
) -> None:
    repository.add("intel-only", "1", architecture="amd64")
    repository.index()
    with pytest.raises(UsageError, match="there is no package intel-only for armhf"):
        fetch(own, "intel-only")


def test_what_cannot_be_installed_is_in_apts_words(repository: Repository, own: Path) -> None:
    repository.add("needy", "1", "none-of-it")
    repository.index()
    with pytest.raises(BuildError, match="could not be downloaded") as caught:
        fetch(own, "needy")
    assert any("none-of-it" in line for line in caught.value.context)


def test_a_folder_that_cannot_be_written_is_said_and_built_from(
    repository: Repository, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise HostError("read-only")

    monkeypatch.setattr(guestlock, "write_file", refuse)
    fetched = fetch(own)
    assert versions(fetched) == NEW
    assert fetched.differs == ("stress for armhf: not locked: read-only",)


def test_a_broken_lock_is_told_with_what_to_do(own: Path) -> None:
    (own / guestlock.NAME).write_text("schema_version: 1\nsets: 3\n")
    with pytest.raises(UsageError, match=r"packages\.lock\.yaml: sets: ") as caught:
        fetch(own)
    assert "remove it" in str(caught.value.fix)


def test_a_machine_that_names_no_architecture() -> None:
    machine = load_machine("pi2")
    assert guestpackages.architecture(machine) == ARCHITECTURE
    packages = machine.packages.model_copy(update={"architecture": None})
    with pytest.raises(UsageError, match=r"machines/pi2\.yaml: packages\.architecture"):
        guestpackages.architecture(machine.model_copy(update={"packages": packages}))


def test_the_hosts_own_packages_are_left_alone(repository: Repository, own: Path) -> None:
    def state() -> str:
        return subprocess.run(
            ["dpkg", "--print-foreign-architectures"], capture_output=True, text=True, check=True
        ).stdout

    before = state()
    fetch(own)
    assert state() == before
