"""What the steps of a build depend on; that they build is for the live tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from pibed.base import terminal
from pibed.build import payload, toolchain
from pibed.build.debian import kernel, programs, rootfs
from pibed.build.debian.bench import Bench
from pibed.build.progress import BuildProgress
from pibed.build.sandbox import Unconfined
from pibed.build.store import Make, Output, Step, Store
from pibed.build.toolchain import CLibrary, Toolchain
from pibed.model.experiment import load_experiment
from pibed.model.machine import load_machine


class Recorder(Store):
    """A store that takes every output for made."""

    def produce(
        self,
        step: Step,
        make: Make,
        on_wait: Callable[[], None] = lambda: None,
        reads_below: Path | None = None,
    ) -> Output:
        return Output(step, self.root, cached=True, seconds=0.0)


TOOLS = Toolchain({"gcc": "12.2.0", "cross-gcc": "12.2.0"}, CLibrary("libc 2.36", ""), "QEMU 7.2")


@pytest.fixture
def steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Toolchain], dict[str, Step]]:
    """The steps that run tools, by name, as they are with a toolchain."""
    machine = load_machine("pi2")
    monkeypatch.setattr(programs, "read_by_compiler", lambda *_: set())
    monkeypatch.setattr(toolchain, "headers", lambda _: [])
    dts = tmp_path / "arch" / "arm" / "boot" / "dts"
    dts.mkdir(parents=True)
    (dts / f"{machine.kernel.device_tree}.dts").touch()
    source = Output(Step("source", {}, expected_s=1), tmp_path, cached=True, seconds=0.0)
    paging = payload.of_experiment(load_experiment("paging"))

    def with_tools(tools: Toolchain) -> dict[str, Step]:
        progress = BuildProgress(terminal.stderr(), show_cached=False)
        bench = Bench(Recorder(tmp_path), progress, 1, machine, tools, Unconfined())
        outputs = (
            kernel.kernel(bench, paging, source),
            rootfs.busybox(bench, source),
            programs.compile(bench, paging, paging.compiled),
            rootfs.agent(bench),
        )
        return {output.step.name: output.step for output in outputs}

    return with_tools


Steps = Callable[[Toolchain], dict[str, Step]]


def test_another_c_library_builds_what_is_linked_with_it_anew(steps: Steps) -> None:
    before, after = steps(TOOLS), steps(dataclasses.replace(TOOLS, libc=CLibrary("libc 2.37", "")))
    assert [name for name in before if before[name].key != after[name].key] == [
        "busybox",
        "programs",
        "agent",
    ]
    # As it was before the C library counted: a kernel takes minutes.
    assert before["kernel"].inputs["tools"] == "{'gcc': '12.2.0', 'cross-gcc': '12.2.0'}"


def test_another_compiler_builds_everything_anew(steps: Steps) -> None:
    compilers = TOOLS.compilers | {"gcc": "12.2.1"}
    before, after = steps(TOOLS), steps(dataclasses.replace(TOOLS, compilers=compilers))
    assert all(before[name].key != after[name].key for name in before)


def test_another_qemu_builds_nothing(steps: Steps) -> None:
    assert steps(TOOLS) == steps(dataclasses.replace(TOOLS, qemu="QEMU 10"))
