"""What programs print, on the terminal as it comes and in a file that stays."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

# Within which a program that was asked to end has cleaned up.
_GRACE_S = 15


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit status, and whether it printed anything but white space."""

    status: int
    printed: bool


class Transcript:
    """A log file that all which is said or run goes to, and the terminal as well.

    A context manager; the file is closed at its end.
    """

    def __init__(self, path: Path) -> None:
        """Begins the file; raises OSError if it cannot be written."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file: BinaryIO = path.open("wb", buffering=0)

    @classmethod
    def begun(cls, folder: Path, name: str) -> Self:
        """A transcript in a file of its own: <name>-<UTC date-time>-<process>.log."""
        now = datetime.datetime.now(datetime.UTC)
        return cls(folder / f"{name}-{now:%Y%m%dT%H%M%SZ}-{os.getpid()}.log")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def say(self, text: str) -> None:
        """Prints lines."""
        self._write(f"{text}\n".encode())

    def run(
        self, argv: Sequence[str | Path], cwd: Path, environment: Mapping[str, str] | None = None
    ) -> Ended:
        """Runs a program to its end, with both its outputs in the transcript and no input.

        What ends us ends it too, as Ctrl-C would. Raises OSError if it cannot be started.
        """
        printed = False
        with subprocess.Popen(
            # Heeded, even where we were started with Ctrl-C ignored, as under nohup.
            ["env", "--default-signal=INT", *argv],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        ) as process:
            assert process.stdout is not None
            try:
                while chunk := process.stdout.read(65536):
                    printed = printed or bool(chunk.strip())
                    self._write(chunk)
            except BaseException:
                process.send_signal(signal.SIGINT)
                try:
                    # With its last words, which it may be waiting to be rid of.
                    self._write(process.communicate(timeout=_GRACE_S)[0])
                except subprocess.TimeoutExpired:
                    process.kill()
                raise
        return Ended(process.returncode, printed)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
