"""The console watched for a dying kernel; the logs in fixtures/console are of real guests."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pibed.guest.console import Console, Death, Kind, diagnose, trace_in
from tests.unit.helpers import FIXTURES

LOGS = FIXTURES / "console"
# Each log, what it tells of, and the first line that does. warn-quiet.log is of a kernel whose
# console does not show warnings, so that the panic which panic_on_warn makes of one comes alone.
DEATHS = {
    "oops.log": Death(
        Kind.OOPS,
        "Unable to handle kernel NULL pointer dereference at virtual address 00000000",
    ),
    "bug.log": Death(Kind.OOPS, "Internal error: Oops - undefined instruction: 0 [#1] SMP ARM"),
    "warn.log": Death(
        Kind.WARNING,
        "WARNING: CPU: 0 PID: 35 at module/warn_at_init.c:13 warn_at_init+0x1c/0x24 [warn_at_init]",
    ),
    "warn-quiet.log": Death(
        Kind.WARNING, "Kernel panic - not syncing: kernel: panic_on_warn set ..."
    ),
    "panic.log": Death(Kind.PANIC, "Kernel panic - not syncing: sysrq triggered crash"),
    "hang.log": Death(Kind.HANG, "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:"),
    "hang-host-clock.log": Death(Kind.HANG, "rcu: INFO: rcu_sched self-detected stall on CPU"),
    # The debug kernel's detectors, provoked by tests/fixtures/modules/debug_errors.
    "kasan.log": Death(
        Kind.OOPS, "BUG: KASAN: slab-out-of-bounds in debug_errors_init+0x74/0x264 [debug_errors]"
    ),
    "ubsan.log": Death(Kind.OOPS, "UBSAN: shift-out-of-bounds in module/debug_errors.c:67:3"),
    "lockdep.log": Death(Kind.WARNING, "WARNING: possible circular locking dependency detected"),
    "atomic-sleep.log": Death(
        Kind.OOPS,
        "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:580",
    ),
    "soft-lockup.log": Death(
        Kind.HANG, "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [insmod:57]"
    ),
    "hung-task.log": Death(Kind.HANG, "INFO: task insmod:57 blocked for more than 5 seconds."),
}


class Line:
    """A console on one end of a line, and what plays QEMU on the other."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.console = Console(self.near)

    def read_all(self, *parts: bytes) -> Console:
        for part in parts:
            self.far.sendall(part)
        self.far.close()
        self.console.join(5)
        return self.console


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.far.close()
    line.near.close()


def test_every_recorded_log_is_tested() -> None:
    assert {path.name for path in LOGS.glob("*.log")} == DEATHS.keys()


def first_death(path: Path) -> Death | None:
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if (death := diagnose(text)) is not None:
            return death
    return None


@pytest.mark.parametrize(
    "name",
    [pytest.param(name) if name == "warn-quiet.log" else name for name in DEATHS],
)
def test_recorded_death(name: str, line: Line) -> None:
    assert first_death(LOGS / name) == DEATHS[name]
    assert line.read_all((LOGS / name).read_bytes()).death == DEATHS[name]


def test_healthy_boot(line: Line) -> None:
    # All that a boot prints before the module is loaded.
    text = (LOGS / "panic.log").read_bytes().partition(b"sysrq: Trigger a crash")[0]
    assert b"Run /init" in text
    assert line.read_all(text).death is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        # Of kernels with other options than the shipped ones; see the sources named in console.py.
        ("[   44.1] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [insmod:35]", "hang"),
        ("[  245.2] INFO: task cat:61 blocked for more than 120 seconds.", "hang"),
        ("[   21.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", "hang"),
        ("[    0.1] kernel BUG at mm/memory.c:2345!", "oops"),
        ("[    0.1] Unable to handle kernel paging request at virtual address 7f", "oops"),
        ("[    0.1] BUG: scheduling while atomic: swapper/0/0x00000002", "oops"),
        ("[    0.1] BUG: sleeping function called from invalid context at x.c:9", "oops"),
        ("[    0.1] WARNING: possible circular locking dependency detected", "warning"),
        ("[    0.1] Kernel panic - not syncing: Attempted to kill init!", "panic"),
        ("[    0.1] Kernel panic - not syncing: Out of memory", "panic"),
        ("[12345.678901] Kernel panic - not syncing: x", "panic"),
    ],
)
def test_kinds(text: str, kind: str) -> None:
    death = diagnose(text)
    assert death is not None
    assert death.kind == kind
    assert death.line == text.partition("] ")[2]


@pytest.mark.parametrize(
    "text",
    [
        "Kernel panic - not syncing: says a program",
        "WARNING: CPU: 0",
        "| [    0.1] BUG: in an output",
        "[x] Kernel panic - not syncing",
        "[    0.100000] kmod_paging: module verification failed",
        "[    0.100000] DEBUG: nothing",
        "[    0.100000] a warning: of no one",
        "[    0.100000] random: crng init done",
        "",
    ],
)
def test_no_death(text: str) -> None:
    assert diagnose(text) is None


def test_panic_behind_half_a_line_of_a_program() -> None:
    # The kernel's words break into what is being written to the same line.
    death = diagnose("[    0.05] paging_vma_cl[    0.077] Kernel panic - not syncing: x")
    assert death is not None
    assert death.kind == Kind.PANIC


def test_user_text_without_time_stamp_is_ignored(line: Line) -> None:
    console = line.read_all(b"Kernel panic - not syncing: user\nWARNING: user\nOops\n")
    assert console.death is None
    assert console.last_lines() == ["Kernel panic - not syncing: user", "WARNING: user", "Oops"]


def test_nothing_on_the_console_acts_on_the_terminal(line: Line) -> None:
    console = line.read_all(b"[    1.0] Kernel panic - not syncing: \x1b[2J\x00\ta\xff\r\n")
    assert console.death == Death(Kind.PANIC, "Kernel panic - not syncing: ?[2J?\ta\ufffd")


def test_death_is_known_before_the_line_closes(line: Line) -> None:
    line.far.sendall(b"[    1.0] fine\r\n[    1.1] Kernel panic - not syncing: now\r\n")
    end = time.monotonic() + 5
    while line.console.death is None and time.monotonic() < end:
        time.sleep(0.01)
    assert line.console.death == Death(Kind.PANIC, "Kernel panic - not syncing: now")


def test_death_in_a_last_line_without_end(line: Line) -> None:
    console = line.read_all(b"[    1.1] Kernel panic - not syncing: cut o")
    assert console.death == Death(Kind.PANIC, "Kernel panic - not syncing: cut o")


def test_death_in_pieces(line: Line) -> None:
    text = b"[    1.1] Kernel panic - not syncing: x\r\n"
    assert line.read_all(*(bytes([byte]) for byte in text)).death is not None


def test_first_death_stays(line: Line) -> None:
    console = line.read_all(
        b"[    1.0] Internal error: Oops: 817 [#1] SMP ARM\n"
        b"[    1.1] Kernel panic - not syncing: Fatal exception\n"
    )
    assert console.death is not None
    assert console.death.kind == Kind.OOPS


def test_last_lines_without_death(line: Line) -> None:
    console = line.read_all(b"".join(b"[    1.0] line %d\r\n" % n for n in range(100)))
    assert console.last_lines()[-1] == "[    1.0] line 99"
    assert 5 <= len(console.last_lines()) <= 50


def test_last_lines_with_death_begin_with_it(line: Line) -> None:
    lines = line.read_all((LOGS / "oops.log").read_bytes()).last_lines()
    assert lines[0].endswith("] " + DEATHS["oops.log"].line)
    assert any("PC is at oops_at_init+" in each for each in lines)
    assert len(lines) <= 50


def test_a_flood_behind_a_death_does_not_push_it_out(line: Line) -> None:
    console = line.read_all(
        b"[    1.1] Kernel panic - not syncing: first\n",
        b"".join(b"[    1.2] more %d\n" % n for n in range(5000)),
    )
    assert console.last_lines()[0] == "[    1.1] Kernel panic - not syncing: first"
    assert len(console.last_lines()) <= 50


def test_memory_is_bounded_with_an_endless_line(line: Line) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    chunk = b"x" * (1 << 20)
    console = line.read_all(*([chunk] * 64), b"\n[    1.1] Kernel panic - not syncing: x\n")
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 16 * 1024
    assert console.death is not None
    assert max(len(each) for each in console.last_lines()) < 10_000


def test_what_is_no_utf8(line: Line) -> None:
    console = line.read_all(b"\xff\xfe[ 1.0]\n\x00\n[    1.1] Kernel panic - not syncing: \xff\n")
    assert console.death == Death(Kind.PANIC, "Kernel panic - not syncing: \ufffd")


def test_closing_our_end_ends_the_thread() -> None:
    line = Line()
    with contextlib.suppress(OSError):
        line.near.shutdown(socket.SHUT_RDWR)
    line.near.close()
    line.console.join(5)
    assert not any(
        thread.name == "console" and thread.is_alive() for thread in threading.enumerate()
    )
    line.far.close()


def test_page_written_to_after_it_was_freed() -> None:
    line = "[   12.5] pagealloc: memory corruption"
    assert diagnose(line) == Death(Kind.OOPS, "pagealloc: memory corruption")
    assert diagnose("[   12.5] pagealloc: single bit error") is not None


def test_broken_slab_and_lock_that_was_not_initialised() -> None:
    for line in (
        "BUG kmalloc-64 (Tainted: G           O      ): Right Redzone overwritten",
        "INFO: trying to register non-static key.",
    ):
        assert diagnose(f"[   12.5] {line}") == Death(Kind.OOPS, line)


def test_trace_begins_with_the_line_that_tells_of_the_end() -> None:
    lines = (LOGS / "kasan.log").read_text(encoding="utf-8").splitlines()
    trace = trace_in(lines)
    assert diagnose(trace[0]) == DEATHS["kasan.log"]
    assert len(trace) < len(lines)
    assert any("debug_errors_init" in line for line in trace[1:])
    assert trace_in(lines[: len(lines) - len(trace)]) == []
