"""The timing plugin: when it is wanted, for which QEMU it is made, and how QEMU is given it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pibed.base import places
from pibed.base.errors import BuildError, HostError, UsageError
from pibed.base.files import digest_file
from pibed.build import timing
from pibed.build.making import Workbench
from pibed.build.store import Store
from pibed.build.timing import Timing
from pibed.commands import setup
from pibed.commands.options import DoctorOptions
from pibed.guest import qemu
from pibed.guest.qemu import Logs
from pibed.measure import record
from pibed.model.board import load_board
from pibed.model.machine import Clock, Machine, load_machine
from tests.unit.helpers import experiment, images_of

COUNTED = {"metrics": {"n": {"title": "n", "unit": "n", "event": "cycles"}}}


def machine(clock: Clock = "board") -> Machine:
    return load_machine("pi3", {"clock": clock})


def test_it_is_wanted_for_the_boards_time_and_for_events() -> None:
    assert timing.wanted(machine("virtual"), experiment()) is None
    assert timing.wanted(machine("host"), experiment()) is None
    board = load_board("bcm2837")
    assert timing.wanted(machine("board"), experiment()) == board
    assert timing.wanted(machine("virtual"), experiment(**COUNTED)) == board


def test_what_cannot_be_counted_or_driven_is_told() -> None:
    with pytest.raises(UsageError, match=r"metrics\.n\.event: with --clock host events cannot"):
        timing.wanted(machine("host"), experiment(**COUNTED))
    unknown = machine("board").model_copy(update={"timing": "bcm1"})
    with pytest.raises(UsageError, match=r"pi3\.yaml: timing: there is no board 'bcm1'") as caught:
        timing.wanted(unknown, experiment())
    assert "bcm2837" in str(caught.value.fix)
    without = machine("virtual").model_copy(update={"timing": None})
    with pytest.raises(
        UsageError, match=r"pi3\.yaml: timing: missing; expected the name of a file"
    ):
        timing.wanted(without, experiment(**COUNTED))


def pretended(folder: Path, version: str, help: str = "-plugin [file=]<file>") -> Machine:
    program = folder / "qemu-system-arm"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = -help ] && printf "first\\n{help}\\n" && exit\n'
        f'echo "QEMU emulator version {version}"\n'
    )
    program.chmod(0o755)
    return load_machine("pi3", {"qemu.binary": str(program)})


@pytest.mark.parametrize(("version", "api"), [("7.2.22 (Debian 1:7.2)", 1), ("10.0.2", 4)])
def test_known_versions_have_their_interface(tmp_path: Path, version: str, api: int) -> None:
    assert timing.interface(pretended(tmp_path, version)) == api


@pytest.mark.parametrize("version", ["8.2.0", "10.1.0", "7.20.1"])
def test_other_versions_are_refused_with_those_that_are_known(tmp_path: Path, version: str) -> None:
    with pytest.raises(HostError) as caught:
        timing.interface(pretended(tmp_path, version))
    assert f"version {version}: " in caught.value.message
    assert "QEMU 7.2 and 10.0 only" in caught.value.message


def test_a_qemu_without_plugins_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="was built without plugins"):
        timing.interface(pretended(tmp_path, "7.2.22", help="-nothing of that"))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """A checkout with a plugin of one line, and where it is made."""
    (tmp_path / "timing").mkdir()
    (tmp_path / "timing" / "plugin.c").write_text("int api = API;\n")
    (tmp_path / "timing" / "Makefile").write_text(
        "$(OUT)/timing.so: plugin.c\n\t$(CC) -shared -DAPI=$(API) -o $@ $<\n"
    )
    monkeypatch.setattr(places, "checkout", lambda: tmp_path)
    progress: Any = SimpleNamespace(
        step=lambda name, expected_s, log: nullcontext(lambda line: None),
        done=lambda output: None,
        waiting=lambda name: None,
    )
    return Workbench(Store(tmp_path / "steps"), progress, 1)


BOARD = load_board("bcm2837")
OTHER = load_board("bcm2837", {"numbers.dram_ps.value": 1})


def test_it_is_made_again_for_other_sources_interfaces_and_boards(bench: Workbench) -> None:
    made, step = timing.make(bench, BOARD, 1)
    assert made.plugin.read_bytes()[:4] == b"\x7fELF"
    assert made.board_file.read_text() == BOARD.text()
    assert timing.make(bench, BOARD, 1)[1].cached
    source = places.checkout() / "timing" / "plugin.c"
    keys = {step.step.key, timing.make(bench, BOARD, 4)[1].step.key}
    keys.add(timing.make(bench, OTHER, 1)[1].step.key)
    source.write_text("int api = API + 1;\n")
    keys.add(timing.make(bench, BOARD, 1)[1].step.key)
    assert len(keys) == 4


def test_a_plugin_that_cannot_be_compiled_is_told_with_the_log(bench: Workbench) -> None:
    (places.checkout() / "timing" / "plugin.c").write_text("int api = ;\n")
    with pytest.raises(BuildError) as caught:
        timing.make(bench, BOARD, 1)
    assert caught.value.log is not None
    assert "int api = ;" in caught.value.log.read_text()
    (places.checkout() / "timing" / "Makefile").write_text("all:\n")
    with pytest.raises(BuildError, match=r"make made no timing\.so"):
        timing.make(bench, BOARD, 1)


def option(clock: Clock, counts: Path | None, folder: str = "/made") -> list[str]:
    made = Timing(Path(folder) / "timing.so", Path(folder) / "board.txt", BOARD)
    images = replace(images_of(Path("image")), timing=made)
    argv = qemu.arguments(
        machine(), clock, images, initramfs=Path("i"), kernel_args=[], counts=counts
    )
    return argv[argv.index("-plugin") + 1 :] if "-plugin" in argv else []


def test_qemu_loads_it_where_it_drives_or_counts() -> None:
    assert option("virtual", None) == []
    assert option("board", None) == ["/made/timing.so,board=/made/board.txt,drive=on"]
    counts = Path("/run/counts")
    for clock, drive in (("virtual", "off"), ("board", "on")):
        (value,) = option(clock, counts)  # type: ignore[arg-type]
        assert value == f"/made/timing.so,board=/made/board.txt,counts=/run/counts,drive={drive}"
    (value,) = option("board", Path("/a,b/counts"), "/x,y")
    assert value == ("/x,,y/timing.so,board=/x,,y/board.txt,counts=/a,,b/counts,drive=on")


def test_images_without_it_cannot_have_the_boards_time() -> None:
    with pytest.raises(ValueError, match="without the timing plugin"):
        qemu.arguments(
            machine(), "board", images_of(Path("i")), initramfs=Path("i"), kernel_args=[]
        )


def test_only_what_is_counted_has_a_file_of_counts() -> None:
    assert Logs.below(Path("f")).counts is None
    assert Logs.below(Path("f"), counts=True).counts == Path("f/counts")


def test_the_manifest_has_board_and_plugin_and_tells_what_is_other(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("one")
    two.write_text("two")
    begun = record.begun(machine(), experiment(), 1, images_of(one, board=BOARD), "QEMU 7.2")
    assert begun.board == BOARD
    again = type(begun).model_validate_json(begun.to_json())
    assert again.board == BOARD
    assert begun.timing is not None
    assert len(begun.timing.plugin) == 64
    # One file stands for all images, so that these differ as well.
    lines = record.differences(again, images_of(two, board=OTHER), "QEMU 7.2")
    assert [line for line in lines if line.startswith(("board", "timing"))] == [
        f"board: dram_ps is 1 instead of {BOARD.values['dram_ps']}",
        f"timing plugin: its SHA-256 is {digest_file(two)} instead of {digest_file(one)}",
    ]
    same = record.differences(again, images_of(one, board=BOARD), "QEMU 7.2")
    assert [line for line in same if line.startswith(("board", "timing"))] == []


def test_doctor_tells_that_the_clock_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = pretended(tmp_path, "8.2.0")
    monkeypatch.setattr(setup, "_chosen", lambda options: (known, None))
    monkeypatch.setattr(setup, "_findings", lambda machine, builder: [])
    setup.doctor(DoctorOptions())
    assert "without the clock `board` and counts of events: " in capsys.readouterr().out
    pretended(tmp_path, "10.0.2")
    setup.doctor(DoctorOptions())
    assert "without" not in capsys.readouterr().out
