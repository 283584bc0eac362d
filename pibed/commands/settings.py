"""Parameters that the command line sets: those of an experiment, and those of a kernel module.

Every mistake is a UsageError that names the option as it was typed and what could be meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import UsageError
from pibed.commands import arguments
from pibed.model.experiment import Experiment
from pibed.model.modules import ModuleSource
from pibed.model.parameter import Parameter, Value, Verb


@dataclass(frozen=True)
class Setting:
    """What the command line sets a parameter to, and in which words: option, join, text."""

    option: str
    join: str
    text: str
    name: str
    """The parameter's."""

    def __str__(self) -> str:
        return f"{self.option}{self.join}{self.text}"


def pairs(option: str, given: Sequence[str]) -> list[Setting]:
    """What an option that takes NAME=VALUE was given, each name once."""
    settings: list[Setting] = []
    for each in given:
        if not each:
            raise UsageError(
                f"{option}: a value is missing", fix=f"write it as {option} NAME=VALUE"
            )
        name, equals, text = each.partition("=")
        name = name.strip()
        if not equals or not name:
            missing = "the name" if equals else "'='"
            raise UsageError(
                f"{option} {each}: {missing} is missing", fix=f"write it as {option} NAME=VALUE"
            )
        if any(name == setting.name for setting in settings):
            raise UsageError(f"{option} {each}: {name} is set twice", fix="set it once")
        settings.append(Setting(f"{option} {name}", "=", text, name))
    return settings


def declared(
    experiment: Experiment, verb: Verb, given: Mapping[str, str], general: str
) -> list[Setting]:
    """What the options that experiments declare for a verb were given.

    `general` is the option by which all parameters can be set.
    """
    by_option = {
        parameter.options[verb]: name
        for name, parameter in experiment.parameters.items()
        if verb in parameter.options
    }
    for option in given:
        if option not in by_option:
            raise UsageError(
                f"--{option}: the experiment {experiment.name} has no such option",
                fix=_known(experiment, verb, general),
            )
    return [Setting(f"--{option}", " ", text, by_option[option]) for option, text in given.items()]


def of_experiment(
    experiment: Experiment, given: Sequence[str], short: Mapping[str, str]
) -> dict[str, list[Value]]:
    """The values of an experiment's parameters that `sweep` is asked for, by parameter."""
    settings = declared(experiment, "sweep", short, "--set") + pairs("--set", given)
    found: dict[str, list[Value]] = {}
    for setting in settings:
        if setting.name not in experiment.parameters:
            raise UsageError(
                f"{setting}: the experiment {experiment.name} has no parameter {setting.name}",
                fix=_known(experiment, "sweep", "--set"),
            )
        if setting.name in found:
            other = next(each for each in settings if each.name == setting.name)
            raise UsageError(f"{setting}: {other} sets it already", fix="give one of the two")
        found[setting.name] = values(setting, experiment.parameters[setting.name])
    return found


def values(setting: Setting, parameter: Parameter) -> list[Value]:
    """The values that a parameter is set to, as they are or by their labels."""
    labels: dict[str, Value] = {}
    given = {each.strip() for each in setting.text.split(",")}
    for value, words in parameter.labels.items():
        label = words.strip()
        if label and labels.setdefault(label, value) != value and label in given:
            raise UsageError(
                f"{setting}: {label} is the label of {labels[label]} and of {value}",
                fix="give the text" if parameter.is_text else "give the number",
            )
    read = _words if parameter.is_text else _numbers
    found = read(setting, parameter, labels)
    for value in found:
        if found.count(value) > 1:
            raise UsageError(f"{setting}: {value} is there more than once")
    return found


def _numbers(setting: Setting, parameter: Parameter, labels: Mapping[str, Value]) -> list[Value]:
    numbers = {label: value for label, value in labels.items() if isinstance(value, int)}
    example = ",".join(map(str, parameter.values))
    found = arguments.parse_numbers(setting.option, setting.text, numbers, setting.join, example)
    for value in found:
        if not parameter.allows(value):
            raise UsageError(
                f"{setting}: {value} is not from {parameter.minimum} to {parameter.maximum}"
            )
    return [*found]


def _words(setting: Setting, parameter: Parameter, labels: Mapping[str, Value]) -> list[Value]:
    known = {word: word for word in parameter.words}
    found = []
    for part in (each.strip() for each in setting.text.split(",")):
        if part not in known and part not in labels:
            raise UsageError(
                f"{setting}: {part!r} is no value of {setting.name}"
                if part
                else f"{setting}: a value is missing",
                fix=f"expected, with commas between them: {', '.join([*known, *labels])}",
            )
        found.append(known.get(part) or labels[part])
    return found


def value(setting: Setting, parameter: Parameter) -> Value:
    """The one value that a parameter is set to."""
    found = values(setting, parameter)
    if len(found) > 1:
        raise UsageError(f"{setting}: expected one value")
    return found[0]


@dataclass(frozen=True)
class ModuleSetting:
    """What the command line sets a parameter of a module to."""

    module: ModuleSource
    name: str
    """The parameter's."""
    setting: Setting

    def __str__(self) -> str:
        return str(self.setting)


def of_modules(
    root: Path,
    modules: Sequence[ModuleSource],
    configured: Mapping[str, Iterable[str]],
    given: Sequence[str],
) -> list[ModuleSetting]:
    """The parameters of modules that `--param` sets; their folders are relative to `root`.

    A module has those that its configuration names (`configured`, by the module's name) and those
    that its sources define; those of one of the kernel's tree are not known. Where several have
    one, it is written MODULE.NAME.
    """
    known = {each.name: {*each.parameters, *configured.get(each.name, ())} for each in modules}
    for each in modules:
        if each.folder is not None:
            known[each.name] |= _parameters_in_sources(root / each.folder)
    found: list[ModuleSetting] = []
    for setting in pairs("--param", given):
        module, name = _whose(setting, modules, known)
        if any((module.name, name) == (other.module.name, other.name) for other in found):
            raise UsageError(f"{setting}: {name} of {module.name} is set twice", fix="set it once")
        if not setting.text or not setting.text.isprintable():
            raise UsageError(f"{setting}: expected a value, in one line")
        found.append(ModuleSetting(module, name, setting))
    return found


def _whose(
    setting: Setting, modules: Sequence[ModuleSource], known: Mapping[str, set[str]]
) -> tuple[ModuleSource, str]:
    """The module that a setting is of, and the name of its parameter."""
    if not modules:
        raise UsageError(f"{setting}: there is no module whose parameter it could be")
    of, _, name = setting.name.rpartition(".")
    if of and of not in known:
        raise UsageError(
            f"{setting}: there is no module {of}", fix=f"the modules: {', '.join(known)}"
        )
    asked = [each for each in modules if of in ("", each.name)]
    having = [each for each in asked if name in known[each.name]]
    if not having and len(asked) == 1 and asked[0].folder is None:
        having = asked
    if len(having) > 1:
        raise UsageError(
            f"{setting}: {' and '.join(each.name for each in having)} have such a parameter",
            fix=f"write --param {having[-1].name}.{setting.name}={setting.text}",
        )
    if having:
        return having[0], name
    if len(asked) == 1:
        whose, names = f"the module {asked[0].name}", sorted(known[asked[0].name])
    else:
        whose = f"none of the modules {', '.join(known)}"
        names = [f"{each.name}.{n}" for each in asked for n in sorted(known[each.name])]
    raise UsageError(
        f"{setting}: {whose} has {'no' if len(asked) == 1 else 'a'} parameter {name}",
        fix=f"{'its' if len(asked) == 1 else 'their'} parameters: {', '.join(names) or 'none'}",
    )


# module_param(name, …), module_param_named(name, …), module_param_array(name, …) and so on.
_MODULE_PARAM = re.compile(r"^\s*module_param\w*\(\s*(\w+)\s*,", re.MULTILINE)


def _parameters_in_sources(folder: Path) -> set[str]:
    return {
        name
        for path in folder.rglob("*.[ch]")
        for name in _MODULE_PARAM.findall(path.read_text(encoding="utf-8", errors="replace"))
    }


def _known(experiment: Experiment, verb: Verb, general: str) -> str:
    names = [
        f"{name} (--{parameter.options[verb]})" if verb in parameter.options else name
        for name, parameter in experiment.parameters.items()
    ]
    return f"its parameters, for {general}: {', '.join(names)}"
