"""Which boot of a run had a sample, and all that it takes to boot the same again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import UsageError
from pibed.ktest.outcome import MODULE
from pibed.ktest.recorded import PLAN, Recorded
from pibed.ktest.runner import boots_of
from pibed.model import samples as samples_module
from pibed.model.samples import Sample, Status
from pibed.runs import reading
from pibed.runs.folder import RunFolder
from pibed.runs.reading import Run

# Over which the kernel died.
_DEADLY = (Status.PANIC, Status.OOPS)


@dataclass(frozen=True)
class Boot:
    """A recorded boot, up to a command of its plan."""

    seed: int
    plan: str
    """Its commands, one a line."""
    count: int
    """Which of them, from 1, is to be looked at."""
    what: str
    """What that is, for people."""
    died: bool
    """Whether the kernel died over it."""


def of_sample(folder: Path, number: int | None) -> Boot:
    """The boot of a run that took the sample in a row of samples.csv, from 1.

    Without a number it is the first one that is not `ok`, or the first. Raises UsageError for a
    sample that does not exist, and for one whose boot is not recorded any more.
    """
    run = reading.read(folder)
    if number is None:
        number = _first(run)
    sample = run.sample(number)
    boot = _boot(run, sample)
    try:
        plan = (boot / "plan").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UsageError(f"{boot / 'plan'}: {error.strerror}") from None
    what = f"sample {number} of {len(run.samples)}: round {sample.round}, {sample.cell}"
    if sample.status != Status.OK:
        what += f": {sample.status}" + (f": {sample.message}" if sample.message else "")
    seeds = {each.number: each.seed for each in run.recorded.rounds}
    return Boot(
        seeds[sample.round],
        plan,
        # Its modules may be loaded anew, and the kernel have died over that.
        count_to(plan, lambda id: id.startswith(f"{sample.order}."), boot),
        what,
        sample.status in _DEADLY,
    )


def of_case(folder: Path, recorded: Recorded, case: str | None, variant: str | None) -> Boot:
    """The boot of a run of a suite in which a case failed, or was run.

    Without a case it is the first one that failed, without a variant the first that had it. Raises
    UsageError for a case that was not run, and if none failed and none is named.
    """
    for each in recorded.failed:
        if case in (None, each.case) and variant in (None, each.variant):
            boot = folder / "boots" / each.boot
            what = f"{each.variant} {each.case}: {each.message}"
            return _of_case(recorded, boot, each.case, what)
    if case is None:
        where = "" if variant is None else f" in the variant {variant}"
        raise UsageError(
            f"{folder}: no case failed{where}", fix="name one of them with --case PROGRAM.CASE"
        )
    for name in recorded.suite.variants:
        if variant not in (None, name):
            continue
        for boot in boots_of(folder, name):
            with contextlib.suppress(UsageError):
                return _of_case(recorded, boot, case, f"{name} {case}")
    raise UsageError(f"--case {case}: it was not run", fix=f"see the names in {folder}/junit.xml")


def _of_case(recorded: Recorded, boot: Path, case: str, what: str) -> Boot:
    path = boot / PLAN
    try:
        plan = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    # What failed around the cases is the case `module.load`, say, and the command `load`.
    id = case.removeprefix(f"{MODULE}.")
    died = (boot / "trace.txt").is_file()
    return Boot(recorded.seed, plan, count_to(plan, id.__eq__, boot), what, died)


def count_to(plan: str, is_wanted: Callable[[str], bool], boot: Path) -> int:
    """Which command of a plan, from 1, is the first with a wanted id; raises UsageError if none."""
    for number, line in enumerate(plan.splitlines(), 1):
        if is_wanted(line.partition(" ")[0]):
            return number
    raise UsageError(f"{boot / 'plan'}: what is to be looked at is not in it")


def _first(run: Run) -> int:
    """The row of the sample that one wants to look at first."""
    bad = (row for row, each in enumerate(run.samples, 1) if each.status != Status.OK)
    return next(bad, 1)


def _boot(run: Run, sample: Sample) -> Path:
    """The folder of the boot that took a sample."""
    for boot in RunFolder(run.folder, run.experiment).boots(sample.round):
        log = boot / "samples.jsonl"
        taken = samples_module.read_log(log.read_bytes())[0] if log.is_file() else ()
        if any(each.order == sample.order for each in taken):
            return boot
    raise UsageError(f"{run.folder / 'boots'}: the boot that took the sample is not there any more")
