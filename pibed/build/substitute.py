"""A module in the place of a suite's own: that of a folder anywhere, such as a submission."""

from __future__ import annotations

import re
from pathlib import Path

from pibed.base.errors import UsageError
from pibed.build.mirror import makefile
from pibed.model.modules import ModuleSource
from pibed.model.suite import Suite

# An assignment of make's, with the lines that continue it.
_ASSIGNMENT = re.compile(r"^[ \t]*([\w-]+)[ \t]*(?:[:+?]|::)?=((?:\\\n|[^#\n])*)", re.MULTILINE)

_REFERENCE = re.compile(r"\$[({]([\w-]+)[)}]")

_MODULE = re.compile(r"[A-Za-z0-9_]+")


def with_module(suite: Suite, folder: Path) -> Suite:
    """The suite with the folder's module in the place of its own, the last one of several.

    Raises UsageError for a folder of which cannot be said what module it makes.
    """
    folder = folder.expanduser().resolve()
    # Unlike a suite's own, which lies beside it, the folder is a path of the host.
    module = ModuleSource.model_construct(folder=str(folder), name=module_name(folder))
    modules = [*suite.module_list[:-1], module]
    return suite.model_copy(update={"module": None, "modules": modules})


def module_name(folder: Path) -> str:
    """The one module that a folder's Kbuild file or Makefile makes, by its `obj-m`.

    Raises UsageError if there is none, if there are several, or if make alone could tell.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder, in which a module was expected")
    if (path := makefile(folder)) is None:
        raise UsageError(f"{folder}: it has neither a Kbuild file nor a Makefile")
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    names = list(dict.fromkeys(_objects(text)))
    if not names:
        raise UsageError(
            f"{path}: it names no module", fix="write one as in `obj-m := my_module.o`"
        )
    for name in names:
        if not _MODULE.fullmatch(name):
            raise UsageError(
                f"{path}: obj-m: {name!r}: expected a name of letters, digits and '_'",
                fix="write the module's name itself, as in `obj-m := my_module.o`",
            )
    if len(names) > 1:
        raise UsageError(
            f"{path}: it makes several modules: {', '.join(names)}",
            fix="leave one of them in obj-m",
        )
    return names[0]


def _objects(text: str) -> list[str]:
    """The names in `obj-m`, with variables of the same file in their places."""
    values: dict[str, list[str]] = {}
    for name, value in _ASSIGNMENT.findall(text):
        values.setdefault(name, []).append(value.replace("\\\n", " ").strip())

    def once(match: re.Match[str]) -> str:
        return values[match[1]][-1] if match[1] in values else match[0]

    words = " ".join(_REFERENCE.sub(once, each) for each in values.get("obj-m", [])).split()
    return [word.removesuffix(".o") for word in words]
