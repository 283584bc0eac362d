"""The agent as the guest's first process; what is the same elsewhere is in the unit tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pibed.build.images import Images
from pibed.guest.guest import Guest, Launch
from pibed.guest.qemu import Logs
from pibed.model.machine import Clock, Machine
from pibed.model.protocol import Command, Result

Boot = Callable[..., list[Result]]
# Four CPUs with the host's.
CLOCKS = ["virtual", pytest.param("host", marks=pytest.mark.alone)]


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs.below(tmp_path)


@pytest.fixture
def boot(machine: Machine, images: Images, logs: Logs) -> Iterator[Boot]:
    """Runs lines in a guest and powers it off."""
    with ExitStack() as stack:

        def run(*lines: str, seconds: float = 60, clock: Clock = "virtual") -> list[Result]:
            plan = [Command(str(number), seconds, line) for number, line in enumerate(lines)]
            guest = stack.enter_context(Guest(Launch(machine, images, clock, 1), logs, plan))
            results = [guest.run(command) for command in plan]
            guest.finish()
            return results

        yield run


PROCESSES = "ps -o pid,ppid,args"
AGENT = "/usr/lib/pibed/agent /plan /dev/ttyAMA0 /dev/kmsg 10"


def programs(result: Result) -> list[str]:
    """What PROCESSES has listed, but for kernel threads and itself."""
    rows = [line.split(None, 2) for line in result.output[1:]]
    return [args for pid, parent, args in rows if "2" not in (pid, parent) and "ps -o" not in args]


@pytest.mark.parametrize("clock", CLOCKS)
def test_first_process_and_its_commands(boot: Boot, clock: Clock) -> None:
    scores, memory, mark, signals, session, files, processes = boot(
        "cat /proc/1/oom_score_adj /proc/self/oom_score_adj",
        "grep -E 'Vm(Lck|RSS)' /proc/1/status /proc/self/status",
        "echo $PIBED_RUN",
        "cat /proc/self/status | grep -E '^Sig(Blk|Ign)'",
        "cut -d' ' -f1,5,6 /proc/$$/stat",
        "for n in 0 1 2 3 4 5 6 7 8 9 10; do [ -e /proc/$$/fd/$n ] && echo $n; done; true",
        # An orphan, which on another CPU takes its time to end.
        f"(true & exit); sleep 1; {PROCESSES}",
        clock=clock,
    )
    assert scores.output == ("-1000", "0")
    locked, resident = (int(re.findall(r"\d+ kB", line)[0][:-3]) for line in memory.output[:2])
    assert 0 < locked < 2000
    assert 0 < resident < 2000
    assert "VmLck:\t       0 kB" in memory.output[2]
    assert mark.output == ("1",)
    assert [line.strip("0") for line in signals.output] == ["SigBlk:\t", "SigIgn:\t"]
    pid, group, shell = session.output[0].split()
    assert pid == group == shell
    assert files.output == ("0", "1", "2")
    assert programs(processes) == [AGENT]


def test_every_message_of_the_kernel_is_on_the_console_once(boot: Boot, logs: Logs) -> None:
    levels = 'for l in 0 1 2 3 4 5 6 7; do echo "<$l>level $l" >/dev/kmsg; done'
    many = 'n=0; while [ $n -lt 500 ]; do echo "<6>message $n" >/dev/kmsg; n=$((n + 1)); done'
    more = "printf '<5>two\\nlines\\n' >/dev/kmsg; insmod /lib/modules/kmod_paging.ko"
    *_, shown, whole = boot(levels, many, more, "true", "dmesg", "echo '<6>new' >/dev/kmsg; dmesg")
    console = logs.console.read_text().splitlines()
    found = [re.sub(r"^\[ *\d+\.\d{6}\] ", "", line) for line in console]
    assert len([line for line in console if not line.startswith("[")]) == 0
    wanted = [f"level {n}" for n in range(8)] + [f"message {n}" for n in range(500)]
    wanted += ["two", "lines", "Loaded kmod_paging module", "new"]
    assert [found.count(text) for text in wanted] == [1] * len(wanted)
    # In their order, but for those that the kernel shows at once.
    quiet = [text for text in found if text in wanted and text not in wanted[:5]]
    assert quiet == wanted[5:]
    stamps = [line for line in console if "lines" in line or line.endswith("] two")]
    assert len({line.split("]")[0] for line in stamps}) == 1
    # What is new since the last command.
    assert shown.output == ()
    assert [line.split("] ")[1] for line in whole.output] == ["new"]


def test_a_command_that_reads_the_log_takes_nothing_from_it(boot: Boot, logs: Logs) -> None:
    for log in ("/proc/kmsg", "/dev/kmsg"):
        boot(f"cat {log} >/dev/null & sleep 0.05; echo '<6>hello' >/dev/kmsg; sleep 0.1")
        assert logs.console.read_text().count("] hello\n") == 1


def test_messages_look_as_the_kernel_prints_them(boot: Boot, logs: Logs) -> None:
    texts = [
        r"a\\b",
        r"\tx",
        "µ",
        r"\001\033[0m\177",
        "",
        r"two\n",
        r"1\n\n3",
        "a;b,c",
        " x",
        r"\\x41",
    ]
    words = "; ".join(f"printf '<6>{text}\\n' >/dev/kmsg" for text in texts)
    *_, shown = boot("true", f"{words}; dmesg")
    console = logs.console.read_bytes().decode(errors="replace")
    assert len(shown.output) == len(texts) + 3
    assert "\n".join(shown.output) + "\n" in console


def test_more_messages_than_the_log_holds(boot: Boot, logs: Logs) -> None:
    line = f'echo "<6>$n {"x" * 900}" >/dev/kmsg'
    boot(f"n=0; while [ $n -lt 400 ]; do {line}; n=$((n + 1)); done", "echo '<6>next' >/dev/kmsg")
    found = [int(n) for n in re.findall(r"\] (\d+) x{900}\n", logs.console.read_text())]
    assert 20 < len(found) < 400
    assert found == list(range(400 - len(found), 400))
    assert logs.console.read_text().count("] next\n") == 1


def test_fork_bomb_ends_at_its_time(boot: Boot) -> None:
    bomb, after = boot("b() { b & b & wait; }; b", PROCESSES, seconds=0.4)
    assert (bomb.status, bomb.timed_out) == (137, True)
    assert programs(after) == [AGENT]


def test_what_is_left_in_other_sessions_is_gone_by_the_next_command(boot: Boot) -> None:
    stray = "setsid sh -c 'while :; do :; done' >/dev/null 2>&1 &"
    daemon = "setsid sh -c 'setsid sh -c \"sleep 1000\" & sleep 1000' &"
    first, second, after = boot(f"{stray} exit 3", f"{daemon} sleep 0.1; exit 4", PROCESSES)
    assert (first.status, second.status) == (3, 4)
    assert programs(after) == [AGENT]


def test_lines_as_long_as_a_shell_takes(boot: Boot) -> None:
    taken, refused = boot(f"# {'y' * 131_000}", f"# {'y' * 131_072}")
    assert (taken.status, taken.output) == (0, ())
    assert refused.status == 126
    assert refused.output == ("agent: /bin/sh: Argument list too long",)


def test_agent_takes_little_of_the_guests_time(boot: Boot) -> None:
    before, *_, after = boot("cat /proc/uptime", *["true"] * 20, "cat /proc/uptime")
    seconds = [float(result.output[0].split()[0]) for result in (before, after)]
    assert seconds[1] - seconds[0] < 21 * 0.015
