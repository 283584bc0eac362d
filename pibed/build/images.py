"""The images: what a guest is booted from, and all that is known of how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pibed.base.files import digest_file
from pibed.build.materials import Component
from pibed.build.reads import Read
from pibed.build.store import Output
from pibed.build.timing import Timing
from pibed.model.builder import Made, SandboxKind, Source, Standing


@dataclass(frozen=True)
class Images:
    """What a guest is booted from, and the tool that packs a plan for it."""

    kernel: Path
    device_tree: Path
    initramfs: Path
    gen_init_cpio: Path
    modules: tuple[Path, ...]
    """The `.ko` files as they were built, in the order in which they are loaded."""
    programs: tuple[Path, ...]
    """BusyBox, the agent and the payload's programs."""
    kernel_source: Path
    kernel_build: Path
    variables: Mapping[str, str]
    """Given to make for anything that is built against the kernel."""
    sources: dict[str, Source]
    """What was built from, by the package's name."""
    tools: dict[str, str]
    """Tool to the line in which it states its version."""
    steps: tuple[Output, ...]
    lock: Standing
    """How what they were made from and with stands to the lock."""
    builder: Made
    """What made them and how; see `pibed.build.builders`."""
    components: tuple[Component, ...]
    """All that they consist of, and what made them."""
    read: Mapping[str, Read] = field(default_factory=dict)
    """The files of the user's that modules (`module`), `programs` and the `kernel` were made of."""
    sandbox: SandboxKind = "none"
    """What held the compilers of the user's files."""
    timing: Timing | None = None
    """The plugin that counts events and drives the clock `board`, where one of the two is asked."""

    def digests(self) -> dict[str, str]:
        """SHA-256 of what the guest is booted from."""
        return {
            "kernel": digest_file(self.kernel),
            "device_tree": digest_file(self.device_tree),
            "initramfs": digest_file(self.initramfs),
        }
