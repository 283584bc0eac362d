"""The record of a run: its manifest as it is begun and ended, and what differs from it today."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pibed import __version__
from pibed.base import places
from pibed.base.files import digest_file
from pibed.base.process import clean_environment
from pibed.build.images import Images
from pibed.build.making import cores
from pibed.guest import qemu
from pibed.model import board, plan
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine
from pibed.model.samples import Sample
from pibed.model.shard import Shard
from pibed.runs import madeof
from pibed.runs.manifest import (
    SCHEMA_VERSION,
    Git,
    Host,
    Load,
    Manifest,
    Qemu,
    SamplesRecord,
    TimingRecord,
    round_seeds,
)


def begun(
    machine: Machine,
    experiment: Experiment,
    jobs: int,
    images: Images,
    qemu_version: str,
    shard: Shard | None = None,
) -> Manifest:
    """The manifest before the first boot."""
    return Manifest(
        schema_version=SCHEMA_VERSION,
        pibed=__version__,
        git=_git(),
        finished=False,
        resumed=0,
        clock=machine.clock,
        jobs=jobs,
        machine=machine,
        experiment=experiment,
        rounds=round_seeds(experiment, shard),
        plan=plan.digest(experiment),
        shard=shard,
        samples=None,
        problems=[],
        warnings=[],
        builder=images.builder,
        sources=images.sources,
        tools=images.tools,
        lock=images.lock,
        steps=_steps(images),
        made_of=madeof.of(images.read),
        sandbox=images.sandbox,
        images=images.digests(),
        qemu=Qemu(version=qemu_version, command=_command(machine, experiment, images)),
        timing=_timing(images),
        host=Host(
            system=platform.platform(),
            processor=_processor(),
            cores=cores(),
            python=platform.python_version(),
            governor=_governor(),
            load_average=Load(begin=os.getloadavg()[0], end=None),
        ),
    )


def resumed(before: Manifest, jobs: int) -> Manifest:
    """The manifest of a run that is taken up again."""
    return before.model_copy(
        update={"finished": False, "resumed": before.resumed + 1, "jobs": jobs}
    )


def ended(
    before: Manifest,
    csv: Path,
    samples: Sequence[Sample],
    problems: Sequence[str],
    warnings: Sequence[str],
    finished: bool,
) -> Manifest:
    """The manifest once samples.csv is written, whether the run came to its end or was cut off."""
    load = before.host.load_average.model_copy(update={"end": os.getloadavg()[0]})
    return before.model_copy(
        update={
            "finished": finished,
            "samples": SamplesRecord.of(csv, samples),
            "problems": sorted(problems),
            "warnings": list(warnings),
            "host": before.host.model_copy(update={"load_average": load}),
        }
    )


def differences(recorded: Manifest, images: Images, qemu_version: str) -> list[str]:
    """What is not as it was when the run was made, one line each: images, plan, and QEMU."""
    lines = other_images(recorded, images)
    if recorded.plan != plan.digest(recorded.experiment):
        lines.append("plan: this version of pibed gives the guest other commands")
    version = recorded.qemu.version
    if version != qemu_version:
        lines.append(f"QEMU: it is {qemu_version} instead of {version}")
    command = _command(recorded.machine, recorded.experiment, images)
    now, then = Qemu(version=qemu_version, command=command).options, recorded.qemu.options
    if now != then:
        lines.append(f"QEMU's options: they are {' '.join(now)} instead of {' '.join(then)}")
    lines += _other_timing(recorded.timing, _timing(images))
    if recorded.machine.clock == "host" and _processor() != recorded.host.processor:
        lines.append(f"host: it is {_processor()} instead of {recorded.host.processor}")
    return lines


def other_images(recorded: Manifest, images: Images) -> list[str]:
    """Which images are not those that the run was measured with, one line each.

    First which files of the user's have changed, if that is why.
    """
    now = images.digests()
    lines = [
        f"{name}: its SHA-256 is {now.get(name)} instead of {digest}"
        for name, digest in recorded.images.items()
        if now.get(name) != digest
    ]
    return [*madeof.changes(recorded.made_of, madeof.of(images.read)), *lines] if lines else []


def _other_timing(then: TimingRecord | None, now: TimingRecord | None) -> list[str]:
    if then is None or now is None:
        return []
    lines = list(board.differences(now.board, then.board))
    if now.plugin != then.plugin:
        lines.append(f"timing plugin: its SHA-256 is {now.plugin} instead of {then.plugin}")
    return lines


def _steps(images: Images) -> dict[str, str]:
    """The keys of all steps by their names, with a number where several have one name."""
    keys: dict[str, str] = {}
    for step in (output.step for output in images.steps):
        same = sum(each.step.name == step.name for each in images.steps[: len(keys)])
        keys[f"{step.name} {same + 1}" if same else step.name] = step.key
    return keys


def _timing(images: Images) -> TimingRecord | None:
    if images.timing is None:
        return None
    return TimingRecord(plugin=digest_file(images.timing.plugin), board=images.timing.board)


def _command(machine: Machine, experiment: Experiment, images: Images) -> list[str]:
    return qemu.arguments(
        machine,
        machine.clock,
        images,
        initramfs=images.initramfs,
        kernel_args=[],
        counts=Path("counts") if plan.counts_events(experiment) else None,
    )


def _governor() -> str | None:
    """How the kernel chooses the frequency of the first CPU; None where it does not say."""
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return None


def _git() -> Git | None:
    """The checkout's commit, and whether tracked files differ from it; None outside of git."""
    try:
        # Reading a checkout of another user's does no harm.
        git = ("git", "-c", f"safe.directory={places.checkout()}")
        commit = _output(*git, "rev-parse", "HEAD")
        changed = _output(*git, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return Git(commit=commit, modified=bool(changed))


def _output(*argv: str) -> str:
    return subprocess.run(
        argv,
        cwd=places.checkout(),
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
