"""The tests in the guest pass on the module as it is, and catch each module that is wrong."""

from __future__ import annotations

import os
import re
import signal
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pibed.base.errors import BuildError
from pibed.build import payload, vermagic
from pibed.build.images import Images
from pibed.commands import arguments, build
from pibed.commands.test import DEBUG_SERIES
from pibed.ktest import runner
from pibed.ktest.cases import choose, read_tests
from pibed.ktest.ktap import CaseStatus
from pibed.ktest.outcome import CaseOutcome
from pibed.model.experiment import load_experiment
from pibed.model.machine import Machine
from pibed.model.suite import load_suite
from tests.live.conftest import Run
from tests.live.helpers import start
from tests.unit.helpers import ROOT

# What makes no sense in one variant is checked in the other; `inject` skips itself on plain
# kernels.
ONE_VARIANT_ONLY = {
    "the module allocates on demand": {
        "memory.prepaging_absurd",
        "memory.prepaging_edge",
        "memory.prepaging_enomem",
    },
    "the module allocates in advance": {"memory.demand_sigbus"},
}
ONE_VARIANT_ONLY_DEBUG = {
    "the module allocates on demand": {"inject.populate"},
    "the module allocates in advance": {"inject.fault_page", "inject.fault_page_table"},
}
NEEDS_DEBUG = "the kernel has no fault injection"
# Kmemleak keeps memory of its own that a count of free memory cannot tell from leaked memory.
NEEDS_PLAIN = "kmemleak looks for it"


class Told:
    """Keeps what came of the cases, by their names."""

    def __init__(self) -> None:
        self.outcomes: dict[str, CaseOutcome] = {}

    def booting(self, variant: str) -> None:
        pass

    def began(self, variant: str, case: str) -> None:
        pass

    def ended(self, outcome: CaseOutcome) -> None:
        self.outcomes[outcome.case] = outcome


# Each kernel and each kind of it once; the other two pairs are an `./inv ktest` away.
@pytest.mark.alone
@pytest.mark.parametrize(
    ("kernel", "debug"),
    [("6.1", False), pytest.param(DEBUG_SERIES, True, marks=pytest.mark.full)],
)
def test_everything_passes(invoke: Run, tmp_path: Path, kernel: str, debug: bool) -> None:
    options = ["--kernel", kernel, "--results", str(tmp_path), *(["--debug"] if debug else [])]
    result = invoke("ktest", *options, timeout=1500)
    assert result.returncode == 0, result.stdout + result.stderr
    root = ET.parse(tmp_path / "ktest" / "latest" / "junit.xml").getroot()
    assert root.get("failures") == "0"
    assert [each.get("name", "").rpartition(", ")[2] for each in root] == [
        "demand-paging",
        "pre-paging",
    ]
    for suite in root:
        names = {f"{each.get('classname')}.{each.get('name')}" for each in suite}
        assert f"{suite.get('name', '').rpartition(', ')[2]}.module.unload" in names
        assert len(names) == len(suite) > 100
    for suite, reason in zip(root, ONE_VARIANT_ONLY, strict=True):
        skipped: dict[str, set[str]] = {}
        for case in suite:
            if (skip := case.find("skipped")) is not None:
                name = f"{case.get('classname')}.{case.get('name')}".partition(".")[2]
                skipped.setdefault(str(skip.get("message")), set()).add(name)
        expected = ONE_VARIANT_ONLY[reason] | (ONE_VARIANT_ONLY_DEBUG[reason] if debug else set())
        assert skipped.pop(reason) == expected
        kind = skipped.pop(NEEDS_PLAIN if debug else NEEDS_DEBUG)
        assert {name.partition(".")[0] for name in kind} == {"memory" if debug else "inject"}
        assert not skipped
    stress = [
        each for each in root.iter("testcase") if str(each.get("classname")).endswith("stress")
    ]
    times = [float(each.get("time", "0")) for each in stress if each.get("name") == "random"]
    assert len(times) == len(root)
    assert min(times) >= 60


@dataclass(frozen=True)
class Wrong:
    """A module with a deliberate error: what is replaced by what, and which test must notice."""

    name: str
    edits: tuple[tuple[str, str], ...]
    caught_by: str
    words: str
    """A regular expression that the message or the details of the failure match."""
    variant: str = "demand-paging"
    kernel: str = DEBUG_SERIES
    debug: bool = False


REFCOUNT = "\trefcount_inc(&tracker->refs);\n"
LOCK = "\tmutex_lock(&tracker->lock);\n"
UNLOCK = "\tmutex_unlock(&tracker->lock);\n"
FREE = "\t__free_page(page);\n"
FREE_TRACKER = "\tkvfree(tracker);\n"
FREE_LOOP = (
    "\tfor (i = 0; i < tracker->nr_pages; i++) {\n\t\tcond_resched();\n\t\tif (tracker->pages[i])"
)
DROP_SPARES = "\tif (atomic_long_dec_and_test(&mappings))\n\t\tplacement_drop_spares();\n"

WRONG = [
    Wrong("no reference count", ((REFCOUNT, ""),), "fork.outlives_child", "refcount"),
    Wrong(
        "leaked page",
        ((FREE_LOOP, FREE_LOOP.replace("i = 0", "i = 1")),),
        "mmap.zeroed",
        "afterwards pages_live is",
    ),
    Wrong(
        "leaked page that is counted as freed",
        (
            (
                "paging_free_page(tracker->pages[i]);",
                "paging_free_page(i ? tracker->pages[i] : 0);",
            ),
            (FREE, f"\tif (page)\n\t{FREE}"),
        ),
        "memory.returned_small",
        "of free memory are lost",
    ),
    Wrong(
        "leaked tracker",
        ((FREE_TRACKER, ""),),
        "memory.returned_tracker",
        "of free memory are lost",
    ),
    Wrong(
        "leaked tracker, on the debug kernel",
        ((FREE_TRACKER, ""),),
        "mmap.zeroed",
        r"is leaked \(kmemleak\)",
        debug=True,
    ),
    Wrong(
        "tracker used after it was freed",
        ((FREE_TRACKER, ""), (FREE_LOOP, FREE_TRACKER + FREE_LOOP)),
        "mmap.zeroed",
        "BUG: KASAN: ",
        debug=True,
    ),
    Wrong(
        "page tables when memory is gone",
        (("err = apply_to_page_range(", "err = 0 && apply_to_page_range("),),
        "inject.populate",
        r"inject\.c:\d+: expected (most|allocated)",
        variant="pre-paging",
        debug=True,
    ),
    Wrong(
        "no lock in the fault path", ((LOCK, ""), (UNLOCK, "")), "fault.threads_one_page", "pages"
    ),
    Wrong(
        "sleeping under a spinning lock",
        ((LOCK, f"\tpreempt_disable();\n{LOCK}"),),
        "mmap.zeroed",
        "BUG: sleeping function called from invalid context",
        debug=True,
    ),
    Wrong("page not zeroed", ((" | __GFP_ZERO", ""),), "mmap.zeroed", "is not zero"),
    Wrong(
        "page not zeroed, in advance",
        ((" | __GFP_ZERO", ""),),
        "mmap.zeroed",
        "is not zero",
        variant="pre-paging",
    ),
    Wrong(
        "remap_pfn_range in the fault handler",
        (
            (
                "vmf_insert_pfn(vmf->vma, vmf->address, page_to_pfn(page));",
                "remap_pfn_range(vmf->vma, vmf->address, page_to_pfn(page), PAGE_SIZE,\n"
                "vmf->vma->vm_page_prot) ? VM_FAULT_SIGBUS : VM_FAULT_NOPAGE;",
            ),
        ),
        "mmap.zeroed",
        "WARNING: ",
    ),
    Wrong(
        "private mappings accepted",
        (("\tif (!(vma->vm_flags & VM_MAYSHARE))\n\t\treturn -EINVAL;\n", ""),),
        "mmap.private_refused",
        "succeeded, expected EINVAL",
    ),
    Wrong(
        "executable mappings accepted",
        (("\tif (vma->vm_flags & VM_EXEC)\n\t\treturn -EPERM;\n", ""),),
        "mmap.exec_refused",
        "EPERM",
    ),
    Wrong(
        "failed populating not undone",
        (("\t\t\tpaging_tracker_put(tracker);\n\t\t\treturn err;", "\t\t\treturn err;"),),
        "mmap.larger_than_memory",
        "afterwards mappings is",
        variant="pre-paging",
    ),
    Wrong(
        "module not held by its mappings",
        (("\t.owner = THIS_MODULE,\n", ""),),
        "load.mapping_holds",
        "expected EWOULDBLOCK|the kernel died",
    ),
    Wrong(
        "spares kept when the last mapping goes",
        ((DROP_SPARES, "\tatomic_long_dec(&mappings);\n"),),
        "placement.spares_go",
        "pages_spare",
    ),
    Wrong(
        "pages charged for ever",
        (("\t\tatomic_long_sub(tracker->nr_pages, &tracker->user->locked_vm);\n", ""),),
        "limit.enforced",
        "Resource temporarily unavailable",
    ),
    Wrong(
        "log lines of faults limited in rate",
        (('\t\tpr_info("%s() invoked: took', '\t\tpr_info_ratelimited("%s() invoked: took'),),
        "counters.log_every_fault",
        r"counters\.c:\d+: ",
    ),
]


def wrong_images(machine: Machine, wrong: Wrong, folder: Path) -> Images:
    """Images with the module changed so; each text to be replaced must be there once."""
    suite = payload.of_suite(load_suite("paging"))
    copy = folder / "module"
    copy.mkdir()
    (module,) = suite.modules
    assert module.folder is not None
    for path in module.folder.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    source = copy / "paging.c"
    text = source.read_text(encoding="utf-8")
    for old, new in wrong.edits:
        assert text.count(old) == 1, f"{wrong.name}: {text.count(old)} times in the source: {old}"
        text = text.replace(old, new)
    source.write_text(text, encoding="utf-8")
    return build.make_payload_images(
        machine, replace(suite, modules=(replace(module, folder=copy),))
    )


def run_tests(
    machine: Machine, images: Images, variant: str, pattern: str, folder: Path
) -> dict[str, CaseOutcome]:
    """What became of the cases that match, in one variant."""
    suite = load_suite("paging")
    suite = suite.model_copy(update={"variants": {variant: suite.variants[variant]}})
    tests = choose(read_tests(sorted((ROOT / suite.programs).glob("*.c"))), pattern)
    setup = runner.TestRun(machine, images, suite, tests, seed=1, stress_s=5, folder=folder)
    told = Told()
    runner.run_suite(setup, 1, told)
    return told.outcomes


# Each is caught by another means: a counter, contents, a warning, threads, an error path.
OF_EVERY_DAY = (
    "no reference count",
    "page not zeroed",
    "remap_pfn_range in the fault handler",
    "no lock in the fault path",
    "failed populating not undone",
)


def marks(wrong: Wrong) -> tuple[pytest.MarkDecorator, ...]:
    return () if wrong.name in OF_EVERY_DAY else (pytest.mark.full,)


@pytest.mark.alone
@pytest.mark.parametrize(
    "wrong", [pytest.param(each, id=each.name, marks=marks(each)) for each in WRONG]
)
def test_wrong_module_is_caught(tmp_path: Path, wrong: Wrong) -> None:
    machine = arguments.machine("pi2", wrong.kernel)
    if wrong.debug:
        machine = machine.with_debug_kernel()
    images = wrong_images(machine, wrong, tmp_path)
    outcomes = run_tests(machine, images, wrong.variant, wrong.caught_by, tmp_path / "results")
    outcome = outcomes[wrong.caught_by]
    assert outcome.status == CaseStatus.FAILED
    assert re.search(wrong.words, "\n".join((outcome.message, *outcome.details)))


@pytest.mark.alone
@pytest.mark.parametrize(
    "debug", [False, pytest.param(True, marks=pytest.mark.full)], ids=["plain", "debug"]
)
def test_crash_is_told_by_lines_of_the_module_first(tmp_path: Path, debug: bool) -> None:
    machine = arguments.machine("pi2", DEBUG_SERIES if debug else None)
    if debug:
        machine = machine.with_debug_kernel()
    count = "\tatomic_long_inc(&faults);\n"
    crash = f"{count}\t*(int *)(vmf->address & 1) = 1;\n"
    wrong = Wrong("null pointer", ((count, crash),), "mmap.zeroed", "NULL pointer")
    images = wrong_images(machine, wrong, tmp_path)
    outcomes = run_tests(machine, images, wrong.variant, wrong.caught_by, tmp_path / "results")
    outcome = outcomes[wrong.caught_by]
    lines = (tmp_path / "module" / "paging.c").read_text().splitlines()
    number = next(n for n, line in enumerate(lines, 1) if "vmf->address & 1" in line)
    assert any(f"(module/paging.c:{number})" in line for line in outcome.details[1:4])
    assert outcome.logs is not None
    trace = (outcome.logs / "trace.txt").read_text(encoding="utf-8")
    assert trace.startswith("\n".join(outcome.details[:4]))
    # And all that the kernel said is there as well.
    assert "PC is at paging_vma_fault+" in trace


def test_module_of_another_kernel_is_refused_before_boot(images: Images) -> None:
    other = arguments.machine("pi2", "6.12")
    newer = build.make_images(other, load_experiment("paging"))
    boot = images.kernel.parent
    release = (images.kernel_build / "include" / "config" / "kernel.release").read_text().strip()
    vermagic.check(images.modules[0], boot / "Image", release)
    with pytest.raises(BuildError, match=r"it was built for the kernel '6\.12\."):
        vermagic.check(newer.modules[0], boot / "Image", release)


@pytest.mark.alone
def test_interrupted_run_keeps_what_was_found_and_leaves_no_qemu(
    images: Images, tmp_path: Path
) -> None:
    process = start("ktest", "--tests", "fork,stress", "--results", str(tmp_path))
    agent = tmp_path / "ktest" / "latest" / "boots" / "demand-paging" / "agent.log"
    deadline = time.monotonic() + 120
    while not (agent.exists() and b"begin stress" in agent.read_bytes()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    root = ET.parse(tmp_path / "ktest" / "latest" / "junit.xml").getroot()
    assert root.get("failures") == "0"
    assert any(case.get("name") == "outlives_child" for case in root.iter("testcase"))


def test_no_such_test(invoke: Run, tmp_path: Path) -> None:
    result = invoke("ktest", "--tests", "frok", "--results", str(tmp_path))
    assert result.returncode == 2
    assert "--tests frok: no test is called frok" in result.stderr
    assert "fork" in result.stderr
