"""Real schedulers and workers, and what can happen to them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tests.live.conftest import qemus
from tests.programs import INV

# A round of these takes a second.
EXPERIMENT = ("--sizes", "64", "--runs", "6", "--no-report")

# The first ./inv of a checkout makes its .venv.
_BEGIN_S = 500.0


@dataclass(frozen=True)
class Sweep:
    """A sweep that runs, as a user starts it."""

    process: subprocess.Popen[str]
    results: Path

    @property
    def run(self) -> Path:
        """Its folder, once that is there."""
        (run,) = self.results.glob("2*")
        return run

    def rounds(self) -> int:
        """How many are written."""
        return len(list(self.results.glob("2*/boots/*/finished.json")))

    def wait_for(self, rounds: int, timeout_s: float = 240) -> None:
        """Until so many rounds are written, or the sweep has ended."""
        until = time.monotonic() + timeout_s
        while self.rounds() < rounds and self.process.poll() is None:
            assert time.monotonic() < until, "the sweep makes no progress"
            time.sleep(0.02)

    def end(self, timeout_s: float = 400) -> tuple[int, str]:
        """Its status and what it said."""
        _, errors = self.process.communicate(timeout=timeout_s)
        assert "Traceback" not in errors, errors
        return self.process.returncode, errors


@contextmanager
def sweep(
    results: Path,
    *options: str,
    inside: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Sweep]:
    """Starts `./inv sweep`, and kills what is left of it."""
    argv = [*inside, str(INV), "sweep", *options, "--results", str(results)]
    process = subprocess.Popen(
        argv,
        env=os.environ | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield Sweep(process, results)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_a_guest(timeout_s: float = 150) -> None:
    """Until one is there."""
    until = time.monotonic() + timeout_s
    while not qemus():
        assert time.monotonic() < until, "no guest is booted"
        time.sleep(0.02)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes in which the engine's workers below one of pibed's measure."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if "multiprocessing.spawn" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


@dataclass(frozen=True)
class Scheduler:
    """`./inv scheduler`, as somebody else has started it."""

    process: subprocess.Popen[str]
    address: str


@contextmanager
def scheduler(
    host: str = "127.0.0.1",
    *,
    inside: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Scheduler]:
    """Starts one; `inside` is the command line of what runs it."""
    port = free_port()
    protocol = "tls" if environment and "DASK_CONFIG" in environment else "tcp"
    argv = [*inside, str(INV), "scheduler", "--listen", host, "--port", str(port)]
    with program(argv, environment, f"scheduler: {protocol}://{host}:{port} waits") as process:
        yield Scheduler(process, f"{protocol}://{host}:{port}")


@contextmanager
def worker(
    scheduler: str,
    name: str,
    cache: Path,
    *options: str,
    inside: Sequence[str] = (),
    inv: Path = INV,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Starts `./inv worker` with a cache folder of its own, and waits until it has joined."""
    argv = [*inside, str(inv), "worker", scheduler, "--name", name, *options]
    own = {"PIBED_CACHE": str(cache)} | dict(environment or {})
    with program(argv, own, "has joined") as process:
        yield process


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def program(
    argv: Sequence[str], environment: Mapping[str, str] | None, begun: str
) -> Iterator[subprocess.Popen[str]]:
    """Starts a program, and waits until it has said something; ends it with what it started."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | dict(environment or {}),
        start_new_session=True,
    )
    try:
        _expect(process, begun)
        yield process
    finally:
        left = [process.pid, *(each.pid for each in _below(process))]
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.communicate()


def listening(process: subprocess.Popen[str]) -> list[str]:
    """The addresses that a program and what it started listen on, as `ss` has them."""
    lines = subprocess.run(
        ["ss", "-Hltnp"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    pids = {process.pid, *(each.pid for each in _below(process))}
    return [line.split()[3] for line in lines if pids & {*map(int, re.findall(r"pid=(\d+)", line))}]


def _below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        return list(psutil.Process(process.pid).children(recursive=True))
    except psutil.Error:
        return []


def _expect(process: subprocess.Popen[str], words: str) -> None:
    """Reads what a program says until it has said this; it ends the test if it has not."""
    assert process.stdout is not None
    said = []
    until = time.monotonic() + _BEGIN_S
    for line in process.stdout:
        said.append(line)
        if words in line:
            return
        assert time.monotonic() < until, said
    raise AssertionError(f"it has ended: {said}")


def shares(errors: str) -> dict[str, int]:
    """How many rounds each worker has measured, as the sweep says it at its end."""
    (line,) = re.findall(r"^cluster: .* rounds by worker: (.*)$", errors, re.MULTILINE)
    return {name: int(count) for name, count in re.findall(r"([^,]+) (\d+)(?:, |$)", line)}


def lost(errors: str) -> int:
    """How many rounds were measured again."""
    (count,) = re.findall(r"^cluster: (\d+) rounds? lost", errors, re.MULTILINE)
    return int(count)


def tls(folder: Path) -> Mapping[str, str]:
    """Keys for an engine, and the environment in which it uses them."""
    from distributed import Security

    made = Security.temporary()
    folder.mkdir()
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_text(made.tls_worker_cert)
    key.write_text(made.tls_worker_key)
    role = f"{{cert: {cert}, key: {key}}}"
    (folder / "tls.yaml").write_text(
        "distributed:\n  comm:\n    require-encryption: true\n    tls:\n"
        f"      ca-file: {cert}\n"
        + "".join(f"      {each}: {role}\n" for each in ("scheduler", "worker", "client"))
    )
    for path in (folder, cert, key, folder / "tls.yaml"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return {"DASK_CONFIG": str(folder)}


@dataclass(frozen=True)
class Network:
    """Machines as network namespaces, each with a line to the hub and to no other."""

    name: str

    @property
    def hub(self) -> list[str]:
        """The command line that runs a program on the hub."""
        return ["ip", "netns", "exec", f"{self.name}-0"]

    def machine(self, number: int) -> list[str]:
        """The same on another machine."""
        return ["ip", "netns", "exec", f"{self.name}-{number}"]

    def address(self, number: int) -> str:
        """Of a machine; the hub is number 0."""
        return "10.99.0.1" if number == 0 else f"10.99.{number}.2"

    def cut_off(self, number: int) -> None:
        """Lets nothing through to a machine any more, and tells nobody."""
        subprocess.run([*self.machine(number), "ip", "link", "set", "eth", "down"], check=True)


@contextmanager
def network(machines: int) -> Iterator[Network]:
    """Makes the namespaces, by root."""
    made = Network(f"pibed-{os.getpid()}")

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, timeout=20)

    names = [f"{made.name}-{number}" for number in range(machines + 1)]
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        hub = names[0]
        ip("-n", hub, "addr", "add", f"{made.address(0)}/32", "dev", "lo")
        for number, name in enumerate(names[1:], start=1):
            end, gate = f"v{number}", f"10.99.{number}.1"
            ip("-n", hub, "link", "add", end, "type", "veth", "peer", "eth", "netns", name)
            ip("-n", hub, "addr", "add", f"{gate}/24", "dev", end)
            ip("-n", hub, "link", "set", end, "up")
            ip("-n", name, "addr", "add", f"{made.address(number)}/24", "dev", "eth")
            ip("-n", name, "link", "set", "eth", "up")
            ip("-n", name, "route", "add", "default", "via", gate)
        yield made
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def readable_python(stage: Path) -> list[str]:
    """The command line that runs a program, by root in a mount namespace, in which other users
    can read the Python that runs here, even if that lies in a home folder."""
    base = Path(sys.base_prefix)
    hidden = next((each for each in reversed(base.parents) if not each.stat().st_mode & 1), None)
    stage.mkdir()
    if hidden is None:
        return []
    mounts = (
        f"mount --bind {base} {stage} && mount -t tmpfs -o mode=755 none {hidden} && "
        f"mkdir -p {base} && mount --bind {stage} {base}"
    )
    return ["sh", "-c", f'{mounts} && exec "$@"', "sh"]


def checkout(folder: Path) -> Path:
    """A copy of this checkout's files that are kept; returns its `inv`."""
    root = INV.parent
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, target = root / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return folder / "inv"


@contextmanager
def sshd(binary: str, network: Network, number: int, folder: Path) -> Iterator[None]:
    """Starts ssh's server on a machine, for whoever has the key of `ssh_client`."""
    folder.mkdir()
    for name in ("host", "client"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
        )
    users = Path("/etc/passwd").read_text() + "sshd:x:54399:65534::/run/sshd:/usr/sbin/nologin\n"
    (folder / "passwd").write_text(users)
    (folder / "config").write_text(
        f"ListenAddress {network.address(number)}\nHostKey {folder / 'host'}\nUsePAM no\n"
        f"AuthorizedKeysFile {folder / 'client.pub'}\nStrictModes no\nPidFile none\n"
        f"PermitRootLogin yes\nSetEnv PIBED_CACHE={folder / 'cache'} "
        f"PIBED_TEST={os.environ['PIBED_TEST']}\n"
    )
    prepare = (
        "mount -t tmpfs none /run && mkdir /run/sshd && mount --bind $0 /etc/passwd && "
        'exec "$@" -D -e -f $1'
    )
    prepare = prepare.replace('"$@"', binary)
    argv = [*network.machine(number), "unshare", "-m", "sh", "-c", prepare]
    argv += [str(folder / "passwd"), str(folder / "config")]
    with program(argv, None, "Server listening on"):
        yield


def ssh_client(network: Network, numbers: Sequence[int], folder: Path) -> Path:
    """A folder for PATH whose ssh knows the machines as lab1 and so on."""
    config = folder / "ssh_config"
    config.write_text(
        "".join(
            f"Host lab{number}\n  HostName {network.address(number)}\n  User root\n"
            f"  IdentityFile {folder / f'ssh{number}' / 'client'}\n  IdentitiesOnly yes\n"
            "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n"
            for number in numbers
        )
    )
    path = folder / "bin"
    path.mkdir()
    (path / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    (path / "ssh").chmod(0o755)
    return path
