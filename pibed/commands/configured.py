"""What the command line takes from configs/ before a verb runs: default names, declared options.

Files are read for that alone and not checked, since every start of `./inv` does it; a verb that
uses them loads them through `pibed.model`, which says in full what is wrong with one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pibed.model.optionname import mistake

# With libyaml where PyYAML has it, which is several times faster; but what is nested too deeply for
# the stack ends the process there, and is an error without it. Each level has one of these signs.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SIGNS = "[{-?:"
_SIGNS_MAX = 4000


@dataclass(frozen=True)
class Declaration:
    """An option by which an experiment lets a verb set one of its parameters."""

    verb: str
    option: str
    """Without the dashes in front."""
    experiment: str
    help: str
    """What it sets, and to what."""


@dataclass(frozen=True)
class Configured:
    """What was found; `problems` are the files of which nothing could be taken, and why."""

    defaults: Mapping[str, str]
    declarations: tuple[Declaration, ...]
    problems: tuple[str, ...]
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Options that show what a verb can do with the defaults, by verb."""

    def options(self, verb: str) -> dict[str, str]:
        """The options that experiments declare for a verb, with their help."""
        found: dict[str, dict[str, list[str]]] = {}
        for each in self.declarations:
            if each.verb == verb:
                meanings = found.setdefault(each.option, {})
                meanings.setdefault(each.help, []).append(each.experiment)
        return {
            option: "; ".join(
                f"{help} (experiment{'s' * (len(names) > 1)} {', '.join(names)})"
                for help, names in meanings.items()
            )
            for option, meanings in found.items()
        }

    def files(self, verb: str, option: str) -> list[str]:
        """The files that declare an option for a verb, for messages."""
        return [
            f"configs/experiments/{each.experiment}.yaml"
            for each in self.declarations
            if (each.verb, each.option) == (verb, option)
        ]


def read(folder: Path) -> Configured:
    """Reads what a folder such as configs/ says; files that say nothing useful are problems."""
    defaults = dict.fromkeys(
        ("machine", "experiment", "suite", "rubric"), "see configs/defaults.yaml"
    )
    declarations: list[Declaration] = []
    problems = []
    examples: dict[str, Sequence[str]] = {}
    path = folder / "defaults.yaml"
    try:
        data = _mapping(path)
        examples = {
            verb: [text for text in texts if isinstance(text, str)]
            for verb, texts in data.get("examples", {}).items()
        }
        defaults |= {key: value for key, value in data.items() if isinstance(value, str)}
    except Exception as error:
        problems.append(_explain(path, error))
    for path in sorted((folder / "experiments").glob("*.yaml")):
        try:
            declarations += list(_declarations(path.stem, _mapping(path)))
        except Exception as error:
            problems.append(f"{_explain(path, error)}; the options that it declares are unknown")
    return Configured(defaults, tuple(declarations), tuple(problems), examples)


class _Mistake(Exception):
    """What is wrong with a declaration, in words."""


# What YAML makes of a value can raise anything: ValueError for the date 2026-13-45, for one.
def _explain(path: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{path}: {error.strerror}"
    if isinstance(error, _Mistake):
        return f"{path}: {error}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{path}:{mark.line + 1}:{mark.column + 1}: not valid YAML: {error.problem}"
    return f"{path}: it is not as docs/configuration.md describes it"


def _mapping(path: Path) -> Mapping[str, Any]:
    text = path.read_text(encoding="utf-8")
    many = sum(map(text.count, _SIGNS)) > _SIGNS_MAX
    data: Mapping[str, Any] = yaml.load(text, yaml.SafeLoader if many else _LOADER)
    data.keys()  # AttributeError for what is no mapping
    return data


def _declarations(experiment: str, data: Mapping[str, Any]) -> Iterator[Declaration]:
    for name, parameter in data["parameters"].items():
        labels = parameter.get("labels", {})
        if not all(isinstance(value, int | str) for value in parameter["values"]):
            raise _Mistake(f"parameters.{name}.values: expected whole numbers or text")
        values = [
            f"{each} ({labels[each]})" if each in labels else f"{each}"
            for each in parameter["values"]
        ]
        for verb, option in parameter.get("options", {}).items():
            if (words := mistake(option)) is not None:
                raise _Mistake(f"parameters.{name}.options.{verb}: {words}")
            if verb == "sweep":
                help = f"values of {name}, such as {','.join(map(str, parameter['values']))}"
                if labels:
                    help = f"values of {name}: {', '.join(values)}"
            else:
                help = f"load the module with this value of {name}: {', '.join(values)}"
            yield Declaration(verb, option, experiment, help)
