"""What `./inv verify` does: run again, or build again, and compare every byte."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from pibed.base import places, terminal
from pibed.base.difference import describe
from pibed.base.errors import ChecksFailed, UsageError
from pibed.build import host
from pibed.build.making import cores
from pibed.commands import arguments, build, elsewhere, rebuild, sweep
from pibed.commands.options import SweepOptions, VerifyOptions
from pibed.measure.rounds import Testbed
from pibed.measure.run import measure, tell_differences
from pibed.model.experiment import Experiment
from pibed.runs import locate, manifest
from pibed.runs.hints import resume_command

# What of a boot must be the same again; qemu.log has paths of the host.
_BOOT_FILES = ("plan", "agent.log", "console.log", "counts", "samples.jsonl")


def verify(options: VerifyOptions) -> None:
    """Builds again and measures a run again, or does one of the two; see the functions below.

    The run is the one that is named, or the newest finished one that can be the same twice; if
    there is none, one is made. Raises UsageError for a run that cannot be the same twice, before
    anything is built.
    """
    # Both if neither is named.
    builds = options.build or not options.measure
    measures = options.measure or not options.build
    _require_meant(options, builds, measures)
    builder = arguments.builder(options)
    machine, experiment = arguments.machine(None, None), arguments.experiment(options.experiment)
    if not measures:
        rebuild.verify_build(builder, machine, experiment, options.trust)
        return
    root = locate.root(options.results)
    asked = None if options.experiment is None else experiment
    folder = _newest(root, asked) if options.run is None else _find(root, options.run)
    if folder is not None:
        recorded = manifest.read(folder / "manifest.json")
        machine, experiment = recorded.machine, recorded.experiment
    if builds:
        rebuild.verify_build(builder, machine, experiment, options.trust)
    if folder is None:
        terminal.stderr().print("verify: there is no run yet; measuring the first one")
        sweep.sweep(
            SweepOptions(
                experiment=options.experiment,
                results=options.results,
                builder=options.builder,
                toolchain=options.toolchain,
                buildroot_dir=options.buildroot_dir,
                trust=options.trust,
                cluster=options.cluster,
            )
        )
        folder = _find(root, "latest")
    verify_results(folder, options.trust, options.cluster)


def _require_meant(options: VerifyOptions, builds: bool, measures: bool) -> None:
    """Raises UsageError for options of the half that is not done."""
    if not measures and options.run is not None:
        raise UsageError(
            "--run cannot be given with --build alone, which measures nothing",
            fix="leave it out, or measure as well with --measure",
        )
    if not measures and options.cluster is not None:
        raise UsageError(
            "--cluster cannot be given with --build alone: images are built on this machine",
            fix="leave it out, or measure as well with --measure",
        )
    elsewhere.require_meant(options.cluster)
    if options.run is not None and options.experiment is not None:
        raise UsageError(
            "--experiment cannot be given with --run: the run's manifest says it",
            fix="leave one of the two out",
        )
    for name in ("builder", "toolchain", "buildroot_dir"):
        if not builds and getattr(options, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} cannot be given with --measure alone: "
                "the run's manifest says it",
                fix="leave it out, or build again as well with --build",
            )


def _newest(root: Path, experiment: Experiment | None) -> Path | None:
    """The newest finished run that can be the same twice, of an experiment or of any."""
    for path in sorted(root.glob("2*/manifest.json"), reverse=True):
        try:
            recorded = manifest.read(path)
        except UsageError:
            continue
        asked = experiment is None or recorded.experiment.where == experiment.where
        if asked and recorded.finished and recorded.machine.clock != "host":
            return path.parent
    return None


def _find(root: Path, given: str) -> Path:
    """The folder of a run that can be verified; raises UsageError if it is none."""
    folder = locate.find(root, given)
    recorded = manifest.read(folder / "manifest.json")
    if recorded.machine.clock == "host":
        raise UsageError(
            f"{folder}: it was measured in real time (--clock host), which is not the same twice",
            fix="verify a run that was measured with the virtual clock or the board's",
        )
    if not recorded.finished:
        raise UsageError(
            f"{folder}: it was cut off, so there is no whole run to compare with",
            fix=resume_command(folder),
        )
    return folder


def verify_results(folder: Path, trust: bool, cluster: str | None = None) -> None:
    """Measures a run once more from its manifest and compares the samples and all logs.

    What was measured for the comparison stays only if it differs.

    Raises ChecksFailed if a byte differs.
    """
    recorded = manifest.read(folder / "manifest.json")
    machine, experiment = recorded.machine, recorded.experiment
    qemu_version = host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    with elsewhere.measuring(cluster, None, machine) as by:
        images = build.make_recorded_images(recorded, trust=trust)
        other = tell_differences(folder.name, recorded, images, qemu_version)
        jobs = min(cores(), len(recorded.rounds))
        testbed = Testbed(machine, images, experiment, qemu_version)
        shard, root = recorded.shard, places.cache() / "verify"
        again = measure(root, testbed, jobs, "verify", shard=shard, by=by)
    found, compared = compare_runs(folder, again.run.folder)
    if found:
        for line in found:
            print(line)
        raise ChecksFailed(
            f"{folder.name}: measured again, it is not the same"
            + (", with other images, plan or QEMU (see above)" if other else ""),
            fix=f"what was measured now is in {again.run.folder}",
        )
    shutil.rmtree(again.run.folder)
    print(
        f"verify: {folder.name}: {len(again.samples)} samples measured again; samples.csv and "
        f"{compared - 1} files of its boots are byte for byte the same"
    )


def compare_runs(first: Path, second: Path) -> tuple[list[str], int]:
    """What differs between two folders of runs, for people, and how many files were compared."""
    names = [sorted(_comparable(folder)) for folder in (first, second)]
    lines = [f"{name}: only in {first}" for name in names[0] if name not in names[1]]
    lines += [f"{name}: only in {second}" for name in names[1] if name not in names[0]]
    both = [name for name in names[0] if name in names[1]]
    for name in both:
        lines += describe(name, first / name, second / name)
    return lines, len(both)


def _comparable(folder: Path) -> Iterator[str]:
    if (folder / "samples.csv").is_file():
        yield "samples.csv"
    for boot in (*folder.glob("boots/*/"), folder / "leaks"):
        for name in _BOOT_FILES:
            if (boot / name).is_file():
                yield str((boot / name).relative_to(folder))
