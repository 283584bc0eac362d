"""The manifest of a run: all that is needed to run it again, and to know what it was.

`Manifest` is the content of manifest.json as it is written and read; see docs/results.md.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from pibed.base.errors import UsageError
from pibed.base.files import digest_file
from pibed.model import plan
from pibed.model.board import Board
from pibed.model.builder import Made, SandboxKind, Source, Standing
from pibed.model.experiment import Experiment
from pibed.model.loading import Record
from pibed.model.machine import Clock, Machine
from pibed.model.samples import Sample, Status
from pibed.model.shard import Shard
from pibed.runs.madeof import MadeOf

SCHEMA_VERSION: Literal[3] = 3

_FIX = "name the manifest.json of a run of this version of pibed"


class Git(Record):
    """The checkout's commit, and whether tracked files differed from it."""

    commit: str
    modified: bool


class RoundSeed(Record):
    """A round and its seed."""

    number: int
    seed: int


def round_seeds(experiment: Experiment, shard: Shard | None = None) -> list[RoundSeed]:
    """Those of all rounds, or of a shard's."""
    return [
        RoundSeed(number=number, seed=plan.round_seed(experiment.seed, number))
        for number in plan.numbers(experiment, shard)
    ]


class SamplesRecord(Record):
    """What samples.csv was when it was written."""

    digest: str
    """SHA-256."""
    count: int
    statuses: dict[Status, int]
    """How many samples of each status, of those that there are."""

    @classmethod
    def of(cls, csv: Path, samples: Sequence[Sample]) -> Self:
        """What `csv` is, in which these samples are."""
        counts = Counter(sample.status for sample in samples)
        statuses = dict(sorted(counts.items()))
        return cls(digest=digest_file(csv), count=len(samples), statuses=statuses)


class Qemu(Record):
    """What booted the guests."""

    version: str
    command: list[str]
    """Without the serial lines, the plan behind the initramfs, and the round's seed."""

    @property
    def options(self) -> list[str]:
        """The command without the folders, which are another host's."""
        return [part.rpartition("/")[2] if part.startswith("/") else part for part in self.command]


class TimingRecord(Record):
    """What counted the guests' events and drove the clock `board`."""

    plugin: str
    """SHA-256 of the plugin, which each host's compiler makes anew."""
    board: Board


class Load(Record):
    """The host's load average over a minute; None for an end that has not come."""

    begin: float
    end: float | None


class Host(Record):
    """What measured."""

    system: str
    processor: str
    cores: int
    python: str
    governor: str | None
    """How the kernel chooses the frequency of the first CPU; None where it does not say."""
    load_average: Load


class MergedShard(Record):
    """A shard of a merged run: what of its manifest is of the host that measured it."""

    number: int
    run: str
    """Name of its folder."""
    resumed: int
    jobs: int
    sandbox: SandboxKind | None
    host: Host


class Manifest(Record):
    """The content of manifest.json, its keys in this order."""

    schema_version: Literal[3]
    pibed: str
    git: Git | None
    """None outside of git."""
    finished: bool
    """Whether the run came to its end."""
    resumed: int
    """How often it was taken up after an interruption."""
    clock: Clock
    jobs: int
    machine: Machine
    experiment: Experiment
    rounds: list[RoundSeed]
    """Those of the shard, where it is one."""
    plan: str
    """SHA-256 of all commands for the guests, those of all shards."""
    shard: Shard | None = None
    """None of a run of all rounds."""
    samples: SamplesRecord | None
    """None before the end."""
    problems: list[str]
    warnings: list[str]
    builder: Made
    sources: dict[str, Source]
    tools: dict[str, str]
    lock: Standing
    steps: dict[str, str]
    """The build's steps and their keys."""
    made_of: MadeOf | None = None
    """None where it was not recorded yet."""
    sandbox: SandboxKind | None = None
    """None where it was not recorded yet."""
    images: dict[str, str]
    """SHA-256 of each."""
    qemu: Qemu
    timing: TimingRecord | None = None
    """None where neither was asked for."""
    host: Host
    """Of a merged run that of its first shard."""
    merged: list[MergedShard] | None = None
    """What it was merged of; None of a run that was measured as a whole."""

    @property
    def hosts(self) -> list[Host]:
        """All that measured it."""
        return [self.host] if self.merged is None else [each.host for each in self.merged]

    @property
    def board(self) -> Board | None:
        """The board whose time or events were measured."""
        return None if self.timing is None else self.timing.board

    @model_validator(mode="after")
    def _finished_has_samples(self) -> Manifest:
        if self.finished and self.samples is None:
            raise ValueError("samples: a finished run has some")
        return self

    @property
    def samples_digest(self) -> str | None:
        """SHA-256 of samples.csv; None if nothing was measured yet."""
        return None if self.samples is None else self.samples.digest

    def to_json(self) -> str:
        """The text of manifest.json."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def read(path: Path) -> Manifest:
    """Reads a manifest; raises UsageError that names the file and what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except (ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not JSON: {error}", fix=_FIX) from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", fix=_FIX) from None
    except RecursionError:
        raise UsageError(f"{path}: too deeply nested", fix=_FIX) from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        expected = f"expected {SCHEMA_VERSION}, not {version}"
        raise UsageError(f"{path}: schema_version: {expected}", fix=_FIX)
    try:
        # As JSON, in which the keys of every mapping are text.
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        words = problem["msg"].removeprefix("Value error, ")
        raise UsageError(": ".join(filter(None, (str(path), key, words))), fix=_FIX) from None


def _or_none(value: Any, read_value: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read_value(value)
    except ValidationError:
        return None


_Tolerant = WrapValidator(_or_none)


class _Parameter(BaseModel):
    values: list[Any]


class ExperimentRemains(BaseModel):
    """What is left of a manifest's experiment."""

    name: Annotated[str | None, _Tolerant] = None
    parameters: Annotated[dict[str, _Parameter] | None, _Tolerant] = None
    rounds: Annotated[int | None, _Tolerant] = None

    @property
    def cells(self) -> int | None:
        """How many cells it has."""
        if self.parameters is None:
            return None
        return math.prod(len(each.values) for each in self.parameters.values())


class Remains(BaseModel):
    """What a manifest that cannot be used tells of its run all the same; None where it does not."""

    schema_version: Annotated[int | None, _Tolerant] = None
    finished: Annotated[bool | None, _Tolerant] = None
    clock: Annotated[str | None, _Tolerant] = None
    experiment: Annotated[
        ExperimentRemains, BeforeValidator(lambda value: value if isinstance(value, dict) else {})
    ] = ExperimentRemains()


def remains(path: Path) -> Remains:
    """What is left of a manifest; nothing of one that is not there, or is no manifest at all."""
    try:
        return Remains.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return Remains()
