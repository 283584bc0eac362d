"""Workloads: the program that is measured, the forms that it can have, and how it is run."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from pibed.model.loading import Record, RelativePath

CXX = (".cc", ".cpp", ".cxx", ".C", ".c++")
"""How names of C++ sources end."""

# Those of C, and of the assembler with the preprocessor and without.
_SOURCES = (".c", ".S", ".s", *CXX)


def _is_source(path: str) -> str:
    if not path.endswith(_SOURCES):
        raise ValueError(f"expected a source that ends in one of {', '.join(_SOURCES)}: {path}")
    return path


SourceFile = Annotated[RelativePath, AfterValidator(_is_source)]


class Make(Record):
    """A program that a Makefile of the user's makes."""

    folder: RelativePath
    """Folder with the Makefile."""
    target: Annotated[str, Field(pattern=r"^[^-\s=][^\s=]*$")]
    """What make is asked for."""
    program: RelativePath
    """The file that this makes, relative to `folder`: the program, put into /usr/bin."""


class Workload(Record):
    """The program that is measured.

    It comes in one of the forms `source`, `sources`, `make`, `script` and `program`. Without any,
    the command is one that the guest has anyway.
    """

    source: SourceFile | None = None
    """C or C++ source, compiled statically into /usr/bin under its own name."""
    sources: Annotated[list[SourceFile], Field(min_length=1)] | None = None
    """C and C++ sources of one program, which is called like the first of them."""
    cflags: list[str] = []
    """Options for the compiler, before the sources."""
    libraries: list[Annotated[str, Field(min_length=1)]] = []
    """Options for the linker, behind the sources, such as -lm."""
    make: Make | None = None
    script: RelativePath | None = None
    """A script, put into /usr/bin as it is."""
    program: RelativePath | None = None
    """A program that was built for the guest, put into /usr/bin as it is."""
    command: str
    """Command line in the guest; `{name}` stands for the value of a parameter."""
    background: str | None = None
    """Command line that runs beside each run and ends with it; nothing of its output is kept."""
    before: str | None = None
    """Command line that runs before each run, warm-ups too, and is not measured."""
    after: str | None = None
    """The same after each run."""
    warm_up_runs: Annotated[int, Field(ge=0, le=1000)] = 0
    """How often the command runs before each sample without being measured."""
    timeout_s: Annotated[float, Field(gt=0)]
    """Guest seconds after which a run is killed and counts as `timeout`."""
    idle_us_min: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Before each run the guest idles for a random time of this many µs or more."""
    idle_us_max: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """That time is at most this many µs."""

    @property
    def compiled(self) -> list[str]:
        """The sources, whichever key has them; none where it has another form."""
        return [self.source] if self.source is not None else self.sources or []

    @property
    def lines(self) -> dict[str, str]:
        """The command lines by their keys."""
        keys = ("command", "background", "before", "after")
        return {key: line for key in keys if (line := getattr(self, key)) is not None}

    @property
    def words(self) -> str:
        """The command, and with which options it was built."""
        flags = " ".join([*self.cflags, *self.libraries])
        return self.command + (f" ({flags})" if flags else "")

    @model_validator(mode="after")
    def _has_one_form(self) -> Workload:
        keys = ("source", "sources", "make", "script", "program")
        given = [key for key in keys if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"give only one of {', '.join(keys)}, not {' and '.join(given)}")
        for key in ("cflags", "libraries"):
            if getattr(self, key) and (not given or given[0] in ("script", "program")):
                raise ValueError(f"{key}: only what is compiled has them: source, sources, make")
        if twice := next((path for path in self.compiled if self.compiled.count(path) > 1), None):
            raise ValueError(f"sources: {twice} is there twice")
        return self

    @model_validator(mode="after")
    def _idle_times_are_a_range(self) -> Workload:
        if self.idle_us_min > self.idle_us_max:
            raise ValueError(
                f"idle_us_min: expected at most the {self.idle_us_max} of idle_us_max, "
                f"not {self.idle_us_min}"
            )
        return self
