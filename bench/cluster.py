"""What an engine costs: two workers with a core each beside this machine with both cores.

    .venv/bin/python bench/cluster.py [--pairs N] [--rounds N]

In turn, with the images built and sent before. A sweep's time is that from its announcement to its
last round; the engine's overhead is what it takes to have a worker do nothing and give back as much
as a round does.
"""

from __future__ import annotations

import argparse
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pibed.cluster import starting
from pibed.cluster.choice import Existing
from tests.live import cluster
from tests.programs import INV

_TASKS = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args()
    sizes = ("--sizes", "64,128", "--runs", str(given.rounds), "--no-report")
    with tempfile.TemporaryDirectory(prefix="pibed-") as name, ExitStack() as stack:
        folder = Path(name)
        scheduler = stack.enter_context(cluster.scheduler())
        for core in "01":
            stack.enter_context(
                cluster.worker(
                    scheduler.address,
                    f"core {core}",
                    folder / core,
                    *("--boots", "1"),
                    inside=["taskset", "-c", core],
                )
            )
        on_workers = ["--cluster", scheduler.address]
        took(folder, *sizes[:2], "--runs", "2", "--no-report", *on_workers)
        ratios = []
        for number in range(given.pairs):
            begin = os.getloadavg()[0]
            alone = took(folder, *sizes, "--jobs", "2")
            workers = took(folder, *sizes, *on_workers)
            ratios.append(alone / workers)
            print(
                f"pair {number + 1}: alone {alone:.1f} s, two workers {workers:.1f} s, "
                f"{ratios[-1]:.2f} of the speed (load average {begin:.1f})",
                flush=True,
            )
        print(f"speed: {statistics.median(ratios):.2f} (median of {len(ratios)} pairs)")
        overhead(scheduler)
    peaks = [
        peak("sweep", *sizes[:2], "--runs", "2", "--no-report", *options)
        for options in ((), ("--cluster", "local:2"))
    ]
    print(f"memory of the asking process: {peaks[0]} MiB alone, {peaks[1]} MiB with local:2")
    return 0


def took(results: Path, *options: str) -> float:
    """Seconds from a sweep's announcement to its last round."""
    argv = [str(INV), "sweep", *options, "--results", str(results)]
    with subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        begin = end = 0.0
        for line in process.stderr:
            if line.startswith("sweep: "):
                begin = time.monotonic()
            elif " done" in line:
                end = time.monotonic()
    assert process.returncode == 0
    return end - begin


def overhead(scheduler: cluster.Scheduler) -> None:
    """Prints what a task costs beside what it does, one after the other."""
    with starting.opened(Existing(scheduler.address), 1, print) as engine:
        address = next(iter(engine.workers()))
        engine.ask(address, "first", bytes, 1, timeout_s=60)
        walls = []
        done: queue.SimpleQueue[None] = queue.SimpleQueue()
        cpu = time.process_time()
        for number in range(_TASKS):
            start = time.monotonic()
            task = engine.submit(
                address, f"bench-{number}", bytes, 60_000, boots=1, done=lambda: done.put(None)
            )
            done.get(timeout=60)
            assert len(task.outcome(60)) == 60_000
            task.forget()
            walls.append(time.monotonic() - start)
        cpu = time.process_time() - cpu
    print(
        f"overhead of a round: {statistics.median(walls) * 1000:.1f} ms (median of {_TASKS}), of "
        f"which {cpu / _TASKS * 1000:.1f} ms are processor time of the asking process "
        f"(load average {os.getloadavg()[0]:.1f})"
    )


def peak(*words: str) -> int:
    """MiB that a task's own process had at most."""
    with tempfile.TemporaryDirectory(prefix="pibed-") as results:
        done = subprocess.run(
            [
                *(sys.executable, "-P", Path(__file__).with_name("peak.py")),
                *(*words, "--results", results),
            ],
            cwd=INV.parent,
            env=os.environ | {"PYTHONPATH": str(INV.parent)},
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
        )
    return int(done.stderr.rpartition("peak ")[2].split()[0])


if __name__ == "__main__":
    sys.exit(main())
