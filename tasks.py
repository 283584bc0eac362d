"""pibed's command line: one Invoke task a verb. `invoke --list` names them."""

from __future__ import annotations

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from pibed.commands.frame import command

_BUILDER_HELP = {
    "builder": "debian (the default) or buildroot",
    "toolchain": "of Buildroot: bootlin, internal, path, distro (default: configs/buildroot.yaml)",
    "buildroot-dir": "folder with Buildroot's sources (default: what configs/lock.yaml pins)",
}


@task(
    help={
        "machine": "configuration in configs/machines/ (default pi2)",
        "builder": _BUILDER_HELP["builder"],
        "toolchain": _BUILDER_HELP["toolchain"],
    }
)
@command
def setup(
    context: Context,
    machine: str = "pi2",
    builder: str | None = None,
    toolchain: str | None = None,
) -> None:
    """Install the host's packages that are missing, then check them.

    Example: ./inv setup
    Example: ./inv setup --builder buildroot --toolchain distro
    """
    from pibed.build import builders
    from pibed.commands.setup import setup

    setup(machine, builders.choose(builder, toolchain, None))


@task(
    help={
        "machine": "configuration in configs/machines/ (default pi2)",
        "builder": _BUILDER_HELP["builder"],
        "toolchain": _BUILDER_HELP["toolchain"],
    }
)
@command
def doctor(
    context: Context,
    machine: str = "pi2",
    builder: str | None = None,
    toolchain: str | None = None,
) -> None:
    """Show every prerequisite: found, missing or too old, and its fix.

    Example: invoke doctor
    Example: invoke doctor --builder buildroot
    """
    from pibed.build import builders
    from pibed.commands.setup import doctor

    doctor(machine, builders.choose(builder, toolchain, None))


@task(
    help={
        "machine": "configuration in configs/machines/ (default pi2)",
        "experiment": "configuration in configs/experiments/ (default paging)",
        "kernel": "series of the kernel, such as 6.12 (default: the machine's)",
        "refresh": "ask the distribution for newer sources first",
        "locked": "refuse to build if anything differs from configs/lock.yaml",
        "mirror": "folder with the locked sources, used instead of the network",
        **_BUILDER_HELP,
    }
)
@command
def build(
    context: Context,
    machine: str = "pi2",
    experiment: str = "paging",
    kernel: str | None = None,
    refresh: bool = False,
    locked: bool = False,
    mirror: str | None = None,
    builder: str | None = None,
    toolchain: str | None = None,
    buildroot_dir: str | None = None,
) -> None:
    """Build kernel, device tree, root file system, module and workload; only what changed.

    Example: invoke build
    Example: invoke build --builder buildroot
    """
    from pibed.commands import build

    build.build(
        *(machine, experiment, kernel, refresh, locked, mirror),
        *(builder, toolchain, buildroot_dir),
    )


@task(
    help={
        "machine": "configuration in configs/machines/ (default pi2)",
        "refresh": "ask the distribution for newer sources first",
        "archive": "folder to copy the locked sources to, so that it can be a --mirror",
    }
)
@command
def lock(
    context: Context, machine: str = "pi2", refresh: bool = False, archive: str | None = None
) -> None:
    """Pin what images are built from and what measures in configs/lock.yaml.

    Prints what changed against the lock before.

    Example: invoke lock --archive ~/pibed-sources
    """
    from pibed.commands import lock as lock_command

    lock_command.write(machine, refresh, archive)


@task(
    help={
        "sizes": "sizes of the matrices, such as 64,128,256,512",
        "modes": "1 for demand paging, 0 for pre-paging, or 1,0",
        "runs": "samples of each cell (default 10); each is a boot of its own",
        "clock": "virtual (exact, the default), host (real time, four CPUs), or both",
        "jobs": "boots side by side (default: all cores, one with the host clock)",
        "seed": "everything random follows from it (default 1)",
        "experiment": "configuration in configs/experiments/ (default paging)",
        "machine": "configuration in configs/machines/ (default pi2)",
        "kernel": "series of the kernel, such as 6.12 (default: the machine's)",
        "name": "name of the results folder behind its date (default: the experiment)",
        "results": "folder for the results (default results/ in the checkout)",
        "resume": "go on with a run that was cut off: its folder, its name, or latest",
        "locked": "refuse to measure if anything differs from configs/lock.yaml",
        "mirror": "folder with the locked sources, used instead of the network",
        **_BUILDER_HELP,
    }
)
@command
def sweep(
    context: Context,
    sizes: str | None = None,
    modes: str | None = None,
    runs: str | None = None,
    clock: str | None = None,
    jobs: str | None = None,
    seed: str | None = None,
    experiment: str | None = None,
    machine: str | None = None,
    kernel: str | None = None,
    name: str | None = None,
    results: str | None = None,
    resume: str | None = None,
    locked: bool = False,
    mirror: str | None = None,
    builder: str | None = None,
    toolchain: str | None = None,
    buildroot_dir: str | None = None,
) -> None:
    """Measure the experiment: every cell once a round, and a table of all.

    Example: invoke sweep --sizes 64,128,256,512
    Example: invoke sweep --sizes 64,128 --builder buildroot
    """
    from pibed.commands import sweep
    from pibed.commands.sweep import SweepOptions

    sweep.sweep(
        SweepOptions(
            machine=machine,
            kernel=kernel,
            experiment=experiment,
            sizes=sizes,
            modes=modes,
            runs=runs,
            seed=seed,
            clock=clock,
            jobs=jobs,
            name=name,
            results=results,
            resume=resume,
            locked=locked,
            mirror=mirror,
            builder=builder,
            toolchain=toolchain,
            buildroot_dir=buildroot_dir,
        )
    )


@task(
    help={
        "manifest": "manifest.json of a run, of this machine or another",
        "jobs": "boots side by side (default: all cores, one with the host clock)",
        "name": "name of the results folder behind its date (default: the experiment)",
        "results": "folder for the results (default results/ in the checkout)",
        "locked": "refuse to measure if anything differs from configs/lock.yaml",
        "mirror": "folder with the locked sources, used instead of the network",
    }
)
@command
def rerun(
    context: Context,
    manifest: str,
    jobs: str | None = None,
    name: str | None = None,
    results: str | None = None,
    locked: bool = False,
    mirror: str | None = None,
) -> None:
    """Measure again what a manifest describes, and say whether the samples are the same.

    Example: invoke rerun results/latest/manifest.json
    """
    from pathlib import Path

    from pibed.commands import arguments, sweep

    policy = arguments.policy(locked, False, mirror)
    sweep.rerun(Path(manifest), jobs, name, results, policy)


@task(help={"results": "folder for the results (default results/ in the checkout)"})
@command
def results(context: Context, results: str | None = None) -> None:
    """List the runs: what each measured, whether it came to its end, and what it found.

    Example: invoke results
    """
    from pibed.commands import results as results_command

    results_command.show(results)


@task(
    help={
        "run": "a run: its folder, its name, or latest",
        "results": "folder for the results (default results/ in the checkout)",
    }
)
@command
def report(context: Context, run: str, results: str | None = None) -> None:
    """Write report.html and report.md of a run again, from its files alone.

    Example: invoke report latest
    """
    from pibed.commands import report

    report.report(run, results)


@task(
    help={
        "first": "a run: its folder, its name, or latest; or pi for the published numbers",
        "second": "the run that is compared with the first; or pi",
        "fail-on-regression": "end with status 1 if something got worse",
        "results": "folder for the results (default results/ in the checkout)",
    }
)
@command
def compare(
    context: Context,
    first: str,
    second: str,
    fail_on_regression: bool = False,
    results: str | None = None,
) -> None:
    """Say what got better or worse from one run to another, or what a real Pi says.

    Example: invoke compare latest pi
    """
    from pibed.commands import compare

    compare.compare(first, second, results, fail_on_regression)


@task(
    help={
        "run": "a run: its folder, its name, or latest",
        "output": "the archive (default <run>.tar.gz in the current folder)",
    }
)
@command
def pack(context: Context, run: str, output: str | None = None) -> None:
    """Pack a run with its images into an archive that is replayed with QEMU alone.

    Example: invoke pack latest
    """
    from pibed.commands import pack

    pack.pack(run, output)


@task(
    help={
        "results": "measure only, and this run: its folder, its name, or (no value) the newest",
        "build": "build only",
        **_BUILDER_HELP,
    },
    optional=["results"],
)
@command
def verify(
    context: Context,
    results: str | None = None,
    build: bool = False,
    builder: str | None = None,
    toolchain: str | None = None,
    buildroot_dir: str | None = None,
) -> None:
    """Build again and measure again, and prove both the same to the byte.

    Example: invoke verify --results latest
    Example: invoke verify --build --builder buildroot
    """
    from pibed.commands import verify
    from pibed.commands.verify import VerifyOptions

    verify.verify(
        VerifyOptions(
            results=results,
            build=build,
            builder=builder,
            toolchain=toolchain,
            buildroot_dir=buildroot_dir,
        )
    )


@task(
    help={
        "demand-paging": "load the module first: 1 for demand paging, 0 for pre-paging",
        "cmd": "run this command, print its output, and exit with its status",
        "clock": "virtual (default with --cmd) or host (default for a shell)",
        "timeout": "guest seconds after which the command is killed (default 600)",
        "seed": "seed of the guest's random numbers (default 1)",
        "experiment": "whose module and workload the guest has (default paging)",
        "machine": "configuration in configs/machines/ (default pi2)",
        "kernel": "series of the kernel, such as 6.12 (default: the machine's)",
        **_BUILDER_HELP,
    }
)
@command
def boot(
    context: Context,
    demand_paging: str | None = None,
    cmd: str | None = None,
    clock: str | None = None,
    timeout: str | None = None,
    seed: str | None = None,
    experiment: str = "paging",
    machine: str = "pi2",
    kernel: str | None = None,
    builder: str | None = None,
    toolchain: str | None = None,
    buildroot_dir: str | None = None,
) -> None:
    """Boot to a shell you can type in, or run one command.

    Leave the shell with exit, or kill the guest with Ctrl-].

    Example: invoke boot --demand-paging 0 --cmd 'dense_mm 64'
    Example: invoke boot --builder buildroot
    """
    from pibed.commands import boot
    from pibed.commands.boot import BootOptions

    status = boot.boot(
        BootOptions(
            machine=machine,
            kernel=kernel,
            experiment=experiment,
            demand_paging=demand_paging,
            cmd=cmd,
            clock=clock,
            seed=seed,
            timeout=timeout,
            builder=builder,
            toolchain=toolchain,
            buildroot_dir=buildroot_dir,
        )
    )
    if status:
        raise Exit(code=status)


@task(
    help={
        "kernel": "series of the kernel, such as 6.12 (default: the machine's)",
        "debug": "on a kernel with KASAN, lockdep, kmemleak, fault injection and more",
        "tests": "programs or patterns, such as fork,'mmap.*' (default: all)",
        "stress": "seconds that the stress test runs in each mode (default 60)",
        "seed": "of all that is random in the tests (default 1)",
        "jobs": "variants side by side (default: all cores)",
        "suite": "configuration in configs/suites/ (default paging)",
        "machine": "configuration in configs/machines/ (default pi2)",
        "results": "folder for the results, below its ktest/ (default results/ in the checkout)",
        **_BUILDER_HELP,
    }
)
@command
def ktest(
    context: Context,
    kernel: str | None = None,
    debug: bool = False,
    tests: str | None = None,
    stress: str | None = None,
    seed: str | None = None,
    jobs: str | None = None,
    suite: str = "paging",
    machine: str = "pi2",
    results: str | None = None,
    builder: str | None = None,
    toolchain: str | None = None,
    buildroot_dir: str | None = None,
) -> None:
    """Test the module in the guest: semantics, misuse, shortage of memory, stress.

    Example: invoke ktest --kernel 6.12 --debug
    Example: invoke ktest --tests fork,mmap --builder buildroot
    """
    from pibed.commands import ktest
    from pibed.commands.ktest import KtestOptions

    ktest.ktest(
        KtestOptions(
            machine=machine,
            suite=suite,
            kernel=kernel,
            debug=debug,
            tests=tests,
            stress=stress,
            seed=seed,
            jobs=jobs,
            results=results,
            builder=builder,
            toolchain=toolchain,
            buildroot_dir=buildroot_dir,
        )
    )


@task(
    help={
        "output": "new folder for the bill of materials, licences and sources (default legal/)",
        "experiment": "whose module and workload the guest has (default paging)",
        "machine": "configuration in configs/machines/ (default pi2)",
        "kernel": "series of the kernel, such as 6.12 (default: the machine's)",
        **_BUILDER_HELP,
    }
)
@command
def legal(
    context: Context,
    output: str = "legal",
    experiment: str = "paging",
    machine: str = "pi2",
    kernel: str | None = None,
    builder: str | None = None,
    toolchain: str | None = None,
    buildroot_dir: str | None = None,
) -> None:
    """Write what the images consist of (CycloneDX), with licences and sources.

    Example: invoke legal --output ~/pibed-legal
    Example: invoke legal --builder buildroot --output ~/pibed-legal
    """
    from pibed.build import builders
    from pibed.commands import legal

    chosen = builders.choose(builder, toolchain, buildroot_dir)
    legal.legal(machine, experiment, kernel, output, chosen)


@task(help={"everything": "also the downloaded sources and all logs"})
@command
def clean(context: Context, everything: bool = False) -> None:
    """Remove what the build made from the cache folder.

    Example: invoke clean
    """
    from pibed.commands import clean

    clean.clean(everything)


@task(help={"live": "run the live tests too, which boot the guest (the default)"})
@command
def test(context: Context, live: bool = True) -> None:
    """Run every check and test: style, types, unit tests, and live ones that boot the guest.

    Example: invoke test --no-live
    """
    from pibed.commands import test

    test.test(live)
