"""What several live tests share: sweeps made in the test's own process, and their results."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
import time
from pathlib import Path

from pibed.base import places
from pibed.base.errors import GuestError
from pibed.commands import build
from pibed.commands.verify import compare_runs
from pibed.measure.rounds import Testbed, measure_rounds
from pibed.model import plan
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine
from pibed.model.plan import Visit
from pibed.model.samples import Sample
from pibed.runs.folder import RunFolder
from tests.programs import INV


class Silent:
    """Keeps what comes of a sweep and shows nothing."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.problems: list[str] = []

    def placed(self, number: int, machine: str) -> None: ...
    def remarked(self, text: str) -> None: ...
    def began(self, number: int, visit: Visit) -> None: ...
    def took(self, sample: Sample) -> None:
        self.samples.append(sample)

    def died(self, number: int, error: GuestError) -> None: ...
    def rebooted(self, number: int, error: GuestError) -> None: ...
    def noticed(self, problem: str) -> None:
        self.problems.append(problem)


def measure(
    machine: Machine, experiment: Experiment, results: Path, observer: Silent | None = None
) -> tuple[list[Sample], list[str]]:
    """Samples and problems of an experiment, with the virtual clock and one boot at a time."""
    images = build.make_images(machine, experiment)
    now = datetime.datetime.now(datetime.UTC)
    run = RunFolder.create(results, experiment, experiment.name, now)
    observer = observer or Silent()
    machine = machine.model_copy(update={"clock": "virtual"})
    testbed = Testbed(machine, images, experiment, "QEMU")
    measure_rounds(testbed, run, plan.rounds(experiment), 1, observer)
    return observer.samples, observer.problems


def only_run(results: Path) -> Path:
    """The folder of the only run below a folder for results."""
    (run,) = (path for path in results.iterdir() if not path.is_symlink())
    return run


def copy_of_checkout(folder: Path) -> Path:
    """Without what was made in it."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "results", "legal")
    shutil.copytree(places.checkout(), folder, ignore=ignored)
    return folder


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [INV, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def wait_for_samples(results: Path, count: int) -> Path:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        logs = list(results.glob("2*/boots/*/samples.jsonl"))
        if sum(len(log.read_text().splitlines()) for log in logs) >= count:
            return logs[0].parents[2]
        time.sleep(0.1)
    raise AssertionError(f"no {count} samples in {results}")


def require_merged(whole: Path, merged: Path) -> None:
    """A merged run says what one of one machine says, but for who measured it."""
    assert compare_runs(whole, merged)[0] == []
    plots = sorted(path.relative_to(whole) for path in (whole / "plots").iterdir())
    assert plots == sorted(path.relative_to(merged) for path in (merged / "plots").iterdir())
    for name in (Path("summary.csv"), *plots):
        assert (whole / name).read_bytes() == (merged / name).read_bytes(), name
    for report in ("report.html", "report.md"):
        texts = [
            (run / report).read_text(encoding="utf-8").replace(run.name, "RUN").splitlines()
            for run in (whole, merged)
        ]
        assert texts[0] == [line for line in texts[1] if "after an interruption" not in line]
    contents = [json.loads((run / "manifest.json").read_text()) for run in (whole, merged)]
    assert [each["merged"] is None for each in contents] == [True, False]
    for each in contents:
        for key in ("jobs", "resumed", "host", "merged"):
            del each[key]
        # Folders of the host's.
        each["qemu"]["command"] = [part.rpartition("/")[2] for part in each["qemu"]["command"]]
    assert contents[0] == contents[1]
