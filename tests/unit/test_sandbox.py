"""What a hostile Makefile can do in the real sandbox: nothing, and it is told what stopped it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import textwrap
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pibed.base import bubblewrap, places
from pibed.base.errors import BuildError, HostError, LimitError
from pibed.base.process import capture, clean_environment
from pibed.build import sandbox
from pibed.build.sandbox import Bubblewrap, Limits, Unconfined

from .. import excuses

pytestmark = pytest.mark.skipif(bubblewrap.missing() is not None, reason=excuses.NO_SANDBOX)

SMALL = Limits(
    time_s=10,
    memory_bytes=256 << 20,
    processes=60,
    output_bytes=16 << 20,
    output_files=500,
    printed_bytes=1 << 20,
)


class Place:
    """A user's folder with a Makefile, and what a build of it leaves."""

    def __init__(self, folder: Path) -> None:
        self.sources, self.output = folder / "a user's folder", folder / "output"
        self.log = folder / "log"
        self.sources.mkdir(0o755)
        self.output.mkdir()
        self.mark = f"100000.{uuid.uuid4().int % 10**12}"
        """Seconds for which a process of this test sleeps, by which it is known."""

    def make(self, recipe: str, limits: Limits = SMALL) -> str:
        """Runs a recipe; gives what it printed."""
        lines = textwrap.dedent(recipe).strip().replace("MARK", self.mark)
        (self.sources / "recipe.sh").write_text(lines + "\n")
        (self.sources / "Makefile").write_text(f'all:\n\tsh "{self.sources}/recipe.sh"\n')
        Bubblewrap(limits).run(
            ["make", "-s", "-f", str(self.sources / "Makefile")],
            self.log,
            output=self.output,
            readable=[],
            sources=self.sources,
            cwd=self.output,
        )
        return self.log.read_text().partition("\n")[2]

    def left(self) -> list[int]:
        """Processes of the test that are still there."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    deadline = time.monotonic() + 2
    while made.left() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not made.left(), "a process of the sandbox outlives it"


def test_output_is_taken_over(place: Place) -> None:
    (place.output / "given").write_text("given\n")
    (place.sources / "header.h").write_text("header\n")
    place.make(
        'cat given "../a user\'s folder/header.h" >made; mkdir d; cp made d/; chmod 755 d/made'
    )
    assert (place.output / "made").read_text() == "given\nheader\n"
    assert (place.output / "d" / "made").stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_uid for path in place.output.rglob("*")} == {os.geteuid()}


def test_links_and_devices_are_not(place: Place) -> None:
    place.make(
        """
        ln -s /etc/shadow link; ln -s / root; mkfifo pipe; mkdir d; ln -s ../../x d/up
        echo x >real; ln real hard
        """
    )
    found = {path.relative_to(place.output).as_posix() for path in place.output.rglob("*")}
    assert found <= {"d", "real", "hard"}
    assert not any(path.is_symlink() for path in place.output.rglob("*"))


def test_path_that_is_too_long_on_the_host_fails_the_build_alone(place: Place) -> None:
    with pytest.raises(BuildError, match="cannot be taken out of the sandbox: File name too long"):
        place.make(f"mkdir -p {'/'.join(['n' * 203] * 20)}")


@pytest.mark.parametrize("kind", ["holes", "garbage"])
def test_archive_that_is_not_tars_own(
    place: Place, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """What runs inside can reach the descriptor to which tar writes."""
    if kind == "holes":
        info = tarfile.TarInfo("hole")
        info.type = tarfile.GNUTYPE_SPARSE
        header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        struct.pack_into("12s12s", header, 386, b"%011o\0" % (1 << 30), b"%011o\0" % 0)
        struct.pack_into("12s", header, 483, b"%011o\0" % (1 << 30))
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        (place.sources / "packed").write_bytes(bytes(header) + bytes(1024))
    else:
        (place.sources / "packed").write_bytes(b"garbage" * 1000)
    forged = sandbox._SCRIPT.replace(
        'tar -c -C "$out" . >&"$give"', f'cat "{place.sources}/packed" >&"$give"'
    )
    assert forged != sandbox._SCRIPT
    monkeypatch.setattr(sandbox, "_SCRIPT", forged)
    if kind == "holes":
        place.make("true")
        assert not any(place.output.iterdir())
    else:
        with pytest.raises(BuildError, match="cannot be taken out of the sandbox"):
            place.make("true")


def test_it_is_nobody(place: Place) -> None:
    said = place.make("id -u; id -G; grep -E '^(Cap|NoNewPrivs)' /proc/self/status; env; hostname")
    assert not re.search(r"^0$|\b0\b", said.partition("Cap")[0])
    assert set(re.findall(r"Cap\w+:\t(\w+)", said)) == {"0" * 16}
    assert "NoNewPrivs:\t1" in said
    assert "pibed" in said
    known = {"PATH", "LC_ALL", "TZ", "PWD", "OLDPWD", "SHLVL", "MAKELEVEL", "MAKEFLAGS", "MFLAGS"}
    names = set(re.findall(r"^(\w+)=", said, re.MULTILINE))
    assert names <= {*known, "MAKE_TERMOUT", "MAKE_TERMERR", "_"}


@pytest.mark.parametrize("path", ["/etc/shadow", "/etc/passwd", "/root", "/home", "/var", "/run"])
def test_what_is_not_its_own_is_not_there(place: Place, path: str) -> None:
    assert "No such file or directory" in place.make(f"ls -d {path} 2>&1; true")


def test_keys_in_a_folder_of_the_users_are_not_there(place: Place) -> None:
    for name in (".ssh/id_rsa", ".git/config", "lab/x.c"):
        (place.sources / name).parent.mkdir()
        (place.sources / name).write_text("secret\n")
    (place.sources / "out").symlink_to("/etc")
    (place.sources / "own.c").symlink_to("lab/x.c")
    said = place.make('cd "../a user\'s folder"; ls -A; cat own.c; ls out/ 2>&1; true')
    assert said.split()[:6] == ["Makefile", "lab", "out", "own.c", "recipe.sh", "secret"]
    assert "shadow" not in said


def test_environment_of_pibed_cannot_be_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://user:password@proxy")
    assert "password" in clean_environment()["https_proxy"]
    said = place.make("cat /proc/*/environ 2>&1 | tr '\\0' '\\n'; env")
    assert "password" not in said


@pytest.mark.parametrize(
    "path", ["/usr/x", "/etc/x", "/x", "/dev/x", "/dev/shm/x", "/proc/sys/kernel/hostname"]
)
def test_nothing_else_can_be_written(place: Place, tmp_path: Path, path: str) -> None:
    said = place.make(f'(echo x >"{path}") 2>&1; true')
    assert re.search(r"Read-only file system|Permission denied", said)
    assert not (tmp_path / "x").exists()


def test_sources_cannot_be_written(place: Place) -> None:
    (place.sources / "own.c").write_text("own\n")
    place.make(
        f'cd "{place.sources}"; for each in own.c new.c Makefile; do echo x >>$each; done; true'
    )
    assert {path.name for path in place.sources.iterdir()} == {"own.c", "Makefile", "recipe.sh"}
    assert (place.sources / "own.c").read_text() == "own\n"


def test_tmp_is_its_own(place: Place) -> None:
    place.make("echo x >/tmp/MARK; test -s /tmp/MARK")
    assert not Path("/tmp", place.mark).exists()


def test_no_network(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = place.make(
            f"""
            perl -MIO::Socket::INET -e '
                print IO::Socket::INET->new("127.0.0.1:{port}") ? "connected" : "none: $!"'
            """
        )
    assert said.startswith("none: ")


def test_other_processes_cannot_be_seen_nor_killed(place: Place) -> None:
    with subprocess.Popen(["sleep", "20"]) as other:
        said = place.make(f"kill -KILL {os.getpid()} 2>&1; kill -KILL {other.pid} 2>&1; true")
        assert other.poll() is None
        other.kill()
    assert len(re.findall("No such process", said)) == 2


def test_kill_of_all_that_it_sees_fails_the_build_alone(place: Place) -> None:
    with pytest.raises(BuildError, match="make "):
        place.make("kill -KILL -1; sleep 5")


def test_it_can_trace_nothing_outside(place: Place) -> None:
    # ptrace(PTRACE_ATTACH)
    said = place.make(
        f"perl -e 'print syscall(101, 16, {os.getpid()}, 0, 0), \" $!\"'  # as on x86-64"
    )
    assert said.endswith("-1 No such process")


def test_what_it_leaves_behind_ends(place: Place) -> None:
    place.make("setsid sleep MARK >/dev/null 2>&1 & (sleep MARK &) ; true")
    # Asked by the fixture.


def contained(place: Place, recipe: str, message: str, limits: Limits = SMALL) -> None:
    began = time.monotonic()
    with pytest.raises(LimitError, match=message) as caught:
        place.make(recipe, limits)
    assert time.monotonic() - began < limits.time_s + 5
    assert caught.value.status == 4
    assert "of the sandbox)" in caught.value.message
    assert list(place.output.iterdir()) == []
    assert place.log.stat().st_size < 16 << 20


@pytest.mark.alone
@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("while :; do :; done", r"make ran longer than 1 s \(limit time_s"),
        ("sleep MARK", r"make ran longer than 1 s \(limit time_s"),
        ("trap '' TERM INT HUP; sleep MARK", r"make ran longer than 1 s \(limit time_s"),
    ],
)
def test_endless(place: Place, recipe: str, message: str) -> None:
    contained(place, recipe, message, Limits(time_s=1))


def test_more_processes_than_it_may_have(place: Place) -> None:
    # A harmless one, which shows that the limit holds before the next test relies on it.
    recipe = "i=0; while [ $i -lt 80 ]; do sleep MARK & i=$((i+1)); done; wait"
    contained(place, recipe, r"make had more than 60 processes at once \(limit processes")


def test_fork_bomb(place: Place) -> None:
    contained(
        place,
        "perl -e 'fork while 1'",
        r"make had more than 60 processes at once \(limit processes",
    )


@pytest.mark.parametrize(
    "words",
    [
        "/bin/sh: 1: Cannot fork",
        "sh: 1: sh: 1: Cannot forkCannot fork",
        "bash: fork: retry: Resource temporarily unavailable",
        "make[1]: vfork: Resource temporarily unavailable",
    ],
)
def test_fork_bomb_that_has_burnt_out(place: Place, words: str) -> None:
    contained(
        place,
        f"echo '{words}' >&2; sleep MARK",
        r"make had more than 60 processes at once \(limit processes",
    )


def test_source_that_speaks_of_forks_is_no_bomb(place: Place) -> None:
    place.make("""echo '  12 |  pr_err("Cannot fork");'""")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("yes >big", r"make wrote more than 16 MiB into files \(limit output_bytes"),
        ("yes >/tmp/big", r"make wrote more than 16 MiB into files \(limit output_bytes"),
        # Names are gone, and bytes are not.
        (
            "for i in 1 2 3 4; do exec 9>f; rm f; (head -c 9000000 /dev/zero; sleep MARK) >&9 & "
            "done; wait",
            r"make wrote more than 16 MiB into files \(limit output_bytes",
        ),
        # A file of 10 GB of which nothing is stored.
        (
            "truncate -s 10G big",
            r"make wrote more than 16 MiB into files \(limit output_bytes",
        ),
        (
            "i=0; while :; do : >f$i; i=$((i+1)); done",
            r"make made more than 500 files \(limit output_files",
        ),
        ("yes", r"make printed more than 1 MiB \(limit printed_bytes"),
        ("cat /dev/zero", r"make printed more than 1 MiB \(limit printed_bytes"),
        (
            "perl -e '$x = \"x\" x 400_000_000; sleep 10'",
            r"make wanted more than 256 MiB of memory \(limit memory_bytes",
        ),
        (
            "for i in 1 2 3 4; do perl -e '$x = \"x\" x 90_000_000; sleep 10' & done; wait",
            r"make wanted more than 256 MiB of memory \(limit memory_bytes",
        ),
    ],
)
def test_more_than_it_may_have(place: Place, recipe: str, message: str) -> None:
    contained(place, recipe, message)


def test_all_ends_with_pibed(place: Place) -> None:
    """Killed, too."""
    script = f"""
        from pathlib import Path
        from pibed.build.sandbox import Bubblewrap
        script = "echo begun; setsid sleep {place.mark}"
        Bubblewrap().run(["sh", "-c", script], Path({str(place.log)!r}),
            output=Path({str(place.output)!r}), readable=[], sources=Path({str(place.sources)!r}),
            cwd=Path("/"), on_line=lambda line: print(line, flush=True))
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        assert place.left()
        child.send_signal(signal.SIGKILL)


def test_capture_reads_what_it_is_shown_alone(place: Place) -> None:
    (place.sources / "a.c").write_text('#include "/etc/passwd"\n#include </dev/zero>\n')
    with pytest.raises(BuildError) as caught:
        Bubblewrap(SMALL).capture(
            ["gcc", "-M", "a.c"], readable=[], sources=place.sources, cwd=place.sources
        )
    assert "root:" not in "\n".join(caught.value.context)
    assert any("/etc/passwd: No such file" in line for line in caught.value.context)


def test_who_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "checkout", lambda: tmp_path / "checkout")
    own, other = tmp_path / "checkout", tmp_path / "other"
    assert isinstance(sandbox.choose(other, trust=False), Bubblewrap)
    assert isinstance(sandbox.choose(own, trust=False), Bubblewrap)
    assert isinstance(sandbox.choose(other, trust=True), Unconfined)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert isinstance(sandbox.choose(own, trust=False), Unconfined)
    with pytest.raises(
        HostError, match=r"other: .*this host has none: bwrap is not inst"
    ) as caught:
        sandbox.choose(other, trust=False)
    assert "--trust" in str(caught.value.fix)
    assert "bubblewrap" in str(caught.value.fix)
    with pytest.raises(HostError, match=r"there is no sandbox on this host: bwrap is not inst"):
        sandbox.require()


def test_bwrap_that_does_not_work_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "defpath", os.environ["PATH"])
    assert bubblewrap.missing() == (
        "bwrap does not work here: bwrap: No permissions to create new namespace"
    )


def test_what_reads_a_file_sees_that_alone(tmp_path: Path) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_text("mine")
    other.write_text("not mine")
    tmp_path.chmod(0o755)
    inside = sandbox.around("bubblewrap", file)
    assert capture(["cat", str(file)], inside=inside) == "mine"
    with pytest.raises(BuildError, match="ended with status 1"):
        capture(["cat", str(other)], inside=inside)
    with pytest.raises(BuildError):
        capture(["sh", "-c", f"echo >> '{file}'"], inside=inside)
    assert file.read_text() == "mine"
    assert sandbox.around("none", file) == []
