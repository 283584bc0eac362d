"""Experiments: what is measured. `configs/experiments/*.yaml` describe them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from pibed.model import modules, placeholders
from pibed.model.counts import PHASES, Event
from pibed.model.loading import Identifier, Name, Package, Record, RelativePath, Words, load
from pibed.model.modules import KernelOptions, Module
from pibed.model.parameter import Parameter, ParameterValue, Verb
from pibed.model.workload import Workload

Better = Literal["lower", "higher"]
"""Which values of a metric are the better ones."""

TOTAL = "total"
"""The name that the sum of `analysis.total` has among the metrics, where these are several."""


SAMPLE_COLUMNS = ("experiment", "round", "order", "status")
"""The columns of samples.csv before those of parameters and metrics, which have other names."""

SUMMARY_COLUMNS = (
    *("metric", "n", "min", "max", "mean", "median", "sd"),
    *("ci_low", "ci_high", "ci_coverage", "mad", "outliers"),
)
"""The columns of summary.csv behind those of parameters, which have other names."""


class Metric(Record):
    """A number taken from each run: from what it printed, or something that was counted."""

    pattern: str | None = None
    """Regular expression over the output; its one group is the number."""
    counter: Annotated[str, Field(pattern=r"^/\S+$")] | None = None
    """File in the guest; the metric is by how much its number grew during the run."""
    kernel_log: str | None = None
    """The same over what the kernel wrote to its log during the run."""
    exit_status: Literal[True] | None = None
    """The metric is the status with which the command ends; one other than 0 is no failure then."""
    event: Event | None = None
    """What the timing plugin counts; the metric is how often it happened during the run."""
    phase: Annotated[int, Field(ge=0, lt=PHASES)] | None = None
    """Of an event: the part of the run in which it is counted, as the program marks it."""
    unit: Words
    """Unit of the number, such as µs or pages."""
    title: Words
    """Name for people."""
    better: Better = "lower"
    """Which of its values are the better ones: of a throughput the higher, of a time the lower."""
    table: bool = True
    """Whether the table at the end of a sweep and the plots show it."""

    @model_validator(mode="after")
    def _one_origin(self) -> Metric:
        origins = ("pattern", "counter", "event", "kernel_log", "exit_status")
        if sum(getattr(self, origin) is not None for origin in origins) != 1:
            raise ValueError(f"give either {' or '.join(origins)}")
        if self.phase is not None and self.event is None:
            raise ValueError("phase: only an event is counted by phases")
        for key in ("pattern", "kernel_log"):
            if (pattern := getattr(self, key)) is None:
                continue
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"{key}: {error}") from error
            if groups != 1:
                raise ValueError(f"{key}: exactly one group (…) must hold the number")
        return self


class Growth(Record):
    """A metric that grows with something, and the law that is fitted to its medians."""

    metric: Identifier
    against: Identifier
    """The metric or parameter that it grows with."""
    law: Literal["linear", "power"]
    """`linear`: y = a + b·x; `power`: y = a·x^b, a line in log-log."""


class Cost(Record):
    """By how much the alternatives differ in a metric for each event by which they differ."""

    metric: Identifier
    events: Identifier
    """The metric that counts the events, such as faults."""
    by: Identifier | None = None
    """The parameter of which it is asked what it changes in the cost, such as a switch."""


class Effects(Record):
    """How much of a metric's variance follows each of two parameters, crossed."""

    metric: Identifier
    factors: Annotated[list[Identifier], Field(min_length=2, max_length=2)]
    """The compared parameter, and the one beside it."""


class AnalysisPlan(Record):
    """What the statistics ask of the samples; see docs/statistics.md."""

    compare: Identifier | None = None
    """The parameter whose values, the alternatives, are compared."""
    baseline: ParameterValue | None = None
    """Its value that each of the others is compared with: the first unless another is named.

    Of two values the first is compared with the second.
    """
    total: list[Identifier] = []
    """The metrics, in one unit, whose sum decides which alternative is faster."""
    relevant_percent: Annotated[float, Field(ge=0, le=100)] = 1.0
    """The smallest difference that matters; set before anything is measured."""
    growth: list[Growth] = []
    cost: Cost | None = None
    balance: Identifier | None = None
    """The parameter in which the point is sought where the totals of both are equal."""
    effects: Effects | None = None


Leaks: TypeAlias = Literal["warn", "fail", "ignore"]


class Experiment(Record):
    """What is measured: every combination of the parameters' values is a cell."""

    schema_version: Literal[1]
    name: Name
    title: Words
    module: Module | None = None
    """Short for a list of one."""
    modules: list[Module] = []
    """Loaded in this order, and unloaded in reverse."""
    kernel: KernelOptions | None = None
    files: RelativePath | None = None
    """Folder whose files the guest gets, each at its path from there."""
    packages: list[Package] = []
    """Packages of the distribution that the guest gets, with what they depend on."""
    workload: Workload
    parameters: Annotated[dict[Identifier, Parameter], Field(min_length=1)]
    metrics: Annotated[dict[Identifier, Metric], Field(min_length=1)]
    rounds: Annotated[int, Field(ge=1, le=10_000)]
    """Samples of each cell; each round is a boot of its own."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    """Everything random in the experiment follows from it."""
    leaks: Leaks = "warn"
    """What becomes of memory that the module does not give back: `warn` looks for it in a boot of
    its own behind the rounds, `fail` in each sample too, which fails then, `ignore` nowhere."""
    file: SkipJsonSchema[str | None] = None
    """Its file, whose folder its paths are relative to, if it is not of the checkout's configs/;
    never in the file itself."""
    analysis: AnalysisPlan | None = None
    """Without it, see `Experiment.analysed`."""

    @property
    def where(self) -> str:
        """Its file, for messages."""
        return self.file or f"configs/experiments/{self.name}.yaml"

    @property
    def modules_by_key(self) -> dict[str, Module]:
        """All modules in the order in which they are loaded, by their keys in the file."""
        return modules.by_key(self.module, self.modules)

    @property
    def module_list(self) -> tuple[Module, ...]:
        """All modules in the order in which they are loaded."""
        return tuple(self.modules_by_key.values())

    def with_modules(self, its: Sequence[Module]) -> Experiment:
        """The same with other modules."""
        return self.model_copy(update={"module": None, "modules": list(its)})

    @property
    def analysed(self) -> AnalysisPlan:
        """`analysis`, or what stands for it in an experiment that has none.

        Then the first parameter of two values that all have labels is compared, and the total is
        that of the metrics in the printed table that have the unit of the first of them, and as
        whose better values are the lower or the higher ones.
        """
        if self.analysis is not None:
            return self.analysis
        compared = (
            name
            for name, parameter in self.parameters.items()
            if len(parameter.values) == 2 and set(parameter.values) <= parameter.labels.keys()
        )
        shown = [name for name, metric in self.metrics.items() if metric.table]
        kinds = {name: (self.metrics[name].unit, self.metrics[name].better) for name in shown}
        total = [name for name in shown if kinds[name] == kinds[shown[0]]]
        return AnalysisPlan(compare=next(compared, None), total=total)

    def better(self, metric: str) -> Better:
        """Which values of a metric, or of the total, are the better ones."""
        return self.metrics[self.analysed.total[0] if metric == TOTAL else metric].better

    @property
    def reads_kernel_log(self) -> bool:
        """Whether a metric is taken from the kernel's log."""
        return any(metric.kernel_log is not None for metric in self.metrics.values())

    @property
    def measures_status(self) -> bool:
        """Whether the command may end with another status than 0, since that is a metric."""
        return any(metric.exit_status for metric in self.metrics.values())

    def is_main(self, metric: str) -> bool:
        """Whether a metric, or the total, is shown before the others."""
        return metric == TOTAL or self.metrics[metric].table

    @model_validator(mode="after")
    def _modules_are_one_list(self) -> Experiment:
        modules.by_key(self.module, self.modules)
        return self

    @model_validator(mode="after")
    def _names_are_free(self) -> Experiment:
        if clash := self.parameters.keys() & self.metrics.keys():
            raise ValueError(f"{min(clash)!r} is both a parameter and a metric")
        for names, what, reserved in (
            ({*self.parameters, *self.metrics}, "a fixed column of samples.csv", SAMPLE_COLUMNS),
            (self.parameters.keys(), "a fixed column of summary.csv", SUMMARY_COLUMNS),
            (self.metrics.keys(), "the sum of several metrics", (TOTAL,)),
        ):
            if clash := names & set(reserved):
                more = SUMMARY_COLUMNS if min(clash) in self.parameters else (TOTAL,)
                raise ValueError(
                    f"{min(clash)!r} is the name of {what}; these are taken: "
                    f"{', '.join((*SAMPLE_COLUMNS, *more))}"
                )
        return self

    @model_validator(mode="after")
    def _placeholders_are_parameters(self) -> Experiment:
        texts = {f"workload.{key}": line for key, line in self.workload.lines.items()}
        texts |= {
            f"{where}.parameters.{key}": str(value)
            for where, module in self.modules_by_key.items()
            for key, value in module.parameters.items()
        }
        for key, text in texts.items():
            if "\n" in text:
                raise ValueError(f"{key}: expected one line, not {text!r}")
            if (words := placeholders.mistake(text, self.parameters)) is not None:
                raise ValueError(f"{key}: {words}")
        return self

    @model_validator(mode="after")
    def _options_can_be_told_apart(self) -> Experiment:
        loaded = [value for each in self.module_list for value in each.parameters.values()]
        in_module = placeholders.names(" ".join(map(str, loaded)))
        named: dict[tuple[Verb, str], str] = {}
        for name, parameter in self.parameters.items():
            for verb, option in parameter.options.items():
                key = f"parameters.{name}.options.{verb}"
                if (other := named.setdefault((verb, option), name)) != name:
                    raise ValueError(f"{key}: --{option} is the option of {other} already")
                if verb == "boot" and name not in in_module:
                    raise ValueError(f"{key}: no parameter of the module is {{{name}}}")
        return self

    @model_validator(mode="after")
    def _analysis_is_of_this_experiment(self) -> Experiment:
        if (analysis := self.analysis) is None:
            return self
        parameters, metrics = self.parameters.keys(), self.metrics.keys()
        growth, cost, effects = analysis.growth, analysis.cost, analysis.effects
        for key, what, names, known in (
            ("compare", "parameter", [analysis.compare], parameters),
            ("total", "metric", analysis.total, metrics),
            ("growth", "metric", [each.metric for each in growth], metrics),
            ("growth", "parameter or metric", [g.against for g in growth], parameters | metrics),
            ("cost", "metric", [cost.metric, cost.events] if cost else [], metrics),
            ("cost", "parameter", [cost.by] if cost else [], parameters),
            ("balance", "parameter", [analysis.balance], parameters),
            ("effects", "metric", [effects.metric] if effects else [], metrics),
            ("effects", "parameter", effects.factors if effects else [], parameters),
        ):
            for name in names:
                if name is not None and name not in known:
                    raise ValueError(f"analysis.{key}: {name!r} is not a {what} of the experiment")
        if len(units := {self.metrics[name].unit for name in analysis.total}) > 1:
            raise ValueError(f"analysis.total: no sum of {' and '.join(sorted(units))}")
        ways = {self.metrics[name].better: name for name in analysis.total}
        if len(ways) > 1:
            raise ValueError(
                f"analysis.total: no sum of {ways['lower']}, of which lower is better, and "
                f"{ways['higher']}, of which higher is"
            )
        if len(set(analysis.total)) < len(analysis.total):
            raise ValueError("analysis.total: a metric is there twice")
        if (cost or analysis.balance) and not analysis.compare:
            raise ValueError("analysis.compare: cost and balance compare a parameter's values")
        if cost and cost.by is not None and cost.by == analysis.compare:
            raise ValueError("analysis.cost: by: expected a parameter beside the compared one")
        if analysis.balance and (analysis.balance == analysis.compare or not analysis.total):
            raise ValueError(
                "analysis.balance: expected a parameter beside the compared one, and a total"
            )
        if effects and (analysis.compare not in effects.factors or len(set(effects.factors)) < 2):
            raise ValueError(
                "analysis.effects: factors: expected the compared parameter and one beside it"
            )
        if effects and len(self.parameters[analysis.compare or ""].values) > 2:
            raise ValueError(
                f"analysis.effects: {analysis.compare} has more than two values, of which effects "
                "are not told"
            )
        return self

    @model_validator(mode="after")
    def _compared_values_are_there(self) -> Experiment:
        if (analysis := self.analysis) is None:
            return self
        if analysis.baseline is not None:
            values = self.parameters[analysis.compare].values if analysis.compare else []
            if analysis.baseline not in values:
                whose = f"{analysis.compare}: {', '.join(map(str, values))}"
                raise ValueError(
                    f"analysis.baseline: {analysis.baseline} is not a value of {whose}"
                    if analysis.compare
                    else "analysis.baseline: expected analysis.compare beside it"
                )
        numbers = [("balance", analysis.balance)]
        numbers += [("growth", each.against) for each in analysis.growth]
        for key, name in numbers:
            if name in self.parameters and self.parameters[name or ""].is_text:
                raise ValueError(f"analysis.{key}: the values of {name} are text, not numbers")
        return self


def load_experiment(name: str, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Reads `configs/experiments/<name>.yaml`; see `load_machine`."""
    return load(Experiment, "experiment", name, overrides or {})
