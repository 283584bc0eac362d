"""The options of every verb, each stated once: the tasks and their help are made from these.

An option is None, False or () where it was not given. In help texts `{machine}`, `{experiment}` and
`{suite}` stand for the names in configs/defaults.yaml, in docstrings a line `{examples}` for the
examples there. Nothing heavy is imported here, since
`./inv --list` reads all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def option(help: str) -> Any:
    """An option with a value; its field is `str | None`."""
    return field(default=None, metadata={"help": help})


def flag(help: str, default: bool = False) -> Any:
    """An option without a value; one that is on by default is switched off by `--no-…`."""
    return field(default=default, metadata={"help": help})


def repeated(help: str) -> Any:
    """An option that can be given several times; its field is `tuple[str, ...]`."""
    return field(default=(), metadata={"help": help})


def argument(help: str) -> Any:
    """What must be given, by its place or as an option; its field is `str`."""
    return field(metadata={"help": help})


def arguments(help: str) -> Any:
    """What is given by its place, once or several times; its field is `tuple[str, ...]`."""
    return field(metadata={"help": help, "several": True})


def place(help: str) -> Any:
    """What can be given by its place or as an option, or left out; its field is `str | None`."""
    return field(default=None, metadata={"help": help, "place": True})


def declared() -> Any:
    """Values of the options that experiments declare, by option without its dashes."""
    return field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """Of verbs that need a machine."""

    machine: str | None = option("configuration in configs/machines/ (default {machine})")


@dataclass(frozen=True, kw_only=True)
class KernelOptions(MachineOptions):
    """Of verbs that build a kernel."""

    kernel: str | None = option("series of the kernel, such as 6.12 (default: the machine's)")


@dataclass(frozen=True, kw_only=True)
class ExperimentOptions(KernelOptions):
    """Of verbs that need images of an experiment."""

    experiment: str | None = option(
        "configuration in configs/experiments/, or the path of one anywhere: what is measured, and "
        "whose module and workload the guest has (default {experiment})"
    )


@dataclass(frozen=True, kw_only=True)
class ToolchainOptions:
    """Of verbs that ask what a builder needs."""

    builder: str | None = option("debian (the default) or buildroot")
    toolchain: str | None = option(
        "of Buildroot: bootlin, internal, path, distro (default: configs/buildroot.yaml)"
    )


@dataclass(frozen=True, kw_only=True)
class TrustOptions:
    """Of verbs that build what users wrote."""

    trust: bool = flag(
        "build what the experiment or suite brings without a sandbox: it may do all that you may"
    )


@dataclass(frozen=True, kw_only=True)
class BuilderOptions(ToolchainOptions, TrustOptions):
    """Of verbs that build."""

    buildroot_dir: str | None = option(
        "folder with Buildroot's sources (default: what configs/lock.yaml pins)"
    )


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Of verbs that can be held to the lock."""

    locked: bool = flag("refuse if anything differs from configs/lock.yaml")
    mirror: str | None = option("folder with the locked sources, used instead of the network")


@dataclass(frozen=True, kw_only=True)
class ResultsOptions:
    """Of verbs that read or write runs."""

    results: str | None = option("folder for the results (default results/ in the checkout)")


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Of verbs that can boot on other machines."""

    cluster: str | None = option(
        "boot on other machines, see docs/cluster.md: tcp:// or tls://HOST:PORT of a scheduler "
        "of dask, local:WORKERS, ssh:HOST,…, or slurm:JOBS (default: on this one)"
    )


@dataclass(frozen=True, kw_only=True)
class MeasureOptions(SourceOptions, ResultsOptions, ClusterOptions):
    """Of verbs that measure."""

    jobs: str | None = option("boots side by side (default: all cores, one with the host clock)")
    name: str | None = option(
        "name of the results folder behind its date (default: the experiment)"
    )


@dataclass(frozen=True, kw_only=True)
class RunOptions(ResultsOptions):
    """Of verbs that look at one run."""

    run: str = argument("a run: its folder, its name, or latest")


@dataclass(frozen=True, kw_only=True)
class HelpOptions:
    """Show how to begin.

    Example: ./inv help
    """


@dataclass(frozen=True, kw_only=True)
class SetupOptions(MachineOptions, ToolchainOptions):
    """Install the host's packages that are missing, then check them.

    Example: ./inv setup
    Example: ./inv setup --builder buildroot --toolchain distro
    Example: ./inv setup --cxx
    """

    cxx: bool = flag("the compiler for workloads in C++ as well")


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(MachineOptions, ToolchainOptions):
    """Show every prerequisite: found, missing or too old, and its fix.

    Example: ./inv doctor
    Example: ./inv doctor --builder buildroot
    """


@dataclass(frozen=True, kw_only=True)
class BuildOptions(ExperimentOptions, BuilderOptions, SourceOptions):
    """Build kernel, device tree, root file system, module and workload; only what changed.

    Example: ./inv build
    Example: ./inv build --builder buildroot
    """

    refresh: bool = flag("ask the distribution for newer sources first")


@dataclass(frozen=True, kw_only=True)
class LockOptions(MachineOptions):
    """Pin what images are built from and what measures in configs/lock.yaml.

    Prints what changed against the lock before. With an experiment it is the packages of its guest
    that are pinned, in packages.lock.yaml beside it.

    Example: ./inv lock --archive ~/pibed-sources
    Example: ./inv lock --experiment ./experiment.yaml --refresh
    """

    experiment: str | None = option(
        "experiment whose guest gets packages, by its name or its file: these are locked instead"
    )
    refresh: bool = flag("ask the distribution for newer sources first")
    archive: str | None = option(
        "folder to copy the locked sources to, so that it can be a --mirror"
    )


@dataclass(frozen=True, kw_only=True)
class NewOptions:
    """Make a folder of your own with a module, a workload, an experiment and a suite.

    They run at once, from wherever the folder is; docs/your-own.md goes on from there.

    Example: ./inv new ~/ring-buffer
    """

    dir: str = argument("the new folder, or an empty one")
    from_: str | None = option("which of examples/ it is a copy of (default hello)")


@dataclass(frozen=True, kw_only=True)
class SweepOptions(ExperimentOptions, BuilderOptions, MeasureOptions):
    """Measure the experiment: every cell once a round, and a table of all.

    Options that are short names for --set are declared by the experiment's file.

    {examples}
    Example: ./inv sweep --runs 3 --builder buildroot
    """

    set: tuple[str, ...] = repeated(
        "NAME=VALUE,…: measure these values of a parameter of the experiment, given as numbers or "
        "by their labels (again for another parameter)"
    )
    runs: str | None = option(
        "samples of each cell (default: the experiment's); each is a boot of its own"
    )
    clock: str | None = option(
        "virtual (counted instructions), board (the time of a model of the board; both are exact), "
        "host (real time, four CPUs), or both (virtual and host); default: the machine's"
    )
    seed: str | None = option("everything random follows from it (default: the experiment's)")
    shard: str | None = option(
        "measure this part of the rounds alone: 3/10 is the third of ten; `./inv merge` makes one "
        "run of all, the same as if one machine had measured it"
    )
    resume: str | None = option(
        "go on with a run that was cut off: its folder, its name, or latest"
    )
    fail_fast: bool = flag("end at the first sample that is not ok; --resume goes on")
    report: bool = flag(
        "draw the plots and write the report (the default); `./inv report` does it later",
        default=True,
    )
    declared: Mapping[str, str] = declared()


@dataclass(frozen=True, kw_only=True)
class RerunOptions(MeasureOptions, TrustOptions):
    """Measure again what a run's manifest describes, and say whether the samples are the same.

    Example: ./inv rerun latest
    """

    manifest: str = argument("a run, or the manifest.json of one of another machine")
    sources: str | None = option(
        "the folder of the experiment's own file and sources, if it is not where it was"
    )


@dataclass(frozen=True, kw_only=True)
class MergeOptions(ResultsOptions):
    """Make one run of all shards of a sweep, the same as if one machine had measured it.

    All words that are no options are runs, so that no other task can follow it.

    Example: ./inv merge results/*-of-10
    """

    run: tuple[str, ...] = arguments("the shards: their folders or their names, in any order")
    name: str | None = option(
        "name of the results folder behind its date (default: the experiment)"
    )
    report: bool = flag(
        "draw the plots and write the report (the default); `./inv report` does it later",
        default=True,
    )


@dataclass(frozen=True, kw_only=True)
class SchedulerOptions:
    """Let workers and sweeps of several machines meet here, until it is interrupted.

    It listens on this machine alone unless --listen says otherwise. With the keys of Dask's
    configuration, ~/.config/dask/tls.yaml, it speaks TLS with those who have them alone
    (docs/cluster.md#security); without them whoever reaches it can run programs.

    Example: ./inv scheduler
    Example: ./inv scheduler --listen lab1
    """

    listen: str | None = option("address of this machine that the others reach it by")
    port: str | None = option("its port (default 8786)")


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Measure rounds for sweeps of other machines, until the scheduler ends.

    Neither compilers nor images are needed: QEMU is. What it listens on is this machine alone
    unless --listen says otherwise. `./inv scheduler` starts a scheduler. For tls:// the keys are
    those of Dask's configuration, ~/.config/dask/tls.yaml, the same on all machines
    (docs/cluster.md#security).

    Example: ./inv worker tcp://127.0.0.1:8786
    Example: ./inv worker tls://lab1:8786 --listen lab2 --boots 4
    """

    scheduler: str = argument(
        "address of the scheduler (see `./inv scheduler`); - to be told it on the standard input"
    )
    boots: str | None = option("boots at a time (default: all cores)")
    listen: str | None = option("address of this machine that the scheduler reaches it by")
    name: str | None = option("what it is called in the sweep's output (default: the host's name)")


@dataclass(frozen=True, kw_only=True)
class ListingOptions(ResultsOptions):
    """List the runs: what each measured, whether it came to its end, and what it found.

    Example: ./inv results
    """


@dataclass(frozen=True, kw_only=True)
class ReportOptions(RunOptions):
    """Write report.html and report.md of a run again, from its files alone.

    Example: ./inv report latest
    """


@dataclass(frozen=True, kw_only=True)
class CompareOptions(ResultsOptions):
    """Say what got better or worse from one run to another, or what a real Pi says.

    Example: ./inv compare latest pi
    """

    first: str = argument(
        "a run: its folder, its name, or latest; or pi or boards for published numbers"
    )
    second: str = argument("the run that is compared with the first; or pi, boards")
    fail_on_regression: bool = flag("end with status 1 if something got worse")


@dataclass(frozen=True, kw_only=True)
class TimelineOptions(RunOptions, TrustOptions):
    """Measure a sample again and record what the kernel's and the module's tracepoints say.

    Writes timeline.json for Perfetto and trace.dat for KernelShark.

    Example: ./inv timeline latest --sample 1
    Example: ./inv timeline latest --sample 8 --events sched,irq,kmem
    """

    sample: str | None = option("which one: the number of a row of the run's samples.csv, from 1")
    events: str | None = option(
        "systems of events, or single ones such as sched/sched_switch, with commas (default: "
        "sched, irq and those of the modules)"
    )
    output: str | None = option("folder for the files (default: timeline/ in the run's)")


@dataclass(frozen=True, kw_only=True)
class PackOptions(RunOptions, TrustOptions):
    """Pack a run with its images into an archive that is replayed with QEMU alone.

    Example: ./inv pack latest
    """

    output: str | None = option("the archive (default <run>.tar.gz in the current folder)")


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(BuilderOptions, ResultsOptions, ClusterOptions):
    """Build again and measure a run again, and prove both the same to the byte.

    With --build or --measure only that half is done. What is built again are the images of the run
    that is measured again.

    Example: ./inv verify
    Example: ./inv verify latest --measure
    Example: ./inv verify --build --builder buildroot
    """

    run: str | None = place(
        "the run that is measured again: its folder, its name, or latest "
        "(default: the newest finished one that can be the same twice)"
    )
    experiment: str | None = option(
        "take the newest run of this experiment, a name or a path; with --build alone, its images "
        "(default {experiment})"
    )
    build: bool = flag("build only")
    measure: bool = flag("measure only")


@dataclass(frozen=True, kw_only=True)
class BootOptions(ExperimentOptions, BuilderOptions):
    """Boot to a shell you can type in, or run one command.

    Leave the shell with exit, or kill the guest with Ctrl-]. With --param the module is loaded
    first. Options that load it too are declared by the experiment's file.

    {examples}
    Example: ./inv boot --builder buildroot
    Example: ./inv boot --gdb
    """

    param: tuple[str, ...] = repeated(
        "NAME=VALUE: load the module with this parameter (again for another parameter)"
    )
    cmd: str | None = option("run this command, print its output, and exit with its status")
    clock: str | None = option(
        "virtual, board or host (default: host for a shell, with --cmd the machine's)"
    )
    timeout: str | None = option("guest seconds after which the command is killed (default 600)")
    seed: str | None = option("seed of the guest's random numbers (default 1)")
    gdb: bool = flag("wait for gdb before the first instruction, and say how to call it")
    port: str | None = option("with --gdb: wait at this port of 127.0.0.1 (default: at a socket)")
    declared: Mapping[str, str] = declared()


@dataclass(frozen=True, kw_only=True)
class GdbOptions(ResultsOptions, TrustOptions):
    """Look into a guest with gdb: one that waits for it, or a recorded one, booted again.

    With a run it goes to the begin of a sample, or of a test of ktest's; what follows stops where
    the kernel dies.

    Example: ./inv gdb
    Example: ./inv gdb latest --sample 3
    Example: ./inv gdb latest --sample 3 --oops --batch --ex bt
    Example: ./inv gdb ktest/latest --case PROGRAM.CASE
    """

    run: str | None = place(
        "a run, or one of ktest's, whose guest is booted again (default: the guest that "
        "`./inv boot --gdb` has booted)"
    )
    sample: str | None = option(
        "number of a row in the run's samples.csv (default: the first that is not ok, or 1)"
    )
    case: str | None = option(
        "of ktest's run: the test, as PROGRAM.CASE (default: the first failed)"
    )
    variant: str | None = option("of ktest's run: the variant that the test ran in")
    oops: bool = flag("go on to where the kernel dies")
    port: str | None = option("the guest that waits at this port of 127.0.0.1")
    command: tuple[str, ...] = repeated("file with commands for gdb, as its -x (again for another)")
    ex: tuple[str, ...] = repeated("command for gdb, as its -ex, behind those of files (again)")
    batch: bool = flag("end gdb behind these commands, with its status")
    timeout: str | None = option("with --batch: seconds after which gdb is ended (default 600)")


@dataclass(frozen=True, kw_only=True)
class ProfileOptions(ExperimentOptions, BuilderOptions, ResultsOptions, ClusterOptions):
    """Count by functions what a cell of the experiment does, or one command.

    A table, a flame graph, and files for other tools; on the board's clock with cycles and misses.
    Parameters that are not set have their first value. With --against what the cell does is set
    beside what another one does.

    {examples}
    Example: ./inv profile --machine pi3 --clock board --cmd 'ls -l /bin'
    Example: ./inv profile --builder buildroot
    """

    set: tuple[str, ...] = repeated(
        "NAME=VALUE: the cell has this value of a parameter of the experiment, as a number or by "
        "its label (again for another parameter)"
    )
    against: tuple[str, ...] = repeated(
        "NAME=VALUE: compare with the cell that differs in this (again for another parameter)"
    )
    cmd: str | None = option("profile this command instead of the experiment's workload")
    param: tuple[str, ...] = repeated(
        "NAME=VALUE: for --cmd, load the module with this parameter (again for another parameter)"
    )
    phase: str | None = option("only this phase of the program, 0 to 30 (default: all of it)")
    event: str | None = option(
        "what the flame graph and the files for other tools count (default: instructions, with the "
        "board's clock cycles)"
    )
    top: str | None = option("how many functions the table has (default 25)")
    clock: str | None = option("virtual or board (default: the machine's)")
    timeout: str | None = option("guest seconds after which --cmd is killed (default 600)")
    seed: str | None = option("seed of the guest's random numbers (default 1)")


@dataclass(frozen=True, kw_only=True)
class KtestOptions(KernelOptions, BuilderOptions, ResultsOptions, ClusterOptions):
    """Test the module in the guest: semantics, misuse, shortage of memory, stress.

    Logs and the JUnit file go into the folder ktest/ of the results.

    Example: ./inv ktest --kernel 6.12 --debug
    Example: ./inv ktest --coverage --fail-under 95,90
    {examples}
    Example: ./inv ktest --builder buildroot
    Example: ./inv ktest --cluster ssh:lab1,lab2
    """

    suite: str | None = option(
        "configuration in configs/suites/, or the path of one anywhere (default {suite})"
    )
    module: str | None = option(
        "folder with the source of another module, which takes the place of the suite's"
    )
    debug: bool = flag("on a kernel with KASAN, lockdep, kmemleak, fault injection and more")
    tests: str | None = option(
        "programs or patterns such as 'PROGRAM.*', with commas (default: all)"
    )
    param: tuple[str, ...] = repeated(
        "NAME=VALUE: load the module with this parameter too; variants of the suite that say "
        "otherwise are left out (again for another parameter)"
    )
    stress: str | None = option(
        "seconds that the stress test runs in each variant (default: the suite's)"
    )
    seed: str | None = option("of all that is random in the tests (default 1)")
    clock: str | None = option(
        "host (real time, four CPUs; the default), or virtual (counted instructions, one CPU)"
    )
    jobs: str | None = option("variants side by side (default: all cores)")
    coverage: bool = flag(
        "say which lines and branches of the module the tests have reached, as a page and for lcov"
    )
    fail_under: str | None = option(
        "with --coverage: end with status 1 if less than this percentage of the lines was reached; "
        "95,90: of lines, and of branches"
    )


@dataclass(frozen=True, kw_only=True)
class RubricOptions(ResultsOptions, ClusterOptions):
    """Of verbs that grade."""

    rubric: str | None = option(
        "configuration in configs/rubrics/, or the path of one anywhere (default {rubric})"
    )
    trust: bool = flag("build without a sandbox what was handed in: it may do all that you may")
    jobs: str | None = option("builds and boots side by side (default: all cores)")


@dataclass(frozen=True, kw_only=True)
class GradeOptions(RubricOptions):
    """Grade a folder of submissions: folders, tars or zips, a row each in one table.

    Tables, and feedback for each submission, go into the folder grade/ of the results.

    Example: ./inv grade ~/handed-in
    Example: ./inv grade ~/handed-in --rubric ~/course/rubric.yaml --only meier
    Example: ./inv grade ~/handed-in --resume latest
    Example: ./inv grade ~/handed-in --cluster ssh:lab1,lab2
    """

    submissions: str = argument("folder that has a folder or an archive for each submission")
    only: tuple[str, ...] = repeated("NAME: grade this submission alone (again for another one)")
    resume: str | None = option(
        "go on with a grading that was cut off: its folder, its name, or latest"
    )


@dataclass(frozen=True, kw_only=True)
class TryOptions(RubricOptions):
    """Grade one submission at home: the same verdict, but for what is hidden.

    Example: ./inv try ~/mine
    Example: ./inv try ~/mine --case PROGRAM.CASE --variant NAME --seed 1
    """

    folder: str = argument("folder or archive with the module")
    case: str | None = option("run the cases with these names or patterns alone")
    variant: str | None = option("in this variant of their suite alone")
    seed: str | None = option("with this seed alone")


@dataclass(frozen=True, kw_only=True)
class LegalOptions(ExperimentOptions, BuilderOptions):
    """Write what the images consist of (CycloneDX), with licences and sources.

    Example: ./inv legal --output ~/pibed-legal
    Example: ./inv legal --builder buildroot --output ~/pibed-legal
    """

    output: str | None = option(
        "new folder for the bill of materials, licences and sources (default legal/)"
    )


@dataclass(frozen=True, kw_only=True)
class CleanOptions:
    """Remove what the build made from the cache folder.

    Example: ./inv clean
    """

    everything: bool = flag("also the downloaded sources and all logs")


@dataclass(frozen=True, kw_only=True)
class TestOptions:
    """Run pibed's own checks and tests: style, types, unit tests, and live ones on the guest.

    Example: ./inv test
    Example: ./inv test --full
    Example: ./inv test --no-live
    """

    full: bool = flag("run everything, also what takes long")
    live: bool = flag("run live tests too, which boot the guest (the default)", default=True)
    checks: bool = flag("run no tests: only what checks style, types, imports and the module")
