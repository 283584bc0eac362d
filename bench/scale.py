"""How pibed goes with the number of samples: `bench/scale.py WHAT`, after `./inv build`.

    .venv/bin/python bench/scale.py merge --shards 100 --rounds 100
    .venv/bin/python bench/scale.py read --rounds 10000 --cells 100
    .venv/bin/python bench/scale.py simulate

The runs are made up: their folders have what a sweep writes, with numbers that were drawn. CPU
seconds and peak memory are those of one process; absolute times are this machine's.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pibed.base import places
from pibed.base.terminal import duration
from pibed.commands import build
from pibed.measure import record
from pibed.model import plan
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import load_machine
from pibed.model.samples import Number, Sample, Status
from pibed.model.shard import Shard
from pibed.runs.folder import RunFolder
from pibed.runs.manifest import Manifest, round_seeds
from pibed.stats.analysis import Analysis

ROOT = places.checkout()

# As large as those of a boot of the paging experiment, whose console has 7 kB.
CONSOLE, AGENT = 7000, 1500


def study(rounds: int, cells: int) -> Experiment:
    """The paging experiment with as many sizes as give so many cells."""
    sizes = list(range(16, 16 + 4 * (cells // 2), 4))
    return load_experiment("paging", {"rounds": rounds, "parameters.size.values": sizes})


def sample(experiment: Experiment, number: int, order: int, cell: plan.Cell) -> Sample:
    """Numbers like those of the experiment: a wide and a narrow metric, and counters."""
    drawn = random.Random(f"{number} {cell}").random()
    size, demand = cell.as_dict()["size"], cell.as_dict()["demand_paging"]
    pages = 3 * -(-8 * size * size // 4096)
    metrics: dict[str, Number] = {
        "mmap_us": round(25 + 3 * drawn + (0 if demand else 2.75 * pages), 1),
        "multiply_us": round(0.1 * size**2.97 * (1 + drawn / 100) + (3.9 * pages if demand else 0)),
        "pages_allocated": pages,
        "pages_freed": pages,
        "faults": pages if demand else 0,
    }
    assert metrics.keys() == experiment.metrics.keys()
    return Sample(experiment.name, number, order, Status.OK, cell, metrics)


def begun(experiment: Experiment) -> Manifest:
    """Before the first boot of a run of all rounds."""
    machine = load_machine("pi2")
    images = build.make_images(machine, load_experiment("paging"))
    return record.begun(machine, experiment, 2, images, "QEMU 7.2")


def make(root: Path, whole: Manifest, shard: Shard | None, boots: bool = True) -> Path:
    """A run's folder, or a shard's, as a sweep leaves it."""
    experiment = whole.experiment
    folder = root / (
        "20260101T000000Z-whole"
        if shard is None
        else f"20260101T000000Z-{shard.number}-of-{shard.of}"
    )
    folder.mkdir()
    run = RunFolder(folder, experiment, shard)
    taken = []
    for each in plan.rounds(experiment, shard):
        samples = [sample(experiment, each.number, v.order, v.cell) for v in each.visits]
        taken += samples
        if boots:
            boot = run._boot(each.number, 1)
            boot.mkdir(parents=True)
            (boot / "samples.jsonl").write_text("".join(s.to_json() + "\n" for s in samples))
            (boot / "finished.json").write_text(json.dumps({"boots": 1, "problems": []}))
            (boot / "console.log").write_bytes(bytes(CONSOLE))
            (boot / "agent.log").write_bytes(bytes(AGENT))
            (boot / "qemu.log").write_bytes(bytes(850))
            (boot / "plan").write_bytes(bytes(1700))
    run.write_samples(Analysis(experiment, taken))
    rounds = round_seeds(experiment, shard)
    before = whole.model_copy(update={"shard": shard, "rounds": rounds})
    run.write_manifest(record.ended(before, folder / "samples.csv", taken, (), (), True))
    return folder


def inv(*arguments: str) -> str:
    """Runs a task; returns its CPU seconds and its peak memory, as text."""
    return python(ROOT / "bench" / "peak.py", "--search-root", ROOT, *arguments)


def python(*argv: str | Path) -> str:
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, *argv], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    after, taken = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - wall
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{cpu:7.1f} s CPU, {taken:7.1f} s wall, {done.stderr.splitlines()[-1]}"


def bench_merge(shards: int, rounds: int, cells: int) -> None:
    """Shards of so many rounds each, merged."""
    experiment = study(shards * rounds, cells)
    with tempfile.TemporaryDirectory(prefix="pibed-bench-", dir="/var/tmp") as name:
        root = Path(name)
        whole = begun(experiment)
        for number in range(1, shards + 1):
            make(root, whole, Shard(number=number, of=shards))
        runs = [str(path) for path in sorted(root.glob("*-of-*"))]
        taken = inv("merge", *runs, "--no-report", "--results", name)
        count = experiment.rounds * len(plan.cells(experiment))
        print(f"merge of {shards} shards of {rounds} rounds, {count:,} samples: {taken}")


# A process of its own, so that its memory is that of reading alone.
_READ = """
import resource, sys
from pathlib import Path
from pibed.runs import reading
from pibed.stats import summary
run = reading.read(Path(sys.argv[1]))
if sys.argv[2] == "summary":
    summary.to_csv(run.experiment, run.analysis.summaries)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"peak {peak / 1024:.0f} MiB", file=sys.stderr)
"""


def bench_read(rounds: int, cells: int) -> None:
    """Reading a run, its summary, its row among the runs, its report, comparing it with itself.

    Then with ten times as many samples.
    """
    for part in (rounds // 10, rounds):
        experiment = study(part, cells)
        count = part * len(plan.cells(experiment))
        with tempfile.TemporaryDirectory(prefix="pibed-bench-", dir="/var/tmp") as name:
            folder = make(Path(name), begun(experiment), None, boots=False)
            size = (folder / "samples.csv").stat().st_size / 1e6
            print(f"{count:,} samples in {part:,} rounds; samples.csv has {size:.1f} MB")
            print(f"  read:    {python('-c', _READ, folder, 'read')}")
            print(f"  summary: {python('-c', _READ, folder, 'summary')}")
            print(f"  results: {inv('results', '--results', name)}")
            print(f"  report:  {inv('report', str(folder))}")
            print(f"  compare: {inv('compare', str(folder), str(folder))}")
            size = (folder / "report.html").stat().st_size / 1e6
            print(f"  report.html has {size:.1f} MB", flush=True)


def bench_plan(rounds: int, cells: int) -> None:
    """What each machine does before its first boot: the plan of its shard, the digest of all."""
    for part in (rounds // 10, rounds):
        experiment = study(part, cells)
        began = time.process_time()
        plan.digest(experiment)
        digest = time.process_time() - began
        own = len(plan.rounds(experiment, Shard(number=1, of=part)))
        taken = time.process_time() - began - digest
        print(f"{part:,} rounds of {cells} cells: digest {digest:.1f} s CPU; {own} own {taken:.3f}")


def simulated(
    machines: int, shards: int, rounds: int, round_s: float, start_s: float, seed: int
) -> float:
    """Seconds until the last shard has come to its end; a machine takes one after the other.

    Machines differ in speed by 10 % (standard deviation of a normal distribution), rounds on one by
    3 %. One shard of a hundred is cut off somewhere, and goes on with one round measured anew.
    """
    generator = random.Random(seed)
    speeds = [max(0.7, generator.gauss(1, 0.1)) for _ in range(machines)]
    free = [(0.0, machine) for machine in range(machines)]
    for number in range(1, shards + 1):
        now, machine = heapq.heappop(free)
        own = len(Shard(number=number, of=shards).numbers(rounds))
        lost = generator.random() < 0.01
        varied = sum(max(0.8, generator.gauss(1, 0.03)) for _ in range(own + lost))
        now += start_s * (1 + lost) + round_s * speeds[machine] * varied
        heapq.heappush(free, (now, machine))
    return max(now for now, _ in free)


def bench_simulate(rounds: int, round_s: float, start_s: float) -> None:
    """What 1 to 10,000 machines of one core give, on paper and simulated."""
    print("| machines | on paper | a shard each | efficiency | ten shards each | efficiency |")
    print("|---|---|---|---|---|---|")
    for machines in (1, 10, 100, 1000, 10_000):
        row = [f"{machines:,}", duration(start_s + -(-rounds // machines) * round_s)]
        for shards in (machines, min(rounds, 10 * machines)):
            taken = statistics.median(
                simulated(machines, shards, rounds, round_s, start_s, seed) for seed in range(9)
            )
            row += [duration(taken), f"{rounds * round_s / machines / taken:.2f}"]
        print(f"| {' | '.join(row)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["merge", "read", "plan", "simulate"])
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--rounds", type=int, help="of a shard: 100, or of the run: 10,000")
    parser.add_argument("--cells", type=int, help="of merge: 8, else 100")
    parser.add_argument("--round-s", type=float, default=100)
    parser.add_argument("--start-s", type=float, default=20)
    given = parser.parse_args()
    if given.what == "merge":
        bench_merge(given.shards, given.rounds or 100, given.cells or 8)
    elif given.what == "read":
        bench_read(given.rounds or 10_000, given.cells or 100)
    elif given.what == "simulate":
        bench_simulate(given.rounds or 10_000, given.round_s, given.start_s)
    else:
        bench_plan(given.rounds or 10_000, given.cells or 100)


if __name__ == "__main__":
    main()
