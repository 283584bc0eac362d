"""Workloads of every form in the guest, from a folder with a space in its name."""

from __future__ import annotations

import datetime
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pibed.base import places
from pibed.base.errors import BuildError
from pibed.base.process import capture
from pibed.commands import build
from pibed.measure import rounds
from pibed.model import plan
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.machine import Clock, Machine
from pibed.model.samples import Sample, Status
from pibed.runs.folder import RunFolder
from tests import excuses
from tests.unit.helpers import ROOT

from .helpers import Silent, measure, only_run

MAIN = """\
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "part.h"

int main(int argc, char **argv)
{
	const double x = argc > 1 ? atof(argv[1]) : 0;

	return printf("root %.3f, twice %d\\n", sqrt(x), twice(x)) < 0;
}
"""

SCRIPT = """\
#!/bin/sh
[ "$1" -lt 5 ] || exit 3
"""

Load = Callable[..., Experiment]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Somebody's folder."""
    folder = tmp_path / "my wörk"
    shutil.copytree(ROOT / "module", folder / "module")
    return folder


@pytest.fixture
def load(own: Path) -> Load:
    """Writes an experiment with a workload into the folder, and reads it."""

    def load(workload: Mapping[str, Any], metrics: Mapping[str, Any], **more: Any) -> Experiment:
        data: dict[str, Any] = {
            "schema_version": 1,
            "name": "own",
            "title": "A workload",
            "workload": {"timeout_s": 10, **workload},
            "parameters": {"x": {"title": "x", "values": [4, 9], "minimum": 0, "maximum": 100}},
            "metrics": {
                name: {"title": name, "unit": "1", **metric} for name, metric in metrics.items()
            },
            "rounds": 1,
            "seed": 1,
        }
        path = own / "experiment.yaml"
        path.write_text(yaml.safe_dump(data | more), encoding="utf-8")
        return load_experiment(str(path))

    return load


def by_x(samples: list[Sample]) -> dict[int, Sample]:
    """The samples of one round."""
    return {sample.cell.as_dict()["x"]: sample for sample in samples}


def test_two_sources_a_library_and_what_is_done_around_each_run(
    own: Path, load: Load, machine: Machine, tmp_path: Path
) -> None:
    (own / "src").mkdir()
    (own / "src" / "root.c").write_text(MAIN)
    (own / "src" / "part.h").write_text("int twice(int x);\n")
    (own / "src" / "part.c").write_text('#include "part.h"\nint twice(int x)\n{ return 2 * x; }\n')
    workload = {
        "sources": ["src/root.c", "src/part.c"],
        "libraries": ["-lm"],
        # A second run would find the file of the first if nobody had removed it.
        "before": "[ ! -e /tmp/mark ] && echo marked {x} >/tmp/mark",
        "command": "root {x}; cat /tmp/mark",
        "after": "rm /tmp/mark",
        "warm_up_runs": 1,
    }
    metrics = {
        "root": {"pattern": r"root (\S+),"},
        "twice": {"pattern": r"twice (\d+)"},
        "mark": {"pattern": r"marked (\d+)"},
    }
    samples, problems = measure(machine, load(workload, metrics), tmp_path / "results")
    assert problems == []
    assert {x: (each.status, each.metrics) for x, each in by_x(samples).items()} == {
        4: (Status.OK, {"root": 2.0, "twice": 8, "mark": 4}),
        9: (Status.OK, {"root": 3.0, "twice": 18, "mark": 9}),
    }


def test_script_whose_status_is_a_metric(
    own: Path, load: Load, machine: Machine, tmp_path: Path
) -> None:
    (own / "check.sh").write_text(SCRIPT)
    metrics = {"ended": {"exit_status": True}}
    # What a shell says of a command that is not there is no value.
    workload = {
        "script": "check.sh",
        "command": "check.sh {x} && none",
        "after": "[ {x} -lt 5 ] || {{ echo not so large; exit 7; }}",
    }
    samples, problems = measure(machine, load(workload, metrics), tmp_path / "results")
    assert problems == []
    found = by_x(samples)
    assert (found[4].status, found[9].status) == (Status.FAILED, Status.FAILED)
    assert found[4].message.startswith("`check.sh 4 && none` ended with status 127: ")
    assert "ended with status 7: not so large" in found[9].message
    workload = {"script": "check.sh", "command": "check.sh {x}"}
    samples, problems = measure(machine, load(workload, metrics), tmp_path / "results")
    assert problems == []
    assert {x: (each.status, each.metrics) for x, each in by_x(samples).items()} == {
        4: (Status.OK, {"ended": 0}),
        9: (Status.OK, {"ended": 3}),
    }


MAKEFILE = """\
CFLAGS += -O1 -g -Ideep -I../headers

made: main.o deep/part.o
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

dynamic: main.o deep/part.o
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)

host: main.c deep/part.c
	gcc $(CFLAGS) -o $@ $^ -lm

nothing:
	@true
"""

MADE = MAIN.replace('#include "part.h"', '#include "part.h"\n#include "outside.h"').replace(
    "twice(x))", "twice(x) + OUTSIDE)"
)


@pytest.fixture
def makefile(own: Path) -> Path:
    """A folder with a Makefile, one of whose headers lies beside it."""
    files = {
        "prog/Makefile": MAKEFILE,
        # Nothing of it has been built before.
        "prog/main.c": f"/* {uuid.uuid4()} */\n{MADE}",
        "prog/deep/part.h": "int twice(int x);\n",
        "prog/deep/part.c": '#include "part.h"\nint twice(int x)\n{ return 2 * x; }\n',
        "headers/outside.h": "#define OUTSIDE 100\n",
    }
    for name, text in files.items():
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text(text)
    # Make would find it up to date.
    (own / "prog" / "made").write_text("of the host")
    return own / "prog"


def make(target: str, program: str | None = None) -> dict[str, Any]:
    keys = {"folder": "prog", "target": target, "program": program or target}
    return {"make": keys, "libraries": ["-lm"], "command": f"{program or target} {{x}}"}


@pytest.mark.full
def test_what_a_makefile_makes_is_made_anew_with_what_it_reads(
    makefile: Path, load: Load, machine: Machine, tmp_path: Path
) -> None:
    metrics = {"twice": {"pattern": r"twice (\d+)"}}
    study = load(make("made"), metrics)
    samples, problems = measure(machine, study, tmp_path / "results")
    assert problems == []
    assert {x: each.metrics["twice"] for x, each in by_x(samples).items()} == {4: 108, 9: 118}
    images = build.make_images(machine, study)
    assert all(each.cached for each in images.steps)
    assert sorted(images.read["programs"]) == [
        *("headers/outside.h", "prog/Makefile", "prog/deep/part.c", "prog/deep/part.h"),
        "prog/main.c",
    ]
    # Nothing was written beside the sources, and no path of the host is in the program.
    assert (makefile / "made").read_text() == "of the host"
    assert {path.name for path in makefile.iterdir()} == {"Makefile", "main.c", "deep", "made"}
    (program,) = (path for path in images.programs if path.name == "made")
    assert str(places.cache()).encode() not in program.read_bytes()
    (makefile.parent / "headers" / "outside.h").write_text("#define OUTSIDE 200\n")
    changed = build.make_images(machine, study)
    assert {each.step.name for each in changed.steps if not each.cached} == {
        *("made-program", "initramfs")
    }


@pytest.mark.full
@pytest.mark.parametrize(
    ("workload", "words"),
    [
        (make("nothing", "made"), r"prog: `make nothing` makes no made$"),
        (make("host"), r"`make host` makes host: it is for .*X86-64.*, but the guest is ARM"),
        (
            make("dynamic"),
            r"dynamic: it needs /lib/ld-linux-armhf\.so\.3, libm\.so\.6, libc\.so\.6",
        ),
        (make("none"), r"No rule to make target 'none'"),
    ],
)
def test_a_makefile_that_makes_nothing_for_the_guest(
    makefile: Path, load: Load, machine: Machine, workload: dict[str, Any], words: str
) -> None:
    study = load(workload, {"twice": {"pattern": r"twice (\d+)"}})
    with pytest.raises(BuildError, match=words):
        build.make_images(machine, study)


@pytest.mark.full
def test_program_that_was_built_elsewhere(
    own: Path, load: Load, machine: Machine, tmp_path: Path
) -> None:
    """Static, or with libraries that a package brings; an overlay is there as well."""
    (own / "a.c").write_text('#include <stdio.h>\nint main(void) { return puts("took 1") < 0; }\n')
    capture(["arm-linux-gnueabihf-gcc", "-static", "-o", "static", "a.c"], cwd=own)
    capture(["arm-linux-gnueabihf-gcc", "-o", "dynamic", "a.c"], cwd=own)
    (own / "overlay" / "etc").mkdir(parents=True)
    (own / "overlay" / "etc" / "own").write_text("of etc 2\n")
    (own / "overlay" / "etc" / "link").symlink_to("own")
    metrics = {"took": {"pattern": r"took (\d)"}, "etc": {"pattern": r"of etc (\d)"}}
    files = {"files": "overlay"}
    for name, more in (("static", files), ("dynamic", files | {"packages": ["libc6"]})):
        workload = {"program": name, "command": f"{name}; cat /etc/link; true {{x}}"}
        study = load(workload, metrics, **more)
        samples, problems = measure(machine, study, tmp_path / f"results of {name}")
        assert problems == []
        assert [each.metrics for each in samples] == 2 * [{"took": 1, "etc": 2}]
    assert (own / "packages.lock.yaml").is_file()
    with pytest.raises(BuildError, match=r"dynamic: it needs /lib/ld-linux-armhf\.so\.3, libc"):
        build.make_images(machine, load({"program": "dynamic", "command": "dynamic"}, metrics))


@pytest.mark.full
def test_sources_in_c_and_cxx(own: Path, load: Load, machine: Machine, tmp_path: Path) -> None:
    if shutil.which("arm-linux-gnueabihf-g++") is None:
        pytest.skip(excuses.NO_CXX)
    (own / "main.cpp").write_text(
        '#include <iostream>\nextern "C" int twice(int);\n'
        'int main(int, char **argv) { std::cout << "twice " << twice(std::stoi(argv[1])); }\n'
    )
    # No C++: a keyword of that is a name here.
    (own / "part.c").write_text("int twice(int class) { return 2 * class; }\n")
    workload = {"sources": ["main.cpp", "part.c"], "command": "main {x}"}
    study = load(workload, {"twice": {"pattern": r"twice (\d+)"}})
    samples, problems = measure(machine, study, tmp_path / "results")
    assert problems == []
    assert {x: each.metrics["twice"] for x, each in by_x(samples).items()} == {4: 8, 9: 18}


@pytest.mark.full
def test_stress_ng_beside_the_module(load: Load, machine: Machine, tmp_path: Path) -> None:
    study = load(
        {
            "background": "stress-ng --vm 1 --vm-bytes 4M",
            "source": "module/user/touch_pages.c",
            "command": "touch_pages 60 100 0 && "
            "stress-ng --vm 1 --vm-bytes 4M --vm-ops {x} --metrics-brief 2>&1",
            "timeout_s": 60,
        },
        {
            "faults": {"counter": "/sys/class/misc/paging/faults"},
            "operations": {"pattern": r"\] vm +(\d+) ", "better": "higher"},
        },
        packages=["stress-ng"],
        module={
            "folder": "module",
            "name": "kmod_paging",
            "parameters": {"demand_paging": 1},
        },
    )
    first, problems = measure(machine, study, tmp_path / "results")
    assert problems == []
    assert {x: each.metrics for x, each in by_x(first).items()} == {
        4: {"faults": 60, "operations": 4},
        9: {"faults": 60, "operations": 9},
    }
    # The same, to the byte, from the lock alone.
    images = build.make_images(machine, study)
    assert "stress-ng:armhf" in images.sources
    assert "packages.lock.yaml" in images.read["programs"]
    assert images.lock.differs == ()
    small = machine.model_copy(update={"memory_mib": 64})
    with pytest.raises(BuildError, match=r"root file system takes \d+ MiB, .*can take 16 MiB"):
        build.make_images(small, study)


@pytest.mark.full
@pytest.mark.alone
@pytest.mark.parametrize("clock", ["virtual", "host"])
def test_what_the_kernel_wrote_during_the_run(
    own: Path, load: Load, machine: Machine, tmp_path: Path, clock: Clock
) -> None:
    workload = {
        # Of the many lines of its page faults none counts, nor does what was before or after.
        "source": "module/user/touch_pages.c",
        "before": "touch_pages 1 0 0",
        "command": "touch_pages {x} 100 0; echo new VMA for pid 1 from 0x1 >/dev/kmsg",
        "after": "touch_pages 1 0 0",
        "warm_up_runs": 1,
    }
    pattern = r"new VMA for pid (\d+) from"
    study = load(
        workload,
        {"pid": {"kernel_log": pattern}},
        module={
            "folder": "module",
            "name": "kmod_paging",
            "parameters": {"demand_paging": 1, "log": "faults"},
        },
        parameters={"x": {"title": "x", "values": [4, 2000], "minimum": 0, "maximum": 9000}},
    )
    images = build.make_images(machine, study)
    now = datetime.datetime.now(datetime.UTC)
    run = RunFolder.create(tmp_path / "results", study, study.name, now)
    observer = Silent()
    testbed = rounds.Testbed(machine.model_copy(update={"clock": clock}), images, study, "QEMU")
    rounds.measure_rounds(testbed, run, plan.rounds(study), 1, observer)
    assert observer.problems == []
    found = by_x(observer.samples)
    assert found[4].status == Status.OK, found[4].message
    assert found[4].metrics["pid"] > 1
    # A line for each of 2000 faults is more than the log holds.
    assert found[2000].status == Status.FAILED
    assert found[2000].message in (
        "the kernel wrote more to its log during the run than that holds",
        "the kernel wrote more than 64 KiB to its log during the run",
    )


@pytest.mark.full
def test_no_output_and_far_too_much(
    own: Path, load: Load, machine: Machine, tmp_path: Path
) -> None:
    """Nothing is lost, and 10 MB take no more memory than what is kept of them."""
    (own / "say.sh").write_text("#!/bin/sh\n[ $1 -lt 5 ] || yes 123456789 | head -n 1000000\n")
    workload = {"script": "say.sh", "command": "say.sh {x}", "timeout_s": 60}
    metrics = {"end": {"pattern": r"end (\d+)"}}
    samples, problems = measure(machine, load(workload, metrics), tmp_path / "results")
    assert problems == []
    found = by_x(samples)
    assert {each.status for each in found.values()} == {Status.FAILED}
    assert found[4].message.endswith("0 times instead of once; there was no output")
    assert "the output, which was cut off at 64 KiB, 0 times" in found[9].message
    assert len(found[9].message) < 600
    (log,) = only_run(tmp_path / "results").glob("boots/*/agent.log")
    assert log.stat().st_size < 200_000
