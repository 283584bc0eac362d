"""Measures pibed beside the bare thing: `bench/bench.py NAME…`, by default all benches below.

Run it on a machine that does nothing else, from the checkout's environment, after `./inv build`.
Ratios are what counts: absolute times are this machine's.
"""

from __future__ import annotations

import itertools
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pibed import plots
from pibed.base import places
from pibed.build import timing
from pibed.commands import build
from pibed.guest import guest, qemu
from pibed.guest.guest import Guest, Launch
from pibed.guest.qemu import Logs
from pibed.measure import record
from pibed.model import plan
from pibed.model.experiment import load_experiment
from pibed.model.machine import Clock, Use, load_machine
from pibed.model.plan import Round
from pibed.model.protocol import Command
from pibed.model.samples import Number, Sample, Status
from pibed.plots.all import FORMATS
from pibed.profile import record as profile_record
from pibed.profile.record import Subject
from pibed.profile.symbols import Binaries
from pibed.runs.folder import RunFolder
from pibed.stats.analysis import Analysis

ROOT = places.checkout()
CORES = len(os.sched_getaffinity(0))

# What ran in a sandbox is not among the CPU time of our children.
SWEEP = ("sweep", "--trust")


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measured(run: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of what `run` starts."""
    cpu, wall = cpu_of_children(), time.monotonic()
    run()
    return time.monotonic() - wall, cpu_of_children() - cpu


def inv(*arguments: str, cache: Path | None = None) -> None:
    environment = dict(os.environ) | ({"PIBED_CACHE": str(cache)} if cache else {})
    subprocess.run(
        [ROOT / "inv", *arguments],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def bench_list() -> None:
    """`./inv --list` beside Invoke alone, which is the least that it could take."""
    alone = [sys.executable, "-c", "import invoke"]
    pairs = []
    for _ in range(11):
        bare = measured(lambda: subprocess.run(alone, check=True))[0]
        pairs.append((bare, measured(lambda: inv("--list"))[0]))
    bare, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"import invoke: median {bare:.3f} s")
    print(f"./inv --list:  median {ours:.3f} s, ratio {ours / bare:.2f}")


def bench_build() -> None:
    """From nothing but the downloads; then with nothing to do; then after an edit of the module."""
    downloads = places.cache() / "downloads"
    with tempfile.TemporaryDirectory(prefix="pibed-bench-", dir="/var/tmp") as name:
        bare, ours = Path(name) / "bare", Path(name) / "ours"
        script = [ROOT / "bench" / "bare-build.sh", downloads, ROOT, bare]
        bare_wall, bare_cpu = measured(
            lambda: subprocess.run(
                script, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )
        shutil.rmtree(bare)
        shutil.copytree(downloads, ours / "downloads")
        wall, cpu = measured(lambda: inv("build", cache=ours))
        print(f"bare build   {bare_wall:7.1f} s wall {bare_cpu:7.1f} s CPU")
        print(f"./inv build {wall:7.1f} s wall {cpu:7.1f} s CPU, CPU ratio {cpu / bare_cpu:.3f}")
        nothing = [measured(lambda: inv("build", cache=ours))[0] for _ in range(7)]
        print(f"nothing to do: median {statistics.median(nothing):.2f} s")
        source = ROOT / "module" / "paging.c"
        original = source.read_bytes()
        edits = []
        try:
            for number in range(5):
                source.write_bytes(original + f"/* {time.time_ns()} {number} */\n".encode())
                edits.append(measured(lambda: inv("build", cache=ours))[0])
        finally:
            source.write_bytes(original)
        print(f"after an edit of the module: median {statistics.median(edits):.2f} s")


def prepared() -> Launch:
    machine = load_machine("pi2")
    images = build.make_images(machine, load_experiment("paging"))
    return Launch(machine, images, "virtual", seed=1)


def bare_boot(launch: Launch, text: str, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    argv = qemu.arguments(
        launch.machine,
        launch.clock,
        launch.images,
        initramfs=guest.pack_plan(launch.images, text, folder),
        kernel_args=["PIBED_FEED=plan", f"PIBED_SEED={launch.seed}"],
        seed=launch.seed,
    )
    ends: dict[Use, str] = {"console": f"file:{folder / 'console.log'}", "agent": "stdio"}
    lines = qemu.serial_options(launch.machine.serial_lines, ends)
    process = subprocess.Popen([*argv, *lines], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    return process, folder


def bench_boot() -> None:
    """Start of QEMU to the agent's first marker: bare QEMU and pibed in turn."""
    launch = prepared()
    bare, ours = [], []
    for _ in range(11):
        with tempfile.TemporaryDirectory() as name:
            start = time.monotonic()
            process, _ = bare_boot(launch, "", Path(name))
            assert process.stdout is not None
            while b"ready" not in process.stdout.readline():
                pass
            bare.append(time.monotonic() - start)
            process.communicate()
        with tempfile.TemporaryDirectory() as name:
            start = time.monotonic()
            with Guest(launch, Logs.below(Path(name)), []) as booted:
                ours.append(time.monotonic() - start)
                booted.finish()
    print(f"bare QEMU to the first marker: median {statistics.median(bare):.3f} s")
    added = statistics.median(b - a for a, b in zip(bare, ours, strict=True))
    print(f"pibed to the first marker:     median {statistics.median(ours):.3f} s")
    print(f"added by pibed, pair by pair:  median {added:+.3f} s")


def bench_sweep() -> None:
    """The default sweep, and the same boots by bare QEMU from the same plans, as many at once."""
    launch = prepared()
    rounds = plan.rounds(load_experiment("paging"))
    with tempfile.TemporaryDirectory(prefix="pibed-bench-") as name:
        wall, cpu = measured(lambda: inv(*SWEEP, "--results", name))
        plans = [path.read_text() for path in sorted(Path(name).glob("2*/boots/*/plan"))]

    def run(job: tuple[str, Round]) -> None:
        text, each = job
        seeded = Launch(launch.machine, launch.images, launch.clock, each.seed)
        with tempfile.TemporaryDirectory() as folder:
            bare_boot(seeded, text, Path(folder))[0].communicate()

    def run_all() -> None:
        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(run, zip(plans, rounds, strict=True)))

    bare_wall, bare_cpu = measured(run_all)
    print(f"bare QEMU    {bare_wall:6.1f} s wall {bare_cpu:6.1f} s CPU, {CORES} at once")
    print(f"./inv sweep {wall:6.1f} s wall {cpu:6.1f} s CPU, CPU ratio {cpu / bare_cpu:.3f}")
    print(f"wall / (bare CPU / cores) = {wall / (bare_cpu / CORES):.3f}")


def bench_clock() -> None:
    """CPU seconds with the board's clock beside the virtual one, in turn: boot, default sweep."""
    machine, study = load_machine("pi3"), load_experiment("paging")
    images = build.make_images(machine, study, board=timing.board_of(machine))

    def boot(clock: Clock) -> None:
        with tempfile.TemporaryDirectory() as name:
            bare_boot(Launch(machine, images, clock, seed=1), "", Path(name))[0].communicate()

    def sweep(clock: Clock) -> None:
        with tempfile.TemporaryDirectory(prefix="pibed-bench-") as name:
            inv(*SWEEP, "--no-report", "--machine", "pi3", "--clock", clock, "--results", name)

    for what, run, times in (("boot", boot, 11), ("sweep", sweep, 1)):
        clocks: tuple[Clock, ...] = ("virtual", "board")
        taken: dict[Clock, list[float]] = {clock: [] for clock in clocks}
        for clock in clocks * times:
            taken[clock].append(measured(partial(run, clock))[1])
        virtual, board = (statistics.median(taken[clock]) for clock in clocks)
        print(
            f"{what}: CPU {virtual:.2f} s virtual, {board:.2f} s board, {board / virtual:.2f} times"
        )


def bench_profile() -> None:
    """CPU seconds of a boot whose command is profiled beside the same boot without, in turn."""
    study = load_experiment("paging")
    commands = [
        Command("load", 20, plan.load_line(study, plan.cells(study)[0].as_dict())),
        Command("run", 300, "dense_mm 256"),
    ]

    def boot(launch: Launch, folder: Path) -> None:
        with Guest(launch, Logs.below(folder), commands) as guest:
            for command in commands:
                guest.run(command)
            guest.finish()

    clocks: tuple[Clock, ...] = ("virtual", "board")
    for clock in clocks:
        machine = load_machine("pi3", {"clock": clock})
        board = timing.board_of(machine)
        launch = Launch(
            machine, build.make_images(machine, study, board=board, trust=True), clock, 1
        )
        plain, profiled = [], []
        with (
            tempfile.TemporaryDirectory() as name,
            profile_record.temporary_folder() as programs,
        ):
            folder = Path(name)
            binaries = profile_record.binaries_of(launch.images, Path(programs))
            subject = Subject("dense_mm 256", commands, 1, None)
            for _ in range(3):
                plain.append(measured(partial(boot, launch, folder))[1])
                run = partial(_profile, launch, subject, binaries, folder)
                profiled.append(measured(run)[1])
        one, other = statistics.median(plain), statistics.median(profiled)
        print(
            f"{clock} clock: CPU {one:.2f} s plain, {other:.2f} s profiled, {other / one:.2f} times"
        )


def _profile(launch: Launch, subject: Subject, binaries: Binaries, folder: Path) -> None:
    boot = profile_record.boot_of(launch, subject, binaries)
    result = boot.run(folder, lambda: None)
    profile_record.read(boot, result, subject, binaries, folder)


def bench_memory() -> None:
    """Peak memory of the Python process: a sweep, and a console and a command that print a lot."""
    console = load_machine("pi2").serial_device("console")
    flood = "yes 0123456789012345678901234567890123456789 | head -c 30000000"
    with tempfile.TemporaryDirectory(prefix="pibed-bench-") as name:
        for what in (
            ["sweep", "--sizes", "64,128", "--results", name],
            ["boot", "--cmd", f"{flood} >/dev/{console}; {flood}", "--timeout", "3000"],
        ):
            done = subprocess.run(
                [sys.executable, ROOT / "bench" / "peak.py", "--search-root", ROOT, *what],
                capture_output=True,
                text=True,
                check=True,
            )
            print(f"{what[0]}: {done.stderr.splitlines()[-1]}")


def bench_report() -> None:
    """`./inv report` of 10,000 made-up samples beside matplotlib's drawing of its figures alone."""
    study = load_experiment("paging", {"rounds": 10_000 // 8})
    rng = random.Random(1)
    samples = []
    for round_, (order, cell) in itertools.product(
        range(1, study.rounds + 1), enumerate(plan.cells(study), start=1)
    ):
        metrics: dict[str, Number] = dict.fromkeys(study.metrics, 100 * order)
        metrics |= {"mmap_us": 60 + rng.randrange(10), "multiply_us": order * 1000 + round_ % 97}
        samples.append(Sample(study.name, round_, order, Status.OK, cell, metrics))
    with tempfile.TemporaryDirectory(prefix="pibed-bench-") as name:
        machine = load_machine("pi2")
        images = build.make_images(machine, study)
        run = RunFolder(Path(name), study)
        analysis = Analysis(study, samples)
        run.write_samples(analysis)
        begun = record.begun(machine, study, 1, images, "QEMU")
        run.write_manifest(record.ended(begun, run.folder / "samples.csv", samples, (), (), True))
        whole = measured(lambda: inv("report", name))[0]
        drawn = plots.draw(analysis)
        began = time.monotonic()
        for plot, form in itertools.product(drawn, FORMATS):
            plot.render(form)
        bare = time.monotonic() - began
    print(f"report of 10,000 samples: {whole:.1f} s; rendering its plots alone {bare:.1f} s")


if __name__ == "__main__":
    benches = {
        "list": bench_list,
        "build": bench_build,
        "boot": bench_boot,
        "sweep": bench_sweep,
        "clock": bench_clock,
        "profile": bench_profile,
        "memory": bench_memory,
        "report": bench_report,
    }
    for choice in sys.argv[1:] or list(benches):
        benches[choice]()
