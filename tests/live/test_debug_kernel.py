"""The debug kernel's detectors are there, and pibed hears each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed.base import places
from pibed.base.errors import GuestError
from pibed.build import payload
from pibed.build.images import Images
from pibed.build.payload import Module, Payload
from pibed.commands import arguments, build
from pibed.commands.test import DEBUG_SERIES
from pibed.guest import trace
from pibed.guest.console import trace_in
from pibed.guest.guest import Guest, KernelHang, KernelOops, KernelWarning, Launch
from pibed.guest.qemu import Logs
from pibed.model.machine import Machine
from pibed.model.protocol import Command
from pibed.model.suite import load_suite

# The debug kernel takes four minutes to build.
pytestmark = [pytest.mark.full, pytest.mark.alone]

NAME = "debug_errors"


@pytest.fixture(scope="module")
def debug() -> tuple[Machine, Images]:
    machine = arguments.machine("pi2", DEBUG_SERIES).with_debug_kernel()
    programs = payload.of_suite(load_suite("paging"))
    folder = places.checkout() / "tests" / "fixtures" / "modules" / NAME
    with_errors = Payload(
        (Module(NAME, folder),), programs.programs[:1], programs.cflags, "usr/bin", "", ""
    )
    return machine, build.make_payload_images(machine, with_errors)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        ("out-of-bounds", KernelOops, "BUG: KASAN: slab-out-of-bounds in debug_errors_init"),
        ("shift", KernelOops, "UBSAN: shift-out-of-bounds"),
        ("order", KernelWarning, "WARNING: possible circular locking dependency detected"),
        ("atomic", KernelOops, "BUG: sleeping function called from invalid context"),
        ("lockup", KernelHang, "BUG: soft lockup"),
    ],
)
def test_error_is_heard_and_traced_to_its_line(
    debug: tuple[Machine, Images], tmp_path: Path, error: str, kind: type[GuestError], words: str
) -> None:
    decoded = commit(debug, tmp_path, error, kind, words)
    assert any("(tests/fixtures/modules/debug_errors/debug_errors.c:" in line for line in decoded)
    assert str(debug[1].kernel_source) not in "\n".join(decoded)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        ("hung", KernelHang, "INFO: task insmod:"),
        ("initialisation", KernelOops, "INFO: trying to register non-static key"),
    ],
)
def test_error_after_which_the_kernel_goes_on_is_heard(
    debug: tuple[Machine, Images], tmp_path: Path, error: str, kind: type[GuestError], words: str
) -> None:
    """How much of the trace is on the console by the time the guest is stopped is not certain."""
    commit(debug, tmp_path, error, kind, words)


def commit(
    debug: tuple[Machine, Images], folder: Path, error: str, kind: type[GuestError], words: str
) -> list[str]:
    """Makes the module commit an error, which must be told so; the decoded trace."""
    machine, images = debug
    logs = Logs.below(folder)
    timeouts = "echo 5 >/proc/sys/kernel/hung_task_timeout_secs"
    load = f"{timeouts}; insmod /lib/modules/{NAME}.ko error={error}"
    with (
        pytest.raises(kind) as caught,
        Guest(Launch(machine, images, "host", 1), logs, []) as guest,
    ):
        guest.run(Command("load", 60, load))
    assert words in caught.value.message
    console = logs.console.read_text(encoding="utf-8", errors="replace")
    decoded = trace.decode(trace_in(console.splitlines()), images)
    assert words in decoded[0] or words in decoded[1]
    return decoded
