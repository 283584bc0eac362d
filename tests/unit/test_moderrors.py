"""Why a module could not be loaded or unloaded, from what BusyBox and the kernel say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pibed.build.images import Images
from pibed.guest import moderrors
from pibed.model.protocol import Result
from tests.unit.helpers import images_of

CONSOLE = """\
[    0.500000] own: loading out-of-tree module taints kernel.
[    0.510000] other: Unknown symbol g (err -2)
[    0.520000][   T37] own: Unknown symbol f (err -2)
own: no line of the kernel's
"""


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """A module without an exit function, and one with it."""
    own, other = tmp_path / "own.ko", tmp_path / "other.ko"
    own.write_bytes(b"\0init_module\0")
    other.write_bytes(b"\0init_module\0cleanup_module\0")
    return replace(images_of(tmp_path / "image"), modules=(other, own))


def explained(images: Images, status: int, *lines: str, console: str = "") -> str | None:
    log = images.kernel.with_name("console.log")
    log.write_text(console, encoding="utf-8")
    result = Result("load", status, timed_out=False, truncated=False, output=lines)
    return moderrors.explain(result, images, log)


def test_error_of_the_kernel_by_its_name(images: Images) -> None:
    # BusyBox has words of its own for some, which mean something else here.
    line = "insmod: can't insert '/lib/modules/own.ko': no such module"
    assert explained(images, 1, "before", line) == (
        "the module own could not be loaded: EPERM (Operation not permitted), which its init "
        "function returned"
    )


def test_line_of_the_kernel_about_that_module(images: Images) -> None:
    line = "insmod: can't insert '/lib/modules/own.ko': unknown symbol in module"
    assert explained(images, 2, line, console=CONSOLE) == (
        "the module own could not be loaded: ENOENT (No such file or directory); the kernel's log: "
        "own: Unknown symbol f (err -2)"
    )


@pytest.mark.parametrize(
    ("name", "why", "words"),
    [
        ("own", "Device or resource busy", "it has no exit function; give it one by module_exit"),
        ("other", "Resource temporarily unavailable", "it is in use"),
        ("other", "Device or resource busy", "Device or resource busy"),
        ("gone", "No such file or directory", "No such file or directory"),
    ],
)
def test_unloading(images: Images, name: str, why: str, words: str) -> None:
    said = explained(images, 1, f"rmmod: can't unload module '{name}': {why}")
    assert said == f"the module {name} could not be unloaded: {words}"


def test_what_failed_otherwise_is_not_explained(images: Images) -> None:
    assert explained(images, 1, "work: no memory") is None
