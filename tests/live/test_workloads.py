"""Workloads of every form in the guest, from a folder with a space in its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import Machine
from pibed.model.samples import Sample, Status
from tests.unit.helpers import ROOT

from .helpers import measure

MAIN = """\
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "part.h"

int main(int argc, char **argv)
{
	const double x = argc > 1 ? atof(argv[1]) : 0;

	return printf("root %.3f, twice %d\\n", sqrt(x), twice(x)) < 0;
}
"""

SCRIPT = """\
#!/bin/sh
[ "$1" -lt 5 ] || exit 3
"""

Load = Callable[..., Experiment]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Somebody's folder."""
    folder = tmp_path / "my wörk"
    shutil.copytree(ROOT / "module", folder / "module")
    return folder


@pytest.fixture
def load(own: Path) -> Load:
    """Writes an experiment with a workload into the folder, and reads it."""

    def load(workload: Mapping[str, Any], metrics: Mapping[str, Any], **more: Any) -> Experiment:
        data: dict[str, Any] = {
            "schema_version": 1,
            "name": "own",
            "title": "A workload",
            "module": {"folder": "module", "name": "kmod_paging"},
            "workload": {"timeout_s": 10, **workload},
            "parameters": {"x": {"title": "x", "values": [4, 9], "minimum": 0, "maximum": 100}},
            "metrics": {
                name: {"title": name, "unit": "1", **metric} for name, metric in metrics.items()
            },
            "rounds": 1,
            "seed": 1,
        }
        path = own / "experiment.yaml"
        path.write_text(yaml.safe_dump(data | more), encoding="utf-8")
        return load_experiment(str(path))

    return load


def by_x(samples: list[Sample]) -> dict[int, Sample]:
    """The samples of one round."""
    return {sample.cell.as_dict()["x"]: sample for sample in samples}


def test_two_sources_a_library_and_what_is_done_around_each_run(
    own: Path, load: Load, machine: Machine, tmp_path: Path
) -> None:
    (own / "src").mkdir()
    (own / "src" / "root.c").write_text(MAIN)
    (own / "src" / "part.h").write_text("int twice(int x);\n")
    (own / "src" / "part.c").write_text('#include "part.h"\nint twice(int x)\n{ return 2 * x; }\n')
    workload = {
        "sources": ["src/root.c", "src/part.c"],
        "libraries": ["-lm"],
        # A second run would find the file of the first if nobody had removed it.
        "before": "[ ! -e /tmp/mark ] && echo marked {x} >/tmp/mark",
        "command": "root {x}; cat /tmp/mark",
        "after": "rm /tmp/mark",
        "warm_up_runs": 1,
    }
    metrics = {
        "root": {"pattern": r"root (\S+),"},
        "twice": {"pattern": r"twice (\d+)"},
        "mark": {"pattern": r"marked (\d+)"},
    }
    samples, problems = measure(machine, load(workload, metrics), tmp_path / "results")
    assert problems == []
    assert {x: (each.status, each.metrics) for x, each in by_x(samples).items()} == {
        4: (Status.OK, {"root": 2.0, "twice": 8, "mark": 4}),
        9: (Status.OK, {"root": 3.0, "twice": 18, "mark": 9}),
    }


def test_script_whose_status_is_a_metric(
    own: Path, load: Load, machine: Machine, tmp_path: Path
) -> None:
    (own / "check.sh").write_text(SCRIPT)
    metrics = {"ended": {"exit_status": True}}
    # What a shell says of a command that is not there is no value.
    workload = {
        "script": "check.sh",
        "command": "check.sh {x} && none",
        "after": "[ {x} -lt 5 ] || {{ echo not so large; exit 7; }}",
    }
    samples, problems = measure(machine, load(workload, metrics), tmp_path / "results")
    assert problems == []
    found = by_x(samples)
    assert (found[4].status, found[9].status) == (Status.FAILED, Status.FAILED)
    assert found[4].message.startswith("`check.sh 4 && none` ended with status 127: ")
    assert "ended with status 7: not so large" in found[9].message
    workload = {"script": "check.sh", "command": "check.sh {x}"}
    samples, problems = measure(machine, load(workload, metrics), tmp_path / "results")
    assert problems == []
    assert {x: (each.status, each.metrics) for x, each in by_x(samples).items()} == {
        4: (Status.OK, {"ended": 0}),
        9: (Status.OK, {"ended": 3}),
    }
