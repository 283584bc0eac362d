"""`./inv boot` on the real guest."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pexpect
import pytest

from pibed.base import places

from .conftest import Run
from .helpers import start


@pytest.mark.parametrize("clock", ["virtual", pytest.param("host", marks=pytest.mark.alone)])
def test_command_output_and_status(invoke: Run, clock: str) -> None:
    done = invoke("boot", "--clock", clock, "--cmd", "echo out; echo err >&2; exit 7")
    assert done.returncode == 7
    assert done.stdout == "out\nerr\n"


def test_module_is_loaded_in_the_mode_asked_for(invoke: Run) -> None:
    for mode, letter in (("0", "N"), ("1", "Y")):
        done = invoke(
            "boot",
            "--demand-paging",
            mode,
            "--cmd",
            "dense_mm 64 && cat /sys/module/kmod_paging/parameters/demand_paging",
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Multiplication done\n")
        assert done.stdout.endswith(f"\n{letter}\n")


def test_output_cannot_pass_for_a_marker(invoke: Run) -> None:
    forged = "@@pibed end cmd 0\\n\\n@@pibed done\\n"
    done = invoke("boot", "--cmd", f"printf '{forged}'; exit 3")
    assert done.returncode == 3
    assert done.stdout == "@@pibed end cmd 0\n\n@@pibed done\n"


def test_binary_output(invoke: Run) -> None:
    done = invoke("boot", "--cmd", r"printf 'a\033[31mb\001\377\n'; exit 4")
    assert done.returncode == 4
    assert done.stdout.startswith("a\x1b[31mb\x01")


def test_endless_output_is_cut(invoke: Run) -> None:
    done = invoke("boot", "--cmd", "head -c 20000000 /dev/zero | tr '\\0' x; exit 5")
    assert done.returncode == 5
    assert len(done.stdout) == 65536 + 1
    assert "longer than 64 KiB" in done.stderr


@pytest.mark.alone
def test_command_out_of_time(invoke: Run) -> None:
    done = invoke("boot", "--timeout", "3", "--cmd", "echo begun; while :; do :; done")
    assert done.returncode == 124
    assert "killed after 3 s" in done.stderr
    assert done.stdout.startswith("begun\n")


def test_background_processes_do_not_hold_the_guest(invoke: Run) -> None:
    done = invoke("boot", "--cmd", "sleep 100000 & exit 6")
    assert done.returncode == 6


def test_out_of_memory_kills_the_command_alone(invoke: Run) -> None:
    done = invoke("boot", "--cmd", "tail /dev/zero")
    assert done.returncode == 137, done.stderr


def test_panic(invoke: Run) -> None:
    done = invoke("boot", "--cmd", "echo c >/proc/sysrq-trigger")
    assert done.returncode == 125
    assert "Kernel panic - not syncing: sysrq triggered crash" in done.stderr
    assert "console.log" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [("reboot -f", "the guest rebooted"), ("poweroff -f", "powered off before")],
)
def test_guest_that_ends_by_itself(invoke: Run, command: str, words: str) -> None:
    done = invoke("boot", "--cmd", f"{command}; sleep 10")
    assert done.returncode == 125
    assert words in done.stderr


@pytest.mark.alone
@pytest.mark.parametrize("after_s", [0.05, 0.1, 0.2, 0.4, 0.8])
def test_interrupt_while_it_starts_is_no_traceback(after_s: float) -> None:
    process = start("boot", "--cmd", "sleep 60")
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode in (-signal.SIGINT, 130)
    assert "Traceback" not in errors


def test_no_terminal_no_shell(invoke: Run) -> None:
    done = invoke("boot")
    assert done.returncode == 2
    assert "--cmd" in done.stderr


@pytest.mark.alone
@pytest.mark.parametrize("leave", ["exit", "poweroff -f", "\x1d"])
def test_shell_on_a_terminal(images: object, leave: str) -> None:
    child = pexpect.spawn(
        str(places.checkout() / "inv"), ["boot", "--demand-paging", "0"],
        timeout=60, dimensions=(31, 97), encoding="utf-8",
    )  # fmt: skip
    try:
        child.expect("Ctrl-] kills it")
        child.expect("# ")
        child.sendline("stty size; lsmod | cut -d' ' -f1; echo a$((40 + 2))z")
        child.expect("31 97")
        child.expect("kmod_paging")
        child.expect("a42z")
        if leave == "\x1d":
            child.send(leave)
        else:
            child.sendline(leave)
        child.expect("The guest has ended")
        child.expect(pexpect.EOF)
    except pexpect.ExceptionPexpect:
        print(child.before, file=sys.stderr)
        raise
    finally:
        child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize("clock", ["virtual", pytest.param("host", marks=pytest.mark.alone)])
def test_long_command_arrives_whole(invoke: Run, clock: str) -> None:
    done = invoke("boot", "--clock", clock, "--cmd", f"echo {'y' * 6000} | wc -c; exit 8")
    assert done.returncode == 8
    assert done.stdout.strip() == "6001"


@pytest.mark.alone
def test_control_characters_in_a_typed_command(invoke: Run) -> None:
    done = invoke("boot", "--clock", "host", "--cmd", "echo 'a\x15b\x03c\x04d'")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "a\x15b\x03c\x04d\n"


def test_processes_of_other_sessions_do_not_hold_the_guest(invoke: Run) -> None:
    done = invoke("boot", "--cmd", "setsid sh -c 'while :; do :; done' & sleep 0.1; exit 6")
    assert done.returncode == 6, done.stderr


def test_full_file_system_does_not_silence_the_agent(invoke: Run) -> None:
    done = invoke("boot", "--cmd", "cat /dev/zero >/tmp/x; echo still here; exit 3")
    assert done.returncode == 3, done.stderr
    assert done.stdout.endswith("still here\n")


def test_nul_is_shown_and_breaks_no_line(invoke: Run) -> None:
    done = invoke("boot", "--cmd", r"printf 'a\0b\n'")
    assert done.stdout == "a?b\n"


def test_no_output_prints_nothing(invoke: Run) -> None:
    done = invoke("boot", "--cmd", "true")
    assert (done.returncode, done.stdout) == (0, "")


def test_missing_and_old_qemu(invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "qemu-system-arm"
    fake.write_text("#!/bin/sh\necho 'QEMU emulator version 6.2.0 (Debian)'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for arguments in (("boot", "--cmd", "true"), ("sweep", "--sizes", "64")):
        done = invoke(*arguments)
        assert done.returncode == (125 if arguments[0] == "boot" else 3)
        assert "version 6.2.0; 7.2 or newer is needed" in done.stderr
        assert "to fix:" in done.stderr
