"""Rubrics: what a submitted module is graded by. `configs/rubrics/*.yaml` describe them.

Only what is the same on every host and at any time may decide a mark, so everything here speaks of
counts: points, findings, and instructions of the guest, which the virtual clock counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from pibed.base import places
from pibed.base.errors import UsageError
from pibed.model.loading import Identifier, Name, Record, RelativePath, Words, load, load_file
from pibed.model.machine import Series
from pibed.model.parameter import Value

Points = Annotated[float, Field(ge=0, le=10_000)]

Show = Literal["all", "verdict", "nothing"]
"""What a student is told of a criterion: all that was found; which cases passed; its points."""

Configuration = Annotated[str, Field(pattern=r"^[^\s\\]+$")]
"""A name in configs/, or the path of a file relative to the rubric's folder (`./lab.yaml`)."""


class Deduction(Record):
    """Points that findings of a kind cost."""

    each: Points
    """For one finding."""
    most: Points
    """For all of them."""


class Build(Record):
    """What the host finds in the sources, before anything is booted."""

    points: Points
    """For a module that builds and has the name that the suites load."""
    warnings: Deduction | None = None
    """For the compiler's warnings."""
    checkpatch: Deduction | None = None
    """For what the kernel's checkpatch.pl --strict finds."""
    sparse: Deduction | None = None
    """For what sparse finds."""


class Criterion(Record):
    """Cases of a suite that are worth points together."""

    title: Words
    points: Points
    suite: Configuration
    """The suite whose cases they are; its module is replaced by the submitted one."""
    cases: Annotated[list[str], Field(min_length=1)]
    """Programs, cases or patterns, as `./inv ktest --tests` takes them."""
    variants: list[Name] = []
    """Of the suite; all of them if none are named."""
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**32 - 1)]], Field(max_length=100)] = []
    """Of the boots and of all that is random in the cases; the rubric's seed if none are named."""
    award: Literal["each", "all"] = "each"
    """Whether each case earns its share, or only all of them together the points."""
    deadline_instructions: Annotated[int, Field(ge=1_000_000, le=10**13)] = 5_000_000_000
    """After which a case has failed. The virtual clock counts them; time in which the guest sleeps
    counts as the instructions that it could have executed."""
    decided_by: Literal["guest", "host"] = "guest"
    """`host`: what the case's program says is not looked at, only whether the guest lives on."""
    debug: bool = False
    """Run them on the debug kernel, which finds leaks, races and misuse of memory."""
    show: Show = "all"


class Limit(Record):
    """What a measured number must keep to; the bounds themselves are within it."""

    at_most: float | None = None
    at_least: float | None = None
    at_most_of_reference: Annotated[float, Field(gt=0)] | None = None
    """So many times what the reference has."""
    at_least_of_reference: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Limit:
        if not any(value is not None for value in self.model_dump().values()):
            raise ValueError("expected at_most, at_least or one of them _of_reference")
        return self

    @property
    def relative(self) -> bool:
        """Whether it needs the reference's number."""
        return (self.at_most_of_reference, self.at_least_of_reference) != (None, None)


class Measurement(Record):
    """A number of an experiment that earns points if it keeps to a limit."""

    title: Words
    points: Points
    experiment: Configuration
    """The experiment whose module is replaced by the submitted one."""
    metric: Identifier
    cell: Annotated[dict[Identifier, Value], Field(min_length=1)]
    """A value for each parameter of the experiment."""
    rounds: Annotated[int, Field(ge=1, le=100)] = 1
    """Boots; the median of their samples is what counts."""
    limit: Limit
    show: Show = "all"


class Penalties(Record):
    """Points that are taken off the sum, however they came about."""

    crash: Deduction | None = None
    """A kernel that panicked, oopsed or warned, or a guest that left by itself."""
    hang: Deduction | None = None
    """A guest that lets no program run any more, or a process that nothing ends."""
    leak: Deduction | None = None
    """Memory that nobody points to any more (kmemleak, so on the debug kernel only)."""
    race: Deduction | None = None
    """What lockdep or KCSAN report (on the debug kernel only)."""


class Hidden(Record):
    """What students do not see: a file beside the rubric that is not handed out."""

    schema_version: Literal[1]
    secret: Annotated[str, Field(min_length=16)]
    """Nonces follow from it; nobody who hands in may know it."""
    criteria: dict[Name, Criterion] = {}
    measurements: dict[Name, Measurement] = {}


class Rubric(Record):
    """What a submission is graded by."""

    schema_version: Literal[1]
    name: Name
    title: Words
    machine: Name | None = None
    """In configs/machines/; the default one if left out."""
    kernel: Series | None = None
    """A series of the machine; its own if left out."""
    reference: RelativePath | None = None
    """Folder of a module that does it right, which gets a row of its own."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 1
    """Of boots and of all that is random, where a criterion names no seeds."""
    timed_s: Annotated[int, Field(ge=1, le=86_400)] = 1
    """Guest seconds that cases run that run for a set time."""
    most_losses: Annotated[int, Field(ge=1, le=1000)] = 4
    """How often a suite's guest may be lost, in each variant, until the rest is not run."""
    build: Build
    criteria: dict[Name, Criterion] = {}
    measurements: dict[Name, Measurement] = {}
    penalties: Penalties = Penalties()
    hidden: RelativePath | None = None
    """A file relative to this one with what students do not see; see `Hidden`."""
    file: SkipJsonSchema[str | None] = None
    """Its file, whose folder its paths are relative to, if it is not of the checkout's configs/;
    never in the file itself."""


@dataclass(frozen=True)
class Scheme:
    """A rubric with its hidden part, if that is known: all that decides a mark."""

    rubric: Rubric
    hidden: Hidden | None = None

    @property
    def secret(self) -> bytes:
        """What nonces follow from; at home that is no secret."""
        return (self.hidden.secret if self.hidden else f"seed {self.rubric.seed}").encode()

    def criteria(self) -> Iterator[tuple[str, Criterion, bool]]:
        """All criteria by name; the third says whether it is hidden."""
        for name, each in self.rubric.criteria.items():
            yield name, each, False
        for name, each in (self.hidden.criteria if self.hidden else {}).items():
            yield name, each, True

    def measurements(self) -> Iterator[tuple[str, Measurement, bool]]:
        """All measurements by name; the third says whether it is hidden."""
        for name, each in self.rubric.measurements.items():
            yield name, each, False
        for name, each in (self.hidden.measurements if self.hidden else {}).items():
            yield name, each, True

    @property
    def points(self) -> Decimal:
        """The most that can be had."""
        worth = [self.rubric.build.points]
        worth += [each.points for _, each, _ in self.criteria()]
        worth += [each.points for _, each, _ in self.measurements()]
        return sum((exact(each) for each in worth), Decimal(0))


def exact(points: float) -> Decimal:
    """Points as they are written, so that sums are what one reckons by hand."""
    return Decimal(str(points))


def root_of(rubric: Rubric) -> Path:
    """What the paths of a rubric are relative to."""
    return places.checkout() if rubric.file is None else Path(rubric.file).parent


def load_scheme(name: str, *, with_hidden: bool) -> Scheme:
    """Reads `configs/rubrics/<name>.yaml`, or a file anywhere, and what it hides if asked for.

    Raises UsageError with file, key and expectation, also for a name that is there twice.
    """
    rubric = load(Rubric, "rubric", name, {})
    hidden = None
    if rubric.hidden is not None and with_hidden:
        folder = places.checkout() / "configs" / "rubrics"
        path = (folder if rubric.file is None else Path(rubric.file).parent) / rubric.hidden
        if not path.is_file():
            raise UsageError(
                f"the rubric {rubric.name}: hidden: there is no file {path}",
                fix="put it there; only ./inv try does without it",
            )
        hidden = load_file(Hidden, path, {})
    scheme = Scheme(rubric, hidden)
    names = [
        "build",
        *(n for n, _, _ in scheme.criteria()),
        *(n for n, _, _ in scheme.measurements()),
    ]
    for each in names:
        if names.count(each) > 1:
            raise UsageError(
                f"the rubric {rubric.name}: {each} is there twice",
                fix="give each criterion and measurement a name of its own; build is taken",
            )
    if with_hidden and scheme.points == 0:
        raise UsageError(f"the rubric {rubric.name}: no points can be had by it")
    return scheme


def configuration(rubric: Rubric, given: str) -> str:
    """A suite or an experiment as `load` takes it: names stay, paths become those from here."""
    if "/" in given or given.endswith(".yaml"):
        return str(root_of(rubric) / given)
    return given
