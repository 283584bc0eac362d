"""Parameters of an experiment: whole numbers or text, with names for people and options."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from pibed.model import optionname
from pibed.model.loading import Record, Words

Verb = Literal["sweep", "boot"]
"""What the command line does with an experiment."""


def _not_taken(name: str) -> str:
    if (words := optionname.mistake(name)) is not None:
        raise ValueError(words)
    return name


OptionName = Annotated[str, Field(pattern=optionname.PATTERN), AfterValidator(_not_taken)]

Value = int | str
"""What a parameter can be: a whole number or text."""


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(
            f"expected a whole number or text, not {value}, for which YAML takes on, off, yes and "
            "no without quotes"
        )
    # Commas stand between values on the command line.
    if isinstance(value, str) and (
        not value or not value.isprintable() or "," in value or value != value.strip()
    ):
        raise ValueError(
            f"expected text without commas, control characters and spaces around it, not {value!r}"
        )
    return value


ParameterValue = Annotated[Value, BeforeValidator(_no_truth_value)]
"""The same, checked."""


class Parameter(Record):
    """One dimension of the experiment."""

    values: Annotated[list[ParameterValue], Field(min_length=1)]
    """The values that are measured: whole numbers, or text."""
    minimum: int | None = None
    """The smallest number that the command line takes; text has none."""
    maximum: int | None = None
    """The largest one."""
    title: Words
    """Name for people."""
    labels: dict[ParameterValue, Words] = {}
    """Names for single values."""
    options: dict[Verb, OptionName] = {}
    """Options of the command line that set it, without `--`: `sweep` takes several values, `boot`
    takes one and loads the module with it."""

    @property
    def noun(self) -> str:
        """The title without its unit: `touched` of `touched [%]`."""
        return self.title.partition(" [")[0]

    @property
    def unit(self) -> str:
        """The unit in the title; empty where it has none."""
        return self.title.partition(" [")[2].removesuffix("]")

    @property
    def is_text(self) -> bool:
        """Whether its values are text and not numbers."""
        return isinstance(self.values[0], str)

    @property
    def numbers(self) -> list[int]:
        """Its values, rising; none where they are text."""
        return sorted(value for value in self.values if isinstance(value, int))

    @property
    def along(self) -> tuple[Value, ...]:
        """Its values as they are along an axis: numbers rise, text is in the file's order."""
        return tuple(self.values if self.is_text else self.numbers)

    @property
    def words(self) -> list[str]:
        """The text that the command line takes for a value; nothing where they are numbers."""
        return list(dict.fromkeys(str(v) for v in (*self.values, *self.labels) if self.is_text))

    def label(self, value: Value) -> str:
        """What people call a value."""
        return self.labels.get(value, str(value))

    @model_validator(mode="before")
    @classmethod
    def _labels_of_numbers(cls, data: Any, info: ValidationInfo) -> Any:
        """In JSON, where a manifest has it, the keys of every mapping are text."""
        if info.mode != "json" or not isinstance(data, dict):
            return data
        values, labels = data.get("values"), data.get("labels")
        if not isinstance(labels, dict) or not isinstance(values, list):
            return data
        if any(isinstance(value, str) for value in values):
            return data
        keys = {key: int(key) if re.fullmatch(r"-?\d+", key) else key for key in labels}
        return data | {"labels": {keys[key]: label for key, label in labels.items()}}

    @model_validator(mode="after")
    def _values_are_of_a_kind(self) -> Parameter:
        kind, other = ("text", "a number") if self.is_text else ("whole numbers", "text")
        for key in ("values", "labels"):
            for value in getattr(self, key):
                if isinstance(value, str) != self.is_text:
                    raise ValueError(f"{key}: {value!r} is {other}, but the first value is {kind}")
        for key in ("minimum", "maximum"):
            if (getattr(self, key) is None) != self.is_text:
                words = "only numbers have one" if self.is_text else "expected a number"
                raise ValueError(f"{key}: {words}")
        return self

    @model_validator(mode="after")
    def _values_are_meant(self) -> Parameter:
        for value in self.numbers:
            if not self.allows(value):
                raise ValueError(f"values: {value} is not from {self.minimum} to {self.maximum}")
        for each in self.values:
            if self.values.count(each) > 1:
                raise ValueError(f"values: {each} is there more than once")
        return self

    def allows(self, number: int) -> bool:
        """Whether a number is within the bounds."""
        least, most = self.minimum, self.maximum
        return (least is None or least <= number) and (most is None or number <= most)

    @model_validator(mode="after")
    def _no_label_is_another_value(self) -> Parameter:
        # The command line takes labels where values stand as well.
        for value, label in self.labels.items():
            if label == str(value):
                continue
            if not self.is_text and re.fullmatch(r"-?\d+", label):
                raise ValueError(f"labels: {label!r} is a number, but the label of {value}")
            if label in self.words:
                raise ValueError(f"labels: {label!r} is a value, but the label of {value}")
        return self
