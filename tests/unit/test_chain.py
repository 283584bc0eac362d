"""Who is blamed for a lost guest follows from its console alone, not from when the host hears."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed.base.errors import GuestError
from pibed.commands import arguments
from pibed.grade import flood
from pibed.grade.chain import Chain, NotGraded, Task, _Boot, _left_clean, _Running
from pibed.grade.records import UNLOAD, CaseResult, Status, Why
from pibed.guest.guest import (
    GuestLeft,
    GuestOverdue,
    GuestTimeout,
    KernelHang,
    KernelOops,
    QemuLost,
)
from pibed.guest.line import ProtocolError
from pibed.ktest.cases import TableEntry
from pibed.model.protocol import Result
from pibed.model.suite import load_suite
from tests.unit.helpers import images_of

NAMES = ("one", "two", "three")


def booted(folder: Path, console: list[str]) -> tuple[_Running, _Boot]:
    """A boot whose console had these lines; `CASE` in one is the marker of that case."""
    tasks = tuple(Task(TableEntry("p", name, False, False), 1, 10.0, False) for name in NAMES)
    made = images_of(folder)
    (folder / ".config").touch()
    chain = Chain(
        *(arguments.machine("pi2", None), made, load_suite("paging-lab"), "demand-paging", 1, 1),
        *(tasks, 4, b"secret", "digest", "source", "key"),
    )
    running = _Running(chain, folder, "boots", lambda: None)
    boot = _Boot(running, 1, tasks)
    boot._ready = True
    text = []
    for number, line in enumerate(console):
        name = line.removeprefix("CASE ").removesuffix(";")
        shown = f"pibed: {name}~{chain.nonce(1, name)}" if line.startswith("CASE ") else line
        text.append(f"[    1.{number:06d}] {shown}")
    (folder / "boots" / "boot-1" / "console.log").write_text("\r\n".join(text))
    return running, boot


DEATH = "Unable to handle kernel NULL pointer dereference at virtual address 00000000"


def test_the_last_marker_before_the_kernels_words_says_who_is_blamed(tmp_path: Path) -> None:
    lines = ["CASE load;", "CASE p.one;", "CASE p.two;", DEATH, "CASE p.three;", "more"]
    running, boot = booted(tmp_path, lines)
    # The host has heard of it in a later case.
    running.results["p.two"] = CaseResult("p.two", Status.PASSED)
    running.results["p.three"] = CaseResult("p.three", Status.PASSED)
    left = boot.lost(KernelOops(f"the kernel died: {DEATH}"))
    assert [task.test.name for task in left] == ["three"]
    assert running.results["p.two"].why == Why.CRASH
    assert "p.three" not in running.results


def test_a_marker_without_the_nonce_shifts_no_blame(tmp_path: Path) -> None:
    lines = ["CASE p.one;", "pibed: p.three~0123456789abcdef", DEATH]
    running, boot = booted(tmp_path, lines)
    assert len(boot.lost(KernelOops("the kernel died"))) == 2
    assert running.results["p.one"].status == Status.FAILED


def test_a_death_while_loading_is_that_of_all_cases(tmp_path: Path) -> None:
    running, boot = booted(tmp_path, ["CASE load;", DEATH])
    assert boot.lost(KernelOops("the kernel died")) == []
    assert {result.why for result in running.results.values()} == {Why.CRASH}
    assert running.results.keys() == {"p.one", "p.two", "p.three", UNLOAD}
    assert "while the module was loaded" in running.results["p.one"].message


def test_a_death_behind_the_cases_is_that_of_the_unloading(tmp_path: Path) -> None:
    lines = ["CASE p.one;", "CASE p.two;", "CASE p.three;", f"CASE {UNLOAD};", DEATH]
    running, boot = booted(tmp_path, lines)
    assert boot.lost(KernelOops("the kernel died")) == []
    assert running.results.keys() == {UNLOAD}


def test_locks_are_races(tmp_path: Path) -> None:
    lines = ["CASE p.one;", "WARNING: possible circular locking dependency detected"]
    running, boot = booted(tmp_path, lines)
    boot.lost(KernelOops("the kernel died"))
    assert running.results["p.one"].why == Why.RACE


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (KernelHang("the kernel hangs: INFO: rcu_sched detected stalls"), Why.HANG),
        (GuestOverdue("the guest was silent for 22 s of its own time"), Why.HANG),
        (GuestLeft("the guest rebooted"), Why.CRASH),
        (ProtocolError("unexpected in the output"), Why.FORGED),
    ],
)
def test_what_loses_a_guest(tmp_path: Path, error: GuestError, why: Why) -> None:
    running, boot = booted(tmp_path, ["CASE load;", "CASE p.one;"])
    boot.lost(error)
    assert running.results["p.one"].why == why
    assert "22 s" not in running.results["p.one"].message


@pytest.mark.parametrize("error", [GuestTimeout("silent"), QemuLost("QEMU was killed by signal 9")])
def test_what_the_host_did_is_no_mark(tmp_path: Path, error: GuestError) -> None:
    _, boot = booted(tmp_path, ["CASE load;", "CASE p.one;"])
    with pytest.raises(NotGraded, match="host"):
        boot.lost(error)


def test_a_guest_that_does_not_boot_is_no_mark(tmp_path: Path) -> None:
    _, boot = booted(tmp_path, [DEATH])
    boot._ready = False
    with pytest.raises(NotGraded):
        boot.lost(KernelOops("the kernel died"))


def test_a_flood_is_of_the_first_command_that_printed_too_much(tmp_path: Path) -> None:
    lines = ["CASE load;", "CASE p.one;", "much", "CASE p.two;", "flood", "CASE p.three;", "flood"]
    running, boot = booted(tmp_path, lines)
    console = tmp_path / "boots" / "boot-1" / "console.log"
    text = console.read_text()
    text = text.replace("much", "x" * (flood.MOST_BYTES // 2))
    console.write_text(text.replace("flood", "x" * flood.MOST_BYTES))
    with pytest.raises(flood.Flood) as caught:
        boot._require_calm()
    running.results["p.three"] = CaseResult("p.three", Status.PASSED)
    left = boot.lost(caught.value)
    assert [task.test.name for task in left] == ["three"]
    assert running.results["p.two"].why == Why.FLOOD
    assert "p.three" not in running.results


def test_a_guest_is_ended_while_it_floods(tmp_path: Path) -> None:
    console = tmp_path / "console.log"
    watch = flood.Watch(console, lambda: None)
    watch()
    console.write_bytes(bytes(5 << 20))
    watch.began()
    watch()
    console.write_bytes(bytes(10 << 20))
    with pytest.raises(flood.Flood):
        watch()


@pytest.mark.parametrize(
    ("output", "status", "expected"),
    [
        (("# p.c:1: expected 7", "not ok 1 one"), 1, True),
        (("# afterwards the module is still in use", "not ok 1 one"), 1, False),
        (("# the kernel has become tainted: 0x200", "not ok 1 one"), 1, False),
        (("# not done within 60 s", "not ok 1 one"), 1, False),
        (("not ok 1 one",), 139, False),
        ((), 1, False),
    ],
)
def test_what_a_failed_case_leaves(output: tuple[str, ...], status: int, expected: bool) -> None:
    assert _left_clean(Result("p.one", status, False, False, output)) is expected
