"""The manifest of a run: everything that is needed to run it again, and to know what it was.

It is there before the first boot, so that a run that was cut off can be taken up again.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pibed import __version__, plan, qemu
from pibed.build import Images
from pibed.builders import BEFORE_BUILDROOT, Made
from pibed.config import Experiment, Machine, checkout
from pibed.errors import UsageError
from pibed.process import clean_environment
from pibed.samples import Sample
from pibed.store import digest_file

SCHEMA_VERSION = 2


class _Needed(BaseModel):
    """The keys that are needed to run it again, beside machine and experiment."""

    model_config = ConfigDict(strict=True)

    finished: bool
    resumed: int
    plan: str
    samples: _Samples | None
    images: dict[str, str]
    qemu: _Qemu
    lock: _Lock
    host: _Host
    builder: Made = BEFORE_BUILDROOT


class _Samples(BaseModel):
    digest: str
    count: int


class _Qemu(BaseModel):
    version: str
    command: list[str]


class _Lock(BaseModel):
    differs: list[str]


class _Host(BaseModel):
    processor: str
    load_average: dict[str, float | None]


@dataclass(frozen=True)
class Recorded:
    """What a manifest says of its run, as far as it is needed to run it again."""

    path: Path
    machine: Machine
    experiment: Experiment
    builder: Made
    content: dict[str, Any]

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.content["finished"])

    @property
    def samples_digest(self) -> str | None:
        """SHA-256 of samples.csv; None if nothing was measured yet."""
        samples = self.content["samples"]
        return None if samples is None else str(samples["digest"])


def begun(
    machine: Machine, experiment: Experiment, jobs: int, images: Images, qemu_version: str
) -> dict[str, Any]:
    """The content of manifest.json before the first boot; see docs/results.md."""
    return {
        "schema_version": SCHEMA_VERSION,
        "pibed": __version__,
        "git": _git(),
        "finished": False,
        "resumed": 0,
        "clock": machine.clock,
        "jobs": jobs,
        "machine": machine.model_dump(mode="json"),
        "experiment": experiment.model_dump(mode="json"),
        "rounds": [{"number": each.number, "seed": each.seed} for each in plan.rounds(experiment)],
        "plan": plan.digest(experiment),
        "samples": None,
        "problems": [],
        "warnings": [],
        "builder": images.builder,
        "sources": images.sources,
        "tools": images.tools,
        "lock": {"digest": images.lock.digest, "differs": list(images.lock.differs)},
        "steps": {output.step.name: output.step.key for output in images.steps},
        "images": _digests(images),
        "qemu": {
            "version": qemu_version,
            # The serial lines, the plan behind the initramfs, and the round's seed come on top.
            "command": _command(machine, images),
        },
        "host": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "governor": _governor(),
            "load_average": {"begin": os.getloadavg()[0], "end": None},
        },
    }


def ended(
    before: Mapping[str, Any],
    csv: Path,
    samples: Sequence[Sample],
    problems: Sequence[str],
    warnings: Sequence[str],
    finished: bool,
) -> dict[str, Any]:
    """The content once samples.csv is written, whether the run came to its end or was cut off."""
    load = dict(before["host"]["load_average"]) | {"end": os.getloadavg()[0]}
    statuses = sorted({sample.status for sample in samples})
    return dict(before) | {
        "finished": finished,
        "samples": {
            "digest": digest_file(csv),
            "count": len(samples),
            "statuses": {
                status: sum(sample.status == status for sample in samples) for status in statuses
            },
        },
        "problems": sorted(problems),
        "warnings": list(warnings),
        "host": dict(before["host"]) | {"load_average": load},
    }


def read(path: Path) -> Recorded:
    """Reads a manifest; raises UsageError that names the file and what is wrong with it."""
    fix = "name the manifest.json of a run of this version of pibed"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not JSON: {error}", fix=fix) from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", fix=fix) from None
    except RecursionError:
        raise UsageError(f"{path}: too deeply nested", fix=fix) from None
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        version = content.get("schema_version") if isinstance(content, dict) else None
        expected = f"expected {SCHEMA_VERSION}, not {version}"
        raise UsageError(f"{path}: schema_version: {expected}", fix=fix)
    try:
        # As JSON, in which the keys of every mapping are text.
        machine = Machine.model_validate_json(json.dumps(content.get("machine")))
        experiment = Experiment.model_validate_json(json.dumps(content.get("experiment")))
        needed = _Needed.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        parents = [] if error.title == _Needed.__name__ else [error.title.lower()]
        key = ".".join([*parents, *(str(part) for part in problem["loc"])])
        words = problem["msg"].removeprefix("Value error, ")
        raise UsageError(f"{path}: {key}: {words}", fix=fix) from None
    if needed.finished and needed.samples is None:
        raise UsageError(f"{path}: samples: a finished run has some", fix=fix)
    return Recorded(path, machine, experiment, needed.builder, content)


def differences(recorded: Recorded, images: Images, qemu_version: str) -> list[str]:
    """What is not as it was when the run was made, one line each: images, plan, and QEMU."""
    content = recorded.content
    lines = other_images(recorded, images)
    if content["plan"] != plan.digest(recorded.experiment):
        lines.append("plan: this version of pibed gives the guest other commands")
    version = content["qemu"]["version"]
    if version != qemu_version:
        lines.append(f"QEMU: it is {qemu_version} instead of {version}")
    now, then = _options(_command(recorded.machine, images)), _options(content["qemu"]["command"])
    if now != then:
        lines.append(f"QEMU's options: they are {' '.join(now)} instead of {' '.join(then)}")
    if recorded.machine.clock == "host" and _processor() != content["host"]["processor"]:
        lines.append(f"host: it is {_processor()} instead of {content['host']['processor']}")
    return lines


def other_images(recorded: Recorded, images: Images) -> list[str]:
    """Which images are not those that the run was measured with, one line each."""
    now = _digests(images)
    return [
        f"{name}: its SHA-256 is {now.get(name)} instead of {digest}"
        for name, digest in recorded.content["images"].items()
        if now.get(name) != digest
    ]


def _command(machine: Machine, images: Images) -> list[str]:
    return qemu.arguments(
        machine, machine.clock, images, initramfs=images.initramfs, kernel_args=[]
    )


def _options(command: Sequence[str]) -> list[str]:
    """A command line without the folders, which are another host's."""
    return [part.rpartition("/")[2] if part.startswith("/") else part for part in command]


def _digests(images: Images) -> dict[str, str]:
    return {
        "kernel": digest_file(images.kernel),
        "device_tree": digest_file(images.device_tree),
        "initramfs": digest_file(images.initramfs),
    }


def _governor() -> str | None:
    """How the kernel chooses the frequency of the first CPU; None where it does not say."""
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return None


def _git() -> dict[str, Any] | None:
    """The checkout's commit, and whether tracked files differ from it; None outside of git."""
    try:
        # Reading a checkout of another user's does no harm.
        git = ("git", "-c", f"safe.directory={checkout()}")
        commit = _output(*git, "rev-parse", "HEAD")
        changed = _output(*git, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "modified": bool(changed)}


def _output(*argv: str) -> str:
    return subprocess.run(
        argv,
        cwd=checkout(),
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
