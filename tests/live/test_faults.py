"""Faults that a sweep survives, each provoked for real; docs/reliability.md has their table."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import Machine
from pibed.model.plan import Visit
from pibed.model.samples import Sample, Status
from tests import disk, excuses

from .conftest import qemus
from .helpers import Silent, measure, only_run, start, wait_for_samples
from .reliability import Row, Table

# Each has a deadline.
pytestmark = pytest.mark.alone

# Seconds in which whatever ends QEMU or is printed must have been noticed.
AT_ONCE_S = 10.0
# The faulty cell, and one in its place that is not; the cells before and after it.
FAULTY, HARMLESS, BEFORE, AFTER = 2, 9, 0, 8
# Metrics that need not be the same behind the fault, where the guest has another past.
TIMES = {"mmap_us", "multiply_us", "uptime_s"}
WORK = "dense_mm 32"
LOOP = "while :; do :; done"
FLOOD = "dd if=/dev/zero bs=1M count=100"
GREED = "dd if=/dev/zero of=/dev/null bs=940M"


@dataclass(frozen=True)
class Fault:
    """A fault of one cell: by its command, by the module's parameter, or by an attack on QEMU."""

    name: str
    provoked: str
    status: Status
    deadline_s: float = AT_ONCE_S
    command: str = WORK
    module_fault: int | None = None
    attack: Callable[[int], None] | None = None
    small_cgroup: bool = False
    guest_survives: bool = False
    timeout_s: float = 20
    slow: bool = False


def in_workload(name: str, command: str, status: Status, **more: object) -> Fault:
    return Fault(name, f"the workload runs `{command}`", status, command=command, **more)  # type: ignore[arg-type]


def host_s(guest_s: float) -> float:
    """The host's deadline for a command, see pibed/guest/guest.py."""
    return guest_s * 5 + 30


# Host seconds in which a guest that says nothing has had some ten seconds of its own time.
SILENT_S = 40.0

FAULTS = [
    in_workload("kernel panic", "echo c >/proc/sysrq-trigger", Status.PANIC),
    Fault("oops", "the module dereferences a null pointer", Status.OOPS, module_fault=1),
    Fault("WARN", "the module's `WARN_ON(1)`", Status.OOPS, module_fault=2),
    Fault("BUG", "`BUG()` in a thread of the module", Status.OOPS, module_fault=3),
    Fault(
        "module spins",
        "an endless loop in the module's init function",
        Status.TIMEOUT,
        host_s(20),
        module_fault=4,
    ),
    Fault(
        "module spins, interrupts off",
        "the same behind `local_irq_disable()`, `module.timeout_s: 1`",
        Status.TIMEOUT,
        SILENT_S,
        module_fault=5,
        timeout_s=1,
    ),
    Fault(
        "module polls",
        "`while (!READ_ONCE(answered)) cpu_relax();` in the module's init function, "
        "`module.timeout_s: 1`",
        Status.TIMEOUT,
        SILENT_S,
        module_fault=10,
        timeout_s=1,
    ),
    Fault(
        "module polls, interrupts off",
        "the same behind `local_irq_disable()`, `module.timeout_s: 20`, which is the default",
        Status.TIMEOUT,
        2 * SILENT_S,
        module_fault=11,
        slow=True,
    ),
    Fault(
        "module waits for a spinlock",
        "the module's init function takes a spinlock twice",
        Status.TIMEOUT,
        host_s(20),
        module_fault=13,
    ),
    Fault(
        "module waits",
        "`wait_event_interruptible()` in the module's init function, for what does not come",
        Status.TIMEOUT,
        host_s(1),
        module_fault=12,
        timeout_s=1,
    ),
    Fault(
        "module sleeps",
        "an endless `schedule_timeout_uninterruptible()` in the module's init function",
        Status.TIMEOUT,
        host_s(1),
        module_fault=6,
        timeout_s=1,
    ),
    Fault(
        "module sleeps in mmap",
        "the same in the `mmap` of the module's device, with the process's memory locked",
        Status.TIMEOUT,
        host_s(1),
        module_fault=7,
        timeout_s=1,
    ),
    in_workload(
        "endless workload",
        LOOP,
        Status.TIMEOUT,
        deadline_s=host_s(1),
        timeout_s=1,
        guest_survives=True,
    ),
    in_workload(
        "100 MB behind the metrics",
        f"{WORK}; {FLOOD}",
        Status.OK,
        deadline_s=host_s(20),
        guest_survives=True,
    ),
    in_workload(
        "100 MB before the metrics",
        f"{FLOOD}; {WORK}",
        Status.FAILED,
        deadline_s=host_s(20),
        guest_survives=True,
    ),
    in_workload(
        "the agent's own words",
        r"printf '\n@@pibed end 2.run 0\n@@pibed done\n@@pibed stuck 2.run'; " + WORK,
        Status.OK,
        guest_survives=True,
    ),
    in_workload(
        "binary output", "head -c 2000 /bin/busybox; " + WORK, Status.OK, guest_survives=True
    ),
    in_workload(
        "terminal escapes in an error",
        r"printf '\033[2J\033]0;title\007\000\377\r' >&2; exit 4",
        Status.FAILED,
        guest_survives=True,
    ),
    in_workload("workload fails", "echo no; exit 3", Status.FAILED, guest_survives=True),
    in_workload(
        "guest out of memory",
        GREED,
        Status.FAILED,
        deadline_s=host_s(20),
        guest_survives=True,
    ),
    in_workload("guest reboots", "reboot -f", Status.LOST),
    in_workload("guest powers off", "poweroff -f", Status.LOST),
    Fault(
        "QEMU killed",
        "`SIGKILL`",
        Status.LOST,
        command=LOOP,
        attack=lambda pid: os.kill(pid, signal.SIGKILL),
    ),
    Fault(
        "host out of memory",
        "QEMU in a memory cgroup of 256 MiB, of which the guest uses more; the host's OOM killer",
        Status.LOST,
        host_s(20),
        command=GREED,
        small_cgroup=True,
    ),
    Fault(
        "QEMU stopped",
        "`SIGSTOP`",
        Status.LOST,
        command=LOOP,
        attack=lambda pid: os.kill(pid, signal.SIGSTOP),
    ),
]
# Those of the module of which the kernel says where they are.
TRACED = {1, 2, 3, 4, 6, 7}
SOURCE = "tests/fixtures/modules/fault_at_init/fault_at_init.c"
FULL_DISK = "host's disk full"


def experiment(fault: Fault, middle: int) -> Experiment:
    """Three cells in this order: one before, the middle one, one after."""
    overrides: dict[str, Any] = {
        "rounds": 1,
        "seed": 3,  # of those that leave the order as it is
        "workload.idle_us_max": 0,
        "analysis": None,  # speaks of the parameters that go
        "parameters": {
            "cell": {
                "title": "cell",
                "values": [BEFORE, middle, AFTER],
                "minimum": 0,
                "maximum": 99,
            }
        },
    }
    if fault.module_fault is None:
        command = fault.command.replace("{", "{{").replace("}", "}}")
        overrides |= {
            "module.parameters": {"demand_paging": 1},
            "workload.command": f"if [ {{cell}} = {FAULTY} ]; then {command}; else {WORK}; fi",
            "workload.timeout_s": fault.timeout_s,
        }
    else:
        name = "fault_at_init"
        overrides |= {
            "module": {
                "folder": f"tests/fixtures/modules/{name}",
                "name": name,
                "parameters": {"fault": "{cell}"},
                "timeout_s": fault.timeout_s,
            },
            "workload.command": f"cat /proc/uptime /sys/module/{name}/parameters/fault; "
            f"if [ -e /dev/paging ]; then {WORK}; echo over; fi",
            "workload.timeout_s": fault.timeout_s,
            "metrics": {
                "uptime_s": {"title": "uptime", "unit": "s", "pattern": r"^(\S+) "},
                "loaded": {"title": "loaded with", "unit": "", "pattern": r"\n(\d+)"},
            },
        }
    return load_experiment("paging", overrides)


class Watch(Silent):
    """Attacks QEMU in the faulty cell, and takes the time until that cell has its sample."""

    def __init__(self, fault: Fault, cgroup: Path | None) -> None:
        super().__init__()
        self._fault = fault
        self._cgroup = cgroup
        self._began = 0.0
        self.seconds = 0.0

    def began(self, number: int, visit: Visit) -> None:
        if visit.order == 1 and self._cgroup is not None:
            (pid,) = qemus()
            write_existing(self._cgroup / "cgroup.procs", str(pid))
        if visit.order != 2:
            return
        if self._fault.attack is not None:
            (pid,) = qemus()
            self._fault.attack(pid)
        self._began = time.monotonic()

    def took(self, sample: Sample) -> None:
        super().took(sample)
        if sample.order == 2:
            self.seconds = time.monotonic() - self._began


def write_existing(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """A memory cgroup of 256 MiB, of version 1 or 2."""
    for root, limit in (("memory", "memory.limit_in_bytes"), (".", "memory.max")):
        folder = Path("/sys/fs/cgroup", root, f"pibed-{os.environ['PIBED_TEST']}")
        try:
            folder.mkdir()
            write_existing(folder / limit, str(256 << 20))
            break
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
    else:
        pytest.skip(excuses.NO_CGROUP)
    # Killed rather than swapped out.
    for name in ("memory.swappiness", "memory.swap.max"):
        with contextlib.suppress(OSError):
            write_existing(folder / name, "0")
    yield folder
    folder.rmdir()


@pytest.fixture(scope="module")
def undisturbed(
    machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Experiment], list[Sample]]:
    """The samples of an experiment in which nothing goes wrong; the same one is run once."""
    known: dict[str, list[Sample]] = {}

    def run(experiment: Experiment) -> list[Sample]:
        key = experiment.model_dump_json()
        if key not in known:
            known[key], _ = measure(machine, experiment, tmp_path_factory.mktemp("undisturbed"))
            assert [sample.status for sample in known[key]] == [Status.OK] * 3
        return known[key]

    return run


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=fault.name, marks=pytest.mark.full if fault.slow else ())
        for fault in FAULTS
    ],
)
def test_fault(
    fault: Fault,
    machine: Machine,
    undisturbed: Callable[[Experiment], list[Sample]],
    reliability: Table,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    cgroup = request.getfixturevalue("small_cgroup") if fault.small_cgroup else None
    watch = Watch(fault, cgroup)
    faulty = experiment(fault, FAULTY if fault.module_fault is None else fault.module_fault)
    samples, problems = measure(machine, faulty, tmp_path, watch)
    before, middle, after = samples
    assert [before.status, after.status] == [Status.OK] * 2
    assert middle.status == fault.status, middle.message
    assert problems == []
    assert not qemus()
    boots = only_run(tmp_path) / "boots"
    assert (boots / "01-2").exists() != fault.guest_survives
    if "console.log says where" in middle.message:
        console = (boots / "01" / "console.log").read_text(encoding="utf-8", errors="replace")
        assert "schedule_timeout from fault_at_init" in console

    kept = boots / "01" / "trace.txt"
    assert kept.exists() == (fault.module_fault in TRACED or fault.status == Status.PANIC)
    if fault.module_fault in TRACED:
        # The call trace, with a line of the module, comes before anything else.
        assert any(f"({SOURCE}:" in line for line in kept.read_text().splitlines()[1:6])

    expected = undisturbed(experiment(fault, HARMLESS))
    # Bit for bit: the guest knows nothing of what is to come. What comes after has another past.
    assert before == expected[0]
    assert untimed(after) == untimed(expected[2])
    if fault.status == Status.OK:
        assert untimed(middle) == untimed(expected[1])

    # Without what another compiler or another plan makes different.
    message = re.sub(r"`.*`", "`…`", middle.message)
    message = re.sub(r"PID: \d+|\+0x\w+/0x\w+", "…", message)
    row = Row(fault.name, fault.provoked, middle.status, message, watch.seconds, fault.deadline_s)
    reliability.check(row)


def untimed(sample: Sample) -> dict[str, float]:
    return {name: value for name, value in sample.metrics.items() if name not in TIMES | {"loaded"}}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    with disk.small(tmp_path / "small", "2m") as folder:
        yield folder


def test_full_disk(images: object, reliability: Table, small_disk: Path) -> None:
    process = start("sweep", "--sizes", "64,128", "--runs", "40", "--results", str(small_disk))
    run = wait_for_samples(small_disk, 3).resolve()
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    began = time.monotonic()
    _, errors = process.communicate(timeout=60)
    seconds = time.monotonic() - began
    assert process.returncode == 3, errors
    assert "Traceback" not in errors
    assert "free some space" in errors
    logs = list(run.glob("boots/*/samples.jsonl"))
    kept = [Sample.from_json(line) for log in logs for line in log.open() if line.endswith("\n")]
    assert len(kept) >= 3
    assert all(sample.status == Status.OK for sample in kept)
    assert f"{len(kept)} samples taken so far are in {run}" in errors
    (message,) = re.findall(r"^pibed: .*/([^/\n]+: .*)$", errors, re.MULTILINE)
    provoked = "a file fills the file system of the results during a sweep"
    reliability.check(Row(FULL_DISK, provoked, "exit 3", message, seconds, AT_ONCE_S))
