"""QEMU in a sandbox, for guests whose kernel runs what nobody vouches for.

A module owns its guest, and whoever breaks out of a guest has the rights of its QEMU. In the
sandbox that is nobody, who sees the images, writes the boot's own log files, and may start no
program: QEMU's own filter of system calls sees to that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.base import bubblewrap
from pibed.base.bubblewrap import View
from pibed.base.process import clean_environment
from pibed.build.images import Images

# See -sandbox in QEMU's qemu-options.hx.
_FILTER = ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")


@dataclass(frozen=True)
class Holding:
    """The sandbox of a QEMU that boots images with an initramfs, and writes a boot's files."""

    images: Images
    initramfs: Path
    written: Sequence[Path]

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs QEMU, whose own is `argv`.

        Its files are made, and are QEMU's until `take_back`. Raises HostError for an image that
        root's QEMU could not read there.
        """
        images = self.images
        readable = [images.kernel, images.device_tree, self.initramfs, *_program(argv[0])]
        if images.timing is not None:
            readable += [images.timing.plugin, images.timing.board_file]
        bubblewrap.require_readable(readable)
        for path in self.written:
            path.touch()
            os.chown(path, bubblewrap.user(), -1)
        # By some of pibed's own, tests know their QEMUs.
        own = {key: value for key, value in os.environ.items() if key.startswith("PIBED_")}
        kept = {"PATH": clean_environment()["PATH"], "LC_ALL": "C"} | own
        return bubblewrap.command(
            [*argv, *_FILTER],
            View(readable, writable=self.written),
            cwd=Path("/"),
            env=kept,
        )

    def take_back(self) -> None:
        """Gives the files that QEMU has written to pibed's user."""
        for path in self.written:
            with contextlib.suppress(FileNotFoundError):
                os.chown(path, os.geteuid(), -1)


def holding(images: Images, initramfs: Path, written: Sequence[Path]) -> Holding | None:
    """What holds a QEMU that boots images: a sandbox, if one held the build of them."""
    if images.sandbox != "bubblewrap":
        return None
    return Holding(images, initramfs, [path.absolute() for path in written])


def held_by(bubblewrap: int) -> int | None:
    """The process that bubblewrap runs, if that has begun."""
    # Between the two is the first process of the namespace, with whose end all in it end.
    first = _child(bubblewrap)
    return None if first is None else _child(first)


def _child(process: int) -> int | None:
    path = Path(f"/proc/{process}/task/{process}/children")
    try:
        return int(path.read_text(encoding="ascii").split()[0])
    except (OSError, IndexError):
        return None


def _program(name: str) -> list[Path]:
    """QEMU where it is not the distribution's, with what it was installed with."""
    found = shutil.which(name)
    if found is None or Path(found).resolve().is_relative_to("/usr"):
        return []
    path = Path(found).absolute()
    return [path.parent.parent if path.parent.name == "bin" else path]
