"""`try`: one submission by a rubric, at home: the same verdict, but for what is hidden."""

from __future__ import annotations

import datetime
import fnmatch
from pathlib import Path

from pibed.base import places, terminal
from pibed.base.errors import ChecksFailed, IncompleteError, UsageError
from pibed.commands import arguments, elsewhere
from pibed.commands.grade import graded, machine_of, scheme_of, shop
from pibed.commands.options import TryOptions
from pibed.model.rubric import Criterion, Scheme
from pibed.runs import locate


def attempt(options: TryOptions) -> None:
    """Grades a folder or an archive, prints what is told of it, and says where the page is.

    Raises ChecksFailed if not all points were had, IncompleteError if the host was too slow.
    """
    from pibed.base.durations import Durations
    from pibed.grade import feedback, publish, submissions
    from pibed.grade.course import Course
    from pibed.grade.marks import text
    from pibed.grade.show import GradeProgress
    from pibed.grade.work import Candidate, Grading

    elsewhere.require_no_jobs(options.cluster, options.jobs)
    whole = scheme_of(options, with_hidden=False)
    scheme = _narrowed(whole, options)
    course = Course.of(scheme, machine_of(scheme))
    path = Path(options.folder).expanduser().absolute()
    if not path.is_dir() and not submissions.is_archive(path):
        raise UsageError(f"{path}: it is neither a folder nor an archive")
    root = locate.root(options.results) / "try"
    locate.require_writable(root)
    shop_ = shop(options, course.machine, root)
    durations = Durations(places.cache() / "durations.json")
    grading = Grading.prepared(course, shop_)
    (submission,) = submissions.name_all([path])
    candidates = [Candidate(submission)]
    if scheme.rubric.reference is not None and any(
        each.limit.relative for _, each, _ in scheme.measurements()
    ):
        candidates.append(Candidate(course.reference, True))
    with elsewhere.grading(
        *(options.cluster, shop_.qemu_version, course.machine, grading.common)
    ) as by:
        folder = locate.make_folder(root, submission.slug, datetime.datetime.now(datetime.UTC))
        grading = grading.into(folder)
        progress = GradeProgress(
            terminal.stderr(), durations, scheme.rubric.name, grading.part_names()
        )
        try:
            with progress.shown(
                f"try: {scheme.rubric.title}", candidates, shop_.jobs, options.cluster
            ):
                submitted, *reference = candidates
                sources = [grading.whole(submitted, progress)]
                # Of the reference only its numbers are asked.
                sources += (grading.numbers(each, progress) for each in reference)
                grading.run(sources, progress, by)
        finally:
            durations.save()
    (row,) = (row for row in graded(grading, candidates) if not row.is_reference)
    told = feedback.of(scheme, row, at_home=True)
    publish.write_feedback(folder, scheme, row, told)
    if row.problem:
        print(row.problem)
    for line in feedback.summary(told):
        print(line)
    total = "not graded" if row.total is None else f"{text(row.total)} of {text(row.most)} points"
    total += "" if scheme is whole else " of what was run again, which is not the mark"
    print(f"{total}\nfeedback: {folder / feedback.NAMES[0]}")
    if row.total is None:
        raise IncompleteError(row.problem, fix="run it again beside less other work")
    if row.total < row.most:
        raise ChecksFailed("not all points were had", fix="see above, or the feedback")


def _narrowed(scheme: Scheme, options: TryOptions) -> Scheme:
    """The rubric with the cases, the variant and the seed that options name, and nothing else."""
    if options.case is None and options.variant is None and options.seed is None:
        return scheme
    criteria: dict[str, Criterion] = {}
    changes: dict[str, object] = {}
    if options.variant is not None:
        changes["variants"] = [options.variant]
    if options.seed is not None:
        changes["seeds"] = [arguments.number("--seed", options.seed, 0, 2**32 - 1)]
    for name, each, _ in scheme.criteria():
        cases = {} if options.case is None else {"cases": options.case.split(",")}
        criteria[name] = each.model_copy(update=changes | cases)
    kept = {
        name: narrowed
        for name, narrowed in criteria.items()
        if options.case is None or _share(scheme.rubric.criteria[name], options.case)
    }
    if not kept:
        known = sorted({case for each in scheme.rubric.criteria.values() for case in each.cases})
        raise UsageError(
            f"--case {options.case}: no criterion of the rubric {scheme.rubric.name} has it",
            fix=f"criteria have: {', '.join(known)}",
        )
    rubric = scheme.rubric.model_copy(update={"criteria": kept, "measurements": {}})
    return Scheme(rubric)


def _share(criterion: Criterion, given: str) -> bool:
    """Whether a criterion has one of the cases that are given, by names or patterns."""
    wanted = given.split(",")
    for own in criterion.cases:
        for each in wanted:
            names = (each, own), (own, each), (each.partition(".")[0], own)
            if any(fnmatch.fnmatchcase(name, pattern) for name, pattern in names):
                return True
    return False
