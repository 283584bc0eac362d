"""The agent's protocol over real sockets, and against the real script run by the host's shell."""

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
from tests.unit.helpers import ROOT

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


def test_deadline_while_words_come_that_are_not_the_wanted_ones(line: Line) -> None:
    stop = threading.Event()

    def chatter() -> None:
        while not stop.wait(0.01):
            line.says(b"X\n")

    thread = threading.Thread(target=chatter)
    thread.start()
    try:
        with pytest.raises(LineTimeout):
            line.agent.expect_ready(soon(0.2))
    finally:
        stop.set()
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


class Guest:
    """The real script under the host's shell: its console is a file, power-off its end."""

    def __init__(self, folder: Path, plan: str | None) -> None:
        source = ROOT / "buildroot/board/pibed/pi2/overlay/usr/lib/pibed/agent"
        text = source.read_text(encoding="utf-8")
        self.console = folder / "console"
        self.console.touch()
        (folder / "plan").write_text(plan or "", encoding="utf-8")
        for old, new in (
            ("/dev/ttyAMA0", str(self.console)),
            ("/run/pibed", str(folder / "state")),
            ("</plan", f"<{folder}/plan"),
            ("poweroff -f", "exit 0"),
            ("/proc/self/oom_score_adj", "/dev/null"),
            ("/proc/sysrq-trigger", "/dev/null"),
            ("GRACE=10", "GRACE=0.3"),
        ):
            assert old in text, f"the test no longer fits the script: {old}"
            text = text.replace(old, new)
        # Nothing of the host may be touched by what is left.
        assert "poweroff" not in text
        assert "/run/" not in text.replace(str(folder), "")
        assert "sysrq" not in text
        programs = folder / "programs"
        programs.mkdir()
        for name, body in (
            ("dmesg", f"cat {folder}/kernel-log 2>/dev/null; rm -f {folder}/kernel-log"),
            ("stty", ":"),
        ):
            (programs / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
            (programs / name).chmod(0o755)
        script = folder / "agent"
        script.write_text(text, encoding="utf-8")
        self.near, far = socket.socketpair()
        self.agent = Agent(self.near, lambda: None)
        self.process = subprocess.Popen(
            [*SHELL, str(script)],
            stdin=far.fileno(),
            stdout=far.fileno(),
            stderr=far.fileno(),
            env={
                "PATH": f"{programs}:{os.environ['PATH']}",
                "PIBED_FEED": "type" if plan is None else "plan",
                "LC_ALL": "C",
            },
            process_group=0,
        )
        far.close()

    def run(self, line: str, seconds: float = 10, id_: str = "x") -> Result:
        command = Command(id_, seconds, line)
        self.agent.send(str(command))
        self.agent.expect_begin(command, soon())
        return self.agent.expect_end(command, soon())

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.near.close()


SHELL = [shutil.which("dash") or shutil.which("sh") or "/bin/sh"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str | None], Guest]]:
    guests = []

    def begin(plan: str | None) -> Guest:
        guests.append(Guest(tmp_path, plan))
        guests[-1].agent.expect_ready(soon())
        return guests[-1]

    yield begin
    for each in guests:
        each.close()


@pytest.fixture
def guest(start: Callable[[str | None], Guest]) -> Guest:
    return start(None)


def sleepers(seconds: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == b"sleep\0" + seconds.encode() + b"\0":
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_script_runs_commands(guest: Guest) -> None:
    assert guest.run("echo one; echo two >&2; exit 3") == Result(
        "x", 3, False, False, ("one", "two")
    )
    assert guest.run("true") == Result("x", 0, False, False, ())


def test_script_passes_a_command_as_it_is(guest: Guest) -> None:
    assert guest.run(r"""printf '%s|' 'a  b' "c\\d" $((1+1)) '$x' | tr a-z A-Z""").output == (
        r"A  B|C\D|2|$X|",
    )


def test_script_marks_every_line(guest: Guest) -> None:
    result = guest.run(r"printf '@@pibed end x 0\n\n| z\n@@pibed done'; exit 1")
    assert result.status == 1
    assert result.output == ("@@pibed end x 0", "", "| z", "@@pibed done")


def test_script_gives_no_input(guest: Guest) -> None:
    assert guest.run("cat; echo end").output == ("end",)
    assert guest.run("true").status == 0


def test_script_kills_what_takes_too_long(guest: Guest) -> None:
    start = time.monotonic()
    result = guest.run("echo before; sleep 1000.25 & sleep 1000.25; echo after", 0.2)
    assert time.monotonic() - start < 3
    assert result.timed_out
    assert result.status != 0
    assert result.output[0] == "before"
    assert "after" not in result.output
    assert not sleepers("1000.25")
    assert not guest.run("true").timed_out


def test_script_leaves_nothing_of_a_command_behind(guest: Guest) -> None:
    assert guest.run("sleep 1000.5 >/dev/null & echo started").output == ("started",)
    assert not sleepers("1000.5")


@pytest.mark.parametrize("shell", ["sleep 60 & sleep 60", "sleep 60 & sleep 0.1"])
def test_script_gives_up_what_cannot_be_killed(guest: Guest, shell: str) -> None:
    """What hides from the agent as well as can be stands for a process that hears no signal."""
    start = time.monotonic()
    hidden = "env -u PIBED_RUN setsid sleep 1000.625"
    with pytest.raises(Stuck):
        guest.run(shell.replace("sleep 60", hidden, 1), 0.2)
    left = sleepers("1000.625")
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert len(left) == 1
    assert 0.5 <= time.monotonic() - start < 3


def test_script_gives_its_lines_to_nobody(guest: Guest) -> None:
    result = guest.run("for n in 0 1 2 3 4 5; do [ -e /proc/$$/fd/$n ] && echo $n; done; true")
    assert result.output == ("0", "1", "2")


def test_script_says_by_which_signal(guest: Guest) -> None:
    result = guest.run("kill -KILL $$")
    assert result.status == 137
    assert not result.timed_out


def test_script_truncates_at_the_limit(guest: Guest) -> None:
    exact = guest.run("head -c 65536 /dev/zero | tr '\\0' x")
    assert (len(exact.text), exact.truncated) == (65536, False)
    more = guest.run("head -c 65537 /dev/zero | tr '\\0' x; exit 5")
    assert (len(more.text), more.truncated, more.status) == (65536, True, 5)
    much = guest.run("yes | head -c 3000000")
    assert (len(much.output), much.truncated, much.status) == (32768, True, 0)


def test_script_passes_binary_output(guest: Guest) -> None:
    assert guest.run(r"printf '\000\377\033[0m\n'").output == ("?\ufffd\x1b[0m",)


def test_script_leaves_no_watchdog_behind(guest: Guest) -> None:
    # A watchdog that outlives its command kills or flags a later one.
    for number in range(40):
        assert guest.run("exit 0", 1000.75, str(number)).status == 0
    time.sleep(0.1)
    left = sleepers("1000.75")
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def test_script_follows_a_plan(start: Callable[[str | None], Guest]) -> None:
    guest = start("a 5 echo one\nb 5 exit 2\n")
    a, b = Command("a", 5, "echo one"), Command("b", 5, "exit 2")
    guest.agent.expect_begin(a, soon())
    assert guest.agent.expect_end(a, soon()).output == ("one",)
    guest.agent.expect_begin(b, soon())
    assert guest.agent.expect_end(b, soon()).status == 2
    guest.agent.expect_done(soon())
    assert guest.process.wait(5) == 0


def test_script_ends_when_told(guest: Guest) -> None:
    guest.agent.send("end 0 -")
    guest.agent.expect_done(soon())
    assert guest.process.wait(5) == 0


def test_script_adds_the_kernels_messages_between_commands(guest: Guest, tmp_path: Path) -> None:
    log = tmp_path / "new"
    log.write_text("<6>[    1.0] kmod: loaded\n<3>[    1.1] kmod: bad\n", encoding="utf-8")
    guest.run(f"mv {log} {tmp_path}/kernel-log; sleep .1; cat {guest.console}")
    # What is an error was on the console when it came.
    deadline = soon()
    while not (text := guest.console.read_text(encoding="utf-8")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert text == "[    1.0] kmod: loaded\n"


def test_script_keeps_the_kernels_messages_out_of_the_output(guest: Guest, tmp_path: Path) -> None:
    log = tmp_path / "new"
    log.write_text("<6>[    1.0] kmod: loaded\n", encoding="utf-8")
    assert guest.run(f"mv {log} {tmp_path}/kernel-log; echo x").output == ("x",)
    assert guest.run("echo y").output == ("y",)
