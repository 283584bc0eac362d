"""What several unit tests share: places, a small experiment, Python programs run as processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pibed.build.images import Images
from pibed.build.timing import Timing
from pibed.measure import record
from pibed.model.board import Board, load_board
from pibed.model.builder import Made, Source, Standing
from pibed.model.defaults import load_defaults
from pibed.model.experiment import Experiment
from pibed.model.machine import Clock, load_machine
from pibed.model.plan import Cell, counts_events
from pibed.model.samples import Number, Sample, Status
from pibed.runs.folder import RunFolder
from pibed.runs.manifest import Manifest
from pibed.stats.analysis import Analysis

BUILDROOT: dict[str, Any] = {
    "name": "buildroot",
    "version": "2025.02.16",
    "source": "a" * 40,
    "folder": None,
    "settings": {
        "schema_version": 1,
        "toolchain": "distro",
        "path": None,
        "prefix": None,
        "ccache": True,
        "silence_s": 1200.0,
    },
    "packages": {"host-fakedate": ""},
    "overrides": {
        "busybox": "the distribution's package busybox",
        "host-tar": "the distribution's program: tar (GNU tar) 1.34",
    },
}
"""The builder of a manifest."""

ROOT = Path(__file__).resolve().parent.parent.parent
FIXTURES = ROOT / "tests" / "fixtures"


def experiment(**changes: Any) -> Experiment:
    """An experiment of 2 modes and 2 sizes with a metric of either kind; keys can be replaced."""
    data: dict[str, Any] = {
        "schema_version": 1,
        "name": "small",
        "title": "A small study",
        "module": {"folder": "module", "name": "kmod", "parameters": {"eager": "{eager}"}},
        "workload": {
            "source": "module/user/work.c",
            "command": "work {size}",
            "timeout_s": 30,
            "idle_us_max": 100,
        },
        "parameters": {
            "eager": {
                "title": "mode",
                "values": [0, 1],
                "minimum": 0,
                "maximum": 1,
                "labels": {0: "lazy", 1: "eager"},
            },
            "size": {"title": "size", "values": [64, 128], "minimum": 1, "maximum": 1024},
        },
        "metrics": {
            "work_us": {"title": "work", "pattern": r"took (\S+) us", "unit": "µs"},
            "pages": {
                "title": "pages",
                "counter": "/sys/pages",
                "unit": "pages",
                "table": False,
            },
        },
        "rounds": 3,
        "seed": 1,
    }
    return Experiment.model_validate(data | changes)


def measured(
    study: Experiment, metrics: Mapping[Any, Mapping[str, Sequence[Number]]]
) -> list[Sample]:
    """Samples that are `ok`: for each cell and metric one value a round, from round 1."""
    return [
        Sample(
            study.name,
            row + 1,
            order,
            Status.OK,
            Cell(tuple(zip(study.parameters, cell, strict=True))),
            {name: values[row] for name, values in columns.items()},
        )
        for order, (cell, columns) in enumerate(metrics.items(), start=1)
        for row in range(len(next(iter(columns.values()))))
    ]


def images_of(image: Path, differs: tuple[str, ...] = (), board: Board | None = None) -> Images:
    """A file that stands for all images and a board's plugin; nothing is booted from it."""
    return Images(
        kernel=image,
        device_tree=image,
        initramfs=image,
        gen_init_cpio=image,
        modules=(image,),
        programs=(),
        kernel_source=image,
        kernel_build=image,
        variables={},
        sources={"busybox": Source(version="1.35", files={"busybox.tar": "0" * 64})},
        lock=Standing("0" * 64, differs),
        tools={"gcc": "gcc 12"},
        steps=(),
        builder=Made(name="debian"),
        components=(),
        timing=None if board is None else Timing(image, image, board),
    )


def begun(study: Experiment, image: Path = ROOT / "inv") -> Manifest:
    """A run's manifest before its first boot; a file stands for all images."""
    return record.begun(load_machine("pi2"), study, 2, images_of(image), "QEMU 7.2")


def archived(
    folder: Path,
    study: Experiment,
    samples: Sequence[Sample],
    *,
    clock: Clock = "virtual",
    timing: str | None = None,
    board: Board | None = None,
    finished: bool = True,
    differs: tuple[str, ...] = (),
    problems: Sequence[str] = (),
    made: Mapping[str, Any] | None = None,
) -> Path:
    """A run's folder with what `./inv sweep` writes at its end; no image in it was booted.

    `timing` is the board whose time the machine has, unless `board` is given; `made` has other
    values of the manifest's keys.
    """
    folder.mkdir(parents=True)
    image = folder.parent / "image"
    image.write_text("none")
    machine = load_machine(load_defaults().machine)
    machine = machine.model_copy(update={"clock": clock, "timing": timing or machine.timing})
    if (clock == "board" or counts_events(study)) and board is None:
        assert machine.timing is not None
        known = (ROOT / "configs" / "boards" / f"{machine.timing}.yaml").is_file()
        # A run may be of a board that is not described here.
        board = load_board(machine.timing if known else "bcm2836")
        board = board.model_copy(update={"name": machine.timing})
    images = images_of(image, differs, board)
    run = RunFolder(folder, study)
    before = record.begun(machine, study, 2, images, "QEMU 7.2")
    run.write_samples(Analysis(study, list(samples)))
    manifest = record.ended(before, folder / "samples.csv", samples, problems, (), finished)
    content = manifest.model_dump(mode="json")
    content["git"] = {"commit": "c" * 40, "modified": False}
    content["host"] |= {"system": "Linux", "processor": "P"}
    content["host"]["load_average"] = {"begin": 1.0, "end": None}
    text = json.dumps(content | dict(made or {}), ensure_ascii=False)
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    return folder


def packed(root: Path, target: Path) -> Path:
    """An initramfs of a folder as Buildroot packs it."""
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    done = subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc"],
        cwd=root,
        input="\n".join([".", *names]).encode(),
        capture_output=True,
        check=True,
    )
    target.write_bytes(done.stdout)
    return target


def python(
    code: str, *arguments: str, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """Starts a Python program that can import pibed; its output can be read as text."""
    return subprocess.Popen(
        [*options.pop("prefix", []), sys.executable, "-c", code, *arguments],
        cwd=options.pop("cwd", ROOT),
        env=env,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=options.pop("stderr", subprocess.PIPE),
        **options,
    )
