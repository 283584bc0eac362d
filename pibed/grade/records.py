"""What was found of a submission, as it is kept: nothing of the host is in it, and no time of day.

Each record is a file of its own that appears by rename, so that a killed run can go on behind it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from pibed.base.files import write_file

UNLOAD = "module.unload"
"""In the place of a case: that the module can be unloaded, and the guest ends well."""


class Why(StrEnum):
    """By what a case has failed."""

    CLAIM = "claim"
    """The case's program says so, or the guest's agent of the program."""
    CRASH = "crash"
    HANG = "hang"
    LATE = "late"
    """Its deadline in guest instructions has passed."""
    LEAK = "leak"
    RACE = "race"
    FORGED = "forged"
    """The agent's line carried what the agent does not say."""
    FLOOD = "flood"
    """The kernel's log never ended."""
    NOT_RUN = "not run"


class Status(StrEnum):
    """What came of a case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Review:
    """What the host finds in the sources: whether they build, and what is said of them."""

    key: str
    problem: str | None
    """Why there is no module, in one line."""
    details: tuple[str, ...] = ()
    """The lines of the compiler about that."""
    warnings: tuple[str, ...] = ()
    checkpatch: tuple[str, ...] = ()
    sparse: tuple[str, ...] = ()
    not_graded: str | None = None
    """Why the host could not tell, if so: nothing that a mark could follow from."""


class Telling(StrEnum):
    """What lines of the kernel's log tell of."""

    END = "end"
    BLOCKED = "blocked"
    """A task that sleeps in the kernel."""
    LEAKS = "leaks"


@dataclass(frozen=True)
class Said:
    """Lines of the kernel's log, as they were."""

    telling: Telling
    lines: tuple[str, ...]


@dataclass(frozen=True)
class CaseResult:
    """What came of a case of a chain."""

    case: str
    """`<program>.<name>`."""
    status: Status
    why: Why | None = None
    message: str = ""
    details: tuple[str, ...] = ()
    boot: str = ""
    """The folder of the boot's logs, from the submission's."""
    said: Said | None = None
    """What the details are made of by who has the kernel's symbols (see `pibed.grade.decoding`);
    records have none."""


@dataclass(frozen=True)
class ChainResult:
    """What came of the cases of a suite in one of its variants, with one seed."""

    key: str
    cases: tuple[CaseResult, ...]
    not_graded: str | None = None


@dataclass(frozen=True)
class Measured:
    """The samples of an experiment's cell: what the metric was in each round that is `ok`."""

    key: str
    values: dict[str, list[float]] = field(default_factory=dict)
    """By the measurement's name."""
    problems: dict[str, str] = field(default_factory=dict)
    """Why a measurement has no number."""
    not_graded: str | None = None


_R = TypeVar("_R", Review, ChainResult, Measured)


def write(path: Path, record: Review | ChainResult | Measured) -> None:
    """Writes a record; raises HostError where that cannot be done."""
    data = dataclasses.asdict(record, dict_factory=_without_said)
    text = json.dumps(data, indent=1, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, text + "\n")


def _without_said(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in items if name != "said"}


def read(kind: type[_R], path: Path, key: str) -> _R | None:
    """The record of a file, if it is there, of the same key, and something was graded."""
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        record = _from(kind, data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return record if record.key == key and record.not_graded is None else None


def _from(kind: type[_R], data: dict[str, Any]) -> _R:
    for name, value in data.items():
        if isinstance(value, list):
            data[name] = tuple(value)
    if kind is ChainResult:
        data["cases"] = tuple(_case(each) for each in data["cases"])
    return kind(**data)


def _case(data: dict[str, Any]) -> CaseResult:
    why = data.pop("why")
    status = Status(data.pop("status"))
    details = tuple(data.pop("details"))
    return CaseResult(status=status, why=None if why is None else Why(why), details=details, **data)
