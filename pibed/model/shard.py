"""A shard: a part of a sweep's rounds, measured on its own and merged with the others later."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, model_validator

from pibed.model.loading import Record

_Count = Annotated[int, Field(ge=1)]


class Shard(Record):
    """One of several parts, whose rounds differ in number by one at most."""

    number: _Count
    """From 1."""
    of: _Count
    """How many there are."""

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Shard:
        if self.number > self.of:
            raise ValueError(f"there is no shard {self.number} of {self.of}")
        return self

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def numbers(self, rounds: int) -> range:
        """Which of so many rounds, numbered from 1, are its own: every `of`-th."""
        return range(self.number, rounds + 1, self.of)


def parse(text: str) -> Shard:
    """The shard that is written as `3/10`; raises ValueError for anything else."""
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"{text!r} is no shard such as 3/10")
    return Shard(number=int(found[1]), of=int(found[2]))
