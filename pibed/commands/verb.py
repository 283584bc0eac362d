"""Invoke's tasks, made from the records of their options."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task

from pibed.commands.configured import Configured
from pibed.commands.frame import command

# Before the names of options that experiments declare, so that none is that of a parameter in
# Python, whatever it is called; Invoke leaves it out where it shows them.
_DECLARED = "_"


def verb(name: str, record: type[Any], function: str, configured: Configured) -> Task[Any]:
    """The task `name`: its options and help are the fields of `record`, its text the docstring.

    `{examples}` in the docstring, a line of its own, stands for those that are configured.

    `function`, given as `module:name`, is imported when the task runs, and called with the record.
    An exit status that it returns becomes that of the process. Options that experiments declare for
    the verb are put together in the record's field `declared`.
    """
    own = [field for field in dataclasses.fields(record) if "help" in field.metadata]
    known = {_typed(field) for field in own}
    declared = configured.options(name)
    for clash in sorted(known & declared.keys()):
        del declared[clash]
        files = ", ".join(configured.files(name, clash))
        print(f"pibed: {files}: --{clash} is an option of {name} already", file=sys.stderr)

    def body(context: Context, **given: Any) -> None:
        options = {
            each.name: _all_given(each, given[each.name])
            if each.default == () or each.metadata.get("several")
            else given[each.name]
            for each in own
        }
        if declared:
            values = {option: given[_DECLARED + option] for option in declared}
            options["declared"] = {key: text for key, text in values.items() if text is not None}
        module, _, attribute = function.partition(":")
        # A signal during the import has nothing to put in order yet, and ends the process.
        run = command(getattr(import_module(module), attribute))
        if status := run(record(**options)):
            raise Exit(code=status)

    body.__name__ = name
    body.__doc__ = _text(name, record, configured)
    arguments = [_argument(each, configured.defaults) for each in own]
    arguments += [
        Argument(names=(option,), attr_name=_DECLARED + option, help=text)
        for option, text in declared.items()
    ]
    return _Verb(body, arguments)


def _text(name: str, record: type[Any], configured: Configured) -> str:
    lines = []
    for line in inspect.cleandoc(record.__doc__ or "").splitlines():
        if line == "{examples}":
            lines += [f"Example: ./inv {name} {text}" for text in configured.examples.get(name, ())]
        else:
            lines.append(line)
    return "\n".join(lines)


class _Words(Argument):
    """A positional argument for all words that are no options, of which Invoke gives it one.

    Invoke gives words to positional arguments as long as one has no value: this has none before it
    has them all, which are as many as the command line tells.
    """

    def __init__(self, name: str, help: str) -> None:
        super().__init__(names=(name,), kind=list, positional=True, help=help)
        self.expected = 1
        self._words: list[str] = []

    @property
    def value(self) -> list[str] | None:
        """All words; None before."""
        return self._words if len(self._words) >= self.expected else None

    @value.setter
    def value(self, word: str) -> None:
        self._words.append(word)

    @property
    def got_value(self) -> bool:
        """Whether there is a word."""
        return bool(self._words)


class _Verb(Task[Any]):
    """A task whose options are given, instead of read from a signature.

    So they can have names that Python's parameters cannot have.
    """

    def __init__(self, body: Any, arguments: Iterable[Argument]) -> None:
        super().__init__(body, positional=())
        self._arguments = tuple(arguments)
        for each in self._arguments:
            if isinstance(each, _Place):
                # Invoke insists on one that has a place.
                each.positional = _has_place(body.__name__, self._arguments, sys.argv[1:])

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """What Invoke's parser is to know; those that must be given come first."""
        for each in self._arguments:
            if isinstance(each, _Words):
                each.expected = max(1, self._count_words())
        return sorted(self._arguments, key=lambda each: not each.positional)

    def _count_words(self) -> int:
        """How many words behind the task's name are neither options nor values of those."""
        valued = {
            f"--{name}"
            for each in self._arguments
            if each.takes_value and not isinstance(each, _Words)
            for name in each.names
        }
        words = iter(sys.argv[1:])
        count = 0
        if self.name in words:  # which are those behind it then
            for word in itertools.takewhile(lambda word: word != "--", words):
                if word in valued:
                    next(words, None)
                count += not word.startswith("-")
        return count


class _Place(Argument):
    """An argument that can be given by its place, or left out."""


def _has_place(verb: str, arguments: Iterable[Argument], words: Sequence[str]) -> bool:
    """Whether a verb on the command line is followed by a word that is no option nor its value."""
    if verb not in words:
        return False
    valued = {f"--{each.name}" for each in arguments if each.takes_value}
    option = ""
    for word in words[words.index(verb) + 1 :]:
        if not word.startswith("-") and option not in valued:
            return True
        option = word
    return False


def _typed(field: dataclasses.Field[Any]) -> str:
    # A name that Python keeps for itself ends in one.
    return field.name.removesuffix("_").replace("_", "-")


def _argument(field: dataclasses.Field[Any], defaults: Mapping[str, str]) -> Argument:
    typed = _typed(field)
    names: dict[str, Any] = {"names": (typed,)}
    if typed != field.name:
        names["attr_name"] = field.name
    help = field.metadata["help"].format_map(defaults)
    if field.metadata.get("several"):
        return _Words(typed, help)
    if field.default == ():
        return Argument(**names, kind=list, default=[], help=help)
    if isinstance(field.default, bool):
        return Argument(**names, kind=bool, default=field.default, help=help)
    if field.metadata.get("place"):
        return _Place(**names, help=help)
    # What has no default can be given by its place.
    return Argument(**names, positional=field.default is dataclasses.MISSING, help=help)


def _all_given(field: dataclasses.Field[Any], values: Iterable[str]) -> tuple[str, ...]:
    """The values of an option that can be repeated, with '' if one stands without a value.

    Invoke takes such an option without a word. What follows it is no value if it is another option
    or nothing; a value that begins with dashes is Invoke's error otherwise.
    """
    words = sys.argv[1:]
    words = words[: words.index("--")] if "--" in words else words
    option = f"--{_typed(field)}"
    if any(
        word == option and after.startswith("--")
        for word, after in itertools.pairwise([*words, "--"])
    ):
        return (*values, "")
    return tuple(values)
