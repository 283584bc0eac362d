"""A second build of everything, elsewhere and otherwise, compared with the first.

Run as a program, it is that second build: `python -m pibed.commands.rebuild TASK`, where TASK is a
file that says what to build.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pibed.base import places, terminal
from pibed.base.difference import describe
from pibed.base.errors import BuildError, ChecksFailed
from pibed.base.process import run_logged
from pibed.build import builders, payload, reads
from pibed.build.builders import Builder
from pibed.build.images import Images
from pibed.build.making import Order
from pibed.build.progress import BuildProgress
from pibed.commands import build
from pibed.model.builder import Made
from pibed.model.experiment import Experiment
from pibed.model.loading import Record
from pibed.model.machine import Machine

# More than this many lines of a comparison tool help nobody.
_SHOWN_LINES = 40

# No number of cores that anybody has, so that the order of the compiler's runs is another one.
_OTHER_JOBS = 5

# Debian's user and group of that name.
_NOBODY = "65534"


class _Task(Record):
    """What is built a second time, and how the first time it was."""

    builder: Made
    machine: Machine
    experiment: Experiment
    trust: bool


def verify_build(builder: Builder, machine: Machine, experiment: Experiment, trust: bool) -> None:
    """Builds everything once more, elsewhere and otherwise, and compares it with what is there.

    The second build takes place in a folder of another name, from a copy of the checkout in a path
    with a space, and of the experiment's own folder if it has one, at another time, with another
    umask, time zone, language, home folder and number of jobs, and as another user where this one
    is root.

    Raises ChecksFailed if a byte differs, BuildError if the second build fails.
    """
    builder = builder.without_cache()
    images = build.make_images(machine, experiment, builder=builder, trust=trust)
    log = places.cache() / "logs" / "verify-build.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    # Not in the cache folder, which another user may not reach.
    with tempfile.TemporaryDirectory(prefix="pibed-verify-", dir="/var/tmp") as name:
        folder = Path(name)
        again = _build_again(folder, builder, machine, experiment, images, log, trust)
        found = []
        for image, path in _named(images).items():
            if lines := describe(image, path, again[image]):
                found += [*lines, *_diffoscope(path, again[image])]
    if found:
        for line in found:
            print(line)
        raise ChecksFailed("built again, it is not the same", log=log)
    print(f"verify: built again, byte for byte the same: {', '.join(_named(images))}")


def _named(images: Images) -> dict[str, Path]:
    """All that is compared, beginning with what the rest is made of."""
    return {
        "kernel configuration": images.kernel_build / ".config",
        "kernel": images.kernel,
        "device tree": images.device_tree,
        **{path.name: path for path in (*images.modules, *images.programs)},
        "initramfs": images.initramfs,
    }


def _build_again(
    folder: Path,
    builder: Builder,
    machine: Machine,
    experiment: Experiment,
    first: Images,
    log: Path,
    trust: bool,
) -> dict[str, Path]:
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
        if experiment.file is not None:
            moved = folder / "another folder" / "experiment.yaml"
            for read in first.read.values():
                reads.copy(read, Path(experiment.file).parent, moved.parent)
            reads.copy_tree(experiment.files, Path(experiment.file).parent, moved.parent)
            experiment = experiment.model_copy(update={"file": str(moved)})
        task = folder / "task.json"
        text = _Task(builder=first.builder, machine=machine, experiment=experiment, trust=trust)
        task.write_text(text.model_dump_json(), encoding="utf-8")
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
    # Found in the copy, as the working folder, and run by this Python.
    again = [sys.executable, "-m", __spec__.name, str(task)]
    argv = ["sh", "-c", 'umask 077; exec "$@"', "sh", *user, *again]
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


def _main(file: Path) -> None:
    """The second build: prints as JSON where its images are."""
    task = _Task.model_validate_json(file.read_text(encoding="utf-8"))
    progress = BuildProgress(terminal.stderr(), show_cached=False)
    order = Order(
        task.machine,
        payload.of_experiment(task.experiment),
        places.cache(),
        progress,
        jobs=_OTHER_JOBS,
        trust=task.trust,
    )
    images = builders.recorded(task.builder).build(order)
    print(json.dumps({name: str(path) for name, path in _named(images).items()}))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
