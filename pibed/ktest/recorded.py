"""The record of a run of a suite: all that it takes to boot one of its guests again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from pibed.base.errors import UsageError
from pibed.base.files import write_file
from pibed.build import substitute
from pibed.build.images import Images
from pibed.ktest.ktap import CaseStatus
from pibed.ktest.outcome import CaseOutcome
from pibed.model.builder import Made
from pibed.model.loading import Record
from pibed.model.machine import Clock, Machine
from pibed.model.suite import Suite
from pibed.runs import madeof
from pibed.runs.madeof import MadeOf

NAME = "ktest.json"

PLAN = "plan"
"""In a boot's folder: the commands that its guest was given, one a line."""


class Failure(Record):
    """A case that failed, and the folder of the boot in `boots/`."""

    variant: str
    case: str
    boot: str
    message: str


class Recorded(Record):
    """The content of ktest.json."""

    schema_version: Literal[1] = 1
    machine: Machine
    suite: Suite
    """With its own module."""
    module: str | None
    """The folder of the module that took its place."""
    clock: Clock
    seed: int
    builder: Made
    images: dict[str, str]
    """SHA-256 of each."""
    made_of: MadeOf | None
    failed: list[Failure]

    @property
    def tested(self) -> Suite:
        """The suite with the module that was tested; raises UsageError if that is no more."""
        if self.module is None:
            return self.suite
        return substitute.with_module(self.suite, Path(self.module))

    def differences(self, images: Images) -> list[str]:
        """What is not as it was, one line each: the user's files first, then images."""
        now = images.digests()
        lines = [
            f"{name}: its SHA-256 is {now.get(name)} instead of {digest}"
            for name, digest in self.images.items()
            if now.get(name) != digest
        ]
        changes = madeof.changes(self.made_of, madeof.of(images.read))
        return [*changes, *lines] if lines else []


def failures(outcomes: Iterable[CaseOutcome]) -> list[Failure]:
    """Those of outcomes that failed in a boot of their own record."""
    return [
        Failure(variant=each.variant, case=each.case, boot=each.logs.name, message=each.message)
        for each in outcomes
        if each.status == CaseStatus.FAILED and each.logs is not None
    ]


def write(folder: Path, record: Recorded) -> None:
    """Writes the record into the folder of a run."""
    text = json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False)
    write_file(folder / NAME, text + "\n")


def read(folder: Path) -> Recorded:
    """The record in the folder of a run; raises UsageError if there is none that can be used."""
    path = folder / NAME
    fix = "test anew with this version of pibed: ./inv ktest"
    try:
        return Recorded.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", fix=fix) from None
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise UsageError(f"{path}: {key}: {problem['msg']}", fix=fix) from None
