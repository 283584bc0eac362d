"""Invoke's tasks, made from the records of their options."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from importlib import import_module
from inspect import Parameter, Signature
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task

from pibed.commands.configured import Configured
from pibed.commands.frame import command


def verb(name: str, record: type[Any], function: str, configured: Configured) -> Task[Any]:
    """The task `name`: its options and help are the fields of `record`, its text the docstring.

    `function`, given as `module:name`, is imported when the task runs, and called with the record.
    An exit status that it returns becomes that of the process. Options that experiments declare for
    the verb are put together in the record's field `declared`.
    """
    own = [field for field in dataclasses.fields(record) if "help" in field.metadata]
    help = {each.name: each.metadata["help"].format_map(configured.defaults) for each in own}
    declared = {
        option.replace("-", "_"): (option, text)
        for option, text in configured.options(name).items()
    }
    for clash in declared.keys() & help.keys():
        option, _ = declared.pop(clash)
        print(f"pibed: --{option} is an option of {name}, not of an experiment", file=sys.stderr)

    @command
    def body(context: Context, **given: Any) -> None:
        options = {
            each.name: tuple(given[each.name]) if each.default == () else given[each.name]
            for each in own
        }
        if declared:
            values = {option: given[key] for key, (option, _) in declared.items()}
            options["declared"] = {key: text for key, text in values.items() if text is not None}
        module, _, attribute = function.partition(":")
        if status := getattr(import_module(module), attribute)(record(**options)):
            raise Exit(code=status)

    body.__name__ = name
    body.__doc__ = record.__doc__
    body.__signature__ = _signature(own, declared)  # type: ignore[attr-defined]
    return Task(
        body,
        # None at all: they would mean another option for each verb.
        auto_shortflags=False,
        iterable=[each.name for each in own if each.default == ()],
        help=help | {key: text for key, (_, text) in declared.items()},
    )


def _signature(own: list[dataclasses.Field[Any]], declared: Mapping[str, Any]) -> Signature:
    parameters = [Parameter("context", Parameter.POSITIONAL_OR_KEYWORD)]
    for each in own:
        # What has no default is positional for Invoke, and what is None can be a list.
        default = None if each.default == () else each.default
        if default is dataclasses.MISSING:
            default = Parameter.empty
        parameters.append(Parameter(each.name, Parameter.KEYWORD_ONLY, default=default))
    parameters += [Parameter(key, Parameter.KEYWORD_ONLY, default=None) for key in declared]
    return Signature(parameters)
