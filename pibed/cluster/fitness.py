"""Whether a worker can measure what is asked: it is looked at before it gets a round.

`examine` runs on the worker, and speaks in plain words and numbers only, since another pibed may
be there.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pibed.base import bubblewrap
from pibed.base.errors import PibedError
from pibed.base.files import digest_file, digest_text
from pibed.build import host, timing
from pibed.build.images import Images
from pibed.cluster.parcel import Files, Shelf
from pibed.model.machine import Machine

# Beside what is sent: logs of the boots that run.
_SPARE_BYTES = 128 << 20


def wanted(
    machine: Machine, images: Iterable[Images], qemu_version: str, files: Files
) -> dict[str, Any]:
    """What a worker must have; what is compared is as it is on this machine."""
    images = list(images)
    timed = any(each.timing is not None for each in images)
    return {
        "pibed": sources(),
        "processor": platform.machine(),
        "qemu": qemu_version,
        "plugins": timing.interface(machine) if timed else None,
        "machine": machine,
        "sandbox": any(each.sandbox == "bubblewrap" for each in images),
        "memory_mib": machine.memory_mib,
        "bytes": sum(path.stat().st_size for path in files.values()) + _SPARE_BYTES,
        "files": list(files),
    }


def examine(wanted: dict[str, Any], scratch: str) -> dict[str, Any]:
    """What is wrong with this worker (`unfit`), the files that it lacks, and its free memory."""
    try:
        if (other := sources()) != wanted["pibed"]:
            return {"unfit": f"its pibed is another one (sources {other[:12]})"}
        unfit = "; ".join(_faults(wanted, wanted["machine"], Path(scratch)))
        missing = Shelf.of_worker().missing(wanted["files"])
    except (PibedError, OSError) as error:
        return {"unfit": str(error)}
    return {"unfit": unfit, "missing": missing, "memory_mib": _free_memory_mib()}


def sources() -> str:
    """One digest of the pibed that runs here, whatever the rights of its files."""
    root = Path(__file__).resolve().parent.parent
    files = sorted(root.rglob("*.py"))
    return digest_text("\n".join(f"{each.relative_to(root)} {digest_file(each)}" for each in files))


def _faults(wanted: dict[str, Any], machine: Machine, scratch: Path) -> Sequence[str]:
    found = []
    if (processor := platform.machine()) != wanted["processor"]:
        found.append(f"its processor is {processor} instead of {wanted['processor']}")
    version = host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    if version != wanted["qemu"]:
        found.append(f"its QEMU is {version} instead of {wanted['qemu']}")
    elif wanted["plugins"] is not None and timing.interface(machine) != wanted["plugins"]:
        found.append("its QEMU has another interface for plugins")
    if wanted["sandbox"] and (reason := bubblewrap.missing()) is not None:
        found.append(f"it has no sandbox: {reason}")
    shelf = Shelf.of_worker().folder
    for folder in (shelf, scratch):
        there = next(each for each in (folder, *folder.parents) if each.is_dir())
        free = shutil.disk_usage(there).free
        if free < wanted["bytes"]:
            found.append(f"{folder}: {free >> 20} MB free of {wanted['bytes'] >> 20}")
    if (free := _free_memory_mib()) < wanted["memory_mib"]:
        found.append(f"{free} MB of memory are free, and a guest may use {wanted['memory_mib']}")
    return found


def _free_memory_mib() -> int:
    """Of which programs can have so much without swapping; see proc_meminfo(5)."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) >> 10
    return 0
