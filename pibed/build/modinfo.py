"""What a `.ko` file states about itself: see include/linux/module.h and scripts/mod of Linux."""

from __future__ import annotations

import re
from pathlib import Path


def field(module: Path, name: str) -> str | None:
    """The value of a field of the section `.modinfo`; None if there is none."""
    match = re.search(rb"\0" + name.encode() + rb"=([^\0]*)\0", b"\0" + module.read_bytes())
    return None if match is None else match[1].decode(errors="replace")


def parameters(module: Path) -> list[str]:
    """The names of the parameters that it takes, sorted.

    Each has a type in `.modinfo`, or a function of its own that reads it (`module_param_cb`): of
    those only the symbol of the name's text tells, see `__module_param_call` of
    include/linux/moduleparam.h.
    """
    content = module.read_bytes()
    found = re.findall(rb"\0parmtype=([^:\0]*):", content)
    found += re.findall(rb"\0__param_str_(\w+)(?=\0)", content)
    return sorted({name.decode(errors="replace") for name in found})


def depends(module: Path) -> list[str]:
    """The names of the modules whose symbols it uses, as the kernel has them."""
    stated = field(module, "depends") or ""
    return [kernel_name(name) for name in stated.split(",") if name]


def can_be_unloaded(module: Path) -> bool:
    """Whether it has a function that `module_exit` names: without, the kernel keeps it."""
    content = module.read_bytes()
    return b"\0cleanup_module\0" in content or b"\0init_module\0" not in content


def kernel_name(file: str) -> str:
    """The kernel's name of a module that is in a file of this name, without `.ko`."""
    return file.replace("-", "_")
