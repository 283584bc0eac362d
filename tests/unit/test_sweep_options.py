"""Mistakes in the options of `sweep`, as a user meets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs import run_inv


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--sizes", "0"), ["--sizes 0", "not from 1 to 1024"]),
        (("--sizes", "-1"), ["-1", "not from 1 to 1024"]),
        (("--sizes", "64,,128"), ["--sizes 64,,128", "a number is missing"]),
        (("--sizes", "abc"), ["--sizes abc", "'abc' is not a whole number"]),
        (("--sizes", "70000"), ["--sizes 70000", "not from 1 to 1024"]),
        (("--sizes", "64,64"), ["64 is there more than once"]),
        (("--modes", "2"), ["--modes 2", "not from 0 to 1"]),
        (("--runs", "0"), ["--runs 0", "from 1 to 10000"]),
        (("--jobs", "0"), ["--jobs 0", "from 1 to"]),
        (("--experiment", "pagign"), ["no experiment 'pagign'", "paging"]),
        (("--clock", "wall"), ["--clock wall", "virtual, board, host"]),
        (("--name", "a/b"), ["--name 'a/b'"]),
    ],
)
def test_bad_options_are_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], words: list[str]
) -> None:
    monkeypatch.setenv("PIBED_CACHE", str(tmp_path / "two words"))  # nothing can be built in it
    done = run_inv("sweep", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
