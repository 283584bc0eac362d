"""What an experiment says of its workload: forms, names, files, and what runs around it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from pibed.base.errors import BuildError, UsageError
from pibed.build import elf, overlay, payload
from pibed.build.buildroot import recipe
from pibed.build.debian.staging import Staging
from pibed.build.initramfs import File, Folder, Link
from pibed.build.payload import Payload
from pibed.build.program import Program, Ready, Target
from pibed.build.sources.guestpackages import Wanted
from pibed.model import kernellog, plan
from pibed.model.experiment import Experiment, load_experiment
from pibed.model.protocol import Result
from pibed.model.samples import take_metrics
from tests.unit.helpers import ROOT, experiment

COMMAND: dict[str, Any] = {"command": "work {size}", "timeout_s": 30}


def with_workload(**keys: Any) -> Experiment:
    return experiment(workload=COMMAND | keys)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"source": "a.c", "script": "b.sh"}, "give only one of source, .* not source and script"),
        (
            {"sources": ["a.c"], "make": {"folder": "a", "target": "b", "program": "c"}},
            "not sources and make",
        ),
        ({"script": "a.sh", "cflags": ["-O2"]}, "cflags: only what is compiled has them"),
        ({"libraries": ["-lm"]}, "libraries: only what is compiled has them"),
        ({"sources": ["a.c", "b.c", "a.c"]}, r"sources: a\.c is there twice"),
        ({"sources": []}, "at least 1"),
        ({"source": "a.py"}, r"source that ends in one of \.c, .*a\.py"),
        ({"script": "../a.sh"}, "inside the folder"),
        ({"make": {"folder": "a", "target": "--eval=x", "program": "c"}}, "pattern"),
        ({"make": {"folder": "a", "target": "CC=gcc", "program": "c"}}, "pattern"),
        ({"before": "a\nb"}, r"workload\.before: expected one line"),
        ({"after": "rm {none}"}, r"workload\.after: \{none\} is not a parameter"),
    ],
)
def test_what_is_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        with_workload(**keys)


def test_the_words_of_a_workload() -> None:
    study = with_workload(sources=["a.c"], cflags=["-O2"], libraries=["-lm"])
    assert study.workload.words == "work {size} (-O2 -lm)"
    assert with_workload().workload.words == "work {size}"


def lines(study: Experiment) -> list[str]:
    (first, *_) = plan.rounds(study)
    (steps,) = plan.steps(study, first.visits[:1])
    return [str(command) for command in steps]


def test_what_runs_around_each_run() -> None:
    around = {"before": "touch {size}", "after": "rm {size}", "warm_up_runs": 2}
    assert lines(with_workload(**around))[1:] == [
        *("1.warm-up-1.before 30 touch 64", "1.warm-up-1 30 work 64", "1.warm-up-1.after 30 rm 64"),
        *("1.warm-up-2.before 30 touch 64", "1.warm-up-2 30 work 64", "1.warm-up-2.after 30 rm 64"),
        "1.before 30 touch 64",
        "1.counters-before 20 cat /sys/pages",
        "1.run 30 work 64",
        "1.counters-after 20 cat /sys/pages",
        "1.after 30 rm 64",
    ]


LOGGED = {"title": "x", "unit": "1", "kernel_log": r"took (\d+)"}


def test_the_kernels_log_is_marked_next_to_the_run() -> None:
    study = experiment(workload=COMMAND, metrics={"logged": LOGGED})
    _, begins, run, ends = lines(study)
    assert begins == "1.log-begins 20 echo 'pibed: run 1 begins' >/dev/kmsg"
    assert run.startswith("1.run ")
    assert ends.startswith("1.log-ends 20 echo 'pibed: run 1 ends' >/dev/kmsg && awk ")


def answer(*output: str, status: int = 0, truncated: bool = False) -> Result:
    return Result("1.log-ends", status, False, truncated, output)


LOG = answer(
    "12,7,100,-;pibed: run 1 begins",
    "6,8,101,-;kmod: took 12 steps; none left",
    " SUBSYSTEM=misc",
    r"4,9,102,-;back\x5cslash gr\xc3\xb6\xc3\x9fe",
    "12,10,103,-;a program: took 13 steps",
    "12,11,104,-;pibed: run 1 ends",
)


def test_the_kernels_own_lines_count() -> None:
    assert kernellog.lines(LOG) == ["kmod: took 12 steps; none left", "back\\slash größe"]


def test_a_metric_of_the_kernels_log() -> None:
    study = experiment(workload=COMMAND, metrics={"logged": LOGGED})
    run = Result("1.run", 0, False, False, ("took 99",))
    assert take_metrics(study, run, None, LOG) == {"logged": 12}
    nothing = answer("12,7,100,-;pibed: run 1 begins", "12,11,104,-;pibed: run 1 ends")
    for log, words in (
        (nothing, "logged: the pattern matches the kernel's log 0 times .*; there was no kernel's"),
        (answer(), "the kernel wrote more to its log during the run than that holds"),
        (answer("12,7,100,-;x", truncated=True), "more than 64 KiB to its log"),
        (answer("no", status=1), "log could not be read: it ended with status 1: no"),
    ):
        with pytest.raises(ValueError, match=words):
            take_metrics(study, run, None, log)


def test_the_exit_status_as_a_metric() -> None:
    metric = {"title": "x", "unit": "1", "exit_status": True}
    study = experiment(workload=COMMAND, metrics={"ended": metric})
    assert study.measures_status
    assert not experiment().measures_status
    assert take_metrics(study, Result("1.run", 3, False, False, ()), None) == {"ended": 3}
    with pytest.raises(ValidationError, match="exit_status"):
        experiment(metrics={"ended": metric | {"exit_status": False}})
    with pytest.raises(ValidationError, match="kernel_log: exactly one group"):
        experiment(metrics={"logged": LOGGED | {"kernel_log": "x"}})
    with pytest.raises(ValidationError, match="give either"):
        experiment(metrics={"logged": LOGGED | {"exit_status": True}})


def test_an_output_that_was_cut_off_says_so() -> None:
    metric = {"title": "x", "unit": "1", "pattern": r"took (\d+)"}
    study = experiment(workload=COMMAND, metrics={"took": metric})
    run = Result("1.run", 0, False, True, ("x" * 60_000, "took 1"))
    with pytest.raises(ValueError, match="output, which was cut off at 64 KiB, 0 times") as caught:
        take_metrics(study, run, None)
    assert len(str(caught.value)) < 1000


Own = Callable[..., Payload]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "my wörk"
    shutil.copytree(ROOT / "module", made / "module")
    return made


@pytest.fixture
def own(folder: Path) -> Own:
    """The payload of an experiment in the folder, with these keys."""

    def own(workload: dict[str, Any] | None = None, **keys: Any) -> Payload:
        data = experiment(workload=COMMAND).model_dump(exclude_none=True)
        data["workload"] = COMMAND | (workload or {})
        data["module"]["name"] = "kmod_paging"
        path = folder / "experiment.yaml"
        path.write_text(yaml.safe_dump(data | keys, allow_unicode=True))
        return payload.of_experiment(load_experiment(str(path)))

    return own


def put(folder: Path, name: str, content: str | bytes = "", mode: int = 0o644) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def test_each_form_has_its_program(folder: Path, own: Own) -> None:
    for name in ("src/a.c", "src/b.cpp", "prog/Makefile", "bin/ready"):
        put(folder, name)
    script = put(folder, "run.sh", "#!/bin/sh\n")
    sources = (folder / "src/a.c", folder / "src/b.cpp")
    assert own({"source": "src/a.c"}).programs == (Program("a", sources[:1]),)
    made = own({"sources": ["src/a.c", "src/b.cpp"], "libraries": ["-lm"]})
    assert made.programs == (Program("a", sources, ("-lm",)),)
    assert made.compiled[0].is_cxx
    words = ["-x", "c", "a.c", "-x", "c++", "b.cpp"]
    assert made.compiled[0].arguments(made.root) == words
    assert own({"script": "run.sh"}).programs == (Ready("run.sh", script, True),)
    assert own({"program": "bin/ready"}).programs == (Ready("ready", folder / "bin/ready", False),)
    make = {"folder": "prog", "target": "all", "program": "out/made"}
    assert own({"make": make}).programs == (Target("made", folder / "prog", "all", "out/made"),)
    assert own().programs == ()
    assert own(packages=["b", "a", "b"]).packages is not None


@pytest.mark.parametrize(
    ("name", "content", "workload", "words"),
    [
        ("a.c", "", {"sources": ["a.c", "none.c"]}, r"workload\.sources: there is no file .*none"),
        ("x", "", {"script": "none.sh"}, r"workload\.script: there is no file .*none\.sh"),
        ("x", "", {"program": "none"}, r"workload\.program: there is no file"),
        ("run.sh", "echo\n", {"script": "run.sh"}, "first line does not say what runs it"),
        ("run.sh", "", {"script": "run.sh"}, "first line does not say what runs it"),
        ("run.sh", "#!/bin/sh\r\n", {"script": "run.sh"}, "lines end as on Windows"),
        ("my run.sh", "#!/bin/sh\n", {"script": "my run.sh"}, "cannot have a space in its name"),
        ("busybox", "", {"program": "busybox"}, "the name busybox is taken"),
        ("agent.c", "", {"source": "agent.c"}, "the name agent is taken"),
        (
            "prog/x",
            "",
            {"make": {"folder": "prog", "target": "x", "program": "x"}},
            r"make\.folder: there is no Makefile in .*prog",
        ),
    ],
)
def test_files_that_are_not_as_they_should_be(
    folder: Path, own: Own, name: str, content: str, workload: dict[str, Any], words: str
) -> None:
    put(folder, name, content)
    with pytest.raises(UsageError, match=words) as caught:
        own(workload)
    assert str(folder / "experiment.yaml") in caught.value.message


def test_an_overlay_is_looked_at_first(folder: Path, own: Own) -> None:
    with pytest.raises(UsageError, match="files: there is no folder"):
        own(files="overlay")
    tree = folder / "overlay"
    put(tree, "etc/own.conf")
    (tree / "etc/link").symlink_to("own.conf")
    (tree / "etc/root").symlink_to("/etc/own.conf")
    assert own(files="overlay").files == tree
    for name, words in (
        ("etc/a b", r"etc/a b: a path in the guest cannot have a space"),
        ("tmp/x", "tmp/x: the guest mounts a file system over /tmp"),
        ("sys/x", "over /sys"),
        ("init", "/init is a part of every guest"),
        ("usr/lib/pibed/agent", "/usr/lib/pibed/agent is a part of every guest"),
    ):
        path = put(tree, name)
        with pytest.raises(UsageError, match=words):
            own(files="overlay")
        path.unlink()
    (tree / "etc/out").symlink_to("../../experiment.yaml")
    with pytest.raises(UsageError, match=r"etc/out leads out of .*overlay"):
        own(files="overlay")


def test_another_overlay_has_another_digest(tmp_path: Path) -> None:
    path = put(tmp_path, "etc/a", "1")
    seen = [overlay.digest(tmp_path)]
    path.write_text("2")
    seen.append(overlay.digest(tmp_path))
    path.chmod(0o755)
    seen.append(overlay.digest(tmp_path))
    (tmp_path / "etc/b").symlink_to("a")
    seen.append(overlay.digest(tmp_path))
    (tmp_path / "etc/c").mkdir()
    seen.append(overlay.digest(tmp_path))
    assert len(set(seen)) == len(seen)


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    """With a BusyBox and its links."""
    root = tmp_path / "root"
    put(root, "bin/busybox", "busybox", 0o755)
    put(root, "init", "init", 0o755)
    for name in ("sh", "ls"):
        (root / "bin" / name).symlink_to("busybox")
    return Staging(root)


def test_packages_replace_commands_but_not_what_all_needs(staging: Staging, tmp_path: Path) -> None:
    tree = tmp_path / "packages"
    for name in ("bin/ls", "bin/sh", "bin/busybox", "init", "etc/x.conf", "usr/share/a b"):
        put(tree, name, "package")
    (tree / "var/lib/empty").mkdir(parents=True)
    assert staging.add_packages(tree) == ["usr/share/a b"]
    read = {name: (staging.root / name).read_text() for name in ("bin/ls", "bin/sh", "init")}
    assert read == {"bin/ls": "package", "bin/sh": "busybox", "init": "init"}
    assert (staging.root / "bin/busybox").read_text() == "busybox"
    entries = list(staging.entries())
    assert Folder("/var/lib/empty") in entries
    assert Link("/bin/sh", "busybox") in entries
    assert File("/init", "init", 0o755) in entries
    put(tmp_path / "other", "init/x")
    with pytest.raises(BuildError, match="something else at /init"):
        staging.add_packages(tmp_path / "other")


def test_an_overlay_replaces_files_of_packages_only(staging: Staging, tmp_path: Path) -> None:
    packages, tree = tmp_path / "packages", tmp_path / "overlay"
    put(packages, "etc/x.conf", "package")
    staging.add_packages(packages)
    put(tree, "etc/x.conf", "own")
    put(tree, "etc/y.conf", "own", 0o700)
    (tree / "etc/z.conf").symlink_to("y.conf")
    staging.add_overlay(tree, packages, "x.yaml: files")
    assert (staging.root / "etc/x.conf").read_text() == "own"
    assert File("/etc/y.conf", "etc/y.conf", 0o755) in staging.entries()
    assert Link("/etc/z.conf", "y.conf") in staging.entries()
    for name in ("init", "bin/ls", "bin/sh/x"):
        other = tmp_path / name.replace("/", "-")
        put(other, name)
        with pytest.raises(UsageError, match=r"x.yaml: files: .* is a part of every guest"):
            staging.add_overlay(other, packages, "x.yaml: files")
    assert (staging.root / "bin/busybox").read_text() == "busybox"


def test_what_a_file_is_built_for(tmp_path: Path) -> None:
    found = elf.read(Path("/bin/sh"), "")
    assert found.is_program
    assert found.interpreter is not None
    assert "libc.so.6" in found.needed
    for content, words in ((b"#!/bin/sh", "no program in the format ELF"), (b"\x7fELF", "readelf")):
        path = put(tmp_path, "file", content)
        with pytest.raises(ValueError, match=words):
            elf.read(path, "")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"programs": (Ready("run.sh", ROOT / "run.sh", True),)}, r"run\.sh is not of sources"),
        ({"programs": ()}, "the workload is no program"),
        ({"files": ROOT / "overlay"}, "files: the builder buildroot does not put them"),
        ({"packages": Wanted(("x",), ROOT / "x", "")}, "packages: the builder buildroot does not"),
    ],
)
def test_what_buildroot_does_not_take(keys: dict[str, Any], words: str) -> None:
    paging = payload.of_experiment(load_experiment("paging"))
    with pytest.raises(UsageError, match=words) as caught:
        recipe.require_packages(dataclasses.replace(paging, **keys))
    assert caught.value.fix == "take --builder debian"
    (program,) = paging.compiled
    for each, words in (
        (dataclasses.replace(program, libraries=("-lm",)), "has libraries of its own"),
        (dataclasses.replace(program, sources=(*program.sources, ROOT / "x.cc")), "is C\\+\\+"),
    ):
        with pytest.raises(UsageError, match=words):
            recipe.require_packages(dataclasses.replace(paging, programs=(each,)))
