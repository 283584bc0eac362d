"""What the guest's tracepoints say of a sample is what trace-cmd reads, and what was measured."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .conftest import Run
from .helpers import only_run


def test_sample_is_recorded(invoke: Run, tmp_path: Path) -> None:
    cells = ("--sizes", "32", "--runs", "1", "--no-report")
    assert invoke("sweep", *cells, "--results", str(tmp_path)).returncode == 0
    run = only_run(tmp_path)
    rows = (run / "samples.csv").read_text(encoding="utf-8").splitlines()[1:]
    row = next(n for n, line in enumerate(rows, 1) if line.startswith("paging,1,2,"))
    demand_paging = rows[row - 1].split(",")[4] == "1"
    done = invoke("timeline", str(run), "--sample", str(row), "--results", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    # 32 × 32 numbers of 8 bytes are two pages; there are three matrices.
    assert "pages allocated: 6 pages while it was recorded, 6 pages in the run" in done.stdout
    folder = run / "timeline" / "1-2"
    document = json.loads((folder / "timeline.json").read_text(encoding="utf-8"))
    entries = document["traceEvents"]
    said = subprocess.run(
        ["trace-cmd", "report", "-t", str(folder / "trace.dat")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = [line.split() for line in said.splitlines() if "[000]" in line]
    # The same events, at the same nanosecond.
    begin = document["otherData"]["begins_ns"]
    own = [each for each in entries if each.get("cat") == "paging"]
    names = [each["name"] for each in own]
    assert names.count("allocate") == 6
    assert names.count("mmap") == names.count("close") == 3
    assert names.count("fault") == (6 if demand_paging else 0)
    shown = [(f"{begin / 1e9 + each['ts'] / 1e6:.8f}", each["name"]) for each in own]
    listed = [
        (f"{float(line[2][:-1]):.8f}", line[3][:-1])
        for line in lines
        if line[3][:-1] in ("allocate", "mmap", "close", "fault")
    ]
    assert shown == listed
    # The task is there, its time on the CPU, and interrupts.
    tracks = {each["args"]["name"] for each in entries if each["name"] == "process_name"}
    assert {"CPUs", "dense_mm", "agent"} <= tracks
    assert any(each["name"].startswith("dense_mm (") for each in entries)
    assert any(each["name"].startswith("irq ") for each in entries)
    # What is not there is refused before anything is booted.
    refused = invoke("timeline", str(run), "--sample", "9", "--results", str(tmp_path))
    assert refused.returncode == 2
    assert f"--sample 9: {run.name} has samples 1 to 2" in refused.stderr
    options = ("--sample", "1", "--events", "sched,nonsense", "--results", str(tmp_path))
    refused = invoke("timeline", str(run), *options)
    assert refused.returncode == 5
    assert "the events sched, nonsense cannot be recorded" in refused.stderr
