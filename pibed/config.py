"""Configuration: machines and experiments, read from YAML and checked.

`configs/machines/*.yaml` describe what is emulated, `configs/experiments/*.yaml` what is
measured. Every record is immutable and refuses unknown keys; an override from the command line
replaces one key before the check, so that it meets the same rules as the file.
"""

from __future__ import annotations

import re
import string
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pibed.errors import HostError, UsageError

Clock = Literal["virtual", "host"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


def _inside_checkout(path: str) -> str:
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"expected a path inside the checkout, not {path!r}")
    return path


RelativePath = Annotated[str, AfterValidator(_inside_checkout)]


def _in_one_line(text: str) -> str:
    # Such characters could turn the words around them on a screen or a page.
    if not text.isprintable():
        raise ValueError("expected words without control characters")
    return text


Words = Annotated[str, AfterValidator(_in_one_line)]


class Record(BaseModel):
    """Base of all configuration: immutable, strict about types, no unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, strict=True, use_attribute_docstrings=True
    )


Series = Annotated[str, Field(pattern=r"^\d+\.\d+$")]


class DebugKernel(Record):
    """What turns the kernel into one that finds errors, for `invoke ktest --debug`."""

    fragments: Annotated[list[Name], Field(min_length=1)]
    """Files of kernel/fragments/ without `.config`, behind the kernel's own."""
    kernel_args: list[str] = []
    """Added to the kernel's command line."""
    boot_timeout_s: Annotated[float, Field(gt=0)]
    """In place of the machine's."""


class Kernel(Record):
    """The guest's kernel."""

    version: Series
    """Series, such as "6.1": the package `linux-source-<version>` is built."""
    versions: list[Series]
    """The series that `--kernel` takes; the module is tested on all of them."""
    fragments: Annotated[list[Name], Field(min_length=1)]
    """Files of kernel/fragments/ without `.config`, in order; a later line wins."""
    device_tree: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    """The board's device tree in the kernel's sources, without `.dtb`."""
    overlays: list[Name] = []
    """Files of kernel/dts/ without `.dtso`, applied to the device tree in order."""
    debug: DebugKernel

    @model_validator(mode="after")
    def _version_is_known(self) -> Kernel:
        if self.version not in self.versions:
            raise ValueError(f"version: expected one of {', '.join(self.versions)}")
        return self


class ClockMode(Record):
    """How QEMU and the kernel are started for one kind of clock."""

    jobs: Literal["cores", "one"]
    """How many rounds run side by side unless `--jobs` says otherwise."""
    qemu_args: list[str]
    """Added to QEMU's command line."""
    kernel_args: list[str]
    """Added to the kernel's command line."""


class Qemu(Record):
    """The emulator."""

    binary: str = "qemu-system-arm"
    """Name of the program, looked up in PATH, or an absolute path."""
    minimum_version: Annotated[str, Field(pattern=r"^\d+\.\d+$")]
    """Older ones are refused."""
    args: list[str] = []
    """Added to QEMU's command line with every clock."""


class Machine(Record):
    """An emulated board with its kernel and user space."""

    schema_version: Literal[1]
    name: Name
    board: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    """QEMU's machine type."""
    cpus: Annotated[int, Field(ge=1, le=64)]
    """CPUs of the board (QEMU's -smp)."""
    memory_mib: Annotated[int, Field(ge=16, le=65536)]
    """Memory of the board in MiB."""
    arch: Annotated[str, Field(pattern=r"^[a-z0-9]+$")]
    """The kernel's name of the architecture."""
    cross_compile: Annotated[str, Field(pattern=r"^[\w.-]*$")]
    """Prefix of the cross compiler's programs."""
    kernel: Kernel
    board_folder: RelativePath
    """Folder with `overlay/` (files of the root file system) and `busybox.config`."""
    kernel_args: list[str]
    """The kernel's command line, with every clock."""
    qemu: Qemu
    clock: Clock
    """The clock that is used unless `--clock` says otherwise."""
    clocks: dict[Clock, ClockMode]
    boot_timeout_s: Annotated[float, Field(gt=0)]
    """Host seconds until the agent's first marker must have come."""

    @model_validator(mode="after")
    def _clock_is_described(self) -> Machine:
        if self.clock not in self.clocks:
            raise ValueError(f"clock: {self.clock} is not described in clocks")
        return self

    def with_debug_kernel(self) -> Machine:
        """The same machine with a kernel that finds errors."""
        debug = self.kernel.debug
        kernel = self.kernel.model_copy(
            update={"fragments": [*self.kernel.fragments, *debug.fragments]}
        )
        return self.model_copy(
            update={
                "kernel": kernel,
                "kernel_args": [*self.kernel_args, *debug.kernel_args],
                "boot_timeout_s": debug.boot_timeout_s,
            }
        )


class ModuleSource(Record):
    """Where a kernel module comes from."""

    folder: RelativePath
    """Folder with its Kbuild file."""
    name: Identifier
    """Name of the module, without `.ko`."""


class Module(ModuleSource):
    """The kernel module under study."""

    parameters: dict[Identifier, str | int] = {}
    """Given to insmod; `{name}` stands for the value of an experiment's parameter."""
    timeout_s: Annotated[float, Field(gt=0)] = 20
    """Guest seconds after which loading (and unloading) it is given up."""


class Workload(Record):
    """The program that is measured."""

    source: RelativePath
    """C source, compiled statically into /usr/bin under its own name."""
    cflags: list[str] = []
    """Options for the compiler."""
    command: str
    """Command line in the guest; `{name}` stands for the value of a parameter."""
    timeout_s: Annotated[float, Field(gt=0)]
    """Guest seconds after which a run is killed and counts as `timeout`."""
    idle_us_max: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Before each run the guest idles for a random time of up to this many µs."""


class Metric(Record):
    """A number taken from each run: from what it printed, or from a counter of the kernel."""

    pattern: str | None = None
    """Regular expression over the output; its one group is the number."""
    counter: Annotated[str, Field(pattern=r"^/\S+$")] | None = None
    """File in the guest; the metric is by how much its number grew during the run."""
    unit: Words
    """Unit of the number, such as µs or pages."""
    title: Words
    """Name for people."""
    table: bool = False
    """Whether the table at the end of a sweep shows it."""

    @model_validator(mode="after")
    def _one_origin(self) -> Metric:
        if (self.pattern is None) == (self.counter is None):
            raise ValueError("give either pattern or counter")
        if self.pattern is not None:
            try:
                groups = re.compile(self.pattern).groups
            except re.error as error:
                raise ValueError(f"pattern: {error}") from error
            if groups != 1:
                raise ValueError("pattern: exactly one group (…) must hold the number")
        return self


class Parameter(Record):
    """One dimension of the experiment."""

    values: Annotated[list[int], Field(min_length=1)]
    """The values that are measured."""
    minimum: int
    maximum: int
    title: Words
    """Name for people."""
    labels: dict[int, Words] = {}
    """Names for single values."""

    @model_validator(mode="after")
    def _values_are_meant(self) -> Parameter:
        for value in self.values:
            if not self.minimum <= value <= self.maximum:
                raise ValueError(f"values: {value} is not from {self.minimum} to {self.maximum}")
        for value in self.values:
            if self.values.count(value) > 1:
                raise ValueError(f"values: {value} is there more than once")
        return self


class Growth(Record):
    """A metric that grows with something, and the law that is fitted to its medians."""

    metric: Identifier
    against: Identifier
    """The metric or parameter that it grows with."""
    law: Literal["linear", "power"]
    """`linear`: y = a + b·x; `power`: y = a·x^b, a line in log-log."""


class Cost(Record):
    """By how much the modes differ in a metric for each event by which they differ."""

    metric: Identifier
    events: Identifier
    """The metric that counts the events, such as faults."""
    by: Identifier | None = None
    """The parameter of which it is asked what it changes in the cost, such as a switch."""


class Analysis(Record):
    """What the statistics ask of the samples; see docs/statistics.md."""

    mode: Identifier | None = None
    """The parameter whose two values are compared."""
    total: list[Identifier] = []
    """The metrics, in one unit, whose sum decides which mode is faster."""
    relevant_percent: Annotated[float, Field(ge=0, le=100)] = 1.0
    """The smallest difference between the modes that matters; set before anything is measured."""
    growth: list[Growth] = []
    cost: Cost | None = None
    balance: Identifier | None = None
    """The parameter in which the point is sought where the totals of both modes are equal."""


class Experiment(Record):
    """What is measured: every combination of the parameters' values is a cell."""

    schema_version: Literal[1]
    name: Name
    title: Words
    module: Module
    workload: Workload
    parameters: Annotated[dict[Identifier, Parameter], Field(min_length=1)]
    metrics: Annotated[dict[Identifier, Metric], Field(min_length=1)]
    rounds: Annotated[int, Field(ge=1, le=10_000)]
    """Samples of each cell; each round is a boot of its own."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    """Everything random in the experiment follows from it."""
    analysis: Analysis | None = None
    """Without it, see `Experiment.analysed`."""

    @property
    def analysed(self) -> Analysis:
        """`analysis`, or what stands for it in an experiment that has none.

        Then the mode is the first parameter of two values that all have labels, and the total is
        that of the metrics in the printed table that have the unit of the first of them.
        """
        if self.analysis is not None:
            return self.analysis
        modes = (
            name
            for name, parameter in self.parameters.items()
            if len(parameter.values) == 2 and set(parameter.values) <= parameter.labels.keys()
        )
        shown = [name for name, metric in self.metrics.items() if metric.table]
        total = [name for name in shown if self.metrics[name].unit == self.metrics[shown[0]].unit]
        return Analysis(mode=next(modes, None), total=total)

    @model_validator(mode="after")
    def _placeholders_are_parameters(self) -> Experiment:
        reserved = {"experiment", "round", "order", "status"}
        if clash := reserved & (self.parameters.keys() | self.metrics.keys()):
            raise ValueError(f"{min(clash)!r} is the name of a fixed column of samples.csv")
        columns = {"metric", "n", "min", "max", "mean", "median", "sd", "ci_low", "ci_high"}
        columns |= {"ci_coverage", "mad", "outliers"}
        if clash := columns & self.parameters.keys():
            raise ValueError(f"{min(clash)!r} is the name of a fixed column of summary.csv")
        if clash := self.parameters.keys() & self.metrics.keys():
            raise ValueError(f"{min(clash)!r} is both a parameter and a metric")
        if "total" in self.metrics:
            raise ValueError("metrics: 'total' is the name of the sum of several metrics")
        texts = {"workload.command": self.workload.command} | {
            f"module.parameters.{key}": str(value) for key, value in self.module.parameters.items()
        }
        for key, text in texts.items():
            if "\n" in text:
                raise ValueError(f"{key}: expected one line, not {text!r}")
            try:
                fields = list(string.Formatter().parse(text))
            except ValueError as error:
                raise ValueError(
                    f"{key}: {error} (a brace that is meant is written twice)"
                ) from None
            for _, name, form, conversion in fields:
                if form or conversion:
                    raise ValueError(f"{key}: expected {{{name}}} and no more between the braces")
                if name is not None and name not in self.parameters:
                    raise ValueError(f"{key}: {{{name}}} is not a parameter of the experiment")
        return self

    @model_validator(mode="after")
    def _analysis_is_of_this_experiment(self) -> Experiment:
        if (analysis := self.analysis) is None:
            return self
        parameters, metrics = self.parameters.keys(), self.metrics.keys()
        growth, cost = analysis.growth, analysis.cost
        for key, what, names, known in (
            ("mode", "parameter", [analysis.mode], parameters),
            ("total", "metric", analysis.total, metrics),
            ("growth", "metric", [each.metric for each in growth], metrics),
            ("growth", "parameter or metric", [g.against for g in growth], parameters | metrics),
            ("cost", "metric", [cost.metric, cost.events] if cost else [], metrics),
            ("cost", "parameter", [cost.by] if cost else [], parameters),
            ("balance", "parameter", [analysis.balance], parameters),
        ):
            for name in names:
                if name is not None and name not in known:
                    raise ValueError(f"analysis.{key}: {name!r} is not a {what} of the experiment")
        if analysis.mode and len(self.parameters[analysis.mode].values) > 2:
            raise ValueError(f"analysis.mode: {analysis.mode} has more than two values")
        if len(units := {self.metrics[name].unit for name in analysis.total}) > 1:
            raise ValueError(f"analysis.total: no sum of {' and '.join(sorted(units))}")
        if len(set(analysis.total)) < len(analysis.total):
            raise ValueError("analysis.total: a metric is there twice")
        if (cost or analysis.balance) and not analysis.mode:
            raise ValueError("analysis.mode: cost and balance compare the values of a parameter")
        if cost and cost.by is not None and cost.by == analysis.mode:
            raise ValueError("analysis.cost: by: expected a parameter beside the mode")
        if analysis.balance and (analysis.balance == analysis.mode or not analysis.total):
            raise ValueError("analysis.balance: expected a parameter beside the mode, and a total")
        return self


_R = TypeVar("_R", bound=Record)


def checkout() -> Path:
    """The folder of the checkout, in which tasks.py lies."""
    return Path(__file__).resolve().parent.parent


def load_machine(name: str, overrides: Mapping[str, Any] | None = None) -> Machine:
    """Reads `configs/machines/<name>.yaml`; `overrides` maps dotted keys to new values.

    Raises UsageError with file, key and what was expected.
    """
    return load(Machine, "machine", name, overrides or {})


def load_experiment(name: str, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Reads `configs/experiments/<name>.yaml`; see `load_machine`."""
    return load(Experiment, "experiment", name, overrides or {})


def parse_numbers(option: str, text: str) -> list[int]:
    """The numbers of a list such as `64,128,256`.

    Raises UsageError that names the option and the part that is not a number.
    """
    numbers = []
    for part in text.split(","):
        if not re.fullmatch(r"\s*-?\d{1,18}\s*", part, re.ASCII):
            what = (
                f"{part.strip()!r} is not a whole number" if part.strip() else "a number is missing"
            )
            raise UsageError(
                f"{option} {text}: {what}", fix=f"separate numbers by commas: {option} 64,128,256"
            )
        numbers.append(int(part))
    return numbers


def json_schema(kind: type[Record]) -> dict[str, Any]:
    """The JSON Schema of a kind of configuration file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | kind.model_json_schema()


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a mapping that has a key twice, of which YAML would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a name or a number", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is there twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(kind: type[_R], noun: str, name: str, overrides: Mapping[str, Any]) -> _R:
    """Reads `configs/<noun>s/<name>.yaml` as a record of that kind; see `load_machine`."""
    folder = checkout() / "configs" / f"{noun}s"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise UsageError(
            f"there is no {noun} {name!r}",
            fix=f"choose one of: {', '.join(known)} (files of {folder})",
        )
    path = folder / f"{name}.yaml"
    record = load_file(kind, path, overrides)
    if (stated := getattr(record, "name", name)) != name:
        raise UsageError(f"{path}: name: expected {name}, as the file is called, not {stated}")
    return record


def load_file(kind: type[_R], path: Path, overrides: Mapping[str, Any]) -> _R:
    """Reads one file as a record of that kind; see `load_machine`."""
    data = _read_yaml(path)
    for key, value in overrides.items():
        _override(data, key, value)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise UsageError(_explain(path, error, overrides)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        # PyYAML's C parser is faster, but cannot be subclassed for the check of double keys.
        data = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        hint = " (indent with spaces; YAML allows no tabs)" if "\\t" in str(error.problem) else ""
        raise UsageError(f"{where}: not valid YAML: {error.problem}{hint}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid YAML: {error}") from None
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path}: expected a mapping of keys to values")
    return data


def _override(data: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for key in parents:
        data = data.setdefault(key, {})
        if not isinstance(data, dict):
            raise UsageError(f"{dotted}: {key} is not a mapping")
    data[last] = value


def _explain(path: Path, error: ValidationError, overrides: Mapping[str, Any]) -> str:
    """One line a problem: file (or command line), key, what was expected, what was found."""
    lines = []
    for problem in error.errors():
        # A value that may be text or a number is refused once for each of them.
        location = [part for part in problem["loc"] if part != "[key]"]
        either = problem["type"] in ("string_type", "int_type") and location[-1] in ("str", "int")
        key = ".".join(str(part) for part in (location[:-1] if either else location))
        message = problem["msg"].removeprefix("Value error, ")
        if either:
            message = "Input should be text or a whole number"
        if problem["type"] == "extra_forbidden":
            message = "unknown key"
        elif problem["type"] not in ("value_error", "missing"):
            message += f", not {problem['input']!r}"
        overridden = any(key == name or key.startswith(f"{name}.") for name in overrides) or any(
            name.startswith(f"{key}.") and problem["type"] == "value_error" for name in overrides
        )
        where = "command line" if overridden else str(path)
        lines.append(f"{where}: {key}: {message}" if key else f"{where}: {message}")
    return "\n".join(dict.fromkeys(lines))
