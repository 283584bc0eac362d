"""Which machine, experiment and suite are meant unless named; `configs/defaults.yaml`."""

from __future__ import annotations

from typing import Literal

from pibed.base import places
from pibed.model.loading import Name, Record, Words, load_file

ExampleVerb = Literal["sweep", "boot", "profile", "ktest"]
"""A verb whose examples depend on what is configured."""


class Defaults(Record):
    """Names of files in configs/, without `.yaml`."""

    schema_version: Literal[1]
    machine: Name
    """In configs/machines/."""
    experiment: Name
    """In configs/experiments/."""
    suite: Name
    """In configs/suites/."""
    rubric: Name
    """In configs/rubrics/."""
    examples: dict[ExampleVerb, list[Words]] = {}
    """What the help of a verb shows of them as examples: options, behind the verb."""


def load_defaults() -> Defaults:
    """Reads `configs/defaults.yaml`; raises UsageError with file, key and expectation."""
    return load_file(Defaults, places.checkout() / "configs" / "defaults.yaml", {})
