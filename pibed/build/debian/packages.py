"""The step that unpacks the distribution's packages for the guest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from pibed.base.process import run_logged
from pibed.build.debian.bench import Bench
from pibed.build.sources.guestpackages import Fetched
from pibed.build.store import Output, Step
from pibed.model.machine import Machine

STEP = "guest-packages"

# Nothing in a guest reads them, and each takes its memory.
_LEFT_OUT = ("doc", "doc-base", "info", "lintian", "locale", "man", "bug")


def unpack(bench: Bench, packages: Fetched) -> Output:
    """The packages' files in `root/`, as dpkg would unpack them, and their licences in `licences/`.

    No script of theirs runs: there is no system that it could change.
    """

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        root, licences = folder / "root", folder / "licences"
        root.mkdir()
        for path in packages.files:
            run_logged(["dpkg-deb", "--extract", str(path), str(root)], log, on_line=on_line)
        for copyright in sorted(root.glob("usr/share/doc/*/copyright")):
            if copyright.is_file():
                (licences / copyright.parent.name).mkdir(parents=True)
                shutil.copyfile(copyright, licences / copyright.parent.name / "copyright")
        for name in _LEFT_OUT:
            shutil.rmtree(root / "usr" / "share" / name, ignore_errors=True)
        # Where /lib is a link to /usr/lib this is where programs look for their loader. The guest
        # has no such link.
        for loader in sorted(root.glob("usr/lib/ld-*.so*")):
            if not (root / "lib" / loader.name).exists():
                (root / "lib").mkdir(exist_ok=True)
                (root / "lib" / loader.name).symlink_to(f"../usr/lib/{loader.name}")

    files = {name: dict(each.files) for name, each in packages.packages.items()}
    inputs = {"files": json.dumps(files, sort_keys=True)}
    return bench.run(Step(STEP, inputs, expected_s=len(files) / 10), make)


def licences(unpacked: Output, machine: Machine) -> dict[str, Path]:
    """The files that state the licences of unpacked packages, by the names of these."""
    return {
        f"{path.parent.name}:{machine.packages.architecture}": path
        for path in sorted(unpacked.path.glob("licences/*/copyright"))
    }
