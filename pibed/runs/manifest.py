"""The manifest of a run, read: all that is needed to run it again, and to know what it was."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pibed.base.errors import UsageError
from pibed.model.builder import BEFORE_BUILDROOT, Made
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine

SCHEMA_VERSION = 2


class _Needed(BaseModel):
    """The keys that are needed to run it again, beside machine and experiment."""

    model_config = ConfigDict(strict=True)

    finished: bool
    resumed: int
    plan: str
    samples: _Samples | None
    images: dict[str, str]
    qemu: _Qemu
    lock: _Lock
    host: _Host
    builder: Made = BEFORE_BUILDROOT


class _Samples(BaseModel):
    digest: str
    count: int


class _Qemu(BaseModel):
    version: str
    command: list[str]


class _Lock(BaseModel):
    differs: list[str]


class _Host(BaseModel):
    processor: str
    load_average: dict[str, float | None]


@dataclass(frozen=True)
class Recorded:
    """What a manifest says of its run, as far as it is needed to run it again."""

    path: Path
    machine: Machine
    experiment: Experiment
    builder: Made
    content: dict[str, Any]

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.content["finished"])

    @property
    def samples_digest(self) -> str | None:
        """SHA-256 of samples.csv; None if nothing was measured yet."""
        samples = self.content["samples"]
        return None if samples is None else str(samples["digest"])


def read(path: Path) -> Recorded:
    """Reads a manifest; raises UsageError that names the file and what is wrong with it."""
    fix = "name the manifest.json of a run of this version of pibed"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not JSON: {error}", fix=fix) from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", fix=fix) from None
    except RecursionError:
        raise UsageError(f"{path}: too deeply nested", fix=fix) from None
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        version = content.get("schema_version") if isinstance(content, dict) else None
        expected = f"expected {SCHEMA_VERSION}, not {version}"
        raise UsageError(f"{path}: schema_version: {expected}", fix=fix)
    try:
        # As JSON, in which the keys of every mapping are text.
        machine = Machine.model_validate_json(json.dumps(content.get("machine")))
        experiment = Experiment.model_validate_json(json.dumps(content.get("experiment")))
        needed = _Needed.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        parents = [] if error.title == _Needed.__name__ else [error.title.lower()]
        key = ".".join([*parents, *(str(part) for part in problem["loc"])])
        words = problem["msg"].removeprefix("Value error, ")
        raise UsageError(f"{path}: {key}: {words}", fix=fix) from None
    if needed.finished and needed.samples is None:
        raise UsageError(f"{path}: samples: a finished run has some", fix=fix)
    return Recorded(path, machine, experiment, needed.builder, content)
