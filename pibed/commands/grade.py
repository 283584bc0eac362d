"""`grade`: a folder of submissions by a rubric, and one table of all."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pibed.base import places, terminal
from pibed.base.errors import Cancelled, IncompleteError, UsageError
from pibed.base.files import exclusive
from pibed.build import host, sandbox, timing
from pibed.build.images import Images
from pibed.build.making import Progress, cores
from pibed.build.payload import Payload
from pibed.build.progress import Silent
from pibed.build.sandbox import Limits, Sandbox
from pibed.commands import arguments, build, elsewhere
from pibed.commands.options import GradeOptions, RubricOptions
from pibed.guest.pool import StopRequested
from pibed.model.defaults import load_defaults
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine
from pibed.model.rubric import Scheme, load_scheme
from pibed.runs import locate

if TYPE_CHECKING:
    from pibed.grade.marks import Graded
    from pibed.grade.work import Candidate, Grading, Shop


def grade(options: GradeOptions) -> None:
    """Grades all submissions, and says where the table is.

    Raises IncompleteError if the host did not let one be graded, Interrupted if it was cut off;
    what was found is on the disk in either case, and `resume` takes it up.
    """
    from pibed.base.durations import Durations
    from pibed.grade import publish, submissions
    from pibed.grade.course import Course
    from pibed.grade.show import GradeProgress
    from pibed.grade.work import Candidate, Grading

    elsewhere.require_no_jobs(options.cluster, options.jobs)
    scheme = scheme_of(options, with_hidden=True)
    course = Course.of(scheme, machine_of(scheme))
    found = submissions.find(Path(options.submissions).expanduser())
    if options.only:
        found = _chosen(found, options.only)
    root = locate.root(options.results) / "grade"
    locate.require_writable(root)
    folder = _resumed(root, options.resume)
    shop_ = shop(options, course.machine, folder or root)
    durations = Durations(places.cache() / "durations.json")
    grading = Grading.prepared(course, shop_)
    candidates = [Candidate(each) for each in found]
    if scheme.rubric.reference is not None:
        candidates.insert(0, Candidate(course.reference, True))
    with elsewhere.grading(
        *(options.cluster, shop_.qemu_version, course.machine, grading.common)
    ) as by:
        # Only now, since nothing is to be left of a grading that cannot begin.
        if folder is None:
            now = datetime.datetime.now(datetime.UTC)
            folder = locate.make_folder(root, scheme.rubric.name, now)
        grading = grading.into(folder)
        progress = GradeProgress(
            terminal.stderr(), durations, scheme.rubric.name, grading.part_names()
        )
        try:
            with (
                exclusive(folder, partial(_refuse, folder)),
                progress.shown(
                    f"grade: {scheme.rubric.title}", candidates, shop_.jobs, options.cluster
                ),
            ):
                grading.run([grading.whole(each, progress) for each in candidates], progress, by)
        except BaseException:
            again = _resume_command(options, folder)
            terminal.stderr().print(
                f"grade: what was found is kept; to go on: {again}", markup=False
            )
            raise
        finally:
            durations.save()
    rows = graded(grading, candidates)
    publish.write(folder, scheme, rows, course.units)
    print_summary(scheme, rows)
    print(f"grades: {folder / 'grades.html'}")
    if late := [row.name for row in rows if row.total is None]:
        raise IncompleteError(
            f"not graded, since a build or a guest was not done in time: {', '.join(late)}; "
            "the table says what",
            fix=_resume_command(options, folder),
        )


def _resume_command(options: GradeOptions, folder: Path) -> str:
    """What a person types to go on, wherever the results are."""
    words = ["./inv", "grade", options.submissions]
    for name in ("rubric", "results"):
        if (value := getattr(options, name)) is not None:
            words += [f"--{name}", value]
    for name in options.only:
        words += ["--only", name]
    if options.trust:
        words.append("--trust")
    return shlex.join([*words, "--resume", folder.name])


def _refuse(folder: Path) -> NoReturn:
    raise UsageError(f"{folder}: another process is at it", fix="wait until it has ended")


def scheme_of(options: RubricOptions, *, with_hidden: bool) -> Scheme:
    """The rubric that options name."""
    name = load_defaults().rubric if options.rubric is None else options.rubric
    return load_scheme(name, with_hidden=with_hidden)


def machine_of(scheme: Scheme) -> Machine:
    """The machine of a rubric, with the virtual clock; raises UsageError if it has none."""
    machine = arguments.machine(scheme.rubric.machine, scheme.rubric.kernel)
    if "virtual" not in machine.clocks:
        raise UsageError(f"the machine {machine.name} has no virtual clock, by which is graded")
    return machine.model_copy(update={"clock": "virtual"})


def shop(options: RubricOptions, machine: Machine, folder: Path) -> Shop:
    """Where the work is done; raises HostError for a host without a sandbox."""
    from pibed.grade.work import Shop

    if not options.trust:
        sandbox.require()

    def confined(stop_requested: StopRequested) -> Sandbox:
        return sandbox.Unconfined() if options.trust else sandbox.require(limits(stop_requested))

    jobs = cores() if options.jobs is None else arguments.number("--jobs", options.jobs, 1, 1024)
    version = host.qemu_version(machine.qemu.binary, machine.qemu.minimum_version)

    def make(
        progress: Progress | None,
        machine: Machine,
        wanted: Payload,
        experiment: Experiment | None,
        stop_requested: StopRequested,
    ) -> Images:
        board = None if experiment is None else timing.wanted(machine, experiment)
        return build.make_payload_images(
            *(machine, wanted),
            board=board,
            trust=options.trust,
            limits=limits(stop_requested),
            progress=progress,
        )

    make_base, make_submitted = partial(make, None), partial(make, Silent())
    return Shop(make_base, make_submitted, confined, version, folder, jobs)


def limits(stop_requested: StopRequested) -> Limits:
    """What a build of a submission may use, until it is to stop."""

    def cancelled() -> bool:
        try:
            stop_requested()
        except Cancelled:
            return True
        return False

    # A module is built in seconds; one that takes longer, on a host however slow, never ends.
    return Limits(time_s=120, processes=64, cancelled=cancelled)


def graded(grading: Grading, candidates: Sequence[Candidate]) -> list[Graded]:
    """The marks of all, the reference first, then by name."""
    from pibed.grade import marks
    from pibed.grade.cases import expectations

    scheme = grading.course.scheme
    words = expectations(grading.course)
    reference: Mapping[str, float] | None = None
    rows = []
    for each in sorted(candidates, key=lambda each: (not each.is_reference, each.submission.slug)):
        row = marks.grade(
            *(scheme, each.submission.name, each.submission.slug, each.digest),
            *(grading.found(each), words, reference, each.is_reference),
        )
        if each.is_reference:
            reference = row.measured
            row = marks.grade(
                *(scheme, each.submission.name, each.submission.slug, each.digest),
                *(grading.found(each), words, reference, each.is_reference),
            )
        rows.append(row)
    return rows


def print_summary(scheme: Scheme, rows: Sequence[Graded]) -> None:
    """The table, as a terminal has room for it."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from pibed.grade import marks, table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=escape(scheme.rubric.title))
    for name in ("submission", "status", "points", "of", "passed"):
        shown.add_column(name, justify="left" if name in ("submission", "status") else "right")
    for row in rows:
        total = "" if row.total is None else marks.text(row.total)
        # Of what does not build the cases are not known by name.
        passed = "" if row.problem else "{} of {}".format(*row.cases)
        status = table.status(row)
        shown.add_row(escape(row.name), status, total, marks.text(row.most), passed)
    Console(highlight=False, width=110).print(shown)


def _chosen(found: Sequence[object], only: Sequence[str]) -> list:  # type: ignore[type-arg]
    names = [each.name for each in found]  # type: ignore[attr-defined]
    for name in only:
        if name not in names:
            raise UsageError(
                f"--only {name}: there is no such submission", fix=f"one of: {', '.join(names)}"
            )
    return [each for each in found if each.name in only]  # type: ignore[attr-defined]


def _resumed(root: Path, given: str | None) -> Path | None:
    if given is None:
        return None
    for folder in (root / given, Path(given)):
        # One that was killed at once has nothing in it.
        if (
            given
            and folder.is_dir()
            and ((folder / "submissions").is_dir() or not any(folder.iterdir()))
        ):
            return folder.resolve()
    raise UsageError(f"--resume {given}: there is no such grading in {root}")
