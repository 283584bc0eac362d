"""A kernel's last words: the call trace first, with files and lines, from real consoles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pibed.build.images import Images
from pibed.build.symbols import Address, Position
from pibed.guest import trace
from pibed.guest.console import trace_in
from tests.unit.helpers import FIXTURES, images_of

KNOWN = {
    "oops_at_init": [("oops", "lab/oops.c:7"), ("oops_at_init", "lab/oops.c:21")],
    "meet_bug": [("meet_bug", "lab/bug.c:9")],
    "debug_errors_init": [("debug_errors_init", "./lab/errors.c:40")],
    "do_one_initcall": [("do_one_initcall", "/src/linux/init/main.c:1290")],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Address]]:
    """What is asked of which binary; answers are those of KNOWN."""
    found: list[tuple[str, Address]] = []

    def positions(
        binary: Path, prefix: str, addresses: Iterable[Address], inside: Sequence[str]
    ) -> dict[Address, tuple[Position, ...]]:
        assert prefix == "arm-"
        wanted = list(addresses)
        found.extend((binary.name, each) for each in wanted)
        return {
            each: tuple(Position(*pair) for pair in KNOWN[each.function])
            for each in wanted
            if each.function in KNOWN
        }

    monkeypatch.setattr(trace, "positions", positions)
    return found


def images(folder: Path, *modules: str, debug: bool = False) -> Images:
    (folder / ".config").write_text(f"CONFIG_DEBUG_INFO={'y' if debug else 'n'}\n")
    for name in ("vmlinux", *(f"{module}.ko" for module in modules)):
        (folder / name).touch()
    return replace(
        images_of(folder / "image"),
        modules=tuple(folder / f"{module}.ko" for module in modules),
        kernel_build=folder,
        kernel_source=Path("/src/linux"),
        variables={"CROSS_COMPILE": "arm-"},
    )


def words(name: str) -> list[str]:
    text = (FIXTURES / "console" / f"{name}.log").read_text(encoding="utf-8", errors="replace")
    return trace_in(text.splitlines())


def test_oops(tmp_path: Path, asked: list[tuple[str, Address]]) -> None:
    assert trace.excerpt(words("oops"), images(tmp_path, "oops_at_init")) == [
        "Unable to handle kernel NULL pointer dereference at virtual address 00000000",
        "  oops (lab/oops.c:7), inlined in",
        "  oops_at_init+0xc/0x14 [oops_at_init] (lab/oops.c:21)",
        "  do_one_initcall+0x4c/0x218",
        "  do_init_module+0x44/0x1cc",
        "  sys_finit_module+0xb0/0xe0",
        "  ret_fast_syscall+0x0/0x4c",
    ]
    # The kernel has no debugging information. Where it stopped is meant exactly.
    assert asked == [("oops_at_init.ko", Address("oops_at_init", 0xC, 0x14))]


def test_bug_in_a_thread(tmp_path: Path, asked: list[tuple[str, Address]]) -> None:
    assert trace.excerpt(words("bug"), images(tmp_path, "bug_at_init"))[1:] == [
        "  meet_bug+0x0/0x4 [bug_at_init] (lab/bug.c:9)",
        "  kthread+0xbc/0xd8",
        "  ret_from_fork+0x14/0x38",
    ]


def test_what_reports_is_left_out_and_the_kernels_lines_are_told(
    tmp_path: Path, asked: list[tuple[str, Address]]
) -> None:
    told = trace.excerpt(words("kasan"), images(tmp_path, "debug_errors", debug=True))
    assert told[:4] == [
        "BUG: KASAN: slab-out-of-bounds in debug_errors_init+0x74/0x264 [debug_errors]",
        "  debug_errors_init+0x74/0x264 [debug_errors] (lab/errors.c:40)",
        "  do_one_initcall+0x164/0x8b8 (init/main.c:1290)",
        "  do_init_module+0x1f8/0x630",
    ]
    # These are the places behind calls, which may be on another line, or in another function.
    assert ("debug_errors.ko", Address("debug_errors_init", 0x73, 0x264)) in asked
    assert ("vmlinux", Address("do_one_initcall", 0x163, 0x8B8)) in asked
    assert ("vmlinux", Address("ret_fast_syscall", 0, 0x1C)) in asked


def test_warning_of_which_the_kernel_prints_no_trace(
    tmp_path: Path, asked: list[tuple[str, Address]]
) -> None:
    lines = [
        "[    0.1] WARNING: CPU: 0 PID: 3 at lab/oops.c:7 oops_at_init+0x8c/0x960 [oops_at_init]",
        "[    0.2] Kernel panic - not syncing: kernel: panic_on_warn set ...",
        "[    0.3]  unwind_backtrace from show_stack+0x10/0x14",
        "[    0.4]  show_stack from dump_stack_lvl+0x40/0x4c",
        "[    0.5]  dump_stack_lvl from panic+0xf8/0x310",
        "[    0.6]  panic from print_tainted+0x0/0x94",
    ]
    told = trace.excerpt(lines, images(tmp_path, "oops_at_init"))
    assert told == [
        "WARNING: CPU: 0 PID: 3 at lab/oops.c:7 oops_at_init+0x8c/0x960 [oops_at_init]",
        "  oops (lab/oops.c:7), inlined in",
        "  oops_at_init+0x8c/0x960 [oops_at_init] (lab/oops.c:21)",
    ]


def test_trace_in_the_form_of_other_architectures(
    tmp_path: Path, asked: list[tuple[str, Address]]
) -> None:
    lines = [
        "[    0.1] Unable to handle kernel NULL pointer dereference at virtual address 0",
        "[    0.1] pc : oops_at_init+0xc/0x14 [oops_at_init]",
        "[    0.1] lr : do_one_initcall+0x4c/0x218",
        "[    0.1] Call trace:",
        "[    0.1]  oops_at_init+0xc/0x14 [oops_at_init]",
        "[    0.1]  do_one_initcall+0x4c/0x218",
        "[    0.1]  el0_svc+0x1/0x2",
        "[    0.1] Code: 0",
    ]
    assert trace.excerpt(lines, images(tmp_path, "oops_at_init"))[2:] == [
        "  oops_at_init+0xc/0x14 [oops_at_init] (lab/oops.c:21)",
        "  do_one_initcall+0x4c/0x218",
        "  el0_svc+0x1/0x2",
    ]


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ("refcount_t: underflow; use-after-free.", ["refcount_t: underflow; use-after-free."]),
        ("Modules linked in: lab(O)", []),
        ("", []),
    ],
)
def test_warning_with_its_reason(tmp_path: Path, second: str, told: list[str]) -> None:
    first = "WARNING: CPU: 0 PID: 35 at lib/refcount.c:28 vma_close+0x24/0x34 [lab]"
    lines = [f"[    1.0] {first}", f"[    1.0] {second}", "[    1.0] Call trace:"]
    excerpt = trace.excerpt(lines, images(tmp_path))
    assert excerpt == [first, *told, "  vma_close+0x24/0x34 [lab]"]


def test_kernel_of_which_another_machine_has_the_symbols(tmp_path: Path) -> None:
    made = replace(images(tmp_path, debug=True), sandbox="bubblewrap")
    (tmp_path / "vmlinux").unlink()
    assert trace.excerpt(words("oops"), made)[1:3] == [
        "  oops_at_init+0xc/0x14 [oops_at_init]",
        "  do_one_initcall+0x4c/0x218",
    ]


def test_task_that_sleeps(tmp_path: Path, asked: list[tuple[str, Address]]) -> None:
    lines = [
        "[    0.1] something else",
        "[   12.1] sysrq: Show Blocked State",
        "[   12.1] task:insmod          state:D stack:0     pid:33",
        "[   12.1]  __schedule from schedule+0x2c/0x70",
        "[   12.1]  schedule from oops_at_init+0x8/0x14 [oops_at_init]",
        "[   12.1]  oops_at_init [oops_at_init] from do_one_initcall+0x3c/0x1dc",
        "[   12.1] Exception stack(0xc0a19fa8 to 0xc0a19ff0)",
    ]
    known = images(tmp_path, "oops_at_init")
    assert trace.blocked(lines, known) == [
        "task:insmod          state:D stack:0     pid:33",
        "  __schedule",
        "  schedule+0x2c/0x70",
        "  oops (lab/oops.c:7), inlined in",
        "  oops_at_init+0x8/0x14 [oops_at_init] (lab/oops.c:21)",
        "  do_one_initcall+0x3c/0x1dc",
    ]
    assert trace.blocked(lines[:2], known) == lines[:2]


def test_without_a_trace_the_words_are_told(
    tmp_path: Path, asked: list[tuple[str, Address]]
) -> None:
    lines = words("panic")
    assert lines
    assert trace.excerpt(lines, images(tmp_path, "kmod")) == lines[:20]
    assert trace.excerpt([], images(tmp_path, "kmod")) == []
    assert asked == []


def test_every_line_is_kept_and_places_have_their_lines(
    tmp_path: Path, asked: list[tuple[str, Address]]
) -> None:
    lines = words("oops")
    decoded = trace.decode(lines, images(tmp_path, "oops_at_init"))
    assert len(decoded) == len(lines)
    changed = [(a, b) for a, b in zip(lines, decoded, strict=True) if a != b]
    assert [b.removeprefix(a) for a, b in changed] == [" (lab/oops.c:7)"]
    # Another module is not ours to know.
    assert trace.decode(lines, images(tmp_path, "kmod")) == lines


def test_each_of_several_modules_is_asked_for_its_own(
    tmp_path: Path, asked: list[tuple[str, Address]]
) -> None:
    lines = [
        "BUG: something",
        " meet_bug from do_nothing+0x10/0x20 [buffer]",
        " do_nothing from oops_at_init+0xc/0x14 [ring]",
        " oops_at_init from meet_bug+0x8/0x10 [nobodys]",
        " meet_bug from do_one_initcall+0x4c/0x218",
    ]
    told = trace.decode(lines, images(tmp_path, "buffer", "ring"))
    assert told[2] == " do_nothing from oops_at_init+0xc/0x14 [ring] (lab/oops.c:7)"
    # Of a module that is not the user's nothing is known.
    assert told[3] == lines[3]
    assert {binary for binary, _ in asked} == {"buffer.ko", "ring.ko"}
