"""Real schedulers and workers, and what can happen to them."""

from __future__ import annotations

import os
import re
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

from tests.programs import INV

# A round of these takes a second.
EXPERIMENT = ("--sizes", "64", "--runs", "6", "--no-report")

_BEGIN_S = 120.0


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
def sweep(results: Path, *options: str) -> Iterator[Sweep]:
    """Starts `./inv sweep`, and kills what is left of it."""
    argv = [str(INV), "sweep", *options, "--results", str(results)]
    process = subprocess.Popen(
        argv,
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
    """`dask scheduler`, as somebody else has started it."""

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
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    protocol = "tls" if environment and "DASK_CONFIG" in environment else "tcp"
    argv = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", host]
    argv += ["--port", str(port), "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    if protocol == "tls":
        argv += ["--protocol", "tls"]
    with _program([*inside, *argv], environment) as process:
        _expect(process, "Scheduler at:")
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
    with _program(argv, own) as process:
        _expect(process, "has joined")
        yield process


@contextmanager
def _program(
    argv: Sequence[str], environment: Mapping[str, str] | None
) -> Iterator[subprocess.Popen[str]]:
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
    (count,) = re.findall(r"^cluster: (\d+) rounds were lost", errors, re.MULTILINE)
    return int(count)
