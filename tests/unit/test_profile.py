"""Profiles from the plugin's file on: functions found, the tree grown, and what is made of it."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from pibed.base.errors import GuestError, UsageError
from pibed.commands import profile as command
from pibed.commands.options import ProfileOptions
from pibed.profile import difference, exports, flame, raw, shown, symbols, tree
from pibed.profile.binary import Binary, Function, Section, Segment
from pibed.profile.raw import Code
from pibed.profile.symbols import Binaries
from pibed.profile.tree import Profile

# main calls f, f jumps to g at its end, which calls h; a system call, and a module that it reaches.
TEXT = """\
profile instructions cycles
frame 1 1 call 00010100
frame 2 3 call 00010300
frame 3 1 exception ffff0008
frame 4 5 call bf000010
code 1 00010000 00001000 8 0100a0e30200a0e3
site 1 0 1 10 11
code 2 00010100 00001100 4 0300a0e3
site 2 1 2 20 21
code 3 00010200 00001200 4 0400a0e3
site 3 1 3 30 31
code 4 00010300 00001300 4 0500a0e3
site 4 2 4 40 41
code 5 c0008000 00008000 4 0600a0e3
site 5 3 5 50 51
code 6 bf000010 00009010 8 0700a0e3feffffeb
site 6 4 6 60 61
beyond 0 0
end
"""


def function(binary: str, name: str, start: int, section: str = ".text") -> Function:
    return Function(binary, name, section, start, start + 0x100)


def program(name: str, text: bytes, *, is_fixed: bool = True) -> Binary:
    names = {0x10000: "main", 0x10100: "f", 0x10200: "g", 0x10300: "h"}
    known = [function(name, each, start) for start, each in names.items()]
    sections = {".text": Section(".text", 0x10000, text)}
    segments = [Segment(0x10000, text, 0)]
    return Binary(name, Path(name), is_fixed, sections, segments, {".text": known})


def binaries() -> Binaries:
    text = bytearray(0x400)
    text[0:8] = bytes.fromhex("0100a0e30200a0e3")
    for place, word in ((0x100, 3), (0x200, 4), (0x300, 5)):
        text[place : place + 4] = bytes([word, 0, 0xA0, 0xE3])
    kernel_text = {".text": Section(".text", 0xC0008000, bytes(0x100))}
    known = {".text": [function("kernel", "vector_swi", 0xC0008000)]}
    kernel = Binary("kernel", Path("vmlinux"), True, kernel_text, [], known)
    # The second word of its code is a call, which is not in the file as it is when it runs.
    data = bytes(16) + bytes.fromhex("0700a0e3fffffffe") + bytes(8)
    own = {".text": Section(".text", 0, data, frozenset({20}))}
    module = Binary(
        "ring", Path("ring.ko"), False, own, [], {".text": [function("ring", "ring_mmap", 16)]}
    )
    return Binaries(
        kernel, [module], [program("other", bytes(0x400)), program("mine", bytes(text))]
    )


def profile(tmp_path: Path, text: str = TEXT, title: str = "run: one, size 1") -> Profile:
    path = tmp_path / "profile"
    path.write_text(text)
    found = raw.read(path)
    return tree.grow(found, symbols.functions(found, binaries()), title, 2)


def test_code_is_found_in_programs_modules_and_the_kernel(tmp_path: Path) -> None:
    rows = {str(row.function): row for row in profile(tmp_path).rows()}
    assert {name: row.own[0] for name, row in rows.items() if row.own[0]} == {
        "main": 10,
        "f": 20,
        "g": 30,
        "h": 40,
        "vector_swi": 50,
        "ring_mmap": 60,
    }
    assert rows["ring_mmap"].function.binary == "ring"
    assert rows["main"].function.binary == "mine"
    assert rows["main"].total == (210, 216)


def test_a_function_that_jumps_stands_beside_what_it_jumps_to(tmp_path: Path) -> None:
    lines = exports.folded(profile(tmp_path), "instructions").splitlines()
    assert lines == [
        "[mine];main 10",
        "[mine];main;[system call];vector_swi 50",
        "[mine];main;[system call];vector_swi;ring_mmap 60",
        "[mine];main;f 20",
        "[mine];main;g 30",
        "[mine];main;g;h 40",
    ]


def test_a_program_that_is_loaded_anywhere_is_found_by_its_code(tmp_path: Path) -> None:
    known = binaries()
    moved = program("mine", known.programs[1].segments[0].data, is_fixed=False)
    code = Code(0x7654_0100, 0x1100, 4, bytes.fromhex("0300a0e3"))
    found = symbols.functions(
        raw.Raw(("instructions",), {1: code}), Binaries(known.kernel, [], [moved])
    )
    assert str(found[1]) == "f"


def test_what_is_of_no_file_has_lines_of_its_own(tmp_path: Path) -> None:
    text = TEXT.replace("0300a0e3\n", "ffffffff\n").replace("beyond 0 0", "beyond 7 7")
    text = text.replace("code 5 c0008000", "code 5 c0009000")
    found = profile(tmp_path, text)
    names = {str(row.function) for row in found.rows()}
    assert {
        "[unknown in other programs]",
        "[unknown in the kernel]",
        "[more call paths than are told apart]",
    } <= names
    assert found.total == (217, 223)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the profile is empty"),
        (TEXT.replace("end\n", ""), "the profile is not whole"),
        ("something\nend\n", "it is no profile"),
        (TEXT.replace("site 1 0 1 10 11", "site 1 0 x 10 11"), "it is no profile"),
        (TEXT.replace("frame 1 1 call 00010100", "frame 1"), "it is no profile"),
    ],
)
def test_files_that_are_no_profile_are_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "profile"
    path.write_text(text)
    with pytest.raises(GuestError, match=message):
        raw.read(path)
    with pytest.raises(GuestError, match="nothing was profiled"):
        raw.read(tmp_path / "missing")


def test_speedscope_has_all_events_with_files_and_lines(tmp_path: Path) -> None:
    found = profile(tmp_path)
    ring = next(row.function for row in found.rows() if row.function.binary == "ring")
    whole: dict[str, Any] = json.loads(exports.speedscope(found, {ring: "ring/ring.c:12"}))
    assert [each["endValue"] for each in whole["profiles"]] == [210, 216]
    for each in whole["profiles"]:
        assert sum(each["weights"]) == each["endValue"]
        assert len(each["samples"]) == len(each["weights"])
    frames = whole["shared"]["frames"]
    assert {"name": "ring_mmap", "file": "ring/ring.c", "line": 12} in frames
    assert {"name": "f", "file": "mine"} in frames
    assert max(max(stack) for stack in whole["profiles"][0]["samples"]) == len(frames) - 1


def test_perf_script_has_the_periods(tmp_path: Path) -> None:
    text = exports.perf_script(profile(tmp_path), "cycles")
    heads = re.findall(r"^mine 1/1 (\d+\.\d{6}): +(\d+) cycles: $", text, re.MULTILINE)
    assert sum(int(period) for _, period in heads) == 216
    assert text.split("\n\n")[-2].splitlines()[1].split() == ["10300", "h", "(mine)"]


def test_flame_graphs_are_whole_and_the_same_bytes(tmp_path: Path) -> None:
    found = profile(tmp_path, title="<a> & b: x, y")
    painter = shown.painter(found, "instructions", ["ring"])
    svg = flame.draw(found.root, found.title, "all", painter)
    assert svg == flame.draw(found.root, found.title, "all", painter)
    root = ET.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    bars = root.findall(f"{space}svg")
    assert len(bars) == 9
    titles = [bar.findtext(f"{space}title") or "" for bar in bars]
    assert "ring_mmap: 60 instructions (28.6 %), 60 of its own, in ring" in titles
    assert root.findtext(f"{space}text") == "<a> & b: x, y"


def test_a_difference_has_both_and_adds_up(tmp_path: Path) -> None:
    first = profile(tmp_path)
    second = profile(tmp_path, TEXT.replace("4 40 41", "4 90 95").replace("6 60 61", "6 0 0"))
    both = difference.beside(first, second, "both")
    assert both.total == (*first.total, *second.total)
    table = shown.difference_table(both, "instructions", ("one", "two"), {}, 1)
    assert [row[0] for row in table.rows] == ["+60", "-50", "0", "+10"]
    assert [row[3] for row in table.rows][:2] == ["ring_mmap", "1 other functions"]
    painter = shown.difference_painter(both, "instructions", ("one", "two"))
    svg = flame.draw(both.root, "both", "", painter)
    assert "+60 instructions: 60 with one, 0 with two" in svg


def test_the_table_sums_up(tmp_path: Path) -> None:
    table = shown.table(profile(tmp_path), "cycles", {}, 2)
    assert [row[0] for row in table.rows] == ["61", "51", "104", "216"]
    csv = shown.to_csv(profile(tmp_path), {}, ("instructions", "cycles")).splitlines()
    assert csv[0] == "binary,function,line,instructions,cycles,total_instructions,total_cycles"
    assert sum(int(line.split(",")[3]) for line in csv[1:]) == 210


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"set": ("pages=1",)}, "has no parameter pages"),
        ({"set": ("size=0",)}, "0 is not from 1 to 1024"),
        ({"set": ("size=64,128",)}, "expected one value"),
        ({"against": ("mode=1",)}, "has no parameter mode"),
        ({"against": ("demand_paging=1",)}, "that is the same cell"),
        ({"clock": "host"}, "--clock host instructions cannot be counted"),
        ({"event": "l2_misses"}, "by the virtual clock instructions are all"),
        ({"event": "faults"}, "--event faults: expected one of: instructions"),
        ({"phase": "31"}, "expected a number from 0 to 30"),
        ({"top": "0"}, "expected a number from 1"),
        ({"cmd": "true", "set": ("size=64",)}, "--set is for a cell"),
        ({"cmd": " "}, "expected one line with a command"),
        ({"param": ("log=none",)}, "--param is for --cmd"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        command.profile(ProfileOptions(**given))
