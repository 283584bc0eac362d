"""QEMU: its command line for a machine, and the running process with its serial lines.

The lines are pairs of connected sockets: no path in the file system, no port, no terminal. QEMU
itself writes what passes over them to log files, so the logs are whole whatever happens to pibed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import HostError
from pibed.base.process import DIE_WITH_PARENT, kill_group
from pibed.build.images import Images
from pibed.guest.holding import Holding, held_by
from pibed.guest.monitor import Monitor
from pibed.model.counts import Window
from pibed.model.machine import Clock, Machine, SerialLine, Use

# In which a sandbox has begun, and QEMU has gone after it was killed.
_BEGIN_S = 10.0
_END_S = 10.0


def arguments(
    machine: Machine,
    clock: Clock,
    images: Images,
    *,
    initramfs: Path,
    kernel_args: Sequence[str],
    seed: int | None = None,
    counts: Path | None = None,
    profile: ProfileFile | None = None,
) -> list[str]:
    """QEMU's command line without the serial lines; `kernel_args` come behind the machine's own.

    `seed` makes QEMU's random numbers for the guest a sequence that it determines. Events are
    counted into the file `counts`, if there is one, and by functions into that of `profile`.
    """
    mode = machine.clocks[clock]
    console = f"console={machine.serial_device('console')}"
    kernel_line = [console, *machine.kernel_args, *mode.kernel_args, *kernel_args]
    return [
        machine.qemu.binary,
        *("-machine", machine.board),
        *("-smp", str(machine.cpus)),
        *("-m", f"{machine.memory_mib}M"),
        *("-nodefaults", "-no-user-config", "-no-reboot"),
        *("-display", "none"),
        *("-kernel", str(images.kernel)),
        *("-dtb", str(images.device_tree)),
        *("-initrd", str(initramfs)),
        *("-append", " ".join(kernel_line)),
        *(("-seed", str(seed)) if seed is not None else ()),
        *machine.qemu.args,
        *mode.qemu_args,
        *_timing(images, clock, counts, profile),
    ]


def _timing(
    images: Images, clock: Clock, counts: Path | None, profile: ProfileFile | None
) -> list[str]:
    """The option that loads the timing plugin, where it drives the clock or counts.

    For a profile by the virtual clock nothing is modelled, and instructions are all that counts.
    """
    drive = clock == "board"
    if not drive and counts is None and profile is None:
        return []
    if images.timing is None:
        raise ValueError("the images were made without the timing plugin")
    words = [_quote(images.timing.plugin)]
    if drive or profile is None:
        words.append(f"board={_quote(images.timing.board_file)}")
    if counts is not None:
        words.append(f"counts={_quote(counts)}")
    if profile is not None:
        words += [f"profile={_quote(profile.path.absolute())}", f"window={profile.window}"]
    return ["-plugin", ",".join([*words, f"drive={'on' if drive else 'off'}"])]


@dataclass(frozen=True)
class ProfileFile:
    """The file into which the timing plugin writes a profile, and of what it is one."""

    path: Path
    window: Window


def serial_options(lines: Sequence[SerialLine], ends: Mapping[Use, str]) -> list[str]:
    """QEMU's options that connect a board's serial lines; `ends` are values of its -serial."""
    return [word for line in lines for word in ("-serial", ends[line.use])]


def serial_files(lines: Sequence[SerialLine], folder: Path) -> list[str]:
    """QEMU's options that write the serial lines to the usual files in a boot's folder."""
    logs = Logs.below(folder)
    return serial_options(lines, {"console": f"file:{logs.console}", "agent": f"file:{logs.agent}"})


@dataclass(frozen=True)
class Logs:
    """Where one boot's raw bytes go: the console's line, the agent's line, QEMU's own words."""

    console: Path
    agent: Path
    qemu: Path
    counts: Path | None = None
    """Where events are counted, if they are."""
    profile: ProfileFile | None = None
    """Where it is written by which functions, if it is."""

    @property
    def written_by_qemu(self) -> list[Path]:
        """Those that QEMU itself opens."""
        profile = None if self.profile is None else self.profile.path
        asked = [each for each in (self.counts, profile) if each is not None]
        return [self.console, self.agent, *asked]

    @classmethod
    def below(cls, folder: Path, *, counts: bool = False) -> Logs:
        """The usual names in a boot's folder."""
        return cls(
            folder / "console.log",
            folder / "agent.log",
            folder / "qemu.log",
            folder / "counts" if counts else None,
        )


class Qemu:
    """A running QEMU in a process group of its own, which dies with the thread that started it.

    `console` and `agent` are the host's ends of the two serial lines, `monitor` is QEMU's own.
    With `holding` it runs in a sandbox. The descriptors `inherited` are open in it as well. Raises
    HostError when the program cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        lines: Sequence[SerialLine],
        logs: Logs,
        holding: Holding | None = None,
        inherited: Sequence[int] = (),
    ) -> None:
        self.logs = logs
        self._holding = holding
        self.console, console_far = socket.socketpair()
        self.agent, agent_far = socket.socketpair()
        monitor, monitor_far = socket.socketpair()
        far = (console_far, agent_far, monitor_far)
        self.monitor = Monitor(monitor)
        options = [
            *_socket("console", console_far.fileno(), logs.console),
            *_socket("agent", agent_far.fileno(), logs.agent),
            *serial_options(lines, _BY_NAME),
            *("-chardev", f"socket,id=monitor,fd={monitor_far.fileno()}"),
            *("-mon", "chardev=monitor,mode=control"),
        ]
        command = [*argv, *options]
        try:
            with logs.qemu.open("wb") as log:
                log.write(os.fsencode(f"$ {' '.join(command)}\n"))
                log.flush()
                if holding is not None:
                    command = holding.command(command)
                self.process = subprocess.Popen(
                    [*DIE_WITH_PARENT, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[*(end.fileno() for end in far), *inherited],
                    process_group=0,
                )
        except FileNotFoundError as error:
            raise HostError(f"{error.filename} is not installed", fix="./inv setup") from error
        finally:
            for end in far:
                end.close()
        # bubblewrap stays beside what it runs.
        self._pid = self.process.pid
        if holding is not None:
            deadline = time.monotonic() + _BEGIN_S
            while self.process.poll() is None and time.monotonic() < deadline:
                if (held := held_by(self.process.pid)) is not None:
                    self._pid = held
                    break
                time.sleep(0.001)
        self._stopped_since: float | None = None

    def stopped_for(self) -> float:
        """For how many seconds the process has been seen stopped (SIGSTOP); 0 if it runs."""
        try:
            stat = Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return 0.0
        # The state follows the name in parentheses, which may hold anything; see proc(5).
        if stat.rpartition(")")[2].split()[0] not in ("T", "t"):
            self._stopped_since = None
            return 0.0
        if self._stopped_since is None:
            self._stopped_since = time.monotonic()
        return time.monotonic() - self._stopped_since

    def wait(self, timeout_s: float) -> int | None:
        """The exit status (negative: the signal that killed it), or None if it still runs."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        # bubblewrap says it as a shell does.
        return 128 - status if self._holding is not None and status > 128 else status

    def errors(self) -> list[str]:
        """What QEMU itself printed, without its command line."""
        text = self.logs.qemu.read_text(encoding="utf-8", errors="replace")
        return text.splitlines()[1:][-10:]

    def close(self) -> None:
        """Kills QEMU if it still runs, and closes the lines."""
        if self._pid != self.process.pid and self.process.poll() is None:
            # First, since bubblewrap does not wait for it when it is killed itself.
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.kill(self._pid, signal.SIGKILL)
                self.process.wait(_END_S)
        kill_group(self.process)
        if self._holding is not None:
            self._holding.take_back()
        for end in (self.console, self.agent, self.monitor):
            end.close()


def interactive_options(lines: Sequence[SerialLine], console_log: Path) -> list[str]:
    """For a person: the agent's line is the terminal, the console goes to a file."""
    return [
        *("-chardev", f"file,id=console,path={_quote(console_log)}"),
        *("-chardev", "stdio,id=agent,signal=off"),
        *serial_options(lines, _BY_NAME),
    ]


# A line's end is a character device of QEMU that is called as the line's use.
_BY_NAME: Mapping[Use, str] = {"console": "chardev:console", "agent": "chardev:agent"}


def _socket(name: Use, descriptor: int, log: Path) -> list[str]:
    value = f"socket,id={name},fd={descriptor},logfile={_quote(log.absolute())},logappend=off"
    return ["-chardev", value]


def _quote(path: Path) -> str:
    # QEMU's option syntax separates by commas and doubles those that are meant.
    return os.fspath(path).replace(",", ",,")
