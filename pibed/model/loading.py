"""Configuration files: read from YAML and checked.

Every record is immutable and refuses unknown keys; an override from the command line replaces one
key before the check, so that it meets the same rules as the file.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pibed.base import places
from pibed.base.errors import HostError, UsageError

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]

# Of the distribution: names become parts of paths and of apt's command line.
Package = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$")]

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


def _inside_checkout(path: str) -> str:
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"expected a path inside the folder that it is relative to, not {path!r}")
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


_R = TypeVar("_R", bound=Record)

# A key by which a file tells of which kind it is.
_TELLING = {
    "experiment": "workload",
    "suite": "programs",
    "rubric": "criteria",
    "machine": "cross_compile",
}


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
    """Reads `configs/<noun>s/<name>.yaml` as a record of that kind; see `load_machine`.

    A name with a slash, or that ends in .yaml, is the path of a file anywhere, which the record's
    `file` is then.
    """
    if "/" in name or name.endswith(".yaml"):
        return _load_anywhere(kind, noun, Path(name), overrides)
    folder = places.checkout() / "configs" / f"{noun}s"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise UsageError(
            f"there is no {noun} {name!r}",
            fix=f"choose one of: {', '.join(known)} (files of {folder}), "
            "or give the path of a file, as in ./NAME.yaml",
        )
    path = folder / f"{name}.yaml"
    record = load_file(kind, path, overrides)
    if (stated := getattr(record, "name", name)) != name:
        raise UsageError(f"{path}: name: expected {name}, as the file is called, not {stated}")
    return record


def _load_anywhere(kind: type[_R], noun: str, given: Path, overrides: Mapping[str, Any]) -> _R:
    path = given.expanduser().absolute()
    if path.is_dir():
        raise UsageError(
            f"{path}: expected the {noun}'s file, not a folder",
            fix=f"name the file in it, such as {given / noun}.yaml",
        )
    if not path.exists():
        raise UsageError(f"{path}: there is no such file, which was given as the {noun}")
    data = _read_yaml(path)
    if "file" in data:
        raise UsageError(f"{path}: file: unknown key")
    for other, key in _TELLING.items():
        if key in data and key not in kind.model_fields:
            raise UsageError(
                f"{path}: a file of the kind {other} (it has the key {key}), not {noun}",
                fix=f"name it with --{other}",
            )
    return load_file(kind, path, {**overrides, "file": str(path)})


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
        hint = ""
        if "unknown escape character" in str(error.problem):
            hint = " (a pattern belongs in single quotes, in which a backslash is one)"
        elif "\\t" in str(error.problem):
            hint = " (indent with spaces; YAML allows no tabs)"
        raise UsageError(f"{where}: not valid YAML: {error.problem}{hint}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid YAML: {error}") from None
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None
    except RecursionError:
        raise UsageError(f"{path}: not valid YAML: nested too deeply") from None
    except (ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
        # Of what YAML makes of a value, such as the date 2026-13-45.
        raise UsageError(f"{path}: not valid YAML: a value cannot be read: {error}") from None
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


def _shown(value: Any) -> str:
    """A value that was not expected, and what may have been meant by it."""
    match value:
        case dict() if len(value) == 1 and [*value.values()] == [None]:
            # What YAML makes of braces that are not in quotes.
            name = next(iter(value))
            return f'a mapping: write it with quotes, as "{{{name}}}"'
        case _:
            return repr(value)


def _explain(path: Path, error: ValidationError, overrides: Mapping[str, Any]) -> str:
    """One line a problem: file (or command line), key, what was expected, what was found."""
    lines = []
    missing = [each["loc"] for each in error.errors() if each["type"] == "missing"]
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
            *place, name = problem["loc"]
            beside = [str(each[-1]) for each in missing if [*each[:-1]] == place]
            for near in get_close_matches(str(name), beside, 1):
                message += f"; is {near} meant?"
        elif problem["type"] not in ("value_error", "missing"):
            message += f", not {_shown(problem['input'])}"
        overridden = any(key == name or key.startswith(f"{name}.") for name in overrides) or any(
            name.startswith(f"{key}.") and problem["type"] == "value_error" for name in overrides
        )
        where = "command line" if overridden else str(path)
        lines.append(f"{where}: {key}: {message}" if key else f"{where}: {message}")
    return "\n".join(dict.fromkeys(lines))
