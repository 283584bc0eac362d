"""The lock file, and how a build stands to it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pibed.base import places
from pibed.base.errors import BuildError, HostError, UsageError
from pibed.base.files import digest_file, digest_text
from pibed.build import toolchain
from pibed.build.sources import lock, standing
from pibed.build.sources import packages as sources
from pibed.build.sources.apt import Kind
from pibed.build.sources.lock import Lock, Pin
from pibed.build.sources.policy import Policy
from pibed.build.toolchain import CLibrary, Toolchain
from pibed.commands import arguments
from pibed.commands import lock as lock_command
from pibed.commands.options import LockOptions, SourceOptions
from pibed.model.builder import Source, Standing
from pibed.model.loading import load_file
from pibed.model.machine import Machine, load_machine
from tests.unit.helpers import ROOT

TOOLS = Toolchain(
    {"gcc": "gcc 12.2.0", "cross-gcc": "gcc 12.2.0"}, CLibrary("GNU 2.36", "ef" * 32), "QEMU 7.2.22"
)


def source(version: str, *names: str) -> Source:
    return Source(version=version, files={name: digest_text(name) for name in names})


LINUX = source("6.1.192-2", "linux_6.1.192-2_all.deb")
BUSYBOX = source("1:1.35.0-4", "busybox_1.35.0-4.dsc", "busybox_1.35.0.orig.tar.bz2")
LOCK = Lock(
    schema_version=1,
    sources={
        "linux-source-6.1": LINUX,
        "linux-source-6.12": source("6.12.1-1", "linux_6.12.1-1_all.deb"),
        "busybox": BUSYBOX,
    },
    tools=TOOLS.all,
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the lock is in a checkout that has none yet."""
    (tmp_path / "configs").mkdir()
    monkeypatch.setattr(places, "checkout", lambda: tmp_path)
    return tmp_path / "configs" / "lock.yaml"


def test_the_shipped_lock_names_what_the_machine_needs() -> None:
    shipped = lock.load()
    assert shipped is not None
    machine = load_machine("pi2")
    packages = {f"linux-source-{series}" for series in machine.kernel.versions} | {"busybox"}
    assert shipped.sources.keys() == packages
    assert shipped.tools.keys() == toolchain.find(machine).all.keys()
    for package, each in shipped.sources.items():
        suffix = ".dsc" if package == "busybox" else ".deb"
        assert sum(name.endswith(suffix) for name in each.files) == 1


def test_what_is_written_is_read(file: Path) -> None:
    lock.write(LOCK)
    assert lock.load() == LOCK
    assert [path.name for path in file.parent.iterdir()] == ["lock.yaml"]


def test_the_same_lock_gives_the_same_bytes(file: Path) -> None:
    lock.write(LOCK)
    before = file.read_bytes()
    lock.write(
        Lock(
            schema_version=1,
            sources={
                name: Source(version=each.version, files=dict(reversed(each.files.items())))
                for name, each in reversed(LOCK.sources.items())
            },
            tools=dict(reversed(LOCK.tools.items())),
        )
    )
    assert file.read_bytes() == before
    assert before.startswith(b"# yaml-language-server: $schema=lock.schema.json\n")


def test_the_shipped_lock_is_as_it_is_written(file: Path) -> None:
    shipped = ROOT / "configs" / "lock.yaml"
    lock.write(load_file(Lock, shipped, {}))
    assert file.read_bytes() == shipped.read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("schema_version: 1", "schema_version: 2", "schema_version: "),
        ("tools:", "tool:", "tool: unknown key"),
        ("    version: 6.1.192-2\n", "", "sources.linux-source-6.1.version: Field required"),
        ("6.1.192-2\n", "6.1\n", "sources.linux-source-6.1.version: "),
        ("6.1.192-2\n", "'-o x'\n", "sources.linux-source-6.1.version: "),
        (digest_text("linux_6.1.192-2_all.deb"), "abc", "sources.linux-source-6.1.files.linux_"),
        ("linux_6.1.192-2_all.deb", "../../x.deb", "sources.linux-source-6.1.files.../../x.deb: "),
        ("linux_6.1.192-2_all.deb", ".hidden", "sources.linux-source-6.1.files..hidden: "),
        ("  gcc: gcc 12.2.0\n", "  gcc: 12\n", "tools.gcc: "),
        ("  gcc: gcc 12.2.0\n", "  gcc: a\n  gcc: b\n", "the key 'gcc' is there twice"),
        ("sources:", "sources: [", "not valid YAML"),
    ],
)
def test_broken_lock(file: Path, old: str, new: str, words: str) -> None:
    lock.write(LOCK)
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        lock.load()
    assert caught.value.message.startswith(str(file))
    assert words in caught.value.message
    assert caught.value.fix is not None
    assert "./inv lock" in caught.value.fix


@pytest.mark.parametrize("text", ["", "- a\n", "words\n", "<<<<<<< HEAD\n"])
def test_lock_that_is_no_lock(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(str(file))):
        lock.load()


def test_lock_that_cannot_be_read(file: Path) -> None:
    file.mkdir()
    with pytest.raises(HostError, match=re.escape(str(file))):
        lock.load()


def test_nothing_differs(file: Path) -> None:
    lock.write(LOCK)
    have = {"busybox": BUSYBOX, "linux-source-6.1": LINUX}
    assert standing.compare(LOCK, have, TOOLS.all) == Standing(digest_file(file), ())


def test_each_difference_has_its_line() -> None:
    other = Source(
        version=BUSYBOX.version, files=BUSYBOX.files | {"busybox_1.35.0-4.dsc": "0" * 64}
    )
    have = {"linux-source-6.1": source("6.1.200-1", "linux_6.1.200-1_all.deb"), "busybox": other}
    tools = TOOLS.all | {"qemu": "QEMU 10.0.2"}
    assert standing.differences(LOCK, have, tools) == [
        "busybox 1:1.35.0-4 with other content: busybox_1.35.0-4.dsc",
        "linux-source-6.1 6.1.200-1 instead of 6.1.192-2",
        "qemu: QEMU 10.0.2 instead of QEMU 7.2.22",
    ]
    assert standing.differences(LOCK, {"linux-source-6.6": LINUX}, {"clang": "clang 14"}) == [
        "linux-source-6.6 6.1.192-2 instead of nothing",
        "clang: clang 14 instead of nothing",
    ]


def test_without_a_lock_everything_differs(file: Path) -> None:
    assert lock.load() is None
    assert standing.compare(None, {}, {}) == Standing(None, ("there is no configs/lock.yaml",))


def test_changes() -> None:
    new = Lock(
        schema_version=1, sources={"busybox": BUSYBOX}, tools={"gcc": "gcc 13", "qemu": TOOLS.qemu}
    )
    assert standing.changes(LOCK, LOCK) == []
    assert standing.changes(LOCK, new) == [
        "gcc: gcc 13 instead of gcc 12.2.0",
        "nothing instead of linux-source-6.1 6.1.192-2",
        "nothing instead of linux-source-6.12 6.12.1-1",
        "cross-gcc: nothing instead of gcc 12.2.0",
        f"libc.a: nothing instead of GNU 2.36, SHA-256 {'ef' * 32}",
    ]
    assert standing.changes(None, new)[0] == "busybox 1:1.35.0-4 instead of nothing"


@pytest.fixture
def machine() -> Machine:
    return load_machine("pi2")


@pytest.fixture
def cache(machine: Machine, file: Path, tmp_path: Path) -> Path:
    """A cache folder that has exactly what the lock names."""
    lock.write(LOCK)
    root = tmp_path / "cache"
    put(root, "linux-source-6.1", LINUX)
    put(root, "busybox", BUSYBOX)
    return root


def put(root: Path, package: str, what: Source) -> None:
    folder = root / "downloads" / package
    folder.mkdir(parents=True, exist_ok=True)
    for name in what.files:
        (folder / name).write_text(name, encoding="utf-8")
    (folder / "package.json").write_text(what.model_dump_json(), encoding="utf-8")


def packages(machine: Machine) -> dict[str, Kind]:
    return sources.linux(machine) | sources.busybox()


def test_build_goes_on_with_what_differs(machine: Machine, cache: Path) -> None:
    put(cache, "busybox", source("1:1.35.0-5", "busybox_1.35.0-5.dsc"))
    archives, comparison = sources.fetch(packages(machine), cache, TOOLS.all, Policy())
    assert [each.package for each in archives] == ["linux-source-6.1", "busybox"]
    assert comparison.digest == digest_file(lock.path())
    assert comparison.differs == ("busybox 1:1.35.0-5 instead of 1:1.35.0-4",)


def test_locked_passes_what_is_the_same(machine: Machine, cache: Path) -> None:
    _, comparison = sources.fetch(packages(machine), cache, TOOLS.all, Policy(locked=True))
    assert comparison == Standing(digest_file(lock.path()), ())


def test_locked_names_every_source_that_differs(machine: Machine, cache: Path) -> None:
    lock.write(LOCK.model_copy(update={"sources": {"busybox": BUSYBOX}}))
    with pytest.raises(HostError) as caught:
        sources.fetch(packages(machine), cache, TOOLS.all, Policy(locked=True))
    assert caught.value.status == 3
    assert caught.value.message.splitlines()[1:] == ["  linux-source-6.1 is not in the lock"]


def test_locked_names_every_tool_that_differs_before_anything_is_downloaded(
    machine: Machine, tmp_path: Path, cache: Path
) -> None:
    lock.write(LOCK.model_copy(update={"tools": TOOLS.all | {"gcc": "x"}}))
    tools = Toolchain(TOOLS.compilers, TOOLS.libc, "QEMU 10")
    nothing = tmp_path / "nothing"
    with pytest.raises(HostError) as caught:
        sources.fetch(packages(machine), nothing, tools.all, Policy(locked=True))
    assert not nothing.exists()
    assert caught.value.status == 3
    assert caught.value.message.splitlines()[1:] == [
        "  gcc: gcc 12.2.0 instead of x",
        "  qemu: QEMU 10 instead of QEMU 7.2.22",
    ]
    assert caught.value.fix is not None
    assert "./inv lock" in caught.value.fix


@pytest.mark.parametrize("policy", [Policy(locked=True), Policy(mirror=Path("/"))])
def test_a_lock_is_needed_to_honour_it(
    machine: Machine, cache: Path, file: Path, policy: Policy
) -> None:
    file.unlink()
    with pytest.raises(HostError, match=re.escape(f"there is no {file}")):
        sources.fetch(packages(machine), cache, TOOLS.all, policy)
    _, comparison = sources.fetch(packages(machine), cache, TOOLS.all, Policy())
    assert comparison == Standing(None, ("there is no configs/lock.yaml",))


def test_mirror_without_a_file(machine: Machine, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    with pytest.raises(BuildError, match=re.escape("linux_6.1.192-2_all.deb: expected SHA-256")):
        sources.fetch(packages(machine), cache, TOOLS.all, Policy(mirror=tmp_path / "mirror"))


def test_policy_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert arguments.policy(SourceOptions(mirror=".")) == Policy(mirror=tmp_path)
    assert arguments.policy(SourceOptions(locked=True)) == Policy(locked=True)
    with pytest.raises(UsageError, match="--mirror none: there is no such folder"):
        arguments.policy(SourceOptions(mirror="none"))
    with pytest.raises(UsageError, match="--refresh asks for the newest sources, --locked"):
        arguments.policy(SourceOptions(locked=True), refresh=True)
    with pytest.raises(UsageError, match="--refresh asks for the newest sources, --mirror"):
        arguments.policy(SourceOptions(mirror="."), refresh=True)


def test_toolchain_of_this_host(machine: Machine) -> None:
    found = toolchain.find(machine)
    assert list(found.compilers) == ["gcc", "arm-linux-gnueabihf-gcc", "arm-linux-gnueabihf-ld"]
    archive = subprocess.run(
        ["arm-linux-gnueabihf-gcc", "-print-file-name=libc.a"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert re.fullmatch(
        rf"GNU C Library \(.+\) .*version [\d.]+\d, SHA-256 {digest_file(Path(archive))}",
        str(found.libc),
    )
    assert found.qemu.startswith("QEMU emulator version ")
    assert found.all == found.compilers | {"libc.a": str(found.libc), "qemu": found.qemu}


def tool(folder: Path, name: str, output: str) -> dict[str, str]:
    """An environment in which a tool prints this and does nothing else."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{output}'\n", encoding="utf-8")
    (folder / name).chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_toolchain_without_a_c_library(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tool(tmp_path / "bin", "arm-linux-gnueabihf-gcc", "libc.a")
    monkeypatch.setenv("PATH", environment["PATH"])
    with pytest.raises(HostError, match=r"arm-linux-gnueabihf-gcc has no libc\.a"):
        toolchain.find(machine)


def test_toolchain_with_another_c_library(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libc.a").write_bytes(b"small")
    environment = tool(tmp_path / "bin", "arm-linux-gnueabihf-gcc", f"{tmp_path}/libc.a")
    monkeypatch.setenv("PATH", environment["PATH"])
    assert str(toolchain.find(machine).libc) == f"SHA-256 {digest_text('small')}"


def invoke(environment: dict[str, str], *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "invoke", *argv],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def another_linker(tmp_path: Path) -> dict[str, str]:
    """An environment with another linker, and the shipped lock's sources, by name at least."""
    shipped = load_file(Lock, ROOT / "configs" / "lock.yaml", {})
    for package, each in shipped.sources.items():
        put(tmp_path / "cache", package, each)
    environment = tool(tmp_path / "bin", "arm-linux-gnueabihf-ld", "another linker")
    return environment | {"PIBED_CACHE": str(tmp_path / "cache")}


def test_command_line_tells_what_differs_and_goes_on(another_linker: dict[str, str]) -> None:
    result = invoke(another_linker, "build")
    told, _, rest = result.stderr.partition("linux-source: started")
    assert "differs from lock: arm-linux-gnueabihf-ld: another linker instead of GNU ld" in told
    # The sources are none.
    assert result.returncode == 4
    assert "dpkg-deb" in rest


@pytest.mark.parametrize("task", ["build", "sweep"])
def test_command_line_refuses_before_anything_is_built(
    another_linker: dict[str, str], tmp_path: Path, task: str
) -> None:
    cache = tmp_path / "cache"
    results = [f"--results={tmp_path / 'results'}"] if task == "sweep" else []
    result = invoke(another_linker, task, "--locked", *results)
    assert result.returncode == 3
    assert "  arm-linux-gnueabihf-ld: another linker instead of GNU ld" in result.stderr
    assert "to fix: " in result.stderr
    assert not (cache / "steps").exists()
    assert not (cache / "apt").exists()
    assert not list((tmp_path / "results").glob("*"))


def test_command_line_lock(
    machine: Machine,
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(cache, "linux-source-6.12", LOCK.sources["linux-source-6.12"])
    put(cache, "busybox", source("1:1.35.0-5", "busybox_1.35.0-5.dsc"))
    monkeypatch.setenv("PIBED_CACHE", str(cache))
    monkeypatch.setattr(arguments, "machine", lambda name, kernel: machine)
    lock_command.write(LockOptions(archive=str(tmp_path / "mirror")))
    lines = capsys.readouterr().out.splitlines()
    assert "busybox 1:1.35.0-5 instead of 1:1.35.0-4" in lines
    assert any(line.startswith("qemu: QEMU emulator") for line in lines)
    written = lock.load()
    assert written is not None
    assert written.tools == toolchain.find(machine).all
    # What was copied can serve as a mirror, without anything downloaded before.
    archives, comparison = sources.fetch(
        packages(machine),
        tmp_path / "empty",
        toolchain.find(machine).all,
        Policy(locked=True, mirror=tmp_path / "mirror"),
    )
    assert comparison.differs == ()
    assert {each.package: each.source for each in archives}.items() <= written.sources.items()
    # Nothing on the host says which Buildroot is meant; once it is pinned, it stays.
    assert lines[-2].startswith("buildroot: not pinned; write its tag and commit into the file")
    pin = Pin(tag="2025.02.16", commit="a" * 40)
    lock.write(written.model_copy(update={"buildroot": pin}))
    lock_command.write(LockOptions())
    assert capsys.readouterr().out == f"{lock.path()}: no changes\n"
    assert lock.load() == written.model_copy(update={"buildroot": pin})
