"""What the command line takes from configs/ before a verb runs: default names, declared options.

Files are read for that alone and not checked, since every start of `./inv` does it; a verb that
uses them loads them through `pibed.model`, which says in full what is wrong with one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# With libyaml where PyYAML has it, which is five times faster.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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


def read(folder: Path) -> Configured:
    """Reads what a folder such as configs/ says; files that say nothing useful are problems."""
    defaults = dict.fromkeys(("machine", "experiment", "suite"), "see configs/defaults.yaml")
    declarations: list[Declaration] = []
    problems = []
    path = folder / "defaults.yaml"
    try:
        defaults |= {key: str(value) for key, value in _mapping(path).items()}
    except _UNUSABLE as error:
        problems.append(_explain(path, error))
    for path in sorted((folder / "experiments").glob("*.yaml")):
        try:
            declarations += list(_declarations(path.stem, _mapping(path)))
        except _UNUSABLE as error:
            problems.append(f"{_explain(path, error)}; the options that it declares are unknown")
    return Configured(defaults, tuple(declarations), tuple(problems))


_UNUSABLE = (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError)


def _explain(path: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{path}: {error.strerror}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{path}:{mark.line + 1}:{mark.column + 1}: not valid YAML: {error.problem}"
    return f"{path}: it is not as docs/configuration.md describes it"


def _mapping(path: Path) -> Mapping[str, Any]:
    data: Mapping[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _LOADER)
    data.keys()  # AttributeError for what is no mapping
    return data


def _declarations(experiment: str, data: Mapping[str, Any]) -> Iterator[Declaration]:
    for name, parameter in data["parameters"].items():
        labels = parameter.get("labels", {})
        values = [
            f"{each} ({labels[each]})" if each in labels else f"{each}"
            for each in parameter["values"]
        ]
        for verb, option in parameter.get("options", {}).items():
            if verb == "sweep":
                help = f"values of {name}, such as {','.join(map(str, parameter['values']))}"
                if labels:
                    help = f"values of {name}: {', '.join(values)}"
            else:
                help = f"load the module with this value of {name}: {', '.join(values)}"
            yield Declaration(verb, option, experiment, help)
