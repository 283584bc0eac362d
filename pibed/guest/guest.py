"""A booted guest: QEMU, the kernel's console and the agent's line, watched together.

Whatever is waited for, the wait ends at once when the kernel panics, oopses or warns, when QEMU
ends or is stopped, and at the deadline, each with an error of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Self, TypeVar

from pibed.base.errors import GuestError, HostError
from pibed.base.process import DIE_WITH_PARENT
from pibed.build.images import Images
from pibed.build.initramfs import File, write_archive
from pibed.guest import qemu, trace
from pibed.guest.console import Console, Death, Kind, diagnose
from pibed.guest.counts import CountsFile
from pibed.guest.holding import held_by, holding
from pibed.guest.line import Agent, LineClosed, LineTimeout, Stuck
from pibed.guest.qemu import Logs, Qemu
from pibed.guest.spin import SpinWatch
from pibed.guest.stub import Stub
from pibed.model.machine import Clock, Machine
from pibed.model.protocol import Command, Result

# A kernel that has said its last word resets the board, which ends QEMU; it gets this long.
_LAST_WORDS_S = 5.0

# One that hangs may say more and does not end: when it has been silent for so long, that was all.
_SILENCE_S = 1.0

# Bytes that the host may have and a log not yet, where QEMU is killed: it writes them one by one.
_ON_THE_WAY = 64

# A QEMU that is stopped for longer than this will not come back by itself.
_STOPPED_S = 5.0

# These signals say that the host wants an end; what the guest was doing is no sample then.
_ENDED_BY_HOST = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)

# Host seconds per guest second that a loaded host may need, and what a slow start may add.
_SLOWNESS: dict[Clock, float] = {"virtual": 5.0, "board": 15.0, "host": 1.5}

_SLACK_S = 30.0

# Guest seconds beyond a command's limit in which the agent has said what became of it, if it can:
# the ten that init gives it for what cannot be killed, and the time to say so.
_AGENT_S = 12.0

# Host seconds between two looks at the guest's clock.
_LOOK_S = 0.5


class KernelPanic(GuestError):
    """The kernel panicked."""


class KernelOops(GuestError):
    """The kernel met a bug of its own (oops, BUG) and was stopped."""


class KernelWarning(KernelOops):
    """The kernel warned of a state that must not be (WARN) and was stopped."""


class KernelHang(GuestError):
    """The kernel found that something in it does not move any more."""


class GuestTimeout(GuestError):
    """Nothing came from the guest until the deadline."""


class GuestOverdue(GuestTimeout):
    """Nothing came from the guest until the deadline by its own clock, on whatever host."""


class QemuLost(GuestError):
    """QEMU ended, or was stopped, before its work was done."""


class GuestLeft(QemuLost):
    """The guest powered off or rebooted by itself before its work was done."""


DEATHS: Final[dict[Kind, type[GuestError]]] = {
    Kind.PANIC: KernelPanic,
    Kind.OOPS: KernelOops,
    Kind.WARNING: KernelWarning,
    Kind.HANG: KernelHang,
}

_T = TypeVar("_T")


@dataclass(frozen=True)
class Launch:
    """All that determines a boot: the machine and its images, the clock, and the seed."""

    machine: Machine
    images: Images
    clock: Clock
    seed: int
    patience: float = 1.0
    """How many times longer than usual the host may take."""


def longest_s(machine: Machine, commands: Sequence[Command]) -> float:
    """Host seconds after which a boot with these commands has ended, whatever becomes of it."""
    slowness = _SLOWNESS[machine.clock]
    # Each is waited for twice: until it begins, and until it ends.
    waits_s = [2 * (command.seconds * slowness + _SLACK_S) for command in commands]
    return machine.boot_timeout_s + sum(waits_s) + 4 * _SLACK_S


class Guest:
    """One boot of the machine; a context manager that leaves no QEMU behind.

    With the host clock, and without a `plan`, the commands are typed as they come; otherwise they
    are packed into the initramfs before the start. Either way `run` takes them in order.
    `stop_requested` is asked while waiting and may raise.
    """

    def __init__(
        self,
        launch: Launch,
        logs: Logs,
        plan: Sequence[Command] | None,
        stop_requested: Callable[[], None] = lambda: None,
    ) -> None:
        self._launch = launch
        self._typed = launch.clock == "host" or plan is None
        self._stop_requested = stop_requested
        with temporary_folder() as folder:
            initramfs = launch.images.initramfs
            if plan is not None and not self._typed:
                text = "".join(f"{command}\n" for command in plan)
                initramfs = pack_plan(launch.images, text, Path(folder))
            argv = qemu.arguments(
                launch.machine,
                launch.clock,
                launch.images,
                initramfs=initramfs,
                kernel_args=[
                    f"PIBED_FEED={'type' if self._typed else 'plan'}",
                    f"PIBED_SEED={launch.seed}",
                ],
                seed=launch.seed,
                counts=None if logs.counts is None else logs.counts.absolute(),
                profile=logs.profile,
            )
            self._guest_s: float | None = None
            self._limit_us: int | None = None
            self._looked = 0.0
            self._counts = None if logs.counts is None else CountsFile(logs.counts)
            held = holding(launch.images, initramfs, logs.written_by_qemu)
            self._qemu = Qemu(argv, launch.machine.serial_lines, logs, held)
            self._spin = SpinWatch(self._qemu.monitor)
            try:
                self._console = Console(self._qemu.console)
                self._agent = Agent(
                    self._qemu.agent, self._check, self._overdue, self._stop_requested
                )
                # QEMU has read the initramfs once the guest speaks; then the folder may go.
                self._watched(
                    self._agent.expect_ready, launch.machine.boot_timeout_s, "while it was to boot"
                )
            except BaseException:
                self._qemu.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._qemu.close()
        self._console.join(_LAST_WORDS_S)
        if isinstance(error, GuestError):
            # What the kernel said last decides what is made of that.
            log = self._qemu.logs.console
            require_whole(log, self._console.received, on_the_way=_ON_THE_WAY)

    @property
    def console_log(self) -> Path:
        """What the kernel has said until now."""
        return self._qemu.logs.console

    def run(self, command: Command) -> Result:
        """Runs the next command of the plan and returns its result.

        Raises the GuestError of what ended the guest instead.
        """
        if self._typed:
            self._send(str(command))
        host_s = command.seconds * _SLOWNESS[self._launch.clock] + _SLACK_S
        guest_s = command.seconds + _AGENT_S
        self._watched(
            lambda deadline: self._agent.expect_begin(command, deadline),
            host_s,
            f"before `{command.line}`",
            guest_s,
        )
        result = self._watched(
            lambda deadline: self._agent.expect_end(command, deadline),
            host_s,
            f"in `{command.line}`",
            guest_s,
        )
        if self._typed:
            # By a plan it may have been the next command's doing already.
            self._check()
        return result if self._counts is None else replace(result, counts=self._counts.take())

    def finish(self) -> None:
        """Waits for the agent's end marker and for power-off; raises if it ends otherwise.

        Raises HostError if a log of what the guest said is not whole.
        """
        if self._typed:
            self._send("end 0 -")
        what = "while it was to power off"
        self._watched(self._agent.expect_done, _SLACK_S, what, _AGENT_S)
        # By the host's time alone: a QEMU that is about to end may hang if its monitor is asked.
        status = self._watched(self._expect_end, _SLACK_S, what)
        self._console.join(_LAST_WORDS_S)
        if self._console.death is not None:
            self._raise_death()
        if status != 0 or self._qemu.monitor.shutdown_reason() != "guest-shutdown":
            self._raise_lost(status)
        require_whole(self._qemu.logs.agent, self._agent.drain(_LAST_WORDS_S))
        require_whole(self._qemu.logs.console, self._console.received)

    def _expect_end(self, deadline: float) -> int:
        """The status with which QEMU ends; raises LineTimeout at the deadline."""
        while (status := self._qemu.wait(_LOOK_S)) is None:
            self._stop_requested()
            if time.monotonic() >= deadline:
                raise LineTimeout("the guest did not power off")
        return status

    def _send(self, text: str) -> None:
        self._watched(
            lambda deadline: self._agent.send(text), _SLACK_S, "while it was to take a command"
        )

    def _watched(
        self,
        wait: Callable[[float], _T],
        timeout_s: float,
        what: str,
        guest_s: float | None = None,
    ) -> _T:
        """Waits for so many seconds of the host's time, and of the guest's where that is known."""
        self._guest_s, self._limit_us = guest_s, None
        timeout_s *= self._launch.patience
        start = self._looked = time.monotonic()
        try:
            return wait(start + timeout_s)
        except LineTimeout:
            self._check()
            kind, words = GuestTimeout, f"{timeout_s:.0f} s of the host's time {what}"
            if time.monotonic() < start + timeout_s:
                kind = GuestOverdue
                words = f"{guest_s:g} s of its own time {what}: its kernel lets no program run"
            if self._spin.spins:
                words = f"so long {what}: its CPU waits for a spinlock that nobody gives back"
            raise kind(
                f"the guest was silent for {words}",
                log=self._qemu.logs.console,
                context=self._console.last_lines(),
            ) from None
        except Stuck as error:
            error.log = self._qemu.logs.console
            error.context = trace.blocked(self._console.trace_lines(), self._launch.images)
            raise
        except LineClosed:
            status = self._qemu.wait(_LAST_WORDS_S)
            self._console.join(_LAST_WORDS_S)
            self._check()
            self._raise_lost(status)

    def _check(self) -> None:
        """Raises if there is no point in waiting any longer."""
        self._stop_requested()
        if self._console.death is not None:
            self._hear_last_words(self._console.death)
            self._raise_death()
        if self._qemu.stopped_for() > _STOPPED_S:
            raise QemuLost(f"QEMU was stopped (SIGSTOP) for more than {_STOPPED_S:.0f} s")

    def _hear_last_words(self, death: Death) -> None:
        """Waits until a dying kernel has said all; at most some seconds."""
        deadline = time.monotonic() + _LAST_WORDS_S
        while time.monotonic() < deadline:
            before = self._console.received
            if self._qemu.wait(_SILENCE_S) is not None:
                self._console.join(_LAST_WORDS_S)
                return
            if death.kind == Kind.HANG and self._console.received == before:
                return

    def _overdue(self) -> bool:
        """Whether the guest has had more of its own time than what is waited for may take.

        It has, too, if it will never have any more. Its time is counted from the first look, which
        is not worth it for what takes no time.
        """
        if self._guest_s is None or time.monotonic() < self._looked + _LOOK_S:
            return False
        now_us = self._guest_us()
        self._looked = time.monotonic()
        if now_us is not None and self._limit_us is None:
            self._limit_us = now_us + round(self._guest_s * 1e6)
        if now_us is None or self._limit_us is None:
            return False
        self._spin.look()
        return self._spin.spins or now_us > self._limit_us

    def _guest_us(self) -> int | None:
        """What the guest's clock says; None where that is the host's, or cannot be asked."""
        address = self._launch.machine.guest_clock
        if address is None or self._launch.clock == "host":
            return None
        return self._qemu.monitor.guest_us(address)

    def _raise_death(self) -> NoReturn:
        death = self._console.death
        assert death is not None
        words = trace.excerpt(self._console.trace_lines(), self._launch.images)
        raise _of_death(death, self._qemu.logs.console, words)

    def _raise_lost(self, status: int | None) -> NoReturn:
        reason = self._qemu.monitor.shutdown_reason() if status is not None else None
        kind: type[QemuLost] = QemuLost
        if status is not None and status < 0:
            message = f"QEMU was killed by signal {-status} ({signal.strsignal(-status)})"
            if status == -signal.SIGKILL:
                message += ", as the host's kernel does when memory runs out"
            if status in _ENDED_BY_HOST:
                raise _ended_by_host()
        elif reason in ("host-signal", "host-qmp-quit"):
            raise _ended_by_host()
        elif reason == "guest-reset":
            kind, message = GuestLeft, "the guest rebooted"
        elif reason == "guest-shutdown":
            kind, message = GuestLeft, "the guest powered off before its work was done"
        else:
            message = f"QEMU ended with status {status}"
        raise kind(message, log=self._qemu.logs.qemu, context=self._qemu.errors())


def require_whole(log: Path, size: int, *, on_the_way: int = 0) -> None:
    """Raises HostError if a log has not the `size` in bytes that QEMU has sent.

    QEMU drops what it cannot write, on a disk that is full, and says nothing. One that is killed
    may have sent so many bytes that are `on_the_way` into the log.
    """
    written = log.stat().st_size
    if written != size and not (on_the_way and written >= size - on_the_way):
        raise HostError(
            f"{log}: only {written} of {size} bytes could be written",
            fix="free some space on its file system",
        )


def _ended_by_host() -> HostError:
    return HostError("QEMU was told to end, as when the host shuts down or a session ends")


def _of_death(death: Death, log: Path, context: Sequence[str] = ()) -> GuestError:
    what = "hangs" if death.kind == Kind.HANG else "died"
    return DEATHS[death.kind](f"the kernel {what}: {death.line}", log=log, context=list(context))


@contextmanager
def temporary_folder() -> Iterator[str]:
    """A folder that is gone behind the context; raises HostError if there can be none."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="pibed-")
    except OSError as error:
        raise _no_temporary(error) from error
    with folder as name:
        yield name


def _no_temporary(error: OSError) -> HostError:
    fix = f"free some space in {tempfile.gettempdir()}, or set TMPDIR to another folder"
    return HostError.from_os(error, "temporary file", fix)


def pack_plan(images: Images, plan: str, folder: Path) -> Path:
    """An initramfs in `folder` with the text `plan` as /plan in an archive behind the images' own.

    The kernel unpacks concatenated archives one after the other, see
    Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
    """
    try:
        return _pack(images, plan, folder)
    except OSError as error:
        raise _no_temporary(error) from error


def _pack(images: Images, plan: str, folder: Path) -> Path:
    (folder / "plan").write_text(plan, encoding="utf-8", errors="surrogateescape")
    write_archive(images.gen_init_cpio, folder, [File("/plan", "plan")], folder / "plan.cpio")
    target = folder / "initramfs.cpio"
    with target.open("wb") as file:
        for part in (images.initramfs, folder / "plan.cpio"):
            file.write(part.read_bytes())
    # Whatever the umask: a sandbox's user reads it.
    target.chmod(0o644)
    return target


def interact(
    launch: Launch,
    commands: Sequence[str],
    console_log: Path,
    leave: str,
    stub: Stub | None = None,
) -> None:
    """Connects the terminal to a shell in the guest until it powers off or `leave` is typed.

    `commands` run before the shell. With a `stub` the guest waits for a debugger. Raises the
    GuestError of a kernel that died.
    """
    import pexpect

    from pibed.guest.terminal import Spawned

    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    with temporary_folder() as folder:
        text = "".join(f"{command}\n" for command in commands)
        terminal = os.environ.get("TERM", "linux")
        initramfs = pack_plan(launch.images, text, Path(folder))
        argv = [
            *qemu.arguments(
                launch.machine,
                launch.clock,
                launch.images,
                initramfs=initramfs,
                kernel_args=[
                    "PIBED_FEED=shell",
                    f"PIBED_ROWS={rows}",
                    f"PIBED_COLUMNS={columns}",
                    f"TERM={terminal}",
                ],
                seed=launch.seed,
            ),
            *qemu.interactive_options(launch.machine.serial_lines, console_log),
            *([] if stub is None else stub.options),
        ]
        held = holding(launch.images, initramfs, [console_log])
        if held is not None:
            argv = held.command(argv)
        argv = [*DIE_WITH_PARENT, *argv]
        try:
            inherited = () if stub is None else (stub.descriptor,)
            child = Spawned(argv, (rows, columns), inherited)
        except pexpect.ExceptionPexpect as error:
            raise HostError(str(error), fix="./inv setup") from None
        try:
            # The guest's terminal ends lines with CR LF by itself.
            settings = termios.tcgetattr(child.child_fd)
            settings[1] &= ~termios.ONLCR
            termios.tcsetattr(child.child_fd, termios.TCSANOW, settings)
            child.interact(escape_character=leave)
            # When the line closes QEMU is about to end; it goes on only if the user left it.
            deadline = time.monotonic() + 1
            while child.isalive() and time.monotonic() < deadline:
                time.sleep(0.05)
            left = child.isalive()
        finally:
            if held is not None and (pid := held_by(child.pid or 0)) is not None:
                # Not bubblewrap, which would not wait for it.
                os.kill(pid, signal.SIGKILL)
                child.wait()
            child.close(force=True)
            if held is not None:
                held.take_back()
    if not left and (child.exitstatus or child.signalstatus):
        how = f"signal {child.signalstatus}" if child.signalstatus else f"status {child.exitstatus}"
        raise QemuLost(f"QEMU ended with {how}")
    for line in console_log.read_text(encoding="utf-8", errors="replace").splitlines():
        if (death := diagnose(line)) is not None:
            raise _of_death(death, console_log)
