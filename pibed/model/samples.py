"""Samples: one run of the workload in a cell, from what the guest returned to a row of a file."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pibed.base.errors import printable
from pibed.model import kernellog
from pibed.model.counts import Event
from pibed.model.experiment import SAMPLE_COLUMNS, Experiment
from pibed.model.parameter import Value
from pibed.model.plan import Cell
from pibed.model.protocol import Result

# Letters of an output in a message, and how many of what a pattern found.
_MOST, _FEW = 300, 5


class Status(StrEnum):
    """How a sample ended; docs/results.md says what leads to each."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    PANIC = "panic"
    OOPS = "oops"
    LOST = "lost"


Number = int | float


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: where it stands in the experiment, how it ended, and its metrics if it is `ok`.

    `message` says what went wrong otherwise. Nothing in it depends on the host.
    """

    experiment: str
    round: int
    order: int
    status: Status
    cell: Cell
    metrics: dict[str, Number]
    message: str = ""

    def to_json(self) -> str:
        """One line of JSON."""
        record = {
            "experiment": self.experiment,
            "round": self.round,
            "order": self.order,
            "status": self.status,
            "parameters": self.cell.as_dict(),
            "metrics": self.metrics,
            "message": self.message,
        }
        return json.dumps(record, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Sample:
        """The sample of such a line; raises ValueError or TypeError for anything else."""
        data: Any = json.loads(line)
        try:
            status, cell = Status(data.pop("status")), Cell.of(data.pop("parameters"))
        except (AttributeError, KeyError) as error:
            raise ValueError(f"a sample has a status and parameters: {error}") from None
        sample = cls(status=status, cell=cell, **data)
        # Of a million samples that have the same words, each is there once.
        metrics = {sys.intern(name): number for name, number in sample.metrics.items()}
        sample = replace(sample, experiment=sys.intern(sample.experiment), metrics=metrics)
        for value in cell.as_dict().values():
            if not isinstance(value, Value):
                raise TypeError(f"{value!r} is no value of a parameter")
        for number in sample.metrics.values():
            if not isinstance(number, int | float):
                raise TypeError(f"{number!r} is no number")
        return sample


def read_log(data: bytes) -> tuple[list[Sample], bool]:
    """The samples in a boot's samples.jsonl, up to the first line that is not whole.

    Whether there is one is the second value: what a write that was cut off leaves behind.
    """
    samples: list[Sample] = []
    *lines, rest = data.split(b"\n")
    for line in lines:
        try:
            samples.append(Sample.from_json(line.decode()))
        except (ValueError, TypeError, AttributeError, RecursionError):
            return samples, True
    return samples, bool(rest)


def measurable(number: Number) -> bool:
    """Whether a number can be computed with: squares of those it refuses may be infinite, or 0."""
    return number == 0 or 1e-50 <= abs(number) <= 1e50


def take_metrics(
    experiment: Experiment,
    run: Result,
    counters: tuple[Result, Result] | None,
    log: Result | None = None,
) -> dict[str, Number]:
    """The metrics of a run: by pattern from its output, by difference from what was counted.

    `log` is the answer to `kernellog.end`, where a metric is taken from the kernel's log.

    Raises ValueError that says which metric is missing and why.
    """
    grown: dict[str, Number] = {}
    if counters is not None:
        for result in counters:
            if result.status != 0:
                raise ValueError(f"the counters could not be read: {result.words}")
        readings = [_numbers(result) for result in counters]
        names = [name for name, metric in experiment.metrics.items() if metric.counter]
        if any(len(reading) != len(names) for reading in readings):
            raise ValueError("the counters are not one number each")
        grown = {name: after - before for name, before, after in zip(names, *readings, strict=True)}
    # Where the output was cut off a line, and the number in it, may be half of what it was.
    whole = run.output[:-1] if run.truncated else run.output
    output = _Text("output", "\n".join(whole), run.truncated)
    kernel = _Text("kernel's log", "" if log is None else "\n".join(kernellog.lines(log)))
    metrics: dict[str, Number] = {}
    for name, metric in experiment.metrics.items():
        if metric.event is not None:
            metrics[name] = _counted(run, name, metric.event, metric.phase)
            continue
        if metric.exit_status:
            metrics[name] = run.status
            continue
        if metric.kernel_log is not None:
            metrics[name] = kernel.matched(name, metric.kernel_log)
            continue
        if metric.pattern is None:
            metrics[name] = grown[name]
            continue
        metrics[name] = output.matched(name, metric.pattern)
    return metrics


@dataclass(frozen=True)
class _Text:
    """What numbers are taken from by patterns: the output, or the kernel's log."""

    what: str
    text: str
    truncated: bool = False

    def matched(self, name: str, pattern: str) -> Number:
        """The number that a pattern finds; raises ValueError if that is not one, found once."""
        found = re.findall(pattern, self.text)
        if len(found) != 1:
            cut = ", which was cut off at 64 KiB," if self.truncated else ""
            raise ValueError(
                f"{name}: the pattern matches the {self.what}{cut} {len(found)} times instead of "
                f"once{self._tried(found)}"
            )
        try:
            return _number(found[0])
        except ValueError as error:
            raise ValueError(f"{name}: {error}{self._tried([])}") from None

    def _tried(self, found: Sequence[str]) -> str:
        """What a pattern has found, or else what it was tried on, fit for a message."""
        if found:
            more = ", …" if len(found) > _FEW else ""
            return f": {', '.join(map(_shortened, found[:_FEW]))}{more}"
        if self.text.strip():
            return f"; the {self.what}: {_shortened(self.text)}"
        return "; no line of it is whole" if self.truncated else f"; there was no {self.what}"


def _shortened(text: str) -> str:
    """The begin and the end of a text in one line."""
    line = printable("; ".join(each.strip() for each in text.splitlines() if each.strip()))
    half = _MOST // 2
    return line if len(line) <= _MOST else f"{line[:half]} … {line[-half:]}"


def _counted(run: Result, name: str, event: Event, phase: int | None) -> int:
    if run.counts is None:
        raise ValueError(f"{name}: events were not counted")
    try:
        return run.counts.of(event, phase)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def to_csv(experiment: Experiment, samples: Iterable[Sample]) -> str:
    """The content of samples.csv: a header, and one row a sample sorted by round and order."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    parameters, metrics = list(experiment.parameters), list(experiment.metrics)
    writer.writerow([*SAMPLE_COLUMNS, *parameters, *metrics])
    for sample in sorted(samples, key=lambda each: (each.round, each.order)):
        values = sample.cell.as_dict()
        writer.writerow(
            [
                sample.experiment,
                sample.round,
                sample.order,
                sample.status,
                *(values[name] for name in parameters),
                *(sample.metrics.get(name, "") for name in metrics),
            ]
        )
    return text.getvalue()


def from_csv(experiment: Experiment, text: str) -> list[Sample]:
    """The samples of a samples.csv of this experiment, in its order, without messages.

    Raises ValueError that names the line for anything that `to_csv` does not write.
    """
    parameters, metrics = list(experiment.parameters), list(experiment.metrics)
    reader = csv.reader(io.StringIO(text), strict=True)
    # Of a million samples that have the same, each is there once.
    statuses, names = {str(status): status for status in Status}, dict[str, str]()
    places: dict[tuple[str, ...], Cell] = {}
    found = []
    try:
        if next(reader, None) != [*SAMPLE_COLUMNS, *parameters, *metrics]:
            raise ValueError("other columns than the experiment's")
        for row in reader:
            name, round_, order, status = row[:4]
            place = tuple(row[4 : 4 + len(parameters)])
            if place not in places:
                places[place] = _cell(experiment, place)
            values = row[4 + len(parameters) :]
            if status not in statuses or len(values) != len(metrics):
                raise ValueError(f"{','.join(row)!r} is no sample")
            found.append(
                Sample(
                    names.setdefault(name, name),
                    int(round_),
                    int(order),
                    statuses[status],
                    places[place],
                    {
                        metric: _number(value)
                        for metric, value in zip(metrics, values, strict=True)
                        if value
                    },
                )
            )
    except (csv.Error, ValueError) as error:
        raise ValueError(f"line {max(1, reader.line_num)}: {error}") from None
    return found


def _cell(experiment: Experiment, row: Sequence[str]) -> Cell:
    """The cell in a row of samples.csv; raises ValueError if a number is none."""
    pairs = zip(experiment.parameters.items(), row, strict=False)
    return Cell(tuple((name, text if each.is_text else int(text)) for (name, each), text in pairs))


def _numbers(result: Result) -> Sequence[Number]:
    try:
        return [_number(line) for line in result.output]
    except ValueError as error:
        raise ValueError(f"a counter: {error}") from None


def _number(text: str) -> Number:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a finite number")
    if not measurable(number):
        raise ValueError(f"{text!r} is not 0 and not of a size between 1e-50 and 1e50")
    return int(text) if re.fullmatch(r"\s*[+-]?\d+\s*", text) else number
