"""Which files of modules the guest gets, and whether they can be loaded in the order given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import UsageError
from pibed.build import kconfig, modinfo
from pibed.build.debian import treemodules
from pibed.build.debian.modules import Built
from pibed.build.payload import Module, Payload
from pibed.build.store import Output


@dataclass(frozen=True)
class Loadable:
    """Modules for a guest."""

    listed: tuple[Path, ...]
    """Those of the payload, in its order."""
    files: Mapping[str, Path]
    """Those and what they need, by the kernel's names of them."""
    needs: Mapping[str, list[str]]
    """What is to be loaded before each of those of the kernel's tree, in this order."""
    key: str
    """Of what they are, for a kernel."""


def loadable(payload: Payload, own: Built, source: Output, kernel: Output) -> Loadable:
    """Finds the modules of the kernel's tree and what they depend on.

    Raises UsageError for one that was not built, and for modules that are not listed in an order
    in which each has what it needs.
    """
    # Looking through the kernel's build takes a moment, and most have no need of it.
    tree = {}
    if payload.tree_modules:
        tree = treemodules.built(kernel.path)
        config = kconfig.read_config(kernel.path / ".config")
        treemodules.require_built(payload, tree, source.path, config)
    files = {each.name: own.files.get(each.name) or tree[each.name] for each in payload.modules}
    _require_order(payload, files)
    needs = {each.name: treemodules.needs(each.name, tree) for each in payload.tree_modules}
    more = {name: tree[name] for names in needs.values() for name in names if name not in files}
    key = " ".join(each.step.key for each in own.outputs)
    if needs:
        key += f" {json.dumps(needs, sort_keys=True)}"
    return Loadable(tuple(files.values()), files | more, needs, key)


def _require_order(payload: Payload, files: Mapping[str, Path]) -> None:
    depends = {name: modinfo.depends(path) for name, path in files.items()}
    before: set[str] = set()
    for module in payload.modules:
        for needed in depends[module.name]:
            if needed in before:
                continue
            if needed in files:
                raise _wrong_order(payload, module, needed, depends)
            if module.folder is not None:
                raise UsageError(
                    f"{payload.config_file}: {module.key}: {module.name} needs {needed}, a module "
                    "of the kernel's tree that is not in the list",
                    fix=f"put {{name: {needed}}} before it, in modules",
                )
        before.add(module.name)


def _wrong_order(
    payload: Payload, module: Module, needed: str, depends: Mapping[str, list[str]]
) -> UsageError:
    where = f"{payload.config_file}: {module.key}: {module.name} needs {needed}"
    if module.name in depends[needed]:
        return UsageError(
            f"{where}, and {needed} needs {module.name}: they can be loaded in no order",
            fix="move what both need into a third module",
        )
    return UsageError(f"{where}, which comes after it", fix=f"put {needed} before {module.name}")
