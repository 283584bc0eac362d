"""Programs of the host: run with their output in a log, or for their output.

A program gets a process group of its own, which `run_logged` kills when an exception passes. Should
pibed itself be killed, the kernel tells the program to end.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from pibed.base.errors import BuildError, HostError, LimitError, PibedError

# Makes the kernel kill the program when the thread that started it is gone.
DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")

# The same for a build tool, with a signal that make passes on to what it runs.
_END_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM", "--")

Watch: TypeAlias = Callable[[int, float], str | None]
"""Looks at a running program, by its process and the seconds that it runs: why it is to be killed,
if it is."""

_WATCH_S = 0.1

# What is longer is taken for several lines, so that a program cannot fill the memory.
_LINE_MAX = 1 << 16


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for build tools: only what they need, so that nothing else decides.

    Locale and time zone are fixed; variables such as ARCH, CFLAGS or MAKEFLAGS of the caller do
    not pass.
    """
    kept = {
        key: value
        for key, value in os.environ.items()
        if key in ("PATH", "HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy")
    }
    return {"PATH": os.defpath} | kept | {"LC_ALL": "C", "TZ": "UTC0"} | dict(extra or {})


def run_logged(
    argv: Sequence[str],
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    on_line: Callable[[str], None] = lambda line: None,
    silence_s: float | None = None,
    inherited: Sequence[int] = (),
    inside: Sequence[str] = (),
    watch: Watch | None = None,
) -> None:
    """Runs a program to its end and appends what it prints to `log`.

    `on_line` gets each line; the descriptors `inherited` stay open in the program. `inside` is the
    command line of what runs it, if anything does. Raises BuildError with the last error lines when
    it fails, or when it has printed nothing for `silence_s` seconds; LimitError with what `watch`
    says; HostError when it cannot be started.
    """
    if shutil.which(argv[0]) is None:
        raise HostError(f"{argv[0]} is not installed", fix="./inv setup")
    last: deque[str] = deque(maxlen=400)
    with log.open("a", encoding="utf-8") as file, tempfile.TemporaryFile("w+") as given:
        file.write(f"$ {' '.join(argv)}\n")
        file.flush()
        # A file rather than a pipe: a program that reads none of it cannot block us.
        given.write(stdin or "")
        given.seek(0)
        process = subprocess.Popen(
            [*_END_WITH_PARENT, *inside, *argv],
            cwd=cwd,
            env=clean_environment(env),
            stdin=given,
            pass_fds=inherited,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            text=True,
            errors="replace",
        )
        watchdog = _Watchdog(process, silence_s, watch)
        try:
            assert process.stdout is not None
            for line in iter(partial(process.stdout.readline, _LINE_MAX), ""):
                watchdog.feed()
                file.write(line)
                last.append(line.rstrip("\n"))
                on_line(line)
            status = process.wait()
        finally:
            watchdog.stop()
            kill_group(process)
            if process.stdout is not None:
                process.stdout.close()
    if watchdog.bit is not None:
        kind, why = watchdog.bit
        raise kind(f"{argv[0]} {why} and was killed", log=log, context=list(last)[-5:])
    if status != 0:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        raise BuildError(f"{argv[0]} {how}", log=log, context=_telling_lines(list(last)))


class _Watchdog:
    """Kills a program and all that it started when it is not fed for `silence_s` seconds (None:
    never), or when `watch` says so.

    Time in which pibed itself is stopped, as by Ctrl-Z, does not count.
    """

    def __init__(
        self, process: subprocess.Popen[str], silence_s: float | None, watch: Watch | None
    ) -> None:
        self.bit: tuple[type[PibedError], str] | None = None
        self._process = process
        self._hungry_s = 0.0
        self._stopped = threading.Event()
        if silence_s is not None or watch is not None:
            threading.Thread(target=self._look, args=(silence_s, watch), daemon=True).start()

    def feed(self) -> None:
        self._hungry_s = 0.0

    def stop(self) -> None:
        self._stopped.set()

    def _look(self, silence_s: float | None, watch: Watch | None) -> None:
        tick = _WATCH_S if silence_s is None else min(5.0, silence_s / 10)
        tick = tick if watch is None else min(tick, _WATCH_S)
        ran_s = 0.0
        while not self._stopped.wait(tick):
            ran_s += tick
            self._hungry_s += tick
            if silence_s is not None and self._hungry_s >= silence_s:
                self.bit = BuildError, f"printed nothing for {silence_s:g} s"
            elif watch is not None and (why := watch(self._process.pid, ran_s)) is not None:
                self.bit = LimitError, why
            if self.bit is not None:
                kill_group(self._process)
                return


def capture(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    inside: Sequence[str] = (),
    timeout_s: float | None = None,
) -> str:
    """Standard output of a short program that is given `stdin`; `inside` as in `run_logged`.

    Raises HostError when it is missing, BuildError with what it printed when it fails or has not
    ended after `timeout_s` seconds.
    """
    try:
        result = subprocess.run(
            [*inside, *argv],
            cwd=cwd,
            env=clean_environment(env),
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError(f"{argv[0]} is not installed", fix="./inv setup") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{' '.join(argv)} did not end within {timeout_s:g} s") from error
    if result.returncode != 0:
        raise BuildError(
            f"{' '.join(argv)} ended with status {result.returncode}",
            context=result.stderr.splitlines()[-20:],
        )
    return result.stdout


def kill_group(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Kills a program and all that it started, and reaps it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except PermissionError:  # macOS and some sandboxes: the group is a zombie
        process.kill()
    process.wait()


def _telling_lines(lines: list[str]) -> list[str]:
    """The lines that name an error with a few after each; without any, the last lines."""
    marks = ("error", "Error", "fatal", "undefined reference", "No space left", "No such file")
    hits = [number for number, line in enumerate(lines) if any(mark in line for mark in marks)]
    if not hits:
        return lines[-15:]
    first = hits[0]
    return lines[first : first + 15]
