"""Addresses as files and lines, from the debugging information of binaries that a test makes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pibed.base.process import capture
from pibed.build.symbols import Address, positions

SOURCE = """\
static int volatile *nowhere;

static inline __attribute__((always_inline)) void inner(void)
{
	*nowhere = 1;
}

__attribute__((section(".init.text"))) int at_init(void)
{
	inner();
	return 0;
}

int at_work(int a)
{
	return a / 3;
}

int main(void)
{
	return at_init() + at_work(1);
}
"""


def size_of(binary: Path, function: str) -> int:
    table = capture(["readelf", "-sW", str(binary)])
    (row,) = re.findall(rf"^.* (\d+) FUNC .* {function}$", table, re.MULTILINE)
    return int(row)


@pytest.fixture(params=["object", "program"])
def binary(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What is not linked, as a module, and what is, as a kernel."""
    (tmp_path / "a.c").write_text(SOURCE)
    option = ["-c"] if request.param == "object" else ["-no-pie"]
    map_ = f"-ffile-prefix-map={tmp_path}/=mine/"
    capture(
        ["gcc", "-g", "-O1", "-fno-inline", *option, map_, "-o", "a.out", f"{tmp_path}/a.c"],
        cwd=tmp_path,
    )
    return tmp_path / "a.out"


def test_lines_of_functions_in_any_section(binary: Path) -> None:
    work = Address("at_work", 0, size_of(binary, "at_work"))
    main = Address("main", 0, size_of(binary, "main"))
    # The kernel's size of a function can be that up to the next one.
    init = Address("at_init", size_of(binary, "at_init") - 1, 4096)
    found = positions(binary, "", [work, main, init, work])
    assert set(found) == {work, main, init}
    ((position,),) = [found[work]]
    assert position.function == "at_work"
    assert re.fullmatch(r".*mine/a\.c:1[4-6]", position.line)
    assert re.fullmatch(r".*mine/a\.c:(19|2[01])", found[main][0].line)
    assert found[init][-1].function == "at_init"
    assert re.fullmatch(r".*mine/a\.c:1[0-2]", found[init][-1].line)


def test_inlined_functions_are_named_from_within(binary: Path) -> None:
    size = size_of(binary, "at_init")
    chains = positions(binary, "", [Address("at_init", offset, size) for offset in range(size)])
    inlined = [chain for chain in chains.values() if len(chain) == 2]
    assert inlined
    assert [each.function for each in inlined[0]] == ["inner", "at_init"]
    assert inlined[0][0].line.endswith("a.c:5")
    assert inlined[0][1].line.endswith("a.c:10")


def test_what_is_not_known_is_left_out(binary: Path, tmp_path: Path) -> None:
    beyond = Address("at_work", 5000, 6000)
    assert positions(binary, "", [Address("nothing", 0, 4), beyond]) == {}
    assert positions(tmp_path / "none", "", [beyond]) == {}
    assert positions(binary, "no-such-prefix-", [Address("main", 0, 4)]) == {}
    capture(["strip", "--strip-debug", str(binary)])
    assert positions(binary, "", [Address("main", 0, 4)]) == {}
