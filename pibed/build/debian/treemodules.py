"""Modules of the kernel's own tree: where they were built, what they need, what is to be set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import UsageError
from pibed.build import modinfo
from pibed.build.payload import Module, Payload

# See Documentation/kbuild/makefiles.rst of Linux.
_OBJECTS = re.compile(r"^\s*obj-(?:\$\((CONFIG_\w+)\)|\w+)\s*[:+]?=(.*)$", re.MULTILINE)


def built(kernel: Path) -> dict[str, Path]:
    """The modules that a kernel's build has made, by the kernel's names of them."""
    return {modinfo.kernel_name(path.stem): path for path in sorted(kernel.rglob("*.ko"))}


def needs(module: str, files: Mapping[str, Path]) -> list[str]:
    """What a module depends on, in the order in which it can be loaded, without itself."""
    found: dict[str, None] = {}
    for name in modinfo.depends(files[module]):
        found |= dict.fromkeys([*needs(name, files), name])
    return list(found)


def require_configured(payload: Payload, source: Path, config: Mapping[str, str]) -> None:
    """Raises UsageError for a module that a kernel of this configuration will not have."""
    for module in payload.tree_modules:
        found = _find(source, module.name)
        if not found.is_there:
            raise _refusal(payload, module, f"Linux has no module {module.name}", found.options)
        if found.options and all(config.get(each) != "m" for each in found.options):
            raise _missing(payload, module, found.options, config)


def require_built(
    payload: Payload, files: Mapping[str, Path], source: Path, config: Mapping[str, str]
) -> None:
    """Raises UsageError for a module that was not built."""
    for module in payload.tree_modules:
        if module.name not in files:
            raise _missing(payload, module, _find(source, module.name).options, config)


def _missing(
    payload: Payload, module: Module, options: Sequence[str], config: Mapping[str, str]
) -> UsageError:
    within = [each for each in options if config.get(each) == "y"]
    if within:
        what = f"{within[0]}=y makes {module.name} a part of the kernel, and no module"
    else:
        what = f"the kernel's configuration builds no module {module.name}"
    return _refusal(payload, module, what, within or options)


def _refusal(payload: Payload, module: Module, what: str, options: Sequence[str]) -> UsageError:
    fix = f"set {' or '.join(f'{each}=m' for each in options)} in a file of kernel.fragments"
    if not options:
        fix = "correct the name; a module of yours needs a folder beside it"
    return UsageError(f"{payload.config_file}: {module.key}.name: {what}", fix=fix)


@dataclass(frozen=True)
class _Found:
    """Whether a makefile of the kernel's has a module, and which options decide on it."""

    is_there: bool
    options: tuple[str, ...]


def _find(source: Path, name: str) -> _Found:
    options: dict[str, None] = {}
    is_there = False
    for text in _makefiles(source):
        for option, objects in _OBJECTS.findall(text):
            words = [modinfo.kernel_name(word) for word in objects.split()]
            if f"{name}.o" in words:
                is_there = True
                options |= dict.fromkeys([option] if option else [])
    return _Found(is_there, tuple(options))


def _makefiles(source: Path) -> Iterator[str]:
    for name in ("Makefile", "Kbuild"):
        for path in sorted(source.rglob(name)):
            text = path.read_text(encoding="utf-8", errors="replace")
            yield text.replace("\\\n", " ")
