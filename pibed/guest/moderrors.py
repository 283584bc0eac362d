"""Why a module could not be loaded or unloaded, in words: BusyBox says less than the kernel did."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from pibed.base.errors import printable
from pibed.build import modinfo
from pibed.build.images import Images
from pibed.model.protocol import Result

# modutils/insmod.c and rmmod.c of BusyBox; insmod ends with the error's number as its status.
_INSMOD = re.compile(r"^insmod: can't insert '/lib/modules/(\w+)\.ko': ", re.MULTILINE)
_RMMOD = re.compile(r"^rmmod: can't unload module '(\w+)': (.*)$", re.MULTILINE)

_STAMP = r"^\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? "

_IN_USE = os.strerror(errno.EAGAIN)


def explain(result: Result, images: Images, console: Path) -> str | None:
    """Why a command that loads or unloads modules has failed; None if it failed otherwise.

    `console` is the log of what the kernel has said.
    """
    if (match := _INSMOD.search(result.text)) is not None:
        code = errno.errorcode.get(result.status, f"error {result.status}")
        said = _kernel_said(console, match[1])
        where = f"; the kernel's log: {said}" if said else ", which its init function returned"
        words = f"{code} ({os.strerror(result.status)}){where}"
        return f"the module {match[1]} could not be loaded: {words}"
    if (match := _RMMOD.search(result.text)) is not None:
        name, why = match[1], match[2]
        files = {path.stem: path for path in images.modules}
        if name in files and not modinfo.can_be_unloaded(files[name]):
            why = "it has no exit function; give it one by module_exit"
        elif why == _IN_USE:
            why = "it is in use"
        return f"the module {name} could not be unloaded: {why}"
    return None


def _kernel_said(console: Path, module: str) -> str:
    """The last line that the kernel, or the module, has begun with the module's name."""
    text = console.read_text(encoding="utf-8", errors="replace")
    found = re.findall(_STAMP + rf"({re.escape(module)}: .*)$", text, re.MULTILINE)
    # What it says of each module out of the tree.
    found = [line for line in found if "taints kernel" not in line]
    return printable(found[-1].strip()[:200]) if found else ""
