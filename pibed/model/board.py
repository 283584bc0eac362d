"""Boards: the numbers from which the timing plugin computes a board's time, each with its source.

`configs/boards/*.yaml` describe them; docs/clocks.md says what they are for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pibed.model.loading import Name, Record, Words, load

LINE_BYTES = 64
"""Of every cache of the boards that there are."""

_CACHES = ("l1d", "l1i", "l2")

# What a key's name ends with says its unit; a ps is a picosecond.
_LIMITS: tuple[tuple[tuple[int, int], str], ...] = (
    ((LINE_BYTES, 1 << 24), "l1d_bytes l1i_bytes l2_bytes"),
    ((1, 64), "l1d_ways l1i_ways l2_ways tlb_ways utlb_entries"),
    ((0, 1), "l2_random"),
    ((1, 1 << 16), "tlb_entries pattern_entries target_entries return_entries"),
    ((1_000, 10_000_000), "frequency_min_khz frequency_max_khz"),
    ((100, 10_000_000), "governor_sample_us"),
    ((1, 100), "governor_up_percent"),
    ((1, 1_000), "governor_down_factor"),
    (
        (0, 1_000),
        "l2_hit_cycles l2_beside_cycles l2_from_cycles l2_stream_cycles utlb_miss_cycles "
        "walk_cycles alu_cycles shift_cycles mul_cycles mul_long_cycles div_cycles load_cycles "
        "address_cycles pointer_cycles factor_cycles fp_add_cycles fp_mul_cycles fp_mac_cycles "
        "fp_div32_cycles fp_div64_cycles fp_move_cycles fp_load_cycles neon_cycles "
        "branch_cycles mispredict_cycles system_cycles",
    ),
    (
        (0, 10_000_000),
        "walk_ps dram_ps dram_beside_ps stream_load_ps stream_store_ps store_ps fetch_ps",
    ),
    ((1, 4), "issue_width fp_issue_width"),
)

LIMITS: Mapping[str, tuple[int, int]] = {
    key: limits for limits, keys in _LIMITS for key in keys.split()
}
"""The smallest and the largest value of each number that a board has."""


class Sourced(Record):
    """A number, and where it is from."""

    value: int
    source: Annotated[Words, Field(min_length=1)]
    """A document, or `fitted` and to what."""


class Board(Record):
    """A board's caches, TLBs, memory, frequency governor and pipeline."""

    schema_version: Literal[1]
    name: Name
    title: Words
    """What it is, for people: the chip, its core, and a board that has it."""
    numbers: Annotated[
        dict[str, Sourced],
        Field(json_schema_extra={"propertyNames": {"enum": [*LIMITS]}, "required": [*LIMITS]}),
    ]
    """Each of them once; the end of its name says its unit."""

    @property
    def values(self) -> dict[str, int]:
        """The numbers without their sources, in a fixed order."""
        return {key: self.numbers[key].value for key in LIMITS}

    def text(self) -> str:
        """The board as the timing plugin reads it: one line a number, `key value`."""
        return "".join(f"{key} {value}\n" for key, value in self.values.items())

    @model_validator(mode="after")
    def _numbers_are_complete(self) -> Board:
        for key in self.numbers:
            if key not in LIMITS:
                raise ValueError(
                    f"numbers.{key}: unknown key; expected one of: {', '.join(LIMITS)}"
                )
        for key, (low, high) in LIMITS.items():
            if key not in self.numbers:
                raise ValueError(
                    f"numbers.{key}: missing; expected a value from {low} to {high}, and its source"
                )
            if not low <= (value := self.numbers[key].value) <= high:
                raise ValueError(f"numbers.{key}: expected from {low} to {high}, not {value}")
        if (problem := next(iter(_impossible(self.values)), None)) is not None:
            raise ValueError(f"numbers.{problem}")
        return self


def differences(now: Board, then: Board) -> Iterable[str]:
    """In which numbers two boards differ, one line each; sources do not count."""
    if now.name != then.name:
        yield f"board: it is {now.name} instead of {then.name}"
    for key, value in now.values.items():
        if value != (before := then.values[key]):
            yield f"board: {key} is {value} instead of {before}"


def load_board(name: str, overrides: Mapping[str, Any] | None = None) -> Board:
    """Reads `configs/boards/<name>.yaml`; see `load_machine`."""
    return load(Board, "board", name, overrides or {})


def _impossible(values: Mapping[str, int]) -> Iterable[str]:
    """What no hardware can be like, with the key at which it is."""
    for cache in _CACHES:
        capacity, ways = values[f"{cache}_bytes"], values[f"{cache}_ways"]
        if not _is_power(capacity):
            yield f"{cache}_bytes: expected a power of two, not {capacity}"
        yield from _sets(
            f"{cache}_ways", ways, capacity // LINE_BYTES, f"lines of {LINE_BYTES} bytes"
        )
    yield from _sets("tlb_ways", values["tlb_ways"], values["tlb_entries"], "entries")
    for low, high in (
        ("frequency_min_khz", "frequency_max_khz"),
        ("fp_issue_width", "issue_width"),
    ):
        if values[low] > values[high]:
            yield f"{low}: expected at most the {values[high]} of {high}, not {values[low]}"


def _sets(key: str, ways: int, places: int, what: str) -> Iterable[str]:
    """Ways must divide what there is into sets whose number is a power of two."""
    if ways > places:
        yield f"{key}: {ways} ways are more than the {places} {what}"
    elif places % ways:
        yield f"{key}: {ways} ways do not divide {places} {what}"
    elif not _is_power(places // ways):
        yield f"{key}: {ways} ways make {places // ways} sets of {places} {what}, no power of two"


def _is_power(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0
