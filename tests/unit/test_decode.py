"""The timing model's decoder beside a disassembler: real programs, and random bits."""

from __future__ import annotations

import random
import re
import shutil
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pibed.base import places
from tests import excuses
from tests.disassembly import Line, Said, parse_line, said_by
from tests.unit.helpers import ROOT

PREFIX = "arm-linux-gnueabihf-"
TESTS = ROOT / "timing/tests"


@pytest.fixture(scope="module")
def decode_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that decodes what it reads."""
    program = tmp_path_factory.mktemp("timing") / "decode_file"
    _make(f"{program}", f"OUT={program.parent}")
    return program


def _make(*arguments: str) -> None:
    made = subprocess.run(
        ["make", "-C", TESTS, *arguments], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr


def _objdump(file: Path, *options: str) -> Iterator[str]:
    if shutil.which(f"{PREFIX}gcc") is None:
        pytest.skip(excuses.NO_CROSS)
    command = [f"{PREFIX}objdump", *(options or ["-d"]), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield from process.stdout
    assert process.returncode == 0, f"{command} failed"


def _library(name: str) -> Path:
    if shutil.which(f"{PREFIX}gcc") is None:
        pytest.skip(excuses.NO_CROSS)
    command = [f"{PREFIX}gcc", f"-print-file-name={name}"]
    return Path(subprocess.check_output(command, text=True).strip())


def _kernel() -> list[Path]:
    """The smallest kernel that earlier runs have built and kept, and our module; often none.

    Which one does not matter; a debug kernel takes minutes.
    """
    steps = places.cache() / "steps"
    found = [[*steps.glob("kernel/*/vmlinux")], [*steps.glob("module/*/kmod_paging.ko")]]
    return [min(files, key=lambda file: file.stat().st_size) for files in found if files]


def _set(text: str) -> frozenset[str]:
    return frozenset() if text == "-" else frozenset(text.split(","))


def _difference(line: Line, said: Said, answer: str) -> str | None:
    """What the decoder's answer and the text do not agree in."""
    fields = answer.split()
    if fields[1] == "unknown":
        return "unknown"
    _, kind, reads, writes, _, _, _, offset, *_ = fields
    if kind != said.kind:
        return f"class {kind}, not {said.kind}"
    if _set(writes) != said.writes:
        return f"writes {writes}, not {sorted(said.writes)}"
    unnamed = {"flags", "fpscr"}
    if (_set(reads) | _set(writes)) - unnamed != said.named - unnamed:
        return f"reads {reads} and writes {writes}, not {sorted(said.named)}"
    # a branch that the linker has not yet filled in has the offset 0
    relative = kind == "branch" and int(offset) != 0
    if relative and line.target != (line.address + int(offset)) & 0xFFFFFFFF:
        return f"leads to {offset} from here, not to {line.target:#x}"
    return None


def _differences(decode_file: Path, texts: Iterable[str]) -> list[str]:
    """What does not agree, a line each; asserts that there was something to look at."""
    lines: dict[tuple[int, int, bool, int], tuple[Line, Said]] = {}
    for text in texts:
        line = parse_line(text)
        if line is None:
            continue
        place = line.address if line.target is not None else 0
        lines[line.word, line.length, line.thumb, place] = line, said_by(line)
    assert len(lines) > 100
    asked = "".join(
        f"{line.address:x} {line.word:x} {line.length} {'t32' if line.thumb else 'a32'}\n"
        for line, _ in lines.values()
    )
    answers = subprocess.run(
        [decode_file], input=asked, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = []
    for (line, said), answer in zip(lines.values(), answers, strict=True):
        difference = _difference(line, said, answer)
        if difference:
            found.append(f"{line.word:08x} {line.mnemonic} {line.operands}: {difference}")
    return found


def test_units(tmp_path: Path) -> None:
    _make("check", f"OUT={tmp_path}")


@pytest.mark.parametrize("name", ["libc.a", "libm.a", "libgcc.a"])
def test_libraries(decode_file: Path, name: str) -> None:
    some = (text for n, text in enumerate(_objdump(_library(name))) if n % 7 == 0)
    assert _differences(decode_file, some) == []


def test_kernel(decode_file: Path) -> None:
    for file in _kernel():
        some = (
            text for n, text in enumerate(_objdump(file)) if n % 17 == 0 or file.suffix == ".ko"
        )
        assert _differences(decode_file, some) == []


@pytest.mark.full
@pytest.mark.parametrize("name", ["libc.a", "libm.a", "libgcc.a"])
def test_whole_libraries(decode_file: Path, name: str) -> None:
    assert _differences(decode_file, _objdump(_library(name))) == []


@pytest.mark.full
def test_whole_kernel(decode_file: Path) -> None:
    for file in _kernel():
        assert _differences(decode_file, _objdump(file)) == []


# of what programs seldom use: the bits that all of a group have, and those that are random
GROUPS = {
    "media": (0xE6000010, 0x01FFFFEF),
    "multiply": (0xE0000090, 0x00FFFF0F),
    "load, store": (0xE4000000, 0x03FFFFEF),
    "several": (0xE8000000, 0x01BFFFFF),
    "neon": (0xF2000000, 0x01FFFFFF),
    "neon load, store": (0xF4000000, 0x00EFFFFF),
}
# no part of ARMv7-A, or with registers beyond the last
LATER = re.compile(r"\t(vqrdml[as]h|vrint|sha|aes|vcvt\S*(f16\.[su]16|[su]16\.f16))|d3[2-9]")


@pytest.mark.parametrize("group", GROUPS)
def test_random_bits(decode_file: Path, tmp_path: Path, group: str) -> None:
    base, mask = GROUPS[group]
    bits = random.Random(1)
    words = [base | (bits.getrandbits(32) & mask) for _ in range(4000)]
    file = tmp_path / "words"
    file.write_bytes(struct.pack(f"<{len(words)}I", *words))
    texts = _objdump(file, "-D", "-bbinary", "-marmv7")
    assert _differences(decode_file, (t for t in texts if not LATER.search(t))) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("  8:\te8bd8030 \tpop\t{r4, r5, pc}", ("load", {"r4", "r5", "r13", "r15"})),
        ("  8:\te0903181 \tadds\tr3, r0, r1, lsl #3", ("shift", {"r3", "flags"})),
        ("  8:\tee010aa2 \tvmla.f32\ts0, s3, s5", ("fp_mac", {"d0"})),
    ],
)
def test_what_a_text_says(line: str, said: tuple[str, set[str]]) -> None:
    parsed = parse_line(line)
    assert parsed is not None
    heard = said_by(parsed)
    assert (heard.kind, set(heard.writes)) == said


@pytest.mark.parametrize(
    ("word", "text", "difference"),
    [
        (0xE0810002, "sub\tpc, r1, r2", "writes"),
        (0xE0810002, "mul\tr0, r1, r2", "class"),
        (0xE0810002, "add\tr0, r1, r3", "reads"),
        (0xEE000110, "add\tr0, r1, r2", "unknown"),
        (0xEA000000, "b\t10 <there>", "leads"),
    ],
)
def test_differences_are_told(decode_file: Path, word: int, text: str, difference: str) -> None:
    good = [f"{n * 4:x}:\t{0xE3A00000 + n:08x} \tmov\tr0, #{n}" for n in range(200)]
    (found,) = _differences(decode_file, [*good, f"4:\t{word:08x} \t{text}"])
    assert difference in found
