"""Counts of lines come out of a guest whole, are summed over boots, and are shown as they are."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest.mock import Mock

import pytest

from pibed.base.errors import BuildError, GuestError, UsageError
from pibed.build import payload
from pibed.build.sandbox import Unconfined
from pibed.commands import covered
from pibed.commands.options import KtestOptions
from pibed.coverage import counts, readout, report
from pibed.coverage.counts import FileCounts, Sources
from pibed.coverage.report import Coverage, Share
from pibed.model.machine import load_machine
from pibed.model.protocol import Command, Result
from pibed.model.suite import load_suite

PROGRAM = """\
int clean_up(int x);
static int error_path(int x)
{
	if (x > 100)
		return clean_up(x);
	return x;
}
int clean_up(int x)
{
	return -x;
}
int main(int count, char **words)
{
	int sum = 0;
	while (*words++)
		sum++;
	return error_path(sum) - count;
}
"""


class FakeGuest:
    """A shell of the host's in the place of a guest, with a folder in the place of debugfs."""

    console_log = Path("console.log")

    def __init__(self, folder: Path, damage: bool = False) -> None:
        self.folder = folder
        self.damage = damage
        self.commands: list[Command] = []

    def run(self, command: Command) -> Result:
        self.commands.append(command)
        line = command.line.replace("mount -t debugfs none ", "true ")
        line = line.replace("/sys/kernel/debug", str(self.folder))
        line = line.replace("/tmp/coverage", str(self.folder / "copy"))
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
        text = done.stdout
        if self.damage and "sed -n '1," in line:
            text = text.replace("0", "1", 1)
        assert len(text) < 65536, "more than the agent lets through"
        output = tuple((text + done.stderr).splitlines())
        return Result(command.id, done.returncode, False, False, output)


def read(guest: FakeGuest) -> dict[str, bytes]:
    return readout.read(guest)  # type: ignore[arg-type]


def test_files_come_out_of_a_guest_whole(tmp_path: Path) -> None:
    files = {
        "cache/steps/module/ab.unfinished-7/tree/module/paging.gcda": bytes(range(256)) * 200,
        "cache/steps/module/ab.unfinished-7/tree/module/choice.gcda": b"\n./x\0" * 3,
    }
    for name, content in files.items():
        (tmp_path / "gcov" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "gcov" / name).write_bytes(content)
    guest = FakeGuest(tmp_path)
    found = read(guest)
    assert found == files
    assert len(guest.commands) > 2, "one page would not have shown how pages are put together"
    readout.keep(found, ["module/paging.gcno", "module/other.gcno"], tmp_path / "kept")
    kept = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert kept == [tmp_path / "kept" / "module" / "paging.gcda"]
    assert kept[0].read_bytes() == bytes(range(256)) * 200


def test_no_counts_and_damaged_ones_are_told(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match="the guest's files could not be read"):
        read(FakeGuest(tmp_path))
    (tmp_path / "gcov").mkdir()
    assert read(FakeGuest(tmp_path)) == {}
    (tmp_path / "gcov" / "a.gcda").write_bytes(b"\0" * 64)
    with pytest.raises(GuestError, match="came damaged"):
        read(FakeGuest(tmp_path, damage=True))


def ran(folder: Path, boots: Sequence[Sequence[str]]) -> tuple[dict[str, Path], list[Path]]:
    """The program's notes and, of each run of it with some words, a folder with its counts."""
    source = folder / "module" / "a.c"
    source.parent.mkdir()
    source.write_text(PROGRAM, encoding="utf-8")
    program = folder / "program"
    argv = ["gcc", "-O1", "-fno-early-inlining", "--coverage", "-c", "module/a.c", "-o"]
    subprocess.run([*argv, "module/a.o"], cwd=folder, check=True)
    subprocess.run(["gcc", "--coverage", "module/a.o", "-o", program], cwd=folder, check=True)
    kept = []
    for number, words in enumerate(boots):
        subprocess.run([program, *words], check=True)
        kept.append(folder / f"boot{number}")
        (kept[-1] / "module").mkdir(parents=True)
        (folder / "module" / "a.gcda").rename(kept[-1] / "module" / "a.gcda")
    return {"module/a.gcno": folder / "module" / "a.gcno"}, kept


KNOWN = Sources({"module/a.c": "module/a.c"}, {"module/a.c": PROGRAM.encode()})


def at(files: Mapping[str, FileCounts], number: int) -> list[int]:
    return [line.count for (each, _), line in files["module/a.c"].lines.items() if each == number]


def test_boots_are_summed(tmp_path: Path) -> None:
    notes, boots = ran(tmp_path, [["x"], ["x", "y", "z"]])
    files = counts.summed(boots, notes, KNOWN, "gcov", Unconfined())
    assert list(files) == ["module/a.c"]
    assert at(files, 16) == [2 + 4]
    assert at(files, 5) == [0]
    one = counts.summed(boots[:1], notes, KNOWN, "gcov", Unconfined())
    assert at(one, 16) == [2]
    # What is not the user's is left out, whatever the compiler was told to call it.
    assert counts.summed(boots, notes, Sources({}, {}), "gcov", Unconfined()) == {}


def test_what_is_no_count_is_told(tmp_path: Path) -> None:
    notes, boots = ran(tmp_path, [["x"]])
    notes["module/a.gcno"].write_bytes(b"nothing of a compiler's")
    with pytest.raises(BuildError, match=r"gcov"):
        counts.summed(boots, notes, KNOWN, "gcov", Unconfined())


def test_unreached_line_is_shown_as_unreached(tmp_path: Path) -> None:
    notes, boots = ran(tmp_path, [["x"], ["y"]])
    files = counts.summed(boots, notes, KNOWN, "gcov", Unconfined())
    made = [tmp_path / "one", tmp_path / "two"]
    for folder in made:
        folder.mkdir()
        coverage = report.write(files, KNOWN, "Title <of> it", folder)
    assert coverage.missed == {"module/a.c": [5, 8, 10]}
    assert (coverage.lines.total, coverage.lines.reached) == (9, 6)
    assert coverage.branches.reached < coverage.branches.total
    for name in (report.PAGE, report.TRACEFILE):
        first, second = ((folder / name).read_bytes() for folder in made)
        assert first == second
        assert str(tmp_path).encode() not in first
    tracefile = (made[0] / report.TRACEFILE).read_text(encoding="utf-8").splitlines()
    digest = hashlib.md5(b"\t\treturn clean_up(x);", usedforsecurity=False).hexdigest()
    assert f"DA:5,0,{digest}" in tracefile
    assert "SF:module/a.c" in tracefile
    page = (made[0] / report.PAGE).read_text(encoding="utf-8")
    assert "Title &lt;of&gt; it" in page
    assert "1970" not in page
    rows = [line for line in page.splitlines() if "uncoveredLine" in line and "<td" in line]
    assert any("clean_up" in row for row in rows) or len(rows) >= 3


def test_shares_are_not_rounded_up() -> None:
    assert str(Share(1999, 2000)) == "99.9 % of 2000"
    assert str(Share(2, 3)) == "66.7 % of 3"
    assert Share(1999, 2000).is_under(100)
    assert not Share(95, 100).is_under(95)
    assert not Share(0, 0).is_under(100)


def test_least_that_is_asked_for() -> None:
    coverage = Coverage(Share(94, 100), Share(9, 10), {"m.c": [3, 4, 5, 9]})
    folder = Path("run")
    reached = covered.Reached(coverage, covered.Minimum(95, 90), folder)
    assert reached.lacking == ["coverage: 94.0 % of 100 lines is under 95 %"]
    assert covered.Reached(coverage, covered.Minimum(94, 90), folder).lacking == []
    assert covered.Reached(None, covered.Minimum(), folder).lacking == ["coverage: not known"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (KtestOptions(fail_under="95"), r"--fail-under 95: only with --coverage"),
        (KtestOptions(coverage=True, fail_under="101"), r"expected a percentage of lines"),
        (KtestOptions(coverage=True, fail_under="9,9,9"), r"expected a percentage of lines"),
        (KtestOptions(coverage=True, fail_under="many"), r"'many' is not a whole number"),
        (KtestOptions(coverage=True, builder="buildroot"), r"Buildroot's modules do not count"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: KtestOptions, words: str) -> None:
    wanted = payload.of_suite(load_suite("paging"))
    with pytest.raises(UsageError, match=words):
        covered.prepare(options, load_machine("pi2"), wanted)


def test_suite_without_a_module_and_machine_without_the_kernel_are_refused() -> None:
    options = KtestOptions(coverage=True)
    suite = load_suite("paging")
    bare = suite.model_copy(update={"module": None, "modules": []})
    with pytest.raises(UsageError, match="no module of its own"):
        covered.prepare(options, load_machine("pi2"), payload.of_suite(bare))
    lacking = load_machine("pi2", {"kernel.coverage": None})
    with pytest.raises(UsageError, match=r"pi2\.yaml: the machine has no kernel that counts lines"):
        covered.prepare(options, lacking, payload.of_suite(suite))


def test_kernel_and_modules_of_coverage() -> None:
    wanted = payload.of_suite(load_suite("paging"))
    machine = load_machine("pi2")
    assert covered.prepare(KtestOptions(), machine, wanted) == (machine, wanted)
    counting, payload_ = covered.prepare(KtestOptions(coverage=True), machine, wanted)
    assert counting.kernel.fragments == [*machine.kernel.fragments, "coverage"]
    assert payload_.counted
    assert not wanted.counted


def test_kernel_that_does_not_count_is_refused(tmp_path: Path) -> None:
    wanted = payload.of_suite(load_suite("paging"))
    machine, options = load_machine("pi2"), KtestOptions(coverage=True)
    images = Mock(kernel_build=tmp_path, modules=(tmp_path / "kmod_paging.ko",))
    (tmp_path / ".config").write_text("# CONFIG_GCOV_KERNEL is not set\n", encoding="utf-8")
    with pytest.raises(UsageError, match="this kernel does not count lines"):
        covered.cover(options, images, machine, wanted)
    (tmp_path / ".config").write_text("CONFIG_GCOV_KERNEL=y\n", encoding="utf-8")
    with pytest.raises(UsageError, match="no file of kmod_paging counts its lines"):
        covered.cover(options, images, machine, wanted)
    (tmp_path / "gcno" / "module").mkdir(parents=True)
    (tmp_path / "gcno" / "module" / "paging.gcno").touch()
    covering = covered.cover(options, images, machine, wanted)
    assert covering is not None
    assert list(covering.notes) == ["module/paging.gcno"]
    assert covering.sources.names["module/paging.c"] == "module/paging.c"
    assert covered.cover(KtestOptions(), images, machine, wanted) is None


def test_what_is_told_names_lines_and_lost_guests(tmp_path: Path) -> None:
    (tmp_path / "boots" / "one" / "gcda").mkdir(parents=True)
    (tmp_path / "boots" / "one-2").mkdir()
    coverage = Coverage(Share(1, 7), Share(0, 0), {"m.c": [3, 4, 5, 9, 11], "n.c": [1]})
    reached = covered.Reached(coverage, covered.Minimum(), tmp_path)
    assert reached.summary == "reached: 14.3 % of 7 lines, 100.0 % of 0 branches"
    assert list(reached.told) == [
        "not reached: m.c:3-5,9,11",
        "not reached: n.c:1",
        "not in the coverage, since the guest was lost: one-2",
        f"coverage: {tmp_path}/coverage.html",
    ]
