"""The agent's protocol over real sockets, and against the real agent as a process of the host."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pibed.base.errors import GuestError
from pibed.guest.line import Agent, LineClosed, LineTimeout, ProtocolError, Stuck
from pibed.measure.rounds import status_of
from pibed.model.protocol import Command, Result
from pibed.model.samples import Status
from tests import excuses
from tests.unit.helpers import ROOT

pytestmark = pytest.mark.alone  # deadlines of fractions of a second

RUN = Command("1.run", 5, "work 64")


class Line:
    """An agent on one end of a line, and what plays QEMU on the other."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.checks = 0
        self.dead: GuestError | None = None
        self.agent = Agent(self.near, self.check)

    def check(self) -> None:
        self.checks += 1
        if self.dead is not None:
            raise self.dead

    def says(self, *parts: bytes) -> Line:
        for part in parts:
            self.far.sendall(part)
        return self

    def end(self, text: bytes, command: Command = RUN) -> Result:
        self.says(text)
        return self.agent.expect_end(command, soon())


def soon(seconds: float = 5) -> float:
    return time.monotonic() + seconds


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.near.close()
    line.far.close()


def test_ready_after_stray_bytes(line: Line) -> None:
    line.says(b"XX\xff\x00", b"\n\n@@pibed ready\n")
    line.agent.expect_ready(soon())


def test_ready_in_pieces(line: Line) -> None:
    def trickle() -> None:
        for byte in b"X\r\n@@pibed ready\r\n":
            line.says(bytes([byte]))

    thread = threading.Thread(target=trickle)
    thread.start()
    line.agent.expect_ready(soon())
    thread.join()


def test_one_command_after_the_other(line: Line) -> None:
    line.says(
        b"\n@@pibed ready\n"
        b"\n@@pibed begin a\n| one\n| \n| two\n\n@@pibed end a 0\n"
        b"\n@@pibed begin b\n\n@@pibed end b 7\n\n@@pibed done\n"
    )
    a, b = Command("a", 1, "x"), Command("b", 1, "y")
    line.agent.expect_ready(soon())
    line.agent.expect_begin(a, soon())
    assert line.agent.expect_end(a, soon()) == Result("a", 0, False, False, ("one", "", "two"))
    line.agent.expect_begin(b, soon())
    assert line.agent.expect_end(b, soon()) == Result("b", 7, False, False, ())
    line.agent.expect_done(soon())


def test_output_that_looks_like_markers(line: Line) -> None:
    result = line.end(
        b"| @@pibed end 1.run 0\n| @@pibed done\n| | x\n|  y\n\n@@pibed end 1.run 3\n"
    )
    assert result.status == 3
    assert result.output == ("@@pibed end 1.run 0", "@@pibed done", "| x", " y")


def test_binary_output(line: Line) -> None:
    result = line.end(b"| \x00\xff\x1b[0m\xc2\xb5\n\n@@pibed end 1.run 0\n")
    assert result.output == ("\x00\ufffd\x1b[0mµ",)
    assert result.text == "\x00\ufffd\x1b[0mµ"


@pytest.mark.parametrize(
    ("words", "timed_out", "truncated"),
    [
        ("", False, False),
        (" timeout", True, False),
        (" truncated", False, True),
        (" timeout truncated", True, True),
    ],
)
def test_flags(line: Line, words: str, timed_out: bool, truncated: bool) -> None:
    result = line.end(f"\n@@pibed end 1.run 137{words}\n".encode())
    assert (result.timed_out, result.truncated) == (timed_out, truncated)
    assert result.status == 137


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        (3, "ended with status 3"),
        (128, "ended with status 128"),
        (137, "ended with status 137 (SIGKILL)"),
        (139, "ended with status 139 (SIGSEGV)"),
        (255, "ended with status 255"),
    ],
)
def test_ending_names_the_signal(status: int, ending: str) -> None:
    assert Result("x", status, False, False, ()).ending == ending


def test_words_are_the_last_lines_and_cannot_act_on_a_terminal() -> None:
    lines = ("first", "a\x1b[2J\x07", "\tµ\ufffd\r", "\x9b31m end")
    assert Result("x", 1, False, False, lines).words == "a?[2J?; \tµ\ufffd?; ?31m end"
    assert Result("x", 1, False, False, ("y" * 300,)).words == "y" * 200
    assert Result("x", 1, False, False, ()).words == ""


def test_stuck_command(line: Line) -> None:
    with pytest.raises(Stuck, match=r"`work 64` did not end within 5 s and cannot be killed") as e:
        line.end(b"\n@@pibed stuck 1.run\n")
    assert status_of(e.value) == Status.TIMEOUT


@pytest.mark.parametrize("text", ["@@pibed stuck 2.run", "@@pibed stuck 1.run now"])
def test_another_command_stuck(line: Line, text: str) -> None:
    with pytest.raises(ProtocolError):
        line.end(f"\n{text}\n".encode())


def test_begin_of_another_command(line: Line) -> None:
    line.says(b"\n@@pibed begin 2.run\n")
    with pytest.raises(ProtocolError, match=r"expected 'begin 1\.run'.*begin 2\.run"):
        line.agent.expect_begin(RUN, soon())


def test_begin_of_a_command_whose_name_goes_on(line: Line) -> None:
    line.says(b"\n@@pibed begin 1.runner\n")
    with pytest.raises(ProtocolError):
        line.agent.expect_begin(RUN, soon())


def test_end_of_another_command(line: Line) -> None:
    with pytest.raises(ProtocolError, match=r"ended 2\.run instead of 1\.run"):
        line.end(b"\n@@pibed end 2.run 0\n")


@pytest.mark.parametrize("text", [b"stray\n", b"@@pibed end 1.run\n", b"@@pibed begin 2\n"])
def test_what_an_agent_does_not_say(line: Line, text: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"unexpected in the output of 1\.run"):
        line.end(text)


def test_qemu_closes_the_line(line: Line) -> None:
    line.says(b"\n@@pibed begin 1.run\n| half")
    line.far.close()
    line.agent.expect_begin(RUN, soon())
    with pytest.raises(LineClosed):
        line.agent.expect_end(RUN, soon())


def test_qemu_closes_the_line_with_a_command_unread(line: Line) -> None:
    line.agent.send(str(RUN))
    line.far.close()
    with pytest.raises(LineClosed):
        line.agent.expect_begin(RUN, soon())


def test_command_for_a_qemu_that_has_ended(line: Line) -> None:
    line.far.close()
    with pytest.raises(LineClosed):
        line.agent.send(str(RUN))


def test_deadline(line: Line) -> None:
    start = time.monotonic()
    with pytest.raises(LineTimeout):
        line.agent.expect_ready(start + 0.1)
    assert 0.1 <= time.monotonic() - start < 0.5


def test_deadline_by_another_clock(line: Line) -> None:
    answers = iter([False, True])
    agent = Agent(line.near, line.check, lambda: next(answers))
    start = time.monotonic()
    with pytest.raises(LineTimeout):
        agent.expect_ready(soon(60))
    assert time.monotonic() - start < 2
    assert next(answers, None) is None


def test_what_was_said_before_another_clocks_deadline_is_heard(line: Line) -> None:
    """The guest may be far ahead of whoever listens."""
    line.says(b"\n@@pibed begin 1.run\n| one\n\n@@pibed end 1.run 0\n\n@@pibed begin 2.run\n")
    agent = Agent(line.near, line.check, lambda: True)
    agent.expect_begin(RUN, soon())
    assert agent.expect_end(RUN, soon()).output == ("one",)


@pytest.mark.parametrize("pause_s", [0.01, 0.002, 0])
def test_deadline_while_words_come_that_are_not_the_wanted_ones(line: Line, pause_s: float) -> None:
    stop = threading.Event()

    def chatter() -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(pause_s):
                line.says(b"X\n" if pause_s else b"| X\n" * 1000)

    thread = threading.Thread(target=chatter)
    thread.start()
    try:
        with pytest.raises(LineTimeout):
            if pause_s:
                line.agent.expect_ready(soon(0.2))
            else:
                line.agent.expect_end(Command("a", 1, "x"), soon(0.2))
    finally:
        stop.set()
        line.near.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_what_is_there_is_taken_whenever_it_came(line: Line) -> None:
    line.says(b"\n@@pibed ready\n")
    time.sleep(0.05)
    line.agent.expect_ready(soon(0.5))


def test_check_ends_a_wait_at_once(line: Line) -> None:
    def die() -> None:
        line.dead = GuestError("the kernel died")

    timer = threading.Timer(0.1, die)
    timer.start()
    start = time.monotonic()
    with pytest.raises(GuestError, match="the kernel died"):
        line.agent.expect_ready(soon(60))
    assert time.monotonic() - start < 2
    timer.join()


def test_check_is_heard_while_output_streams(line: Line) -> None:
    line.dead = GuestError("the kernel died")
    with pytest.raises(GuestError, match="the kernel died"):
        line.end(b"| x\n" * 1000)


def test_long_line(line: Line) -> None:
    sender = threading.Thread(
        target=line.says, args=(b"| " + b"x" * 65_536 + b"\n\n@@pibed end 1.run 0\n",)
    )
    sender.start()
    assert line.agent.expect_end(RUN, soon()).output == ("x" * 65_536,)
    sender.join()


def test_line_without_end(line: Line) -> None:
    def flood() -> None:
        with contextlib.suppress(OSError):
            line.says(b"x" * (3 << 20))

    sender = threading.Thread(target=flood)
    sender.start()
    with pytest.raises(ProtocolError, match="no line ends"):
        line.agent.expect_end(RUN, soon(20))
    line.near.close()
    sender.join()


def test_send_types_one_line(line: Line) -> None:
    line.agent.send("1.run 5 work 64")
    assert line.far.recv(100) == b"1.run 5 work 64\n"


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guest's agent for the host, with sanitizers, whose words would not be the agent's."""
    folder = tmp_path_factory.mktemp("agent")
    for name in ("agent.c", "Makefile"):
        shutil.copy(ROOT / "buildroot" / "package" / "pibed-agent" / name, folder)
    compiler = "gcc -g -Werror -fsanitize=address,undefined -fno-sanitize-recover"
    subprocess.run(["make", "-s", f"CC={compiler}", "LDFLAGS=", "agent"], cwd=folder, check=True)
    return folder / "agent"


# Seconds after which the agent gives up; a loaded host needs some to end what was killed.
GRACE_S = 1.0


def record(level: int, text: str, microseconds: int = 1_000_000) -> str:
    """What a read of /dev/kmsg gives; see Documentation/ABI/testing/dev-kmsg of Linux."""
    return f"{level},1234,{microseconds},-;{text}\n"


class Guest:
    """The real agent: console and kernel's log are files, and the end is no power-off."""

    def __init__(self, program: Path, folder: Path, plan: str | None) -> None:
        self.plan = folder / "plan"
        self.console = folder / "console"
        self.log = folder / "kernel-log"
        for path in (self.plan, self.console):
            path.touch()
        with self.log.open("a") as log:
            log.write(record(5, "booted", 0))
        if plan is not None:
            self.plan.write_bytes(plan.encode())
        self.near, far = socket.socketpair()
        self.agent = Agent(self.near, lambda: None)
        self.process = subprocess.Popen(
            # With signals as a guest has them, whatever started the tests.
            [
                *("env", "--default-signal"),
                *(program, self.plan, self.console, self.log, str(GRACE_S)),
            ],
            stdin=far.fileno(),
            stdout=far.fileno(),
            stderr=far.fileno(),
            env={
                "PATH": os.environ["PATH"],
                "PIBED_FEED": "type" if plan is None else "plan",
                "LC_ALL": "C",
            },
            process_group=0,
        )
        far.close()
        # Its number tells it from those of other agents' commands.
        self.sleep = f"sleep 1000.{self.process.pid}"

    def run(self, line: str, seconds: float = 10, id_: str = "x") -> Result:
        command = Command(id_, seconds, line)
        self.agent.send(str(command))
        return self.result(command)

    def result(self, command: Command) -> Result:
        self.agent.expect_begin(command, soon(20))
        return self.agent.expect_end(command, soon(20))

    def raw(self, line: str) -> str:
        """All that comes behind the marker of the beginning."""
        self.agent.send(f"x 10 {line}")
        text = ""
        while "@@pibed end x " not in text[-50:]:
            text += self.near.recv(1 << 20).decode()
        begin = "\n@@pibed begin x\n"
        assert text.startswith(begin)
        return text.removeprefix(begin)

    def logs(self, text: str) -> None:
        """What the kernel would log."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(text)

    def shown(self) -> str:
        """What the agent has given the console, but for the boot's; it has done so by the end."""
        self.agent.send("end 0 -")
        self.agent.expect_done(soon())
        booted, _, rest = self.console.read_text(encoding="utf-8").partition("\n")
        assert booted == "[    0.000000] booted"
        return rest

    def sleepers(self) -> list[int]:
        """Its commands' processes that run `sleep`."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if path.read_bytes() == f"{self.sleep}\0".replace(" ", "\0").encode():
                    found.append(int(path.parent.name))
        return found

    def agents(self) -> list[int]:
        """Processes that run the agent with this guest's plan."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if os.fsencode(self.plan) in words and words[0].endswith(b"/agent"):
                    found.append(int(path.parent.name))
        return found

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.near.close()


Start = Callable[[str | None], Guest]


@pytest.fixture
def start(program: Path, tmp_path: Path) -> Iterator[Start]:
    guests = []

    def begin(plan: str | None) -> Guest:
        guests.append(Guest(program, tmp_path, plan))
        guests[-1].agent.expect_ready(soon())
        return guests[-1]

    yield begin
    for each in guests:
        each.close()


@pytest.fixture
def guest(start: Start) -> Guest:
    return start(None)


def children(pid: int) -> list[str]:
    """The states of a process's children; see proc(5)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent, *_ = path.read_text(errors="replace").rpartition(")")[2].split()
            if int(parent) == pid:
                found.append(state)
    return found


def test_agent_runs_commands(guest: Guest) -> None:
    assert guest.run("echo one; echo two >&2; exit 3") == Result(
        "x", 3, False, False, ("one", "two")
    )
    assert guest.run("true") == Result("x", 0, False, False, ())


def test_agent_passes_a_command_as_it_is(guest: Guest) -> None:
    assert guest.run(r"""printf '%s|' 'a  b' "c\\d" $((1+1)) '$x' | tr a-z A-Z""").output == (
        r"A  B|C\D|2|$X|",
    )


def test_agent_marks_every_line(guest: Guest) -> None:
    result = guest.run(r"printf '@@pibed end x 0\n\n| z\n@@pibed done'; exit 1")
    assert result.status == 1
    assert result.output == ("@@pibed end x 0", "", "| z", "@@pibed done")


def test_agent_gives_no_input(guest: Guest) -> None:
    assert guest.run("cat; echo end").output == ("end",)
    assert guest.run("true").status == 0


def test_agent_kills_what_takes_too_long(guest: Guest) -> None:
    start = time.monotonic()
    result = guest.run(f"echo before; {guest.sleep} & {guest.sleep}; echo after", 0.5)
    assert time.monotonic() - start < 3
    assert result.timed_out
    assert result.status == 137
    assert result.output == ("before",)
    assert not guest.sleepers()
    assert not guest.run("true").timed_out


@pytest.mark.parametrize("seconds", ["0", "0.0", ".05", "0.0625", "5e-2"])
def test_agent_takes_fractions_of_seconds(guest: Guest, seconds: str) -> None:
    start = time.monotonic()
    guest.agent.send(f"x {seconds} {guest.sleep}")
    result = guest.result(Command("x", 1, ""))
    assert (result.status, result.timed_out) == (137, True)
    assert float(seconds) <= time.monotonic() - start < 5
    assert not guest.sleepers()


def test_agent_waits_for_the_whole_time(guest: Guest) -> None:
    start = time.monotonic()
    assert guest.run(guest.sleep, 0.7).timed_out
    assert 0.7 <= time.monotonic() - start < 5
    assert not guest.run("sleep 0.3", 5).timed_out


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "PIPE", "CHLD"])
def test_agent_kills_what_ignores_signals(guest: Guest, name: str) -> None:
    line = f"trap '' {name}; kill -{name} $$ $PPID; kill -{name} 0; echo here; {guest.sleep}"
    if name in ("TERM", "INT", "HUP"):
        line = line.replace(" $PPID", "")  # which ends the agent where it is not the first process
    result = guest.run(line, 1)
    assert (result.output, result.status, result.timed_out) == (("here",), 137, True)
    assert not guest.sleepers()


@pytest.mark.parametrize(("name", "status"), [("INT", 130), ("QUIT", 131), ("PIPE", 141)])
def test_commands_begin_with_signals_as_they_should_be(
    guest: Guest, name: str, status: int
) -> None:
    assert guest.run(f"kill -{name} $$; echo ignored") == Result("x", status, False, False, ())
    assert guest.run("grep -E '^Sig(Blk|Ign)' /proc/self/status").output == (
        "SigBlk:\t0000000000000000",
        "SigIgn:\t0000000000000000",
    )


def test_agent_stops_a_fork_bomb(guest: Guest) -> None:
    # As many as a host bears should they not be stopped.
    bomb = (
        f"b() {{ [ $1 -gt 0 ] || exec {guest.sleep}; b $(($1 - 1)) & b $(($1 - 1)) & wait; }}; b 7"
    )
    result = guest.run(bomb, 1)
    assert (result.status, result.timed_out) == (137, True)
    assert not guest.sleepers()
    assert children(guest.process.pid) == []
    assert guest.run("echo on").output == ("on",)


def test_agent_leaves_nothing_of_a_command_behind(guest: Guest) -> None:
    assert guest.run(f"{guest.sleep} >/dev/null & echo started").output == ("started",)
    assert not guest.sleepers()
    assert guest.run(f"env -u PIBED_RUN {guest.sleep} & sleep 0.1; echo on").output == ("on",)
    assert not guest.sleepers()


@pytest.fixture
def own_mounts(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an agent's commands mount is there for them and for the agent only."""
    if not excuses.may_mount():
        pytest.skip(excuses.NO_MOUNT)
    run = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda argv, **options: run(["unshare", "--mount", *argv], **options)
    )


# A pipe in the place of an environment stands for one that nobody can read, since its process
# sleeps in the kernel with the lock of its memory held.
UNREADABLE = (
    "mkfifo {pipe}; setsid {sleep} >/dev/null 2>&1 & sleep 0.2; "
    "mount --bind {pipe} /proc/$!/environ"
)


@pytest.mark.usefixtures("own_mounts")
@pytest.mark.parametrize("end", ["exit 0", "exec sleep 60"])
def test_agent_gives_up_what_cannot_be_looked_at(start: Start, tmp_path: Path, end: str) -> None:
    guest = start(None)
    unreadable = UNREADABLE.format(pipe=tmp_path / "pipe", sleep=guest.sleep)
    began = time.monotonic()
    with pytest.raises(Stuck):
        guest.run(f"{unreadable}; {end}", 0.8)
    assert 0.8 + GRACE_S <= time.monotonic() - began < 5
    for pid in guest.sleepers():
        os.kill(pid, signal.SIGKILL)
    assert guest.process.wait(5) == 0
    # What was to look at it has the agent's name and was killed.
    assert not guest.agents()


@pytest.mark.usefixtures("own_mounts")
def test_agent_waits_for_a_look_that_takes_its_time(start: Start, tmp_path: Path) -> None:
    guest = start(None)
    unreadable = UNREADABLE.format(pipe=tmp_path / "pipe", sleep=guest.sleep)
    began = time.monotonic()
    # Marked after all, when it can be read.
    reading = f"env -u PIBED_RUN sh -c 'sleep 1; printf \"\\0$0\\0\" >{tmp_path}/pipe'"
    late = f"{reading} PIBED_RUN=$PIBED_RUN >/dev/null 2>&1 &"
    assert guest.run(f"{unreadable}; setsid {late} sleep 0.2; exit 5", 10).status == 5
    assert time.monotonic() - began >= 0.9
    assert not guest.sleepers()
    assert guest.run("echo next").output == ("next",)


@pytest.mark.parametrize("output", ["", ">/dev/null 2>&1"])
def test_agent_leaves_nothing_of_other_sessions_behind(guest: Guest, output: str) -> None:
    line = f"setsid sh -c 'setsid {guest.sleep} & exec {guest.sleep}' {output} & sleep 0.1"
    start = time.monotonic()
    assert guest.run(f"{line}; exit 6").status == 6
    assert time.monotonic() - start < 8
    assert not guest.sleepers()
    # At once, before it is what it will be.
    assert guest.run(f"setsid {guest.sleep} {output} & exit 7").status == 7
    assert not guest.sleepers()


# Around where the agent's reads of an environment end.
@pytest.mark.parametrize("size", [None, 0, *range(4070, 4104, 3), 8190, 100_000])
def test_agent_finds_its_mark_anywhere_in_an_environment(guest: Guest, size: int | None) -> None:
    start = time.monotonic()
    first = "" if size is None else f"X={'x' * size}"
    env = f"env -i {first} PIBED_RUN=$PIBED_RUN Y=PIBED_RUN"
    assert guest.run(f"{env} setsid {guest.sleep} & sleep 0.2").status == 0
    assert time.monotonic() - start < 8
    assert not guest.sleepers()


def test_agent_kills_nothing_of_others(guest: Guest) -> None:
    own = guest.process.pid
    marks = [f"PIBED_RUN={own}0", f"XPIBED_RUN={own}", f"PIBED_RUN={own + 1}", f"X=PIBED_RUN={own}"]
    others = [subprocess.Popen(["env", mark, "sleep", "1000.8125"]) for mark in marks]
    try:
        assert guest.run(f"setsid {guest.sleep} >/dev/null & sleep 0.5; exit 4").status == 4
        assert not guest.sleepers()
        assert all(other.poll() is None for other in others)
    finally:
        for other in others:
            other.kill()
            other.wait()


@pytest.mark.parametrize("shell", ["sleep 60 & sleep 60", "sleep 60 & sleep 0.5"])
def test_agent_gives_up_what_cannot_be_killed(guest: Guest, shell: str) -> None:
    """What hides from the agent as well as can be stands for a process that hears no signal."""
    start = time.monotonic()
    hidden = f"env -u PIBED_RUN setsid {guest.sleep}"
    with pytest.raises(Stuck):
        guest.run(shell.replace("sleep 60", hidden, 1), 0.8)
    left = guest.sleepers()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert len(left) == 1
    assert 0.8 + GRACE_S <= time.monotonic() - start < 3
    assert guest.process.wait(5) == 0


def test_what_hides_and_holds_nothing_holds_nobody_up(guest: Guest) -> None:
    start = time.monotonic()
    line = f"env -u PIBED_RUN setsid {guest.sleep} >/dev/null 2>&1 & sleep 0.5; exit 5"
    assert guest.run(line).status == 5
    assert guest.run("echo next").output == ("next",)
    for pid in guest.sleepers():
        os.kill(pid, signal.SIGKILL)
    assert time.monotonic() - start < 8


def test_agent_waits_for_output_until_nobody_holds_it(guest: Guest) -> None:
    late = "env -u PIBED_RUN setsid sh -c 'sleep 0.8; echo late; head -c 70000 /dev/zero' & echo x"
    result = guest.run(f"{late}; sleep 0.5; exit 8")
    assert (result.status, result.output[:2], result.truncated) == (8, ("x", "late"), True)


def test_output_after_its_time_of_a_command_that_ended_in_time(guest: Guest) -> None:
    late = "env -u PIBED_RUN setsid sh -c 'sleep 1.4; echo late' & sleep 0.5; exit 9"
    assert guest.run(late, 1) == Result("x", 9, False, False, ("late",))


def test_agent_gives_its_lines_to_nobody(guest: Guest) -> None:
    result = guest.run("for n in 0 1 2 3 4 5; do [ -e /proc/$$/fd/$n ] && echo $n; done; true")
    assert result.output == ("0", "1", "2")
    assert guest.run("cd /proc/self/fd; readlink 0").output == ("/dev/null",)


def test_command_has_a_session_of_its_own(guest: Guest) -> None:
    result = guest.run("cut -d' ' -f1,5,6 /proc/$$/stat; echo $PIBED_RUN; env | grep -c PIBED_RUN")
    (pid, group, session), mark, count = result.output[0].split(), *result.output[1:]
    assert pid == group == session != str(guest.process.pid)
    # Of a guest's first process it is 1.
    assert (mark, count) == (str(guest.process.pid), "1")


def test_agent_says_by_which_signal(guest: Guest) -> None:
    result = guest.run("kill -KILL $$")
    assert result.status == 137
    assert not result.timed_out
    assert result.output == ()


def test_agent_truncates_at_the_limit(guest: Guest) -> None:
    exact = guest.run("head -c 65536 /dev/zero | tr '\\0' x")
    assert (len(exact.text), exact.truncated) == (65536, False)
    more = guest.run("head -c 65537 /dev/zero | tr '\\0' x; exit 5")
    assert (len(more.text), more.truncated, more.status) == (65536, True, 5)
    much = guest.run("yes | head -c 3000000")
    assert (len(much.output), much.truncated, much.status) == (32768, True, 0)


@pytest.mark.parametrize("size", [65535, 65536, 65537])
def test_agent_counts_bytes_whatever_they_are(guest: Guest, size: int) -> None:
    kept, flag = min(size, 65536), " truncated" * (size > 65536)
    end = f"\n@@pibed end x 0{flag}\n"
    assert guest.raw(f"yes '' | head -c {size}") == "| \n" * kept + end
    assert guest.raw(f"head -c {size} /dev/zero") == "| " + "?" * kept + end
    trickle = f"head -c {size - 6} /dev/zero; for i in 1 2 3 4 5 6; do printf x; done"
    assert guest.raw(trickle) == "| " + ("?" * (size - 6) + "x" * 6)[:kept] + end


def test_agent_passes_binary_output(guest: Guest) -> None:
    assert guest.run(r"printf '\000\377\033[0m\n'").output == ("?\ufffd\x1b[0m",)


@pytest.mark.parametrize("output", [r"a", r"a\n", r"a\n\n", r"\n", r"\000", r"a\nb"])
def test_agent_says_whether_there_was_a_last_newline(guest: Guest, output: str) -> None:
    """The marker's own newline ends the last line, or makes an empty one."""
    wanted = output.encode().decode("unicode_escape").replace("\0", "?")
    marked = "".join(f"| {each}" for each in wanted.splitlines(keepends=True))
    assert guest.raw(f"printf '{output}'") == f"{marked}\n@@pibed end x 0\n"


def test_agent_waits_for_a_command_that_closes_its_output(guest: Guest) -> None:
    start = time.monotonic()
    assert guest.run("echo x; exec >&- 2>&-; sleep 0.3; exit 7").status == 7
    assert time.monotonic() - start >= 0.3
    assert guest.run(f"exec >&- 2>&-; {guest.sleep}", 0.2).timed_out
    assert not guest.sleepers()


def test_agent_ends_when_nobody_listens(guest: Guest) -> None:
    guest.agent.send("x 5 sleep 0.2; yes | head -c 60000")
    guest.near.close()
    assert guest.process.wait(5) == 0


def test_agent_leaves_no_watchdog_behind(guest: Guest) -> None:
    # A watchdog that outlives its command kills or flags a later one.
    seconds = float(guest.sleep.removeprefix("sleep "))
    for number in range(40):
        assert guest.run("exit 0", seconds, str(number)).status == 0
    time.sleep(0.1)
    left = guest.sleepers()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
    assert children(guest.process.pid) == []


def test_orphans_of_a_running_command_are_reaped(guest: Guest) -> None:
    command = Command("x", 5, "for i in 1 2 3 4 5 6 7 8; do (true & exit) ; done; exec sleep 0.6")
    guest.agent.send(str(command))
    guest.agent.expect_begin(command, soon())
    time.sleep(0.4)
    assert children(guest.process.pid) == ["S"]
    assert guest.agent.expect_end(command, soon()).status == 0
    assert children(guest.process.pid) == []


def test_agent_sleeps_while_a_command_runs(guest: Guest) -> None:
    def switches() -> list[str]:
        lines = Path(f"/proc/{guest.process.pid}/status").read_text().splitlines()
        return [line for line in lines if "ctxt_switches" in line]

    command = Command("x", 5, "sleep 1")
    guest.agent.send(str(command))
    guest.agent.expect_begin(command, soon())
    time.sleep(0.3)
    before = switches()
    assert len(before) == 2
    time.sleep(0.5)
    assert switches() == before
    guest.agent.expect_end(command, soon())


def test_agent_follows_a_plan(start: Start) -> None:
    guest = start("a 5 echo one\nb 5 exit 2\n")
    a, b = Command("a", 5, "echo one"), Command("b", 5, "exit 2")
    guest.agent.expect_begin(a, soon())
    assert guest.agent.expect_end(a, soon()).output == ("one",)
    guest.agent.expect_begin(b, soon())
    assert guest.agent.expect_end(b, soon()).status == 2
    guest.agent.expect_done(soon())
    assert guest.process.wait(5) == 0


@pytest.mark.parametrize("plan", ["", "\n", "end\n", "end 0 -\na 5 echo one\n", "a 5 echo on"])
def test_plan_without_commands(start: Start, plan: str) -> None:
    """A line that has no end is none: the rest of it is missing."""
    guest = start(plan)
    guest.agent.expect_done(soon())
    assert guest.process.wait(5) == 0


def test_plan_that_is_long(start: Start) -> None:
    guest = start("".join(f"{n} 5 echo {n} {'x' * n * 37} | wc -c\n" for n in range(1, 60)))
    for number in range(1, 60):
        result = guest.result(Command(str(number), 5, ""))
        assert result.output == (str(len(f"{number} ") + number * 37 + 1),)
    guest.agent.expect_done(soon())


def test_plan_that_is_missing(program: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "console", tmp_path / "log"):
        path.touch()
    done = subprocess.run(
        [program, tmp_path / "plan", tmp_path / "console", tmp_path / "log", "1"],
        env={"PIBED_FEED": "plan"},
        capture_output=True,
        check=False,
    )
    assert done.stderr.endswith(b"/plan: No such file or directory\n")
    assert b"@@pibed" not in done.stdout


@pytest.mark.parametrize("arguments", [[], ["a", "b", "c"], ["a", "b", "c", "x"], list("abcde")])
def test_agent_must_be_told_everything(program: Path, arguments: list[str]) -> None:
    done = subprocess.run([program, *arguments], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"usage")


def test_agent_ends_when_told(guest: Guest) -> None:
    guest.agent.send("end 0 -")
    guest.agent.expect_done(soon())
    assert guest.process.wait(5) == 0


def test_agent_ends_when_the_line_closes(guest: Guest) -> None:
    guest.near.shutdown(socket.SHUT_WR)
    guest.agent.expect_done(soon())
    assert guest.process.wait(5) == 0


@pytest.mark.parametrize(
    "line", ["x", "x true", "x nan true", "x -1 true", "x 1e99 true", "x 1s true", "x inf true"]
)
def test_line_that_is_no_command(guest: Guest, line: str) -> None:
    guest.agent.send(line)
    result = guest.result(Command("x", 5, ""))
    assert (result.status, result.output) == (126, ("agent: expected ID SECONDS COMMAND",))
    assert guest.run("echo next").output == ("next",)


def test_spaces_around_words(guest: Guest) -> None:
    guest.agent.send("\n  \n\t")
    guest.agent.send("  x \t 5   echo 'a  b' ")
    assert guest.result(Command("x", 5, "")).output == ("a  b",)
    guest.agent.send("x 5")
    assert guest.result(Command("x", 5, "")) == Result("x", 0, False, False, ())


def test_lines_in_pieces(guest: Guest) -> None:
    for byte in b"x 5 echo one\ny 5 echo":
        guest.near.sendall(bytes([byte]))
    assert guest.result(Command("x", 5, "")).output == ("one",)
    guest.near.sendall(b" two\n")
    assert guest.result(Command("y", 5, "")).output == ("two",)


@pytest.mark.parametrize("size", [6000, 131_000])
def test_long_lines(guest: Guest, size: int) -> None:
    assert guest.run(f": {'y' * size}; exit 8").status == 8
    assert guest.run(f"echo {'y' * 6000} | wc -c").output == ("6001",)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (131_072, "agent: /bin/sh: Argument list too long"),
        (163_830, "agent: /bin/sh: Argument list too long"),
        (163_900, "agent: the line is too long"),
        (1_000_000, "agent: the line is too long"),
    ],
)
def test_line_that_is_too_long(guest: Guest, size: int, words: str) -> None:
    result = guest.run(f": {'y' * (size - 2)}")
    assert (result.status, result.output) == (126, (words,))
    assert guest.run("echo next").output == ("next",)


def test_control_characters_in_a_line(guest: Guest) -> None:
    characters = "".join(map(chr, [*range(1, 9), *range(11, 32), 127, 255]))
    result = guest.run(f"printf %s '{characters}' | od -An -tx1 -v | tr -d ' \\n'")
    assert bytes.fromhex(result.text) == characters.encode()
    guest.near.sendall(b"x 5 echo a\0b\n")
    assert guest.result(Command("x", 5, "")).output == ("ab",)


def test_agent_adds_the_kernels_messages_between_commands(guest: Guest, tmp_path: Path) -> None:
    log = tmp_path / "new"
    log.write_text(record(6, "kmod: loaded") + record(3, "kmod: bad"), encoding="utf-8")
    result = guest.run(f"cat {log} >>{guest.log}; sleep .1; cat {guest.console}")
    assert result.output == ("[    0.000000] booted",)
    # What is an error was on the console when it came.
    assert guest.shown() == "[    1.000000] kmod: loaded\n"


def test_agent_keeps_the_kernels_messages_out_of_the_output(guest: Guest, tmp_path: Path) -> None:
    log = tmp_path / "new"
    log.write_text(record(6, "kmod: loaded"), encoding="utf-8")
    assert guest.run(f"cat {log} >>{guest.log}; echo x").output == ("x",)
    assert guest.run("echo y").output == ("y",)


def test_boot_messages_are_shown_before_the_first_command(start: Start) -> None:
    guest = start("")
    assert guest.console.read_text() == "[    0.000000] booted\n"


def test_levels_of_the_kernels_messages(guest: Guest) -> None:
    for level in [*range(8), *range(8, 16), 30, 191]:
        guest.logs(record(level, f"level {level}"))
    guest.logs("no prefix\n\n;\n6;none\n<6>none\n6,1;none\n6,1,2,-\n")
    guest.run("true")
    shown = [5, 6, 7, 13, 14, 15, 30, 191]
    assert guest.shown() == "".join(f"[    1.000000] level {level}\n" for level in shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("a;b,c", "a;b,c"),
        (r"a\x09b\x5cx41\x5c", r"a" "\t" r"b\x41" "\\"),
        (r"\xc2\xb5\x7f\x01", "µ\x7f\x01"),
        (r"two\x0alines", "two\n[    1.234567] lines"),
        (r"1\x0a\x0a3\x0a", "1\n[    1.234567] \n[    1.234567] 3\n[    1.234567] "),
        # The kernel does not print these.
        ("\\", "\\"),
        (r"\x", r"\x"),
        (r"\x4", "\x04"),
        (r"\xyz", r"\xyz"),
        ("m\n SUBSYSTEM=net\n DEVICE=+a;b\n 6,1,2,-;c", "m"),
        ("m\n", "m"),
    ],
)
def test_text_of_the_kernels_messages(guest: Guest, text: str, shown: str) -> None:
    guest.logs(record(6, text, 1_234_567))
    guest.run("true")
    assert guest.shown() == f"[    1.234567] {shown}\n"


@pytest.mark.parametrize(
    ("microseconds", "stamp"),
    [
        (0, "[    0.000000]"),
        (99_999_999_999, "[99999.999999]"),
        (1_234_567_000_001, "[1234567.000001]"),
    ],
)
def test_stamps_of_the_kernels_messages(guest: Guest, microseconds: int, stamp: str) -> None:
    guest.logs(f"6,0,{microseconds},c,caller=T1;x\n")
    guest.run("true")
    assert guest.shown() == f"{stamp} x\n"


def test_every_message_of_the_kernel_is_shown_once(guest: Guest) -> None:
    messages = [(4 + n % 3, f"message {n} {'x' * (n % 700)}", n * 1_000) for n in range(900)]
    for part in range(0, len(messages), 300):
        guest.logs("".join(record(*each) for each in messages[part : part + 300]))
        guest.run("true")
    guest.run("true")
    wanted = [f"[    0.{time:06}] {text}\n" for level, text, time in messages if level > 4]
    assert guest.shown() == "".join(wanted)


def test_message_that_goes_on_later(guest: Guest) -> None:
    for part in ("6", ",1,1", "000000,-;be", "gun", "\n", "1", "4,2,1100000,-;user\n4,3,0,-;w\n"):
        guest.logs(part)
        guest.run("true")
    assert guest.shown() == "[    1.000000] begun\n[    1.100000] user\n"


def test_line_of_the_log_that_is_too_long(guest: Guest) -> None:
    guest.logs(record(6, "x" * 8192) + record(6, "y" * 100_000) + record(6, "next"))
    guest.run("true")
    assert guest.shown() == f"[    1.000000] {'x' * 8192}\n[    1.000000] next\n"


def test_log_without_end_holds_nobody(guest: Guest) -> None:
    guest.logs(record(6, "again") * 200_000)
    guest.run("true")
    assert guest.run("echo next").output == ("next",)
    assert 1_000_000 < len(guest.shown()) < 3_000_000
