"""What `invoke verify` does: run again, or build again, and compare every byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pibed.base import places, terminal
from pibed.base.difference import first_difference
from pibed.base.errors import BuildError, ChecksFailed, UsageError
from pibed.base.process import run_logged
from pibed.build import builders, host, payload
from pibed.build.builders import DEFAULT, Builder
from pibed.build.images import Images
from pibed.build.making import Order
from pibed.build.progress import BuildProgress
from pibed.commands import build, sweep
from pibed.commands.sweep import SweepOptions
from pibed.measure.rounds import Testbed
from pibed.measure.run import measure, tell_differences
from pibed.model.builder import Made
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import Machine, load_machine
from pibed.runs import locate, manifest
from pibed.runs.hints import resume_command

# What of a boot must be the same again; qemu.log has paths of the host.
_BOOT_FILES = ("plan", "agent.log", "console.log", "samples.jsonl")

# More than this many lines of a comparison tool help nobody.
_SHOWN_LINES = 40

# No number of cores that anybody has, so that the order of the compiler's runs is another one.
_OTHER_JOBS = 5

# Debian's user and group of that name.
_NOBODY = "65534"


@dataclass(frozen=True)
class VerifyOptions:
    """The options of `invoke verify` as they were given; None where one was not."""

    results: str | bool | None = None
    """True for the option without its value."""
    build: bool = False
    builder: str | None = None
    toolchain: str | None = None
    buildroot_dir: str | None = None


def verify(options: VerifyOptions) -> None:
    """Builds again and measures a run again, or does one of the two; see the functions below.

    The run is the one that is named, or the newest finished one in results/ with the virtual clock;
    if there is none, one is made. Raises UsageError for a run that cannot be the same twice, before
    anything is built.
    """
    chosen = (options.builder, options.toolchain, options.buildroot_dir)
    if options.results is not None and not options.build:
        names = ("--builder", "--toolchain", "--buildroot-dir")
        for name, value in zip(names, chosen, strict=True):
            if value is not None:
                raise UsageError(
                    f"{name} cannot be given with --results alone: the run's manifest says it",
                    fix="leave it out, or build again as well with --build",
                )
    builder = builders.choose(*chosen)
    if options.build and options.results is None:
        verify_build(builder)
        return
    folder = _find(options.results) if isinstance(options.results, str) else _newest()
    if options.build or options.results is None:
        verify_build(builder)
    if folder is None:
        terminal.stderr().print("verify: there is no run yet; measuring the first one")
        sweep.sweep(
            SweepOptions(
                builder=options.builder,
                toolchain=options.toolchain,
                buildroot_dir=options.buildroot_dir,
            )
        )
        folder = _find("latest")
    verify_results(folder)


def _newest() -> Path | None:
    for path in sorted((places.checkout() / "results").glob("2*/manifest.json"), reverse=True):
        try:
            recorded = manifest.read(path)
        except UsageError:
            continue
        if recorded.finished and recorded.machine.clock == "virtual":
            return path.parent
    return None


def _find(given: str) -> Path:
    """The folder of a run that can be verified; raises UsageError if it is none."""
    folder = locate.find(places.checkout() / "results", given)
    recorded = manifest.read(folder / "manifest.json")
    if recorded.machine.clock == "host":
        raise UsageError(
            f"{folder}: it was measured in real time (--clock host), which is not the same twice",
            fix="verify a run that was measured with the virtual clock",
        )
    if not recorded.finished:
        raise UsageError(
            f"{folder}: it was cut off, so there is no whole run to compare with",
            fix=resume_command(folder),
        )
    return folder


def verify_results(folder: Path) -> None:
    """Measures a run once more from its manifest and compares the samples and all logs.

    What was measured for the comparison stays only if it differs.

    Raises ChecksFailed if a byte differs.
    """
    recorded = manifest.read(folder / "manifest.json")
    machine, experiment = recorded.machine, recorded.experiment
    qemu_version = host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)
    builder = builders.recorded(recorded.builder)
    images = build.make_images(machine, experiment, builder=builder)
    other = tell_differences(folder.name, recorded, images, qemu_version)
    jobs = min(len(os.sched_getaffinity(0)), experiment.rounds)
    testbed = Testbed(machine, images, experiment, qemu_version)
    again = measure(places.cache() / "verify", testbed, jobs, "verify")
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


def describe(name: str, first: Path, second: Path) -> list[str]:
    """Where two files differ first, in three lines; nothing if they are the same."""
    difference = first_difference(first, second)
    if difference is None:
        return []
    return [
        f"{name}: differs from {difference} on",
        f"  {first}: {difference.first}",
        f"  {second}: {difference.second}",
    ]


def _comparable(folder: Path) -> Iterator[str]:
    if (folder / "samples.csv").is_file():
        yield "samples.csv"
    for boot in folder.glob("boots/*/"):
        for name in _BOOT_FILES:
            if (boot / name).is_file():
                yield str((boot / name).relative_to(folder))


def verify_build(builder: Builder = DEFAULT) -> None:
    """Builds everything once more, elsewhere and otherwise, and compares it with what is there.

    The second build takes place in a folder of another name, from a copy of the checkout in a path
    with a space, at another time, with another umask, time zone, language, home folder and number
    of jobs, and as another user where this one is root.

    Raises ChecksFailed if a byte differs, BuildError if the second build fails.
    """
    machine, experiment = _default_build()
    builder = builder.without_cache()
    images = build.make_images(machine, experiment, builder=builder)
    log = places.cache() / "logs" / "verify-build.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    # Not in the cache folder, which another user may not reach.
    with tempfile.TemporaryDirectory(prefix="pibed-verify-", dir="/var/tmp") as name:
        folder = Path(name)
        again = _build_again(folder, builder, images, log)
        found = []
        for image, path in _named(images).items():
            if lines := describe(image, path, again[image]):
                found += [*lines, *_diffoscope(path, again[image])]
    if found:
        for line in found:
            print(line)
        raise ChecksFailed("built again, it is not the same", log=log)
    print(f"verify: built again, byte for byte the same: {', '.join(_named(images))}")


def build_again(builder: str) -> None:
    """The second build, in a process of its own: prints as JSON where its images are.

    `builder` is the first one's record in a manifest, as JSON.
    """
    machine, experiment = _default_build()
    progress = BuildProgress(terminal.stderr(), show_cached=False)
    order = Order(
        machine,
        payload.of_experiment(experiment),
        places.cache(),
        progress,
        jobs=_OTHER_JOBS,
    )
    images = builders.recorded(Made.model_validate_json(builder)).build(order)
    print(json.dumps({name: str(path) for name, path in _named(images).items()}))


def _default_build() -> tuple[Machine, Experiment]:
    return load_machine("pi2"), load_experiment("paging")


def _named(images: Images) -> dict[str, Path]:
    """All that is compared, beginning with what the rest is made of."""
    return {
        "kernel configuration": images.kernel_build / ".config",
        "kernel": images.kernel,
        "device tree": images.device_tree,
        "module": images.module,
        **{path.name: path for path in images.programs},
        "initramfs": images.initramfs,
    }


def _build_again(folder: Path, builder: Builder, first: Images, log: Path) -> dict[str, Path]:
    """Builds below `folder` under other circumstances; returns the images by name."""
    copy, cache = folder / "a copy", folder / "elsewhere"
    try:
        shutil.copytree(
            places.checkout(),
            copy,
            ignore=shutil.ignore_patterns(".*", "__pycache__", "results", "legal"),
        )
        for name in builder.downloads:
            if (places.cache() / name).is_dir():
                shutil.copytree(places.cache() / name, cache / name, symlinks=True)
        user = _other_user(folder)
    except (OSError, shutil.Error) as error:
        raise BuildError(f"{folder}: {error}", fix="a second build needs 3 GB there") from None
    environment = {
        "PIBED_CACHE": str(cache),
        "HOME": "/nonexistent",
        "USER": "somebody",
        "LOGNAME": "somebody",
        "LC_ALL": "C.UTF-8",
        "LANG": "tr_TR.UTF-8",
        "TZ": "Pacific/Kiritimati",
        "TMPDIR": str(folder),
    }
    code = "import sys; from pibed.commands.verify import build_again; build_again(sys.argv[1])"
    argv = ["sh", "-c", 'umask 077; exec "$@"', "sh", *user, sys.executable, "-c", code]
    argv.append(first.builder.model_dump_json())
    last = ""

    progress = BuildProgress(terminal.stderr(), show_cached=False)
    with progress.step("second build", builder.expected_s, log) as show:

        def on_line(line: str) -> None:
            nonlocal last
            last = line
            show(line)

        run_logged(argv, log, cwd=copy, env=environment, on_line=on_line)
    return {name: Path(path) for name, path in json.loads(last).items()}


def _other_user(folder: Path) -> list[str]:
    """Gives the folder to another user; returns what runs a program as that one, if possible."""
    if os.geteuid() != 0:
        return []
    folder.chmod(0o755)
    argv = ["setpriv", "--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups"]
    argv += ["--pdeathsig", "TERM", "--"]
    can = subprocess.run([*argv, sys.executable, "-c", "import invoke"], check=False, cwd="/")
    if can.returncode != 0:
        terminal.stderr().print(
            "verify: another user cannot run this Python, so the user is the same"
        )
        return []
    for path in (folder, *folder.rglob("*")):
        os.chown(path, int(_NOBODY), int(_NOBODY), follow_symlinks=False)
    return argv


def _diffoscope(first: Path, second: Path) -> list[str]:
    """What diffoscope says of two files, where it is installed."""
    if shutil.which("diffoscope") is None:
        return ["  (diffoscope, if it were installed, would say more)"]
    done = subprocess.run(
        ["diffoscope", "--max-report-size", "20000", str(first), str(second)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return [f"  | {line}" for line in done.stdout.splitlines()[:_SHOWN_LINES]]
