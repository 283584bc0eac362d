"""Where what users wrote is built: in a sandbox, within limits.

A Makefile, a compiler's input and what a build runs are programs of whoever wrote them. In the
sandbox they read their own sources and the toolchain, and write into memory alone: an output
folder, of which files and folders are taken over when all has ended, and no link or device.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn, Protocol

from pibed.base import bubblewrap, places, process
from pibed.base.bubblewrap import View
from pibed.base.errors import BuildError, HostError, LimitError
from pibed.model.builder import SandboxKind

_PAGE = os.sysconf("SC_PAGE_SIZE")
_OPEN_FILES = 1024

# Of paths that are longer on the host than where they were made, or that contradict each other.
_MALFORMED = (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)

# The shell that fills the output folder and gives it back: $1 is that, $2 and $3 are descriptors.
# The command has neither of them.
_SCRIPT = """
out=$1 take=$2 give=$3 work=$4
shift 4
tar -x --no-same-owner -C "$out" <&"$take" || exit
cd -- "$work" || exit
(exec {take}<&- {give}>&-; exec "$@") </dev/null
status=$?
tar -c -C "$out" . >&"$give" || exit 1
exit "$status"
"""


@dataclass(frozen=True)
class Limits:
    """What a build may use."""

    time_s: float = 600
    memory_bytes: int = 4 << 30
    """Address space of each process, and what all use together."""
    processes: int = field(default_factory=lambda: 256 + 16 * len(os.sched_getaffinity(0)))
    """With their threads."""
    output_bytes: int = 1 << 30
    """Of all files that are written, and of each."""
    output_files: int = 100_000
    printed_bytes: int = 64 << 20
    """What goes into the log."""
    cancelled: Callable[[], bool] = lambda: False
    """Whether nobody wants it any more."""


class Sandbox(Protocol):
    """Runs programs that are, or act on, what users wrote."""

    @property
    def kind(self) -> SandboxKind:
        """What it is made of, for the record."""

    def run(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        output: Path,
        readable: Sequence[Path],
        sources: Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Runs a program that reads the files and folders `readable` and what is in the user's
        folder `sources`, and changes the folder `output`; see `pibed.base.process.run_logged`.

        Raises BuildError when it fails, LimitError when it wants more than it may use, HostError
        when it cannot be started.
        """

    def capture(
        self, argv: Sequence[str], *, readable: Sequence[Path], sources: Path, cwd: Path
    ) -> str:
        """Standard output of a program, see `pibed.base.process.capture`; raises as `run`."""

    def visible(self, files: Iterable[Path], sources: Path) -> list[Path]:
        """Of files that a build says it has read, those that it can have."""


@dataclass(frozen=True)
class Unconfined:
    """No sandbox: for the checkout's own files, and for those who are trusted."""

    kind: SandboxKind = "none"

    def run(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        output: Path,
        readable: Sequence[Path],
        sources: Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> None:
        """See `Sandbox`."""
        process.run_logged(argv, log, cwd=cwd, env=env, on_line=on_line)

    def capture(
        self, argv: Sequence[str], *, readable: Sequence[Path], sources: Path, cwd: Path
    ) -> str:
        """See `Sandbox`."""
        return process.capture(argv, cwd=cwd)

    def visible(self, files: Iterable[Path], sources: Path) -> list[Path]:
        """See `Sandbox`."""
        return list(files)


@dataclass(frozen=True)
class Bubblewrap:
    """A sandbox of bubblewrap's."""

    limits: Limits = field(default_factory=Limits)
    kind: SandboxKind = "bubblewrap"

    def run(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        output: Path,
        readable: Sequence[Path],
        sources: Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> None:
        """See `Sandbox`."""
        size = self.limits.output_bytes
        view = View(readable, [sources], scratch={output: size, Path("/tmp"): size})
        with tempfile.TemporaryFile() as take, tempfile.TemporaryFile() as give:
            with tarfile.open(fileobj=take, mode="w") as tar:
                for path in output.iterdir():
                    tar.add(path, path.name)
            take.seek(0)
            descriptors = (take.fileno(), give.fileno())
            script = ["bash", "-c", _SCRIPT, "bash", str(output), *map(str, descriptors), str(cwd)]
            try:
                process.run_logged(
                    argv,
                    log,
                    on_line=_Printed(self.limits, argv[0], log, on_line),
                    inherited=descriptors,
                    inside=self._command(script, view, Path("/"), env),
                    watch=Watch(self.limits, (output, Path("/tmp"))),
                )
            except BuildError as error:
                raise _limit(error, argv[0], self.limits) or error from None
            give.seek(0)
            try:
                _take_over(give, output)
            except (tarfile.TarError, ValueError, OSError) as error:
                if isinstance(error, OSError) and error.errno not in _MALFORMED:
                    raise
                why = getattr(error, "strerror", None) or error
                raise BuildError(
                    f"what {argv[0]} made cannot be taken out of the sandbox: {why}", log=log
                ) from None

    def capture(
        self, argv: Sequence[str], *, readable: Sequence[Path], sources: Path, cwd: Path
    ) -> str:
        """See `Sandbox`."""
        view = View(readable, [sources], scratch={Path("/tmp"): self.limits.output_bytes})
        try:
            return process.capture(
                argv, inside=self._command([], view, cwd, None), timeout_s=self.limits.time_s
            )
        except BuildError as error:
            raise _limit(error, argv[0], self.limits) or error from None

    def around(self, file: Path) -> list[str]:
        """See the function of this name."""
        return self._command([], View([file]), Path("/"), None)

    def visible(self, files: Iterable[Path], sources: Path) -> list[Path]:
        """See `Sandbox`."""
        end = sources.resolve()
        return [file for file in files if file.resolve().is_relative_to(end)]

    def _command(
        self, argv: Sequence[str], view: View, cwd: Path, env: Mapping[str, str] | None
    ) -> list[str]:
        bubblewrap.require_readable(view.readable)
        limits = self.limits
        hard = {
            "as": limits.memory_bytes,
            "fsize": limits.output_bytes,
            "nproc": limits.processes,
            "nofile": _OPEN_FILES,
            "core": 0,
        }
        kept = {"PATH": process.clean_environment()["PATH"], "LC_ALL": "C", "TZ": "UTC0"}
        return bubblewrap.command(
            ["prlimit", *(f"--{name}={value}" for name, value in hard.items()), "--", *argv],
            view,
            cwd=cwd,
            env=kept | dict(env or {}),
        )


@dataclass(frozen=True)
class Watch:
    """Looks whether all processes of a sandbox together keep to its limits."""

    limits: Limits
    written: Sequence[Path]
    """The folders in memory that they write to."""

    def __call__(self, pid: int, seconds: float) -> str | None:
        """What they want too much of, see `pibed.base.process.Watch`."""
        limits = self.limits
        if limits.cancelled():
            return "was stopped"
        pids = _descendants(pid)
        counts = [_usage(each) for each in pids]
        used = [self._used(pids[-1], folder) for folder in self.written] if pids else []
        over = {
            "time_s": seconds >= limits.time_s,
            "processes": sum(threads for threads, _ in counts) >= limits.processes,
            "memory_bytes": sum(memory for _, memory in counts) >= limits.memory_bytes,
            # The last page is never filled by a write that fails.
            "output_bytes": any(size > limits.output_bytes - 2 * _PAGE for size, _ in used),
            "output_files": any(files > limits.output_files for _, files in used),
        }
        return next((_words(name, limits) for name, hit in over.items() if hit), None)

    def _used(self, pid: int, folder: Path) -> tuple[int, int]:
        """Bytes and files in a folder as a process sees it; none where we may not look."""
        path = f"/proc/{pid}/root{folder}"
        try:
            # Before it has its own view it has the host's.
            if os.stat(path).st_dev == folder.stat().st_dev:  # noqa: PTH116
                return 0, 0
            found = os.statvfs(path)
        except OSError:
            return 0, 0
        return (found.f_blocks - found.f_bfree) * found.f_frsize, found.f_files - found.f_ffree


class _Printed:
    """Passes on what a program prints, as long as it is no more than it may.

    A shell that says it cannot fork has met a limit, though its makefile may go on as if nothing
    were: a fork bomb that has burnt out before the next look would be built one time in some.
    """

    def __init__(
        self, limits: Limits, program: str, log: Path, on_line: Callable[[str], None]
    ) -> None:
        self._limits = limits
        self._program = program
        self._log = log
        self._on_line = on_line
        self._printed = 0

    def __call__(self, line: str) -> None:
        self._printed += len(line.encode())
        if self._printed > self._limits.printed_bytes:
            self._end("printed_bytes")
        if _CANNOT_FORK.match(line):
            self._end("processes", [line])
        self._on_line(line)

    def _end(self, limit: str, context: list[str] | None = None) -> NoReturn:
        words = _words(limit, self._limits)
        raise LimitError(f"{self._program} {words} and was killed", log=self._log, context=context)


def _words(limit: str, limits: Limits) -> str:
    """What is said of a limit."""
    value = getattr(limits, limit)
    what = {
        "time_s": f"ran longer than {value:g} s",
        "processes": f"had more than {value} processes at once",
        "memory_bytes": f"wanted more than {value >> 20} MiB of memory",
        "output_bytes": f"wrote more than {value >> 20} MiB into files",
        "output_files": f"made more than {value} files",
        "printed_bytes": f"printed more than {value >> 20} MiB",
    }
    return f"{what[limit]} (limit {limit} of the sandbox)"


_LAST_WORDS = 1 << 15

# Of dash, and of bash and make; a line of source that a compiler shows is indented.
_CANNOT_FORK = re.compile(r"(\S+: )*(Cannot fork|v?fork: .*Resource temporarily unavailable)")

# What programs say that have met one of the limits before it was seen from outside.
_SAID = {
    "No space left on device": "output_bytes",
    "File size limit exceeded": "output_bytes",
    "File too large": "output_bytes",
    "Resource temporarily unavailable": "processes",
    "Cannot fork": "processes",
    "Cannot allocate memory": "memory_bytes",
    "virtual memory exhausted": "memory_bytes",
    "out of memory": "memory_bytes",
    "Out of memory": "memory_bytes",
}


def _limit(error: BuildError, program: str, limits: Limits) -> LimitError | None:
    """What a program that failed has met, if it was a limit."""
    said = error.context
    if error.log is not None:
        with error.log.open("rb") as file:
            file.seek(max(0, error.log.stat().st_size - _LAST_WORDS))
            said = file.read().decode("utf-8", "replace").splitlines()
    for line in said:
        for words, limit in _SAID.items():
            if words in line:
                message = f"{program} {_words(limit, limits)}"
                return LimitError(message, log=error.log, context=[line, *error.context])
    return None


def _descendants(pid: int) -> list[int]:
    """The processes below one, parents first."""
    found: list[int] = []
    left = [pid]
    while left:
        children: list[int] = []
        tasks = Path(f"/proc/{left.pop()}/task")
        # It may have ended by now.
        with contextlib.suppress(OSError):
            for task in os.listdir(tasks):  # noqa: PTH208
                children += map(int, (tasks / task / "children").read_text().split())
        found += children
        left += children
    return found


def _usage(pid: int) -> tuple[int, int]:
    """A process's threads, and the bytes of memory that are its own; see proc(5)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0, 0
    # Fields 20 of the file; the second one is a name in parentheses, which may hold anything.
    return int(stat.rpartition(")")[2].split()[17]), (int(resident) - int(shared)) * _PAGE


def _take_over(give: IO[bytes], output: Path) -> None:
    """Puts the files and folders of a tar archive in the place of what is in a folder."""
    for path in output.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    with tarfile.open(fileobj=give, mode="r:") as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts
            if ".." in parts or member.name.startswith("/"):
                continue
            # Nothing else gets there: no link can lead out of a folder in which there is none.
            target = output.joinpath(*parts)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            # GNU tar was not asked for sparse files; their holes would be bytes that nobody counts.
            elif (
                member.isreg()
                and not member.issparse()
                and (source := tar.extractfile(member)) is not None
            ):
                target.parent.mkdir(parents=True, exist_ok=True)
                with source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
                target.chmod(0o755 if member.mode & 0o100 else 0o644)
                os.utime(target, (member.mtime, member.mtime))


def around(kind: SandboxKind, file: Path) -> list[str]:
    """What is put before a program that reads a file which came of what users wrote.

    It writes nothing but what it prints. Raises HostError if it could not read the file.
    """
    return Bubblewrap().around(file) if kind == "bubblewrap" else []


def choose(root: Path, trust: bool, limits: Limits | None = None) -> Sandbox:
    """What holds a build of the files of a folder, or nothing if its author is trusted.

    The checkout's own are built where there is no sandbox, too; raises HostError for others'.
    """
    if trust:
        return Unconfined()
    reason = bubblewrap.missing()
    if reason is None:
        return Bubblewrap(limits or Limits())
    if root == places.checkout():
        return Unconfined()
    raise HostError(
        f"{root}: what others wrote is built in a sandbox, and this host has none: {reason}",
        fix=f"{FIX}; or add --trust if it may do all that you may",
    )


def require(limits: Limits | None = None) -> Bubblewrap:
    """A sandbox; raises HostError with the reason and the way out where none can be had."""
    reason = bubblewrap.missing()
    if reason is not None:
        raise HostError(f"there is no sandbox on this host: {reason}", fix=FIX)
    return Bubblewrap(limits or Limits())


FIX = "./inv setup (Debian's package bubblewrap), on a host that allows user namespaces"
"""What to do about a host without a sandbox."""
