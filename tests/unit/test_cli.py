"""How tasks end: exit status, message, signals. Tasks run as they do for users, as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.helpers import ROOT

TASKS = '''
import sys, time
from pathlib import Path
from invoke.tasks import task
from pibed.base import errors
from pibed.commands.frame import command

@task
@command
def fail(context, kind, status=0):
    """Raises an error by its name."""
    error = getattr(errors, kind)
    raise error(
        "what [went] wrong", fix="do [this]", log=Path("/some/log"), context=["last [w]ord"]
    )

@task
@command
def fine(context):
    """Ends well."""
    print("result")

@task
@command
def host(context):
    """Meets an error of the system."""
    Path("/no/such/file").read_text()

@task
@command
def bug(context):
    """Has a bug."""
    raise RuntimeError("a bug of pibed")

@task
@command
def wait(context):
    """Waits, and cleans up when it is interrupted."""
    try:
        print("waiting", flush=True)
        time.sleep(60)
    finally:
        time.sleep(0.2)
        print("cleaned up", flush=True)

@task
@command
def swallow(context, then):
    """Calls what catches all that is raised in it, as `uuid` of the standard library does."""
    kept = []
    try:
        print("waiting", flush=True)
        time.sleep(60)
    except BaseException as error:
        if then == "keep":
            kept.append(error)
        if then == "exit":
            sys.exit(7)
        if then == "error":
            raise errors.HostError("the lock is broken") from None
        if then == "other cause":
            raise RuntimeError("the lock is broken") from KeyError(1)
    if then == "wait":
        time.sleep(60)

@task
@command
def flood(context):
    """Prints without end."""
    while True:
        print("line" * 100)

@task
@command
def say(context):
    """Prints a little, after its reader has gone."""
    sys.stdin.readline()
    print("a line")
'''


class Invoke:
    def __init__(self, folder: Path) -> None:
        (folder / "tasks.py").write_text(TASKS, encoding="utf-8")
        self.argv = [sys.executable, "-P", "-m", "invoke", "--search-root", str(folder)]
        # Nothing like PYTHONUNBUFFERED of the caller: users do not have it.
        environment = {key: os.environ[key] for key in os.environ if not key.startswith("PYTHON")}
        self.env = environment | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        self.started: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.argv, *arguments],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    def start(self, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*prefix, *self.argv, *arguments],
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process


@pytest.fixture
def invoke(tmp_path: Path) -> Iterator[Invoke]:
    invoke = Invoke(tmp_path)
    yield invoke
    for process in invoke.started:
        process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None and not stream.closed:
                stream.close()
        process.wait()


def test_success(invoke: Invoke) -> None:
    result = invoke.run("fine")
    assert (result.returncode, result.stdout, result.stderr) == (0, "result\n", "")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("PibedError", 1),
        ("UsageError", 2),
        ("HostError", 3),
        ("BuildError", 4),
        ("GuestError", 5),
        ("IncompleteError", 6),
    ],
)
def test_status_and_message(invoke: Invoke, kind: str, status: int) -> None:
    result = invoke.run("fail", kind)
    assert result.returncode == status
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "  | last [w]ord",
        "pibed: what [went] wrong",
        "  log:    /some/log",
        "  to fix: do [this]",
    ]


def test_error_of_the_system(invoke: Invoke) -> None:
    result = invoke.run("host")
    assert result.returncode == 3
    assert result.stderr == "pibed: /no/such/file: No such file or directory\n"


def test_a_bug_is_traced(invoke: Invoke) -> None:
    result = invoke.run("bug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "RuntimeError: a bug of pibed" in result.stderr


@pytest.mark.parametrize(
    ("signum", "status", "words"),
    [
        (signal.SIGINT, 130, "pibed: interrupted\n"),
        (signal.SIGTERM, 143, "pibed: ended by SIGTERM\n"),
        (signal.SIGHUP, 129, "pibed: ended by SIGHUP\n"),
    ],
)
def test_signal(invoke: Invoke, signum: signal.Signals, status: int, words: str) -> None:
    process = invoke.start("wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signum)
    output, errors = process.communicate(timeout=10)
    assert process.returncode == status
    assert output == "cleaned up\n"
    assert errors == words


def test_impatience_does_not_cut_off_the_clean_up(invoke: Invoke) -> None:
    process = invoke.start("wait")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert output == "cleaned up\n"
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ("wait", ""),
        ("return", ""),
        ("keep", ""),
        ("exit", "  | SystemExit: 7\n"),
        ("error", "  | HostError: the lock is broken\n"),
        ("other cause", "  | RuntimeError: the lock is broken\n"),
    ],
)
def test_signal_that_a_library_catches_ends_the_task_all_the_same(
    invoke: Invoke, then: str, words: str
) -> None:
    process = invoke.start("swallow", then)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (143, f"{words}pibed: ended by SIGTERM\n")


def test_nohup_outlives_the_terminal(invoke: Invoke) -> None:
    process = invoke.start("wait", prefix=("sh", "-c", 'trap "" HUP; exec "$@"', "sh"))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.7)


def test_reader_that_leaves_in_the_middle(invoke: Invoke) -> None:
    process = invoke.start("flood")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(10) == 141
    assert process.stderr.read() == ""


def test_reader_that_left_before_a_short_output(invoke: Invoke) -> None:
    process = invoke.start("say")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdin is not None
    process.stdout.close()
    process.stdin.close()
    assert process.wait(10) == 141
    assert process.stderr.read() == ""
