"""The paging lab passes modules that are right, however they are written, and fails wrong ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from pibed.build import payload, substitute
from pibed.commands import arguments, build
from pibed.ktest import runner
from pibed.ktest.cases import choose, read_tests
from pibed.ktest.ktap import CaseStatus
from pibed.ktest.outcome import CaseOutcome
from pibed.model.suite import load_suite
from tests.unit.helpers import ROOT

MODULES = ROOT / "tests" / "fixtures" / "modules"

DEMAND, IN_ADVANCE = "demand-paging", "pre-paging"


class Told:
    """Keeps what came of the cases, by their names."""

    def __init__(self) -> None:
        self.outcomes: dict[str, CaseOutcome] = {}

    def booting(self, variant: str) -> None: ...
    def began(self, variant: str, case: str) -> None: ...
    def ended(self, outcome: CaseOutcome) -> None:
        self.outcomes[outcome.case] = outcome


def run_lab(
    module: Path, variant: str, folder: Path, pattern: str | None = None
) -> dict[str, CaseOutcome]:
    """What became of the cases that match, with the module of a folder loaded in one variant."""
    suite = substitute.with_module(load_suite("paging-lab"), module)
    suite = suite.model_copy(update={"variants": {variant: suite.variants[variant]}})
    wanted = payload.of_suite(suite)
    machine = arguments.machine("pi2", None)
    images = build.make_payload_images(machine, wanted)
    tests = choose(read_tests(sorted((ROOT / suite.programs).glob("*.c"))), pattern)
    setup = runner.TestRun(machine, images, suite, tests, seed=1, stress_s=1, folder=folder)
    told = Told()
    runner.run_suite(setup, 1, told)
    return told.outcomes


def failed(outcomes: dict[str, CaseOutcome]) -> dict[str, str]:
    return {
        name: outcome.message
        for name, outcome in outcomes.items()
        if outcome.status == CaseStatus.FAILED
    }


@dataclass(frozen=True)
class Wrong:
    """A module with a deliberate error: what is replaced by what, and which cases notice."""

    name: str
    edits: tuple[tuple[str, str], ...]
    caught_by: tuple[str, ...]
    """Cases, each of which must fail; others may as well."""
    words: str
    """A regular expression that the first of them says."""
    variant: str = DEMAND


REFCOUNT = "\trefcount_inc(&tracker->refs);\n"
LOCK = "\tmutex_lock(&tracker->lock);\n"
UNLOCK = "\tmutex_unlock(&tracker->lock);\n"
FREE_LOOP = (
    "\tfor (i = 0; i < tracker->nr_pages; i++) {\n\t\tcond_resched();\n\t\tif (tracker->pages[i])"
)
PUT = "\tpaging_tracker_put(tracker);\n}\n\n/* The page at"
INDEX = "unsigned long index = vmf->pgoff - tracker->first;"
INSERT = "\t\tresult = vmf_insert_pfn(vmf->vma, vmf->address, page_to_pfn(page));\n"
ALLOCATE = "\t\tpage = paging_alloc_page(tracker, index);\n"
REGISTER = "\t\terr = misc_register(&paging_device);\n"

WRONG = [
    Wrong("not zeroed", ((" | __GFP_ZERO", ""),), ("pages.zeroed",), "is not zero"),
    Wrong(
        "one page at two places",
        (("paging_get_page(tracker, index);", "paging_get_page(tracker, index & ~1UL);"),),
        ("pages.distinct", "pages.any_order"),
        "does not hold what was written to it",
    ),
    Wrong(
        "one page in two mappings",
        (
            (ALLOCATE, f"\t\tpage = index || !common ? {ALLOCATE.split('= ')[1][:-2]} : common;\n"),
            (
                "\t\ttracker->pages[index] = page;\n",
                "\t\ttracker->pages[index] = page;\n"
                "\t\tif (!index && page && !common)\n\t\t\tget_page(common = page);\n"
                "\t\telse if (!index && page)\n\t\t\tget_page(page);\n",
            ),
            (
                "static struct page *paging_get_page(",
                "static struct page *common;\n\nstatic struct page *paging_get_page(",
            ),
        ),
        ("pages.mappings_apart",),
        "pages_are_zero",
    ),
    Wrong(
        "a page lost by each munmap",
        ((FREE_LOOP, FREE_LOOP.replace("i = 0", "i = 1")),),
        ("leaks.touched", "leaks.in_parts"),
        r"lost: \d+ KiB in pages",
    ),
    Wrong(
        "its own memory lost by each munmap",
        (("\tkvfree(tracker);\n", ""),),
        ("leaks.untouched", "leaks.large"),
        r"[1-9]\d* KiB in slabs",
    ),
    Wrong(
        "no lock in the fault path",
        ((LOCK, ""), (UNLOCK, "")),
        ("race.processes",),
        "lacks what runner",
    ),
    Wrong(
        "no reference count",
        ((REFCOUNT, ""),),
        ("sharing.child_ends", "parts.hole_unmapped"),
        "refcount",
    ),
    Wrong(
        "pages freed with the first part",
        ((PUT, "\trefcount_set(&tracker->refs, 1);\n" + PUT),),
        ("parts.hole_unmapped", "sharing.child_unmaps"),
        "",
    ),
    Wrong(
        "pages of a part freed with it",
        (
            (
                PUT,
                "\tunsigned long i = vma->vm_pgoff - tracker->first, end = i + vma_pages(vma);\n\n"
                "\tfor (; i < end; i++) {\n\t\tif (tracker->pages[i])\n"
                "\t\t\tpaging_free_page(tracker->pages[i]);\n\t\ttracker->pages[i] = NULL;\n\t}\n"
                + PUT,
            ),
        ),
        ("sharing.child_unmaps", "sharing.child_ends"),
        "pages_hold",
    ),
    Wrong(
        "offset taken for an index",
        ((INDEX, "unsigned long index = vmf->pgoff;"),),
        ("pages.offset",),
        "try_read",
    ),
    Wrong(
        "index from the start of the part",
        ((INDEX, "unsigned long index = (vmf->address - vmf->vma->vm_start) >> PAGE_SHIFT;"),),
        ("parts.head_unmapped", "parts.hole_unmapped"),
        "page_is_zero",
    ),
    Wrong(
        "oops when a mapping is split",
        ((REFCOUNT, REFCOUNT + "\tBUG_ON(vma->vm_pgoff != tracker->first);\n"),),
        ("parts.hole_unmapped",),
        "kernel BUG at",
    ),
    Wrong(
        "nothing freed when a process is killed",
        ((PUT, "\tif (current->flags & PF_SIGNALED)\n\t\treturn;\n" + PUT),),
        ("leaks.killed",),
        "lost: ",
    ),
    Wrong(
        "nothing freed at exit",
        ((PUT, "\tif (current->flags & PF_EXITING)\n\t\treturn;\n" + PUT),),
        ("leaks.exited", "leaks.killed"),
        "lost: ",
    ),
    Wrong(
        "not held by its mappings",
        (("\t.owner = THIS_MODULE,\n", ""),),
        ("unload.while_open", "unload.while_mapped"),
        "expected EWOULDBLOCK|the kernel died",
    ),
    Wrong(
        "failed populating not undone",
        (("\t\t\tpaging_tracker_put(tracker);\n\t\t\treturn err;", "\t\t\treturn err;"),),
        ("shortage.all_memory",),
        "lost: ",
        IN_ADVANCE,
    ),
    Wrong(
        "failed allocation used",
        (
            (
                "\tif (page)\n\t\tresult = vmf_insert_pfn",
                "\tif (page || index < tracker->nr_pages)\n\t\tresult = vmf_insert_pfn",
            ),
        ),
        ("shortage.all_memory",),
        r"page \d+ does not hold what was written to it",
    ),
    Wrong(
        "shortage as VM_FAULT_OOM for ever",
        (("vm_fault_t result = VM_FAULT_SIGBUS;", "vm_fault_t result = VM_FAULT_OOM;"),),
        ("shortage.all_memory",),
        "",
    ),
    Wrong(
        "all pages in mmap",
        (("\tif (!demand_paging) {", "\tif (1) {"),),
        ("pages.mode",),
        "faults_of_new_page",
    ),
    Wrong(
        "allocated in mmap, mapped on demand",
        (
            (
                "\tvma->vm_private_data = tracker;\n\tvma->vm_ops = &paging_vm_ops;",
                "\tfor (unsigned long i = 0; i < tracker->nr_pages && demand_paging; i++)\n"
                "\t\tpaging_get_page(tracker, i);\n"
                "\tvma->vm_private_data = tracker;\n\tvma->vm_ops = &paging_vm_ops;",
            ),
        ),
        ("pages.allocated_when_due",),
        "mmap of 4096 pages took",
    ),
    Wrong(
        "the next page mapped as well",
        (
            (
                INSERT,
                INSERT.replace("\t\tresult", "\t\t{\n\t\tresult")
                + "\t\tif (index + 1 < tracker->nr_pages && vmf->address + PAGE_SIZE"
                " < vmf->vma->vm_end)\n"
                "\t\t\tvmf_insert_pfn(vmf->vma, vmf->address + PAGE_SIZE,\n"
                "\t\t\t\tpage_to_pfn(paging_get_page(tracker, index + 1)));\n\t\t}\n",
            ),
        ),
        ("pages.mapped_when_due",),
        "the first read of page 0 took 1 faults, that of page 1 0",
    ),
    Wrong(
        "a child has pages of its own",
        (
            (
                "\tstruct paging_tracker *tracker = vma->vm_private_data;\n\n" + REFCOUNT,
                "\tstruct paging_tracker *tracker = vma->vm_private_data;\n\n"
                "\tif (current->mm != vma->vm_mm) {\n"
                "\t\tvma->vm_private_data =\n"
                "\t\t\tpaging_tracker_create(tracker->first, tracker->nr_pages);\n"
                "\t\treturn;\n\t}\n" + REFCOUNT,
            ),
        ),
        ("sharing.child_touches_first", "sharing.parent_ends"),
        "pages_hold",
    ),
    Wrong(
        "memory lost by each load",
        (
            (
                REGISTER,
                REGISTER + "\t\tif (!__get_free_pages(GFP_KERNEL, 2))\n\t\t\terr = -ENOMEM;\n",
            ),
        ),
        ("unload.loses_nothing",),
        "lost: 10[0-9][0-9] KiB in pages",
    ),
]


def wrong_module(wrong: Wrong, folder: Path) -> Path:
    """The module changed so, in a folder; each text to be replaced must be there once."""
    copy = folder / "module"
    copy.mkdir()
    for path in (ROOT / "module").iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    source = copy / "paging.c"
    text = source.read_text(encoding="utf-8")
    for old, new in wrong.edits:
        assert text.count(old) == 1, f"{wrong.name}: {text.count(old)} times in the source: {old}"
        text = text.replace(old, new)
    source.write_text(text, encoding="utf-8")
    return copy


# Each of them is caught by other means: what pages hold, and what memory is lost.
OF_EVERY_DAY = ("one page at two places", "a page lost by each munmap")


def marks(wrong: Wrong) -> tuple[pytest.MarkDecorator, ...]:
    return () if wrong.name in OF_EVERY_DAY else (pytest.mark.full,)


@pytest.mark.alone
@pytest.mark.parametrize(
    "wrong", [pytest.param(each, id=each.name, marks=marks(each)) for each in WRONG]
)
def test_wrong_module_is_caught(tmp_path: Path, wrong: Wrong) -> None:
    module = wrong_module(wrong, tmp_path)
    pattern = ",".join(wrong.caught_by)
    outcomes = run_lab(module, wrong.variant, tmp_path / "results", pattern)
    for case in wrong.caught_by:
        assert outcomes[case].status == CaseStatus.FAILED, case
    first = outcomes[wrong.caught_by[0]]
    assert re.search(wrong.words, "\n".join((first.message, *first.details)))


# Written by others than kmod_paging, without parameters and counters.
@pytest.mark.full
@pytest.mark.alone
@pytest.mark.parametrize(
    ("name", "variant"),
    [("lab_insert", DEMAND), ("lab_remap", IN_ADVANCE)],
)
def test_right_module_passes(tmp_path: Path, name: str, variant: str) -> None:
    outcomes = run_lab(MODULES / name, variant, tmp_path)
    assert not failed(outcomes)
    skipped = {each.case for each in outcomes.values() if each.status == CaseStatus.SKIPPED}
    assert skipped == {"pages.mode"}
    assert len(outcomes) > 40
