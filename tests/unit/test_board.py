"""Boards: what their files must have, what no hardware can be like, and what the plugin reads."""

from __future__ import annotations

from typing import Any

import pytest

from pibed.base.errors import UsageError
from pibed.model.board import LIMITS, Board, differences, load_board
from pibed.model.machine import load_machine

from .helpers import ROOT

BOARDS = sorted(path.stem for path in (ROOT / "configs" / "boards").glob("*.yaml"))


def changed(**values: Any) -> Board:
    return load_board("bcm2837", {f"numbers.{key}.value": value for key, value in values.items()})


@pytest.mark.parametrize("name", BOARDS)
def test_shipped_boards_have_every_number_once_with_its_source(name: str) -> None:
    board = load_board(name)
    assert board.numbers.keys() == LIMITS.keys()
    assert all(len(each.source) > 5 for each in board.numbers.values())
    # A script rewrites values in place.
    lines = (ROOT / "configs" / "boards" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    for key, each in board.numbers.items():
        head = f"  {key}: {{value: {each.value}, source: "
        assert sum(line.startswith(head) for line in lines) == 1


@pytest.mark.parametrize("machine", ["pi2", "pi3"])
def test_machines_name_boards_that_are_there(machine: str) -> None:
    assert load_machine(machine).timing in BOARDS


def test_the_plugin_gets_one_line_a_number() -> None:
    text = changed(dram_ps=123).text()
    assert text.endswith("\n")
    lines = dict(line.split(" ") for line in text.splitlines())
    assert len(text.splitlines()) == len(LIMITS) == len(lines)
    assert lines["dram_ps"] == "123"
    assert lines["l2_bytes"] == "524288"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"l1d_bytes": 0}, "numbers.l1d_bytes: expected from 64 to"),
        ({"l1d_bytes": 40960}, "numbers.l1d_bytes: expected a power of two, not 40960"),
        ({"l1i_ways": 3}, "numbers.l1i_ways: 3 ways do not divide 512 lines"),
        ({"l2_ways": 0}, "numbers.l2_ways: expected from 1 to 64, not 0"),
        ({"l1d_bytes": 64}, "numbers.l1d_ways: 4 ways are more than the 1 lines"),
        ({"tlb_ways": 3}, "numbers.tlb_ways: 3 ways do not divide 512 entries"),
        ({"tlb_entries": 48}, "numbers.tlb_ways: 4 ways make 12 sets of 48 entries"),
        ({"frequency_min_khz": 1300000}, "numbers.frequency_min_khz: expected at most the 1200000"),
        ({"fp_issue_width": 3}, "numbers.fp_issue_width: expected at most the 2 of issue_width"),
        ({"l2_random": 2}, "numbers.l2_random: expected from 0 to 1, not 2"),
        ({"dram_ps": -1}, "numbers.dram_ps: expected from 0 to"),
        ({"dram_ps": 1.5}, "numbers.dram_ps.value: Input should be a valid integer"),
    ],
)
def test_impossible_boards_are_refused_with_the_key(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        changed(**values)
    assert f"command line: {words}" in caught.value.message or words in caught.value.message


def test_unknown_and_missing_numbers_are_named() -> None:
    with pytest.raises(UsageError, match=r"numbers\.l3_bytes: unknown key; expected one of: l1d_"):
        load_board("bcm2837", {"numbers.l3_bytes": {"value": 1, "source": "none"}})
    numbers = load_board("bcm2837").model_dump()["numbers"]
    del numbers["walk_ps"]
    with pytest.raises(UsageError, match=r"numbers\.walk_ps: missing; expected a value from 0 to"):
        load_board("bcm2837", {"numbers": numbers})
    with pytest.raises(UsageError, match=r"numbers\.dram_ps\.source: Field required"):
        load_board("bcm2837", {"numbers.dram_ps": {"value": 1}})


def test_an_unknown_board_is_told_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="there is no board 'bcm1'") as caught:
        load_board("bcm1")
    assert caught.value.fix is not None
    assert "bcm2836, bcm2837" in caught.value.fix


def test_differences_are_of_the_numbers_alone() -> None:
    board = load_board("bcm2837")
    other = load_board("bcm2837", {"numbers.dram_ps": {"value": 3, "source": "somewhere"}})
    same = load_board("bcm2837", {"numbers.dram_ps.source": "somewhere else"})
    assert list(differences(board, same)) == []
    before = board.values["dram_ps"]
    assert list(differences(other, board)) == [f"board: dram_ps is 3 instead of {before}"]
    lines = list(differences(load_board("bcm2836"), board))
    assert lines[0] == "board: it is bcm2836 instead of bcm2837"
    assert "board: l2_ways is 8 instead of 16" in lines
