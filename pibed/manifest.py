"""The manifest of a run: everything that is needed to run it again, and to know what it was."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from typing import Any

from pibed import __version__, plan, qemu
from pibed.build import Images
from pibed.config import Clock, Experiment, Machine, checkout
from pibed.process import clean_environment
from pibed.results import Run
from pibed.samples import Sample
from pibed.store import digest_file

SCHEMA_VERSION = 1


def manifest(
    machine: Machine,
    experiment: Experiment,
    clock: Clock,
    jobs: int,
    images: Images,
    qemu_version: str,
    run: Run,
    samples: Sequence[Sample],
    problems: Sequence[str],
    finished: bool,
) -> dict[str, Any]:
    """The content of manifest.json, once samples.csv is written; see docs/results.md."""
    statuses = sorted({sample.status for sample in samples})
    return {
        "schema_version": SCHEMA_VERSION,
        "pibed": __version__,
        "git": _git(),
        "run": run.folder.name,
        "finished": finished,
        "clock": clock,
        "jobs": jobs,
        "machine": machine.model_dump(mode="json"),
        "experiment": experiment.model_dump(mode="json"),
        "rounds": [{"number": each.number, "seed": each.seed} for each in plan.rounds(experiment)],
        "samples": {
            "digest": digest_file(run.folder / "samples.csv"),
            "count": len(samples),
            "statuses": {
                status: sum(sample.status == status for sample in samples) for status in statuses
            },
        },
        "problems": sorted(problems),
        "sources": images.sources,
        "tools": images.tools,
        "lock": {"digest": images.lock.digest, "differs": list(images.lock.differs)},
        "steps": {output.step.name: output.step.key for output in images.steps},
        "images": {
            name: digest_file(path)
            for name, path in (
                ("kernel", images.kernel),
                ("device_tree", images.device_tree),
                ("initramfs", images.initramfs),
            )
        },
        "qemu": {
            "version": qemu_version,
            # The serial lines, the plan behind the initramfs, and the round's seed come on top.
            "command": qemu.arguments(
                machine, clock, images, initramfs=images.initramfs, kernel_args=[]
            ),
        },
        "host": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
        },
    }


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
